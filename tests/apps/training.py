#!/usr/bin/python3 -B
"""The demo: what it learns, that it can be repeated, participants in another language, and every
way in which a run can end."""

import fcntl
import os
import re
import select
import signal
import socket
import subprocess

import support
from support import DEMO, PARTICIPANT, PYTHON_PARTICIPANT, SERVER


class Training(support.Case):
    def rows(self, name="metrics.csv"):
        return self.rows_of(self.scratch / name)

    def demo(self, *options):
        return self.start(DEMO, *options)


class Learning(Training):
    def test_demo_learns_about_as_much_as_central_training(self):
        demo = self.demo("--rounds=60", f"--metrics={self.scratch}/metrics.csv")
        lines = demo.stdout.read().splitlines()
        self.assertEqual(demo.wait(), 0, self.errors_of(demo))
        self.assertEqual(len([line for line in lines if line.startswith("round ")]), 60)
        final = float(re.fullmatch(r"final accuracy (0\.\d{3})", lines[-1])[1])
        central, alone = (
            float(re.search(rf"^{name} +(0\.\d+)", "\n".join(lines), re.MULTILINE)[1])
            for name in ("central training", "each participant alone")
        )
        self.assertGreater(final, central - 0.06)
        self.assertGreater(final, alone + 0.3)
        rows = self.rows()
        self.assertEqual([int(row["round"]) for row in rows], list(range(1, 61)))
        self.assertEqual({(row["answered"], row["failed"]) for row in rows}, {("10", "0")})
        self.assertAlmostEqual(float(rows[-1]["test_accuracy"]), final, places=3)
        self.assertLess(float(rows[-1]["train_loss"]), float(rows[0]["train_loss"]) / 2)
        # A model is 610 floats, and it travels in each direction once per participant.
        for name in ("bytes_sent", "bytes_received"):
            self.assertTrue(all(24400 < int(row[name]) < 40000 for row in rows))
        self.assert_nothing_left(demo)

    def test_same_seed_same_curve(self):
        def curve(seed):
            demo = self.demo(
                "--rounds=8", "--stragglers=50", "--no-baselines", f"--seed={seed}", f"--metrics={self.scratch}/m.csv"
            )
            demo.stdout.read()
            self.assertEqual(demo.wait(), 0, self.errors_of(demo))
            return [{name: row[name] for name in row if name != "seconds"} for row in self.rows("m.csv")]

        first = curve(7)
        self.assertEqual(first, curve(7))
        self.assertNotEqual(first, curve(8))

    def test_padding_travels_and_changes_nothing_of_the_training(self):
        size = 3 << 20

        def run(*options):
            demo = self.demo(
                "--participants=6", "--rounds=2", "--no-baselines", f"--metrics={self.scratch}/m.csv", *options
            )
            demo.stdout.read()
            self.assertEqual(demo.wait(), 0, self.errors_of(demo))
            travelled = ("bytes_sent", "bytes_received")
            rows = self.rows("m.csv")
            curve = [{name: row[name] for name in row if name not in ("seconds", *travelled)} for row in rows]
            return curve, [int(row[name]) for row in rows for name in travelled]

        curve, plain = run()
        same, padded = run("--model-size=3M")
        self.assertEqual({(row["answered"], row["failed"]) for row in curve}, {("2", "0")})
        self.assertEqual(same, curve)
        self.assertLess(max(plain), 10000)
        self.assertTrue(all(2 * size <= number < 2 * size + 10000 for number in padded), padded)
        self.assertEqual(run("--model-size=1K"), (curve, plain))  # the model itself has more

    def test_padding_with_python_participants_of_the_original_protocol(self):
        data = ["--participants=2", "--seed=5"]
        metrics = f"--metrics={self.scratch}/metrics.csv"
        server = self.start_server(
            "--rounds=2", "--fraction=1", "--no-baselines", "--model-size=3M", metrics, *data
        )
        self.run_program(PARTICIPANT, "--participant=0", f"--export={self.scratch}/0", *data)
        self.start(PYTHON_PARTICIPANT, f"--connect=127.0.0.1:{server.port}", f"--data={self.scratch}/0")
        self.start_participant(server.port, 1, *data)
        server.stdout.read()
        self.assertEqual(server.wait(), 0, self.errors_of(server))
        for row in self.rows():
            self.assertEqual((row["answered"], row["failed"]), ("2", "0"))
            self.assertGreater(int(row["bytes_received"]), 2 * 3 << 20)

    def test_a_model_too_big_for_the_original_protocol_names_the_option(self):
        data = ["--participants=2", "--seed=5"]
        server = self.start_server("--rounds=1", "--fraction=1", "--no-baselines", "--model-size=6M", *data)
        self.run_program(PARTICIPANT, "--participant=0", f"--export={self.scratch}/0", *data)
        self.start(PYTHON_PARTICIPANT, f"--connect=127.0.0.1:{server.port}", f"--data={self.scratch}/0")
        self.start_participant(server.port, 1, *data)
        self.assertIn("1 answered, 1 failed", server.stdout.read())
        self.assertEqual(server.wait(), 0)
        self.assertRegex(self.errors_of(server), r"round 1: .*: the message has .* max_message_size allows .* see --max-message-size\)")

    def test_python_participants_of_the_original_protocol_train_along(self):
        data = ["--participants=8", "--seed=5"]
        metrics = f"--metrics={self.scratch}/metrics.csv"
        server = self.start_server("--rounds=15", "--fraction=1", metrics, *data)
        others = [self.start_participant(server.port, user, *data) for user in range(6)]
        for user in (6, 7):
            directory = self.scratch / str(user)
            self.run_program(PARTICIPANT, f"--participant={user}", f"--export={directory}", *data)
            others.append(
                self.start(PYTHON_PARTICIPANT, f"--connect=127.0.0.1:{server.port}", f"--data={directory}")
            )
        lines = server.stdout.read().splitlines()
        self.assertEqual(server.wait(), 0, self.errors_of(server))
        self.assertGreater(float(re.fullmatch(r"final accuracy (.*)", lines[-1])[1]), 0.5)
        self.assertEqual({(row["answered"], row["failed"]) for row in self.rows()}, {("8", "0")})
        for other in others:
            self.assertEqual(other.wait(), 0, self.errors_of(other))
        self.assertIn("trained in 15 rounds, the server said good-bye", self.errors_of(others[-1]))

    def test_python_participants_alone(self):
        data = ["--participants=2", "--seed=5"]
        server = self.start_server("--rounds=3", "--fraction=1", f"--metrics={self.scratch}/metrics.csv", *data)
        for user in (0, 1):
            directory = self.scratch / str(user)
            self.run_program(PARTICIPANT, f"--participant={user}", f"--export={directory}", *data)
            self.start(PYTHON_PARTICIPANT, f"--connect=127.0.0.1:{server.port}", f"--data={directory}")
        server.stdout.read()
        self.assertEqual(server.wait(), 0, self.errors_of(server))
        self.assertEqual({(row["answered"], row["train_loss"]) for row in self.rows()}, {("2", "nan")})


