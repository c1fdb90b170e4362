#!/usr/bin/python3 -B
"""muster_conformance, the program that judges participants and servers of others: it accepts ours, and finds each fault that was
planted in others."""

import concurrent.futures
import re
import socket
import subprocess
import sys
import threading

import grpc
import numpy

import broken_participant
import broken_server
import support
from broken_participant import Participant
from peers import CLASSES, FEATURES, METHOD
from support import BUILD, DEMO, SLOWNESS, SOURCE

PROGRAM = BUILD / "apps" / "conformance" / "muster_conformance"
# Nothing comes near it, but for what does not come.
PATIENT = ("--wait=150", "--limit=150", "--quiet=0.2")


def verdicts(report):
    """The verdict on each check: ok, FAIL or n/a."""
    return {name: verdict for verdict, name in re.findall(r"^(ok|FAIL|n/a)\s+(\S+)  ", report, re.MULTILINE)}


def failed(report):
    return {name for name, verdict in verdicts(report).items() if verdict == "FAIL"}


class Judging(support.Case):
    def judge_participant(self, *words):
        """Judges the participant of a command: exit status, report."""
        status, report, errors = self.run_program(PROGRAM, "participant", *words)
        self.assertTrue(report, errors)
        return status, report

    def judge_thread(self, participant_class, *words):
        """Judges a participant that runs here."""
        process = self.start_on_port(PROGRAM, "participant", *words)
        participant = participant_class(f"127.0.0.1:{process.port}")
        thread = threading.Thread(target=participant.run, daemon=True)
        thread.start()
        report = process.stdout.read()
        status = process.wait()
        thread.join()
        return status, report

    def judge_server(self, port, *words):
        status, report, errors = self.run_program(PROGRAM, "server", f"127.0.0.1:{port}", *words)
        self.assertTrue(report, errors)
        return status, report

    def judge_own_server(self, fault, *words):
        """Judges a server that runs here."""
        server, port = broken_server.Server(fault).open()
        try:
            return self.judge_server(port, *words)
        finally:
            server.stop(None)


class OfParticipants(Judging):
    def model(self):
        """Options for a model of the synthetic data."""
        options = []
        for number, array in enumerate((numpy.zeros((FEATURES, CLASSES), "f4"), numpy.zeros(CLASSES, "f4"))):
            numpy.save(self.scratch / f"{number}.npy", array)
            options.append(f"--model={self.scratch / f'{number}.npy'}")
        return options

    def test_ours_is_accepted(self):
        status, report = self.judge_participant(*PATIENT, *self.model(), "--", *DEMO, "--participant=0", "--connect={address}")
        self.assertEqual(failed(report), set(), report)
        self.assertEqual(status, 0)
        for check in ("granted", "chunk-again", "chunk-limit", "resume-again", "resume-over", "heartbeats", "new-session"):
            self.assertEqual(verdicts(report)[check], "ok", report)

    def test_the_one_of_the_package_for_python_is_accepted(self):
        package = BUILD / "python" / "package"
        if not package.exists():
            self.skipTest("the package for Python is not built")
        peer = (sys.executable, "-B", SOURCE / "tests" / "python" / "peer.py", "participant", "{address}", "ada")
        status, report = self.judge_participant(*PATIENT, "--", *peer)
        self.assertEqual(failed(report), set(), report)
        self.assertEqual(status, 0)

    def test_one_of_the_original_is_accepted(self):
        subprocess.run([*DEMO, "--participant=0", f"--export={self.scratch}"], check=True, capture_output=True)
        status, report = self.judge_participant(*PATIENT, *self.model(), "--profile=original", "--", sys.executable, "-B",
                                    support.PYTHON_PARTICIPANT, "--connect={address}", f"--data={self.scratch}", "--epochs=1")
        self.assertEqual(failed(report), set(), report)
        self.assertEqual(status, 0)
        for check in ("answer-once", "unknown-instruction", "new-fields", "reconnect-in", "good-bye"):
            self.assertEqual(verdicts(report)[check], "ok", report)

    def test_one_in_python_against_the_wire_is_accepted(self):
        status, report = self.judge_thread(Participant, *PATIENT)
        self.assertEqual(failed(report), set(), report)
        self.assertEqual(status, 0)
        self.assertEqual({name for name, verdict in verdicts(report).items() if verdict == "n/a"}, {"ask"})

    def test_one_without_features_is_told_what_its_hello_lacks(self):
        class Plain(Participant):
            FEATURES = ()

        _, report = self.judge_thread(Plain, *PATIENT)
        self.assertRegex(report, r'n/a +heartbeats .*\n +its Hello has no "heartbeats"')
        self.assertRegex(report, r'n/a +granted .*\n +its Hello has no "chunks"')

    def test_one_that_comes_and_goes_is_not_waited_for(self):
        class Fleeting(Participant):
            def stream(self):
                """Opens a stream, and ends it without a word."""
                with grpc.insecure_channel(self.address) as channel:
                    call = channel.stream_stream(METHOD)(iter(()))
                    try:
                        call.initial_metadata()
                    except grpc.RpcError:
                        pass
                    return None if call.code() == grpc.StatusCode.UNAVAILABLE else 0

        status, report = self.judge_thread(Fleeting, *PATIENT)
        self.assertEqual((status, failed(report)), (1, {"connects"}), report)
        self.assertIn("has opened 64 streams, and said nothing", report)


