#!/usr/bin/python3 -B
"""Runs as other shells find them: by name and directory, whatever those are; and a launcher's control socket, whoever asks, and
however many."""

import contextlib
import fcntl
import json
import os
import pty
import resource
import shutil
import signal
import socket
import struct
import subprocess
import unittest

import support
from runs import LIST, LOGS, START, STATUS, STOP, Runs

# A server, and a participant that never connects: what there is to find and to stop, at once.
QUIET = """
name: quiet
server: {rounds: 1, min_participants: 1}
participants: {program: sleep, arguments: ["100000"], count: 1}
"""
CLIENTS_MAX, WAITING_MAX = 64, 48


class Found(Runs):
    def test_two_of_one_name(self):
        for place in ("one", "two"):
            self.begin_behind(QUIET, "--set", f"run={place}")
        folders = [str((self.scratch / place).resolve()) for place in ("one", "two")]
        status, _, errors = self.run_in(STATUS, "quiet")
        self.assertEqual((status, errors), (1, f"muster status: there are 2 such runs; say the directory: {', '.join(folders)}\n"))
        self.assertEqual(self.run_in(STATUS, "one")[0], 0)
        self.assertEqual(self.run_in(STOP, "./one")[0], 0)
        self.assertEqual(self.run_in(STATUS, "quiet")[0], 0)  # the one that is running
        self.assertEqual(self.run_in(STOP)[0], 0)  # it is the only one
        self.assertIn("there are 2 such runs", self.run_in(STATUS, "quiet")[2])
        self.assertEqual([run["directory"] for run in json.loads(self.run_in(LIST, "--json")[1])], folders)

    def test_names_that_are_odd(self):
        """A path that is longer than the address of a socket, and has in it what shells and terminals take for theirs."""
        folder = self.scratch / ("x" * 100) / "a 'b' \"c\"\n\033[31m$HOME"
        folder.mkdir(parents=True)
        run = folder / "runs" / "quiet"
        started = self.start(*START, "-d", self.file(QUIET), cwd=folder, env=self.environment)
        self.assertEqual(started.wait(), 0, self.errors_of(started))
        status, output, errors = self.run_in(STATUS, run)
        self.assertEqual(status, 0, errors)
        self.assertIn("a 'b' \"c\"??[31m$HOME/runs/quiet\n", output)
        self.assertIn("a 'b' \"c\"??[31m$HOME/runs/quiet\n", self.run_in(LIST)[1])
        self.assertEqual(json.loads(self.run_in(STATUS, run, "--json")[1])["directory"], str(run.resolve()))
        self.assertEqual(self.run_in(STOP, run)[0], 0)

    def test_links_and_the_current_directory(self):
        (self.scratch / "disk" / "big").mkdir(parents=True)
        (self.scratch / "link").symlink_to("disk/big")
        self.begin_behind(QUIET, "--set", "run=link")
        self.assertIn("this run is running", self.run_in(START, self.file(QUIET), "--set", "run=disk/big")[2])
        process = self.start(*STATUS, cwd=self.scratch / "disk" / "big", env=self.environment)
        self.assertRegex(process.stdout.read(), "^quiet is running, in .*/disk/big\n")
        self.assertEqual(self.run_in(STOP, "link")[0], 0)
        self.assertTrue((self.scratch / "link").is_symlink())

    def test_a_directory_that_is_gone(self):
        self.assertEqual(self.run_in(START, self.file(QUIET.replace("sleep", "false").replace("count: 1", "restart: never")))[0], 1)
        links = self.scratch / "state" / "muster" / "runs"
        self.assertEqual([os.readlink(link) for link in links.iterdir()], [str((self.scratch / "runs/quiet").resolve())])
        shutil.rmtree(self.scratch / "runs")
        self.assertIn("There are no runs", self.run_in(LIST)[1])
        self.assertEqual(list(links.iterdir()), [])

    def test_no_place_to_register(self):
        for change, why in (({"XDG_STATE_HOME": "/proc/nowhere"}, "/proc/nowhere"), ({"HOME": ""}, "HOME is not set")):
            self.environment = {key: value for key, value in self.environment.items() if key != "XDG_STATE_HOME"} | change
            status, _, errors = self.run_in(START, "-d", self.file(QUIET))
            self.assertEqual(status, 0, errors)
            self.assertIn(why, errors)
            self.assertIn("`muster list` will not know of this run", errors)
            self.assertEqual(self.run_in(STOP, "runs/quiet")[0], 0)

    def test_more_runs_than_descriptors(self):
        links = self.scratch / "state" / "muster" / "runs"
        links.mkdir(parents=True)
        for i in range(100):
            run = self.scratch / str(i)
            run.mkdir()
            (run / "experiment.json").write_text(json.dumps({"name": f"run-{i}", "started": [{"time": "then"}]}))
            (links / str(i)).symlink_to(run)
        few = ["prlimit", "--nofile=32"]
        self.assertEqual(len(json.loads(self.run_in((*few, *LIST), "--json")[1])), 100)
        self.assertIn("started at then, was killed", self.run_in((*few, *STATUS), "run-99")[1])

    def test_a_damaged_record(self):
        run = self.scratch / "damaged"
        run.mkdir()
        (run / "experiment.json").write_text('{"name": "da')
        for command in (STATUS, STOP, LOGS):
            self.assertIn("damaged/experiment.json: it is damaged", self.run_in(command, "damaged")[2])
        self.assertIn("it is damaged", self.run_in(START, self.file(QUIET), "--set", "run=damaged")[2])

    def test_credentials_from_another_directory(self):
        """The monitor has a certificate and asks for a token, whose files are where the run was started."""
        (self.scratch / "token").write_text("0123456789abcdef0123456789abcdef\n")
        (self.scratch / "token").chmod(0o600)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=quiet",
             "-keyout", "key.pem", "-out", "cert.pem"],
            cwd=self.scratch, check=True, capture_output=True,
        )  # fmt: skip
        self.begin_behind(QUIET + "credentials: {tls_cert: cert.pem, tls_key: key.pem, token_file: token}\n")
        output = "nothing was learnt"
        while "nothing was learnt" in output:  # it has a limit, which a busy machine may exceed
            output = self.start(*STATUS, "quiet", cwd="/", env=self.environment).stdout.read()
        self.assertIn("no participant of this name is connected", output)
        self.assertRegex(output, r"(?m)^monitor: https://127\.0\.0\.1:\d+/$")
        (self.scratch / "token").unlink()
        self.assertRegex(self.run_in(STATUS)[1], r"(?m)^monitor: https://127\.0\.0\.1:\d+/ \(nothing was learnt from it\)$")
        self.stop("quiet")


