#!/usr/bin/python3 -B
"""A server with a run directory: killed at random instants, while its participants are left to themselves, stopped by
signals, out of disk, started with what does not belong together. Whatever happens, the final model is that of an
undisturbed run. MUSTER_TEST_KILLS says how often the server is killed, MUSTER_TEST_SEED when."""

import os
import random
import re
import signal
import subprocess
import threading

import numpy

import support
from support import SERVER

KILLS = int(os.environ.get("MUSTER_TEST_KILLS", "5"))
SEED = int(os.environ.get("MUSTER_TEST_SEED", str(random.randrange(1 << 32))))
USERS = 4
DATA = [f"--participants={USERS}", "--seed=3"]
TRAINING = ["--fraction=0.75", "--stragglers=50", "--set=train.epochs=3", "--no-baselines", *DATA]


class Running(support.Case):
    def setUp(self):
        super().setUp()
        self.run_directory = self.scratch / "run"

    def serve(self, rounds, *options, directory=None, **settings):
        directory = directory or self.run_directory
        return self.start_server(f"--run={directory}", f"--rounds={rounds}", *TRAINING, *options, **settings)

    def serve_at(self, port, rounds):
        """Where participants come back to by themselves; it may not listen yet."""
        command = [f"--listen=127.0.0.1:{port}", f"--run={self.run_directory}", f"--rounds={rounds}", *TRAINING]
        return self.start(SERVER, *command)

    def bring(self, port):
        return [self.start_participant(port, user, *DATA) for user in range(USERS)]

    def finish(self, rounds, *options, directory=None):
        """Goes on to the end; the final state."""
        server = self.serve(rounds, *options, directory=directory)
        participants = self.bring(server.port)
        server.stdout.read()
        self.assertEqual(server.wait(), 0, self.errors_of(server))
        for participant in participants:
            self.assertEqual(participant.wait(), 0, self.errors_of(participant))
        return self.state(rounds, directory)

    def state(self, number, directory=None):
        with numpy.load((directory or self.run_directory) / f"round-{number:08}.npz") as file:
            return {name: file[name] for name in file}

    def last_round(self):
        if not self.run_directory.exists():
            return 0
        return max([int(path.stem[6:]) for path in self.run_directory.glob("round-*.npz")], default=0)

    def rows(self):
        return self.rows_of(self.run_directory / "metrics.csv")

    def assert_same(self, state, reference):
        self.assertEqual(state.keys(), reference.keys())
        for name in state.keys() - {"metrics_size"}:  # which depends on how long the rounds took
            numpy.testing.assert_allclose(state[name], reference[name], rtol=0, atol=1e-6, err_msg=name)

    def assert_rounds_told_once(self, rounds):
        self.assertEqual([int(row["round"]) for row in self.rows()], list(range(1, rounds + 1)))
        self.assertEqual({(row["answered"], row["failed"]) for row in self.rows()}, {("3", "0")})

    def assert_tidy(self, rounds):
        """The directory has what it should have, and nothing else."""
        kept = [f"round-{number:08}.npz" for number in range(max(1, rounds - 2), rounds + 1)]
        self.assertEqual(sorted(os.listdir(self.run_directory)), ["lock", "metrics.csv", "model.npz", "muster-run.json", *kept])


