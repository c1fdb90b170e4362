#!/usr/bin/python3 -B
"""`muster orchestrate` with workers of PyTorch DDP: killed, frozen in a collective, late, interrupted, and failing. The
limit of a collective is longer than the tests: workers that hang in one have to be freed."""

import os
import re
import signal
import subprocess
import sys

import common
import support

PEER = common.PEER.with_name("ddp_peer.py")
DEMO = support.SOURCE / "apps" / "muster" / "orchestrate" / "demo"
EXAMPLE = support.SOURCE / "examples" / "python" / "ddp_worker.py"

os.environ["OMP_NUM_THREADS"] = "1"


class Training(common.Case):
    def demo(self, *options, **environment):
        """./run ddp: what it writes, and its last line in parts."""
        process = self.start(DEMO, support.BUILD, *options, env={**os.environ, **environment})
        output = process.stdout.read()
        self.assertEqual(process.wait(), 0, output + self.errors_of(process))
        final = re.fullmatch(r"final loss ([0-9.]+), (\d+) iterations, (\d+) restarts", output.splitlines()[-1])
        self.assertTrue(final, output)
        return output, float(final[1]), int(final[2]), int(final[3])

    def start_orchestrator(self, *options, **settings):
        command = (support.MUSTER, "orchestrate", "--listen=127.0.0.1:0", "--checkpoint-every=4")
        orchestrator = self.start_on_port(*command, *options, **settings)
        self.address = f"127.0.0.1:{orchestrator.port}"
        return orchestrator

    def start_worker(self, name, *options, **environment):
        environment = {**os.environ, "MUSTER_SERVER": self.address, "MUSTER_NAME": name, **environment}
        return self.start_python(PEER, f"--checkpoints={self.scratch / name}", "--verbose", *options, env=environment)

    def test_the_example_trains(self):
        output, loss, iterations, restarts = self.demo("--workers=2", "--iterations=60")
        self.assertEqual((iterations, restarts), (60, 0))
        self.assertLess(loss, 1.5)
        self.assertLessEqual(len(EXAMPLE.read_text().splitlines()), 60)

    def test_with_a_killed_worker_it_ends_as_without(self):
        options = (f"--worker={PEER}", "--workers=3", "--iterations=20")
        _, loss, iterations, restarts = self.demo(*options)
        self.assertEqual((iterations, restarts), (20, 0))
        # None gets beyond iteration 15 before one is killed.
        output, *numbers = self.demo(*options, "--kill=1", "--seed=3", DDP_HOLD="15")
        self.assertIn("killed worker-", output)
        self.assertEqual(numbers, [loss, 20, 1])

    def test_a_frozen_worker_is_named_and_a_late_one_waits_for_the_next_epoch(self):
        patience = f"--patience={2 * support.SLOWNESS}"
        orchestrator = self.start_orchestrator("--workers=2", "--elastic", "--heartbeat=0.2", patience)
        ada, bob = (self.start_worker(name, DDP_HOLD="6", DDP_LAST_EPOCH="3") for name in ("ada", "bob"))
        for worker in (ada, bob):
            self.read_until(worker, "epoch 1: rank . of 2")
        self.read_until(orchestrator, "checkpoint 4,")
        bob.send_signal(signal.SIGSTOP)
        self.read_until(ada, "epoch 2: rank 0 of 1")
        self.assertRegex(self.errors_of(orchestrator), "(?s)bob is silent.*bob is lost: it is silent for")
        # On another machine, which has no checkpoint.
        cyd = self.start_worker("cyd", DDP_LAST_EPOCH="3", DDP_HOST="another")
        for worker in (ada, cyd):
            self.read_until(worker, "epoch 3: rank . of 2")
            self.assertEqual(worker.wait(), 0, self.errors_of(worker))
        self.assertIn("waiting: the others train", self.errors_of(cyd))
        files = [sorted(path.name for path in (self.scratch / name).iterdir()) for name in ("ada", "cyd")]
        self.assertEqual(files[0], files[1])
        self.assertEqual(len(files[0]), 2)
        self.assertRegex(self.read_until(orchestrator, "^final"), r"\d+ iterations, 1 restarts")
        self.assertEqual(orchestrator.wait(), 0)

    def test_workers_go_on_with_an_orchestrator_that_is_started_again(self):
        options = ("--workers=2", f"--file={self.scratch / 'memory'}")
        orchestrator = self.start_orchestrator(*options)
        workers = [self.start_worker(name, DDP_LAST_EPOCH="2") for name in ("ada", "bob")]
        self.read_until(orchestrator, "checkpoint 4,")
        orchestrator.kill()
        orchestrator.wait()
        again = self.start(support.MUSTER, "orchestrate", f"--listen={self.address}", "--checkpoint-every=4", *options)
        for worker in workers:
            self.read_until(worker, "epoch 2: rank . of 2")
            self.assertEqual(worker.wait(), 0, self.errors_of(worker))
        self.assertRegex(self.read_until(again, "^final"), "0 restarts")

    def test_ctrl_c_ends_a_worker_that_waits_in_a_collective(self):
        orchestrator = self.start_orchestrator("--workers=2", "--elastic")
        ada, bob = (self.start_worker(name, "--iterations=10", DDP_HOLD="6") for name in ("ada", "bob"))
        self.read_until(orchestrator, "checkpoint 4,")
        rank0 = next(each for each in (ada, bob) if "rank 0" in self.read_until(each, "epoch 1"))
        self.read_until(rank0, "iteration 6")
        other = bob if rank0 is ada else ada
        rank0.send_signal(signal.SIGINT)
        self.assertEqual(rank0.wait(common.LONG), -signal.SIGINT)
        self.assertIn("KeyboardInterrupt", self.errors_of(rank0))
        self.read_until(other, "epoch 2: rank 0 of 1")
        self.assertEqual((other.wait(), orchestrator.wait()), (0, 0))

    def test_a_program_that_fails_is_told_with_its_error(self):
        orchestrator = self.start_orchestrator("--workers=2", "--elastic")
        workers = [self.start_worker(name, "--iterations=10", DDP_FAIL="6") for name in ("ada", "bob")]
        self.assertEqual(sorted(worker.wait(common.LONG) for worker in workers), [0, 1])
        self.assertEqual(orchestrator.wait(), 0)
        self.assertRegex(self.errors_of(orchestrator), "is lost: .*ValueError: there is no data")
        self.assertRegex(self.read_until(orchestrator, "^final"), "10 iterations, 1 restarts")


if __name__ == "__main__":
    if subprocess.run(["/usr/bin/python3", "-c", "import torch"], stderr=subprocess.DEVNULL).returncode:
        print("there is no torch (python3-torch)")
        sys.exit(77)
    common.main()