class Kept(Runs):
    """What a kill leaves, at any of the instants that matter."""

    def test_before_it_was_a_run(self):
        run = self.scratch / "runs" / "quiet"
        run.mkdir(parents=True)
        (run / "lock").write_text("12345 elsewhere\n")
        (run / ".muster-experiment.json").write_text('{"na')
        self.begin_behind(QUIET)
        self.stop("quiet")

    def test_while_a_run_was_removed(self):
        """It is not gone on with: what is left is removed, also without --overwrite."""
        self.begin_behind(QUIET)
        self.stop("quiet")
        run = self.scratch / "runs" / "quiet"
        record = json.loads((run / "experiment.json").read_text())
        (run / "experiment.json").write_text(json.dumps({**record, "emptying": True}))
        (run / "server" / "left").write_text("")
        (run / "notes.txt").write_text("of a person")
        outside = self.scratch / "outside"
        outside.mkdir()
        (outside / "data").write_text("")
        (run / "nodes").symlink_to(outside)
        self.begin_behind(QUIET)
        self.assertFalse((run / "server" / "left").exists())
        self.assertFalse((run / "nodes").is_symlink())
        self.assertTrue((outside / "data").exists())
        self.assertEqual((run / "notes.txt").read_text(), "of a person")
        self.assertNotIn("emptying", json.loads((run / "experiment.json").read_text()))
        self.assertNotIn("goes on", (run / "logs" / "launcher.log").read_text())
        self.stop("quiet")

    def test_logs_that_are_links(self):
        """Nothing is written, nor shown, outside of the directory."""
        self.begin_behind(QUIET)
        self.stop("quiet")
        outside = self.scratch / "outside"
        outside.mkdir()
        (outside / "participant-0.log").write_text("of a person")
        logs = self.scratch / "runs" / "quiet" / "logs"
        shutil.rmtree(logs)
        logs.symlink_to(outside)
        self.assertIn("making logs/ in it: Not a directory", self.run_in(START, self.file(QUIET))[2])
        self.assertEqual(self.run_in(LOGS, "quiet")[:2], (1, ""))
        logs.unlink()
        logs.mkdir()
        (logs / "participant-0.log").symlink_to(outside / "participant-0.log")
        self.assertIn("Too many levels of symbolic links", self.run_in(START, self.file(QUIET))[2])
        self.assertNotIn("of a person", self.run_in(LOGS, "quiet")[1])
        self.assertEqual([path.read_text() for path in outside.iterdir()], ["of a person"])

    def test_a_disk_that_is_full(self):
        """The directory's, played by a limit on the size of files: the run is as it was."""
        self.begin_behind(QUIET)
        self.stop("quiet")
        before = (self.scratch / "runs" / "quiet" / "experiment.json").read_bytes()
        limited = ("env", "--ignore-signal=XFSZ", "prlimit", "--fsize=100", *START)
        status, _, errors = self.run_in(limited, self.file(QUIET))
        self.assertEqual(status, 1)
        self.assertIn("runs/quiet/experiment.json: writing: File too large", errors)
        self.assertEqual((self.scratch / "runs" / "quiet" / "experiment.json").read_bytes(), before)
        self.assertEqual([path.name for path in (self.scratch / "runs" / "quiet").glob(".muster-*")], [])


