#!/usr/bin/python3 -B
"""Rounds of `muster server` with real processes: who is asked, what they are told, what becomes of their answers, and
where the first model comes from."""

import queue
import re
import signal
import subprocess
import sys

import grpc
import numpy

import peers
import support
import volunteers
from serving import Serving
from support import MUSTER
from volunteers import adds


def in_round(volunteer, number):
    """What a volunteer was told in a round, from 1."""
    return [seen for seen in volunteer.seen if seen.kind == "train" and seen.told["round"] == number - 1]


class Rounds(Serving):
    def test_the_weighted_mean_is_the_result(self):
        server = self.serve("--rounds=3", "--min-participants=2", *self.output())
        self.bring(server, "a", adds(1, samples=3, loss=2.0))
        self.bring(server, "b", adds(5, samples=1, loss=4.0))
        output, _ = self.finish(server)
        self.assertRegex(output, r"round 3/3: 2 answered, 0 failed, train loss 2\.5000")
        numpy.testing.assert_array_equal(self.result()["w"], numpy.full(4, 6, "f4"))

    def test_frozen_participants_delay_no_round_with_over_selection(self):
        """10 of 30 are wanted, 13 are asked; 2 of the 30 are frozen. A round that waited for them would end the test."""
        rounds = 12
        server = self.serve(f"--rounds={rounds}", "--count=10", "--select=1.3", "--min-participants=30",
                            "--deadline=3600", "--log-level=debug", *self.output(), stderr=subprocess.PIPE)  # fmt: skip
        for name in ("frozen-0", "frozen-1"):
            process = self.start(sys.executable, "-B", volunteers.__file__, server.port, name)
            self.await_line(server.stderr, f"{name} .* has joined")
            process.send_signal(signal.SIGSTOP)
        others = self.bring_all(server, 28)
        server.communicate()
        self.assertEqual(server.returncode, 0)
        for row in self.rows():
            self.assertEqual((row["answered"], row["failed"]), ("10", "0"))
        # The frozen ones were among those that were asked: of 13 in each round some were none of the others.
        asked = sum(len(volunteer.seen) for volunteer in others)
        self.assertLess(asked, 13 * rounds)
        numpy.testing.assert_array_equal(self.result()["w"], numpy.full(4, rounds, "f4"))

    def test_the_same_are_asked_again_with_the_same_seed(self):
        asked = []
        for order in (range(6), reversed(range(6))):
            server = self.serve("--rounds=5", "--fraction=0.5", "--seed=7", "--min-participants=6")
            nodes = {number: self.bring(server, f"node-{number}") for number in order}
            self.finish(server)
            asked.append([[number for number in range(6) if in_round(nodes[number], r)] for r in range(1, 6)])
        self.assertEqual(asked[0], asked[1])
        self.assertEqual({len(names) for names in asked[0]}, {3})
        self.assertGreater(len({tuple(names) for names in asked[0]}), 1)

    def test_only_those_with_the_label_are_asked_and_waited_for(self):
        server = self.serve("--rounds=4", "--select-label=kind=phone", "--min-participants=2", "--log-level=debug",
                            *self.output(), stderr=subprocess.PIPE)  # fmt: skip
        nodes = []
        for name, labels in {"a": {"kind": "tablet"}, "b": {}, "c": {"kind": "phone"}}.items():
            nodes.append(self.bring(server, name, **labels))
            self.await_line(server.stderr, f"{name} .* has joined")
        nodes.append(self.bring(server, "d", kind="phone"))
        server.communicate()
        self.assertEqual(server.returncode, 0)
        self.assertEqual([len(node.seen) for node in nodes], [0, 0, 4, 4])
        self.assertEqual({row["answered"] for row in self.rows()}, {"2"})

    def test_nobody_with_the_label_is_told(self):
        server = self.serve("--rounds=1", "--select-label=kind=phone", "--wait=1")
        self.bring(server, "a", kind="tablet")
        _, errors = self.finish(server, 1)
        self.assertIn("needs 1 participants with the label kind=phone, and only 0 were here after 1 s", errors)

    def test_participants_are_told_by_label_and_by_rank(self):
        rules = "[{labels: {kind: phone}, epochs: 1, note: short}, {ranks: 1-2, lr: 0.5}, {ranks: 2, fast: true}]"
        server = self.serve("--rounds=1", "--min-participants=3", "--set=train.lr=0.1", "--set=train.epochs=5",
                            f"--set=train.for={rules}")  # fmt: skip
        nodes = []
        for name, labels in {"a": {"kind": "phone"}, "b": {}, "c": {"kind": "phone"}}.items():
            nodes.append(self.bring(server, name, **labels))
            nodes[-1].joined.wait()  # ranks are in the order of arrival
        self.finish(server)
        common = {"round": 0, "seed": 0}
        self.assertEqual(nodes[0].seen[0].told, {**common, "lr": 0.1, "epochs": 1, "note": "short"})
        self.assertEqual(nodes[1].seen[0].told, {**common, "lr": 0.5, "epochs": 5})
        self.assertEqual(nodes[2].seen[0].told, {**common, "lr": 0.5, "epochs": 1, "note": "short", "fast": True})

    def test_strategies_tell_participants_what_is_theirs(self):
        server = self.serve("--rounds=1", "--strategy=fedprox", "--set=strategy.mu=0.25")
        node = self.bring(server, "a")
        self.finish(server)
        self.assertEqual(node.seen[0].told["mu"], 0.25)

    def test_a_round_with_too_few_answers_is_void_and_the_model_stays(self):
        """The trimmed mean of f = 1 needs 3 answers: in the second round there are 2."""
        server = self.serve("--rounds=3", "--strategy=trimmedmean", "--set=strategy.f=1", "--min-participants=3",
                            *self.output())  # fmt: skip

        def fails_in_the_second(instruction):
            return "I cannot" if instruction.told["round"] == 1 else adds(1)(instruction)

        self.bring_all(server, 2)
        self.bring(server, "other", fails_in_the_second)
        _, errors = self.finish(server)
        self.assertRegex(errors, "round 2 is void, and the model stays: .*3")
        self.assertEqual([row["answered"] for row in self.rows()], ["3", "2", "3"])
        numpy.testing.assert_array_equal(self.result()["w"], numpy.full(4, 2, "f4"))

    def test_the_first_round_waits_for_at_least(self):
        """Or all rounds are void before the second one has come."""
        self.expect_both_in_the_first_round("--at-least=2")

    def test_the_first_round_waits_for_those_who_are_wanted(self):
        """Or all rounds are over before the second one has come."""
        self.expect_both_in_the_first_round("--count=2")

    def expect_both_in_the_first_round(self, option):
        server = self.serve("--rounds=2", option, stderr=subprocess.PIPE)
        self.await_line(server.stderr, "the trained model is kept nowhere")
        self.await_line(server.stderr, "waiting up to .* for 2 participants, ")
        self.bring(server, "a")
        self.bring(server, "b")
        output, errors = server.communicate()
        self.assertEqual(server.returncode, 0, errors)
        self.assertIn("round 1/2: 2 answered", output)

    def test_as_many_are_wanted_as_the_strategy_needs(self):
        server = self.serve("--rounds=1", "--strategy=krum", "--fraction=0.1", *self.output())
        self.bring_all(server, 5)
        self.finish(server)
        self.assertEqual(self.rows()[0]["answered"], "5")

    def test_who_leaves_between_selection_and_start_is_left_out(self):
        """Of three that are asked, one is gone as soon as it is asked, and does not come back."""
        server = self.serve("--rounds=2", "--min-participants=3", "--grace=0", *self.output())
        nodes = self.bring_all(server, 2)
        leaving = self.bring(server, "leaving", lambda _: None)
        leaving.await_instruction(lambda _: True)
        leaving.leave()
        server.stdout.readline()
        self.assertEqual(self.rows()[0]["answered"], "2")
        server.terminate()
        self.finish(server, 128 + signal.SIGTERM)
        self.assertEqual(self.rows()[0]["failed"], "1")
        self.assertRegex(self.errors_of(server), r"round 1: leaving: ")
        numpy.testing.assert_array_equal(self.result()["w"], numpy.full(4, 1, "f4"))
        self.assertEqual(len(nodes[0].seen), 1)

    def test_a_refusal_is_not_told_in_each_round(self):
        server = self.serve("--rounds=30", "--min-participants=2")
        self.bring(server, "good")
        bad = self.bring(server, "bad", lambda _: ([numpy.full(4, numpy.nan, "f4")], {"num_samples": 1}))
        _, errors = self.finish(server)
        self.assertEqual(re.findall(r"round (\d+): bad: ", errors), ["1", "10"])
        self.assertIn("(10 times in a row)", errors)
        bad.await_refusals(30)
        self.assertEqual(len(bad.refused), 30)

    def test_arrays_are_called_by_their_names(self):
        shapes = {"layer.0.weight": 4, "layer.0.bias": 2}
        model = self.write_model(**{name: numpy.zeros(shape, "f4") for name, shape in shapes.items()})

        def gives(weight, bias):
            return lambda _: ([numpy.array(weight, "f4"), numpy.array(bias, "f4")], {"num_samples": 1})

        for options in (("--min-participants=2", "--rounds=2"), ("--strategy=fedbuff", "--buffer=1", "--rounds=1")):
            server = self.serve(f"--model={model}", *options, model=False)
            bad = [self.bring(server, "nan", gives([0, 0, 0, numpy.nan], [0, 0])), self.bring(server, "shape", gives([0] * 4, [0] * 3))]
            for node in bad:
                node.await_refusals(1)
            self.bring(server, "good", gives([0] * 4, [0] * 2))
            server.stdout.read()
            server.wait()
            self.assertEqual(bad[0].refused[0], "array 'layer.0.weight', float32 (4): element 3 is NaN")
            self.assertEqual(bad[1].refused[0], "array 'layer.0.bias' is float32 (3), expected float32 (2)")

    def test_of_the_original_protocol_cannot_be_told_how_to_train(self):
        protocol = peers.load_protocol("stream")  # in which an empty message is the same
        for options, told in ((("--set=train.lr=0.1",), True), (("--set=train.for=[{ranks: 3, lr: 1}]",), True), ((), False)):
            server = self.serve("--log-level=debug", *options, stderr=subprocess.PIPE)
            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                connect = channel.stream_stream(
                    peers.METHOD, protocol.ParticipantMessage.SerializeToString, protocol.ServerMessage.FromString
                )
                messages = queue.SimpleQueue()
                messages.put(protocol.ParticipantMessage())
                call = connect(iter(messages.get, None), wait_for_ready=True)
                line = self.await_line(server.stderr, "speaks the original protocol|has joined")
                self.assertEqual("cannot be told what train.* sets" in line, told, line)
                call.cancel()
                messages.put(None)
            self.end(server)

    def test_a_weight_beyond_all_sums_is_refused(self):
        server = self.serve("--rounds=1", "--min-participants=2", "--evaluate=1", *self.output())
        self.bring(server, "good", adds(1))
        bad = self.bring(server, "bad", adds(5, samples=1e300))
        output, _ = self.finish(server)
        bad.await_refusals(2)
        self.assertEqual(bad.refused, ["num_samples is 1e+300, more than 1e+100"] * 2)
        self.assertIn("test after round 1: 1 answered, 1 failed, loss 9.0000", output)
        numpy.testing.assert_array_equal(self.result()["w"], numpy.full(4, 1, "f4"))

    def test_a_name_is_there_once(self):
        server = self.serve("--rounds=1", "--min-participants=2")
        self.bring(server, "good")
        self.bring(server, "bad", lambda _: "I cannot")
        _, errors = self.finish(server)
        line = next(line for line in errors.splitlines() if "I cannot" in line)
        self.assertEqual(line.count("bad"), 1, line)


