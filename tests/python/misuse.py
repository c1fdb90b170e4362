#!/usr/bin/python3 -B
"""What users of the package for Python give that is wrong, and tasks of asyncio that are many, or end early."""

import asyncio
import os
import re
import threading

import numpy

import common
from common import LONG
import muster
from muster._call import CREDENTIALS, known_options
from muster._errors import needs


class Case(common.Case):
    def setUp(self):
        super().setUp()
        self.manager = muster.ParticipantManager("local:" + self.id())
        self.addCleanup(self.manager.close)


class Values(Case):
    def setUp(self):
        super().setUp()

        def run():
            with muster.connect(self.manager.address) as participant:
                for instruction in participant:
                    instruction.answer(instruction, more=1)

        self.in_thread(run)
        self.addCleanup(self.manager.close)  # before the thread is waited for
        (self.proxy,) = self.manager.get_participants(1, LONG)

    def expect(self, said, function, *arguments, **named):
        with self.subTest(said), self.assertRaisesRegex(muster.Invalid, said):
            function(*arguments, **named)

    def test_texts(self):
        half = "\ud800"
        self.expect("half of a character", self.proxy.run, muster.Train(x=half))
        self.expect("half of a character", self.proxy.run, muster.Train({half: numpy.ones(2)}))
        self.expect("half of a character", self.proxy.label, half)
        self.expect("half of a character", muster.connect, self.manager.address, name=half)
        self.expect("a text is expected", self.proxy.run, muster.Application(3))
        self.expect("data.encode", self.proxy.run, muster.Application("mine", "a text"))
        name = "n" * 100000
        self.assertEqual(self.proxy.run(muster.Train({name: numpy.ones(2)}), LONG).names, [name])

    def test_values(self):
        numbers = memoryview(numpy.arange(3, dtype="i4"))
        answer = self.proxy.run(muster.Train(x=numbers, inf=-numpy.inf, nan=float("nan")), LONG)
        self.assertEqual((answer["x"], answer["inf"]), (bytes(numbers), -numpy.inf))
        self.assertNotEqual(answer["nan"], answer["nan"])
        self.assertEqual(answer.named, {})
        with self.assertRaisesRegex(KeyError, "no 'loss'; it has .*'more'"):
            answer["loss"]

    def test_parts_that_the_library_lacks(self):
        self.expect("without its record: configure it --with-record", needs, "muster_nothing", "record")
        needs("muster_record_open", "record")

    def test_arguments(self):
        self.expect("write \\[array\\]", muster.Train, 3)
        self.expect("write \\[array\\]", muster.Train, "abc")
        self.expect("muster.Train\\(arrays\\)", self.proxy.run, [numpy.ones(3)])
        self.expect("muster.Train\\(arrays\\)", muster.run_all, [self.proxy], "train")
        self.expect("list of proxies", muster.run_all, self.proxy, muster.Train())
        self.expect("list of proxies", muster.run_all, [None], muster.Train())
        self.expect("whole number of participants", muster.run_all, [self.proxy], muster.Train(), enough=-1)
        self.expect("whole number of participants", self.manager.get_participants, "3")
        self.expect("time in seconds", self.proxy.run, muster.Train(), "5")
        self.expect("of the kind empty, train, .* and not 'tarin'", muster.Message, "tarin")
        self.expect("a dict of proxies", muster.run_each, [self.proxy])
        self.expect("labels are a dict", muster.connect, self.manager.address, labels="gpu")
        self.expect("a failure has a text", muster.Failure, 3)
        self.expect("a dict of arrays by name", muster.npz_write, self.scratch / "x.npz", [numpy.ones(3)])
        self.expect("0 or more bytes", muster.npz_read, self.scratch / "x.npz", limit=-1)

    def test_which_array_is_wrong(self):
        self.expect("^array 1: arrays of int16", self.proxy.run, muster.Train([numpy.ones(2), numpy.ones(2, "i2")]))
        self.expect(r"^array 0 \(bias\): arrays of int16", self.proxy.run, muster.Train({"bias": numpy.ones(2, "i2")}))
        self.expect("^array 0: an array has 9 dim", muster.Mean().add, [numpy.ones((1,) * 9)])
        self.expect("^array 0 .w.: arrays of comp", muster.npz_write, self.scratch / "x.npz", {"w": numpy.ones(1, "c8")})
        self.expect("^note: a text has a NUL", self.proxy.run, muster.Train(note="a\0b"))
        self.expect("bits: it has 20002", self.proxy.run, muster.Train(x=2**20000))
        square = numpy.ones((3, 3))
        self.expect("numpy.ascontiguousarray", self.proxy.run, muster.Application("mine", square.T))

    def test_options_are_in_the_page(self):
        page = (common.support.SOURCE / "docs" / "python.md").read_text()
        for call, kind in (
            ("connect", "participant"),
            ("ParticipantManager", "participant_manager"),
            ("join_group", "muster_group"),
            ("Coordinator", "muster_coordinator"),
            ("Record", "muster_record"),
            ("Monitor", "muster_monitor"),
        ):
            fields = dict(muster.ffi.typeof(f"struct {kind}_options").fields)
            row = next(line for line in page.splitlines() if line.startswith(f"| `{call}()` |"))
            there = set(re.findall(r"`(\w+)`", row)) - {call}
            self.assertEqual(there, set(known_options(fields)) - set(CREDENTIALS))

    def test_options(self):
        for option, value, said in (
            ("session_grace", "5", "session_grace: a time in seconds"),
            ("max_participants", "5", "max_participants: a number"),
            ("max_participants", 2**70, "max_participants: a number"),
            ("listen", 5, "listen: a text"),
            ("on_event", 5, "on_event is called"),
        ):
            self.expect(said, muster.ParticipantManager, **{option: value})
        with self.assertRaisesRegex(TypeError, "no option 'timeout'; there are asks, ca, .*connect_timeout"):
            muster.connect(self.manager.address, timeout=5)
        self.expect("on_cancelled is called", muster.connect, self.manager.address, on_cancelled="x")
        self.expect("an outcome is", muster.Record().close, "lost")


