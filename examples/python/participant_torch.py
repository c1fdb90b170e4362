#!/usr/bin/python3
"""A participant with PyTorch: its model's state is the model of the training.

    python3 server.py & for number in 1 2 3; do python3 participant_torch.py --number $number & done; wait

It can train with participant_numpy.py, ../participant.c and either server, as its parameters have their shapes."""
import argparse

import muster
import muster.torch
import torch
from participant_numpy import CLASSES, FEATURES, TEST, make_data


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.zeros(FEATURES, CLASSES))
        self.bias = torch.nn.Parameter(torch.zeros(CLASSES))

    def forward(self, x):
        return x @ self.weights + self.bias


def test(model, x, y):
    with torch.no_grad():
        scores = model(x)
        loss = torch.nn.functional.cross_entropy(scores, y)
    return {"loss": loss, "accuracy": (scores.argmax(1) == y).double().mean()}  # tensors of one number may be sent


def train(model, x, y, instruction):
    optimizer = torch.optim.SGD(model.parameters(), lr=instruction.get("learning_rate", 0.01) * 10)
    epochs = int(instruction.get("epochs", 1))
    for epoch in range(epochs):
        for batch, labels in zip(x.split(10), y.split(10)):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(batch), labels)
            loss.backward()
            optimizer.step()
        instruction.progress((epoch + 1) / epochs, loss=loss.item())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect", default="127.0.0.1:8080", metavar="HOST:PORT", help="the server")
    parser.add_argument("--number", type=int, default=1, help="the number of its data set")
    options = parser.parse_args()
    x, y = map(torch.from_numpy, make_data(options.number))
    model = Model()

    def follow(instruction):
        muster.torch.load(model, instruction.arrays)
        numbers = {"num_samples": len(x) - TEST, **test(model, x[-TEST:], y[-TEST:])}
        if instruction.kind == "train":
            train(model, x[:-TEST], y[:-TEST], instruction)
        return (muster.torch.state(model).values() if instruction.kind == "train" else []), numbers

    muster.connect(options.connect, name=f"torch-{options.number}").serve(follow)
