#!/usr/bin/python3 -B
"""muster start, status, logs, stop and list: a run from its file to its end, looked at from other shells, and killed in every
way."""

import contextlib
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess

import support
from support import MUSTER

START, STATUS, LOGS, STOP, LIST = ((MUSTER, command) for command in ("start", "status", "logs", "stop", "list"))

# Participants of the demo, and as many rounds as nobody waits for.
FEDERATED = """
name: fed
server: {rounds: ROUNDS, min_participants: 3, train: {lr: 0.1}, grace: 5}
participants:
  program: muster
  arguments: [demo, "--participant={rank}", "--name={name}", "--connect={server}", --participants=3]
  count: 3
"""
LONG = FEDERATED.replace("ROUNDS", "1000000")
LATER = r"^round ([2-9]|\d\d+)/"  # a round that is not the first
SHORT = FEDERATED.replace("ROUNDS", "3")
NODES = "name: nodes\nnodes: {count: 3, rounds: ROUNDS}\n"
COLUMNS = 'name: columns\nvertical: {data: "synthetic:300,9", members: 3, epochs: EPOCHS}\n'


def await_end(number):
    """Waits for a process, whosever child it is."""
    try:
        file = os.pidfd_open(number)
    except ProcessLookupError:
        return
    select.select([file], [], [])
    os.close(file)


def environment_of(number):
    try:
        return pathlib.Path("/proc", number, "environ").read_bytes()
    except OSError:
        return b""


class Runs(support.Case):
    def setUp(self):
        super().setUp()
        signal.alarm(180 * support.SLOWNESS)
        self.mark = f"{self.id()}-{os.getpid()}"
        state = {"XDG_STATE_HOME": str(self.scratch / "state"), "MUSTER_TEST_MARK": self.mark}
        self.environment = {**os.environ, **state}
        self.addCleanup(self.end_marked)

    def marked(self):
        """The processes that this test has started, and those that they have."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and f"MUSTER_TEST_MARK={self.mark}\0".encode() in environment_of(entry.name):
                if support.command_line(entry.name):
                    found.append(int(entry.name))
        return found

    def end_marked(self):
        for number in self.marked():
            with contextlib.suppress(ProcessLookupError):  # the others end with the first
                os.kill(number, signal.SIGKILL)

    def assert_none_left(self):
        """All end: what waits here has no limit but the test's own."""
        while left := self.marked():
            await_end(left[0])

    def file(self, text, name="file.yml"):
        path = self.scratch / name
        path.write_text(text)
        return path

    def run_in(self, *command):
        """Runs a program in the scratch directory: exit status, standard output, standard error."""
        process = self.start(command[0], *command[1:], cwd=self.scratch, env=self.environment)
        output = process.stdout.read()
        return process.wait(), output, self.errors_of(process)

    def begin(self, text, *options):
        """Starts a run in the foreground, whose messages come through a pipe."""
        path = self.file(text)
        return self.start(START, path, *options, cwd=self.scratch, env=self.environment, stderr=subprocess.PIPE)

    def begin_behind(self, text, *options):
        """Starts one in the background, and returns when all of it runs."""
        status, output, errors = self.run_in(START, "-d", self.file(text), *options)
        self.assertEqual(status, 0, errors)
        return output

    def ask(self, run):
        status, output, errors = self.run_in(STATUS, run, "--json")
        self.assertEqual(status, 0, errors)
        return json.loads(output)

    def process_of(self, run, name):
        return next(process for process in self.ask(run)["processes"] if process["name"] == name)

    def follow(self, run, *name):
        environment = {**self.environment, "MUSTER_TEST_MARK": "a look"}
        return self.start(LOGS, "-f", run, *name, cwd=self.scratch, env=environment)

    def stop(self, run):
        status, output, errors = self.run_in(STOP, run)
        self.assertEqual((status, output), (0, f"{run} has ended\n"), errors)
        self.assertEqual(self.marked(), [])


