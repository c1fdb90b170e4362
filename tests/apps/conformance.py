#!/usr/bin/python3 -B
"""muster_conformance, the program that judges participants and servers of others: it accepts ours, and finds each fault that was
planted in others."""

import concurrent.futures
import re
import subprocess
import sys
import threading

import numpy

import support
from broken_participant import FAULTS, SLOW, UNCALLED, Participant
from peers import CLASSES, FEATURES
from support import BUILD, DEMO, SLOWNESS

PROGRAM = BUILD / "apps" / "conformance" / "muster_conformance"
# Nothing comes near it, but for what does not come.
PATIENT = ("--wait=150", "--limit=150", "--quiet=0.2")
IMPATIENT = ("--wait=150", f"--limit={5 * SLOWNESS}", "--quiet=0.2")


def verdicts(report):
    """The verdict on each check: ok, FAIL or n/a."""
    return {name: verdict for verdict, name in re.findall(r"^(ok|FAIL|n/a)\s+(\S+)  ", report, re.MULTILINE)}


def failed(report):
    return {name for name, verdict in verdicts(report).items() if verdict == "FAIL"}


class OfParticipants(support.Case):
    def judge(self, *words):
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

    def model(self):
        """Options for a model of the synthetic data."""
        options = []
        for number, array in enumerate((numpy.zeros((FEATURES, CLASSES), "f4"), numpy.zeros(CLASSES, "f4"))):
            numpy.save(self.scratch / f"{number}.npy", array)
            options.append(f"--model={self.scratch / f'{number}.npy'}")
        return options

    def test_ours_is_accepted(self):
        status, report = self.judge(*PATIENT, *self.model(), "--", *DEMO, "--participant=0", "--connect={address}")
        self.assertEqual(failed(report), set(), report)
        self.assertEqual(status, 0)
        for check in ("granted", "chunk-again", "chunk-limit", "resume-again", "resume-over", "heartbeats", "new-session"):
            self.assertEqual(verdicts(report)[check], "ok", report)

    def test_one_of_the_original_is_accepted(self):
        subprocess.run([*DEMO, "--participant=0", f"--export={self.scratch}"], check=True, capture_output=True)
        status, report = self.judge(*PATIENT, *self.model(), "--profile=original", "--", sys.executable, "-B",
                                    support.PYTHON_PARTICIPANT, "--connect={address}", f"--data={self.scratch}", "--epochs=1")
        self.assertEqual(failed(report), set(), report)
        self.assertEqual(status, 0)
        for check in ("answer-once", "unknown-instruction", "new-fields", "reconnect-in", "good-bye"):
            self.assertEqual(verdicts(report)[check], "ok", report)

    def test_one_in_python_against_the_wire_is_accepted(self):
        status, report = self.judge_thread(Participant, *PATIENT)
        self.assertEqual(failed(report), set(), report)
        self.assertEqual(status, 0)
        self.assertEqual({name for name, verdict in verdicts(report).items() if verdict == "n/a"}, {"stays", "hello-once", "ask"})

    def test_each_fault_is_found(self):
        def find(fault):
            return self.judge_thread(lambda address: Participant(address, fault), *(IMPATIENT if fault in SLOW else PATIENT),
                                     "--quiet=2" if fault in UNCALLED else "--quiet=0.2")

        faults = sorted(FAULTS, key=lambda fault: fault not in SLOW | UNCALLED)  # those that take longest begin first
        wrong = {}
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for fault, (status, report) in zip(faults, pool.map(find, faults)):
                # One that waits in vain may fail other checks as well.
                expected, found = set(FAULTS[fault]), failed(report)
                if status != 1 or (fault in SLOW and FAULTS[fault][0] not in found) or (fault not in SLOW and found != expected):
                    wrong[fault] = report
        self.assertEqual(wrong.keys(), set(), "\n".join(wrong.values()))


if __name__ == "__main__":
    support.main(PROGRAM)
