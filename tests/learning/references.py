"""Strategies as their papers have them, with numpy, and the arrays that the library's are compared on."""

import numpy

# Models: shapes of arrays, and their dtypes. One array is longer than the blocks of the library's loops.
MODELS = {
    "singles": [((7, 5), "float32"), ((700,), "float32"), ((), "float32"), ((0, 3), "float32")],
    "doubles": [((600,), "float64"), ((3, 2), "float64")],
    "mixed": [
        ((300,), "float32"),
        ((270,), "float16"),
        ((270,), "bfloat16"),
        ((5,), "int64"),
        ((40,), "bool"),
        ((9,), "float64"),
        ((130,), "uint8"),
    ],
}
FLOATS = ("float32", "float64", "float16", "bfloat16")


# ---- arrays: their values as doubles, which are such as their dtype has ----


def rounded(values, dtype):
    """The nearest values that the dtype has, as doubles; halfway to even."""
    values = numpy.asarray(values, dtype=numpy.float64)
    if dtype == "bfloat16":
        fraction, exponent = numpy.frexp(values)
        return numpy.ldexp(numpy.rint(numpy.ldexp(fraction, 8)), exponent - 8)
    if dtype == "bool":
        return (values > 0.5).astype(numpy.float64)
    if dtype not in FLOATS:
        return numpy.rint(values)
    return values.astype(dtype).astype(numpy.float64)


def packed(values, dtype):
    """As it goes into a file."""
    if dtype == "bfloat16":
        return (values.astype(numpy.float32).view(numpy.uint32) >> 16).astype(numpy.uint16).view("V2")
    return numpy.asarray(values).astype(dtype)


