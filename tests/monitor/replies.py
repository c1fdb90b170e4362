#!/usr/bin/python3 -B
"""The monitor by HTTP, from outside: what it says, to whom, and what strangers can make it do."""

import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest.mock

import world
from world import basic, read_all, until

EVIL = "<img src=x onerror=alert(1)>"
QUOTED = 'a "quoted" name'
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def status_of(reply):
    found = re.match(rb"HTTP/1\.[01] (\d+)", reply)
    return int(found[1]) if found else None


def samples_of(text):
    """Name with labels, and value."""
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))


class Test(world.support.Case):
    def setUp(self):
        super().setUp()
        signal.alarm(150 * world.support.SLOWNESS)

    def test_what_it_says(self):
        server = world.World(self)
        people = [server.participant(name) for name in ("ada", EVIL, QUOTED)]
        server.tell("wait 3")
        server.tell("rounds 0 4")
        server.tell("crowd 20")
        server.tell("rounds 1 3")
        status, headers, text = server.get("/metrics")
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        samples = samples_of(text)
        self.assertEqual(samples['muster_turns_total{manager="server",status="OK"}'], "12")
        self.assertEqual(samples['muster_turns_total{manager="crowd",status="OK"}'], "60")
        self.assertEqual(samples['muster_turn_seconds_count{manager="crowd"}'], "60")
        self.assertEqual(samples['muster_turn_seconds_bucket{manager="crowd",le="+Inf"}'], "60")
        self.assertIn('muster_turn_seconds_bucket{manager="crowd",le="1.024"}', samples)  # the bound itself
        self.assertEqual(samples['muster_rounds_total{manager="server",status="OK"}'], "4")
        self.assertEqual(samples['muster_participants{manager="server",state="open"}'], "3")
        turns = [name for name in samples if name.startswith("muster_participant_turns_total")]
        self.assertEqual(len(turns), 2 * 23)
        escaped = QUOTED.replace("\\", "\\\\").replace('"', '\\"')
        self.assertTrue(any(f'participant="{escaped}"' in name for name in turns))
        self.assertTrue(any(f'participant="{EVIL}"' in name for name in turns))

        state = server.state()
        self.assertEqual({row["name"] for row in state["participants"]["rows"] if row["manager"] == "server"},
                         {"ada", EVIL, QUOTED})
        self.assertEqual(state["managers"][0]["turns_ended"], {"OK": 12})
        self.assertEqual(state["managers"][0]["rounds"], [])

        # Sorted, filtered, by pages.
        rows = server.state(filter="MEMBER", sort="name", descending=1, offset=5, limit=2)["participants"]
        self.assertEqual([row["name"] for row in rows["rows"]], ["member-00014", "member-00013"])
        self.assertEqual((rows["total"], rows["matching"]), (23, 20))
        self.assertEqual(len(server.state(filter="open")["participants"]["rows"]), 23)
        self.assertEqual(server.state(filter="silent")["participants"]["rows"], [])

        # Without the crowd's manager.
        server.tell("remove 1")
        self.assertEqual(len(server.state()["managers"]), 1)
        for person in people:
            person.kill()
        self.assertEqual(server.stop(), 0)

    def test_a_group_seen_by_one_of_its_members(self):
        server = world.World(self)
        people = {name: server.member(name, 4) for name in ("ada", EVIL, QUOTED)}
        server.tell("group 4")
        (group,) = server.state()["groups"]
        self.assertEqual((group["name"], group["epoch"], group["present"], group["lost"]), ("company", 1, 4, 0))
        self.assertEqual({member["name"] for member in group["members"]}, {"watcher", *people})
        ranks = {member["name"]: member["rank"] for member in group["members"]}
        (view,) = group["views"]
        self.assertEqual((view["rank"], view["links"], view["edges"]), (ranks["watcher"], 0, []))

        # A link, and a wait.
        server.tell(f"send {ranks['ada']}")
        server.tell(f"receive {ranks[EVIL]}")
        (wait,) = until(lambda: server.state()["groups"][0]["views"][0]["waits"])
        self.assertEqual((wait["call"], wait["rank"], wait["tag"], wait["left_ms"]), ("receive", ranks[EVIL], 7, None))
        edges = {edge["rank"]: edge for edge in server.state()["groups"][0]["views"][0]["edges"]}
        self.assertEqual(set(edges), {ranks["ada"], ranks[EVIL]})
        self.assertEqual([edges[ranks[name]]["link"] for name in ("ada", EVIL)], ["open", "none"])
        samples = samples_of(server.get("/metrics")[2])
        own = f'group="company",rank="{ranks["watcher"]}"'
        self.assertEqual(samples[f'muster_group_members{{{own},state="present"}}'], "4")
        self.assertEqual(samples[f"muster_group_waiting{{{own}}}"], "1")
        ada = f'{own},peer="{ranks["ada"]}",name="ada"'
        self.assertGreater(int(samples[f'muster_group_peer_bytes_total{{{ada},direction="sent"}}']), 0)
        self.assertEqual(samples[f"muster_group_peer_open{{{ada}}}"], "1")
        series = [name for name in samples if name.startswith("muster_group_peer_open")]
        self.assertEqual(len(series), 2)  # those that have to do with it

        # One is killed: it is lost, and nobody waits for it any more.
        people[EVIL].kill()
        until(lambda: server.state()["groups"][0]["lost"] == 1)
        until(lambda: server.state()["groups"][0]["views"][0]["waits"] == [])  # its thread may not have come out yet
        (group,) = server.state()["groups"]
        self.assertEqual([member["name"] for member in group["members"] if member["state"] == "lost"], [EVIL])
        self.assertEqual(group["epoch"], 2)
        for person in people.values():
            person.kill()
        self.assertEqual(server.stop(), 0)

    def test_a_group_whose_members_are_all_here(self):
        server = world.World(self, "series=30")
        server.tell("ring 40")
        (group,) = server.state()["groups"]
        self.assertEqual([member["rank"] for member in group["members"]], list(range(40)))
        self.assertEqual(sorted(view["rank"] for view in group["views"]), list(range(40)))
        for view in group["views"]:
            neighbours = {(view["rank"] + 1) % 40, (view["rank"] + 39) % 40}
            self.assertEqual({edge["rank"] for edge in view["edges"] if edge["link"] == "open"}, neighbours)
        status, _, text = server.get("/metrics")
        samples = samples_of(text)
        self.assertEqual(len([name for name in samples if name.startswith("muster_group_peer_open")]), 30)
        self.assertEqual(samples["muster_group_peer_series_left_out"], "50")
        self.assertEqual(samples['muster_group_links{group="ring",rank="7"}'], "2")
        self.assertEqual(server.stop(), 0)

    def test_a_round_and_whom_it_waits_for(self):
        server = world.World(self)
        people = {name: server.participant(name) for name in ("ada", "grace")}
        server.tell("wait 2")
        server.tell("begin 0 hold")
        until(lambda: any(r["waiting"] and r["waiting"][0]["progress"] for r in server.state()["managers"][0]["rounds"]))
        people["ada"].stdin.close()
        until(lambda: server.state()["managers"][0]["rounds"][0]["answered"] == 1)
        (one,) = server.state()["managers"][0]["rounds"]
        self.assertEqual([who["name"] for who in one["waiting"]], ["grace"])
        self.assertEqual((one["number"], one["count"], one["running"], one["kind"]), (1, 2, 1, "application"))
        samples = samples_of(server.get("/metrics")[2])
        self.assertEqual(samples['muster_round_participants{manager="server",outcome="answered"}'], "1")
        self.assertEqual(samples['muster_round_number{manager="server"}'], "1")
        people["grace"].stdin.close()
        server.tell("end")
        self.assertEqual(server.state()["managers"][0]["rounds_ended"], {"OK": 1})

    def test_a_frozen_participant_is_silent(self):
        server = world.World(self)
        people = {name: server.participant(name) for name in ("ada", "grace")}
        server.tell("wait 2")
        server.tell("begin 0 hold")
        until(lambda: all(row["progress"] for row in self.at_work(server, 2)))
        for row in self.at_work(server, 2):
            self.assertEqual(row["numbers"], {"loss": 0.25, "<b>": None})
        self.assertEqual(server.state(filter="silent")["participants"]["rows"], [])

        # How soon is in tests/server/test_statistics.c.
        people["ada"].send_signal(signal.SIGSTOP)
        # After a stand-still the other may be late for a moment, too.
        (row,) = until(lambda: len(rows := server.state(filter="silent")["participants"]["rows"]) == 1 and rows)
        self.assertEqual((row["name"], row["silent"], row["state"]), ("ada", True, "open"))
        state = server.state()
        self.assertEqual(state["managers"][0]["silent"], 1)
        self.assertEqual(self.silent_in_metrics(server), {"ada": "1", "grace": "0"})
        # It is told apart by what was not heard of it: the round waits for both.
        (one,) = state["managers"][0]["rounds"]
        self.assertEqual({who["name"] for who in one["waiting"]}, {"ada", "grace"})

        people["ada"].send_signal(signal.SIGCONT)
        until(lambda: not server.state(filter="silent")["participants"]["rows"])
        self.assertEqual(server.state()["managers"][0]["silent"], 0)
        self.assertEqual(self.silent_in_metrics(server), {"ada": "0", "grace": "0"})
        for person in people.values():
            person.stdin.close()
        server.tell("end")

    def at_work(self, server, count):
        """The participants with a turn; not before there are so many."""
        rows = [row for row in server.state()["participants"]["rows"] if "turn" in row]
        return rows if len(rows) == count else [{"progress": 0}]

    def silent_in_metrics(self, server):
        samples = samples_of(server.get("/metrics")[2])
        each = {}
        for name, value in samples.items():
            found = re.match(r'muster_participant_silent\{.*participant="(\w+)"', name)
            if found:
                each[found[1]] = value
        silent = sum(value == "1" for value in each.values())
        self.assertEqual(samples['muster_participants_silent{manager="server"}'], str(silent))
        return each

    def test_series_are_capped(self):
        server = world.World(self, "series=5")
        server.tell("crowd 12")
        samples = samples_of(server.get("/metrics")[2])
        self.assertEqual(len([name for name in samples if name.startswith("muster_participant_open")]), 5)
        self.assertEqual(samples["muster_participant_series_left_out"], "7")

    def test_open_metrics(self):
        server = world.World(self)
        status, headers, text = server.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
        self.assertEqual(status, 200)
        self.assertTrue(headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0"))
        self.assertTrue(text.endswith("\n# EOF\n"))
        families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
        self.assertEqual(len(families), len(set(families)))
        self.assertIn(("muster_turns", "counter"), families)
        try:
            from prometheus_client.openmetrics import parser
        except ImportError:
            return
        list(parser.text_string_to_metric_families(text))

    def test_events(self):
        server = world.World(self)
        server.tell("log one")
        stream = server.raw(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        data = b""

        def has(text):
            nonlocal data
            while text not in data:
                piece = stream.recv(65536)
                self.assertTrue(piece, data)
                data += piece

        has(b'"text":"one"')
        self.assertIn(b"text/event-stream", data)
        server.tell("log two")
        has(b'"text":"two"')
        server.participant(EVIL)
        server.tell("wait 1")
        has(b'"kind":"joined"')
        has(EVIL.encode())
        last = re.findall(rb"^id: (\S+)", data, re.MULTILINE)[1]
        again = server.raw(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: " + last + b"\r\n\r\n")
        first = b""
        while b'"kind":"joined"' not in first:
            first += again.recv(65536)
        self.assertNotIn(b'"text":"two"', first)
        server.process.stdin.close()
        read_all(stream)  # the stop ends it
        self.assertEqual(server.process.wait(), 0)

    def test_readers_of_events_are_bounded(self):
        server = world.World(self, "connections=8")
        request = b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
        streams = [server.raw(request) for _ in range(4)]
        for stream in streams:
            self.assertEqual(status_of(stream.recv(4096)), 200)
        self.assertEqual(status_of(server.raw(request).recv(4096)), 503)
        self.assertEqual(server.get("/healthz")[0], 200)
        streams[0].close()
        server.tell("log a line, by which it is seen that one is gone")
        until(lambda: [server.tell("log another"), status_of(server.raw(request).recv(4096)) == 200][1])

    def test_get_only(self):
        server = world.World(self)
        for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "FOO"):
            status, headers, _ = server.get("/api/state", method)
            self.assertEqual((method, status, headers["Allow"]), (method, 405, "GET"))
        reply = read_all(server.raw(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nxxxx"))
        self.assertEqual(status_of(reply), 405)
        # What could hide a second request in a body ends the connection.
        reply = read_all(server.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\n\r\n" + GET))
        self.assertEqual(len(re.findall(rb"HTTP/1\.1 ", reply)), 1)
        # Without a body it goes on.
        connection = server.raw(GET)
        self.assertEqual(status_of(connection.recv(4096)), 200)
        connection.sendall(GET)
        self.assertEqual(status_of(connection.recv(4096)), 200)

    def test_hosts(self):
        server = world.World(self, "host=monitor.example.org")
        for host, expected in (
            ("localhost", 200),
            ("127.0.0.1:1", 200),
            ("[::1]:5", 200),
            ("monitor.example.org", 200),
            ("evil.example", 421),
            ("localhost.evil.example", 421),
            ("", 421),
        ):
            reply = read_all(server.raw(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()))
            self.assertEqual((host, status_of(reply)), (host, expected))
        self.assertIn(status_of(read_all(server.raw(b"GET / HTTP/1.0\r\n\r\n"))), (400, 421))

    def test_headers_of_security(self):
        server = world.World(self)
        for path in ("/", "/page.js", "/metrics", "/api/state", "/nothing"):
            _, headers, body = server.get(path)
            policy = headers["Content-Security-Policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertNotIn("Access-Control-Allow-Origin", headers)
        page = server.get("/")[2]
        self.assertNotRegex(page, r"(?i)<script>|<style|\son\w+=|style=|https?://")
        for path in ("/page.js", "/groups.js"):
            self.assertNotRegex(server.get(path)[2], r"innerHTML|insertAdjacentHTML|document\.write|eval\(")

    def test_the_token(self):
        token = "correct-horse-battery-staple"
        (self.scratch / "token").write_text(token + "\n")
        server = world.World(self, f"token={self.scratch}/token")
        for path in ("/", "/metrics", "/api/state", "/api/events", "/chart.js", "/nothing"):
            status, headers, _ = server.get(path)
            self.assertEqual((path, status), (path, 401))
            self.assertTrue(headers["WWW-Authenticate"].startswith("Basic "))
            self.assertEqual(server.get(path, headers=basic("ada", token + "x"))[0], 401)
            self.assertEqual(server.get(path, headers={"Authorization": f"Bearer {token[:-1]}"})[0], 401)
        self.assertEqual(server.get("/healthz")[0], 200)
        self.assertEqual(server.get("/metrics", headers=basic("ada", token))[0], 200)
        self.assertEqual(server.get("/metrics", headers=basic("", token))[0], 200)
        self.assertEqual(server.get("/metrics", headers={"Authorization": f"Bearer {token}"})[0], 200)

    def test_tls(self):
        key, certificate = self.scratch / "key.pem", self.scratch / "certificate.pem"
        made = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key]
            + ["-out", certificate, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
            capture_output=True,
        )
        self.assertEqual(made.returncode, 0, made.stderr)
        server = world.World(self, f"certificate={certificate}", f"key={key}")
        context = ssl.create_default_context(cafile=certificate)
        self.assertEqual(server.get("/healthz", context=context)[2], "ok\n")
        self.assertIn("muster_turns_total", server.get("/metrics", context=context)[2])
        self.assertNotIn(b"ok", read_all(server.raw(GET)))
        with socket.create_connection(("127.0.0.1", server.monitor)) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as stream:
                stream.settimeout(world.LIMIT)
                stream.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                server.tell("log through TLS")
                data = b""
                while b"through TLS" not in data:
                    data += stream.recv(65536)

    def test_sizes(self):
        server = world.World(self)
        for big in (
            b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
            b"GET /?" + b"a=b&" * 20000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ):
            connection = server.raw(b"")
            try:
                connection.sendall(big)
                self.assertIn(status_of(read_all(connection)), (None, 400, 413, 414, 431))
            except OSError:
                pass
        for strange in (b"\0" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00" + b"x" * 600, b"\r\n" * 50):
            connection = server.raw(strange)
            connection.shutdown(socket.SHUT_WR)
            try:
                self.assertNotEqual(status_of(read_all(connection)), 200)
            except OSError:
                pass
        self.assertEqual(server.get("/healthz")[0], 200)

    def test_where_numbers_have_a_comma(self):
        with tempfile.TemporaryDirectory() as directory:
            source = pathlib.Path(directory, "source")
            source.write_text('LC_CTYPE\nEND LC_CTYPE\nLC_NUMERIC\ndecimal_point ","\nthousands_sep "."\n'
                              "grouping 3;3\nEND LC_NUMERIC\n")
            subprocess.run(["localedef", "-c", "-i", source, f"{directory}/commas"], capture_output=True, check=False)
            self.assertTrue(pathlib.Path(directory, "commas", "LC_NUMERIC").exists())
            with unittest.mock.patch.dict(os.environ, LOCPATH=directory, LC_ALL="commas"):
                server = world.World(self)
        samples = samples_of(server.get("/metrics")[2])
        self.assertIn('muster_turn_seconds_bucket{manager="server",le="0.001"}', samples)
        for value in samples.values():
            float(value)
        self.assertEqual(server.get("/metrics", headers={"Accept": "application/openmetrics-text;q=0.5"})[1]["Content-Type"],
                         "application/openmetrics-text; version=1.0.0; charset=utf-8")

    def test_connections_are_bounded_and_slow_ones_cut(self):
        """All seats are taken by those that send a byte now and then; each is cut, and the next one has its turn."""
        server = world.World(self, "connections=4")
        slow = [server.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ") for _ in range(4)]
        waiting = server.raw(GET)
        begin, reply = time.monotonic(), b""
        waiting.settimeout(1)
        while not reply:
            self.assertLess(time.monotonic() - begin, 100 * world.support.SLOWNESS)
            for connection in slow:
                try:
                    connection.sendall(b"a")
                except OSError:
                    pass
            try:
                reply = waiting.recv(4096)
            except TimeoutError:
                pass
        self.assertEqual(status_of(reply), 200)

    def test_a_client_that_does_not_read(self):
        server = world.World(self)
        server.tell("crowd 500")
        deaf = [server.raw(b"GET /api/state HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20) for _ in range(3)]
        self.assertEqual(server.get("/healthz")[0], 200)
        server.tell("rounds 1 2")
        self.assertEqual(server.state(limit=0)["managers"][1]["turns_ended"], {"OK": 1000})
        del deaf
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    world.main()
