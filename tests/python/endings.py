#!/usr/bin/python3 -B
"""How objects end while others still use them: managers with rounds, callbacks, threads, monitors, and whole processes."""

import threading
import urllib.error
import urllib.request
from unittest import mock

import numpy

import common
from common import LONG
import muster
from muster import _call
from muster._muster import ffi, lib


class Case(common.Case):
    def setUp(self):
        super().setUp()
        self.manager = muster.ParticipantManager("local:" + self.id())
        self.addCleanup(self.manager.close)

    def join(self):
        """A participant that answers; its proxy."""

        def run():
            with muster.connect(self.manager.address) as participant:
                for instruction in participant:
                    instruction.answer([numpy.ones(3)])

        self.in_thread(run)
        self.addCleanup(self.manager.close)  # before the thread is waited for
        return self.manager.get_participants(1, LONG)

    def in_time(self, function):
        """Calls it on a thread, which is to end; what it returned."""
        results = []
        thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
        thread.start()
        thread.join(LONG)
        self.assertFalse(thread.is_alive(), "it does not end")
        return results[0]


class Rounds(Case):
    def test_a_manager_is_closed_while_an_answer_of_a_round_waits(self):
        round = muster.run_all(self.join(), muster.Train(), deadline=LONG)
        next(round)
        self.in_time(self.manager.close)
        with self.assertRaises(muster.Error):
            round.wait()
        self.assertEqual(len(round.entries), 1)

    def test_a_manager_is_closed_before_a_round_was_looked_at(self):
        round = muster.run_all(self.join(), muster.Train(), deadline=LONG)
        for _ in range(100 * LONG):
            if round._state.arrivals.qsize():
                break
            threading.Event().wait(0.01)
        self.in_time(self.manager.close)
        round.close()
        round.close()

    def test_two_threads_iterate(self):
        round = muster.run_all(self.join(), muster.Train(), deadline=LONG)
        got = []
        other = threading.Thread(target=lambda: got.extend(round), daemon=True)
        other.start()
        got.extend(self.in_time(lambda: list(round)))
        other.join(LONG)
        self.assertFalse(other.is_alive(), "one never learns that the round has ended")
        self.assertEqual((len(got), len(round.entries)), (1, 1))


class Callbacks(Case):
    """What is dropped in a callback cannot be freed there."""

    def test_drops_a_manager_and_a_participant(self):
        box, dropped, seen = [], threading.Event(), threading.Event()
        warnings = []

        def drop(_):
            box.clear()
            dropped.set()

        other = muster.ParticipantManager("local:other" + self.id(), on_event=lambda event: seen.set())
        box += [other, muster.connect(other.address, on_warning=warnings.append), muster.connect(other.address)]
        address = other.address
        del other
        with muster.ParticipantManager("local:doorman" + self.id(), on_event=drop) as manager:
            muster.connect(manager.address).close()
            self.assertTrue(dropped.wait(LONG))
        self.assertTrue(seen.wait(LONG))
        self.until_free(address)
        self.assertEqual(warnings, [], "it frees nothing there")

    def test_closes_a_participant(self):
        box, came, warnings, begun, closed = [], [], [], threading.Event(), threading.Event()

        def close():
            box[0].close()
            closed.set()

        participant = muster.connect(self.manager.address, on_cancelled=close, on_warning=warnings.append)
        box.append(participant)
        self.in_thread(lambda: (came.append(participant.consume(LONG)), begun.set()))
        with muster.run_all(self.manager.get_participants(1, LONG), muster.Train(), deadline=LONG):
            self.assertTrue(begun.wait(LONG))
        self.assertTrue(closed.wait(LONG))
        with self.assertRaises(muster.Closed):
            came[0].progress(0.5)
        self.assertEqual(warnings, [], "it frees nothing there")

    def until_free(self, address):
        """Waits until an address can be listened on again."""
        for _ in range(100 * LONG):
            try:
                return muster.ParticipantManager(address).close()
            except muster.Exists:
                threading.Event().wait(0.01)
        self.fail("the manager was not freed")


class Errors(Case):
    """An error's traceback keeps frames of the package: the end of a `with` does not take them for calls that go on."""

    def raises(self, error, make, *uses):
        def run(use):
            with self.assertRaises(error), make() as owner:
                use(owner)

        with mock.patch.object(_call, "COME_OUT", 10.0 * LONG):
            for use in uses:
                run(use)
                self.in_time(lambda use=use: run(use))

    def test_in_a_participant(self):
        def connect():
            return muster.connect(self.manager.address)

        self.raises(muster.Invalid, connect, lambda participant: participant.dispatch(muster.Train()))
        self.raises(muster.Timeout, connect, lambda participant: participant.consume(0.01))

    def test_in_a_manager(self):
        def listen():
            return muster.ParticipantManager("local:other" + self.id())

        self.raises(muster.Invalid, listen, lambda manager: manager.prepare(muster.Failure("x")))
        self.raises(muster.Timeout, listen, lambda manager: manager.get_participants(1, 0.01))

    def test_in_a_group(self):
        address = "local:coordinator" + self.id()
        with muster.Coordinator(address):
            self.raises(muster.Invalid, lambda: muster.join_group(address, 1), lambda group: group.receive(1, timeout=LONG))
            self.raises(TypeError, lambda: muster.join_group(address, 1), lambda group: group.send("0", []))

    def test_in_a_coordinator(self):
        def listen():
            return muster.Coordinator("local:coordinator" + self.id())

        self.raises(muster.Timeout, listen, lambda coordinator: coordinator.wait("x", 0.01))


