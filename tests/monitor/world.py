"""What the tests of the monitor share: a real run, which tests/monitor/world.c is, and looks at it by HTTP."""

import base64
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "apps"))
import support  # noqa: E402

WORLD = support.BUILD / "tests" / "monitor" / "world"
KEPT = support.BUILD / "tests" / "monitor"  # what a test leaves for people to look at
LIMIT = 100 * support.SLOWNESS  # a browser on a busy machine takes its time

# libgrpc is not instrumented, as in tests/support/run_test. What needs no libgrpc is in tests/monitor/monitor.
if os.environ.get("MUSTER_TEST_TOOL") == "tsan":
    os.environ["TSAN_OPTIONS"] += ":ignore_noninstrumented_modules=1"


class World:
    """A server with a monitor, and what it is told to do."""

    def __init__(self, case, *settings):
        self.case = case
        self.process = subprocess.Popen(
            [str(WORLD), "server", *settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        support.started.append(self.process)
        case.addCleanup(self.end)
        line = self.process.stdout.readline()
        case.assertTrue(line, "the server did not start")
        self.port, self.monitor, self.coordinator = (int(word) for word in line.split())

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def stop(self):
        """Ends it in good order."""
        self.process.stdin.close()
        return self.process.wait(LIMIT)

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline().strip()
        self.case.assertEqual(said, "OK", command)

    def participant(self, name):
        return self.start("participant", f"127.0.0.1:{self.port}", name)

    def member(self, name, count):
        return self.start("member", f"127.0.0.1:{self.coordinator}", name, str(count))

    def start(self, *arguments):
        process = subprocess.Popen(
            [str(WORLD), *arguments],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        support.started.append(process)
        self.case.addCleanup(end_process, process)
        return process

    def get(self, path, method="GET", headers=None, context=None):
        """Status, headers, body."""
        if context:
            connection = http.client.HTTPSConnection("localhost", self.monitor, timeout=LIMIT, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.monitor, timeout=LIMIT)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    def state(self, **query):
        status, _, body = self.get("/api/state?" + urllib.parse.urlencode(query))
        self.case.assertEqual(status, 200, body)
        return json.loads(body)

    def raw(self, data):
        """A connection on which that was sent."""
        connection = socket.create_connection(("127.0.0.1", self.monitor), timeout=LIMIT)
        self.case.addCleanup(connection.close)
        connection.sendall(data)
        return connection


def end_process(process):
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stdin:
        process.stdin.close()


def until(look, seconds=LIMIT):
    """What `look` returns when that is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise TimeoutError("it does not come")


def port_of(process):
    """The port that another's program listens on; None: it does not yet."""
    sockets = set()
    for descriptor in pathlib.Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            sockets.add(os.readlink(descriptor))
        except OSError:
            pass
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, address, _, state, *rest = line.split()
        if state == "0A" and f"socket:[{rest[5]}]" in sockets:
            return int(address.split(":")[1], 16)
    return None


def read_all(connection):
    data = b""
    while True:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def main():
    support.main(WORLD)
