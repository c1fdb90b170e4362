#!/usr/bin/python3 -B
"""Strategies with privacy against numpy: clipping alone, exactly, and noise by its moments."""

import pathlib
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "apps"))
import support as programs  # noqa: E402, what tests of programs share

PRIVATE = programs.BUILD / "tests" / "learning" / "private"
ROUNDS, CLIP, DIVISOR = 20, 2.0, 6.5
SHAPES = {"weights": ((30, 7), "f4"), "bias": ((30,), "f8"), "few": ((), "f4")}


def fedavg(state, change):
    return change


def fedavgm(state, change):
    state["m"] = 0.8 * state.get("m", 0) + change
    return 0.5 * state["m"]


def adaptive(scale):
    def step(state, change):
        state["m"] = 0.9 * state.get("m", 0) + 0.1 * change
        state["v"] = scale(state.get("v", 1e-2**2 * numpy.ones_like(change)), change**2)
        return 0.05 * state["m"] / (numpy.sqrt(state["v"]) + 1e-2)

    return step


def adagrad(state, change):
    state["v"] = state.get("v", 1e-2**2) + change**2
    return 0.05 * change / (numpy.sqrt(state["v"]) + 1e-2)


OF_ADAPTIVE = ("eta=0.05", "beta1=0.9", "beta2=0.99", "tau=0.01")
STRATEGIES = {
    "fedavg": (fedavg, ()),
    "fedprox": (fedavg, ()),
    "fedavgm": (fedavgm, ("beta=0.8", "eta=0.5")),
    "fedadam": (adaptive(lambda v, square: 0.99 * v + 0.01 * square), OF_ADAPTIVE),
    "fedyogi": (adaptive(lambda v, square: v - 0.01 * square * numpy.sign(v - square)), OF_ADAPTIVE),
    "fedadagrad": (adagrad, ("eta=0.05", "tau=0.01")),
}


def draw(random, scale):
    return {name: numpy.asarray(random.normal(0, scale, shape), dtype) for name, (shape, dtype) in SHAPES.items()}


def flat(model):
    return numpy.concatenate([numpy.asarray(model[name], "f8").ravel() for name in SHAPES])


class Private(programs.Case):
    def prepare(self, random, rounds):
        """Answers whose changes are below and far beyond the clip, of another number in each round; once nobody answers."""
        numpy.savez(self.scratch / "0.npz", **draw(random, 1))
        answers = []
        for number in range(1, rounds + 1):
            count = 0 if number == 5 else random.integers(1, 10)
            answers.append([draw(random, 10.0 ** random.integers(-3, 3)) for _ in range(count)])
            named = {f"{k}.{name}": answer[name] for k, answer in enumerate(answers[-1]) for name in SHAPES}
            numpy.savez(self.scratch / f"answers-{number}.npz", **(named or {"nobody": numpy.zeros(1)}))
        return answers

    def train(self, strategy, noise, rounds, *parameters, divisor=DIVISOR, clip=CLIP):
        status, _, errors = self.run_program(PRIVATE, strategy, clip, noise, divisor, rounds, self.scratch, *parameters)
        self.assertEqual(status, 0, errors)
        return [numpy.load(self.scratch / f"{number}.npz") for number in range(rounds + 1)]

    def compare(self, strategy, divisor):
        step, parameters = STRATEGIES[strategy]
        answers = self.prepare(numpy.random.default_rng(3), ROUNDS)
        models = self.train(strategy, 0, ROUNDS, *parameters, divisor=divisor)
        value, state = flat(models[0]), {}
        for number, round_answers in enumerate(answers, 1):
            base, total = flat(models[number - 1]), numpy.zeros_like(value)
            for answer in round_answers:
                change = flat(answer) - base
                total += change * min(1, CLIP / numpy.linalg.norm(change))
            value = value + step(state, total / (divisor or len(round_answers) or 1))
            numpy.testing.assert_allclose(flat(models[number]), value, rtol=1e-6, atol=1e-6)

    def test_clipping_alone(self):
        for strategy in STRATEGIES:
            self.compare(strategy, DIVISOR)

    def test_the_mean_of_those_that_came(self):
        self.compare("fedavg", 0)

    def test_noise(self):
        """The model after a step, less the same without noise, over the deviation that it ought to have. Nobody answers in the
        second round: it has its noise all the same."""
        shape, noise, clip, divisor = (400, 500), 3.0, 0.25, 8.0
        random = numpy.random.default_rng(4)
        base = random.normal(0, 1, shape)
        answers = [base + random.normal(0, 1, shape) for _ in range(5)]
        numpy.savez(self.scratch / "0.npz", x=base)
        numpy.savez(self.scratch / "answers-1.npz", **{f"{k}.x": answer for k, answer in enumerate(answers)})
        numpy.savez(self.scratch / "answers-2.npz", nobody=numpy.zeros(1))
        models = [model["x"] for model in self.train("fedavg", noise, 2, divisor=divisor, clip=clip)]
        clipped = sum((answer - base) * min(1, clip / numpy.linalg.norm(answer - base)) for answer in answers)
        first = (models[1] - base) * divisor - clipped
        second = (models[2] - models[1]) * divisor
        for drawn in (first / (noise * clip), second / (noise * clip)):
            count = drawn.size
            # 7 deviations: once in 4 * 10^11.
            self.assertLess(abs(drawn.mean()) * numpy.sqrt(count), 7)
            self.assertLess(abs((drawn**2).mean() - 1) * numpy.sqrt(count / 2), 7)
            self.assertLess(abs((drawn**4).mean() - 3) * numpy.sqrt(count / 96), 7)
        self.assertLess(abs((first * second).mean()) / (noise * clip) ** 2 * numpy.sqrt(first.size), 7)

    def refuse(self, word, strategy, clip, noise, divisor, **model):
        numpy.savez(self.scratch / "0.npz", **model)
        numpy.savez(self.scratch / "answers-1.npz", **{f"0.{name}": array for name, array in model.items()})
        status, _, errors = self.run_program(PRIVATE, strategy, clip, noise, divisor, 1, self.scratch)
        self.assertEqual(status, 1)
        self.assertIn(word, errors)

    def test_what_cannot_be_private_is_refused(self):
        floats = numpy.ones(3)
        for strategy in ("qfedavg", "median", "trimmedmean", "krum", "multikrum"):
            self.refuse(f"{strategy} cannot be private", strategy, 1, 1, 10, x=floats)
        self.refuse("integers or bools", "fedavg", 1, 1, 10, x=floats, counter=numpy.ones(3, "i8"))
        self.refuse("integers or bools", "fedavg", 1, 1, 10, x=floats, mask=numpy.ones(3, "?"))
        self.refuse("clip", "fedavg", 0, 1, 10, x=floats)
        self.refuse("noise", "fedavg", 1, -1, 10, x=floats)
        self.refuse("divisor", "fedavg", 1, 1, 0, x=floats)
        self.refuse("divisor", "fedavg", 1, 1, -3, x=floats)
        self.refuse("overflow", "fedadam", 1e30, 1, 10, x=floats)


programs.main(PRIVATE)
