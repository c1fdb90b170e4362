#!/usr/bin/python3 -B
"""muster launch: the same program several times on this host; and that nothing is left of it, whatever happens."""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import termios

import support
from support import MUSTER

LAUNCH = (MUSTER, "launch")

# Says that it is there, and then waits for ever: SIGTERM does not end it, nor what it leaves behind.
STUBBORN = """
trap '' TERM
setsid sleep 4000 &
(sleep 4000 & sleep 4000) &
echo there
sleep 4000
sleep 4000
"""


def environment_of(number):
    try:
        return pathlib.Path("/proc", number, "environ").read_bytes()
    except OSError:
        return b""


def marked(mark):
    """The processes that have the mark in their environment, and live."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and mark.encode() in environment_of(entry.name) and support.command_line(entry.name):
            found.append(int(entry.name))
    return found


def await_end(number):
    """Waits for a process, whoever's child it is."""
    try:
        file = os.pidfd_open(number)
    except ProcessLookupError:
        return
    select.select([file], [], [])
    os.close(file)


class Launching(support.Case):
    def launch(self, *words, **settings):
        """Starts it with a mark that all have that it starts."""
        self.mark = f"MUSTER_TEST_MARK={self.id()}-{os.getpid()}"
        name, value = self.mark.split("=")
        launch = self.start(LAUNCH, *words, env={**os.environ, name: value}, **settings)
        self.addCleanup(self.end_marked)
        return launch

    def end_marked(self):
        for number in marked(self.mark):
            with contextlib.suppress(ProcessLookupError):  # the others end with the first
                os.kill(number, signal.SIGKILL)

    def assert_none_left(self):
        """All of them end: the agent ends what its launcher leaves."""
        while left := marked(self.mark):
            await_end(left[0])

    def children_of(self, number):
        listed = subprocess.run(["pgrep", "-P", str(number)], stdout=subprocess.PIPE, text=True)
        return listed.stdout.split()


class Started(Launching):
    def test_ranks_names_and_arguments(self):
        script = 'printf "%s\\n" "$MUSTER_RANK of $MUSTER_COUNT, $MUSTER_NAME, $MUSTER_SERVER: $1 $2"'
        words = ["it's {rank}", '"{count}" {name} {other} \\ $HOME']
        launch = self.launch("-n", 11, "--server=192.0.2.7:8080", "--name=a b", "--", "sh", "-c", script, "x", *words)
        lines = launch.stdout.read().splitlines()
        self.assertEqual(launch.wait(), 0, self.errors_of(launch))
        expected = [
            f"{i}: {i} of 11, a b-{i:02}, 192.0.2.7:8080: it's {i} \"11\" a b-{i:02} {{other}} \\ $HOME" for i in range(11)
        ]
        self.assertEqual(sorted(lines, key=lambda line: int(line.split(":")[0])), expected)

    def test_lines_are_whole_and_bytes_are_kept(self):
        program = "import sys; sys.stdout.buffer.write(b'\\xff\\x1b[1m' + b'x' * 60000 + b'\\n' + b'y' * 200000 + b'\\nlast')"
        launch = self.start(LAUNCH, "-n2", "--", sys.executable, "-c", program, stdout=(self.scratch / "output").open("wb"))
        self.assertEqual(launch.wait(), 0, self.errors_of(launch))
        lines = (self.scratch / "output").read_bytes().splitlines()
        for rank in (b"0: ", b"1: "):
            own = [line.removeprefix(rank) for line in lines if line.startswith(rank)]
            self.assertEqual((own[0], own[-1]), (b"\xff\x1b[1m" + b"x" * 60000, b"last"))
            self.assertEqual(b"".join(own[1:-1]), b"y" * 200000)  # which is too long to be shown in one piece

    def test_standard_error_is_shown_and_input_is_empty(self):
        launch = self.launch("--", "sh", "-c", "wc -c; echo wrong >&2")
        self.assertEqual(launch.stdout.read().splitlines(), ["0: 0", "0: wrong"])
        self.assertEqual(launch.wait(), 0)

    def test_nobody_reads(self):
        """The run goes on, and what there is no room for is told."""
        reading, writing = os.pipe()
        program = f"for i in range(300000): print('a long line of output', i)\nopen('{self.scratch}/done', 'w')"
        launch = self.launch("--", sys.executable, "-c", program, stdout=writing)
        os.close(writing)
        self.assertEqual(launch.wait(), 0, self.errors_of(launch))
        self.assertTrue((self.scratch / "done").exists())
        self.assertRegex(self.errors_of(launch), r"\d+ bytes were not shown")
        os.close(reading)

    def test_the_reader_goes_away(self):
        reading, writing = os.pipe()
        launch = self.launch("--", "sh", "-c", f"echo there; head -c 300000 /dev/zero; touch '{self.scratch}/done'", stdout=writing)
        os.close(writing)
        os.close(reading)
        self.assertEqual(launch.wait(), 0, self.errors_of(launch))
        self.assertTrue((self.scratch / "done").exists())