class Shown(Runs):
    def test_a_terminal_is_not_commanded(self):
        script = r"printf 'red \033[31m, C1 \302\233, turned \342\200\256, tab\t, not UTF-8 \377, \303\251\nno end \303'; sleep 100000"
        text = QUIET.replace("sleep", "sh").replace('["100000"]', json.dumps(["-c", script]))
        self.begin_behind(text)
        log = self.scratch / "runs" / "quiet" / "logs" / "participant-0.log"
        while not log.read_bytes().endswith(b"end \303"):
            pass
        self.stop("quiet")
        master, slave = pty.openpty()
        process = self.start(*LOGS, "quiet", "participant-0", cwd=self.scratch, env=self.environment, stdout=slave)
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while piece := os.read(master, 4096):
                shown += piece
        os.close(master)
        self.assertEqual(process.wait(), 0)
        lines = [line.expandtabs(1) for line in shown.decode().split("\r\n")]
        self.assertEqual(lines, ["red ?[31m, C1 ?, turned ?, tab , not UTF-8 ?, é", "no end ?", ""])
        # A file or a pipe gets what was written.
        whole = subprocess.run([*LOGS, "quiet", "participant-0"], cwd=self.scratch, env=self.environment, stdout=subprocess.PIPE)
        self.assertEqual(whole.stdout, log.read_bytes())

    def test_a_name_that_is_not_there_is_not_waited_for(self):
        self.begin_behind(QUIET)
        status, _, errors = self.run_in(LOGS, "-f", "quiet", "participant-7")
        self.assertEqual(status, 1)
        self.assertIn("participant-7: this run has no process of that name", errors)
        self.stop("quiet")


