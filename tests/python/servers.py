#!/usr/bin/python3 -B
"""The server's side in Python: rounds, refusals, events, statistics, and many threads at once."""

import threading

import numpy

import common
from common import LONG
import muster


class Case(common.Case):
    COUNT = 4

    def setUp(self):
        super().setUp()
        self.events, self.warnings = [], []
        self.reported = threading.Event()
        self.manager = muster.ParticipantManager("local:" + self.id(), on_event=self.on_event)
        self.stop = threading.Event()
        self.addCleanup(self.manager.close)
        for number in range(self.COUNT):
            self.in_thread(self.participate, number)
        self.addCleanup(self.manager.close)
        self.addCleanup(self.stop.set)
        self.proxies = sorted(self.manager.get_participants(self.COUNT, LONG), key=lambda proxy: proxy.name)

    def on_event(self, event):
        self.events.append(event)
        if event.kind == "PROGRESS":
            self.reported.set()

    def participate(self, number):
        """Answers with its number; waits first if it is told to."""
        with muster.connect(self.manager.address, name=f"p{number}", on_warning=self.warnings.append) as participant:
            for instruction in participant:
                if number in (instruction.get("waits"), instruction.get("waits_too")):
                    instruction.progress(0.25, loss=3.5)
                    self.stop.wait(LONG)
                if number == instruction.get("fails"):
                    instruction.fail("no data here", 3)
                else:
                    instruction.answer([numpy.full(3, float(number))], number=number)


class Rounds(Case):
    def test_pass_answers_as_they_come(self):
        mean = muster.Mean()
        round = muster.run_all(self.proxies, muster.Train([numpy.zeros(3)]), deadline=LONG)
        for proxy, answer in round:
            self.assertEqual(proxy.name, f"p{answer['number']}")
            mean.add(answer.arrays, weight=1)
        self.assertEqual(mean.result()[0].tolist(), [1.5] * 3)
        self.assertEqual((round.answered, round.late, round.failed), (4, 0, 0))
        self.assertEqual([entry.status for entry in round.entries], ["OK"] * 4)
        self.assertEqual([entry.proxy for entry in round.entries], self.proxies)
        self.assertEqual(list(round), [], "it has ended")

    def test_end_when_enough_have_answered(self):
        round = muster.run_all(self.proxies, muster.Train(waits=3), deadline=LONG, enough=3)
        self.assertEqual(sorted(proxy.name for proxy, _ in round), ["p0", "p1", "p2"])
        self.assertEqual(round.entries[3].status, "CANCELLED")

    def test_tell_who_failed_and_who_was_late(self):
        round = muster.run_all(self.proxies, muster.Train(waits=3, fails=1), deadline=10, at_least=1)
        self.assertEqual(sorted(proxy.name for proxy, _ in round), ["p0", "p2"])
        statuses = [entry.status for entry in round.entries]
        self.assertEqual(statuses, ["OK", "REFUSED", "OK", "TIMEOUT"])
        self.assertEqual(round.entries[1].text, "no data here")
        with self.assertRaisesRegex(muster.TooFew, "."):
            muster.run_all(self.proxies[1:2], muster.Train(fails=1), deadline=LONG).wait()

    def test_refuse_answers(self):
        round = muster.run_all(self.proxies, muster.Train(), deadline=LONG, at_least=1)
        for _, answer in round:
            if answer["number"] == 2:
                answer.refuse(muster.Invalid("the loss is too good"))
        self.assertEqual([entry.status for entry in round.entries], ["OK", "OK", "INVALID", "OK"])
        self.assertEqual(round.entries[2].text, "the loss is too good")
        self.proxies[2].run(muster.Train(), LONG)
        self.assertIn("the loss is too good", "".join(self.warnings))

    def test_with_an_instruction_for_each(self):
        instructions = {proxy: muster.Train(fails=number) for number, proxy in enumerate(self.proxies[:2], 1)}
        numbers = [answer["number"] for _, answer in muster.run_each(instructions, deadline=LONG)]
        self.assertEqual(sorted(numbers), [0, 1])

    def test_that_are_left_are_given_up(self):
        round = muster.run_all(self.proxies, muster.Train(waits=3, waits_too=2), deadline=LONG)
        next(round)
        round.close()
        self.assertEqual([entry.status for entry in round.entries[2:]], ["CANCELLED"] * 2)
        self.stop.set()
        with muster.run_all(self.proxies, muster.Train(), deadline=LONG) as round:
            for _ in round:
                break
        self.assertEqual(len(list(muster.run_all(self.proxies, muster.Train(), deadline=LONG))), 4)

    def test_a_body_that_raises_leaves_nothing_running(self):
        with self.assertRaises(ZeroDivisionError):
            with muster.run_all(self.proxies, muster.Train(waits=0), deadline=LONG) as round:
                for _ in round:
                    1 / 0
        self.stop.set()
        self.assertEqual(self.manager.rounds(), [])
        self.assertEqual(len(list(muster.run_all(self.proxies, muster.Train(), deadline=LONG))), 4)

    def test_of_nobody(self):
        self.assertEqual(list(muster.run_all([], muster.Train())), [])