class Leaving(Training):
    """Participants that go or hang: the others go on."""

    def start_three(self, *options):
        data = ["--participants=3"]
        server = self.start_server("--fraction=1", "--no-baselines", "--rounds=100000", "--grace=0.1", *data, *options)
        return server, [self.start_participant(server.port, user, *data) for user in range(3)]

    def stop(self, server):
        server.send_signal(signal.SIGTERM)
        server.stdout.read()
        self.assertEqual(server.wait(), 128 + signal.SIGTERM, self.errors_of(server))

    def test_rounds_go_on_with_those_that_are_left(self):
        server, participants = self.start_three()
        self.read_until(server, "^round 3/.*: 3 answered, 0 failed")
        participants[1].kill()
        self.read_until(server, ": 2 answered, 0 failed")
        participants[2].send_signal(signal.SIGTERM)
        self.read_until(server, ": 1 answered, 0 failed")
        self.assertEqual(participants[2].wait(), 128 + signal.SIGTERM)
        self.assertIn("ended by signal 15", self.errors_of(participants[2]))
        self.stop(server)
        self.assertRegex(self.errors_of(server), "1 of 2 participants are left")
        self.assertEqual(participants[0].wait(), 0)

    def test_waits_for_the_least_number_and_goes_on(self):
        server, participants = self.start_three("--min-participants=3")
        self.read_until(server, "^round 3/.*: 3 answered")
        participants[1].kill()
        participants[1].wait()
        again = self.start_participant(server.port, 1, "--participants=3", "--name=again")
        self.read_until(server, ": [012] answered|^round .*: 3 answered")
        for _ in range(5):
            self.read_until(server, ": 3 answered, 0 failed")
        self.stop(server)
        self.assertEqual(again.wait(), 0)

    def test_gives_up_when_too_few_are_left(self):
        server, participants = self.start_three("--min-participants=3", f"--wait={8 * support.SLOWNESS}")
        self.read_until(server, "^round 3/.*: 3 answered")
        participants[1].kill()
        server.stdout.read()
        self.assertEqual(server.wait(), 1)
        self.assertIn("needs 3 participants, and only 2 were here", self.errors_of(server))
        for participant in (participants[0], participants[2]):
            self.assertEqual(participant.wait(), 0, self.errors_of(participant))

    def test_a_frozen_participant_fails_at_the_deadline_and_is_good_again(self):
        server, participants = self.start_three(f"--deadline={2 * support.SLOWNESS}")
        self.read_until(server, ": 3 answered, 0 failed")
        participants[1].send_signal(signal.SIGSTOP)
        self.read_until(server, ": 2 answered, 1 failed")
        participants[1].send_signal(signal.SIGCONT)
        self.read_until(server, ": 3 answered, 0 failed")
        self.stop(server)

    def test_a_participant_with_other_data_is_turned_down(self):
        server, participants = self.start_three()
        self.write_leaf()
        self.read_until(server, "^round 3/.*: 3 answered, 0 failed")
        self.start_participant(server.port, 0, f"--data=leaf:{self.scratch}", "--name=odd")
        self.read_until(server, ": 3 answered, 1 failed")
        self.stop(server)
        self.assertIn("odd: the model does not go with my data", self.errors_of(server))

    def write_leaf(self):
        for part in ("train", "test"):
            (self.scratch / part).mkdir()
            (self.scratch / part / "a.json").write_text(
                '{"users": ["a"], "num_samples": [2], "user_data": {"a": {"x": [[1], [0]], "y": [1, 0]}}}'
            )

    def test_leaf_data_from_end_to_end(self):
        self.write_leaf()
        demo = self.demo(f"--data=leaf:{self.scratch}", "--rounds=30", "--set=train.lr=0.5")
        output = demo.stdout.read()
        self.assertEqual(demo.wait(), 0, self.errors_of(demo))
        self.assertIn("final accuracy 1.000", output)