class Asked(Runs):
    """The control socket."""

    def setUp(self):
        super().setUp()
        self.begin_behind(QUIET)
        self.run_folder = self.scratch / "runs" / "quiet"
        folder = os.open(self.run_folder, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        self.address = f"/proc/self/fd/{folder}/control"

    def connect(self, said=b""):
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.connect(self.address)
        client.sendall(said)
        return client

    def answer_of(self, client):
        """All that comes up to the end."""
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        return json.loads(answer)

    def launcher(self):
        return json.loads((self.run_folder / "experiment.json").read_text())["started"][-1]["pid"]

    def test_silent_clients_keep_nobody_out(self):
        clients = [self.connect(b'{"do":' if i % 2 else b"") for i in range(2 * CLIENTS_MAX)]
        self.assertEqual(self.ask("quiet")["phase"], "running")
        self.stop("quiet")
        for client in clients:
            self.assertEqual(client.recv(1), b"")

    def test_many_that_wait(self):
        waiting = [self.connect(b'{"do":"follow"}\n') for _ in range(WAITING_MAX)]
        for client in waiting:
            self.assertEqual(client.recv(100), b'{"ok":true}\n')
        self.assertEqual(self.answer_of(self.connect(b'{"do":"follow"}\n')), {"error": "too many wait already"})
        waiting[0].shutdown(socket.SHUT_WR)  # which is no reason to let go of it
        self.assertEqual(self.ask("quiet")["phase"], "running")
        waiting[0].setblocking(False)
        self.assertRaises(BlockingIOError, waiting[0].recv, 1)
        waiting[0].setblocking(True)
        waiting.pop().close()
        self.stop("quiet")
        for client in waiting:
            self.assertEqual(client.recv(1), b"")

    def test_what_is_no_wish(self):
        for said in (b"x" * 5000, b"\0\n", b'{"do":"status","do":"stop"}\n', b"\xff\xfe\n", b'"stop"\n', b"\n"):
            client = self.connect()
            with contextlib.suppress(ConnectionError):  # it needs no more of a long line
                client.sendall(said)
            with contextlib.suppress(ConnectionError):
                self.assertIn("error", self.answer_of(client))
        with self.connect(b'{"do":"sta') as half:
            half.sendall(b'tus"}\nand more')
            self.assertEqual(self.answer_of(half)["run"], "quiet")
        self.assertEqual(self.ask("quiet")["phase"], "running")
        self.stop("quiet")

    def test_a_client_that_has_said_all(self):
        client = self.connect(b'{"do":"status"}\n')
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.answer_of(client)["run"], "quiet")
        client = self.connect(b'{"do":"stop"}\n')
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.answer_of(client), {"ok": True})
        # With the end of the connection the directory is free.
        self.assertEqual(self.run_in(STATUS, "quiet")[0], 3)

    def test_no_descriptor_is_left(self):
        launcher = self.launcher()
        before = resource.prlimit(launcher, resource.RLIMIT_NOFILE)
        few = max(int(name) for name in os.listdir(f"/proc/{launcher}/fd")) + 1
        resource.prlimit(launcher, resource.RLIMIT_NOFILE, (few, before[1]))
        clients = [self.connect(b'{"do":"status"}\n') for _ in range(10)]
        resource.prlimit(launcher, resource.RLIMIT_NOFILE, before)
        for client in clients:
            self.assertEqual(self.answer_of(client)["run"], "quiet")
        self.stop("quiet")

    @unittest.skipUnless(os.geteuid() == 0, "only root can be somebody else")
    def test_another_user(self):
        for path in (self.scratch, self.scratch / "runs", self.run_folder):
            path.chmod(0o755)
        (self.run_folder / "control").chmod(0o666)
        script = f"""import socket
client = socket.socket(socket.AF_UNIX)
try:
    client.connect({str(self.run_folder / "control")!r})
    client.sendall(b'{{"do":"stop"}}\\n')
    print(client.recv(100))
except OSError:
    print(b"")"""
        asked = subprocess.run(["/usr/bin/python3", "-c", script], user=65534, stdout=subprocess.PIPE, text=True, cwd="/")
        self.assertEqual((asked.returncode, asked.stdout), (0, "b''\n"))
        self.assertEqual(self.ask("quiet")["phase"], "running")
        self.stop("quiet")


