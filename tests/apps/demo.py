#!/usr/bin/python3 -B
"""What only the demo has: attackers, participants of which some come from elsewhere or that train at `muster server`, their
logs, and what it refuses."""

import os
import re
import signal
import unittest

import numpy

import support
from support import DEMO, MUSTER, PARTICIPANT


class Attacked(support.Case):
    def setUp(self):
        super().setUp()
        signal.alarm(300 * support.SLOWNESS)

    def test_robust_strategies_bear_it_and_fedavg_does_not(self):
        status, output, errors = self.run_program(DEMO, "--attack")
        self.assertEqual(status, 0, errors)
        last = output.splitlines()[-1]
        found = re.findall(r" (\w+) (0\.\d{3}) (0\.\d{3})", last.removeprefix("final accuracy"))
        outcome = {name: (float(clean), float(attacked)) for name, clean, attacked in found}
        self.assertEqual(list(outcome), ["fedavg", "median", "trimmedmean", "multikrum", "krum"], last)
        for name in ("median", "trimmedmean", "multikrum"):
            clean, attacked = outcome[name]
            self.assertGreater(clean, outcome["fedavg"][0] - 0.03, last)
            self.assertLessEqual(abs(clean - attacked), 0.03, last)
        self.assertGreater(outcome["fedavg"][0] - outcome["fedavg"][1], 0.03, last)
        self.assertNotIn("round 1/", output)
        self.assertIn("6 of 30 participants send noise 100 times as big", output)

    def test_how_many_attack_is_said(self):
        options = ["--attack", "--participants=7", "--attackers=2", "--noise=3", "--rounds=2", "--set=train.epochs=1"]
        demo = self.start(DEMO, *options)
        output = demo.stdout.read()
        self.assertEqual(demo.wait(), 0, self.errors_of(demo))
        self.assertIn("2 of 7 participants send noise 3 times as big as the update, in each of 2 rounds:", output)
        self.assert_nothing_left(demo)

    def test_stopped_between_trainings(self):
        demo = self.start(DEMO, "--attack", "--rounds=3", "--participants=15")
        self.read_until(demo, "^fedavg +clean")
        demo.send_signal(signal.SIGTERM)
        demo.stdout.read()
        self.assertEqual(demo.wait(), 128 + signal.SIGTERM)
        self.assert_nothing_left(demo)


class Elsewhere(support.Case):
    def test_some_participants_come_from_elsewhere(self):
        data = ["--participants=3"]
        demo = self.start_on_port(*DEMO, "--start=2", "--rounds=3", "--fraction=1", "--no-baselines", *data)
        other = self.start_participant(demo.port, 2, *data)
        self.assertIn("round 3/3: 3 answered, 0 failed", demo.stdout.read())
        self.assertEqual(demo.wait(), 0, self.errors_of(demo))
        self.assertEqual(other.wait(), 0, self.errors_of(other))
        self.assert_nothing_left(demo)

    def test_participants_at_a_server_for_any_model(self):
        model, result = self.scratch / "zero.npz", self.scratch / "result.npz"
        numpy.savez(model, weights=numpy.zeros((60, 10), "f4"), bias=numpy.zeros(10, "f4"))
        options = ["--rounds=30", "--evaluate=30", "--min-participants=2", f"--model={model}", f"--result={result}"]
        server = self.start_on_port(MUSTER, "server", "--listen=127.0.0.1:0", "--set=train.epochs=2", *options)
        others = [self.start_participant(server.port, user, "--label=kind=phone") for user in (0, 3)]
        output = server.stdout.read()
        self.assertEqual(server.wait(), 0, self.errors_of(server))
        accuracy = float(re.search(r"^final .*accuracy (\S+)", output, re.MULTILINE)[1])
        self.assertGreater(accuracy, 0.5, output)
        for other in others:
            self.assertEqual(other.wait(), 0, self.errors_of(other))
        with numpy.load(result) as file:
            self.assertEqual((file["weights"].shape, file["bias"].shape), ((60, 10), (10,)))

    def test_a_participant_gives_the_first_model(self):
        server = self.start_on_port(MUSTER, "server", "--listen=127.0.0.1:0", "--rounds=2", "--set=train.epochs=1")
        self.start_participant(server.port, 0)
        self.assertIn("round 2/2: 1 answered, 0 failed", server.stdout.read())
        self.assertEqual(server.wait(), 0, self.errors_of(server))