class OfServers(Judging):
    def assert_accepted(self, status, report):
        self.assertEqual(set(verdicts(report).values()), {"ok"}, report)
        self.assertEqual(status, 0)

    def test_ours_is_accepted(self):
        server = self.start_server("--rounds=100", "--participants=1", "--model-size=2M", "--wait=150")
        self.assert_accepted(*self.judge_server(server.port, *PATIENT))

    def test_one_in_python_against_the_wire_is_accepted(self):
        self.assert_accepted(*self.judge_own_server(None, *PATIENT))

    def test_no_server_is_said_so(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            status, report = self.judge_server(nobody.getsockname()[1], *PATIENT)
        self.assertEqual((status, failed(report)), (1, {"reached"}))


class Faults(Judging):
    """All at the same time, as most of it is waiting. Each is found, and nothing else but what it entails; where the program
    waits in vain, it may find more."""

    def find_in_participant(self, fault, patience):
        words = (*PATIENT, f"--limit={patience}") if fault in broken_participant.SLOW else PATIENT
        quiet = patience / 5 if fault in broken_participant.UNCALLED else 0.2
        return self.judge_thread(lambda address: Participant(address, fault), *words, f"--quiet={quiet}")

    def find_in_server(self, fault, patience):
        words = (*PATIENT, f"--limit={patience}", f"--wait={patience}") if fault in broken_server.SLOW else PATIENT
        return self.judge_own_server(fault, *words)

    def wrongly_judged(self, pool, module, judge):
        """In parallel, those that take longest first: the reports that are not as they should be."""
        slow = module.SLOW | getattr(module, "UNCALLED", set())

        def is_right(fault, status, report):
            expected, found = module.FAULTS[fault], failed(report)
            return status == 1 and expected[0] in found and (fault in module.SLOW or found == set(expected))

        def judge_patiently(fault):
            result = judge(fault, 5 * SLOWNESS)
            # On a busy machine more is late than what never comes, and what is to come early may not.
            if fault in slow | {"comes-early"} and not is_right(fault, *result):
                result = judge(fault, 40 * SLOWNESS)
            return result

        faults = sorted(module.FAULTS, key=lambda fault: fault not in slow)
        judged = {fault: pool.submit(judge_patiently, fault) for fault in faults}
        return [f"{fault}: {future.result()[1]}" for fault, future in judged.items() if not is_right(fault, *future.result())]

    def test_each_is_found(self):
        with concurrent.futures.ThreadPoolExecutor(25) as pool:
            of_servers = pool.submit(self.wrongly_judged, pool, broken_server, self.find_in_server)
            of_participants = self.wrongly_judged(pool, broken_participant, self.find_in_participant)
            self.assertEqual(of_servers.result() + of_participants, [])


if __name__ == "__main__":
    support.main(PROGRAM)
