"""What the tests of the examples share: where the programs are, starting and ending them, one line per test."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("top_builddir", ".")).resolve()
SERVER = BUILD / "examples" / "fedavg_server"
PARTICIPANT = BUILD / "examples" / "participant"
DEMO = SOURCE / "examples" / "demo"
PYTHON_PARTICIPANT = SOURCE / "examples" / "participant.py"

# How much longer things may take under a sanitizer.
SLOWNESS = int(os.environ.get("MUSTER_TEST_SLOWNESS", "1"))

os.environ["OPENBLAS_NUM_THREADS"] = "1"


# What a test started, to be ended when the test itself is ended from outside.
started = []


def end_started(number, _):
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    os._exit(128 + number)


def too_long(*_):
    raise TimeoutError("the test takes too long")


def restore_signals():
    """A test that a shell started in its background has SIGINT ignored, and its children would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Case(unittest.TestCase):
    """A test with a scratch directory, that leaves no process behind."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.scratch = pathlib.Path(directory.name)
        # What hangs is to fail here, where it is seen which test it was.
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(60 * SLOWNESS)
        self.addCleanup(signal.alarm, 0)

    def start(self, *command, **options):
        """Starts a program in a process group of its own; it is killed at the end of the test if need be."""
        errors = options.pop("stderr", None) or tempfile.TemporaryFile("w+")
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=errors,
            text=True,
            start_new_session=True,
            preexec_fn=restore_signals,
            **options,
        )
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
        process.errors.seek(0)
        return process.errors.read()

    def run_program(self, *command):
        """Runs a program to its end: exit status, standard output, standard error."""
        process = self.start(*command)
        output = process.stdout.read()
        return process.wait(), output, self.errors_of(process)

    def start_server(self, *options, **settings):
        """Starts a server on a free port; its `port` is known when this returns."""
        reading, writing = os.pipe()
        server = self.start(
            SERVER,
            "--listen=127.0.0.1:0",
            f"--port-file=/dev/fd/{writing}",
            *options,
            pass_fds=[writing],
            **settings,
        )
        os.close(writing)
        with os.fdopen(reading) as pipe:
            line = pipe.readline()
        self.assertTrue(line, self.errors_of(server) if not line else "")
        server.port = int(line)
        return server

    def start_participant(self, port, user, *options):
        return self.start(
            PARTICIPANT, f"--connect=127.0.0.1:{port}", f"--user={user}", *options, stdout=subprocess.DEVNULL
        )

    def assert_nothing_left(self, process):
        """Nobody is left in the process group that a program, which has ended, was started in."""
        with self.assertRaises(ProcessLookupError):
            os.killpg(process.pid, 0)


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


def main(program=SERVER):
    """Runs the tests of the calling program, or those that are named on its command line."""
    if not program.exists():
        print(f"{program} is not built")
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
