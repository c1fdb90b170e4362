#!/usr/bin/python3 -B
"""What the participant answers, instruction by instruction, to a server written in Python against stream.proto. The
training is compared with the same computed by numpy: with batches of all samples their order plays no part."""

import concurrent.futures
import queue

import numpy

import peers
import support
from peers import CLASSES, FEATURES, from_bytes, to_bytes
from support import PARTICIPANT


class Door(peers.Door):
    """Serves one participant: `received` and `to_send` are its stream."""

    def __init__(self, protocol):
        super().__init__(protocol)
        self.received = queue.SimpleQueue()
        self.to_send = queue.SimpleQueue()

    def connect(self, requests, context):
        first = next(requests)
        welcome = self.protocol.ServerMessage()
        welcome.welcome.name = first.hello.name
        yield welcome
        self.received.put(first)
        pool = concurrent.futures.ThreadPoolExecutor(1)
        pool.submit(lambda: [self.received.put(request) for request in requests])
        yield from iter(self.to_send.get, None)
        pool.shutdown(wait=False)


class Answers(support.Case):
    def setUp(self):
        super().setUp()
        self.protocol = peers.load_protocol("stream")
        directory = self.scratch / "export"
        self.assertEqual(self.run_program(PARTICIPANT, "--participant=3", f"--export={directory}")[0], 0)
        self.x, self.y = numpy.load(directory / "x.npy"), numpy.load(directory / "y.npy")
        self.turn = 0
        self.open_door()

    def open_door(self, *options):
        self.door = Door(self.protocol)
        self.participant = self.start_participant(self.door.open(self), 3, *options)
        self.addCleanup(self.door.to_send.put, None)
        self.hello = self.receive().hello
        self.assertEqual(self.hello.name, "participant-03")
        self.assertIsNone(self.receive().WhichOneof("content"))

    def receive(self):
        return self.door.received.get(timeout=60 * support.SLOWNESS)

    def run_turn(self, fill):
        """Sends the instruction that `fill` fills in and gives the answer to it, past reports of progress."""
        self.turn += 1
        instruction = self.protocol.ServerMessage(turn=self.turn)
        fill(instruction)
        self.door.to_send.put(instruction)
        answer = self.receive()
        while answer.WhichOneof("content") == "progress":
            answer = self.receive()
        self.assertEqual(answer.turn, self.turn)
        return answer

    def train(self, weights, bias, **scalars):
        return self.run_turn(lambda instruction: self.fill(instruction.train_config, weights, bias, scalars))

    def fill(self, config, weights, bias, scalars):
        for array in (weights, bias):
            config.theta.add(ndarray=to_bytes(array))
        for name, value in scalars.items():
            config.scalars.add(name=name, value=value)

    def trained(self, *arguments, **scalars):
        answer = self.train(*arguments, **scalars)
        self.assertEqual(answer.WhichOneof("content"), "result", answer)
        return [from_bytes(array.ndarray) for array in answer.result.theta]

    def probabilities(self, weights, bias):
        scores = self.x.astype(float) @ weights + bias
        scores = numpy.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    def expected(self, weights, bias, epochs, rate, mu):
        """Gradient descent on all samples with the proximal term, in double."""
        start = weights, bias
        for _ in range(epochs):
            error = self.probabilities(weights, bias) - numpy.eye(CLASSES)[self.y]
            weights, bias = (
                weights - rate * (self.x.T @ error / len(self.x) + mu * (weights - start[0])),
                bias - rate * (error.mean(axis=0) + mu * (bias - start[1])),
            )
        return weights, bias

    def model(self):
        random = numpy.random.default_rng(5)
        return (
            random.normal(size=(FEATURES, CLASSES)).astype(numpy.float32),
            random.normal(size=CLASSES).astype(numpy.float32),
        )

    def test_training_is_gradient_descent_with_a_proximal_term(self):
        weights, bias = self.model()
        for epochs, mu in ((1, 0), (5, 0), (5, 2)):
            result = self.trained(
                weights, bias, epochs=epochs, batch_size=10**6, learning_rate=0.1, mu=mu, seed=1, round=1
            )
            for array, values in zip(result, self.expected(weights, bias, epochs, 0.1, mu)):
                self.assertEqual(array.dtype, numpy.float32)
                numpy.testing.assert_allclose(array, values, atol=2e-5)

    def test_answer_says_how_many_samples_and_the_loss_before(self):
        weights, bias = self.model()
        answer = self.train(weights, bias, epochs=1)
        scalars = {scalar.name: scalar.value for scalar in answer.result.scalars}
        probability = self.probabilities(weights, bias)[numpy.arange(len(self.y)), self.y]
        self.assertEqual(scalars.keys(), {"num_samples", "loss"})
        self.assertEqual(scalars["num_samples"], len(self.y))
        self.assertAlmostEqual(scalars["loss"], -numpy.log(probability).mean(), places=4)

    def test_seed_and_round_decide_the_order_of_the_samples(self):
        def run(**scalars):
            return self.trained(*self.model(), epochs=2, **scalars)[0].tobytes()

        self.assertEqual(run(seed=1, round=1), run(seed=1, round=1))
        self.assertNotEqual(run(seed=1, round=1), run(seed=1, round=2))
        self.assertNotEqual(run(seed=1, round=1), run(seed=2, round=1))

    def test_the_learning_rate_has_a_short_name(self):
        model = self.model()
        for array, same in zip(self.trained(*model, lr=0.2), self.trained(*model, learning_rate=0.2)):
            numpy.testing.assert_array_equal(array, same)
        self.assertIn("lr is -1", self.train(*model, lr=-1, learning_rate=1).failure.text)

    def test_labels(self):
        self.open_door("--label=kind=phone", "--label=empty=")
        self.assertEqual([(label.name, label.value) for label in self.hello.labels], [("kind", "phone"), ("empty", "")])

    def test_noise(self):
        """Around the model of the round, and so many times as big as the update."""
        model = numpy.concatenate([array.ravel() for array in self.model()])

        def change(round):
            answer = numpy.concatenate([array.ravel() for array in self.trained(*self.model(), epochs=2, round=round)])
            return answer.astype(float) - model

        update = change(1)
        self.door.to_send.put(None)
        self.open_door("--noise=100")
        self.turn = 0
        noise, other = change(1), change(2)
        self.assertAlmostEqual(numpy.linalg.norm(noise) / numpy.linalg.norm(update), 100, delta=15)
        for one, another in ((noise, update), (noise, other)):
            self.assertLess(abs(one @ another) / numpy.linalg.norm(one) / numpy.linalg.norm(another), 0.2)

    def test_an_instruction_of_the_original_is_enough(self):
        """Arrays alone: the paper's settings."""
        settings = dict(epochs=20, batch_size=10, learning_rate=0.01, mu=0, seed=0, round=0)
        for array, same in zip(self.trained(*self.model()), self.trained(*self.model(), **settings)):
            numpy.testing.assert_array_equal(array, same)

    def test_evaluation(self):
        nothing = numpy.zeros((FEATURES, CLASSES), numpy.float32), numpy.zeros(CLASSES, numpy.float32)
        weights, bias = self.trained(*nothing)
        answer = self.run_turn(lambda instruction: self.fill(instruction.evaluate_config, weights, bias, {}))
        self.assertEqual(answer.WhichOneof("content"), "evaluate_result")
        scalars = {scalar.name: scalar.value for scalar in answer.evaluate_result.scalars}
        self.assertEqual(scalars.keys(), {"num_samples", "loss", "accuracy"})
        self.assertGreaterEqual(scalars["num_samples"], 5)
        self.assertGreater(scalars["accuracy"], 0.5)

    def test_what_makes_no_sense_is_refused_with_a_reason(self):
        weights, bias = self.model()
        failures = [
            (self.train(weights[:-1], bias), "does not go with my data"),
            (self.train(weights.astype(float), bias), "does not go with my data"),
            (self.train(weights, bias, epochs=0), "epochs"),
            (self.train(weights, bias, learning_rate=-1), "learning_rate is -1"),
            (self.train(weights, bias, batch_size=float("nan")), "batch_size is nan"),
            (self.train(weights, bias, mu=float("inf")), "mu is inf"),
        ]
        for answer, reason in failures:
            self.assertEqual(answer.WhichOneof("content"), "failure")
            self.assertIn(reason, answer.failure.text)
        self.trained(weights, bias, epochs=1)  # and it goes on

    def test_a_refused_answer_is_told(self):
        self.trained(*self.model(), epochs=1)
        self.door.to_send.put(
            self.protocol.ServerMessage(turn=1, refused=self.protocol.Refused(text="array 0 is\nshort"))
        )
        self.trained(*self.model(), epochs=1)  # and it goes on
        self.assertRegex(
            self.errors_of(self.participant),
            r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ participant-03: warning: the server refused the answer to turn 1: "
            r"array 0 is\?short$",
        )

    def test_an_unknown_instruction(self):
        def payload(instruction):
            instruction.payload.type = "what"

        self.assertTrue(self.run_turn(payload).unknown_instruction)
        self.trained(*self.model(), epochs=1)


if __name__ == "__main__":
    support.main()
