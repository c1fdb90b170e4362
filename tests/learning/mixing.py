#!/usr/bin/python3 -B
"""Mixing by each topology, step by step as the library does it, against numpy's products of matrices, and the weights
against graphs that are defined here once more."""

import pathlib
import subprocess
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "apps"))
import support as programs  # noqa: E402, what tests of programs share

MIXING = programs.BUILD / "tests" / "learning" / "mixing"
STEPS = 20

# Every topology, with numbers of ranks.
UNCHANGING = {
    "ring": (1, 2, 3, 16),
    "star": (2, 9),
    "full": (1, 2, 7),
    "grid": (4, 12, 25),
    "torus": (9, 12, 20),
    "tree": (1, 6, 20),
    "ladder": (2, 10),
    "circular-ladder": (6, 10),
    "wheel": (4, 9),
    "complete-bipartite": (2, 9),
    "barbell": (4, 9),
    "hypercube": (1, 2, 16),
    "erdos-renyi:0.4": (12, 25),
    "watts-strogatz:4:0.2": (5, 25),
    "random-regular:3": (4, 20),
    "random-regular:12": (20,),
}
CHANGING = {
    "hyper-hypercube:2": (1, 12),
    "one-peer-exponential": (1, 3, 16),
    "base:2": (1, 13, 24),
    "base:4": (13, 24),
    "simple-base:3": (13, 24),
    "matching": (2, 9, 16),
}


def path(count):
    return numpy.eye(count, k=1) + numpy.eye(count, k=-1)


def circle(count):
    shift = numpy.roll(numpy.eye(count), 1, axis=1)
    return numpy.minimum(shift + shift.T, 1) * (1 - numpy.eye(count))


def complete(count):
    return numpy.ones((count, count)) - numpy.eye(count)


def product(first, second):
    """The Cartesian product of two graphs, whose ranks are rows of those of the second."""
    return numpy.kron(first, numpy.eye(len(second))) + numpy.kron(numpy.eye(len(first)), second)


def joined(first, second, edges):
    """Two graphs side by side, with edges between them."""
    graph = numpy.block(
        [[first, numpy.zeros((len(first), len(second)))], [numpy.zeros((len(second), len(first))), second]]
    )
    for a, b in edges:
        graph[a, len(first) + b] = graph[len(first) + b, a] = 1
    return graph


def rows(ranks):
    return max(i for i in range(1, ranks + 1) if ranks % i == 0 and i * i <= ranks)


