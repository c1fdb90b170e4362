#!/usr/bin/python3 -B
"""`muster orchestrate` with workers that train nothing (recruits.py): ranks and rendezvous, one too many, one that is killed,
frozen or late, checkpoints, an orchestrator that is killed, and Ctrl-C. Workers are threads of the test, but for those that are
killed or frozen."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import support
from recruits import Recruit
from screen import Screen

RECRUITS = pathlib.Path(__file__).with_name("recruits.py")
LIMIT = 120 * support.SLOWNESS


class Orchestrate(support.Case):
    def start_orchestrator(self, *options, **settings):
        orchestrator = self.start_on_port(support.MUSTER, "orchestrate", "--listen=127.0.0.1:0", *options, **settings)
        self.address = f"127.0.0.1:{orchestrator.port}"
        return orchestrator

    def recruit(self, name, **wishes):
        recruit = Recruit(self.address, name, **wishes)
        self.addCleanup(recruit.leave)
        return recruit

    def recruit_process(self, name, **wishes):
        environment = {**os.environ, "MUSTER_SERVER": self.address, "MUSTER_NAME": name}
        return self.start(sys.executable, RECRUITS, json.dumps(wishes), env=environment)

    def told(self, recruit, what, **wanted):
        """Reads what happened to a recruit up to this; what came before it is left in `before`."""
        self.before = []
        while True:
            note = recruit.notes.get(timeout=LIMIT)
            if note["what"] == what and wanted.items() <= note.items():
                return note
            self.assertNotEqual(note["what"], "over", note)
            self.before.append(note)

    def output_told(self, process, what):
        """The same of one that is a process."""
        return json.loads(self.read_until(process, f'"what": "{what}"'))

    def finish(self, orchestrator, line):
        self.assertEqual(self.read_until(orchestrator, "^final").strip(), line)
        self.assertEqual(orchestrator.wait(), 0, self.errors_of(orchestrator))

    def test_four_get_ranks_and_the_rendezvous_and_a_fifth_is_told(self):
        orchestrator = self.start_orchestrator("--workers=4", "--checkpoint-every=10")
        hosts = {"ada": "one", "bob": "two", "cyd": "one", "dan": "two"}
        recruits = {}
        for name, host in hosts.items():
            labels = {"host": host, "backends": "gloo,nccl"}
            recruits[name] = self.recruit(name, labels=labels, hold=[5], finishes=15, loss={"ada": 0.25}.get(name, 0.75))
            if name != "dan":
                self.assertIn("workers are there", self.told(recruits[name], "wait")["text"])
        begins = {name: self.told(recruit, "begin") for name, recruit in recruits.items()}
        ranks = {name: (begin["rank"], begin["local_rank"]) for name, begin in begins.items()}
        self.assertEqual(ranks, {"ada": (0, 0), "cyd": (1, 1), "bob": (2, 0), "dan": (3, 1)})
        for begin in begins.values():
            expected = {"epoch": 1, "world_size": 4, "local_world_size": 2, "master_addr": "127.0.0.1",
                        "master_port": begins["ada"]["master_port"], "restart_count": 0, "backend": "nccl",
                        "checkpoint": 0, "checkpoint_every": 10}
            self.assertLessEqual(expected.items(), begin.items())
        for recruit in recruits.values():
            self.told(recruit, "hold")
        fifth = self.recruit("eve").notes.get(timeout=LIMIT)
        self.assertEqual((fifth["what"], fifth["code"]), ("over", "RESOURCE_EXHAUSTED"))
        self.assertIn("it takes 4 participants", fifth["text"])
        for recruit in recruits.values():
            recruit.let_go.set()
        for recruit in recruits.values():
            steps = self.told(recruit, "steps")
            self.assertEqual((steps["from"], steps["until"], steps["checkpoint"]), (10, 20, 10))
            end = self.told(recruit, "end")
            self.assertLessEqual({"finished": True, "iteration": 15, "restarts": 0, "loss": 0.625}.items(), end.items())
        self.finish(orchestrator, "final loss 0.6250, 15 iterations, 0 restarts")

    def expect_epoch(self, recruits, expected):
        """All are told of a new epoch, each with a rank of its own; and of nothing that was given up, but their wait."""
        begins = []
        for recruit in recruits:
            begins.append(self.told(recruit, "begin"))
            for before, note in zip(self.before, self.before[1:]):
                self.assertTrue(note["what"] != "cancel" or before["what"] == "wait", self.before)
        self.assertEqual(sorted(begin["rank"] for begin in begins), list(range(len(recruits))))
        for begin in begins:
            self.assertLessEqual({**expected, "world_size": len(recruits)}.items(), begin.items())

    def kill_one(self, *options, hold=(13,)):
        """Three threads and a process, which is killed at iteration 13; the three of them, cancelled."""
        orchestrator = self.start_orchestrator("--workers=4", *options)
        recruits = [self.recruit(name, hold=hold) for name in ("ada", "bob", "cyd")]
        victim = self.recruit_process("dan", hold=[13])
        for recruit in recruits:
            self.told(recruit, "hold")
        self.output_told(victim, "hold")
        victim.kill()
        for recruit in recruits:
            self.told(recruit, "cancel")
            self.assertEqual(self.before, [])
        return orchestrator, recruits

    def test_others_wait_for_a_replacement_of_one_that_was_killed(self):
        orchestrator, recruits = self.kill_one("--iterations=20")
        for recruit in recruits:
            self.assertIn("3 of 4 workers are there", self.told(recruit, "wait")["text"])
        replacement = self.recruit("dan")
        self.expect_epoch([*recruits, replacement], {"epoch": 2, "restart_count": 1, "checkpoint": 10})
        for recruit in [*recruits, replacement]:
            self.assertEqual(self.told(recruit, "steps")["from"], 10)
            self.told(recruit, "end")
        self.finish(orchestrator, "final loss 0.5000, 20 iterations, 1 restarts")

    def test_others_go_on_without_one_that_was_killed_and_a_late_one_gets_in(self):
        orchestrator, recruits = self.kill_one("--iterations=30", "--elastic", "--min=3", hold=[13, 15])
        self.expect_epoch(recruits, {"epoch": 2, "restart_count": 1, "checkpoint": 10})
        for recruit in recruits:
            self.told(recruit, "hold", iteration=15)
        late = self.recruit("eve")
        self.assertIn("the others train", self.told(late, "wait")["text"])
        for recruit in recruits:
            recruit.let_go.set()
        self.expect_epoch([*recruits, late], {"epoch": 3, "restart_count": 1, "checkpoint": 20})
        self.finish(orchestrator, "final loss 0.5000, 30 iterations, 1 restarts")

    def test_a_frozen_one_is_named_and_then_lost(self):
        orchestrator = self.start_orchestrator(
            "--workers=2", "--elastic", "--iterations=10", "--heartbeat=0.2", f"--patience={4 * support.SLOWNESS}")
        recruit = self.recruit("ada", hold=[5])
        victim = self.recruit_process("bob", hold=[5], heartbeats=True)
        self.told(recruit, "hold")
        self.output_told(victim, "hold")
        victim.send_signal(signal.SIGSTOP)
        self.told(recruit, "cancel")
        self.assertEqual(self.told(recruit, "begin")["world_size"], 1)
        self.finish(orchestrator, "final loss 0.5000, 10 iterations, 1 restarts")
        self.assertRegex(self.errors_of(orchestrator), "(?s)bob is silent.*bob is lost: it is silent for")

    def test_a_group_that_broke_forms_again_and_a_program_that_failed_is_lost(self):
        orchestrator = self.start_orchestrator("--workers=2", "--elastic", "--iterations=10")
        ada, bob = self.recruit("ada", hold=[3, 4]), self.recruit("bob", hold=[3, 4])
        for recruit in (ada, bob):
            self.told(recruit, "hold")
        ada.fail(1, "connection closed by peer")
        self.told(bob, "cancel")
        for recruit in (ada, bob):
            self.assertEqual(self.told(recruit, "begin")["world_size"], 2)
            self.told(recruit, "hold")
        bob.fail(2, "ValueError: no data\nTraceback")
        self.told(ada, "cancel")
        self.assertEqual(bob.notes.get(timeout=LIMIT)["what"], "over")
        self.assertEqual(self.told(ada, "begin")["world_size"], 1)
        self.finish(orchestrator, "final loss 0.5000, 10 iterations, 2 restarts")
        self.assertRegex(
            self.errors_of(orchestrator),
            r"(?s)epoch 1 is broken: ada: connection closed by peer.*epoch 2 is broken: bob is lost: ValueError: no data")

    def test_one_that_does_not_leave_an_epoch_is_lost(self):
        orchestrator = self.start_orchestrator(
            "--workers=2", "--elastic", "--iterations=10", f"--leave={4 * support.SLOWNESS}")
        ada, bob = self.recruit("ada", hold=[3]), self.recruit("bob", hold=[3], stays=True)
        for recruit in (ada, bob):
            self.told(recruit, "hold")
        ada.fail(1, "connection closed by peer")
        self.assertEqual(self.told(ada, "begin", epoch=2)["world_size"], 2)
        self.assertEqual(self.told(ada, "begin")["world_size"], 1)
        self.told(bob, "over")
        self.finish(orchestrator, "final loss 0.5000, 10 iterations, 2 restarts")
        self.assertIn("bob is lost: it has not left an epoch that is over, for ", self.errors_of(orchestrator))

    def test_one_that_answers_wrongly_or_never_is_lost_and_no_other(self):
        orchestrator = self.start_orchestrator(
            "--workers=2", "--elastic", "--min=1", "--iterations=10", f"--form={4 * support.SLOWNESS}")
        # There is no checkpoint that it could miss.
        self.told(self.recruit("ada", wrong={"wait": 3}), "over")
        wrong = self.recruit("ada", wrong={"store": 3})
        self.told(wrong, "wait")
        self.recruit("bob")
        self.told(wrong, "over")
        self.finish(orchestrator, "final loss 0.5000, 10 iterations, 1 restarts")
        orchestrator = self.start_orchestrator(
            "--workers=2", "--elastic", "--iterations=10", f"--form={4 * support.SLOWNESS}")
        mute = self.recruit("ada", wrong={"store": None})
        self.told(mute, "wait")
        self.recruit("bob")
        self.told(mute, "over")
        self.finish(orchestrator, "final loss 0.5000, 10 iterations, 1 restarts")
        self.assertIn("ada is lost: it did not open a store within ", self.errors_of(orchestrator))

    def test_workers_that_are_started_here_are_started_again(self):
        mark = self.scratch / "killed"
        orchestrator = self.start(
            support.MUSTER, "orchestrate", "--workers=2", "--restarts=1", "--iterations=20", "--",
            sys.executable, RECRUITS, json.dumps({"hold": [13], "dies_once": str(mark)}))
        self.read_until(orchestrator, '"what": "end"')
        self.finish(orchestrator, "final loss 0.5000, 20 iterations, 1 restarts")
        self.assert_nothing_left(orchestrator)

    def test_an_orchestrator_that_is_killed_goes_on(self):
        file = self.scratch / "state.json"
        orchestrator = self.start_orchestrator("--workers=1", "--iterations=30", f"--file={file}")
        recruit = self.recruit("ada", hold=[25])
        self.told(recruit, "hold")
        orchestrator.kill()
        orchestrator.wait()
        orchestrator = self.start_orchestrator("--workers=1", "--iterations=30", f"--file={file}")
        begin = self.told(self.recruit("ada"), "begin")
        self.assertEqual((begin["epoch"], begin["checkpoint"]), (2, 20))
        self.finish(orchestrator, "final loss 0.5000, 30 iterations, 0 restarts")

    def test_a_signal_lets_the_steps_come_to_their_checkpoint(self):
        orchestrator = self.start_orchestrator("--workers=1", f"--stop-within={LIMIT}", stderr=subprocess.PIPE)
        recruit = self.recruit("ada", hold=[15])
        self.told(recruit, "hold")
        orchestrator.send_signal(signal.SIGINT)
        self.await_line(orchestrator.stderr, "stopping: ")
        recruit.let_go.set()
        end = self.told(recruit, "end")
        self.assertEqual((end["finished"], end["iteration"], end["text"]), (False, 20, "stopped by signal 2"))
        self.await_line(orchestrator.stderr, "stopped after iteration 20")
        self.assertEqual(orchestrator.wait(), 130)

    def test_it_is_seen_on_a_terminal_and_at_a_signal(self):
        screen = Screen(self)
        orchestrator = self.start_orchestrator("--workers=2", "--iterations=10", stdout=screen.slave, stderr=subprocess.PIPE)
        screen.close_slave()
        ada, bob = self.recruit("ada", hold=[5]), self.recruit("bob", hold=[4], loss=0.25)
        screen.read_until(r"^epoch 1: iteration 5 of 10, 2 workers, loss 0\.3750, checkpoint 0, 0 restarts$")
        screen.read_until(r"^     [01] ada +iteration 5, loss 0\.5000$")
        screen.read_until(r"^     [01] bob +iteration 4, loss 0\.2500$")
        orchestrator.send_signal(signal.SIGUSR1)
        self.await_line(orchestrator.stderr, "state: epoch 1: iteration 5 of 10, 2 workers")
        for recruit in (ada, bob):
            recruit.let_go.set()
        rows = screen.read_all()
        self.assertEqual(rows, ["final loss 0.3750, 10 iterations, 0 restarts", ""])
        self.assertEqual(orchestrator.wait(), 0)

    def test_help_of_the_demo_is_there_at_once(self):
        status, output, errors = self.run_program(support.SOURCE / "run", "ddp", "--workers=2", "--help")
        self.assertEqual((status, output[:16], errors), (0, "usage: ./run ddp", ""))

    def test_mistakes(self):
        for options, status, text in (
            (["--min=5", "--workers=4"], 2, "--min 5: there are only 4 workers (--workers)"),
            (["--backend=mpi"], 2, "--backend mpi: expected gloo or nccl"),
            (["--patience=2"], 2, "--patience: is to be at least two and a half times as long as the heartbeat"),
            ([f"--file={self.scratch}/none/state"], 1, "No such file or directory"),
            (["--", "/nowhere/train.py"], 1, "starting /nowhere/train.py: No such file or directory"),
            (["--restarts=0", "--", "false"], 1, "worker-0 ended with status 1, after 0 restarts (--restarts); 0 workers"),
        ):
            result, _, errors = self.run_program(support.MUSTER, "orchestrate", "--listen=127.0.0.1:0", *options)
            self.assertEqual(result, status, errors)
            self.assertIn(text, errors)

    def test_a_second_signal_gives_the_steps_up(self):
        orchestrator = self.start_orchestrator("--workers=1", stderr=subprocess.PIPE)
        recruit = self.recruit("ada", hold=[15])
        self.told(recruit, "hold")
        orchestrator.send_signal(signal.SIGTERM)
        self.await_line(orchestrator.stderr, "stopping: ")
        orchestrator.send_signal(signal.SIGTERM)
        self.told(recruit, "cancel")
        self.assertEqual(orchestrator.wait(), 143)


if __name__ == "__main__":
    support.main()
