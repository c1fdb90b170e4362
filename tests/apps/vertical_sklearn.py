#!/usr/bin/python3 -B
"""Vertical learning against scikit-learn: its data, its model at the optimum, and the same steps with all columns in one place."""

import csv
import sys

try:
    import sklearn.datasets
    import sklearn.linear_model
    import sklearn.model_selection
except ImportError:
    print("there is no scikit-learn")
    sys.exit(77)

import numpy

import support
from support import MASTER

L2, RATE, MOMENTUM = 0.01, 0.1, 0.9


def softmax(score):
    chances = numpy.exp(score - score.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)


def central(x, labels, predict, epochs):
    """Weights and bias after the same steps, by numpy."""
    n, outputs = labels.shape
    weights, bias = numpy.zeros((x.shape[1], outputs)), numpy.zeros(outputs)
    velocity, bias_velocity = numpy.zeros_like(weights), numpy.zeros_like(bias)
    for _ in range(epochs):
        residual = (predict(x @ weights + bias) - labels) / n
        velocity = MOMENTUM * velocity + x.T @ residual + L2 * weights
        bias_velocity = MOMENTUM * bias_velocity + residual.sum(axis=0)
        weights = weights - RATE * velocity
        bias = bias - RATE * bias_velocity
    return weights, bias


class Sklearn(support.Case):
    def write(self, name, x, y):
        with open(self.scratch / name, "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["id", *(f"x{i}" for i in range(x.shape[1])), "y"])
            out.writerows([f"r{i:05}", *map(repr, map(float, x[i])), int(y[i])] for i in range(len(x)))
        return self.scratch / name

    def run_master(self, members, *options):
        status, output, errors = self.run_program(
            MASTER, "--listen=local:vertical", f"--members={members}", "--labels=y", f"--weights={self.scratch}/weights", *options
        )
        self.assertEqual(status, 0, errors)
        return output

    def train(self, members, x, y, *options):
        self.run_master(
            members, self.write("train.csv", x, y), "--standardize", "--bias", "--batch-size=0", "--test-fraction=0",
            f"--l2={L2}", f"--learning-rate={RATE}", f"--momentum={MOMENTUM}", "--report-every=1000000", *options,
        )
        files = [numpy.load(self.scratch / "weights" / f"member-{k}.npz") for k in range(members)]
        return numpy.concatenate([file["weights"] for file in files])

    def infer(self, members, x, y):
        """The predictions for other records, in their order."""
        self.run_master(members, f"--infer={self.write('test.csv', x, y)}", f"--predictions={self.scratch}/predictions.csv")
        with open(self.scratch / "predictions.csv", newline="") as file:
            return numpy.array([[float(field) for field in row[1:]] for row in list(csv.reader(file))[1:]])

    def compare(self, load, multinomial, epochs):
        x, y = load(return_X_y=True)
        x, x_test, y, y_test = sklearn.model_selection.train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
        scale = x.std(axis=0)
        mean, factor = x.mean(axis=0), numpy.where(scale > 0, 1 / numpy.where(scale > 0, scale, 1), 0)
        scaled, scaled_test = (x - mean) * factor, (x_test - mean) * factor
        labels = numpy.eye(y.max() + 1)[y] if multinomial else y[:, None].astype(float)
        predict = softmax if multinomial else lambda score: 1 / (1 + numpy.exp(-score))
        expected, bias = central(scaled, labels, predict, epochs)
        theirs = sklearn.linear_model.LogisticRegression(C=1 / (L2 * len(x)), tol=1e-10, max_iter=100000).fit(scaled, y)
        for members in (2, 5):
            model = "--model=multinomial" if multinomial else "--model=logistic"
            weights = self.train(members, x, y, model, f"--epochs={epochs}")
            numpy.testing.assert_allclose(weights, expected, rtol=0, atol=1e-9)
            chances = self.infer(members, x_test, y_test)
            numpy.testing.assert_allclose(chances, predict(scaled_test @ expected + bias), rtol=0, atol=1e-9)
            judged = chances.argmax(axis=1) if multinomial else chances[:, 0] > 0.5
            differ = int((judged != theirs.predict(scaled_test)).sum())
            print(f"{load.__name__}, {members} members: {numpy.abs(weights - expected).max():.1e} from central, {differ} of "
                  f"{len(y_test)} judged otherwise, accuracy {(judged == y_test).mean():.4f}")
            self.assertLessEqual(differ, 1)

    def test_breast_cancer(self):
        self.compare(sklearn.datasets.load_breast_cancer, False, 1000)

    def test_digits(self):
        self.compare(sklearn.datasets.load_digits, True, 1000)


support.main()
