#!/usr/bin/python3 -B
"""Asynchronous trainings of `muster server` (FedBuff): what each answer does, who is waited for, and what is left of answers
and of models that are out when the server is killed. MUSTER_TEST_KILLS and MUSTER_TEST_SEED as for server_runs.py."""

import os
import random
import re
import signal
import subprocess
import threading

import numpy

import support
from serving import Serving
from support import MUSTER
from volunteers import adds

KILLS = int(os.environ.get("MUSTER_TEST_KILLS", "5"))
SEED = int(os.environ.get("MUSTER_TEST_SEED", str(random.randrange(1 << 32))))


class Asynchronous(Serving):
    def setUp(self):
        super().setUp()
        self.run_directory = self.scratch / "run"
        self.write_model(w=numpy.zeros(4, "f4"))

    def command(self, *options, port=0):
        return (MUSTER, "server", f"--listen=127.0.0.1:{port}", f"--run={self.run_directory}", "--strategy=fedbuff",
                f"--model={self.scratch}/model.npz", "--set=strategy.eta=1", *options)  # fmt: skip

    def serve_buffer(self, *options, **settings):
        return self.start_on_port(*self.command(*options), **settings)

    def bring_silent(self, port, names):
        """Participants that answer when the test says so."""
        return [self.bring_to(port, name, lambda _: None) for name in names]

    def await_round(self, node, number):
        """Waits until it is told to train on the model after so many rounds."""
        node.await_instruction(lambda seen: seen.kind == "train" and seen.told["round"] == number)

    def await_state(self, server, pattern):
        """Asks for the state again and again until it matches; each time it answers when it has something to say."""
        while True:
            server.send_signal(signal.SIGUSR1)
            text = ""
            while "end of the state" not in text:
                line = server.stderr.readline()
                self.assertTrue(line, "the server has ended")
                text += line
            if re.search(pattern, text):
                return

    def result_of_run(self):
        return self.result("run/model.npz")["w"][0]

    def lead(self, a, b, steps):
        """While b works on the first model, a makes so many steps of 1."""
        self.await_round(b, 0)
        for number in range(steps):
            self.await_round(a, number)
            a.answer(adds(1))
        self.await_round(a, steps)

    def test_each_answer_counts_by_its_age(self):
        """One answer is a step. b's 8 come after three steps, and so count half."""
        server = self.serve_buffer("--rounds=4", "--buffer=1", "--min-participants=2")
        a, b = self.bring_silent(server.port, "ab")
        self.lead(a, b, 3)
        b.answer(adds(8))
        output, _ = self.finish(server)
        self.assertIn("round 4/4: 1 answered, 0 failed", output)
        self.assertEqual(self.result_of_run(), 3 + 8 / 2)

    def test_frozen_participants_hold_nobody_up(self):
        server = self.serve_buffer("--rounds=20", "--buffer=3", "--min-participants=6", "--deadline=3600")
        for number in range(6):
            self.bring(server, f"node-{number}", (lambda _: None) if number < 3 else adds(1))
        self.finish(server)
        rows = self.rows(self.run_directory / "metrics.csv")
        self.assertEqual({row["answered"] for row in rows}, {"3"})
        self.assertEqual(len(rows), 20)

    def test_accepted_answers_survive_a_kill(self):
        """Three of four answers are accepted; their participants say nothing more. The fourth comes after the kill."""
        options = ("--rounds=1", "--buffer=4", "--min-participants=4")
        port = self.reserve_port()
        server = self.start(*self.command(*options, port=port), stderr=subprocess.PIPE)
        nodes = self.bring_silent(port, "abcd")
        for node, step in zip(nodes[:3], (1, 2, 4)):
            node.answer(adds(step))
        self.await_round(nodes[3], 0)
        self.await_state(server, "3 of 4 answers")
        server.kill()
        server.wait()
        told = len(nodes[3].seen)
        server = self.start(*self.command(*options, port=port))
        nodes[3].await_instruction(lambda _: len(nodes[3].seen) > told)
        nodes[3].answer(adds(8))
        output, _ = self.finish(server)
        self.assertIn("round 1/1: 4 answered", output)
        self.assertEqual(self.result_of_run(), 15 / 4)

    def test_the_same_participant_goes_on_with_the_same_model_after_a_kill(self):
        """b works on the first model when the server is killed, three steps later: it gets the first one again."""
        options = ("--rounds=4", "--buffer=1", "--min-participants=2")
        port = self.reserve_port()
        server = self.start(*self.command(*options, port=port))
        a, b = self.bring_silent(port, "ab")
        self.lead(a, b, 3)
        server.kill()
        server.wait()
        told = len(b.seen)
        server = self.start(*self.command(*options, port=port))
        b.await_instruction(lambda _: len(b.seen) > told)
        self.assertEqual(b.seen[-1].told["round"], 0)
        self.assertEqual(b.seen[-1].arrays[0][0], 0)
        b.answer(adds(8))
        self.finish(server)
        self.assertEqual(self.result_of_run(), 3 + 8 / 2)

    def test_an_answer_to_a_model_that_is_long_gone_is_refused(self):
        """A model has 768 KiB, and the budget is 1 MiB: of the two that are out, b's is the older one. b is told, and what it
        answers to a newer model counts."""
        self.write_model(w=numpy.zeros(196608, "f4"))
        server = self.serve_buffer("--rounds=5", "--buffer=1", "--min-participants=3", "--versions-budget=1M")
        a, b, c = self.bring_silent(server.port, "abc")
        self.await_round(c, 0)
        self.lead(a, b, 1)
        c.answer(adds(0))
        self.await_round(c, 2)
        a.answer(adds(1))
        self.await_round(a, 3)
        b.answer(adds(8))
        self.await_round(b, 3)
        self.assertIn("is gone: --versions-budget", b.refused[0])
        b.answer(adds(8))
        self.await_round(b, 4)
        b.answer(adds(8))
        self.finish(server)
        self.assertRegex(self.errors_of(server), r"b: the model after round 0, on which it trained, is gone")
        self.assertEqual(len(b.refused), 1)
        self.assertEqual(round(float(self.result_of_run()), 4), round(1 + 1 / 2**0.5 + 16, 4))

    def test_tests_hold_nobody_up(self):
        """The participant that tests does not answer until the training is over."""
        release = threading.Event()

        def work(instruction):
            if instruction.kind == "train":
                return adds(1)(instruction)
            release.wait()
            return adds(1)(instruction)

        server = self.serve_buffer("--rounds=20", "--buffer=2", "--min-participants=3", "--evaluate=5",
                                   "--set=evaluate.fraction=0.3", "--evaluate-deadline=3600")  # fmt: skip
        for name in "abc":
            self.bring(server, name, work)
        self.read_until(server, "^round 20/")
        release.set()
        output, _ = self.finish(server)
        self.assertIn("test after round", output)

    def test_killed_at_random_instants(self):
        signal.alarm((180 + 5 * KILLS) * support.SLOWNESS)
        chance = random.Random(SEED)
        rounds = 10 * KILLS + 20
        options = (f"--rounds={rounds}", "--buffer=3", "--min-participants=4", "--evaluate=7")
        port = self.reserve_port()
        for number in range(4):
            self.bring_to(port, f"node-{number}", adds(1, loss=1.0))
        told = 0
        for _ in range(KILLS):
            server = self.start(*self.command(*options, port=port))
            for _ in range(chance.choice((0, 1, 2, 5, 9))):
                told += server.stdout.readline().startswith("round ")
            # The fault itself, not a wait for anything.
            timer = threading.Timer(chance.uniform(0, 0.05), server.kill)
            timer.start()
            server.wait()
            timer.cancel()
            told += sum(line.startswith("round ") for line in server.stdout)
            last = max([int(path.stem[6:]) for path in self.run_directory.glob("round-*.npz")], default=0)
            self.assertIn(last, (told, told + 1), f"seed {SEED}")
            told = last
        server = self.start(*self.command(*options, port=port))
        output, errors = self.finish(server)
        numbers = [int(number) for number in re.findall(r"(?m)^round (\d+)/", output)]
        self.assertEqual(numbers, list(range(told + 1, rounds + 1)), f"seed {SEED}")
        rows = self.rows(self.run_directory / "metrics.csv")
        self.assertEqual([int(row["round"]) for row in rows], list(range(1, rounds + 1)))
        self.assertEqual({row["answered"] for row in rows}, {"3"}, f"seed {SEED}")
        # Each answer adds at most 1 / 3, the later the less.
        self.assertTrue(0 < self.result_of_run() <= rounds)
        self.assertNotIn("damaged", errors)
        kept = sorted(path.name for path in self.run_directory.iterdir() if path.name.startswith(("answer", "version")))
        print(f"killed {KILLS} times, seed {SEED}, {rounds} rounds, {told} before the last start; left: {kept}")

    def test_a_full_disk_refuses_answers(self):
        self.write_model(w=numpy.zeros(2048, "f4"))
        limited = ("bash", "-c", 'trap "" XFSZ; ulimit -f 4; exec "$@"', "bash")
        wait = 8 * support.SLOWNESS
        server = self.start_on_port(*limited, *self.command("--rounds=1", "--buffer=2", f"--wait={wait}", "--deadline=1"))
        node = self.bring(server, "a")
        output, errors = self.finish(server, 1)
        self.assertEqual(output, "")
        self.assertIn("File too large", errors)
        server = self.serve_buffer("--rounds=1", "--buffer=2", "--deadline=1")
        node.leave()
        self.bring_all(server, 2)
        self.finish(server)
        self.assertEqual(self.result_of_run(), 1)


support.main(MUSTER)