class Complete(Runs):
    def test_a_federation(self):
        run = self.begin(SHORT)
        lines = run.stdout.read().splitlines()
        errors = run.stderr.read()
        self.assertEqual(run.wait(), 0, errors)
        self.assertIn("round 3/3: 3 answered, 0 failed", "\n".join(lines))
        self.assertEqual(lines[-1], "final after 3 rounds")
        self.assertIn("fed: all 4 processes are started", errors)
        self.assertEqual(self.marked(), [])
        folder = self.scratch / "runs" / "fed"
        self.assertEqual((folder / "experiment.yml").read_text(), SHORT)
        kept = json.loads((folder / "experiment.json").read_text())
        self.assertEqual((kept["name"], kept["settings"]["server"]["rounds"], kept["seed"]), ("fed", 3, 0))
        self.assertEqual([len(program["sha256"]) for program in kept["programs"].values()], [64])
        self.assertEqual(json.loads((folder / "end.json").read_text())["status"], 0)
        self.assertTrue((folder / "server" / "model.npz").exists())
        self.assertFalse((folder / "control").exists())
        self.assertEqual(
            sorted(path.name for path in (folder / "logs").iterdir()),
            ["participant-0.log", "participant-1.log", "participant-2.log", "server.log"],
        )

    def test_nodes(self):
        run = self.begin(NODES.replace("ROUNDS", "3"))
        self.assertRegex(run.stdout.read().splitlines()[-1], r"^final accuracy 0\.\d+, consensus .*, 3 rounds$")
        self.assertEqual(run.wait(), 0, run.stderr.read())
        self.assertEqual(self.marked(), [])

    def test_what_nodes_do(self):
        self.begin_behind(NODES.replace("ROUNDS", "1000000"))
        while not re.search(r"(?m)^node-2 +here +\d+ running .*rank 2 of its group, present", self.run_in(STATUS, "nodes")[1]):
            pass
        self.stop("nodes")

    def test_columns(self):
        run = self.begin(COLUMNS.replace("EPOCHS", "3"))
        self.assertIn("final test loss ", run.stdout.read())
        self.assertEqual(run.wait(), 0, run.stderr.read())
        self.assertEqual(self.marked(), [])

    def test_it_goes_on(self):
        self.assertEqual(self.run_in(START, self.file(SHORT))[0], 0)
        status, output, errors = self.run_in(START, self.file(SHORT), "--set", "server.rounds=5")
        self.assertEqual(status, 0, errors)
        self.assertIn("fed: goes on in ", errors)
        self.assertEqual(re.findall(r"^round (\d)/5: 3 answered", output, re.MULTILINE), ["4", "5"])

    def test_a_token(self):
        """The server refuses who does not show it: participants of the demo are given it."""
        (self.scratch / "token").write_text("0123456789abcdef" * 2)
        (self.scratch / "token").chmod(0o600)
        status, output, errors = self.run_in(START, self.file(SHORT + "credentials: {token_file: token}\n"))
        self.assertEqual(status, 0, errors)
        self.assertIn("round 3/3: 3 answered", output)

    def test_one_that_is_complete(self):
        self.assertEqual(self.run_in(START, self.file(SHORT))[0], 0)
        for options in ([], ["-d"]):
            status, _, errors = self.run_in(START, *options, self.file(SHORT))
            self.assertEqual(status, 0, errors)
            self.assert_none_left()
        status, output, _ = self.run_in(STATUS, "fed")
        self.assertEqual(status, 3)
        self.assertIn("it is complete", output)

    def test_another_experiment(self):
        self.assertEqual(self.run_in(START, self.file(SHORT))[0], 0)
        status, output, errors = self.run_in(START, self.file(SHORT), "--set", "server.strategy.name=fedadam")
        self.assertEqual((status, output), (1, ""))
        self.assertIn("holds another experiment: server.strategy.name is fedavg there, fedadam here", errors)
        status, output, errors = self.run_in(START, self.file(SHORT), "--set", "server.strategy.name=fedadam", "--overwrite")
        self.assertEqual(status, 0, errors)
        self.assertIn("round 1/3: 3 answered", output)

    def test_a_directory_that_is_somebodys(self):
        (self.scratch / "mine").mkdir()
        (self.scratch / "mine" / "thesis.tex").write_text("x")
        for more in ([], ["--overwrite"]):
            status, _, errors = self.run_in(START, self.file(SHORT), "--set", "run=mine", *more)
            self.assertEqual(status, 1)
            self.assertIn("is not empty, and holds no run (there is thesis.tex in it)", errors)
        self.assertEqual([path.name for path in (self.scratch / "mine").iterdir()], ["thesis.tex"])

    def test_names_and_arguments_are_unharmed(self):
        words = ["it's", 'a "b"', "$HOME `x` \\", "-n", "*", "{rank} {other}", "é\n"]
        script = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['A b'], os.environ['MUSTER_NAME'], os.getcwd()]))"
        (self.scratch / "w d").mkdir()
        text = json.dumps({
            "name": "a 'quoted' \"run\"",
            "server": {"rounds": 1, "wait": 600, "listen": ("http2+" if support.HAS_HTTP2 else "") + "0.0.0.0:0"},
            "participants": {
                "program": "/usr/bin/python3", "arguments": ["-c", script, *words, "{server}"], "name": "it's one", "directory": "w d",
                "environment": {"A b": "x 'y' \"z\""}, "restart": "never",
            },
        })  # fmt: skip
        run = self.begin(text)
        self.await_line(run.stderr, "all 2 processes are started")
        name = "a 'quoted' \"run\""
        log = self.follow(name, "it's one-0")
        said = json.loads(self.await_line(log.stdout, r"^\["))
        self.assertEqual(said[0][:-1], [*words[:5], "0 {other}", words[6]])
        self.assertRegex(said[0][-1], r"^127\.0\.0\.1:\d+$")  # without http2+: each chooses for itself
        self.assertEqual(said[1:], ["x 'y' \"z\"", "it's one-0", str((self.scratch / "w d").resolve())])
        self.assertEqual(self.run_in(STOP, name)[0], 0)
        run.stdout.read()
        self.assertEqual(run.wait(), 0, run.stderr.read())


