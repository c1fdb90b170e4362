#!/usr/bin/python3 -B
"""The participant's side in Python: instructions, answers, failures, cancels, Ctrl-C, asyncio, and its end."""

import asyncio
import contextlib
import logging
import os
import queue
import signal
import threading
import traceback

import numpy

import common
from common import LONG
import muster


class Case(common.Case):
    def setUp(self):
        super().setUp()
        self.manager = muster.ParticipantManager("local:" + self.id())
        self.addCleanup(self.manager.close)

    @contextlib.contextmanager
    def joined(self):
        """A participant of this thread, and its proxy."""
        with muster.connect(self.manager.address) as participant:
            with self.assertRaises(muster.Timeout):
                participant.consume(0)
            yield participant, *self.manager.get_participants(1, LONG)

    def join(self, body, name="ada", **options):
        """A participant on a thread, whose `body` gets it; the server's proxy."""

        def run():
            with muster.connect(self.manager.address, name=name, **options) as participant:
                body(participant)

        self.in_thread(run)
        self.addCleanup(self.manager.close)  # before the thread is waited for
        return next(each for each in self.manager.get_participants(1, LONG) if each.name == name)


class Turns(Case):
    def test_carry_arrays_names_and_values(self):
        seen = []

        def body(participant):
            for instruction in participant:
                seen.append((instruction.kind, instruction.names, instruction.scalars, participant.rank))
                instruction.answer(instruction.named, done=True, **instruction.scalars)

        proxy = self.join(body, labels={"site": "Köln"})
        self.assertEqual((proxy.label("site"), proxy.label("none")), ("Köln", None))
        values = {"lr": 0.5, "epochs": 3, "on": False, "text": "né", "data": b"\0\1", "small": -(2**63)}
        for dtype in ("f4", "f8", "i4", "i8", "f2", "V2", "u1", "i1", "?"):
            array = numpy.arange(6, dtype="u1").astype("u2").view("V2") if dtype == "V2" else numpy.arange(6) % 2
            array = array.astype(dtype).reshape(2, 3)
            answer = proxy.run(muster.Evaluate({"w": array, "nothing": array[:0], "one": array[0, 0]}, **values), LONG)
            self.assertEqual(answer.arrays[0].dtype, array.dtype)
            self.assertEqual(answer.arrays[0].tobytes(), array.tobytes())
            self.assertEqual([each.shape for each in answer.arrays], [(2, 3), (0, 3), ()])
            self.assertEqual(answer.names, ["w", "nothing", "one"])
            self.assertEqual(answer.scalars, {**values, "done": True})
            self.assertEqual(type(answer["epochs"]), int)
        self.assertEqual(seen[0][:3], ("evaluate", ["w", "nothing", "one"], values))

    def test_application_and_numbers_of_numpy(self):
        def body(participant):
            for instruction in participant:
                if instruction.kind == "application":
                    instruction.answer(muster.Application(instruction.type, bytes(instruction.data)[::-1]))
                else:
                    instruction.answer(loss=numpy.float32(0.5), n=numpy.int16(3), ok=numpy.bool_(True))

        proxy = self.join(body)
        answer = proxy.run(muster.Application("mine", b"abc"), LONG)
        self.assertEqual((answer.type, bytes(answer.data)), ("mine", b"cba"))
        self.assertEqual(bytes(proxy.run(muster.Application("mine"), LONG).data), b"")
        self.assertEqual(proxy.run(muster.Train(), LONG).scalars, {"loss": 0.5, "n": 3, "ok": True})

    def test_what_cannot_be_sent(self):
        proxy = self.join(lambda participant: [each.answer() for each in participant])
        for arrays, values, said in (
            ([numpy.zeros(2, "c8")], {}, "complex64 cannot be sent"),
            ([numpy.zeros(2, ">f4")], {}, "little-endian.*write array.astype"),
            ([numpy.zeros((1,) * 9)], {}, "9 dimensions"),
            (numpy.zeros(3), {}, "write \\[array\\]"),
            ([], {"x": object()}, "x is a object"),
            ([], {"x": 2**63}, "64 bits"),
            ([], {"x": "a\0b"}, "NUL"),
        ):
            with self.assertRaisesRegex(muster.Invalid, said):
                proxy.run(muster.Train(arrays, **values), LONG)
        proxy.run(muster.Train(), LONG)

    def test_an_older_instruction_is_not_answered_in_the_place_of_the_newer(self):
        """As a thread would that still works on the one before."""
        told, over = [], threading.Event()

        def body(participant):
            old = participant.consume(LONG)
            participant.dispatch(muster.Train(n=1))
            new = participant.consume(LONG)
            told.extend([old.answer(n=2), old.fail("late"), old.cancelled, new.cancelled])
            with self.assertRaisesRegex(muster.Cancelled, "another instruction"):
                old.progress(0.5)
            told.append(new.answer(n=3))
            over.set()

        proxy = self.join(body)
        self.assertEqual([proxy.run(muster.Train(), LONG)["n"] for _ in range(2)], [1, 3])
        self.assertTrue(over.wait(LONG))
        self.assertEqual(told, [False, False, True, False, True])

    def test_views_outlive_the_instruction_and_the_participant(self):
        kept = []

        def body(participant):
            for instruction in participant:
                kept.append(instruction.arrays[0])
                instruction.answer([numpy.full(300000, 7.0)])

        proxy = self.join(body)
        answers = [proxy.run(muster.Train([numpy.full(300000, float(n))]), LONG).arrays[0] for n in range(3)]
        self.manager.close()
        self.doCleanups()
        self.assertEqual([float(each.sum()) for each in kept], [0, 300000, 600000])
        self.assertEqual([float(each.mean()) for each in answers], [7, 7, 7])

    def test_trained_in_place_is_sent_from_there(self):
        def body(participant):
            for instruction in participant:
                for array in instruction.arrays:
                    array *= 2
                instruction.answer(instruction.arrays)

        proxy = self.join(body)
        model = [numpy.ones(500000), numpy.ones(3, numpy.float32)]
        answer = proxy.run(muster.Train(model), LONG)
        self.assertEqual([float(each.mean()) for each in answer.arrays], [2, 2])
        self.assertEqual(float(model[0].mean()), 1)


