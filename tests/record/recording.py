"""What the tests of records share: a process that keeps one, by commands."""

import os
import pathlib
import queue
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "apps"))
import support as programs  # noqa: E402, what tests of programs share

RECORDER = programs.BUILD / "tests" / "record" / "recorder"
HERE = pathlib.Path(__file__).resolve().parent


class Recorder:
    """Keeps a record; `warnings` are those that have come."""

    def __init__(self, case, **environment):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        self.process = programs.subprocess.Popen(
            [RECORDER],
            stdin=programs.subprocess.PIPE,
            stdout=programs.subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**inherited, "no_proxy": "*", **environment},
        )
        programs.started.append(self.process)
        case.addCleanup(self.end)
        self.case = case
        self.warnings = []
        self.answers = queue.SimpleQueue()
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if not line.startswith("warning: "):
                self.answers.put(line)
                continue
            with self.changed:
                self.warnings.append(line.removeprefix("warning: "))
                self.changed.notify_all()
        self.answers.put("the recorder has ended")

    def say(self, command):
        """Gives a command, and returns the answer."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answers.get()

    def do(self, *commands):
        for command in commands:
            self.case.assertEqual(self.say(command), "ok", command)

    def wait_for_warning(self, text):
        with self.changed:
            self.changed.wait_for(lambda: any(text in warning for warning in self.warnings))

    def end(self):
        """Lets the process end, which it does well."""
        self.process.stdin.close()
        status = self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.case.assertEqual(status, 0)