class Looked(Runs):
    def test_from_another_shell(self):
        self.assertIn("fed is started", self.begin_behind(LONG))
        state = self.ask("fed")
        self.assertEqual([process["state"] for process in state["processes"]], ["running"] * 4)
        for process in state["processes"]:
            self.assertIn("muster", support.command_line(str(process["pid"])).decode())
        self.await_line(self.follow("fed", "server").stdout, LATER)
        while len(names := [row["name"] for row in self.ask("fed").get("participants", []) if row["state"] == "open"]) < 3:
            pass
        self.assertEqual(sorted(names), ["participant-0", "participant-1", "participant-2"])
        status, output, _ = self.run_in(STATUS)
        self.assertEqual(status, 0)
        self.assertRegex(output, r"(?m)^participant-1 +here +\d+ running .*connected for")
        self.assertRegex(self.run_in(LIST)[1], r"(?m)^fed +running ")
        followed = self.follow("fed")
        self.await_line(followed.stdout, r"^server: round \d+/")
        self.stop("fed")
        followed.stdout.read()
        self.assertEqual(followed.wait(), 0)
        status, output, _ = self.run_in(STOP, "fed")
        self.assertEqual(status, 0)
        self.assertRegex(output, "fed has ended at .*: it was stopped")
        self.assertEqual(self.run_in(STATUS, "fed")[0], 3)
        self.assertRegex(self.run_in(LIST)[1], r"(?m)^fed +ended ")
        self.assertIn("participant-2: ", self.run_in(LOGS, self.scratch / "runs" / "fed")[1])
        self.assertEqual(len(self.run_in(LOGS, "-n", "2", "fed", "server")[1].splitlines()), 2)

    def test_what_is_not_there(self):
        for command in (STATUS, LOGS, STOP):
            status, _, errors = self.run_in(*command, "none")
            self.assertEqual(status, 1)
            self.assertIn("none: there is no such run; `muster list` shows all", errors)
            self.assertEqual(self.run_in(*command)[0], 1)
        self.assertIn("There are no runs", self.run_in(LIST)[1])
        self.begin_behind(LONG)
        status, _, errors = self.run_in(LOGS, "fed", "nobody")
        self.assertEqual(status, 1)
        self.assertIn("nobody: this run has no process of that name", errors)
        self.stop("fed")

    def test_two_starts_of_the_same(self):
        self.begin_behind(LONG)
        status, _, errors = self.run_in(START, self.file(LONG))
        self.assertEqual(status, 1)
        self.assertRegex(errors, r"this run is running \(process \d+ on .*\): see `muster status`")
        self.stop("fed")

    def test_control_and_strangers(self):
        """What a program says that is no launcher's client, and how many may say it."""
        self.begin_behind(LONG)
        path = self.scratch / "runs" / "fed" / "control"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        folder = os.open(path.parent, os.O_RDONLY)
        address = f"/proc/self/fd/{folder}/control"
        for said in (b"nonsense\n", b"{}\n", b'{"do": 5}\n', b"[" * 4000 + b"\n", b'{"do": "status"'):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(address)
                client.sendall(said)
                client.shutdown(socket.SHUT_WR)
                self.assertIn(b"error" if said.endswith(b"\n") else b"", client.recv(4096))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address)
            client.sendall(b"x" * 4096)  # a line without an end
            self.assertEqual(client.recv(100), b'{"error":"the line is too long"}\n')
        clients = [socket.socket(socket.AF_UNIX) for _ in range(100)]
        for client in clients:
            client.connect(address)
        for client in clients:
            client.close()
        os.close(folder)
        self.ask("fed")
        self.stop("fed")