class Failures(Case):
    def test_a_handler_that_raises(self):
        def handler(instruction):
            logging.getLogger("trainer").warning("the disk is %s", "full")
            return [numpy.ones(2)], {"n": 1} if instruction["good"] else 1 / 0

        proxy = self.join(lambda participant: participant.serve(handler))
        with self.assertRaisesRegex(muster.Refused, "ZeroDivisionError: division by zero") as caught:
            proxy.run(muster.Train(good=False), LONG)
        self.assertTrue(str(caught.exception).endswith("ZeroDivisionError: division by zero"), str(caught.exception))
        self.assertIn("in handler", caught.exception.detail)
        self.assertIn("WARNING trainer: the disk is full", caught.exception.detail)
        self.assertEqual(proxy.run(muster.Train(good=True), LONG)["n"], 1)

    def test_the_log_is_the_programs(self):
        with self.joined():
            self.assertEqual(logging.getLogger().handlers, [], "or basicConfig() would do nothing")

    def test_a_body_that_raises(self):
        problems = []

        def run():
            try:
                with muster.connect(self.manager.address) as participant:
                    for _ in participant:
                        raise KeyError("lost")
            except KeyError as error:
                problems.append(error)

        self.in_thread(run)
        (proxy,) = self.manager.get_participants(1, LONG)
        with self.assertRaisesRegex(muster.Refused, "KeyError: 'lost'"):
            proxy.run(muster.Train(), LONG)
        self.doCleanups()
        self.assertEqual(len(problems), 1)

    def test_a_failure_in_its_own_words(self):
        proxy = self.join(lambda participant: [each.fail(each["text"], 7) for each in participant])
        for text, end in (("no data", "no data"), ("ada\nand more", ": ada"), ("a\nb", ": a")):  # which its name has, too
            with self.assertRaises(muster.Refused) as caught:
                proxy.run(muster.Train(text=text), LONG)
            self.assertTrue(str(caught.exception).endswith(end), str(caught.exception))
            self.assertEqual((caught.exception.code, caught.exception.detail), (7, text))

    def test_what_is_not_answered_is_unknown(self):
        proxy = self.join(lambda participant: [None for _ in participant])
        with self.assertRaises(muster.UnknownInstruction):
            proxy.run(muster.Train(), LONG)

    def test_a_cancelled_turn_raises_in_progress(self):
        begun, told = threading.Event(), threading.Event()

        def handler(instruction):
            if instruction.get("long"):
                begun.set()
                told.wait(LONG)
                instruction.progress(0.5)
            return None if instruction.get("long") else ([], {"n": 2})

        proxy = self.join(lambda participant: participant.serve(handler), on_cancelled=told.set)
        round = muster.run_all([proxy], muster.Train(long=True), deadline=LONG)
        self.assertTrue(begun.wait(LONG))
        proxy.cancel()
        with self.assertRaises(muster.TooFew):
            round.wait()
        self.assertEqual(proxy.run(muster.Train(), LONG)["n"], 2)

    def test_an_answer_that_nobody_waits_for(self):
        sent, begun, told = queue.SimpleQueue(), threading.Event(), threading.Event()

        def body(participant):
            for instruction in participant:
                begun.set()
                told.wait(LONG)
                sent.put(instruction.answer())

        proxy = self.join(body, on_cancelled=told.set)
        round = muster.run_all([proxy], muster.Train(), deadline=LONG)
        self.assertTrue(begun.wait(LONG))
        proxy.cancel()
        with self.assertRaises(muster.TooFew):
            round.wait()
        proxy.run(muster.Train(), LONG)
        self.assertEqual([sent.get(timeout=LONG) for _ in range(2)], [False, True])

    def test_why_nobody_is_admitted(self):
        for limit in (2, LONG):  # on a busy machine it may not have been tried within 2 s
            with self.assertRaises(muster.Unavailable) as caught:
                muster.connect("127.0.0.1:1", connect_timeout=limit)
            if "no answer" not in str(caught.exception):
                break
        self.assertIn("refused", str(caught.exception))
        with self.assertRaises((muster.Unavailable, muster.Invalid)):
            muster.connect("nonsense", connect_timeout=2)
        with self.assertRaisesRegex(TypeError, "no option 'conect_timeout'; there are .*connect_timeout"):
            muster.connect(self.manager.address, conect_timeout=3)
        with muster.connect(self.manager.address, name="a"):
            with self.assertRaises(muster.Exists):
                muster.connect(self.manager.address, name="a", connect_timeout=LONG)

    def test_refused_by_admit(self):
        def admit(proxy):
            if proxy.name == "boom":
                raise RuntimeError("admit failed; this is told on standard error")
            return None if proxy.name == "good" else "not you"

        with muster.ParticipantManager("local:doorman" + self.id(), admit=admit) as manager:
            muster.connect(manager.address, name="good").close()
            with self.assertRaisesRegex(muster.Refused, "not you"):
                muster.connect(manager.address, name="bad", connect_timeout=LONG)
            with self.assertRaisesRegex(muster.Refused, "program failed"):
                muster.connect(manager.address, name="boom", connect_timeout=LONG)