class Turns(Case):
    def test_progress_and_its_numbers(self):
        round = muster.run_all(self.proxies, muster.Train(waits=0), deadline=LONG)
        for _ in range(3):
            next(round)
        self.assertTrue(self.reported.wait(LONG))
        self.assertEqual((self.proxies[0].progress, self.proxies[0].report), (0.25, {"loss": 3.5}))
        self.stop.set()
        round.wait()
        self.assertIn("PROGRESS", [event.kind for event in self.events])

    def test_prepared(self):
        model = numpy.ones(3)
        prepared = self.manager.prepare(muster.Train([model], fails=9))
        model[:] = 5
        for proxy in self.proxies:
            self.assertEqual(proxy.run(prepared, LONG)["number"], int(proxy.name[1:]))

    def test_busy_and_closed(self):
        round = muster.run_all(self.proxies[:1], muster.Train(waits=0), deadline=LONG)
        while self.proxies[0].progress == 0:
            self.stop.wait(0.01)
        with self.assertRaises(muster.Busy):
            self.proxies[0].run(muster.Train(), LONG)
        self.stop.set()
        round.wait()
        self.proxies[0].close()
        with self.assertRaises(muster.Closed):
            self.proxies[0].run(muster.Train(), LONG)

    def test_events_and_statistics(self):
        self.proxies[0].run(muster.Train(), LONG)
        statistics = self.manager.statistics()
        self.assertEqual((statistics["open"], statistics["joined"]), (4, 4))
        self.assertEqual(statistics["turn_times"]["count"], 1)
        self.assertEqual(self.proxies[0].statistics()["state"], "open")
        self.assertEqual(len(self.manager.participants()), 4)
        self.manager.close()
        kinds = [event.kind for event in self.events]
        self.assertEqual((kinds.count("JOINED"), kinds.count("LEFT")), (4, 4))
        turns = [event for event in self.events if event.kind.startswith("TURN")]
        self.assertEqual([event.kind for event in turns], ["TURN_BEGAN", "TURN_ENDED"])
        self.assertEqual((turns[1].status, turns[1].proxy.name), ("OK", "p0"))
        with self.assertRaises(muster.Closed):
            self.manager.statistics()


class Manyfold(Case):
    COUNT = 8

    def test_eight_threads_in_a_turn(self):
        """All are inside of run() at the same time: the last answers only when all have begun."""
        rounds = threading.Barrier(self.COUNT, timeout=LONG)
        results = []

        def run(proxy):
            rounds.wait()
            results.append(proxy.run(muster.Train(waits=int(proxy.name[1:])), LONG)["number"])

        threads = [threading.Thread(target=run, args=(proxy,)) for proxy in self.proxies]
        for thread in threads:
            thread.start()
        while self.manager.statistics()["turns_running"] < self.COUNT:
            self.stop.wait(0.01)
        self.stop.set()
        for thread in threads:
            thread.join(LONG)
        self.assertEqual(sorted(results), list(range(self.COUNT)))


if __name__ == "__main__":
    common.main()
