#!/usr/bin/python3 -B
"""Run directories of `muster server`: killed at random instants, out of disk, begun with other settings. MUSTER_TEST_KILLS
says how often the server is killed, MUSTER_TEST_SEED when."""

import os
import random
import re
import shutil
import signal
import threading

import numpy

import support
from serving import Serving
from support import MUSTER
from volunteers import adds

KILLS = int(os.environ.get("MUSTER_TEST_KILLS", "5"))
SEED = int(os.environ.get("MUSTER_TEST_SEED", str(random.randrange(1 << 32))))

# A limit on the size of files stands in for a full disk.
LIMITED = ("bash", "-c", 'trap "" XFSZ; ulimit -f "$0"; exec "$@"')


class Runs(Serving):
    def setUp(self):
        super().setUp()
        self.run_directory = self.scratch / "run"
        self.write_model(w=numpy.zeros(4, "f4"))

    def command(self, *options, port=0, directory=None):
        return (MUSTER, "server", f"--listen=127.0.0.1:{port}", f"--run={directory or self.run_directory}", *options)

    def refused(self, *options):
        status, output, errors = self.run_program(*self.command(*options))
        self.assertEqual((status, output), (1, ""), errors)
        return errors

    def files(self):
        return {path.name: path.read_bytes() for path in self.run_directory.iterdir()}

    def state(self, number, directory=None):
        with numpy.load((directory or self.run_directory) / f"round-{number:08}.npz") as file:
            return {name: file[name] for name in file.files}

    def last_round(self):
        return max([int(path.stem[6:]) for path in self.run_directory.glob("round-*.npz")], default=0)