class Beginning(Runs):
    """A launcher that has its lock and no ear yet, played by the test: it hangs up on the first who asks."""

    def setUp(self):
        super().setUp()
        self.take()

    def take(self):
        folder = self.scratch / "early"
        folder.mkdir()
        (folder / "experiment.json").write_text(json.dumps({"name": "early", "started": [{"time": "then"}]}))
        self.lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
        os.write(self.lock, f"{os.getpid()} {socket.gethostname()}\n".encode())
        whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(self.lock, fcntl.F_OFD_SETLK, whole)
        self.listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listener.close)
        self.listener.bind(str(folder / "control"))
        self.listener.listen()

    def begin_to_ask(self, *command):
        process = self.start(*command, cwd=self.scratch, env=self.environment)
        client, _ = self.listener.accept()
        client.recv(100)
        return process, client

    def test_it_is_asked_again(self):
        process, client = self.begin_to_ask(*STATUS, "early")
        client.close()
        with self.listener.accept()[0] as client:
            client.recv(100)  # it may be about to ask
            client.sendall(b'{"phase":"starting","processes":[],"server":null,"monitor":null}\n')
        self.assertRegex(process.stdout.read(), "^early is starting, in ")
        self.assertEqual(process.wait(), 0)
        os.close(self.lock)

    def test_it_has_ended_meanwhile(self):
        for command, status in ((STATUS, 3), (STOP, 0), ((*LOGS, "-f"), 0)):
            (self.scratch / "early" / "logs").mkdir(exist_ok=True)
            process, client = self.begin_to_ask(*command, "early")
            os.close(self.lock)
            client.close()
            output = process.stdout.read()
            self.assertEqual(process.wait(), status, self.errors_of(process))
            self.assertIn("" if LOGS[1] in command else "its launcher, started at then, was killed", output)
            self.listener.close()
            shutil.rmtree(self.scratch / "early")
            self.take()
        os.close(self.lock)

    def test_another_host(self):
        os.pwrite(self.lock, b"1 elsewhere\n" + b" " * 300, 0)
        self.listener.close()
        status, _, errors = self.run_in(STATUS, "early")
        self.assertEqual((status, errors), (1, "muster status: the launcher of early is process 1 on elsewhere: ask there\n"))
        os.close(self.lock)


class Stopping(Runs):
    def begin_to_stop(self):
        """A run with a participant that does not end, and a `muster stop` that waits for it."""
        text = QUIET.replace("sleep", "sh").replace('["100000"]', """[-c, "trap '' TERM; echo deaf; exec sleep 100000"]""")
        self.begin_behind(text, "--set", "stop_within=1000")
        self.await_line(self.follow("quiet", "participant-0").stdout, "deaf")
        self.deaf = self.process_of("quiet", "participant-0")["pid"]
        environment = {**self.environment, "MUSTER_TEST_MARK": "a look"}
        stopping = self.start(*STOP, "quiet", cwd=self.scratch, env=environment)
        while self.ask("quiet")["phase"] != "stopping":
            pass
        return stopping

    def test_not_within_the_time(self):
        stopping = self.begin_to_stop()
        status, _, errors = self.run_in(STOP, "quiet", "--within=0.01")
        self.assertEqual((status, errors),
                         (3, "muster stop: quiet is still stopping after 0.01 s; `muster status` shows what it waits for\n"))  # fmt: skip
        os.kill(self.deaf, signal.SIGKILL)
        self.assertEqual((stopping.stdout.read(), stopping.wait()), ("quiet has ended\n", 0))
        self.assertEqual(self.run_in(STOP, "quiet")[0], 0)  # once more

    def test_control_c_ends_the_waiting_only(self):
        stopping = self.begin_to_stop()
        stopping.send_signal(signal.SIGINT)
        self.assertEqual(stopping.wait(), -signal.SIGINT)
        os.kill(self.deaf, signal.SIGKILL)
        self.assert_none_left()
        self.assertRegex(self.run_in(STATUS, "quiet")[1], "ended at .*: it was stopped")

    def test_a_launcher_that_is_killed_meanwhile(self):
        stopping = self.begin_to_stop()
        launcher = json.loads((self.scratch / "runs/quiet/experiment.json").read_text())["started"][-1]["pid"]
        os.kill(launcher, signal.SIGKILL)
        self.assertEqual((stopping.stdout.read(), stopping.wait()), ("", 1))
        self.assertRegex(self.errors_of(stopping), "quiet did not end by itself: its launcher, started at .*, was killed")
        self.assert_none_left()


if __name__ == "__main__":
    support.main()