class FirstModel(Serving):
    MODEL = {"w": numpy.arange(6, dtype="f4").reshape(2, 3), "n": numpy.array(3, "i8")}

    def gives(self, arrays):
        """Gives a first model, and adds 1 afterwards."""

        def work(instruction):
            if instruction.arrays:
                return adds(1)(instruction)
            self.assertEqual(instruction.told, {"first_model": 1})
            return arrays, {}

        return work

    def test_a_participant_gives_it(self):
        server = self.serve("--rounds=2", *self.output(), model=False)
        self.bring(server, "a", self.gives(list(self.MODEL.values())))
        _, errors = self.finish(server)
        self.assertIn("the first model is a's", errors)
        result = self.result()
        numpy.testing.assert_array_equal(result["arr_0"], self.MODEL["w"] + 2)
        self.assertEqual(result["arr_1"], 5)

    def test_the_next_is_asked_when_one_leaves_or_gives_none(self):
        server = self.serve("--rounds=1", "--grace=0", *self.output(), model=False)
        leaving = self.bring(server, "a", lambda _: None)
        leaving.await_instruction(lambda _: True)
        leaving.leave()
        self.bring(server, "b", lambda _: "I have none")
        self.bring(server, "c", lambda _: ([], {}))
        self.bring(server, "d", lambda _: ([numpy.full(2, numpy.inf, "f4")], {}))
        self.bring(server, "e", self.gives([numpy.zeros(2, "f4")]))
        server.stdout.readline()
        server.terminate()
        server.wait()
        errors = self.errors_of(server)
        self.assertIn("the first model is e's", errors)
        for name in "bcd":
            self.assertLessEqual(len(re.findall(f" {name} gives no first model", errors)), 1)

    def test_a_model_that_cannot_be_kept_or_used_is_refused(self):
        """A name that no file can have, and floats that are too coarse for an average; then the next is asked."""
        server = self.serve("--rounds=1", "--set=average=0.5", f"--run={self.scratch}/run", model=False,
                            stderr=subprocess.PIPE)  # fmt: skip
        named = self.bring(server, "a", lambda instruction: adds(1)(instruction) if instruction.arrays else None)
        reply = named.reply

        def name(turn, instruction, answer):
            message = reply(turn, instruction, answer)
            if not instruction.arrays:
                message.result.names.append("\033[31mw")
            return message

        named.reply = name
        named.answer(self.gives([numpy.zeros(3, "f4")]))
        self.await_line(server.stderr, "without slashes and control characters")
        self.bring(server, "b", self.gives([numpy.zeros(3, "f2")]))
        self.await_line(server.stderr, "too coarse")
        self.bring(server, "c", self.gives([numpy.zeros(3, "f4")]))
        self.await_line(server.stderr, "the first model is c's")
        server.communicate()
        self.assertEqual(server.returncode, 0)

    def test_a_model_of_more_arrays_than_a_run_can_keep(self):
        numpy.savez(self.scratch / "many.npz", **{f"a{number}": numpy.zeros(1, "f4") for number in range(9000)})
        status, _, errors = self.run_program(
            *(MUSTER, "server", f"--model={self.scratch}/many.npz", f"--run={self.scratch}/run", "--set=average=0.5"))
        self.assertEqual(status, 1)
        self.assertRegex(errors, "9000 arrays.*18006")
        self.assertNotIn("listening", errors)

    def test_a_model_that_is_too_big_is_refused(self):
        server = self.serve("--rounds=1", "--model-limit=4K", model=False, stderr=subprocess.PIPE)
        node = self.bring(server, "a", lambda _: ([numpy.zeros(2000, "f4")], {}))
        line = self.await_line(server.stderr, "a gives no first model: ")
        self.assertIn(": the model has 8000 bytes: more than --model-limit, 4096", line)
        self.assertEqual(len(node.seen), 1)

    def test_nobody_gives_one(self):
        server = self.serve("--rounds=1", f"--wait={8 * support.SLOWNESS}", model=False)
        self.bring(server, "a", lambda _: "I have none")
        _, errors = self.finish(server, 1)
        self.assertRegex(errors, r"there is no first model: name one with --model FILE\.npz; of 1 participants none")

    def test_a_frozen_participant_leaves_time_to_others(self):
        for wait in (4, 60 * support.SLOWNESS):  # on a busy machine the others, too, need more than a part of 4 s
            server = self.serve("--rounds=1", f"--wait={wait}", "--deadline=3600", "--enough=1", model=False)
            frozen = self.bring(server, "a", lambda _: None)
            frozen.joined.wait()
            self.bring(server, "b", self.gives([numpy.zeros(2, "f4")]))
            server.stdout.readline()
            server.terminate()
            server.wait()
            if "the first model is b's" in self.errors_of(server):
                return
        self.fail(self.errors_of(server))


support.main(MUSTER)