class Processes(support.Case):
    def test_logs(self):
        logs = self.scratch / "logs"
        demo = self.start(DEMO, "--participants=2", "--rounds=1", "--no-baselines", f"--logs={logs}")
        demo.stdout.read()
        self.assertEqual(demo.wait(), 0, self.errors_of(demo))
        self.assertEqual(sorted(os.listdir(logs)), ["participant-00.log", "participant-01.log"])
        self.assertIn("participant-01: ended: ", (logs / "participant-01.log").read_text())
        status, _, errors = self.run_program(DEMO, "--participants=2", f"--logs={self.scratch}/no/logs")
        self.assertEqual(status, 1)
        self.assertIn("/no/logs: No such file or directory", errors)

    @unittest.skipUnless(support.HAS_HTTP2, "built without --with-http2")
    def test_all_addresses_over_http2(self):
        logs = self.scratch / "logs"
        demo = self.start(DEMO, "--participants=2", "--rounds=1", "--no-baselines", "--listen=http2+0.0.0.0:0", f"--logs={logs}")
        demo.stdout.read()
        self.assertEqual(demo.wait(), 0, self.errors_of(demo))
        self.assertRegex((logs / "participant-01.log").read_text(), r"connected to http2\+127\.0\.0\.1:\d+")

    @unittest.skipUnless(support.HAS_HTTP2, "built without --with-http2")
    def test_the_log_tells_the_transport(self):
        for listen, environment, transport in (
            ("127.0.0.1:0", {}, ""),
            ("http2+127.0.0.1:0", {}, " over the HTTP/2 transport"),
            ("127.0.0.1:0", {"MUSTER_NETWORK": "http2"}, " over the HTTP/2 transport"),
        ):
            own = {name: value for name, value in os.environ.items() if name != "MUSTER_NETWORK"}
            coordinator = self.start_on_port(support.COORDINATOR, f"--listen={listen}", env=own | environment)
            coordinator.terminate()
            errors = self.errors_of(coordinator)
            self.assertRegex(errors, rf"listening on port {coordinator.port}{transport}\n")

    def test_a_terminal_that_is_gone_ends_everything(self):
        demo = self.start(DEMO, "--rounds=100000", "--participants=4")
        self.read_until(demo, "^round 3/")
        os.kill(demo.pid, signal.SIGHUP)
        demo.stdout.read()
        self.assertEqual(demo.wait(), 128 + signal.SIGTERM)
        self.assertRegex(self.errors_of(demo), r"stopped after round \d+")
        self.assert_nothing_left(demo)

    def test_participants_do_not_hear_of_control_c(self):
        """One is frozen, so that the round lasts: at the second one it is not waited for, and killed. The others hear
        good-bye."""
        options = ["--participants=4", "--fraction=1", "--stop-within=1000", "--deadline=1000", "--heartbeat=0.1"]
        demo = self.start(DEMO, "--rounds=100000", *options, f"--logs={self.scratch}")
        self.read_until(demo, "^round 3/")
        (frozen,) = support.session_of(demo, "--participant 2 ")
        before = len(self.errors_of(demo))  # where it, too, was late
        os.kill(frozen, signal.SIGSTOP)
        # It may have answered before: then the round after that waits for it.
        self.await_line_of_errors(demo, "participant-02 .* is silent: .* a round waits for it", before)
        os.killpg(demo.pid, signal.SIGINT)
        self.await_line_of_errors(demo, "the round that runs is finished first")
        os.killpg(demo.pid, signal.SIGINT)
        demo.stdout.read()
        self.assertEqual(demo.wait(), 128 + signal.SIGINT)
        self.assert_nothing_left(demo)
        for user in (0, 1, 3):
            log = (self.scratch / f"participant-{user:02}.log").read_text()
            self.assertRegex(log.splitlines()[-1], "ended: ")

    def await_line_of_errors(self, process, pattern, start=0):
        while not re.search(pattern, self.errors_of(process)[start:]):
            self.assertIsNone(process.poll(), self.errors_of(process))
            os.sched_yield()


class Refused(support.Case):
    def test_what_does_not_go_together(self):
        for options, message in (
            (["--listen=mpi:0"], "--listen mpi:0: participants that the demo starts connect by TCP: give --start 0"),
            (["--tls-cert=x", "--tls-key=y"], "--tls-cert: participants that the demo starts do not know its authority"),
            (["--model=x.npz"], "--model x.npz: the demo's model begins with zeros"),
            (["--attack", "--start=3"], "--start: with --attack all participants are started here"),
            (["--attack", "--run=x"], "--attack: it trains several times, and has no use for --run"),
            (["--attackers=0"], "whole number from 1"),
            (["--noise=-1"], "number from 0"),
            (["--stragglers=101"], "from 0 to 100"),
            (["--strategy=fedfed"], "fedfed"),
            (["--set=strategy.beta3=1"], "beta3"),
        ):
            status, output, errors = self.run_program(DEMO, *options)
            self.assertEqual((status, output), (2, ""), options)
            self.assertIn(message, " ".join(errors.split()))

    def test_too_many_attackers_for_a_strategy(self):
        status, output, errors = self.run_program(DEMO, "--attack", "--participants=4", "--rounds=1")
        self.assertEqual((status, output), (1, ""), errors)
        self.assertIn("--attackers 6: krum bears so many of 15 participants or more, not of 4", errors)

    def test_a_wrong_participant(self):
        for options, message in (
            (["--label=kind"], "--label kind: expected NAME=VALUE"),
            (["--label==x"], "expected NAME=VALUE"),
            (["--noise=x"], "--noise x"),
            ([f"--label=a{number}=b" for number in range(17)], "there is room for 16"),
        ):
            status, output, errors = self.run_program(PARTICIPANT, "--participant=0", *options)
            self.assertEqual((status, output), (2, ""), options)
            self.assertIn(message, errors)


if __name__ == "__main__":
    support.main()