def tree(ranks):
    graph = numpy.zeros((ranks, ranks))
    for child in range(1, ranks):
        graph[child, (child - 1) // 2] = graph[(child - 1) // 2, child] = 1
    return graph


def hypercube(ranks):
    graph = numpy.zeros((1, 1))
    while len(graph) < ranks:
        graph = product(path(2), graph)
    return graph


def hub(others):
    """Rank 0 and a graph all of whose ranks it has an edge with."""
    return joined(numpy.zeros((1, 1)), others, [(0, i) for i in range(len(others))])


GRAPHS = {
    "ring": circle,
    "star": lambda n: hub(numpy.zeros((n - 1, n - 1))),
    "full": complete,
    "grid": lambda n: product(path(rows(n)), path(n // rows(n))),
    "torus": lambda n: product(circle(rows(n)), circle(n // rows(n))),
    "tree": tree,
    "ladder": lambda n: product(path(2), path(n // 2)),
    "circular-ladder": lambda n: product(path(2), circle(n // 2)),
    "wheel": lambda n: hub(circle(n - 1)),
    "complete-bipartite": lambda n: joined(
        numpy.zeros((n // 2, n // 2)),
        numpy.zeros((n - n // 2, n - n // 2)),
        [(i, j) for i in range(n // 2) for j in range(n - n // 2)],
    ),
    "barbell": lambda n: joined(complete(n // 2), complete(n - n // 2), [(n // 2 - 1, 0)]),
    "hypercube": hypercube,
}


def uniform(graph):
    weights = graph + numpy.eye(len(graph))
    return weights / weights.sum(axis=1, keepdims=True)


def metropolis(graph):
    degrees = graph.sum(axis=1)
    weights = graph / (1 + numpy.maximum.outer(degrees, degrees))
    return weights + numpy.diag(1 - weights.sum(axis=1))


MIXINGS = {"uniform": uniform, "metropolis": metropolis}


class Mixing(programs.Case):
    def mix(self, spec, ranks, mixing, degree=0, seed=7):
        """The weights of each step. Compares what the library mixes with what they make of random numbers."""
        start = numpy.random.default_rng(seed).standard_normal(ranks)
        result = subprocess.run(
            [MIXING, spec, str(ranks), mixing, str(degree), str(seed), str(STEPS)],
            input=" ".join(value.hex() for value in start.tolist()),
            text=True,
            capture_output=True,
        )
        self.assertEqual((result.returncode, result.stderr), (0, ""), (spec, ranks, mixing))
        numbers = numpy.array([line.split() for line in result.stdout.splitlines()], dtype=float)
        numbers = numbers.reshape(STEPS, ranks + 1, ranks)
        weights, mixed = numbers[:, :ranks], numbers[:, ranks]
        together = numpy.eye(ranks)
        for step in range(STEPS):
            together = weights[step] @ together
            numpy.testing.assert_allclose(
                mixed[step], together @ start, rtol=0, atol=1e-12, err_msg=f"{spec} of {ranks}, {mixing}, {step}"
            )
        return weights

    def test_every_form_is_here(self):
        forms = subprocess.run([MIXING], text=True, capture_output=True, check=True).stdout.split()
        here = {spec.split(":")[0] for spec in [*UNCHANGING, *CHANGING]}
        self.assertEqual({form.split(":")[0] for form in forms}, here)

    def test_unchanging(self):
        for spec, sizes in UNCHANGING.items():
            for ranks in sizes:
                for mixing, weigh in MIXINGS.items():
                    weights = self.mix(spec, ranks, mixing)
                    graph = GRAPHS[spec](ranks) if spec in GRAPHS else (weights[0] > 0) * (1 - numpy.eye(ranks))
                    numpy.testing.assert_array_equal(graph, graph.T)
                    for step in range(STEPS):
                        numpy.testing.assert_allclose(
                            weights[step], weigh(graph), rtol=0, atol=1e-15, err_msg=f"{spec} of {ranks}, {mixing}"
                        )
                    power = numpy.linalg.matrix_power(weights[0], STEPS)
                    numpy.testing.assert_allclose(power.sum(axis=1), 1, rtol=0, atol=1e-13)

    def test_changing(self):
        for spec, sizes in CHANGING.items():
            for ranks in sizes:
                weights = self.mix(spec, ranks, "uniform")
                numpy.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-14)
                numpy.testing.assert_allclose(weights.sum(axis=2), 1, rtol=0, atol=1e-14)
                if spec != "one-peer-exponential":
                    numpy.testing.assert_array_equal(weights, self.mix(spec, ranks, "metropolis"))
                    numpy.testing.assert_allclose(weights, weights.transpose(0, 2, 1), rtol=0, atol=0)

    def test_one_peer_exponential(self):
        for ranks, period in ((3, 2), (16, 4), (21, 5)):
            weights = self.mix("one-peer-exponential", ranks, "uniform")
            for step in range(STEPS):
                shift = numpy.roll(numpy.eye(ranks), 2 ** (step % period), axis=0)
                numpy.testing.assert_array_equal(weights[step], (numpy.eye(ranks) + shift) / 2)

    def test_samples(self):
        for spec, ranks, degree in (("full", 10, 3), ("star", 9, 2), ("erdos-renyi:0.6", 12, 2)):
            graph = self.mix(spec, ranks, "uniform")[0] > 0
            weights = self.mix(spec, ranks, "uniform", degree)
            counts = numpy.minimum(graph.sum(axis=1) - 1, degree)
            for step in range(STEPS):
                self.assertFalse(numpy.any((weights[step] > 0) & ~graph))
                numpy.testing.assert_array_equal((weights[step] > 0).sum(axis=1), counts + 1)
                numpy.testing.assert_allclose(weights[step].sum(axis=1), 1, rtol=0, atol=1e-15)
            self.assertGreater(len({step.tobytes() for step in weights}), STEPS // 2)

    def test_seeds(self):
        for spec in ("erdos-renyi:0.4", "watts-strogatz:4:0.2", "random-regular:3", "matching"):
            first = self.mix(spec, 20, "uniform", seed=1)
            numpy.testing.assert_array_equal(first, self.mix(spec, 20, "uniform", seed=1))
            self.assertTrue(numpy.any(first != self.mix(spec, 20, "uniform", seed=2)))


if __name__ == "__main__":
    programs.main(MIXING)
