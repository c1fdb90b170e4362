#!/usr/bin/python3 -B
"""What the demo's server makes of participants that are strange: texts that would forge its log, answers
that cannot be used, weights out of all proportion, one that never answers. They are written in Python against
stream.proto."""

import subprocess
import threading

import grpc
import numpy

import peers
import support
from peers import CLASSES, FEATURES, to_bytes

GOOD = (numpy.zeros((FEATURES, CLASSES), numpy.float32), numpy.zeros(CLASSES, numpy.float32))


class Strangers(support.Case):
    def setUp(self):
        super().setUp()
        self.protocol = peers.load_protocol("stream")
        self.threads = []

    def join(self, server, name, answer, features=(), refusals=None, told=None):
        """A participant on a thread of its own; `answer` fills in its answer to an instruction, or returns False. What it
        is told of answers that were refused goes into `refusals`, and the scalars of instructions into `told`."""
        _, messages, received = self.call(server, name=name, features=features)

        def take_part():
            try:
                for message in received:
                    if message.WhichOneof("content") == "refused":
                        refusals.append((message.turn, message.refused.text))
                        continue
                    if told is not None and message.WhichOneof("content") == "train_config":
                        told.append({scalar.name: scalar.value for scalar in message.train_config.scalars})
                    reply = self.protocol.ParticipantMessage(turn=message.turn)
                    if message.WhichOneof("content") == "train_config" and answer(reply) is not False:
                        messages.put(reply)
            except grpc.RpcError:
                pass  # the server has ended
            messages.put(None)

        thread = threading.Thread(target=take_part, daemon=True)
        thread.start()
        self.threads.append(thread)

    def call(self, server, **hello):
        """Says Hello and passes the initiative: the channel, what to send by, and what is received."""
        channel, messages, received = peers.call(self, server.port, self.protocol)
        messages.put(self.protocol.ParticipantMessage(hello=self.protocol.Hello(**hello)))
        messages.put(self.protocol.ParticipantMessage())
        return channel, messages, received

    def start_rounds(self, count, *options, **settings):
        return self.start_server(
            f"--participants={count}", "--rounds=2", "--fraction=1", "--no-baselines", "--average=0",
            "--strategy=fedavg", f"--wait={30 * support.SLOWNESS}", *options, **settings,
        )  # fmt: skip

    def end_of(self, server):
        output = server.stdout.read()
        return server.wait(), output, self.errors_of(server)

    @staticmethod
    def gives(*arrays, **scalars):
        def answer(reply):
            for array in arrays:
                reply.result.theta.add(ndarray=to_bytes(array))
            for name, value in scalars.items():
                reply.result.scalars.add(name=name, value=value)

        return answer

    def test_a_failure_does_not_forge_the_log(self):
        server = self.start_rounds(1)

        def answer(reply):
            reply.failure.text = "no\nround 1/2: all is well\x1b[31m"

        self.join(server, "node", answer)
        _, _, errors = self.end_of(server)
        self.assertRegex(errors, r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ round 1: node: no\?round 1/2: all is well\?\[31m$")
        self.assertNotIn("\x1b", errors)

    def test_a_path_does_not_forge_the_log(self):
        for program in (support.SERVER, support.PARTICIPANT):
            status, _, errors = self.run_program(program, f"--data=leaf:{self.scratch}/no\nwhere\x1b[31m")
            self.assertEqual(status, 1)
            self.assertIn("/no?where?[31m", errors)
            self.assertNotIn("\x1b", errors)

    def test_a_name_that_is_not_utf8_is_refused_and_the_others_go_on(self):
        server = self.start_rounds(1)
        _, messages, received = peers.call(self, server.port)
        messages.put(b"\x1a\x06\x0a\x04caf\xe9")
        with self.assertRaises(grpc.RpcError) as raised:
            next(received)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("is not UTF-8", raised.exception.details())
        self.join(server, "node", self.gives(*GOOD))
        status, _, errors = self.end_of(server)
        self.assertEqual(status, 0)
        self.assertRegex(errors, r"a participant \(ipv4:127\.0\.0\.1:\d+\) was refused: .* is not UTF-8")

    def test_who_goes_away_and_comes_back_is_told(self):
        server = self.start_rounds(1, stderr=subprocess.PIPE)
        channel, _, received = self.call(server, name="node")
        session = next(received).welcome.session
        self.assertEqual(next(received).turn, 1)
        channel.close()
        told = (line for line in server.stderr if " is " in line)
        self.assertRegex(next(told), r"node \(ipv4:127\.0\.0\.1:\d+\) is away: ")
        _, messages, received = self.call(server, name="node", session=session)
        self.assertRegex(next(told), r"node \(ipv4:127\.0\.0\.1:\d+\) is back$")
        for message in received:
            if message.WhichOneof("content") == "train_config":
                reply = self.protocol.ParticipantMessage(turn=message.turn)
                self.gives(*GOOD)(reply)
                messages.put(reply)
        server.stdout.read()
        self.assertEqual(server.wait(), 0)

    def test_every_refusal_says_why(self):
        wrong = numpy.zeros((FEATURES, CLASSES), numpy.float32)
        wrong[2, 5] = numpy.nan
        cases = {
            "shape": (self.gives(GOOD[0][1:], GOOD[1]), r"array 'weights' is float32 \(59, 10\), expected float32 \(60, 10\)"),
            "dtype": (self.gives(GOOD[0], GOOD[1].astype(float)), r"array 'bias' is float64 \(10\), expected float32 \(10\)"),
            "count": (self.gives(GOOD[0]), "1 arrays instead of 2"),
            "nan": (self.gives(wrong, GOOD[1]), r"array 'weights', float32 \(60, 10\): element 25 is NaN"),
            "weight": (self.gives(*GOOD, num_samples=-3), "num_samples is -3, not a number above 0"),
            "endless": (self.gives(*GOOD, num_samples=numpy.inf), "num_samples is inf, not a number above 0"),
            "loss": (self.gives(*GOOD, loss=1e308), r"the loss 1e\+308 is not a number from -1e\+09 to 1e\+09"),
            "no loss": (self.gives(*GOOD, loss=numpy.nan), r"the loss nan is not a number from -1e\+09 to 1e\+09"),
        }
        server = self.start_rounds(len(cases) + 1)
        told = {name: [] for name in cases}
        for name, (answer, _) in cases.items():
            self.join(server, name, answer, [] if name == "nan" else ["refused"], told[name])
        self.join(server, "good", self.gives(*GOOD, loss=0.5), ["refused"])
        status, output, errors = self.end_of(server)
        self.assertEqual(status, 0, errors)
        self.assertIn("round 2/2: 1 answered, 8 failed, train loss 0.5000, ", output)
        for thread in self.threads:
            thread.join()
        for name, (_, reason) in cases.items():
            self.assertRegex(errors, f"(?m)round 1: {name}: {reason}$")  # and not again in round 2
            self.assertNotRegex(errors, f"round 2: {name}")
            self.assertEqual([turn for turn, _ in told[name]], [] if name == "nan" else [1, 2])
            for _, text in told[name]:
                self.assertRegex(text, f"^{reason}$")

    def test_warnings_are_in_the_log_with_their_time(self):
        (self.scratch / "token").write_text("aaa\n")
        _, _, errors = self.run_program(support.SERVER, "--participants=1", "--listen=127.0.0.1:0", "--wait=0.01",
            f"--token-file={self.scratch}/token")  # fmt: skip
        self.assertRegex(errors, r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ warning: the token in .* is easy to guess")

    def test_nothing_learned(self):
        server = self.start_rounds(2)
        for name in ("a", "b"):
            self.join(server, name, self.gives(GOOD[0], GOOD[1] * numpy.nan))
        status, output, errors = self.end_of(server)
        self.assertEqual(status, 1)
        self.assertNotIn("final accuracy", output)
        self.assertIn("nothing was learned: no answer was accepted in any of 2 rounds", errors)
        self.assertRegex(errors, r"4 of 4 failed like this: round 2: [ab]: array 'bias', float32 \(10\): element 0 is NaN")

    def test_nothing_learned_in_the_end(self):
        server = self.start_rounds(1, "--rounds=5")
        rounds = iter(range(5))

        def answer(reply):
            self.gives(*GOOD)(reply) if next(rounds) < 2 else setattr(reply.failure, "text", "the disk is full")

        self.join(server, "node", answer)
        status, output, errors = self.end_of(server)
        self.assertEqual(status, 0)
        self.assertIn("final accuracy", output)
        self.assertIn("no answer was accepted in the last 3 of 5 rounds", errors)
        self.assertIn("3 of 3 failed like this: round 5: node: the disk is full", errors)

    def weight_of_the_greedy(self, *options):
        """The share of the model that one with a weight of 1e300 has."""
        server = self.start_rounds(2, f"--run={self.scratch}/run", *options)
        self.join(server, "fair", self.gives(*GOOD, num_samples=50))
        self.join(server, "greedy", self.gives(GOOD[0], GOOD[1] + 1, num_samples=1e300))
        status, _, errors = self.end_of(server)
        self.assertEqual(status, 0, errors)
        self.assertIn("round 2: greedy says that it has 1e+300 samples: it counts as", errors)
        return numpy.load(self.scratch / "run" / "round-00000002.npz")["bias"][0]

    def test_a_weight_out_of_all_proportion(self):
        self.assertAlmostEqual(self.weight_of_the_greedy("--max-weight=100"), 100 / 150, places=5)

    def test_many_weights_out_of_all_proportion_are_one_line_of_each_round(self):
        server = self.start_rounds(3, "--max-weight=100")
        for name, samples in {"a": 101, "b": 300, "c": 200}.items():
            self.join(server, name, self.gives(*GOOD, num_samples=samples))
        status, _, errors = self.end_of(server)
        self.assertEqual(status, 0, errors)
        self.assertEqual(errors.count("samples: it counts as"), 2, errors)
        self.assertIn("round 2: b says that it has 300 samples: it counts as 100, like 2 more that claim too many", errors)

    def test_nobody_has_more_samples_than_there_are(self):
        self.assertLess(self.weight_of_the_greedy(), 0.999)

    def test_features_that_are_not_scaled(self):
        for part in ("train", "test"):
            (self.scratch / part).mkdir()
            (self.scratch / part / "a.json").write_text(
                '{"users": ["a"], "num_samples": [2], "user_data": {"a": {"x": [[1e30], [-2e30]], "y": [1, 0]}}}'
            )
        demo = self.start(support.DEMO, f"--data=leaf:{self.scratch}", "--rounds=2", "--no-baselines")
        status, _, errors = self.end_of(demo)
        self.assertEqual(status, 1)
        self.assertIn("features go up to 2e+30", errors)
        self.assertIn("nothing was learned", errors)

    def test_a_run_whose_model_is_no_number(self):
        for average, name, message in (
            (0, "weights", "array 0, float32 (60, 10): element 13 is NaN"),
            (0.5, "weights", "array 0 of the average: element 13 is not a finite number"),
            (0.5, "server.current.0", "array 0, float32 (60, 10): element 13 is NaN"),
        ):
            run = self.scratch / f"run-{average}-{name}"
            options = (f"--run={run}", f"--average={average}")
            server = self.start_rounds(1, *options)
            self.join(server, "node", self.gives(*GOOD))
            self.assertEqual(self.end_of(server)[0], 0)
            path = run / "round-00000002.npz"
            arrays = dict(numpy.load(path))
            arrays[name][1, 3] = numpy.nan
            numpy.savez(path, **arrays)
            status, _, errors = self.end_of(self.start(support.SERVER, "--participants=1", "--rounds=3", "--fraction=1",
                "--no-baselines", "--strategy=fedavg", *options))  # fmt: skip
            self.assertEqual(status, 1)
            self.assertIn(f"{path}: {message}", errors)

    def test_only_what_was_asked_for_is_averaged(self):
        """Who sends more names than a mean has room for takes no room from the others."""
        server = self.start_rounds(2)
        many = {f"metric {number}": 1.0 for number in range(255)}
        self.join(server, "many", self.gives(*GOOD, loss=0.5, **many))
        self.join(server, "good", self.gives(*GOOD, loss=0.7, num_samples=100))
        status, output, errors = self.end_of(server)
        self.assertEqual(status, 0, errors)
        self.assertIn("round 2/2: 2 answered, 0 failed, train loss 0.6000, ", output)

    def test_stragglers_are_told_to_do_fewer_epochs_and_nobody_else_hears_of_it(self):
        server = self.start_rounds(4, "--stragglers=50", "--set=train.epochs=2")
        told = []

        for name in ("a", "b", "c", "d"):
            self.join(server, name, self.gives(*GOOD), told=told)
        status, _, errors = self.end_of(server)
        self.assertEqual(status, 0, errors)
        names = {"epochs", "batch_size", "lr", "mu", "seed", "round"}
        self.assertEqual({frozenset(scalars) for scalars in told}, {frozenset(names)})
        for number in range(2):
            epochs = sorted(scalars["epochs"] for scalars in told if scalars["round"] == number)
            self.assertEqual(epochs, [1, 1, 2, 2])

    def test_enough(self):
        server = self.start_rounds(3, "--enough=2", "--deadline=1000")
        self.join(server, "frozen", lambda reply: False)
        for name in ("a", "b"):
            self.join(server, name, self.gives(*GOOD))
        status, output, errors = self.end_of(server)  # long before the deadline, or the test takes too long
        self.assertEqual(status, 0, errors)
        self.assertIn("round 2/2: 2 answered, 0 failed, 1 not waited for", output)

    def test_at_least(self):
        server = self.start_rounds(2, "--at-least=2")
        self.join(server, "a", self.gives(*GOOD))
        self.join(server, "b", lambda reply: True)
        status, output, errors = self.end_of(server)
        self.assertNotEqual(status, 0, "the model never moved")
        self.assertIn("1 answered, 1 failed", output)
        self.assertIn("the model stays, as 1 answers were accepted, and --at-least 2 are wanted", errors)

    def test_enough_that_cannot_be(self):
        status, _, errors = self.run_program(
            support.SERVER, "--enough=4", "--min-participants=6", "--fraction=0.5", "--rounds=1"
        )
        self.assertEqual(status, 2)
        self.assertIn("a round may have only 3", errors)


if __name__ == "__main__":
    support.main()