class Killed(Running):
    def kill_once(self, port, rounds, chance):
        """Starts the server, whose participants come back by themselves, and kills it after some lines and a part of a
        round."""
        told = self.last_round()
        server = self.serve_at(port, rounds)
        lines = chance.choice((None, 0, 1, 2, 3, 5, 7))  # None: perhaps even before it listens
        for _ in range(lines or 0):
            line = server.stdout.readline()
            if not line.startswith("round "):
                break
            self.assertEqual(int(re.match(r"round (\d+)/", line)[1]), told + 1)
            told += 1
        # The fault itself, not a wait for anything: whatever the server does then, it is killed.
        timer = threading.Timer(chance.uniform(0, 0.004 if lines else 0.03), server.kill)
        timer.start()
        server.wait()
        timer.cancel()
        for line in server.stdout:
            told += line.startswith("round ")
        self.end(server)
        # What was told is on the disk, and at most one round more.
        last = self.last_round()
        self.assertIn(last, (told, told + 1), f"seed {SEED}")
        if last > 0:
            self.assertEqual(int(self.state(last)["round"]), last)
        return last

    def test_killed_at_random_instants(self):
        signal.alarm((180 + 3 * KILLS) * support.SLOWNESS)
        chance = random.Random(SEED)
        rounds = 4 * KILLS + 20
        reference = self.finish(rounds, directory=self.scratch / "reference")
        port = self.reserve_port()
        participants = self.bring(port)
        for _ in range(KILLS):
            self.kill_once(port, rounds, chance)
        last = self.last_round()
        server = self.serve_at(port, rounds)
        lines = server.stdout.read().splitlines()
        self.assertEqual(server.wait(), 0, self.errors_of(server))
        self.assertEqual([line.split(":")[0] for line in lines[:-1]],
                         [f"round {number}/{rounds}" for number in range(last + 1, rounds + 1)])
        if 0 < last < rounds:
            self.assertIn(f"going on after round {last} of {rounds}", self.errors_of(server))
        for participant in participants:  # the same ones from the beginning
            self.assertEqual(participant.wait(), 0, self.errors_of(participant))
        self.assert_same(self.state(rounds), reference)
        self.assert_rounds_told_once(rounds)
        self.assert_tidy(rounds)
        print(f"killed {KILLS} times, seed {SEED}, {rounds} rounds, {last} of them before the last start; "
              f"bytes differ: {any((self.state(rounds)[n] != reference[n]).any() for n in ('weights', 'bias'))}")

    def test_metrics_of_a_round_that_was_not_completed_are_dropped(self):
        self.finish(3)
        with open(self.run_directory / "metrics.csv", "a") as file:
            file.write("4,0.1,3,0,1,1,0.5,0.")
        (self.run_directory / ".muster-1-1").write_text("half a file")
        reference = self.finish(6, directory=self.scratch / "reference")
        self.assert_same(self.finish(6), reference)
        self.assert_rounds_told_once(6)
        self.assert_tidy(6)