class Signals(Case):
    """Ctrl-C comes while the main thread waits."""

    def interrupted(self, function):
        """Calls it, has Ctrl-C come when it waits, and expects it to end."""
        main = threading.main_thread().ident
        stopped = threading.Event()

        def interrupt():
            while not stopped.wait(0.2):
                signal.pthread_kill(main, signal.SIGINT)

        def raise_it(*_):
            """Not any more when the first one has done what it is to do."""
            if not stopped.is_set():
                raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, raise_it)
        thread = threading.Thread(target=interrupt)
        try:
            with self.assertRaises(KeyboardInterrupt):
                thread.start()
                try:
                    function()
                finally:
                    stopped.set()
        finally:
            stopped.set()
            thread.join()
            signal.signal(signal.SIGINT, before)

    def test_ends_waits(self):
        with self.joined() as (participant, proxy):
            self.interrupted(participant.consume)
            self.interrupted(lambda: self.manager.get_participants(5))
            self.interrupted(lambda: proxy.run(muster.Train()))
            self.interrupted(lambda: muster.run_all([proxy], muster.Train()).wait())
            self.interrupted(lambda: muster.connect("127.0.0.1:1"))
            self.assertTrue(proxy.is_open, "all goes on")

    def test_others_run_while_one_waits(self):
        with self.joined() as (participant, proxy):
            self.in_thread(lambda: participant.consume(LONG).answer(n=1))
            self.assertEqual(proxy.run(muster.Train(), LONG)["n"], 1)


