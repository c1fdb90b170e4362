#!/usr/bin/python3
"""A participant with numpy: it trains the server's model on data that only it has, and sends it and a few numbers.

    python3 server.py & for number in 1 2 3; do python3 participant_numpy.py --number $number & done; wait

The server may be ../fedavg_server.c, too. The library brings the participant back if its connection breaks."""
import argparse

import muster
import numpy

FEATURES, CLASSES, TEST = 20, 5, 100


def make_data(number):  # inputs, the law of their labels and the number of samples depend on the participant's number
    common, own = numpy.random.default_rng(0), numpy.random.default_rng(number)
    law = common.normal(size=(FEATURES, CLASSES)) + 0.5 * own.normal(size=(FEATURES, CLASSES))
    x = own.normal(size=FEATURES) + own.normal(size=(own.integers(100, 400) + TEST, FEATURES))
    return x.astype(numpy.float32), (x @ law).argmax(axis=1)


def probabilities(model, x):
    scores = x @ model[0] + model[1]
    scores = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def test(model, x, y):
    found = probabilities(model, x)
    loss = -numpy.log(numpy.maximum(found[range(len(y)), y], 1e-12)).mean()
    return {"loss": float(loss), "accuracy": float((found.argmax(axis=1) == y).mean())}


def train(instruction, x, y):  # logistic regression, which writes into the arrays of the instruction
    (weights, bias), rate = instruction.arrays, float(instruction.get("learning_rate", 0.01))
    epochs = min(int(instruction.get("epochs", 1)), 1000)
    for epoch in range(epochs):
        for first in range(0, len(x), 10):
            batch, labels = x[first : first + 10], y[first : first + 10]
            gradient = probabilities((weights, bias), batch)
            gradient[range(len(labels)), labels] -= 1
            weights -= rate * batch.T @ gradient
            bias -= rate * gradient.sum(axis=0)
        instruction.progress((epoch + 1) / epochs)  # raises muster.Cancelled if nobody waits for the answer any more
    return instruction.arrays


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect", default="127.0.0.1:8080", metavar="HOST:PORT", help="the server")
    parser.add_argument("--number", type=int, default=1, help="the number of its data set")
    options = parser.parse_args()
    x, y = make_data(options.number)

    def follow(instruction):  # what it raises goes to the server, with the traceback
        muster.check_match(instruction, muster.Train([numpy.zeros((FEATURES, CLASSES), "f4"), numpy.zeros(5, "f4")]))
        numbers = {"num_samples": len(x) - TEST, **test(instruction.arrays, x[-TEST:], y[-TEST:])}
        return (train(instruction, x[:-TEST], y[:-TEST]) if instruction.kind == "train" else []), numbers

    muster.connect(options.connect, name=f"numpy-{options.number}").serve(follow)  # until the server says good-bye