class Starting(Running):
    def refused(self, *options, status=1):
        code, output, errors = self.run_program(SERVER, f"--run={self.run_directory}", *options)
        self.assertEqual((code, output), (status, ""))
        return errors

    def test_finished_run_is_only_told(self):
        self.finish(3)
        code, output, errors = self.run_program(SERVER, f"--run={self.run_directory}", "--rounds=3", *TRAINING)
        self.assertEqual(code, 0)
        self.assertRegex(output, r"^final accuracy 0\.\d{3}\n$")
        self.assertIn("is complete, with 3 rounds", errors)
        self.assertNotIn("listening", errors)

    def test_more_rounds_may_be_added(self):
        reference = self.finish(6, directory=self.scratch / "reference")
        self.finish(3)
        self.assert_same(self.finish(6), reference)
        self.assertIn('"rounds": 6', (self.run_directory / "muster-run.json").read_text())

    def test_a_padded_model_goes_on(self):
        reference = self.finish(4, "--model-size=1M", directory=self.scratch / "reference")
        plain = self.finish(4, directory=self.scratch / "plain")
        self.finish(2, "--model-size=1M")
        state = self.finish(4, "--model-size=1M")
        self.assert_same(state, reference)
        for name in ("weights", "bias"):
            numpy.testing.assert_allclose(state[name], plain[name], rtol=0, atol=1e-6)
        self.assertIn("model_size 1048576, not 0", self.refused("--rounds=4", *TRAINING))

    def test_a_run_of_which_it_is_not_known_how_it_was_begun_is_refused(self):
        self.finish(2)
        file = self.run_directory / "muster-run.json"
        before = file.read_text()
        file.write_text(before.replace('  "model_size": 0,\n', ""))
        self.assertNotEqual(file.read_text(), before)
        self.assertIn("model_size unset, not 0", self.refused("--rounds=2", *TRAINING))
        file.write_text(before)
        self.finish(4)

    def test_another_configuration_is_refused(self):
        self.finish(3)
        before = {path.name: path.read_bytes() for path in self.run_directory.iterdir()}
        for option, was in (
            ("--set=train.epochs=4", "train.epochs 3.0, not 4.0"),
            ("--set=train.mu=0.5", "train.mu 1.0, not 0.5"),
            ("--seed=4", "seed 3, not 4"),
            ("--model-size=2K", "model_size 0, not 2048"),
            ("--stragglers=0", "stragglers 50.0, not 0.0"),
            ("--strategy=fedavg", "strategy.name \"fedyogi\", not \"fedavg\""),
            ("--set=strategy.eta=0.1", "strategy.eta 0.04, not 0.1"),
        ):
            errors = self.refused("--rounds=3", *TRAINING, option)
            self.assertIn(was, errors)
            self.assertIn("--overwrite", errors)
        self.assertEqual({path.name: path.read_bytes() for path in self.run_directory.iterdir()}, before)

    def test_overwriting(self):
        self.finish(5)
        (self.run_directory / "notes.txt").write_text("mine")
        state = self.finish(2, "--overwrite", "--set=train.epochs=4")
        self.assertEqual(int(state["round"]), 2)
        self.assert_rounds_told_once(2)
        (self.run_directory / "notes.txt").unlink()
        self.assert_tidy(2)

    def test_what_is_no_run_is_left_alone(self):
        self.run_directory.mkdir()
        (self.run_directory / "thesis.tex").write_text("years of work")
        for options in ([], ["--overwrite"]):
            self.assertIn("no run", self.refused(*TRAINING, *options))
            self.assertEqual(os.listdir(self.run_directory), ["thesis.tex"])

    def test_two_servers_cannot_have_one_run(self):
        server = self.serve(3)
        for options in ([], ["--overwrite"]):
            self.assertIn("another process has this run open", self.refused("--rounds=3", *TRAINING, *options))
        self.bring(server.port)
        server.stdout.read()
        self.assertEqual(server.wait(), 0, self.errors_of(server))

    def test_damage_is_told(self):
        self.finish(3)
        last = self.run_directory / "round-00000003.npz"
        content = last.read_bytes()
        last.write_bytes(content[:1000] + b"\1" + content[1001:])
        errors = self.refused("--rounds=3", *TRAINING)
        self.assertIn("round-00000003.npz", errors)
        self.assertIn("goes on from the round before", errors)
        last.unlink()  # as it says
        reference = self.finish(3, directory=self.scratch / "reference")
        self.assert_same(self.finish(3), reference)
        (self.run_directory / "metrics.csv").write_text("round\n")
        self.assertIn("metrics.csv: lines of completed rounds are missing", self.refused("--rounds=3", *TRAINING))

    def test_full_disk(self):
        reference = self.finish(5, directory=self.scratch / "reference")
        self.finish(3)
        # A limit on the size of files stands in for a full disk.
        limited = ["bash", "-c", 'trap "" XFSZ; ulimit -f 8; exec "$@"', "bash"]
        server = self.serve(5, "--come-back=1000", through=limited)
        participants = self.bring(server.port)
        self.assertEqual(server.stdout.read(), "")
        self.assertEqual(server.wait(), 1)
        self.assertIn("round-00000004.npz: writing: File too large", self.errors_of(server))
        for participant in participants:
            self.end(participant)
        self.assertEqual(self.last_round(), 3)
        self.assert_same(self.finish(5), reference)
        self.assert_rounds_told_once(5)

    def test_options_that_do_not_go_together(self):
        self.assertIn("metrics.csv", self.refused("--metrics=x", status=2))
        code, _, errors = self.run_program(SERVER, "--overwrite")
        self.assertEqual(code, 2)
        self.assertIn("there is no run to overwrite", errors)


