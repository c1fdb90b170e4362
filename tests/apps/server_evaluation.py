#!/usr/bin/python3 -B
"""Tests of the model by participants of `muster server`: their means, the best model, when training stops early, and what
participants say that mean no good."""

import math
import signal
import threading

import numpy

import support
from serving import Serving
from support import MUSTER
from volunteers import adds


def says(samples=1, step=1, **metrics):
    """Trains as the others, and says these metrics of any model."""

    def work(instruction):
        if instruction.kind == "train":
            return adds(step)(instruction)
        return [], {"num_samples": samples, **metrics}

    return work


class Evaluation(Serving):
    def setUp(self):
        super().setUp()
        self.run_directory = self.scratch / "run"

    def serve_run(self, *options, **settings):
        return self.serve(f"--run={self.run_directory}", *options, **settings)

    def table(self):
        return [(int(row["round"]), row["metric"], float(row["value"]))
                for row in self.rows(self.run_directory / "evaluations.csv")]  # fmt: skip

    def test_means_are_weighted_by_the_numbers_of_samples(self):
        server = self.serve_run("--rounds=1", "--evaluate=1", "--min-participants=2")
        self.bring(server, "a", says(3, accuracy=0.5, loss=2.0))
        self.bring(server, "b", says(1, accuracy=1.0, loss=4.0))
        output, _ = self.finish(server)
        self.assertIn("test after round 1: 2 answered, 0 failed, accuracy 0.6250, loss 2.5000 (the best so far)", output)
        self.assertEqual(self.table(), [(1, "accuracy", 0.625), (1, "loss", 2.5)])

    def test_the_model_is_tested_every_few_rounds_and_after_the_last(self):
        server = self.serve_run("--rounds=5", "--evaluate=2")
        node = self.bring(server, "a")
        self.finish(server)
        self.assertEqual([number for number, _, _ in self.table()], [2, 4, 5])
        tested = [seen.arrays[0][0] for seen in node.seen if seen.kind == "evaluate"]
        self.assertEqual(tested, [2, 4, 5])

    def test_training_stops_early_and_the_best_model_is_kept(self):
        """The model gets better until 10, and worse afterwards."""
        options = ("--rounds=40", "--evaluate=1", "--patience=3")
        server = self.serve_run(*options)
        self.bring(server, "a")
        output, errors = self.finish(server)
        self.assertIn("stopped early after round 13: no model was better than that of round 10, loss 0", errors)
        self.assertIn(", which is in ", errors)
        status, _, errors = self.run_program(*server.args, "--rounds=99")
        self.assertEqual(status, 0, errors)
        self.assertRegex(errors, "the run in .* stopped early, after round 13")
        self.assertNotIn("round 14/", output)
        self.assertEqual(self.result("run/best.npz")["w"][0], 10)
        self.assertEqual(self.result("run/model.npz")["w"][0], 13)
        # The same command has nothing to do.
        server = self.start(MUSTER, "server", f"--run={self.run_directory}", f"--model={self.write_model()}", *options)
        output, errors = self.finish(server)
        self.assertNotIn("round ", output.replace("rounds", ""))
        self.assertNotIn("listening", errors)

    def test_a_little_better_does_not_count(self):
        """Each step makes the loss better by 1: less than 1.5."""
        server = self.serve_run("--rounds=9", "--evaluate=1", "--patience=2", "--min-delta=1.5")
        self.bring(server, "a")
        _, errors = self.finish(server)
        # Round 3 is better than round 1 by 2, round 5 than round 3, and so on.
        self.assertNotIn("stopped early", errors)
        self.assertEqual(self.result("run/best.npz")["w"][0], 9)

    def test_more_is_better_of_an_accuracy(self):
        def work(instruction):
            if instruction.kind == "train":
                return adds(1)(instruction)
            return [], {"num_samples": 1, "accuracy": {1: 0.1, 2: 0.9}.get(instruction.arrays[0][0], 0.5)}

        server = self.serve_run("--rounds=9", "--evaluate=1", "--metric=accuracy", "--patience=2")
        self.bring(server, "a", work)
        _, errors = self.finish(server)
        self.assertIn("stopped early after round 4: no model was better than that of round 2, accuracy 0.9", errors)
        self.assertEqual(self.result("run/best.npz")["w"][0], 2)

    def test_patience_goes_on_after_a_kill(self):
        options = ("--rounds=40", "--evaluate=1", "--patience=3")
        for line in ("round 5/", "test after round 11:"):
            server = self.serve_run(*options, stdout=support.IN_STEP)
            node = self.bring(server, "a")
            self.read_until(server, line)
            server.kill()
            server.wait()
            node.leave()
        server = self.serve_run(*options)
        self.bring(server, "a")
        _, errors = self.finish(server)
        self.assertIn("stopped early after round 13: no model was better than that of round 10, loss 0", errors)
        self.assertEqual(self.result("run/best.npz")["w"][0], 10)
        self.assertEqual([number for number, _, _ in self.table()], list(range(1, 14)))

    def test_a_test_that_is_not_answered_holds_nobody_up_for_ever(self):
        for limit in (3, 30 * support.SLOWNESS):  # on a busy machine the others, too, may not answer within 3 s
            server = self.serve("--rounds=2", "--evaluate=1", f"--evaluate-deadline={limit}", "--min-participants=2")
            self.bring(server, "a", says(1, loss=1.0))
            self.bring(server, "b", lambda instruction: adds(1)(instruction) if instruction.kind == "train" else None)
            output, errors = self.finish(server)
            if output.count(": 1 answered, 1 failed, loss ") == 2:
                break
        self.assertIn("test after round 2: 1 answered, 1 failed, loss 1.0000", output)
        self.assertIn("test after round 1: b: no answer within the limit (no answer came within --evaluate-deadline)", errors)
        self.assertNotIn("test after round 2: b", errors)

    def test_a_long_test_does_not_end_an_asynchronous_training(self):
        """It takes longer than answers may be missing."""

        def work(instruction):
            if instruction.kind == "evaluate":
                threading.Event().wait(5.5)  # the fault itself
            return adds(1)(instruction)

        server = self.serve_run("--strategy=fedbuff", "--buffer=1", "--rounds=2", "--evaluate=1", "--deadline=1",
                                "--wait=4", "--evaluate-deadline=3600")  # fmt: skip
        self.bring(server, "a", work)
        self.finish(server)

    def test_a_table_that_was_cut(self):
        """What is left of it stays, and what comes follows at once."""
        options = ("--rounds=2", "--evaluate=1")
        server = self.serve_run(*options)
        self.bring(server, "a")
        self.finish(server)
        path = self.run_directory / "evaluations.csv"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
        server = self.serve_run("--rounds=3", "--evaluate=1")
        self.bring(server, "a")
        self.finish(server)
        self.assertEqual(self.table(), [(1, "loss", 9), (3, "loss", 7)])

    def test_nobody_tests(self):
        server = self.serve_run("--rounds=2", "--evaluate=1", "--patience=1")
        self.bring(server, "a", lambda instruction: adds(1)(instruction) if instruction.kind == "train" else "I cannot")
        output, errors = self.finish(server)
        self.assertIn("round 2/2", output)
        self.assertIn("nobody tested the model after round 2", errors)
        self.assertFalse((self.run_directory / "best.npz").exists())

    def test_hostile_metrics(self):
        """Two honest participants and many that are not: neither names nor values of these get anywhere."""
        bad = {
            "long": {"x" * 64: 1.0},
            "line": {"loss\nround 3": 1.0},
            "comma": {"a,b": 1.0},
            "nan": {"loss": math.nan},
            "endless": {"loss": -math.inf},
            "huge": {"loss": 1e300},
            "many": {f"m{number}": 1.0 for number in range(100)},
            "samples": {"num_samples": -5, "loss": 1.0},
        }
        server = self.serve_run("--rounds=1", "--evaluate=1", f"--min-participants={len(bad) + 5}")
        nodes = {name: self.bring(server, name, says(1, **metrics)) for name, metrics in bad.items()}
        # These are accepted, and what they make up does not show: of 5 answers each has one.
        for number in range(2):
            self.bring(server, f"liar-{number}", says(1, loss=2.0, **{f"up{number}_{i}": 1.0 for i in range(30)}))
        for number in range(3):
            self.bring(server, f"honest-{number}", says(1, loss=2.0, accuracy=0.5))
        output, errors = self.finish(server)
        self.assertIn(f"test after round 1: 5 answered, {len(bad)} failed, accuracy 0.5000, loss 2.0000 (", output)
        for name in bad:
            self.assertIn(f"test after round 1: {name}: ", errors)
            nodes[name].await_refusals(1)
            self.assertEqual(len(nodes[name].refused), 1)
        self.assertEqual([name for _, name, _ in self.table()], ["accuracy", "loss"])

    def test_a_metric_that_nobody_says(self):
        server = self.serve_run("--rounds=1", "--evaluate=1", "--metric=f1")
        self.bring(server, "a")
        _, errors = self.finish(server)
        self.assertIn("has no metric 'f1'", errors)

    def test_a_signal_during_a_test_ends_the_server(self):
        told = threading.Event()

        def work(instruction):
            if instruction.kind == "train":
                return adds(1)(instruction)
            told.set()
            return None

        server = self.serve_run("--rounds=2", "--evaluate=1", "--stop-within=1")
        self.bring(server, "a", work)
        told.wait()
        server.terminate()
        self.finish(server, 128 + signal.SIGTERM)
        self.assertEqual(self.result("run/model.npz")["w"][0], 1)
        numpy.testing.assert_array_equal(len(self.rows(self.run_directory / "metrics.csv")), 1)


support.main(MUSTER)
