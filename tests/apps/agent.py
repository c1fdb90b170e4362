#!/usr/bin/python3 -B
"""muster agent, spoken to as a launcher does: what it starts, what it tells of it, and what it does with nonsense."""

import json
import os
import select
import signal
import subprocess

import support
from support import MUSTER


class Agent(support.Case):
    def setUp(self):
        super().setUp()
        self.agent = subprocess.Popen(
            [MUSTER, "agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, bufsize=0
        )
        self.addCleanup(self.end_agent)
        support.started.append(self.agent)
        self.output = self.agent.stdout
        self.left = b""
        self.assertEqual(sorted(self.take()), ["hello", "host", "seen"])

    def end_agent(self):
        if self.agent.poll() is None:
            self.agent.kill()
        self.agent.wait()
        self.agent.stdin.close()
        self.agent.stdout.close()

    def tell(self, message):
        self.agent.stdin.write(json.dumps(message).encode() + b"\n")

    def read(self, done):
        while not done(self.left):
            piece = os.read(self.output.fileno(), 65536)
            if not piece:
                return False
            self.left += piece
        return True

    def take(self):
        """The next message, with the bytes behind it as "text"; None at the end."""
        if not self.read(lambda left: b"\n" in left):
            return None
        line, self.left = self.left.split(b"\n", 1)
        message = json.loads(line)
        if size := message.get("bytes"):
            self.assertTrue(self.read(lambda left: len(left) >= size))
            message["text"], self.left = self.left[:size], self.left[size:]
        return message

    def begin(self, number, *arguments, environment=(), directory=None, serves=False):
        start = {"id": number, "arguments": arguments, "environment": list(environment), "directory": directory}
        self.tell({"start": {**start, "serves": serves}})

    def outcome(self):
        """Of the process that was started last: its output, and waitpid()'s status."""
        text = b""
        while True:
            message = self.take()
            if "ended" in message:
                return text, message["ended"]
            text += message.get("text", b"")

    def await_end(self):
        self.agent.stdin.close()
        while self.take():
            pass
        self.assertEqual(self.agent.wait(), 0)


class Processes(Agent):
    def test_environment_and_directory(self):
        os.mkdir(self.scratch / "a b")
        script = 'pwd; echo "$NAME"; echo "$HOME"; exit 3'
        environment = ["NAME=it's \"x\"", "HOME=/nowhere"]
        self.begin(7, "sh", "-c", script, environment=environment, directory=str(self.scratch / "a b"))
        started = self.take()
        self.assertEqual(started["id"], 7)
        self.assertGreater(started["started"], 1)
        text, status = self.outcome()
        self.assertEqual(text.decode().splitlines(), [str((self.scratch / "a b").resolve()), "it's \"x\"", "/nowhere"])
        self.assertEqual(os.waitstatus_to_exitcode(status), 3)

    def test_what_cannot_be_started(self):
        self.begin(0, str(self.scratch / "none"))
        self.assertIn("No such file", self.take()["failed"])
        self.begin(0, "true", directory=str(self.scratch / "none"))
        self.assertIn("No such file", self.take()["failed"])
        self.tell({"start": {"id": 1, "arguments": ["true", 5], "environment": [], "directory": None}})
        self.assertEqual(self.take()["id"], 1)
        self.begin(0, "true")
        self.assertIn("started", self.take())

    def test_ports(self):
        script = 'for word; do case $word in --port-file=*) printf "4711\\n4712\\n" > "${word#*=}";; esac; done; echo "$@"'
        self.begin(0, "sh", "-c", script, "x", "y", serves=True)
        told = [self.take() for _ in range(4)]
        (port,) = [message for message in told if "port" in message]
        self.assertEqual((port["port"], port["monitor"]), (4711, 4712))
        text = b"".join(message.get("text", b"") for message in told).decode()
        self.assertRegex(text, r"^y --port-file=/dev/fd/\d+\n$")

    def test_a_port_that_is_none(self):
        script = 'for word; do case $word in --port-file=*) head -c 100000 /dev/zero | tr "\\0" 9 > "${word#*=}";; esac; done'
        self.begin(0, "sh", "-c", script, "x", serves=True)
        self.assertIn("started", self.take())
        self.assertIn("ended", self.take())

    def test_much_output(self):
        self.begin(0, "sh", "-c", "head -c 3000000 /dev/zero")
        self.take()
        text, _ = self.outcome()
        self.assertEqual(len(text), 3000000)

    def test_many_that_write_while_the_launcher_does_not_read(self):
        count = 400  # all of their pipes together are more than may wait to be sent
        for number in range(count):
            self.begin(number, "head", "-c", "100000", "/dev/zero")
        written = dict.fromkeys(range(count), 0)
        ended = 0
        while ended < count:
            message = self.take()
            self.assertTrue(message, "the agent has gone")
            ended += "ended" in message
            written[message["id"]] += message.get("bytes", 0)
        self.assertEqual(set(written.values()), {100000})

    def test_a_signal_is_for_the_whole_group(self):
        self.begin(0, "sh", "-c", "sleep 4000 & sleep 4000 & echo there; wait")
        self.assertIn("started", self.take())
        self.assertEqual(self.take()["text"], b"there\n")
        self.tell({"signal": signal.SIGTERM, "id": 0})
        _, status = self.outcome()
        self.assertEqual(os.waitstatus_to_exitcode(status), -signal.SIGTERM)

    def test_an_id_can_be_used_again(self):
        for _ in range(3):
            self.begin(5, "true")
            self.outcome()


class Nonsense(Agent):
    def test_what_is_no_message_ends_it(self):
        self.begin(0, "sh", "-c", "echo there; sleep 4000")
        self.take()
        self.take()
        self.tell({})  # is a message, and says nothing
        self.agent.stdin.write(b"nonsense\n")
        self.await_end()

    def test_a_line_without_an_end(self):
        self.tell({})
        with self.assertRaises(BrokenPipeError):
            while True:
                self.agent.stdin.write(b"x" * 65536)
        while self.take():
            pass
        self.assertEqual(self.agent.wait(), 0)

    def test_numbers_that_are_none(self):
        for number in (-1, 10**6, "x", None, 1.5):
            self.tell({"signal": 9, "id": number})
            self.tell({"start": {"id": number, "arguments": ["true"], "environment": [], "directory": None}})
        for number in (0, -1, 10**6):
            self.tell({"signal": number, "id": 0})
        self.tell({"start": {"id": 0, "arguments": []}})
        self.tell({"start": 3})
        self.tell({"ping": 42})
        while (message := self.take()).get("pong") != 42:
            self.assertIn("failed", message)

    def test_its_input_ends(self):
        self.begin(0, "bash", "-c", "trap '' TERM; setsid sleep 4000 & echo there; sleep 4000; sleep 4000")
        number = self.take()["started"]
        self.take()
        ends = [os.pidfd_open(number)]
        self.await_end()
        self.assertEqual(select.select(ends, [], [], 0)[0], ends)
        os.close(ends[0])

    def test_options(self):
        status, _, errors = self.run_program(MUSTER, "agent", "--help")
        self.assertEqual(status, 2)
        self.assertIn("a launcher starts it", errors)


if __name__ == "__main__":
    support.main()
