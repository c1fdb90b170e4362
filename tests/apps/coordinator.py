#!/usr/bin/python3 -B
"""muster coordinator: groups that it brings together, and what it leaves behind; and what all programs that serve tell of it."""

import os
import re
import signal
import socket
import subprocess

import support
from support import COORDINATOR, MASTER, MUSTER, NODE


class Case(support.Case):
    def coordinate(self, *options, port=0, **settings):
        return self.start_on_port(COORDINATOR, f"--listen=127.0.0.1:{port}", *options, **settings)

    def join(self, coordinator, name, *options, **settings):
        return self.start(NODE, f"--coordinator=127.0.0.1:{coordinator.port}", f"--name={name}", "--members=2", *options, **settings)

    def end_with(self, process, number):
        process.send_signal(number)
        process.stdout.read()
        self.assertEqual(process.wait(), 128 + number, self.errors_of(process))
        return self.errors_of(process)


class Groups(Case):
    def test_of_two_names(self):
        coordinator = self.coordinate()
        nodes = [
            self.join(coordinator, f"{group}-{number}", f"--group={group}", "--consensus-only")
            for group in ("red", "blue")
            for number in range(2)
        ]
        for node in nodes:
            node.stdout.read()
            self.assertEqual(node.wait(), 0, self.errors_of(node))
        errors = self.end_with(coordinator, signal.SIGTERM)
        self.assertIn(f"listening on port {coordinator.port}", errors)
        for group in ("red", "blue"):
            self.assertRegex(errors, rf"group {group}, epoch 1: rank \d, {group}-[01], is present")
            self.assertRegex(errors, rf"group {group}, epoch \d+: rank \d, {group}-[01], has finished")
        self.assertIn("ended by signal 15", errors)

    def read_state(self, coordinator):
        """Asks for it."""
        coordinator.send_signal(signal.SIGUSR1)
        lines = []
        while not lines or "end of the state" not in lines[-1]:
            lines.append(coordinator.stderr.readline() or self.fail(f"it has ended after {lines}"))
        return "".join(lines)

    def test_go_on_when_it_is_killed_and_started_again(self):
        options = ("--grace=600", f"--file={self.scratch}/groups")
        coordinator = self.coordinate(*options)
        # Whoever has rank 0 tells of the rounds.
        reading, writing = os.pipe()
        nodes = [self.join(coordinator, name, "--rounds=1000000", stdout=writing) for name in "ab"]
        os.close(writing)
        rounds = self.enterContext(os.fdopen(reading))
        self.await_line(rounds, "^round")
        coordinator.kill()
        coordinator.wait()
        again = self.coordinate(*options, port=coordinator.port, stderr=subprocess.PIPE)
        while not re.search("group default: runs .* of 2 members 2 present, 0 of these away", self.read_state(again)):
            pass
        self.await_line(rounds, "^round")
        for node in nodes:
            self.assertIsNone(node.poll())

    def test_that_are_not_complete_do_not_keep_it(self):
        coordinator = self.coordinate()
        self.join(coordinator, "alone")
        self.end_with(coordinator, signal.SIGINT)

    def test_mistakes(self):
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        other = self.scratch / "other"
        other.write_text("this is no file of a coordinator\n")
        for options, text in (
            ([f"--listen=127.0.0.1:{taken.getsockname()[1]}"], "muster coordinator: cannot listen on '127.0.0.1:"),
            (["--listen=127.0.0.1:0", f"--file={other}"], "muster coordinator: "),
            (["--listen=127.0.0.1:0", f"--port-file={self.scratch}/none/port"], "No such file or directory"),
        ):
            status, _, errors = self.run_program(COORDINATOR, *options)
            self.assertEqual(status, 1, errors)
            self.assertIn(text, errors)
        for option, text in (
            ("--grace=0", "--grace 0: expected a number from 0.001"),
            ("--set=max_group=1", "max_group: there is no such setting; max_groups is one"),
            ("--max-groups=0", "--max-groups 0: expected a whole number from 1 to 65536"),
            ("more", "more: there is only room for options"),
        ):
            status, _, errors = self.run_program(COORDINATOR, option)
            self.assertEqual(status, 2)
            self.assertIn(text, errors)


