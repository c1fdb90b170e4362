#!/usr/bin/python3 -B
"""Private trainings of `muster server`, with real processes: what is drawn, what it costs, and what cannot be private."""

import csv
import subprocess

import numpy

import support
from support import BUILD, MUSTER

SPENDING = BUILD / "tests" / "learning" / "spending"
POISSON, FIXED, NONE = 1, 2, 3
PEOPLE = 6
TRAINING = ("--set=train.lr=0.1", "--set=train.epochs=1", "--set=train.batch_size=10")
PRIVATE = ("--privacy-clip=1", "--privacy-noise=2", "--privacy-participants=6")


def spent(sampling, rate, sigma, rounds, delta=1e-5):
    """By the accountant itself, which tests/learning/spending.py compares with another one."""
    line = f"{sampling} {rate!r} {sigma!r} {rounds} {delta!r}\n"
    return float(subprocess.run([SPENDING], input=line, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[1])


class Privacy(support.Case):
    def setUp(self):
        super().setUp()
        numpy.savez(self.scratch / "model.npz", weights=numpy.zeros((60, 10), "f4"), bias=numpy.zeros(10, "f4"))

    def start_training(self, *options, people=PEOPLE, **settings):
        """A server, and everyone who takes part."""
        server = self.start_on_port(
            *(MUSTER, "server", "--listen=127.0.0.1:0", f"--model={self.scratch}/model.npz"),
            *(f"--run={self.scratch}/run", f"--min-participants={people}", *TRAINING, *options),
            **settings,
        )
        for user in range(people):
            self.start_participant(server.port, user)
        return server

    def train(self, *options, people=PEOPLE):
        server = self.start_training(*options, people=people)
        output = server.stdout.read()
        self.assertEqual(server.wait(), 0, self.errors_of(server))
        return output

    def rows(self):
        with open(self.scratch / "run" / "metrics.csv", newline="") as file:
            return list(csv.DictReader(file))

    def expect_epsilons(self, rounds, epsilon):
        """Of each round, in the table."""
        rows = self.rows()
        self.assertEqual([int(row["round"]) for row in rows], list(range(1, rounds + 1)))
        for number, row in enumerate(rows, 1):
            self.assertAlmostEqual(float(row["epsilon"]), epsilon(number), places=4)

    def test_poisson(self):
        output = self.train(*PRIVATE, "--rounds=40", "--fraction=0.25", "--select=1.2")
        self.expect_epsilons(40, lambda rounds: spent(POISSON, 0.3, 2.0, rounds))
        self.assertIn(f"epsilon {spent(POISSON, 0.3, 2.0, 40):.4f}", output)
        # Each draws by itself: the same number in 40 rounds has a chance below 10^-16.
        self.assertGreater(len({row["answered"] for row in self.rows()}), 1)

    def test_nobody_is_drawn(self):
        """A round without anybody has its noise, and counts."""
        self.train(*PRIVATE, "--rounds=8", "--set=select.fraction=1e-6")
        self.assertEqual({row["answered"] for row in self.rows()}, {"0"})
        self.expect_epsilons(8, lambda rounds: spent(POISSON, 1e-6, 2.0, rounds))
        # 8 times noise of 2 over 6e-6.
        model = numpy.load(self.scratch / "run" / "model.npz")
        deviation = numpy.sqrt(8) * 2 / 6e-6
        self.assertLess(abs(numpy.std(model["weights"]) / deviation - 1), 7 / numpy.sqrt(2 * 600))

    def test_a_fixed_number(self):
        self.train(*PRIVATE, "--rounds=10", "--count=2", "--select=1.5", "--privacy-sampling=fixed", "--privacy-delta=1e-3")
        self.expect_epsilons(10, lambda rounds: spent(FIXED, 0.5, 2.0, rounds, 1e-3))
        self.assertEqual({row["answered"] for row in self.rows()}, {"2"})

    def test_everyone(self):
        self.train(*PRIVATE, "--rounds=3", "--privacy-sampling=none", "--strategy=fedadam")
        self.expect_epsilons(3, lambda rounds: spent(NONE, 1.0, 2.0, rounds))
        self.assertEqual({row["answered"] for row in self.rows()}, {"6"})

    def test_a_killed_server_goes_on_with_its_sum(self):
        options = (*PRIVATE, "--rounds=300", "--fraction=0.5")
        for line in ("round 20/", "round 90/"):
            server = self.start_training(*options, stdout=support.IN_STEP)
            self.read_until(server, line)
            server.kill()
            server.wait()
        self.train(*options)
        self.expect_epsilons(300, lambda rounds: spent(POISSON, 0.5, 2.0, rounds))

    def test_a_buffer(self):
        """Nobody is drawn by chance for it. The server is killed in between, with answers in its buffer."""
        options = ("--strategy=fedbuff", "--buffer=4", "--privacy-clip=1", "--privacy-noise=3", "--privacy-sampling=none")
        server = self.start_training(*options, "--rounds=60", stdout=support.IN_STEP)
        self.read_until(server, "round 25/")
        server.kill()
        server.wait()
        self.train(*options, "--rounds=60")
        self.expect_epsilons(60, lambda rounds: spent(NONE, 1.0, 3.0, rounds))
        self.assertEqual({row["answered"] for row in self.rows()}, {"4"})

    def test_nobody_is_in_a_step_twice(self):
        """So a buffer of more than there are never fills."""
        server = self.start_training(
            *("--strategy=fedbuff", f"--buffer={PEOPLE + 1}", "--privacy-clip=1", "--privacy-noise=3"),
            *("--privacy-sampling=none", "--deadline=1", f"--wait={8 * support.SLOWNESS}", "--rounds=1"),
        )
        self.assertEqual(server.wait(), 1)
        self.assertIn("no answer was accepted", self.errors_of(server))
        self.assertFalse((self.scratch / "run" / "round-00000001.npz").exists())

    def test_the_sum_is_missing(self):
        """A round's file without it is damaged: the training does not begin at 0 again."""
        self.train(*PRIVATE, "--rounds=2")
        path = self.scratch / "run" / "round-00000002.npz"
        with numpy.load(path) as saved:
            arrays = {name: saved[name] for name in saved.files if name != "server.privacy"}
        numpy.savez(path, **arrays)
        status, _, errors = self.run_program(
            *(MUSTER, "server", "--listen=127.0.0.1:0", f"--model={self.scratch}/model.npz", f"--run={self.scratch}/run"),
            *(f"--min-participants={PEOPLE}", *TRAINING, *PRIVATE, "--rounds=3"),
        )
        self.assertEqual(status, 1)
        self.assertIn("does not say what its privacy has cost", errors)
        self.assertIn("epsilon is then too low by that round", errors)

    def test_clipping_alone_is_no_privacy(self):
        server = self.start_training("--privacy-clip=1", "--rounds=2")
        self.assertNotIn("epsilon", server.stdout.read())
        self.assertEqual(server.wait(), 0)
        self.assertIn("that is no privacy", self.errors_of(server))
        self.assertNotIn("epsilon", self.rows()[0])

    def test_metrics_are_said_to_be_outside(self):
        server = self.start_training(*PRIVATE, "--rounds=1", "--evaluate=1", "--patience=3")
        self.assertEqual(server.wait(), 0)
        self.assertRegex(self.errors_of(server), "metrics, which model is the best, when the training ends early, is outside")

    def refuse(self, word, *options, model=True):
        given = [f"--model={self.scratch}/model.npz"] if model else []
        status, _, errors = self.run_program(MUSTER, "server", "--listen=127.0.0.1:0", "--rounds=1", "--wait=1", *given, *options)
        self.assertNotEqual(status, 0)
        self.assertIn(word, errors)

    def test_what_cannot_be_private_is_refused(self):
        for strategy in ("qfedavg", "median", "trimmedmean", "krum", "multikrum"):
            self.refuse(f"{strategy} cannot be private", *PRIVATE, f"--strategy={strategy}")
        self.refuse("first model from a participant", *PRIVATE, model=False)
        self.refuse("set privacy.clip (--privacy-clip), too", "--privacy-noise=1", "--privacy-participants=6")
        self.refuse("say how many there are", "--privacy-clip=1", "--privacy-noise=1")
        self.refuse("--at-least 3", *PRIVATE, "--at-least=3")
        self.refuse("enough 3", *PRIVATE, "--enough=3")
        self.refuse("--count (select.count) 7: there are 6", *PRIVATE, "--count=7")
        self.refuse("expected poisson, fixed or none", *PRIVATE, "--privacy-sampling=often")
        self.refuse("set it to poisson or fixed", *PRIVATE, "--privacy-sampling=none", "--fraction=0.5")
        self.refuse("set it to none", *PRIVATE, "--strategy=fedbuff")
        self.refuse("buffer 7: there are 6", *PRIVATE, "--strategy=fedbuff", "--privacy-sampling=none", "--buffer=7")
        self.refuse("use labels", *PRIVATE, "--set=train.for=[{ranks: 0-2, lr: 1}]")
        self.refuse("--privacy-delta 0: expected", *PRIVATE, "--privacy-delta=0")
        self.refuse("--privacy-delta 1: expected", *PRIVATE, "--privacy-delta=1")
        self.refuse("--privacy-noise -1: expected", "--privacy-clip=1", "--privacy-noise=-1")
        self.refuse("noise is 0 or from", "--privacy-clip=1", "--privacy-noise=1e-9", "--privacy-participants=6")
        numpy.savez(self.scratch / "model.npz", weights=numpy.zeros(3, "f4"), seen=numpy.zeros(1, "i8"))
        self.refuse("integers or bools", *PRIVATE)


support.main(MUSTER)
