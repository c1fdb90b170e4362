#!/usr/bin/python3 -B
"""Servers and participants of C, Python and asyncio, as processes, in all combinations; and the death of some;
and credentials."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading

import numpy

import common
from common import LONG, PEER, support
import muster


class Combinations(common.Case):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.programs = {
            name: common.compile_example(name, pathlib.Path(directory.name)) for name in ("participant", "fedavg_server")
        }

    def participant(self, kind, number, port):
        address, name = f"127.0.0.1:{port}", f"{kind}-{number}"
        if kind == "c":
            return self.start(self.programs["participant"], "--connect", address, "--number", number, "--name", name)
        return self.start_python(PEER, {"python": "participant", "asyncio": "asyncio"}[kind], address, name)

    def expect_goodbye(self, participants):
        for each in participants:
            self.assertEqual(each.wait(LONG), 0, self.errors_of(each))

    def test_python_server(self):
        kinds = [("c", "python", "asyncio"), ("c", "c", "c"), ("python", "python", "python"), ("asyncio",) * 3]
        for mix in kinds:
            with self.subTest(mix=mix):
                server = self.start_python(PEER, "server", 3, 3)
                port = server.stdout.readline().strip()
                self.assertTrue(port, self.errors_of(server) if not port else "")
                participants = [self.participant(kind, number, port) for number, kind in enumerate(mix)]
                for _ in range(3):
                    names, first = json.loads(server.stdout.readline() or self.fail(self.errors_of(server)))
                    self.assertEqual(names, sorted(f"{kind}-{number}" for number, kind in enumerate(mix)))
                if "c" not in mix:
                    self.assertEqual(first, 3, "each round adds 1")
                self.assertEqual(server.wait(LONG), 0, self.errors_of(server))
                self.expect_goodbye(participants)

    def test_c_server(self):
        for mix in (("c", "python", "asyncio"), ("python", "python", "python"), ("asyncio",) * 3):
            with self.subTest(mix=mix):
                options = ("--listen=127.0.0.1:0", "--participants=3", "--rounds=3")
                server = self.start(self.programs["fedavg_server"], *options)
                port = self.read_until(server, r"^listening on port").split()[3]
                participants = [self.participant(kind, number, port) for number, kind in enumerate(mix)]
                self.read_until(server, "^round 3: . trained, 3 tested")
                self.assertEqual(server.wait(LONG), 0, self.errors_of(server))
                self.expect_goodbye(participants)


class Deaths(common.Case):
    """One that is killed is gone at once or comes back; others go on."""

    def setUp(self):
        super().setUp()
        self.working = threading.Event()
        self.manager = muster.ParticipantManager("127.0.0.1:0", session_grace=LONG, on_event=self.see)
        self.addCleanup(self.manager.close)

    def see(self, event):
        if event.kind == "PROGRESS":
            self.working.set()

    def start_peer(self, name):
        return self.start_python(PEER, "participant", self.manager.address, name)

    def test_a_participant_is_killed_and_started_again(self):
        first = self.start_peer("ada")
        (proxy,) = self.manager.get_participants(1, LONG)
        self.assertEqual(proxy.run(muster.Train([numpy.zeros(3)]), LONG).arrays[0][0], 1)
        round = muster.run_all([proxy], muster.Train([numpy.zeros(3)], steps=10**6), deadline=LONG)
        self.assertTrue(self.working.wait(LONG))
        os.kill(first.pid, signal.SIGKILL)
        self.start_peer("ada")
        with self.assertRaises(muster.TooFew):
            round.wait()
        self.assertEqual(round.entries[0].status, "GONE")
        (again,) = self.manager.get_participants(1, LONG)
        self.assertEqual((again.name, again.rank), ("ada", proxy.rank))
        self.assertEqual(again.run(muster.Train([numpy.zeros(3)]), LONG).arrays[0][0], 1)

    def test_a_turn_survives_a_broken_connection(self):
        with common.Relay(self.manager.port) as relay:
            self.start_python(PEER, "participant", relay.address, "ada")
            (proxy,) = self.manager.get_participants(1, LONG)
            cut = self.scratch / "cut"
            round = muster.run_all([proxy], muster.Train([numpy.zeros(3)], steps=10**6, until=str(cut)), deadline=LONG)
            self.assertTrue(self.working.wait(LONG))
            relay.cut()
            cut.touch()
            ((_, answer),) = round
            self.assertEqual(answer.arrays[0][0], 1)
            self.assertGreaterEqual(proxy.statistics()["connections"], 2)

    def test_300_megabytes_both_ways(self):
        self.start_peer("ada")
        (proxy,) = self.manager.get_participants(1, LONG)
        big = numpy.arange(75_000_000, dtype=numpy.float32)
        answer = proxy.run(muster.Train([big]), LONG)
        self.assertTrue((answer.arrays[0] == big + 1).all())
        self.assertGreater(proxy.statistics()["traffic"]["payload_received"], 300_000_000)


class Secure(common.Case):
    """The options of credentials: paths, or texts."""

    def setUp(self):
        super().setUp()
        maker = support.SOURCE / "tests" / "integration" / "make_certificates"
        subprocess.run([maker, self.scratch], check=True, stdout=subprocess.DEVNULL)

    def own(self, name):
        return {"certificate": self.scratch / f"{name}.pem", "key": str(self.scratch / f"{name}.key")}

    def test_certificates_and_a_token(self):
        shared = {"ca": self.scratch / "ca.pem", "token_file": self.scratch / "token"}
        manager = muster.ParticipantManager("127.0.0.1:0", **self.own("server"), **shared)
        self.addCleanup(manager.close)
        quiet = {"on_warning": lambda text: None}

        def run():
            with muster.connect(manager.address, "ada", **self.own("ada"), **shared) as participant:
                participant.serve(lambda instruction: instruction.arrays)

        self.in_thread(run)
        self.addCleanup(manager.close)
        (proxy,) = manager.get_participants(1, LONG)
        self.assertEqual(proxy.run(muster.Train([numpy.ones(3)]), LONG).arrays[0].tolist(), [1] * 3)
        wrong = {**shared, "token_file": self.scratch / "token-wrong"}
        for options in (shared, {**self.own("stranger"), **shared}, {**self.own("ada"), **wrong}):
            with self.assertRaises((muster.Unauthenticated, muster.Unavailable)):
                muster.connect(manager.address, "eve", connect_timeout=10, **options, **quiet)
        with self.assertRaisesRegex(muster.IoError, "CA file"):
            muster.connect(manager.address, ca=self.scratch / "none.pem")
        manager.reload_credentials()
        (self.scratch / "server.pem").unlink()
        with self.assertRaises(muster.IoError):
            manager.reload_credentials()


if __name__ == "__main__":
    common.main()