class Threads(Case):
    def test_closed_while_others_wait(self):
        """The object is freed when they have come out."""
        for count in range(20):
            participant = muster.connect(self.manager.address, name=f"p{count}")
            inside = [participant.consume] * 2 + [lambda: self.manager.get_participants(50)] * (count == 0)
            ended = []

            def run(function):
                try:
                    function()
                except (muster.Closed, muster.Stopped) as error:
                    ended.append(error)

            threads = [threading.Thread(target=run, args=(each,), daemon=True) for each in inside]
            for thread in threads:
                thread.start()
            participant.close()
            for thread in threads[:2]:
                thread.join(LONG)
            self.assertEqual(len(ended), 2)
        self.manager.close()

    def test_is_not_freed_under_those_who_are_inside(self):
        participant = muster.connect(self.manager.address)
        inside, ended = participant._live, threading.Event()  # as a thread has it that is in a function

        def close():
            participant.close()
            ended.set()

        with mock.patch.object(_call, "COME_OUT", 10.0 * LONG):
            self.in_thread(close)
            self.assertFalse(ended.wait(0.3), "it was freed")
            del inside
            self.assertTrue(ended.wait(LONG))


class Jobs(Case):
    """Calls on other threads, which Ctrl-C may leave at any instant."""

    def begin(self):
        """A turn that nobody answers, and how to give it up."""
        (proxy,) = self.manager.get_participants(1, LONG)
        begun = ffi.new("struct muster_job **")
        self.kept = (muster.Train()._build(), ffi.new("struct muster_message *"), ffi.new("struct muster_error *"))
        built, answer, record = self.kept
        lib.muster_begin_proxy_run(proxy._pointer, built.message, lib.MUSTER_NO_LIMIT, answer, record, begun)
        return begun[0], proxy

    def consume(self):
        def run():
            with muster.connect(self.manager.address) as participant:
                for _ in participant:
                    self.stop.wait(LONG)

        self.stop = threading.Event()
        self.in_thread(run)
        self.addCleanup(self.manager.close)
        self.addCleanup(self.stop.set)

    def test_whose_end_was_not_heard(self):
        self.consume()
        for _ in range(2):
            job, proxy = self.begin()
            self.assertFalse(lib.muster_job_wait(job, 0))
            while not lib.muster_job_wait(job, 1):
                proxy.cancel()
            self.assertTrue(lib.muster_job_wait(job, 0), "once more")
            self.assertEqual(lib.muster_job_end(job), lib.MUSTER_CANCELLED)

    def test_given_up_while_signals_come(self):
        self.consume()
        job, proxy = self.begin()
        calls = []

        def give_up():
            calls.append(1)
            if len(calls) < 3:
                raise KeyboardInterrupt
            if len(calls) > 4:  # one that came too early
                proxy.cancel()

        self.in_time(lambda: _call._finish(job, give_up))


class Monitors(Case):
    def test_hosts_and_warnings(self):
        warnings = []
        with muster.Monitor("127.0.0.1:0", hosts=["box.example"], on_warning=warnings.append) as monitor:
            url = f"http://127.0.0.1:{monitor.port}/metrics"
            for host, status in (("box.example", 200), ("evil.example", 421)):
                try:
                    request = urllib.request.Request(url, headers={"Host": host})
                    self.assertEqual(urllib.request.urlopen(request, timeout=LONG).status, status)
                except urllib.error.HTTPError as error:
                    self.assertEqual(error.code, status)
        self.assertEqual(warnings, [])
        muster.Monitor("0.0.0.0:0", anywhere=True, on_warning=warnings.append).close()
        self.assertIn("without a token", warnings[0])

    def test_what_is_shown_is_closed_first(self):
        with muster.Monitor("127.0.0.1:0") as monitor:
            with muster.ParticipantManager("local:shown" + self.id()) as manager:
                monitor.show(manager, "mine")
                url = f"http://127.0.0.1:{monitor.port}/metrics"
                self.assertIn("mine", urllib.request.urlopen(url, timeout=LONG).read().decode())
            self.assertNotIn("mine", urllib.request.urlopen(url, timeout=LONG).read().decode())


class Processes(common.Case):
    """A process ends, whatever is still open in it."""

    BEFORE = """
import sys, threading, numpy, common, muster
manager = muster.ParticipantManager("127.0.0.1:0", on_event=lambda event: None)
started = threading.Event()
def follow(wait):
    participant = muster.connect(manager.address)
    for instruction in participant:
        started.set()
        if wait:
            threading.Event().wait()
        instruction.answer([numpy.ones(3)])
def follow_on_a_thread(wait=False):
    threading.Thread(target=follow, args=(wait,), daemon=True).start()
    return manager.get_participants(1, 100)
"""
    ENDS = {
        "a round half iterated": "round = muster.run_all(follow_on_a_thread(), muster.Train()); next(round)",
        "a round that is not iterated": "round = muster.run_all(follow_on_a_thread(), muster.Train()); started.wait()",
        "a turn on a thread": """
proxy, = follow_on_a_thread(True)
threading.Thread(target=lambda: proxy.run(muster.Train()), daemon=True).start(); started.wait()""",
        "a participant of the main thread": "mine = muster.connect(manager.address)",
        "those who wait for more": """
threading.Thread(target=lambda: manager.get_participants(9), daemon=True).start(); follow_on_a_thread()""",
    }

    def test_ends(self):
        for what, code in self.ENDS.items():
            with self.subTest(what):
                folder = str(common.PEER.parent)
                program = self.start_python("-c", f"import sys; sys.path.insert(0, {folder!r})" + self.BEFORE + code)
                self.assertEqual(program.wait(LONG), 0, self.errors_of(program))


if __name__ == "__main__":
    common.main()