class Killed(Runs):
    # What a participant adds differs, and one fails now and then: Adam and the average remember all of it.
    OPTIONS = ("--strategy=fedadam", "--average=0.9", "--set=strategy.eta=0.1", "--fraction=0.75", "--evaluate=3",
               "--min-participants=4", "--set=train.lr=0.5", "--seed=5", "--patience=1000")  # fmt: skip

    def bring_four(self, port):
        def work(step):
            def train(instruction):
                if instruction.kind == "train" and step == 2 and instruction.told["round"] % 5 == 1:
                    return "not now"
                return adds(step, samples=step + 1, loss=float(step))(instruction)

            return train

        return [self.bring_to(port, f"node-{step}", work(step)) for step in range(4)]

    def test_killed_at_random_instants(self):
        signal.alarm((180 + 5 * KILLS) * support.SLOWNESS)
        chance = random.Random(SEED)
        rounds = 10 * KILLS + 20
        model = f"--model={self.scratch}/model.npz"
        options = (*self.OPTIONS, f"--rounds={rounds}", model)
        reference = self.scratch / "reference"
        port = self.reserve_port()
        server = self.start(*self.command(*options, port=port, directory=reference))
        nodes = self.bring_four(port)
        self.finish(server)
        for node in nodes:
            node.leave()

        port = self.reserve_port()
        self.bring_four(port)
        told = 0
        for _ in range(KILLS):
            server = self.start(*self.command(*options, port=port))
            for _ in range(chance.choice((0, 1, 2, 5, 9))):
                line = server.stdout.readline()
                told += line.startswith("round ")
            # The fault itself, not a wait for anything.
            timer = threading.Timer(chance.uniform(0, 0.05), server.kill)
            timer.start()
            server.wait()
            timer.cancel()
            told += sum(line.startswith("round ") for line in server.stdout)
            last = self.last_round()
            self.assertIn(last, (told, told + 1), f"seed {SEED}")
            told = last
        server = self.start(*self.command(*options, port=port))
        output, _ = self.finish(server)
        numbers = [int(number) for number in re.findall(r"(?m)^round (\d+)/", output)]
        self.assertEqual(numbers, list(range(told + 1, rounds + 1)), f"seed {SEED}")

        expected, state = self.state(rounds, reference), self.state(rounds)
        self.assertEqual(state.keys(), expected.keys())
        for name in state.keys() - {"metrics_size"}:  # which depends on how long the rounds took
            numpy.testing.assert_allclose(state[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=f"{name}, seed {SEED}")
        columns = ("round", "answered", "failed", "train_loss")
        for table, names in (("metrics.csv", columns), ("evaluations.csv", ("round", "metric", "value"))):
            rows, others = (self.rows(directory / table) for directory in (self.run_directory, reference))
            self.assertEqual([[row[name][:8] for name in names] for row in rows],
                             [[row[name][:8] for name in names] for row in others], f"{table}, seed {SEED}")  # fmt: skip
        for name in ("best.npz", "model.npz"):
            with numpy.load(self.run_directory / name) as file, numpy.load(reference / name) as other:
                numpy.testing.assert_allclose(file["w"], other["w"], rtol=1e-5)
        print(f"killed {KILLS} times, seed {SEED}, {rounds} rounds, {told} of them before the last start")

    def test_a_first_model_that_was_told_is_kept(self):
        """The participant that gave it is gone when the server comes back; nobody else has one."""
        server = self.start_on_port(*self.command("--rounds=1", "--min-participants=2", "--deadline=600"))
        giver = self.bring(server, "a", lambda i: None if i.arrays else ([numpy.full(3, 7, "f4")], {}))
        other = self.bring(server, "b", lambda i: None if i.arrays else "I have none")
        for node in (giver, other):
            node.await_instruction(lambda seen: seen.arrays)
        server.kill()
        server.wait()
        giver.leave()
        other.leave()
        self.assertIn("the first model is a's", self.errors_of(server))
        server = self.start_on_port(*self.command("--rounds=1", "--min-participants=2", "--deadline=600"))
        for name in "cd":
            self.bring(server, name, lambda i: adds(1)(i) if i.arrays else "I have none")
        self.finish(server)
        numpy.testing.assert_array_equal(self.result("run/model.npz")["arr_0"], numpy.full(3, 8, "f4"))


class FullDisk(Runs):
    def serve_limited(self, blocks, *options):
        return self.start_on_port(*LIMITED, blocks, *self.command(*options))

    def test_an_answer_that_cannot_be_spooled(self):
        """3 answers of 8 KiB go to one file, which may have 20 KiB: the third is refused, and the round is void."""
        self.write_model(w=numpy.zeros(2048, "f4"))
        options = ("--rounds=2", f"--model={self.scratch}/model.npz", "--strategy=trimmedmean", "--min-participants=3")
        server = self.serve_limited(20, *options)
        nodes = self.bring_all(server, 3)
        _, errors = self.finish(server, 1)
        self.assertIn("File too large", errors)
        self.assertIn("round 1 is void, and the model stays", errors)
        for node in nodes:
            node.thread.join()  # what the server said last may be read when it has ended
        self.assertEqual(sum(len(node.refused) for node in nodes), 2)
        self.assertEqual([row["answered"] for row in self.rows(self.run_directory / "metrics.csv")], ["2", "2"])
        # With room the run goes on.
        server = self.start_on_port(*self.command(*options, "--rounds=4"))
        self.bring_all(server, 3)
        self.finish(server)
        self.assertEqual(self.result("run/model.npz")["w"][0], 2)
        self.assertFalse((self.run_directory / "answers.spool").exists())

    def test_a_round_that_cannot_be_kept_is_not_told(self):
        self.write_model(w=numpy.zeros(2048, "f4"))
        options = ("--rounds=3", f"--model={self.scratch}/model.npz", "--strategy=fedadam")
        server = self.serve_limited(12, *options)
        self.bring(server, "a")
        output, errors = self.finish(server, 1)
        self.assertEqual(output, "")
        self.assertIn("round-00000001.npz: writing: File too large", errors)
        server = self.start_on_port(*self.command(*options))
        self.bring(server, "a")
        output, _ = self.finish(server)
        self.assertIn("round 1/3", output)

    def test_a_round_that_cannot_be_kept_is_not_recorded(self):
        """There is room for the model alone, which is recorded at the end."""
        _, _, errors = self.run_program(MUSTER, "server", "--record=csv:none", "--rounds=none")
        if "--with-record" in errors:
            self.skipTest("this build has no records")
        self.write_model(w=numpy.zeros(2048, "f4"))
        server = self.serve_limited(12, "--rounds=3", f"--model={self.scratch}/model.npz", "--strategy=fedadam",
                                    f"--record=csv:{self.scratch}/record.csv")  # fmt: skip
        self.bring(server, "a")
        _, errors = self.finish(server, 1)
        self.assertIn("round-00000001.npz: writing: File too large", errors)
        self.assertFalse((self.run_directory / "model.npz").exists())


class Starting(Runs):
    def hold(self, *options):
        server = self.start_on_port(*self.command(f"--model={self.scratch}/model.npz", *options))
        node = self.bring(server, "a")
        output, errors = self.finish(server)
        node.leave()
        return output, errors

    def test_other_settings_are_refused_and_nothing_is_touched(self):
        options = ("--rounds=2", "--set=train.lr=0.1", "--set=train.for=[{ranks: 0, lr: 1}]")
        self.hold(*options)
        before, model = self.files(), f"--model={self.scratch}/model.npz"
        for others, was in (
            ((*options, "--strategy=fedavgm"), 'strategy.name "fedavg", not "fedavgm"'),
            ((*options, "--fraction=0.5"), "select.fraction 1.0, not 0.5"),
            ((*options, "--set=train.lr=0.2"), "train.lr 0.1, not 0.2"),
            ((*options, "--set=train.epochs=2"), "train.epochs unset, not 2.0"),
            (options[:2], "train.for [ { "),
            (("--rounds=2", options[2]), "train.lr 0.1, not unset"),
        ):
            errors = self.refused(model, *others)
            self.assertIn(re.sub(r"\s+", " ", was), re.sub(r"[\s?]+", " ", errors))
            self.assertIn("--overwrite", errors)
        self.assertEqual(self.files(), before)
        self.hold(*options, "--strategy=fedavgm", "--overwrite")

    def test_more_rounds_and_fewer(self):
        self.hold("--rounds=3")
        _, errors = self.hold("--rounds=5")
        self.assertIn("going on after round 3 of 5", errors)
        self.assertIn(f"--model {self.scratch}/model.npz is not read: the run in {self.run_directory} goes on", errors)
        status, output, errors = self.run_program(*self.command(f"--model={self.scratch}/model.npz", "--rounds=2"))
        self.assertEqual(status, 0)
        self.assertRegex(errors, "the run in .* is complete, with 5 rounds")
        self.assertNotIn("of 2", errors)
        self.assertEqual(output, "final after 5 rounds\n")

    def test_a_damaged_round_can_be_removed(self):
        self.hold("--rounds=3")
        path = self.run_directory / "round-00000003.npz"
        path.write_bytes(path.read_bytes()[:-40])
        errors = self.refused(f"--model={self.scratch}/model.npz", "--rounds=4")
        self.assertIn("round-00000003.npz", errors)
        path.unlink()
        output, _ = self.hold("--rounds=4")
        self.assertIn("round 3/4", output)
        self.assertEqual(self.result("run/model.npz")["w"][0], 4)

    def test_overwritten_runs_leave_nothing(self):
        self.hold("--rounds=2", "--evaluate=1")
        shutil.copy(self.run_directory / "best.npz", self.run_directory / "first.npz")
        self.hold("--rounds=1", "--overwrite")
        self.assertEqual(sorted(self.files()), ["lock", "metrics.csv", "model.npz", "muster-run.json", "round-00000001.npz"])

    def test_bad_paths_are_told_before_training(self):
        model = f"--model={self.scratch}/model.npz"
        for option, text in (
            (f"--result={self.scratch}", "Is a directory"),
            ("--result=/nowhere/model.npz", "No such file or directory"),
            ("--metrics=/nowhere/metrics.csv", "No such file or directory"),
        ):
            status, _, errors = self.run_program(MUSTER, "server", "--listen=127.0.0.1:0", model, option)
            self.assertEqual(status, 1)
            self.assertIn(text, errors)
            self.assertNotIn("listening", errors)

    def test_what_is_no_model(self):
        numpy.save(self.scratch / "model.npy", numpy.zeros(3))
        (self.scratch / "model.pt").write_bytes(b"PK nothing")
        for name in ("model.npy", "model.pt"):
            status, _, errors = self.run_program(MUSTER, "server", f"--model={self.scratch}/{name}")
            self.assertEqual(status, 1)
            self.assertIn("numpy.savez(", errors)
            self.assertEqual(errors.count(name), 1, errors)


support.main(MUSTER)