class Killed(Runs):
    def test_the_server(self):
        self.begin_behind(LONG)
        log = self.follow("fed", "server")
        self.await_line(log.stdout, LATER)
        before = self.process_of("fed", "server")["pid"]
        os.kill(before, signal.SIGKILL)
        self.await_line(log.stdout, "listening on port")
        self.await_line(log.stdout, r"^round \d+/\d+: 3 answered, 0 failed")
        after = self.process_of("fed", "server")
        self.assertEqual((after["restarts"], after["status"]), (1, "was ended by SIGKILL"))
        self.assertNotEqual(after["pid"], before)
        self.stop("fed")

    def test_a_participant(self):
        self.begin_behind(LONG)
        log = self.follow("fed", "participant-1")
        self.await_line(log.stdout, "connected to")
        os.kill(self.process_of("fed", "participant-1")["pid"], signal.SIGKILL)
        self.await_line(log.stdout, "connected to")
        self.assertEqual(self.process_of("fed", "participant-1")["restarts"], 1)
        self.stop("fed")

    def test_the_launcher(self):
        for text, name, log_name, sign in (
            (LONG, "fed", "server", LATER),
            (NODES.replace("ROUNDS", "1000000"), "nodes", "node-0", "^round "),
            (COLUMNS.replace("EPOCHS", "100000000"), "columns", "master", "^update "),
        ):
            self.begin_behind(text)
            self.await_line(self.follow(name, log_name).stdout, sign)
            launcher = json.loads((self.scratch / "runs" / name / "experiment.json").read_text())["started"][-1]["pid"]
            os.kill(launcher, signal.SIGKILL)
            self.assert_none_left()
            status, output, _ = self.run_in(STATUS, name)
            self.assertEqual(status, 3)
            self.assertRegex(output, r"its launcher, started at .*, was killed( \(its last line is of .*\))?; the same `muster start` goes on")
            self.assertRegex(self.run_in(LIST)[1], rf"(?m)^{name} +killed ")
            self.begin_behind(text)
            self.stop(name)

    def test_everything_at_once(self):
        self.begin_behind(LONG)
        self.await_line(self.follow("fed", "server").stdout, LATER)
        self.end_marked()
        self.assert_none_left()
        self.begin_behind(LONG)
        self.await_line(self.follow("fed", "server").stdout, r"^round \d+/")
        self.stop("fed")

    def test_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            run = self.begin(LONG, "--overwrite")
            self.read_until(run, "^round 2/")
            run.send_signal(number)
            rest = run.stdout.read()
            self.assertEqual(run.wait(), 128 + number, run.stderr.read())
            self.assertEqual(self.marked(), [])
            self.assertRegex(rest, r"muster server: stopped after round \d+; the same command goes on")