class Serving(Case):
    """What all that serve have in common."""

    def programs(self):
        """Each with its options, and whether it can have a monitor."""
        commands = self.run_program(MUSTER, "--help")[1]
        yield COORDINATOR, ("--listen=127.0.0.1:0",), False
        yield (MUSTER, "server"), ("--listen=127.0.0.1:0",), True
        yield NODE, ("--coordinate=127.0.0.1:0", "--members=2"), True
        if "  vertical " in commands:
            yield MASTER, ("--listen=127.0.0.1:0",), True

    def test_ports(self):
        """The first line has the port, and the second that of the monitor."""
        has_monitor = self.has_monitor()
        for program, options, shows in self.programs():
            monitored = shows and has_monitor
            reading, writing = os.pipe()
            process = self.start(
                program, *options, f"--port-file=/dev/fd/{writing}", *(["--monitor=127.0.0.1:0"] if monitored else []),
                pass_fds=[writing],
            )  # fmt: skip
            os.close(writing)
            with os.fdopen(reading) as pipe:
                ports = [int(pipe.readline()) for _ in range(2 if monitored else 1)]
            self.assertEqual(len(set(ports)), len(ports))
            for port in ports:
                socket.create_connection(("127.0.0.1", port), timeout=60).close()
            self.end(process)

    def has_monitor(self):
        """Whether this build has one."""
        status, _, errors = self.run_program(NODE, "--coordinate=local:c", "--monitor=127.0.0.1:0", "--threads=0", "--members=2")
        self.assertEqual(status, 2)
        return "this build has no monitor" not in errors

    def test_a_service_manager_is_told(self):
        path = str(self.scratch / "manager")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(60 * support.SLOWNESS)
            for program, options, _ in self.programs():
                if program == NODE:
                    continue
                process = self.start(program, *options, env=os.environ | {"NOTIFY_SOCKET": path})
                self.assertEqual(manager.recv(100), b"READY=1\n")
                process.send_signal(signal.SIGTERM)
                self.assertEqual(manager.recv(100), b"STOPPING=1\n")
                self.assertEqual(process.wait(), 128 + signal.SIGTERM, self.errors_of(process))


class Settings(Case):
    """What a command line can set by keys."""

    def test_of_a_node(self):
        one = self.start(NODE, "--coordinate=local:c", "--threads=4", "--consensus-only", "--topology=ring")
        other = self.start(
            NODE, "--set=coordinate=local:c", "--set", "threads=4", "--set=consensus_only=true", "--set=topology=ring"
        )
        self.assertEqual(one.stdout.read(), other.stdout.read())
        self.assertEqual((one.wait(), other.wait()), (0, 0))

    def test_by_rank_without_a_file(self):
        settings = '{"default": {"epochs": 2}, "1": {"algorithm": "push"}}'
        options = ("--coordinate=local:c", "--threads=2", "--rounds=2")
        status, output, errors = self.run_program(NODE, *options, f"--settings={settings}")
        self.assertEqual(status, 0, errors)
        self.assertIn("final accuracy", output)
        for wrong in ('{"7": {}}', '{"0": {"epoch": 1}}', "{"):
            status, _, errors = self.run_program(NODE, *options, f"--settings={wrong}")
            self.assertEqual(status, 2)
            self.assertIn("--settings: ", errors)

    def test_mistakes(self):
        for program, setting, text in (
            (NODE, "topolgy=x", "topolgy: there is no such setting; topology is one"),
            (NODE, "algorithm=gossip", "algorithm gossip: expected static, push, exchange, dynamic or fedavg"),
            (NODE, "rounds=x", "rounds x: expected a whole number from 1 to 1000000"),
            (NODE, "members=5", None),
        ):
            status, _, errors = self.run_program(program, "--coordinate=local:c", "--topology=hypercube", f"--set={setting}")
            self.assertEqual(status, 2)
            self.assertIn(f"--set: {text}" if text else "--topology: there is no hypercube of 5 ranks", errors)


if __name__ == "__main__":
    support.main()
