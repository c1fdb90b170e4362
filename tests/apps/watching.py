#!/usr/bin/python3 -B
"""A run of the demo can be looked at: in the log, on a terminal, by SIGUSR1 and in records; and a participant that
is frozen is told apart from one that computes."""

import csv
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import support
from screen import Screen
from support import PARTICIPANT, SERVER

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "record"))
import files  # noqa: E402, the reader of event files
import tracking  # noqa: E402, a stand-in for MLflow

# Runs a program whose standard output becomes the terminal that it is controlled by.
CONTROLLED = """import fcntl, os, sys, termios
fcntl.ioctl(1, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])"""

ROUND = r"round \d+/\d+( \[[#.]{20}\])? \d+ %"


class Watching(support.Case):
    def write_leaf(self, users):
        """Data with which a round of 10000 epochs ends in no test."""
        samples = {"x": [[i % 2, i % 3] for i in range(30000)], "y": [i % 2 for i in range(30000)]}
        data = {"users": users, "num_samples": [30000] * len(users), "user_data": {user: samples for user in users}}
        for part in ("train", "test"):
            (self.scratch / part).mkdir()
            (self.scratch / part / "a.json").write_text(json.dumps(data))
        self.data = f"--data=leaf:{self.scratch}"

    def start_server_that_computes(self, names, *options, **settings):
        """A round with two participants that computes for long, the second of which is then frozen."""
        self.write_leaf(["a", "b"])
        long = ["--fraction=1", "--set=train.epochs=10000", "--set=train.batch_size=1", "--deadline=1000", "--stop-within=0.1"]
        server = self.start_server(self.data, "--no-baselines", *long, *options, **settings)
        self.participants = [
            self.start_worker(server.port, user, f"--name={name}") for user, name in enumerate(names)
        ]
        for participant in self.participants:
            self.assertIn("works on", self.ask(participant, "works on"))
        self.participants[1].send_signal(signal.SIGSTOP)
        return server

    def start_worker(self, port, user, *options):
        command = [*PARTICIPANT, f"--connect=127.0.0.1:{port}", f"--participant={user}", self.data, *options]
        worker = self.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.await_line(worker.stderr, ": connected")
        return worker

    def ask(self, participant, pattern):
        """Asks a participant for its state until it matches."""
        while True:
            participant.send_signal(signal.SIGUSR1)
            line = self.await_line(participant.stderr, "state: ")
            if re.search(pattern, line):
                return line

    def state_of(self, server):
        server.send_signal(signal.SIGUSR1)
        lines = []
        while "end of the state" not in (line := server.stderr.readline()):
            self.assertTrue(line, "the server has ended")
            lines.append(line)
        return lines