class Ending(Training):
    def test_ctrl_c_ends_everything(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            demo = self.demo("--rounds=100000", "--participants=4")
            self.read_until(demo, "^round 3/")
            os.killpg(demo.pid, number) if number == signal.SIGINT else demo.send_signal(number)
            demo.stdout.read()
            self.assertEqual(demo.wait(), 128 + number)
            self.assertRegex(self.errors_of(demo), r"stopped after round \d+, test loss .*, test accuracy 0\.\d{3}")
            self.assert_nothing_left(demo)

    def test_ctrl_c_before_anyone_is_there(self):
        server = self.start_server()
        server.send_signal(signal.SIGINT)
        self.assertEqual(server.stdout.read(), "")
        self.assertEqual(server.wait(), 128 + signal.SIGINT)
        participant = self.start_participant(server.port, 0)  # nobody listens there any more
        participant.send_signal(signal.SIGTERM)
        self.assertIn(participant.wait(), (128 + signal.SIGTERM, -signal.SIGTERM))

    def participants_of(self, demo, which="[0-9]+"):
        """The numbers of the processes that a demo has started."""
        return support.session_of(demo, f"--participant {which} ")

    def test_a_demo_that_is_killed_leaves_no_participants(self):
        demo = self.demo("--rounds=100000", "--participants=4")
        self.read_until(demo, "^round 3/")
        participants = self.participants_of(demo)
        self.assertEqual(len(participants), 4)
        os.kill(participants[1], signal.SIGSTOP)
        ends = [os.pidfd_open(pid) for pid in participants]
        demo.kill()
        for end in ends:
            self.assertTrue(select.select([end], [], [], 30 * support.SLOWNESS)[0])
            os.close(end)
        demo.stdout.read()
        self.assert_nothing_left(demo)

    def test_a_server_reads_its_token_again_at_a_hangup(self):
        token, theirs = self.scratch / "token", self.scratch / "theirs"
        token.write_text("0123456789abcdef-old\n")
        theirs.write_text("0123456789abcdef-new\n")
        server = self.start_server(
            f"--token-file={token}",
            "--rounds=1",
            "--participants=1",
            "--no-baselines",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

        def hang_up():
            server.send_signal(signal.SIGHUP)
            while "SIGHUP" not in (line := server.stderr.readline()):
                self.assertTrue(line, "the server has ended")
            return line

        token.write_text("0123456789abcdef-new\n")
        self.assertIn("were read again", hang_up())
        token.write_text("\n")
        self.assertIn(f"stay as they were: the token file '{token}'", hang_up())
        participant = self.start_participant(server.port, 0, f"--token-file={theirs}")
        self.assertEqual(participant.wait(), 0, self.errors_of(participant))
        server.stderr.read()
        self.assertEqual(server.wait(), 0)

    def test_demo_with_a_token(self):
        token = self.scratch / "to\nken"
        token.write_text("a-secret\n")
        demo = self.demo(f"--token-file={token}", "--rounds=2", "--participants=2", "--no-baselines")
        self.assertIn("final accuracy", demo.stdout.read())
        self.assertEqual(demo.wait(), 0, self.errors_of(demo))

    def test_server_that_does_not_start_ends_the_demo(self):
        for options in (["--metrics=/nowhere/m.csv"], ["--fraction=2"], ["--data=leaf:/nowhere"]):
            demo = self.demo(*options)
            self.assertEqual(demo.stdout.read(), "")
            self.assertNotEqual(demo.wait(), 0)
            self.assert_nothing_left(demo)

    def test_demo_whose_participants_all_fail_ends(self):
        """They cannot read what is a file of the demo alone."""
        file = os.memfd_create("token")
        os.write(file, b"0123456789abcdef0123456789abcdef\n")
        token = fcntl.fcntl(file, fcntl.F_DUPFD, 300)  # which none of theirs comes to
        os.close(file)
        demo = self.start(DEMO, "--participants=4", f"--token-file=/proc/self/fd/{token}", pass_fds=[token])
        os.close(token)
        demo.stdout.read()
        self.assertNotEqual(demo.wait(), 0)
        errors = re.findall("the participant of user ([0-3]) ended with status 1: .*token", self.errors_of(demo))
        self.assertEqual(sorted(errors), ["0", "1", "2", "3"])
        self.assert_nothing_left(demo)

    def test_demo_whose_participants_are_all_killed_ends(self):
        demo = self.demo("--participants=4", "--rounds=100000", "--grace=0", "--no-baselines")
        self.read_until(demo, "^round 2/")
        for pid in self.participants_of(demo):
            os.kill(pid, signal.SIGKILL)
        demo.stdout.read()
        self.assertNotEqual(demo.wait(), 0)
        self.assertEqual(self.errors_of(demo).count("was ended by SIGKILL\n"), 4)
        self.assert_nothing_left(demo)

    def test_demo_tells_of_a_participant_that_is_killed(self):
        demo = self.demo("--participants=2", "--rounds=1000", "--grace=0", "--no-baselines")
        self.read_until(demo, "round 2/")
        (participant,) = self.participants_of(demo, "1")
        os.kill(participant, signal.SIGKILL)
        demo.stdout.read()
        errors = self.errors_of(demo)
        self.assertIn("the participant of user 1 was ended by SIGKILL\n", errors)
        self.assertNotIn("Killed", errors)

    def test_port_file_appears_whole(self):
        file = self.scratch / "port"
        file.write_text("old")
        options = ["--listen=127.0.0.1:0", f"--port-file={file}", "--participants=1", "--rounds=1", "--no-baselines"]
        server = self.start(SERVER, *options, stderr=subprocess.PIPE)
        for line in server.stderr:
            if "waiting" in line:  # the file is there before that
                break
        self.start_participant(int(file.read_text()), 0, "--participants=1")
        self.assertIn("final accuracy", server.stdout.read())
        self.assertEqual(os.listdir(self.scratch), ["port"])

    def test_full_disk_is_noticed(self):
        server = self.start_server("--metrics=/dev/full", "--participants=1")
        self.start_participant(server.port, 0, "--participants=1")
        server.stdout.read()
        self.assertEqual(server.wait(), 1)
        self.assertIn("/dev/full: No space left on device", self.errors_of(server))

    def test_port_in_use(self):
        server = self.start_server()
        status, _, errors = self.run_program(SERVER, f"--listen=127.0.0.1:{server.port}")
        self.assertEqual(status, 1)
        self.assertIn(str(server.port), errors)

    def test_a_python_participant_without_a_server(self):
        data = ["--participants=2"]
        self.run_program(PARTICIPANT, "--participant=0", f"--export={self.scratch}/0", *data)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and does not listen
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            status, _, errors = self.run_program(
                PYTHON_PARTICIPANT, f"--connect={address}", "--wait=0.1", f"--data={self.scratch}/0"
            )
        self.assertEqual((status, errors), (1, f"participant.py: no server at {address} within 0.1 s (is it up?)\n"))

    def test_wrong_command_lines(self):
        for program, options, message in (
            (SERVER, ["--fraction=0"], "fraction 0: expected a number above 0"),
            (SERVER, ["--fraction=1.5"], "fraction 1.5: expected a number above 0 up to 1"),
            (SERVER, ["--fraction=nan"], "fraction nan: expected a number above 0 up to 1"),
            (SERVER, ["--rounds=0"], "whole number from 1"),
            (SERVER, ["--rounds=1.5"], "whole number from 1"),
            (SERVER, ["--stragglers=101"], "from 0 to 100"),
            (SERVER, ["--seed=-1"], "whole number from 0"),
            (SERVER, ["--model-size=20X"], "number of bytes"),
            (SERVER, ["--model-size=20MB"], "number of bytes"),
            (SERVER, ["--model-size=-1"], "number of bytes"),
            (SERVER, ["--model-size=65G"], "from 0 to 68719476736"),
            (SERVER, ["--model-size=18446744073709551615G"], "from 0 to 68719476736"),
            (SERVER, ["--set=train.mu=1", "--set=train.lr=1"], "less than 1"),
            (SERVER, ["extra"], "extra"),
            (PARTICIPANT, ["--participant=x"], "whole number from 0"),
            (PARTICIPANT, ["--wait=0"], "from 0.001"),
            (PARTICIPANT, ["extra"], "extra"),
        ):
            status, output, errors = self.run_program(program, *options)
            self.assertEqual((status, output), (2, ""), options)
            self.assertIn(message, errors)
        for command in ([SERVER], [PARTICIPANT, "--participant=0"], [DEMO], [PYTHON_PARTICIPANT]):
            status, output, _ = self.run_program(*command, "--help")
            self.assertEqual(status, 0)
            self.assertIn("--connect" if "participant" in str(command[-1]) else "--rounds", output)


if __name__ == "__main__":
    support.main()
