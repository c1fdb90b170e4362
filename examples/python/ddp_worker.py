#!/usr/bin/python3
"""A worker of PyTorch DDP, which may be killed: `muster orchestrate --workers 4 -- python3 ddp_worker.py`."""

import argparse
import os

import muster.torch
import numpy
import torch
from torch.nn.parallel import DistributedDataParallel

CLASSES, WIDTH, HIDDEN, BATCH = 10, 64, 256, 64


def batch_of(iteration, rank):
    """Points around the centers of the classes. An iteration that is repeated gets the same ones."""
    centers = numpy.random.default_rng(1).normal(size=(CLASSES, WIDTH))
    random = numpy.random.default_rng([2, iteration, rank])
    labels = random.integers(CLASSES, size=BATCH)
    points = centers[labels] + 3 * random.normal(size=(BATCH, WIDTH))
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels)


def make_model():
    torch.manual_seed(3)
    layers = [torch.nn.Linear(WIDTH, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, CLASSES)]
    return torch.nn.Sequential(*layers)


def train(worker):
    """Called again with another worker, from the last complete checkpoint on, when one of them was lost."""
    print(f"epoch {worker.epoch}: rank {worker.rank} of {worker.world_size}, process {os.getpid()}", flush=True)
    model = DistributedDataParallel(make_model())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    worker.restore(model=model, optimizer=optimizer)
    for iteration in worker.iterations(arguments.iterations):
        points, labels = batch_of(iteration, worker.rank)
        loss = torch.nn.functional.cross_entropy(model(points), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        worker.report(loss=loss.item(), samples=BATCH)
        if worker.rank == 0 and arguments.verbose:
            print(f"iteration {iteration}: loss {loss.item():.4f}", flush=True)
    return model


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--server", help="HOST:PORT of the orchestrator (default: the one that started this)")
parser.add_argument("--iterations", type=int, default=200)
parser.add_argument("--checkpoints", default="checkpoints", help="folder (default checkpoints)")
parser.add_argument("--verbose", action="store_true", help="print each iteration")
arguments = parser.parse_args()
torch.set_num_threads(1)
muster.torch.worker(arguments.server, train, checkpoints=arguments.checkpoints)