class Frozen(Watching):
    def test_in_the_log_and_by_a_signal(self):
        server = self.start_server_that_computes(("busy", "frozen"), stderr=subprocess.PIPE)
        line = self.await_line(server.stderr, "is silent")
        self.assertRegex(line, r"^[-\d]{10}T[:\d]{8}Z frozen \(.*\) is silent: it was last heard of \d+\.\d s ago")
        state = "".join(self.state_of(server))
        self.assertRegex(state, r"state: round 1/100\n")
        self.assertRegex(state, r"manager: up for .*; 2 open, of these 1 silent; 0 away.*; turns: 2 running")
        self.assertRegex(state, r"running round: for .* s, left: 16 min .*; 0 of 2 answered, .* waits for 2")
        self.assertRegex(state, r"participant frozen: rank 1, .*, open for .*, SILENT for \d+\.\d s; turn 1 for .* s, left")
        self.assertRegex(state, r"participant busy: rank 0, .*, open for .*, last heard of [0-4]\.\d s ago; turn 1 for .* s,")
        self.assertLess(state.index("participant frozen"), state.index("participant busy"))
        self.participants[1].send_signal(signal.SIGCONT)
        self.assertRegex(self.await_line(server.stderr, "heard of again"), r"Z frozen \(.*, after \d+\.\d s\n")
        self.assertNotIn("SILENT", "".join(self.state_of(server)))
        server.send_signal(signal.SIGINT)
        self.assertNotIn("busy (", server.stderr.read())
        self.assertEqual(server.wait(), 128 + signal.SIGINT)

    def check_terminal(self, columns, names, round_line, outputs):
        screen = Screen(self, columns)
        server = self.start_server_that_computes(names, **{output: screen.slave for output in outputs})
        screen.close_slave()
        screen.read_until(r"^  waiting for: .*(, | and 1 more)")
        screen.read_until(r"^  not heard of: frozen \(silent for ([5-9]|\d{2,})\.\d s\)")
        screen.read_until(rf"^  waiting for: {names[0]}( \d+ %)?$")
        if "stderr" in outputs:
            screen.read_until(r"frozen \(.*\) is silent")  # the log's line stands above the display
        above = screen.text_above(rf"^{ROUND}, {round_line}")
        seen = screen.read_until(r"silent for \d+\.\d s")[0]
        screen.read_while(re.escape(seen))
        self.assertEqual(screen.text_above(rf"^{ROUND}, {round_line}"), above)  # nothing scrolled
        self.participants[1].send_signal(signal.SIGCONT)
        screen.read_while("not heard of")
        server.send_signal(signal.SIGINT)
        rows = screen.read_all()
        self.assertEqual(server.wait(), 128 + signal.SIGINT)
        self.assertEqual((rows[-1], screen.column), ("", 0))
        self.assertNotRegex(screen.text(), f"waiting for: |{ROUND}")
        self.assertIn("stopped after round 0", screen.text() if "stderr" in outputs else self.errors_of(server))

    def test_on_a_terminal(self):
        line = r"0 of 2 answered, .* s, 16 min \d+ s left, sent .*B/s, received .*B/s$"
        self.check_terminal(120, ("busy", "frozen"), line, ("stdout", "stderr"))

    def test_on_a_narrow_terminal(self):
        self.check_terminal(44, ("参加者一二", "frozen"), "0 of 2 answered", ("stdout",))


class Interrupted(Watching):
    def test_control_c_on_a_terminal(self):
        screen = Screen(self)
        through = (sys.executable, "-c", CONTROLLED)
        server = self.start_server_that_computes(("busy", "frozen"), stdout=screen.slave, through=through)
        screen.keep_output()
        screen.close_slave()
        screen.read_until(rf"^{ROUND}, 0 of 2 answered")
        os.write(screen.master, b"\x03")
        rows = screen.read_all()
        self.assertEqual(server.wait(), 128 + signal.SIGINT, self.errors_of(server))
        self.assertEqual((rows[-1], screen.column), ("", 0))
        self.assertNotRegex(screen.text(), f"waiting for: |not heard of: |{ROUND}")
        self.assertIn("stopped after round 0", self.errors_of(server))