class Failing(Runs):
    def test_a_participant_that_crashes_at_once(self):
        script = "echo one; echo two; echo why >&2; exit 7"
        text = json.dumps({
            "name": "crash", "server": {"rounds": 1},
            "participants": {"program": "sh", "arguments": ["-c", script], "restarts": 1},
        })  # fmt: skip
        status, _, errors = self.run_in(START, self.file(text))
        self.assertEqual(status, 1)
        self.assertIn("crash: participant-0 on here ended with status 7; it starts again in 1 s: why", errors)
        self.assertIn("participant-0 on here is given up: it ended with status 7. Its last lines: one | two | why", errors)
        self.assertIn("crash: all others are given up", errors)
        self.assertEqual(self.marked(), [])

    def test_a_program_that_is_not_there(self):
        text = json.dumps({"server": {"rounds": 1}, "participants": {"program": str(self.scratch / "none")}})
        for options in ([], ["-d"]):
            status, _, errors = self.run_in(START, *options, self.file(text))
            self.assertEqual(status, 1)
            self.assertRegex(errors, "participant-0 on here: starting .*none: No such file or directory")
        self.assertEqual(self.marked(), [])

    def test_a_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            status, _, errors = self.run_in(START, self.file(LONG), "--set", f"server.listen=127.0.0.1:{port}")
        self.assertEqual(status, 1)
        self.assertRegex(errors, rf"fed: server ended with status 1 before anybody could connect: .*127\.0\.0\.1:{port}")
        self.assertEqual(self.marked(), [])

    def test_a_host_that_cannot_be_reached(self):
        tools = self.scratch / "tools"
        tools.mkdir()
        (tools / "ssh").write_text("#!/bin/sh\necho 'ssh: connect to host h: No route to host' >&2; exit 255\n")
        (tools / "ssh").chmod(0o755)
        self.environment["PATH"] = f"{tools}:{os.environ['PATH']}"
        status, _, errors = self.run_in(START, self.file("hosts: [{name: far, ssh: h}]\n" + LONG))
        self.assertEqual(status, 1)
        self.assertIn("host far cannot be reached: ssh: connect to host h: No route to host", errors)
        self.assertEqual(self.marked(), [])

    def test_hosts_by_a_shell(self):
        """A host that is another shell: how it is asked for, and that its processes end with it."""
        tools = self.scratch / "tools"
        tools.mkdir()
        (tools / "ssh").write_text('#!/bin/bash\nwhile [[ $1 != -- ]]; do shift; done\nexec sh -c "$3 $4"\n')
        (tools / "ssh").chmod(0o755)
        self.environment["PATH"] = f"{tools}:{os.environ['PATH']}"
        (self.scratch / "far off").mkdir()
        host = {"name": "far", "ssh": "h", "muster": str(MUSTER), "directory": str(self.scratch / "far off")}
        self.begin_behind(f"hosts: [{json.dumps(host)}]\n" + LONG)
        self.assertEqual([process["host"] for process in self.ask("fed")["processes"]], ["here", "far", "far", "far"])
        self.await_line(self.follow("fed", "server").stdout, LATER)
        far = self.process_of("fed", "participant-0")["pid"]
        self.assertEqual(os.readlink(f"/proc/{far}/cwd"), str((self.scratch / "far off").resolve()))
        (shell,) = [n for n in self.marked() if b"agent" in support.command_line(str(n)).split(b"\0") and
                    pathlib.Path(f"/proc/{n}/stat").read_text() and self.parent_is(far, n)]  # fmt: skip
        log = self.follow("fed", "participant-0")
        self.await_line(log.stdout, "connected")
        os.kill(shell, signal.SIGKILL)
        self.await_line(log.stdout, "connected")  # again
        self.stop("fed")

    def test_hosts_of_a_job(self):
        """Those of Slurm, whose own programs are played here."""
        tools = self.scratch / "tools"
        tools.mkdir()
        (tools / "scontrol").write_text("#!/bin/sh\necho n1; echo n2\n")
        (tools / "srun").write_text(
            '#!/bin/bash\necho "$@" >>srun.txt\nwhile [[ $1 != muster ]]; do shift; done\nexec "$@"\n'
        )
        (tools / "muster").symlink_to(MUSTER)
        for tool in ("scontrol", "srun"):
            (tools / tool).chmod(0o755)
        self.environment |= {"PATH": f"{tools}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2"}
        status, output, errors = self.run_in(START, self.file(SHORT))
        self.assertEqual(status, 0, errors)
        self.assertIn("round 3/3: 3 answered", output)
        asked = (self.scratch / "srun.txt").read_text().splitlines()
        self.assertEqual(sorted(re.findall(r"--nodelist (\w+) muster agent$", line)[0] for line in asked), ["n1", "n2"])

    def parent_is(self, number, parent):
        status = pathlib.Path(f"/proc/{number}/status").read_text()
        return int(re.search(r"^PPid:\s*(\d+)", status, re.MULTILINE)[1]) == parent

    def test_a_launcher_of_another_release(self):
        tools = self.scratch / "tools"
        tools.mkdir()
        (tools / "ssh").write_text('#!/bin/sh\necho "Welcome!"; echo \'{"hello": "9.9", "host": "h", "seen": null}\'; cat\n')
        (tools / "ssh").chmod(0o755)
        self.environment["PATH"] = f"{tools}:{os.environ['PATH']}"
        status, _, errors = self.run_in(START, self.file("hosts: [{name: far, ssh: h}]\n" + LONG))
        self.assertEqual(status, 1)
        self.assertRegex(errors, "host far: its muster is of release 9.9, and this one of ")

    def test_a_full_disk(self):
        """Of the logs: the run goes on, and says so."""
        log = self.scratch / "runs" / "fed" / "logs"
        log.mkdir(parents=True)
        self.assertEqual(self.run_in(START, self.file(SHORT), "--overwrite")[0], 1)  # it is no run yet
        log.rmdir()
        self.assertEqual(self.run_in(START, self.file(SHORT))[0], 0)
        # One of them is as big already as files may be.
        os.truncate(log / "participant-1.log", 1 << 30)
        limited = ("env", "--ignore-signal=XFSZ", "prlimit", f"--fsize={1 << 30}", *START)
        status, output, errors = self.run_in(limited, self.file(SHORT), "--set", "server.rounds=4")
        self.assertEqual(status, 0, errors)
        self.assertIn("the log of participant-1 cannot be written (is the disk full?); lines of it are lost", errors)
        self.assertIn("round 4/4: 3 answered", output)

    def test_a_directory_that_cannot_be_written(self):
        status, _, errors = self.run_in(START, self.file(SHORT), "--set", "run=/proc/nowhere/x")
        self.assertEqual(status, 1)
        self.assertIn("/proc/nowhere", errors)


if __name__ == "__main__":
    support.main()