class Stopping(Running):
    def stop(self, server, *numbers):
        for number in numbers:
            server.send_signal(number)
        server.stdout.read()
        self.assertEqual(server.wait(), 128 + numbers[0], self.errors_of(server))

    def test_stopped_and_started_again_with_the_same_participants(self):
        reference = self.finish(400, directory=self.scratch / "reference")
        server = self.serve(400, "--come-back=1", stdout=support.IN_STEP)
        port = server.port
        participants = self.bring(port)
        self.read_until(server, "^round 3/")
        self.stop(server, signal.SIGTERM)
        self.assertRegex(self.errors_of(server), r"stopped after round \d+, .*the same command goes on")
        last = self.last_round()
        self.assertGreaterEqual(last, 3)
        self.assertLess(last, 400)
        self.assertEqual(len(self.rows()), last)
        # They come back by themselves, to the same address.
        again = self.serve_at(port, 400)
        lines = again.stdout.read().splitlines()
        self.assertEqual(again.wait(), 0, self.errors_of(again))
        self.assertTrue(lines[0].startswith(f"round {last + 1}/400: 3 answered"), lines[0])
        for participant in participants:
            self.assertEqual(participant.wait(), 0, self.errors_of(participant))
        self.assert_same(self.state(400), reference)
        self.assert_rounds_told_once(400)

    def long_round(self, *options):
        """A server in the middle of a round that does not end by itself: one who is to answer is frozen, and has been silent
        for so long that the rounds before are over."""
        server = self.serve(
            100000, "--fraction=1", "--come-back=1000", "--heartbeat=0.5", *options, stderr=subprocess.PIPE
        )
        participants = self.bring(server.port)
        self.read_until(server, "^round 3/")
        participants[0].send_signal(signal.SIGSTOP)
        self.await_line(server.stderr, r"participant-00 \(.*\) is silent")
        return server, participants

    def assert_given_up(self, errors):
        """The last round is one that everybody answered."""
        last = int(re.findall(r"stopped after round (\d+)", errors)[-1])
        self.assertEqual(last, self.last_round())
        self.assertEqual(len(self.rows()), last)
        self.assertEqual({(row["answered"], row["failed"]) for row in self.rows()}, {("4", "0")})

    def test_second_signal_gives_up_the_round(self):
        server, participants = self.long_round("--stop-within=1000")
        # Not the same one twice: two that are pending at the same time would be one.
        server.send_signal(signal.SIGINT)
        server.send_signal(signal.SIGTERM)
        errors = server.stderr.read()
        self.assertIn(server.wait(), (128 + signal.SIGINT, 128 + signal.SIGTERM), errors)
        self.assert_given_up(errors)
        for participant in participants:
            self.assertIsNone(participant.poll(), self.errors_of(participant))  # they will come back

    def test_round_is_given_up_when_its_time_is_over(self):
        server, _ = self.long_round("--stop-within=0.3")
        server.send_signal(signal.SIGTERM)
        errors = server.stderr.read()
        self.assertEqual(server.wait(), 128 + signal.SIGTERM, errors)
        self.assertIn("stopping: the round that runs is finished first", errors)
        self.assert_given_up(errors)

    def test_stopped_while_it_waits_for_participants(self):
        server = self.serve(5)
        self.stop(server, signal.SIGTERM)
        self.assertRegex(self.errors_of(server), "stopped after round 0;")
        reference = self.finish(5, directory=self.scratch / "reference")
        self.assert_same(self.finish(5), reference)

    def test_without_a_run_directory_they_hear_good_bye(self):
        server = self.start_server("--rounds=100000", *TRAINING)
        participants = self.bring(server.port)
        self.read_until(server, "^round 3/")
        self.stop(server, signal.SIGTERM)
        for participant in participants:
            self.assertEqual(participant.wait(), 0, self.errors_of(participant))


class KilledParticipant(Running):
    def test_is_in_the_next_round_under_its_name(self):
        """It is frozen first, so that a round waits for it when it is killed."""
        server = self.start_server("--rounds=1000000", "--fraction=1", "--no-baselines", *DATA, stderr=subprocess.PIPE)
        participants = self.bring(server.port)
        self.read_until(server, f" {USERS} answered, 0 failed")
        os.kill(participants[1].pid, signal.SIGSTOP)
        participants[1].kill()
        participants[1].wait()
        again = self.start_participant(server.port, 1, *DATA)
        told = (line for line in server.stderr if re.search(r"is away|has left", line))
        self.assertRegex(next(told), r"participant-01 \(.*\) is away: ")
        self.assertRegex(next(told), r"participant-01 \(.*\) has left: .*a newer participant has taken its name")
        self.read_until(server, f" {USERS} answered, 0 failed")
        self.assertIsNone(again.poll())


if __name__ == "__main__":
    support.main()
