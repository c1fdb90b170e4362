#!/usr/bin/python3 -B
"""What an asynchronous training keeps between two rounds: its answers and the models that they belong to."""

import threading

import numpy

import support
from support import MUSTER
from volunteers import Volunteer, adds


class Journal(support.Case):
    def setUp(self):
        super().setUp()
        self.run_directory = self.scratch / "run"
        numpy.savez(self.scratch / "model.npz", w=numpy.zeros(4, "f4"))

    def serve(self, *options):
        return self.start_on_port(
            *(MUSTER, "server", "--listen=127.0.0.1:0", "--strategy=fedbuff", f"--model={self.scratch}/model.npz"),
            *(f"--run={self.run_directory}", *options),
        )

    def bring(self, server, name, work):
        volunteer = Volunteer(server.port, name, work)
        self.addCleanup(volunteer.leave)
        return volunteer

    def kill(self, server):
        server.kill()
        server.wait()

    def bring_stuck(self, server, *names):
        """Those who never answer: when this returns, they were told to train."""
        told = [threading.Event() for _ in names]
        for name, event in zip(names, told, strict=True):
            self.bring(server, name, lambda _, event=event: event.set())
        for event in told:
            event.wait()

    def leave_a_late_answer(self, *options):
        """Kills a server after round 1, when there is one answer for the next round, to the model before round 1."""
        server = self.serve(*options)
        moved, kept = threading.Event(), threading.Event()

        def fast(instruction):
            if instruction.told["round"] == 0:
                return adds(1)(instruction)
            moved.set()
            return None

        def late(instruction):
            if instruction.told["round"] == 0:
                moved.wait()
                return adds(8)(instruction)
            kept.set()
            return None

        self.bring(server, "late", late)
        self.bring(server, "fast", fast)
        kept.wait()
        self.kill(server)
        self.assertEqual(len(list(self.run_directory.glob("answer-*.npz"))), 1)

    def test_killed_again_before_the_round_is_complete(self):
        """The model that a kept answer was trained on stays as long as the answer."""
        options = ("--count=2", "--min-participants=2", "--buffer=3", "--rounds=2")
        self.leave_a_late_answer(*options)
        for _ in range(2):
            server = self.serve(*options)
            self.bring_stuck(server, "fast", "late")
            self.kill(server)
        server = self.serve(*options, f"--result={self.scratch}/result.npz")
        self.bring(server, "fast", adds(1))
        self.bring(server, "late", adds(1))
        server.stdout.read()
        self.assertEqual(server.wait(), 0, self.errors_of(server))
        with numpy.load(self.scratch / "result.npz") as result:
            # 1, and the mean of 8 that comes one step late and twice 1.
            numpy.testing.assert_allclose(result["w"], numpy.full(4, 1 + (8 / 2**0.5 + 2) / 3), rtol=1e-6)

    def test_what_is_damaged_is_told_and_an_answer_can_be_removed(self):
        options = ("--count=2", "--min-participants=2", "--buffer=3", "--rounds=2")
        self.leave_a_late_answer(*options)
        numpy.savez(self.run_directory / "version-00000000.npz", w=numpy.full(4, numpy.nan, "f4"))
        server = self.serve(*options)
        self.bring(server, "fast", adds(1))
        self.bring(server, "late", adds(1))
        self.assertEqual(server.wait(), 1)
        errors = self.errors_of(server)
        self.assertIn("version-00000000.npz: array 0", errors)
        self.assertIn("element 0 is NaN", errors)
        self.assertIn("remove its file", errors)
        next(self.run_directory.glob("answer-*.npz")).unlink()
        server = self.serve(*options)
        self.bring(server, "fast", adds(1))
        self.bring(server, "late", adds(1))
        server.stdout.read()
        self.assertEqual(server.wait(), 0, self.errors_of(server))


if __name__ == "__main__":
    support.main()