class Monitored(Watching):
    def setUp(self):
        super().setUp()
        status, _, errors = self.run_program(SERVER, "--monitor=127.0.0.1:0", "--participant-options")
        if status != 0:
            self.assertIn("--monitor 127.0.0.1:0: this build has no monitor: configure it --with-monitor", errors)
            self.skipTest("a build without the monitor")

    def get(self, port, path, headers={}):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def look(self, port):
        status, text = self.get(port, "/api/state")
        self.assertEqual(status, 200, text)
        return json.loads(text)

    def port_in(self, line):
        return int(re.search(r"monitor at port (\d+): ", line)[1])

    def test_a_frozen_participant_is_seen_everywhere(self):
        screen = Screen(self)
        server = self.start_server_that_computes(
            ("busy", "frozen"), "--monitor=127.0.0.1:0", stdout=screen.slave, stderr=subprocess.PIPE
        )
        screen.close_slave()
        port = self.port_in(self.await_line(server.stderr, "monitor at port"))
        line = self.await_line(server.stderr, "frozen .* is silent")
        heard = re.search(r"last heard of (\d+\.\d) s ago", line)[1]
        self.assertGreaterEqual(float(heard), 5)  # two and a half heartbeats

        screen.read_until(r"^  not heard of: frozen \(silent for \d+\.\d s\)$")
        rows = {row["name"]: row for row in self.look(port)["participants"]["rows"]}
        self.assertEqual({name: row["silent"] for name, row in rows.items()}, {"busy": False, "frozen": True})
        self.assertGreaterEqual(rows["frozen"]["heard_ms"], 1000 * float(heard) - 100)
        self.assertGreater(rows["frozen"]["heard_ms"], rows["busy"]["heard_ms"])
        metrics = self.get(port, "/metrics")[1]
        for name, silent in (("busy", 0), ("frozen", 1)):
            self.assertRegex(metrics, rf'(?m)^muster_participant_silent\{{.*participant="{name}".*\}} {silent}$')
            self.assertRegex(metrics, rf'(?m)^muster_participant_heard_seconds\{{.*participant="{name}".*\}} \d')
        state = "".join(self.state_of(server))
        self.assertRegex(state, r"participant frozen: .* SILENT for \d+\.\d s;")
        self.assertRegex(state, r"participant busy: .* last heard of \d+\.\d s ago;")

    def test_a_training_is_seen(self):
        options = ["--rounds=100000", "--fraction=1", "--participants=1", "--seed=3"]
        server = self.start_server("--monitor=127.0.0.1:0", *options, stderr=subprocess.PIPE)
        port = self.port_in(self.await_line(server.stderr, "monitor at port"))
        self.start_participant(server.port, 0, "--participants=1", "--seed=3")
        self.read_until(server, "^round 3/")
        text = self.get(port, "/api/state")[1]
        for part in ("train/loss", "test/accuracy", "round/bytes_sent", '"seed"'):
            self.assertIn(part, text)
        self.assertIn("<html", self.get(port, "/")[1])

    def events(self, port):
        """The events of the page, for as long as somebody wants them."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60 * support.SLOWNESS)
        self.addCleanup(connection.close)
        connection.request("GET", "/api/events")
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                yield json.loads(line.removeprefix(b"data: "))

    def test_lines_of_the_log_are_events(self):
        options = ["--monitor=127.0.0.1:0", "--participants=1", "--seed=3", "--log-level=debug"]
        server = self.start_server(*options, stderr=subprocess.PIPE)
        port = self.port_in(self.await_line(server.stderr, "monitor at port"))
        self.start_participant(server.port, 0, "--participants=1", "--seed=3", "--name=ada")
        joined = self.await_line(server.stderr, "has joined$").split(" ", 1)[1].rstrip()
        self.assertTrue(joined.startswith("ada ("), joined)
        texts = []
        for event in self.events(port):
            if event["kind"] == "log":
                texts.append(event["text"])
            if joined in texts:
                break
        self.assertIn(f"listening on port {server.port}", texts)

    def test_a_token_is_asked_for(self):
        token = self.scratch / "token"
        token.write_text("0123456789abcdef0123456789abcdef\n")
        token.chmod(0o600)
        server = self.start_server("--monitor=127.0.0.1:0", f"--token-file={token}", stderr=subprocess.PIPE)
        port = self.port_in(self.await_line(server.stderr, "monitor at port"))
        self.assertEqual(self.get(port, "/api/state")[0], 401)
        bearer = {"Authorization": "Bearer " + token.read_text().strip()}
        self.assertEqual(self.get(port, "/api/state", bearer)[0], 200)

    def test_an_address_that_it_cannot_have(self):
        first = self.start_server("--monitor=127.0.0.1:0", stderr=subprocess.PIPE)
        taken = self.port_in(self.await_line(first.stderr, "monitor at port"))
        for address in ("nonsense", f"127.0.0.1:{taken}"):
            status, _, errors = self.run_program(SERVER, "--listen=127.0.0.1:0", f"--monitor={address}")
            self.assertEqual(status, 1, errors)
            self.assertRegex(errors, f"Z muster demo: .*{address}")


class Shown(Watching):
    def test_a_terminal_keeps_the_last_round_and_the_result(self):
        screen = Screen(self)
        server = self.start_server("--participants=1", "--rounds=5", stdout=screen.slave)
        screen.close_slave()
        self.start_participant(server.port, 0, "--participants=1")
        rows = screen.read_all()
        self.assertEqual(server.wait(), 0)
        starts = ["round 5/5: 1 answered, 0 failed, train loss ", "federated ", "central training ", "each participant"]
        for row, start in zip(rows, [*starts, "final accuracy "]):
            self.assertTrue(row.startswith(start), rows)
        self.assertEqual((len(rows), rows[-1]), (6, ""))

    def test_a_dumb_terminal_gets_plain_lines(self):
        screen = Screen(self)
        environment = {**os.environ, "TERM": "dumb"}
        options = ["--participants=1", "--rounds=5", "--no-baselines"]
        server = self.start_server(*options, stdout=screen.slave, env=environment)
        screen.close_slave()
        self.start_participant(server.port, 0, "--participants=1")
        rows = screen.read_all()
        self.assertEqual([row.split(":")[0] for row in rows[:5]], [f"round {k}/5" for k in range(1, 6)])

    def test_a_killed_server_leaves_the_terminal_clean(self):
        """In a round that takes long: a server that draws faster than this reads is killed in the middle of a line."""
        screen = Screen(self)
        server = self.start_server_that_computes(("busy", "frozen"), stdout=screen.slave)
        screen.close_slave()
        screen.read_until(rf"^{ROUND}, 0 of 2 answered")
        server.kill()
        screen.read_all()
        self.assertEqual((screen.rows[-1], screen.column), ("", 0))

    def test_the_state_of_a_participant_that_finds_no_server(self):
        server = self.start_server()
        server.kill()
        server.wait()
        participant = self.start(PARTICIPANT, "--participant=0", f"--connect=127.0.0.1:{server.port}", stderr=subprocess.PIPE)
        line = ""
        while "state: participant-00: connecting to" not in line:
            # Before the program catches it, this signal ends it.
            if support.catches(participant, signal.SIGUSR1):
                participant.send_signal(signal.SIGUSR1)
                line = self.await_line(participant.stderr, "state: |: ")


class Log(Watching):
    def train(self, *options):
        """A short run; the lines of its log."""
        server = self.start_server("--participants=1", "--rounds=2", "--no-baselines", *options)
        participant = self.start_participant(server.port, 0, "--participants=1", "--log-format=json")
        server.stdout.read()
        self.assertEqual(server.wait(), 0, self.errors_of(server))
        self.assertEqual(participant.wait(), 0)
        for line in self.errors_of(participant).splitlines():
            self.assertEqual(json.loads(line)["level"], "info")
        return self.errors_of(server).splitlines()

    def test_json(self):
        lines = [json.loads(line) for line in self.train("--log-format=json", "--log-level=debug")]
        for line in lines:
            self.assertEqual(list(line), ["time", "level", "message"])
            time.strptime(line["time"], "%Y-%m-%dT%H:%M:%SZ")
        self.assertRegex(lines[0]["message"], r"^listening on port \d+$")
        joined = [line for line in lines if line["message"].endswith(" has joined")]
        self.assertEqual([line["level"] for line in joined], ["debug"])
        self.assertTrue(joined[0]["message"].startswith("participant-00 ("))

    def test_levels(self):
        self.assertEqual(self.train("--log-level=warning"), [])
        self.assertFalse([line for line in self.train() if "has joined" in line])
        for options, message in (
            (["--log-level=loud"], "--log-level loud: expected error, warning, info or debug"),
            (["--log-format=xml"], "--log-format xml: expected text or json"),
            (["--heartbeat=0.01"], "heartbeat 0.01: expected 0, or a number from 0.1 to 3600"),
        ):
            status, _, errors = self.run_program(SERVER, *options)
            self.assertEqual(status, 2)
            self.assertIn(message, errors)


class Recorded(files.EventCase):
    def setUp(self):
        super().setUp()
        status, _, errors = self.run_program(SERVER, "--record=csv:/tmp/none", "--participant-options")
        if status != 0:
            self.assertIn("--record csv:/tmp/none: this build has no records: configure it --with-record", errors)
            self.skipTest("a build without records")

    def train(self, *options, rounds=4, stop=None):
        data = ["--participants=2", "--seed=3"]
        metrics = f"--metrics={self.scratch}/metrics.csv"
        server = self.start_server(f"--rounds={rounds}", "--fraction=1", "--no-baselines", metrics, *data, *options)
        for user in range(2):
            self.start_participant(server.port, user, *data)
        if stop:
            self.read_until(server, "^round 3/")
            server.send_signal(stop)
        server.stdout.read()
        self.assertEqual(server.wait(), 128 + stop if stop else 0, self.errors_of(server))

    def start_run(self, *options, **settings):
        """Begins a run of 100 rounds, or goes on with it."""
        self.data = ["--participants=2", "--seed=3"]
        run = ["--rounds=100", "--fraction=1", "--no-baselines", "--come-back=1", f"--run={self.scratch}/run"]
        return self.start_server(*run, *self.data, *options, **settings)

    def go_on(self, *options, stop=False):
        server = self.start_run(*options, stdout=support.IN_STEP if stop else subprocess.PIPE)
        others = [self.start_participant(server.port, user, *self.data) for user in range(2)]
        if stop:
            self.read_until(server, r"^round ([3-9]|\d\d+)/")
            server.send_signal(signal.SIGINT)
        server.stdout.read()
        self.assertEqual(server.wait(), 128 + signal.SIGINT if stop else 0, self.errors_of(server))
        for other in others:
            self.end(other)

    def check_rows(self, path):
        names = {
            "train/loss": "train_loss",
            "test/accuracy": "test_accuracy",
            "round/answered": "answered",
            "round/failed": "failed",
            "round/seconds": "seconds",
            "round/bytes_sent": "bytes_sent",
            "round/bytes_received": "bytes_received",
        }
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        metrics = self.rows_of(self.scratch / "metrics.csv")
        self.assertEqual([row["step"] for row in rows], [row["round"] for row in metrics])
        for row, metric in zip(rows, metrics):
            for name, column in names.items():
                self.assertAlmostEqual(float(row[name]), float(metric[column]), 5)
            self.assertGreater(float(row["test/loss"]), 0)
        return rows

    def test_files(self):
        table, lines = self.scratch / "scalars.csv", self.scratch / "lines.jsonl"
        self.train(f"--record=csv:{table}", f"--record=jsonl:{lines}", f"--record=tensorboard:{self.folder}")
        rows = self.check_rows(table)
        self.assertEqual(len(rows), 4)

        entries = [json.loads(line) for line in lines.read_text().splitlines()]
        settings = {entry["name"]: entry["text"] for entry in entries if entry["kind"] == "setting"}
        self.assertEqual((settings["seed"], settings["data"], settings["train.mu"]), ("3", "synthetic:1,1", "1.0"))
        (text,) = (entry for entry in entries if entry["kind"] == "text")
        self.assertEqual((text["name"], json.loads(text["text"])["rounds"]), ("configuration", 4))
        self.assertEqual((entries[-1]["kind"], entries[-1]["outcome"]), ("end", "finished"))

        (path,) = self.files()
        values = self.values(path)
        for name in ("train/loss", "test/accuracy", "round/bytes_sent"):
            self.assertEqual(
                [(event.step, value.simple_value) for event, value in values if value.tag == name],
                [(int(row["step"]), files.single(float(row[name]))) for row in rows],
            )
        histograms = [value.histo for _, value in values if value.tag == "weights"]
        self.assertEqual([histogram.num for histogram in histograms], [600] * 4)

    def test_a_run_that_is_stopped_and_goes_on(self):
        lines = self.scratch / "lines.jsonl"
        self.go_on(f"--record=jsonl:{lines}", stop=True)
        self.go_on(f"--record=jsonl:{lines}")
        entries = [json.loads(line) for line in lines.read_text().splitlines()]
        self.assertEqual([entry["outcome"] for entry in entries if entry["kind"] == "end"], ["killed", "finished"])
        steps = [entry["step"] for entry in entries if entry.get("name") == "train/loss"]
        self.assertEqual(steps, list(range(1, 101)))
        (last,) = [entry for entry in entries if entry["kind"] == "file" and entry["step"] == 100]
        self.assertEqual((last["name"], last["path"]), ("model.npz", f"{self.scratch}/run/model.npz"))

    def start_tracking(self):
        """A stand-in for MLflow; what it keeps, and the option that records to it."""
        self.tracking = tracking.Server(tracking.Store())
        self.addCleanup(self.tracking.end)
        self.addCleanup(lambda: self.assertEqual(self.tracking.store.wrong, []))
        os.environ["no_proxy"] = "*"
        return self.tracking.store, f"--record=mlflow:http://127.0.0.1:{self.tracking.port}"

    def test_mlflow_gets_the_model(self):
        store, record = self.start_tracking()
        self.train(record)
        (run,) = store.runs.values()
        self.assertEqual((run["info"]["status"], run["params"]["rounds"]), ("FINISHED", "4"))
        self.assertEqual([step for step, _ in store.curve("test/accuracy")], [1, 2, 3, 4])
        names = {name.split("/artifacts/")[1] for name in store.artifacts}
        self.assertEqual(names, {"configuration.txt", "model.npz"})

    def test_mlflow_has_one_run_however_often_the_server_is_started(self):
        store, record = self.start_tracking()
        asked = threading.Event()

        def notice(method, path):
            if path.endswith("runs/log-batch"):
                asked.set()

        self.tracking.mode = notice
        server = self.start_run(record)  # nobody joins
        self.assertTrue(asked.wait(60 * support.SLOWNESS))
        server.kill()
        server.wait()
        self.go_on(record, stop=True)
        (run,) = store.runs.values()
        self.assertEqual(run["info"]["status"], "KILLED")
        self.go_on(record)
        (run,) = store.runs.values()
        self.assertEqual((run["info"]["status"], run["params"]["rounds"]), ("FINISHED", "100"))
        self.assertNotIn("identity", run["params"])
        self.assertEqual([step for step, _ in store.curve("test/accuracy")], list(range(1, 101)))
        self.go_on(record, "--overwrite", stop=True)
        self.assertEqual([run["info"]["status"] for run in store.runs.values()], ["FINISHED", "KILLED"])

    def test_a_run_that_was_begun_without_an_identity(self):
        store, record = self.start_tracking()
        self.go_on(stop=True)
        path = self.scratch / "run" / "muster-run.json"
        configuration = json.loads(path.read_text())
        del configuration["identity"]
        path.write_text(json.dumps(configuration))
        for _ in range(2):
            self.go_on(record, stop=True)
        self.assertEqual(len(store.runs), 1)

    def test_a_record_that_cannot_be_opened(self):
        for sink in ("csv:/nowhere/x.csv", "nothing:x"):
            status, _, errors = self.run_program(SERVER, "--listen=127.0.0.1:0", f"--record={sink}")
            self.assertEqual(status, 1)
            self.assertRegex(errors, r"Z muster demo: .*(/nowhere/x.csv|nothing:x)")


class Looked(support.Case):
    def test_who_may_look(self):
        """Other machines only with a token. The log says where to look."""
        few = ["--listen=127.0.0.1:0", "--wait=0.1"]
        errors = self.run_program(SERVER, *few, "--monitor=127.0.0.1:0")[2]
        if "this build has no monitor" in errors:
            self.skipTest("a build without the monitor")
        self.assertRegex(errors, r"monitor at port (\d+): http://127\.0\.0\.1:\1/\n")
        errors = self.run_program(SERVER, *few, "--monitor=0.0.0.0:0")[2]
        self.assertRegex(errors, "--monitor 0.0.0.0:0: other machines reach that address")
        token = self.scratch / "token"
        token.write_text("correct-horse-battery-staple")
        errors = self.run_program(SERVER, *few, "--monitor=0.0.0.0:0", f"--token-file={token}")[2]
        self.assertRegex(errors, r"monitor at port (\d+): http://0\.0\.0\.0:\1/\n")


if __name__ == "__main__":
    support.main()
