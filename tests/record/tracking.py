#!/usr/bin/python3 -B
"""What records send to MLflow: a server that knows the documented form of the REST API 2.0, complains of everything else,
and fails, hangs, loses its answers and goes away when it is told to."""

import base64
import contextlib
import http.server
import json
import posixpath
import re
import socket
import ssl
import threading
import urllib.parse

from recording import RECORDER, Recorder, programs

STATUSES = {"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"}
API = "/api/2.0/mlflow/"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"


class Refusal(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code = status, code


class Store:
    """What the server keeps, over its restarts. `wrong` are requests that are not of the documented form."""

    def __init__(self, proxied=True):
        self.proxied = proxied
        self.experiments = {"Default": "0"}
        self.runs = {}
        self.artifacts = {}
        self.wrong = []
        self.requests = []
        self.headers = []
        self.lock = threading.Lock()

    def expect(self, holds, what):
        if not holds:
            self.wrong.append(what)

    def form(self, body, required, optional=()):
        """The fields of a request, and their types."""
        known = {**required, **dict(optional)}
        for name, value in body.items():
            self.expect(name in known, f"there is no field {name}")
            self.expect(type(value) in known.get(name, (type(value),)), f"{name} is {value!r}")
        for name in required:
            self.expect(name in body, f"{name} is missing")

    def legal(self, key):
        """MLflow's own rules for names."""
        normal = posixpath.normpath(key)
        if not re.match(r"^[/\w.\- ]*$", key) or normal != key or normal == "." or normal.startswith(("..", "/")):
            raise Refusal(400, "INVALID_PARAMETER_VALUE", f"Invalid name: {key}")
        self.expect(0 < len(key) <= 250, f"the name is too long: {key}")

    def run(self, body):
        if body["run_id"] not in self.runs:
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Run {body['run_id']} not found")
        return self.runs[body["run_id"]]

    def get_by_name(self, query):
        name = query["experiment_name"]
        if name not in self.experiments:
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Could not find experiment with name '{name}'")
        experiment = {"experiment_id": self.experiments[name], "name": name, "lifecycle_stage": "active"}
        return {"experiment": experiment}

    def create_experiment(self, body):
        self.form(body, {"name": (str,)}, {"artifact_location": (str,), "tags": (list,)})
        if body["name"] in self.experiments:
            raise Refusal(400, "RESOURCE_ALREADY_EXISTS", "it exists")
        self.experiments[body["name"]] = str(len(self.experiments))
        return {"experiment_id": self.experiments[body["name"]]}

    def search(self, body):
        self.form(
            body,
            {"experiment_ids": (list,)},
            {"filter": (str,), "run_view_type": (str,), "max_results": (int,), "order_by": (list,), "page_token": (str,)},
        )
        self.expect(body["run_view_type"] in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL"), "run_view_type")
        tag, value = re.fullmatch(r"tags\.(\w+) = '([^']*)'", body["filter"]).groups()
        found = [
            run
            for run in self.runs.values()
            if run["info"]["experiment_id"] in body["experiment_ids"] and run["tags"].get(tag) == value
        ]
        return {"runs": [{"info": run["info"]} for run in found[: body["max_results"]]]} if found else {}

    def create_run(self, body):
        self.form(
            body,
            {"experiment_id": (str,)},
            {"user_id": (str,), "run_name": (str,), "start_time": (int,), "tags": (list,)},
        )
        for tag in body["tags"]:
            self.form(tag, {"key": (str,), "value": (str,)})
        self.expect(body["experiment_id"] in self.experiments.values(), "no such experiment")
        identity = f"run{len(self.runs)}"
        place = f"{body['experiment_id']}/{identity}/artifacts"
        info = {
            "run_id": identity,
            "run_uuid": identity,
            "experiment_id": body["experiment_id"],
            "run_name": body.get("run_name", "chosen"),
            "status": "RUNNING",
            "start_time": body["start_time"],
            "artifact_uri": f"mlflow-artifacts://tracking:80/{place}" if self.proxied else f"s3://bucket/{place}",
            "lifecycle_stage": "active",
        }
        tags = {tag["key"]: tag["value"] for tag in body["tags"]}
        self.runs[identity] = {"info": info, "tags": tags, "params": {}, "metrics": set()}
        return {"run": {"info": info, "data": {}, "inputs": {}}}

    def log_batch(self, body):
        self.form(body, {"run_id": (str,)}, {"metrics": (list,), "params": (list,), "tags": (list,)})
        metrics, params, tags = (body.get(name, []) for name in ("metrics", "params", "tags"))
        self.expect(len(metrics) <= 1000 and len(params) <= 100 and len(tags) <= 100, "the batch is too big")
        self.expect(len(metrics) + len(params) + len(tags) <= 1000, "the batch is too big")
        run = self.run(body)
        numbers = set()
        for metric in metrics:
            self.form(metric, {"key": (str,), "value": (float, int, str), "timestamp": (int,), "step": (int,)})
            self.legal(metric["key"])
            if metric["key"] == "refused":
                raise Refusal(400, "INVALID_PARAMETER_VALUE", "this is refused")
            if isinstance(metric["value"], str):
                self.expect(metric["value"] in ("NaN", "Infinity", "-Infinity"), metric["value"])
            numbers.add((metric["key"], metric["step"], metric["timestamp"], str(metric["value"])))
        for param in params:
            self.form(param, {"key": (str,), "value": (str,)})
            self.legal(param["key"])
            self.expect(len(param["value"]) <= 6000, "the param is too long")
            if run["params"].get(param["key"], param["value"]) != param["value"]:
                raise Refusal(400, "INVALID_PARAMETER_VALUE", "Changing param values is not allowed")
        run["params"].update((param["key"], param["value"]) for param in params)
        run["metrics"] |= numbers
        return {}

    def update(self, body):
        self.form(body, {"run_id": (str,)}, {"status": (str,), "end_time": (int,), "run_name": (str,)})
        self.expect(body["status"] in STATUSES, body["status"])
        self.run(body)["info"].update(body)
        return {"run_info": self.run(body)["info"]}

    def curve(self, name, run="run0"):
        """The numbers of one name by step; the same twice is one."""
        metrics = [metric for metric in self.runs[run]["metrics"] if metric[0] == name]
        return sorted((step, value) for _, step, _, value in metrics)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, content):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do(self, method):
        store, server = self.server.store, self.server
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        url = urllib.parse.urlsplit(self.path)
        with store.lock:
            store.requests.append((method, url.path))
            store.headers.append(self.headers)
            mode = server.mode(method, url.path)
        if mode == "hang":
            server.released.wait()
            self.close_connection = True
            return
        if isinstance(mode, int):
            self.answer(mode, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "not\nnow"})
            return
        try:
            with store.lock:
                content = self.handle_request(method, url, body)
        except Refusal as refusal:
            self.answer(refusal.status, {"error_code": refusal.code, "message": str(refusal)})
            return
        except Exception as error:
            store.wrong.append(f"{method} {self.path}: {error!r}")
            raise
        if mode == "lose":
            self.close_connection = True
            return
        self.answer(200, content)

    def handle_request(self, method, url, body):
        store = self.server.store
        if method == "PUT" and url.path.startswith(ARTIFACTS):
            store.expect(store.proxied, "artifacts are not passed on")
            store.artifacts[urllib.parse.unquote(url.path.removeprefix(ARTIFACTS))] = body
            return {}
        store.expect(len(body) <= 1 << 20, "the request has more than 1 MB")
        if method == "GET":
            store.expect(url.path == API + "experiments/get-by-name", url.path)
            return store.get_by_name(dict(urllib.parse.parse_qsl(url.query, strict_parsing=True)))
        calls = {
            "experiments/create": store.create_experiment,
            "runs/search": store.search,
            "runs/create": store.create_run,
            "runs/log-batch": store.log_batch,
            "runs/update": store.update,
        }
        store.expect(self.headers["Content-Type"].startswith("application/json"), "this is no JSON")
        return calls[url.path.removeprefix(API)](json.loads(body))

    def do_GET(self):
        self.do("GET")

    def do_POST(self):
        self.do("POST")

    def do_PUT(self):
        self.do("PUT")