class Asyncio(Case):
    def test_participants_and_servers_on_one_loop(self):
        async def participate(number):
            async with await muster.connect_async(self.manager.address, name=f"p{number}") as participant:
                async for instruction in participant:
                    instruction.answer([instruction.arrays[0] + number], number=number)

        async def serve():
            tasks = [asyncio.create_task(participate(number)) for number in range(3)]
            proxies = await self.manager.get_participants_async(3, LONG)
            for _ in range(3):
                answers = await asyncio.gather(*(each.run_async(muster.Train([numpy.zeros(2)]), LONG) for each in proxies))
                self.assertEqual([f"p{answer['number']}" for answer in answers], [each.name for each in proxies])
            names = []
            async for proxy, _ in muster.run_all(proxies, muster.Train([numpy.zeros(2)]), deadline=LONG):
                names.append(proxy.name)
            self.assertEqual(sorted(names), ["p0", "p1", "p2"])
            await asyncio.get_running_loop().run_in_executor(None, self.manager.close)
            await asyncio.gather(*tasks)

        asyncio.run(serve())

    def test_a_task_that_is_cancelled_gives_up_its_turn(self):
        begun, cancelled = threading.Event(), threading.Event()

        def body(participant):
            for _ in participant:
                begun.set()
                cancelled.wait(LONG)

        proxy = self.join(body, on_cancelled=cancelled.set)

        async def give_up():
            task = asyncio.create_task(proxy.run_async(muster.Train()))
            await asyncio.get_running_loop().run_in_executor(None, begun.wait, LONG)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(give_up())
        self.assertTrue(cancelled.wait(LONG))


class Forks(Case):
    def run_child(self, run):
        """Runs it in a forked process, which is to end well."""
        child = os.fork()
        if child == 0:
            try:
                run()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_a_child_is_told_that_it_lacks_the_threads_of_its_parent(self):
        """Otherwise, it would wait for them without an end."""

        def use(participant, proxy):
            for function in (
                participant.consume,
                participant.statistics,
                self.manager.get_participants,
                lambda: proxy.run(muster.Train(), LONG),
                lambda: muster.run_all([proxy], muster.Train(), deadline=LONG),
            ):
                with self.assertRaisesRegex(muster.Closed, "is of the process that this one was forked from"):
                    function()
            for function in (
                lambda: muster.connect("127.0.0.1:1"),
                lambda: muster.ParticipantManager("127.0.0.1:0"),
                lambda: muster.join_group("127.0.0.1:1", 2),
                lambda: muster.Coordinator("127.0.0.1:0"),
            ):
                with self.assertRaisesRegex(muster.Unsupported, "spawn"):
                    function()
            mean = muster.Mean()
            mean.add([numpy.ones(3)])
            self.assertEqual(mean.result()[0][0], 1)
            participant.close()
            self.manager.close()

        with self.joined() as (participant, proxy):
            self.run_child(lambda: use(participant, proxy))

    def test_a_child_may_use_what_its_parent_has_used_before(self):
        def use():
            with muster.ParticipantManager("local:" + self.id()) as manager:
                with self.assertRaises(muster.Timeout):
                    manager.get_participants(1, 0.01)

        self.manager.close()
        self.run_child(use)

    def test_a_child_frees_nothing_of_its_parent(self):
        with self.joined() as (participant, proxy):
            child = os.fork()
            if child == 0:
                participant.close()
                self.manager.close()
                os._exit(0)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.in_thread(lambda: participant.consume(LONG).answer(n=1))
            self.assertEqual(proxy.run(muster.Train(), LONG)["n"], 1)


if __name__ == "__main__":
    common.main()