def unpacked(array):
    if array.dtype.kind == "V":
        return (array.view(numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32).astype(numpy.float64)
    return array.astype(numpy.float64)


def random_model(spec, random):
    return [random_values(shape, dtype, random) for shape, dtype in spec]


def random_values(shape, dtype, random):
    if dtype in FLOATS:
        return rounded(random.standard_normal(shape), dtype)
    return random.integers(0, 2 if dtype == "bool" else 200, shape).astype(numpy.float64)


# ---- strategies, as their papers have them ----


class Strategy:
    """The mean (McMahan et al. 2017), for those that make less or more of it."""

    weighted, losses, least = True, False, 1

    def __init__(self, model, spec, parameters):
        self.model, self.spec, self.parameters, self.steps = [a.copy() for a in model], spec, parameters, 0
        self.memory = {}

    def weights(self, answers):
        return [weight for _, weight, _ in answers]

    def mean(self, answers, i):
        weights = self.weights(answers)
        return sum(w * a[0][i] for w, a in zip(weights, answers)) / sum(weights)

    def step(self, answers):
        self.steps += 1
        old = [array.copy() for array in self.model]
        for i, (_, dtype) in enumerate(self.spec):
            moved = self.moved(answers, i, old) if dtype in FLOATS else self.others(answers, i)
            self.model[i] = rounded(moved, dtype)

    def moved(self, answers, i, _old):
        return self.mean(answers, i)

    def others(self, answers, i):
        return self.mean(answers, i)

    def remembered(self, name, i, initial):
        return self.memory.get((name, i), numpy.full_like(self.model[i], initial))


class Momentum(Strategy):
    def moved(self, answers, i, old):
        self.memory["m", i] = self.parameters["beta"] * self.remembered("m", i, 0) + self.mean(answers, i) - old[i]
        return old[i] + self.parameters["eta"] * self.memory["m", i]


class Adaptive(Strategy):
    def initial(self):
        return 0 if self.parameters.get("flower") else self.parameters["tau"] ** 2

    def eta(self):
        return self.parameters["eta"]

    def moved(self, answers, i, old):
        beta1, tau = self.parameters.get("beta1", 0), self.parameters["tau"]
        change = self.mean(answers, i) - old[i]
        m = beta1 * self.remembered("m", i, 0) + (1 - beta1) * change
        v = self.scale(self.remembered("v", i, self.initial()), change**2)
        self.memory["m", i], self.memory["v", i] = m, v
        return old[i] + self.eta() * m / (numpy.sqrt(v) + tau)


class Adam(Adaptive):
    def eta(self):
        if not self.parameters.get("flower"):
            return self.parameters["eta"]
        beta1, beta2 = self.parameters["beta1"], self.parameters["beta2"]
        return self.parameters["eta"] * (1 - beta2 ** (self.steps + 1)) ** 0.5 / (1 - beta1 ** (self.steps + 1))

    def scale(self, v, square):
        return self.parameters["beta2"] * v + (1 - self.parameters["beta2"]) * square


class Yogi(Adaptive):
    def scale(self, v, square):
        return v - (1 - self.parameters["beta2"]) * square * numpy.sign(v - square)


class Adagrad(Adaptive):
    def scale(self, v, square):
        return v + square


class Fair(Strategy):
    """Li et al. 2020: gradients are L = 1 / lr times the changes."""

    losses, weighted = True, False

    def weights(self, answers):
        return [(loss + 1e-10) ** self.parameters["q"] for _, _, loss in answers]

    def moved(self, answers, i, old):
        q, lipschitz, h = self.parameters["q"], 1 / self.parameters["lr"], 0
        for arrays, _, loss in answers:
            square = sum(
                numpy.sum((lipschitz * (old[j] - arrays[j])) ** 2)
                for j, (_, dtype) in enumerate(self.spec)
                if dtype in FLOATS
            )
            h += q * (loss + 1e-10) ** (q - 1) * square + lipschitz * (loss + 1e-10) ** q
        weights = self.weights(answers)
        return old[i] - sum(w * lipschitz * (old[i] - a[0][i]) for w, a in zip(weights, answers)) / h


class Median(Strategy):
    weighted = False

    def mean(self, answers, i):
        return numpy.median([arrays[i] for arrays, _, _ in answers], axis=0)


class Trimmed(Strategy):
    weighted = False

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.least = 2 * self.parameters["f"] + 1

    def mean(self, answers, i):
        f = self.parameters["f"]
        return numpy.sort([arrays[i] for arrays, _, _ in answers], axis=0)[f : len(answers) - f].mean(axis=0)


class Krum(Strategy):
    weighted = False

    def __init__(self, *arguments):
        super().__init__(*arguments)
        f, m = self.parameters["f"], self.parameters.get("m", 1)
        self.least = max(2 * f + 3, m + f + 2)

    def mean(self, answers, i):
        f = self.parameters["f"]
        m = self.parameters.get("m", 1) or len(answers) - f - 2
        flat = numpy.array(
            [
                numpy.concatenate([a.ravel() for a, (_, dtype) in zip(arrays, self.spec) if dtype in FLOATS])
                for arrays, _, _ in answers
            ]
        )
        squares = ((flat[:, None] - flat[None]) ** 2).sum(axis=2)
        scores = numpy.sort(squares, axis=1)[:, 1 : len(answers) - f - 1].sum(axis=1)
        return numpy.mean([answers[k][0][i] for k in numpy.argsort(scores, kind="stable")[:m]], axis=0)


class Private(Strategy):
    """Without noise. Its changes are clipped over all arrays together."""

    weighted = False

    def changes(self, answers, old):
        total = [numpy.zeros_like(array) for array in old]
        for arrays, _, _ in answers:
            changes = [a - b for a, b in zip(arrays, old)]
            norm = sum(numpy.sum(change**2) for change in changes) ** 0.5
            for i, change in enumerate(changes):
                total[i] += change * min(1, self.parameters["clip"] / norm)
        return total

    def mean(self, answers, i):
        divisor = self.parameters.get("divisor") or len(answers)
        return self.model[i] + self.changes(answers, self.before)[i] / divisor

    def step(self, answers):
        self.before = [array.copy() for array in self.model]
        super().step(answers)


class PrivateAdam(Private, Adam):
    pass
