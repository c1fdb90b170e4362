#!/usr/bin/python3 -B
"""The metrics as Prometheus reads them: promtool checks them, and the alert rules, and a Prometheus of Debian's scrapes
a run and answers queries. Its package is unpacked into build/ and never installed, as it would start a daemon."""

import glob
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.parse

import world
from world import until

UNPACKED = world.support.BUILD / "tests" / "monitor" / "prometheus"
CONTRIB = world.support.SOURCE / "contrib"


def fetch():
    """Unpacks the package, once; says why it cannot be had."""
    if (UNPACKED / "usr/bin/prometheus").exists():
        return None
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return "this is not Debian"
    shutil.rmtree(UNPACKED, ignore_errors=True)
    UNPACKED.mkdir(parents=True)
    done = subprocess.run(["apt-get", "download", "prometheus"], cwd=UNPACKED, capture_output=True, text=True, timeout=300)
    packages = glob.glob(str(UNPACKED / "prometheus_*.deb"))
    if done.returncode != 0 or not packages:
        return "the package prometheus cannot be downloaded: " + done.stderr.strip()[-300:]
    done = subprocess.run(["dpkg", "-x", packages[0], str(UNPACKED)], capture_output=True, text=True)
    os.remove(packages[0])
    return None if done.returncode == 0 else done.stderr


def tool(*arguments, text=None):
    done = subprocess.run(
        [UNPACKED / "usr/bin/promtool", *arguments], input=text, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def status_of(port):
    """Whether Prometheus is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


class Test(world.support.Case):
    def setUp(self):
        super().setUp()
        signal.alarm(240)

    def busy_world(self, *settings):
        server = world.World(self, *settings)
        for name in ("ada", '<img src=x onerror="alert(1)">'):
            server.participant(name)
        server.tell("wait 2")
        server.tell("rounds 0 5")
        server.tell("crowd 10")
        server.tell("rounds 1 3")
        server.tell('scalar lo"ss 3 0.25')
        return server

    def test_metrics_are_as_they_should_be(self):
        server = self.busy_world()
        status, said = tool("check", "metrics", text=server.get("/metrics")[2])
        self.assertEqual((status, said), (0, ""))

    def test_a_scrape(self):
        """In OpenMetrics, which Prometheus asks for, and with the token."""
        token = "correct-horse-battery-staple"
        (self.scratch / "token").write_text(token)
        server = self.busy_world(f"token={self.scratch}/token")
        scrape = {
            "job_name": "muster",
            "scrape_interval": "1s",
            "authorization": {"credentials_file": str(self.scratch / "token")},
            "static_configs": [{"targets": [f"127.0.0.1:{server.monitor}"]}],
        }
        configuration = {"scrape_configs": [scrape], "rule_files": [str(CONTRIB / "prometheus-rules.yml")]}
        path = self.scratch / "prometheus.yml"
        path.write_text(json.dumps(configuration))  # JSON is YAML
        self.assertEqual(tool("check", "config", str(path))[0], 0)
        process = self.start(
            UNPACKED / "usr/bin/prometheus",
            f"--config.file={path}",
            f"--storage.tsdb.path={self.scratch}/data",
            "--web.listen-address=127.0.0.1:0",
            "--log.level=info",
            stderr=(self.scratch / "log").open("w"),
        )
        port = until(lambda: world.port_of(process))

        def query(text):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": text}))
                result = json.loads(connection.getresponse().read())
            finally:
                connection.close()
            self.assertEqual(result["status"], "success", result)
            return [float(one["value"][1]) for one in result["data"]["result"]]

        until(lambda: status_of(port) == 200)
        until(lambda: query('up{job="muster"}') == [1])
        until(lambda: query('sum(muster_turns_total{manager="server",status="OK"})') == [10])
        until(lambda: query('sum(muster_turns_total{manager="crowd"})') == [30])
        until(lambda: query('muster_turn_seconds_count{manager="crowd"}') == [30])
        until(lambda: query('muster_turn_seconds_bucket{manager="crowd",le="+Inf"}') == [30])
        until(lambda: query("count(muster_participant_open == 1)") == [12])
        until(lambda: query("muster_scalar{name='lo\"ss'}") == [0.25])
        server.tell("rounds 0 1")
        until(lambda: query('sum(muster_turns_total{manager="server"})') == [12])

        # What the dashboard asks is understood, too.
        dashboard = json.loads((CONTRIB / "grafana-dashboard.json").read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                asked = target["expr"].replace("$__rate_interval", "1m")
                query(re.sub(r"\$(instance|manager|scalar)", ".*", asked))

    def test_the_rules(self):
        status, said = tool("check", "rules", str(CONTRIB / "prometheus-rules.yml"))
        self.assertEqual(status, 0, said)
        status, said = tool("test", "rules", str(CONTRIB / "prometheus-rules-test.yml"))
        self.assertEqual(status, 0, said)

    def test_the_dashboard_asks_for_what_there_is(self):
        server = self.busy_world()
        server.tell("begin 1 once")
        server.tell("end")
        there = {line.split()[2] for line in server.get("/metrics")[2].splitlines() if line.startswith("# TYPE")}
        dashboard = json.loads((CONTRIB / "grafana-dashboard.json").read_text())
        asked = "".join(target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", []))
        asked += (CONTRIB / "prometheus-rules.yml").read_text()
        names = set(re.findall(r"\bmuster_[a-z_]+", asked))
        names = {re.sub(r"^(muster_turn_seconds)_(bucket|sum|count)$", r"\1", name) for name in names}
        self.assertGreater(len(names), 10)
        self.assertEqual(names - there, set())


if __name__ == "__main__":
    if os.environ.get("MUSTER_TEST_TOOL", "none") != "none":
        print("Prometheus is no test of a tool")
        sys.exit(77)
    why = fetch()
    if why:
        print(why)
        sys.exit(77)
    world.main()
