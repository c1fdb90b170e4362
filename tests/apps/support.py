"""What the tests of apps/ share: where the programs are, starting and ending them, one line per test."""

import contextlib
import csv
import fcntl
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("top_builddir", ".")).resolve()
MUSTER = BUILD / "apps" / "muster" / "muster"
# Programs with their first words.
DEMO = PARTICIPANT = (MUSTER, "demo")
HAS_HTTP2 = MUSTER.exists() and b" http2+ " in subprocess.run([MUSTER, "--help"], stdout=subprocess.PIPE).stdout
SERVER = (*DEMO, "--start=0")  # which waits for participants from elsewhere
NODE = (MUSTER, "node")
MASTER, MEMBER = (MUSTER, "vertical", "master"), (MUSTER, "vertical", "member")
COORDINATOR = (MUSTER, "coordinator")
PYTHON_PARTICIPANT = SOURCE / "examples" / "participant.py"

# For a program's standard output: it is never more than a line or two ahead of what the test has read.
IN_STEP = object()

COLUMNS = "round,seconds,answered,failed,bytes_sent,bytes_received,train_loss,test_loss,test_accuracy"

# How much longer things may take under a sanitizer.
SLOWNESS = int(os.environ.get("MUSTER_TEST_SLOWNESS", "1"))

os.environ["OPENBLAS_NUM_THREADS"] = "1"


# What a test started, to be ended when the test itself is ended from outside, and what is to be done after that.
started, after_all = [], []


def end_started(number, _):
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    for function in after_all:
        with contextlib.suppress(OSError):
            function()
    os._exit(128 + number)


# A test that a shell started in its background has SIGINT ignored, and its children would inherit that. It is not done
# between fork() and exec(): then Python would not use vfork(), and C-core's handlers of fork() would abort this process now
# and then.
signal.signal(signal.SIGINT, signal.default_int_handler)


def too_long(*_):
    raise TimeoutError("the test takes too long")


def in_step():
    """A pipe with room for one write."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_DIRECT)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    return open(reading), writing


def matching(file, pattern):
    """Reads lines up to one that matches; None: there was none."""
    return next((line for line in file if re.search(pattern, line)), None)


def command_line(number):
    """Of the process of that number; empty: it has ended, or is ending."""
    try:
        return pathlib.Path("/proc", number, "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Case(unittest.TestCase):
    """A test with a scratch directory, that leaves no process behind."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        after_all.append(directory.cleanup)
        self.scratch = pathlib.Path(directory.name)
        # What hangs is to fail here, where it is seen which test it was.
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(180 * SLOWNESS)
        self.addCleanup(signal.alarm, 0)

    def start(self, program, *words, **options):
        """Starts a program, which may be several words, in a process group of its own; it is killed at the end of the test
        if need be."""
        command = (*program, *words) if isinstance(program, tuple) else (program, *words)
        errors = options.pop("stderr", None) or tempfile.TemporaryFile("w+")
        output = options.pop("stdout", subprocess.PIPE)
        reading = None
        if output is IN_STEP:
            reading, output = in_step()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            text=True,
            start_new_session=True,
            **options,
        )
        if reading:
            os.close(output)
            process.stdout = reading
        process.errors = errors
        started.append(process)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        for file in (process.stderr, process.errors):
            if hasattr(file, "close"):
                file.close()

    def errors_of(self, process):
        """What it has written so far. It writes on at the offset that it shares with us, which stays where it is."""
        file = process.errors.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode()

    def run_program(self, *command):
        """Runs a program to its end: exit status, standard output, standard error."""
        process = self.start(*command)
        output = process.stdout.read()
        return process.wait(), output, self.errors_of(process)

    def await_line(self, file, pattern):
        """Reads lines up to one that matches."""
        return matching(file, pattern) or self.fail(f"no line with {pattern}")

    def read_until(self, process, pattern):
        """Reads the lines of a program up to one that matches."""
        return matching(process.stdout, pattern) or self.fail(f"no line with {pattern}; {self.errors_of(process)}")

    def rows_of(self, path):
        """The metrics of a server, a dictionary for each round."""
        with open(path, newline="") as file:
            self.assertEqual(file.readline().strip(), COLUMNS)
            return list(csv.DictReader(file, COLUMNS.split(",")))

    def reserve_port(self):
        """A port that nobody listens on, and that nobody gets before the end of the test who does not ask for it by number: a
        server that was killed can have it again, and meanwhile no server of another test is there."""
        reserved = socket.socket()
        self.addCleanup(reserved.close)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        return reserved.getsockname()[1]

    def start_on_port(self, *command, **settings):
        """Starts a program that listens, and says on which port in --port-file: its `port` when this returns. Where it asks
        for any, it gets one that is reserved."""
        command = [
            f"{word[:-1]}{self.reserve_port()}" if re.match("--(listen|coordinate)=127.0.0.1:0$", str(word)) else word
            for word in command
        ]
        reading, writing = os.pipe()
        process = self.start(*command, f"--port-file=/dev/fd/{writing}", pass_fds=[writing], **settings)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            line = pipe.readline()
        self.assertTrue(line, self.errors_of(process) if not line else "")
        process.port = int(line)
        return process

    def start_server(self, *options, through=(), **settings):
        """Starts a server on a free port, `through` another program if there is one."""
        return self.start_on_port(*through, *SERVER, "--listen=127.0.0.1:0", *options, **settings)

    def start_participant(self, port, user, *options):
        return self.start(
            PARTICIPANT, f"--connect=127.0.0.1:{port}", f"--participant={user}", *options, stdout=subprocess.DEVNULL
        )

    def assert_nothing_left(self, process):
        """Nobody is left in the session that a program, which has ended, was started in. (What is ending, or has ended
        and was not collected by init yet, has no command line any more.)"""
        listed = subprocess.run(["pgrep", "--session", str(process.pid)], stdout=subprocess.PIPE, text=True)
        self.assertEqual([line for line in map(command_line, listed.stdout.split()) if line], [])


def session_of(process, pattern):
    """The numbers of the processes in a program's session whose command line matches."""
    command = ["pgrep", "--session", str(process.pid), "-f", "--", pattern]
    return [int(pid) for pid in subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.split()]


def catches(process, number):
    """Whether a program catches a signal already, which ends it otherwise."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"^SigCgt:\s*(\w+)", status, re.MULTILINE)[1], 16) >> (number - 1) & 1


class Result(unittest.TestResult):
    def addSuccess(self, test):
        print("ok", test.id().removeprefix("__main__."), flush=True)

    def report(self, test, error):
        print("not ok", test.id().removeprefix("__main__."))
        print(self._exc_info_to_string(error, test), flush=True)

    def addError(self, test, error):
        super().addError(test, error)
        self.report(test, error)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.report(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error:
            self.report(subtest, error)


def main(program=MUSTER):
    """Runs the tests of the calling program, which are of `program`, or those that are named on its command line."""
    if not program.exists():
        print(f"{program.name} is not built")
        sys.exit(77)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_started)
    names = sys.argv[1:]
    module = sys.modules["__main__"]
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)
    result = Result()
    suite.run(result)
    sys.exit(not (result.wasSuccessful() and result.testsRun > 0))