class Imports(common.Case):
    def test_where_the_module_is_not_built(self):
        process = self.start_python("-c", "import muster", env={"PYTHONPATH": str(common.support.SOURCE / "python")})
        self.assertEqual(process.wait(), 1)
        self.assertRegex(self.errors_of(process), "ImportError: .*/python/muster has the sources alone: pip install")


class Memory(common.Case):
    def test_messages_are_whole_while_they_are_sent(self):
        """Python overwrites what it frees, here: a message that has lost its parts is broken."""
        environment = dict(os.environ, PYTHONMALLOC="debug")
        groups = self.start_python(common.PEER.parent / "groups.py", "Groups.test_collectives", env=environment)
        self.assertEqual(groups.wait(LONG), 0, self.errors_of(groups))


class Asyncio(Case):
    def run_in_time(self, function):
        asyncio.run(asyncio.wait_for(function(), LONG))

    def test_two_tasks_consume(self):
        async def follow(participant):
            (await participant.consume_async()).answer()

        async def both():
            async with await muster.connect_async(self.manager.address) as participant:
                tasks = [asyncio.create_task(follow(participant)) for _ in range(2)]
                (proxy,) = await self.manager.get_participants_async(1, LONG)
                for _ in tasks:
                    await proxy.run_async(muster.Train(), LONG)
                await asyncio.gather(*tasks)

        self.run_in_time(both)

    def test_closed_while_a_task_consumes(self):
        async def close(inside):
            participant = await muster.connect_async(self.manager.address)
            tasks = [asyncio.create_task(participant.consume_async()) for _ in range(2)]
            await self.manager.get_participants_async(1, LONG)
            await asyncio.sleep(0)
            if inside:
                participant.close()
            else:
                await participant.__aexit__(None, None, None)
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                self.assertIsInstance(ended, muster.Closed)

        self.run_in_time(lambda: close(True))
        self.run_in_time(lambda: close(False))

    def test_cancelled_tasks_leave_nothing_that_waits(self):
        async def cancel():
            for waits in (
                self.manager.get_participants_async(3),
                muster.connect_async("local:nobody" + self.id(), connect_timeout=None),
            ):
                task = asyncio.create_task(waits)
                await asyncio.sleep(0)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task

        self.run_in_time(cancel)
        for thread in threading.enumerate():
            if thread is not threading.main_thread():
                thread.join(LONG)
                self.assertFalse(thread.is_alive(), thread.name)

    def test_many_wait_at_once(self):
        """More than the loop's own pool of threads has."""

        async def many():
            count = 40
            waits = [asyncio.create_task(self.manager.get_participants_async(1, LONG)) for _ in range(count)]
            await asyncio.sleep(0)  # they begin
            async with await muster.connect_async(self.manager.address) as participant:
                task = asyncio.create_task(participant.consume_async())
                self.assertEqual([len(await each) for each in waits], [1] * count)
                task.cancel()

        self.run_in_time(many)


if __name__ == "__main__":
    common.main()