class Failing(Launching):
    def test_it_is_started_again_and_then_given_up(self):
        launch = self.launch("-n2", "--restarts=1", "--", "sh", "-c", 'echo "try of $MUSTER_RANK"; echo why >&2; exit $MUSTER_RANK')
        lines = launch.stdout.read().splitlines()
        self.assertEqual(launch.wait(), 1)
        self.assertEqual(sorted(lines), ["0: try of 0", "0: why", "1: try of 1", "1: try of 1", "1: why", "1: why"])
        errors = self.errors_of(launch)
        self.assertIn("participant-1 on here ended with status 1; it starts again in 1 s: why", errors)
        self.assertIn("participant-1 on here is given up: it ended with status 1. Its last lines: try of 1 | why", errors)

    def test_a_program_that_is_not_there(self):
        for program, why in ((self.scratch / "none", "No such file"), (self.scratch, "Permission denied")):
            status, _, errors = self.run_program(*LAUNCH, "-n3", "--", program)
            self.assertEqual(status, 1)
            self.assertRegex(errors, f"participant-\\d on here: starting {re.escape(str(program))}: {why}")

    def test_command_lines(self):
        for words in (["-n0", "--", "true"], ["-nx", "--", "true"], ["--name=a/b", "--", "true"], [], ["--restarts=-1", "--", "true"]):
            status, _, errors = self.run_program(*LAUNCH, *words)
            self.assertEqual(status, 2, errors)
            self.assertNotIn("---", errors)
        status, output, _ = self.run_program(*LAUNCH, "--help")
        self.assertEqual(status, 0)
        self.assertIn("MUSTER_RANK", output)


class Stopped(Launching):
    def start_stubborn(self, count=3):
        launch = self.launch("-n", count, "--", "bash", "-c", STUBBORN, stderr=subprocess.PIPE)
        for _ in range(count):
            self.read_until(launch, "there")
        return launch

    def test_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            launch = self.launch("-n2", "--", "sh", "-c", "echo there; exec sleep 4000")
            for _ in range(2):
                self.read_until(launch, "there")
            launch.send_signal(number)
            self.assertEqual(launch.wait(), 128 + number)
            self.assertEqual(marked(self.mark), [])

    def test_a_second_signal_kills(self):
        launch = self.start_stubborn()
        launch.send_signal(signal.SIGINT)
        self.await_line(launch.stderr, "once more")
        launch.send_signal(signal.SIGINT)
        self.assertEqual(launch.wait(), 130)
        self.assertEqual(marked(self.mark), [])

    def test_the_launcher_is_killed(self):
        launch = self.start_stubborn()
        launch.kill()
        launch.wait()
        self.assert_none_left()

    def test_the_agent_is_killed(self):
        launch = self.start_stubborn(1)
        (agent,) = self.children_of(launch.pid)
        os.kill(int(agent), signal.SIGKILL)
        self.read_until(launch, "there")  # it was started again
        self.await_line(launch.stderr, "host here is lost, with 1 processes")
        launch.send_signal(signal.SIGTERM)
        self.await_line(launch.stderr, "once more")
        launch.send_signal(signal.SIGTERM)
        self.assertEqual(launch.wait(), 143)
        self.assertEqual(marked(self.mark), [])

    def test_launcher_and_agent_are_killed(self):
        launch = self.launch("-n3", "--", "sh", "-c", "echo there; exec sleep 4000")
        for _ in range(3):
            self.read_until(launch, "there")
        (agent,) = self.children_of(launch.pid)
        launch.kill()
        with contextlib.suppress(ProcessLookupError):  # it ends by itself, too
            os.kill(int(agent), signal.SIGKILL)
        launch.wait()
        self.assert_none_left()

    def test_a_process_is_killed_and_starts_again(self):
        launch = self.launch("--", "sh", "-c", "echo $$; exec sleep 4000")
        number = int(self.read_until(launch, r"^0: \d+").split()[1])
        os.kill(number, signal.SIGKILL)
        again = int(self.read_until(launch, r"^0: \d+").split()[1])
        self.assertNotEqual(number, again)
        self.assertIn("participant-0 on here was ended by SIGKILL; it starts again", self.errors_of(launch))

    def test_control_c_on_a_terminal_is_for_the_launcher_alone(self):
        master, slave = pty.openpty()
        command = [str(MUSTER), "launch", "--", "bash", "-c", "trap 'echo interrupted' INT; trap 'echo asked; exit 0' TERM; echo there; while :; do read -t 1; done < <(sleep 4000)"]
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.close(master)
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for number in range(3):
                os.dup2(slave, number)
            os.execv(command[0], command)
        os.close(slave)
        self.addCleanup(os.close, master)
        seen = b""
        while b"there" not in seen:
            seen += os.read(master, 4096)
        os.write(master, b"\x03")
        _, status = os.waitpid(pid, 0)
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        self.assertEqual(os.waitstatus_to_exitcode(status), 130)
        self.assertIn(b"asked", seen)
        self.assertNotIn(b"interrupted", seen)


if __name__ == "__main__":
    support.main()