class Server(http.server.ThreadingHTTPServer):
    """A server on a free port, or again on one. `mode` says what becomes of a request: None, a status, "hang" or "lose"."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, store, port=0, tls=None):
        super().__init__(("127.0.0.1", port), Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.store = store
        self.connections = []
        self.mode = lambda method, path: None
        self.released = threading.Event()
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def get_request(self):
        """Notes each connection before a thread has it: that may begin only when the server has ended."""
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def handle_error(self, *_):
        pass

    def release(self):
        """What hangs ends, and no other hangs."""
        self.mode = lambda method, path: None
        self.released.set()

    def end(self):
        self.release()
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Case(programs.Case):
    def setUp(self):
        super().setUp()
        self.store = Store()
        self.server = Server(self.store, self.reserve_port())  # which it may leave and come back to
        self.addCleanup(lambda: self.server.end())
        self.addCleanup(lambda: self.assertEqual(self.store.wrong, []))

    def recorder(self, *sinks, options="", **environment):
        recorder = Recorder(self, **environment)
        recorder.do(" ".join(["open", *options.split(), f"mlflow:http://127.0.0.1:{self.server.port}", *sinks]))
        return recorder

    def close(self, recorder, outcome="finished"):
        recorder.do(f"close {outcome} 30000")
        recorder.end()

    def only_run(self):
        self.assertEqual(list(self.store.runs), ["run0"])
        return self.store.runs["run0"]


class Tracking(Case):
    def test_a_run(self):
        model = self.scratch / "model.npz"
        model.write_bytes(bytes(range(256)) * 5000)
        recorder = self.recorder(options="--experiment=an+experiment/ä --run-name=first")
        recorder.do(
            "setting lr 0.1",
            "scalar 1 loss 0.1",
            "scalar 2 loss nan",
            "scalar 3 loss -inf",
            'text 1 configuration {"a": 1}',
            "histogram 1 weights 1 2 3",
            f"file 3 models/round-3.npz {model}",
        )
        self.close(recorder)
        self.assertEqual(recorder.warnings, [])
        run = self.only_run()
        self.assertEqual(run["info"]["experiment_id"], self.store.experiments["an+experiment/ä"])
        self.assertEqual(run["info"]["run_name"], "first")
        self.assertEqual(run["info"]["status"], "FINISHED")
        self.assertGreaterEqual(run["info"]["end_time"], run["info"]["start_time"])
        self.assertGreater(run["info"]["start_time"], 1.6e12)
        self.assertEqual(run["params"], {"lr": "0.1"})
        self.assertEqual(self.store.curve("loss"), [(1, "0.1"), (2, "NaN"), (3, "-Infinity")])
        self.assertEqual(
            self.store.artifacts,
            {
                "1/run0/artifacts/configuration.txt": b'{"a": 1}',
                "1/run0/artifacts/models/round-3.npz": model.read_bytes(),
            },
        )

    def test_how_it_ended(self):
        for number, outcome in enumerate(("finished", "failed", "killed")):
            recorder = self.recorder()
            self.close(recorder, outcome)
            self.assertEqual(self.store.runs[f"run{number}"]["info"]["status"], outcome.upper())

    def test_many(self):
        recorder = self.recorder()
        recorder.do("scalars 0 5000 x", *(f"setting name{i} {'v' * 7000}" for i in range(150)))
        self.close(recorder)
        self.assertEqual([step for step, _ in self.store.curve("x")], list(range(5000)))
        self.assertEqual(self.only_run()["params"], {f"name{i}": "v" * 6000 for i in range(150)})

    def test_names(self):
        recorder = self.recorder()
        names = ["a/b c", "a:b", "ä", "/a", "a//b", "a/", "..", "a/./b", "<img>", "a/..b", "%41", "x" * 249 + "é"]
        recorder.do(*(f"setting {name.replace(' ', '')} 1" for name in names))
        self.close(recorder)
        self.assertEqual(recorder.warnings, [])
        self.assertEqual(
            sorted(self.only_run()["params"]),
            sorted(
                ["a/bc", "a-3Ab", "-C3-A4", "-2Fa", "a/-2Fb", "a-2F", "-2E-2E", "a/-2E/b", "-3Cimg-3E", "a/..b"]
                + ["-2541", "x" * 249]
            ),
        )

    def test_the_same_run_goes_on(self):
        for step, rate in ((1, "0.1"), (2, "0.2")):
            recorder = self.recorder(options="--identity=a.B_c-1")
            recorder.do(f"setting lr {rate}", "setting seed 7", f"scalar {step} loss {step}")
            self.close(recorder, "killed" if step == 1 else "finished")
        run = self.only_run()
        self.assertEqual(run["info"]["status"], "FINISHED")
        self.assertEqual(run["params"], {"lr": "0.1", "seed": "7"})
        self.assertEqual([step for step, _ in self.store.curve("loss")], [1, 2])
        told = [warning for warning in recorder.warnings if "is left out" in warning]
        self.assertEqual(len(told), 1, recorder.warnings)
        self.assertIn("'lr' is left out", told[0])
        self.assertIn("Changing param values is not allowed", told[0])

    def test_what_is_refused_keeps_nothing_else_away(self):
        recorder = self.recorder()
        recorder.do("scalars 0 300 x", "scalar 1 refused 1", "scalars 300 300 x")
        self.close(recorder)
        self.assertEqual([step for step, _ in self.store.curve("x")], list(range(600)))
        self.assertEqual(len(recorder.warnings), 1)
        self.assertIn("'refused' is left out", recorder.warnings[0])

    def test_no_artifacts(self):
        self.store.proxied = False
        recorder = self.recorder()
        recorder.do("text 1 a b", "file 1 c /etc/hostname", "scalar 1 x 1")
        self.close(recorder)
        self.assertEqual(len(recorder.warnings), 1)
        self.assertIn("takes no files by HTTP", recorder.warnings[0])
        self.assertEqual(len(self.store.curve("x")), 1)

    def test_no_file(self):
        recorder = self.recorder()
        recorder.do(f"file 1 a {self.scratch}/none", f"file 1 b {self.scratch}", "scalar 1 x 1")
        self.close(recorder)
        self.assertEqual(len(recorder.warnings), 2)
        self.assertIn("No such file", recorder.warnings[0])
        self.assertEqual(len(self.store.curve("x")), 1)

    def test_credentials_and_environment(self):
        url = f"http://127.0.0.1:{self.server.port}/"
        for environment, expected in (
            (
                {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "p:w"},
                "Basic " + base64.b64encode(b"ada:p:w").decode(),
            ),
            ({"MLFLOW_TRACKING_TOKEN": "secret"}, "Bearer secret"),
            ({}, None),
        ):
            self.store.headers.clear()
            recorder = Recorder(self, MLFLOW_TRACKING_URI=url, MLFLOW_EXPERIMENT_NAME="mine", **environment)
            recorder.do("open mlflow:", "scalar 1 x 1")
            self.close(recorder)
            self.assertEqual({headers["Authorization"] for headers in self.store.headers}, {expected})
            self.assertEqual(recorder.warnings, [])
        self.assertEqual({run["info"]["experiment_id"] for run in self.store.runs.values()}, {"1"})


class Away(Case):
    def expect_back(self, recorder):
        self.assertEqual(len(recorder.warnings), 2, recorder.warnings)
        self.assertIn("it is tried again", recorder.warnings[0])
        self.assertIn("it works again", recorder.warnings[1])

    def expect_all(self, count):
        self.assertEqual(self.store.curve("x"), [(step, str(float(step))) for step in range(count)])
        self.assertEqual(self.only_run()["info"]["status"], "FINISHED")

    def goes_wrong(self, mode, failing):
        """Requests fail until the record has said so."""
        recorder = self.recorder()
        recorder.do("scalars 0 10 x")
        self.server.mode = lambda method, path: mode
        recorder.do("scalars 10 10 x")
        recorder.wait_for_warning(failing)
        recorder.do("scalars 20 10 x")
        self.server.mode = lambda method, path: None
        recorder.wait_for_warning("it works again")
        self.close(recorder)
        self.expect_back(recorder)
        self.expect_all(30)
        return recorder

    def test_fails(self):
        recorder = self.goes_wrong(500, "answered 500")
        self.assertIn("not?now", recorder.warnings[0])

    def test_does_not_let_in(self):
        recorder = self.goes_wrong(401, "answered 401")
        self.assertIn("are the credentials right?", recorder.warnings[0])

    def test_loses_its_answers(self):
        """Everything is sent twice, and there is one run with one curve."""
        seen = set()

        def first_is_lost(method, path):
            known = path in seen
            seen.add(path)
            return None if known else "lose"

        self.server.mode = first_is_lost
        recorder = self.recorder(options="--experiment=new")
        recorder.do("setting a b", "scalars 0 10 x")
        self.close(recorder)
        self.assertEqual(self.only_run()["params"], {"a": "b"})
        self.expect_all(10)

    def test_is_not_there_yet(self):
        port = self.server.port
        self.server.end()
        recorder = Recorder(self)
        recorder.do(f"open mlflow:http://127.0.0.1:{port}", "scalars 0 10 x")
        recorder.wait_for_warning("is the server up?")
        self.server = Server(self.store, port)
        self.close(recorder)
        self.expect_back(recorder)
        self.expect_all(10)

    def test_goes_and_comes_back(self):
        recorder = self.recorder()
        recorder.do("scalars 0 10 x")
        self.server.end()
        recorder.do("scalars 10 10 x")
        recorder.wait_for_warning("it is tried again")
        self.server = Server(self.store, self.server.port)
        self.close(recorder)
        self.expect_all(20)

    def test_hangs(self):
        """A request ends by its own limit, and is sent again."""
        self.server.mode = lambda method, path: "hang"
        recorder = self.recorder(options="--request-timeout=1000")
        recorder.do("scalars 0 10 x")
        recorder.wait_for_warning("it is tried again")
        self.server.release()
        self.close(recorder)
        self.expect_all(10)

    def test_the_end_does_not_wait_for_it(self):
        """Nor do other sinks, which have all: on a busy machine they may need longer for that."""
        self.server.mode = lambda method, path: "hang"
        for limit in (300, 20000):
            lines = self.scratch / f"{limit}.jsonl"
            recorder = self.recorder(f"jsonl:{lines}")
            recorder.do("scalars 0 10 x")
            answer = recorder.say(f"close killed {limit}")
            self.assertIn(f"not all was written within {limit} ms", answer)
            recorder.end()
            written = len(lines.read_text().splitlines())
            if written == 11:
                break
        self.assertEqual(written, 11)

    def test_the_oldest_is_lost(self):
        self.server.mode = lambda method, path: "hang"
        recorder = self.recorder(options="--backlog=65536")
        recorder.do("scalars 0 5000 x")
        recorder.wait_for_warning("its backlog is full")
        self.server.release()
        recorder.wait_for_warning("entries were lost")
        self.close(recorder)
        steps = [step for step, _ in self.store.curve("x")]
        lost = int(re.search(r"; (\d+) entries", recorder.warnings[-1])[1])
        self.assertEqual(steps[-1], 4999)
        self.assertEqual(len(steps) + lost, 5000)

    def test_is_something_else(self):
        self.server.mode = lambda method, path: 404
        recorder = self.recorder()
        recorder.do("scalars 0 10 x")
        recorder.wait_for_warning("answered 404")
        self.server.release()
        self.close(recorder)
        self.expect_all(10)


class Secure(Case):
    def setUp(self):
        super().setUp()
        maker = programs.SOURCE / "tests" / "integration" / "make_certificates"
        programs.subprocess.run([maker, self.scratch], check=True, stdout=programs.subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.scratch / "server.pem", self.scratch / "server.key")
        self.server.end()
        self.server = Server(self.store, tls=context)

    def record(self, **environment):
        recorder = Recorder(self, **environment)
        recorder.do(f"open mlflow:https://127.0.0.1:{self.server.port}", "scalar 1 x 1")
        return recorder

    def test_an_authority_that_is_known(self):
        self.close(self.record(MLFLOW_TRACKING_SERVER_CERT_PATH=str(self.scratch / "ca.pem")))
        self.assertEqual(len(self.store.curve("x")), 1)

    def test_any_certificate(self):
        self.close(self.record(MLFLOW_TRACKING_INSECURE_TLS="true"))
        self.assertEqual(len(self.store.curve("x")), 1)

    def test_a_certificate_of_strangers(self):
        recorder = self.record(MLFLOW_TRACKING_SERVER_CERT_PATH=str(self.scratch / "other.pem"))
        recorder.wait_for_warning("certificate")
        self.assertIn("not all was written", recorder.say("close killed 20"))
        recorder.end()
        self.assertEqual(self.store.requests, [])


if __name__ == "__main__":
    programs.main(RECORDER)
