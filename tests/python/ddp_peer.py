"""A worker of a DDP training for the tests, with the options of examples/python/ddp_worker.py. The environment says
what happens in the first epoch: at iteration DDP_HOLD all wait for each other, at DDP_FAIL rank 1 raises an error, and
at DDP_STAY the program hangs.
Epochs before DDP_LAST_EPOCH do not end by themselves. DDP_HOST is the machine that it says to be on."""

import argparse
import logging
import os
import threading

import common  # noqa: F401
import muster.torch
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

# Longer than any test: what is to be noticed earlier is not noticed by it.
LIMIT = 1000

# In epochs without an end no more is told, as nobody reads it.
TOLD = 20

NAMES = ("DDP_HOLD", "DDP_FAIL", "DDP_STAY", "DDP_LAST_EPOCH")
HOLD, FAIL, STAY, LAST_EPOCH = (int(os.environ.get(name, "0")) for name in NAMES)


def disturb(worker, iteration):
    if worker.epoch == 1 and iteration == HOLD:
        torch.distributed.recv(torch.zeros(1), (worker.rank + 1) % worker.world_size)  # nobody sends
    if worker.epoch == 1 and iteration == STAY:
        print("it stays", flush=True)
        threading.Event().wait()
    if worker.epoch == 1 and iteration == FAIL and worker.rank == 1:
        raise ConnectionRefusedError("there is no data")


def train(worker):
    torch.manual_seed(1)
    model = DistributedDataParallel(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    start = worker.restore(model=model, optimizer=optimizer)
    print(f"epoch {worker.epoch}: rank {worker.rank} of {worker.world_size}, process {os.getpid()}", flush=True)
    assert [os.environ[name] for name in ("RANK", "WORLD_SIZE")] == [str(worker.rank), str(worker.world_size)]
    total = arguments.iterations
    if LAST_EPOCH:
        total = None if worker.epoch < LAST_EPOCH else start + 8
    for iteration in worker.iterations(total):
        if worker.rank == 0 and arguments.verbose and iteration <= TOLD:
            print(f"iteration {iteration}: begins", flush=True)
        disturb(worker, iteration)
        loss = (model(torch.ones(2, 4) * (iteration % 5 + worker.rank)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        worker.report(loss.item(), samples=2)


parser = argparse.ArgumentParser()
parser.add_argument("--server")
parser.add_argument("--iterations", type=int)
parser.add_argument("--checkpoints")
parser.add_argument("--verbose", action="store_true")
arguments = parser.parse_args()
logging.basicConfig(level=logging.INFO)
torch.set_num_threads(1)
host = os.environ.get("DDP_HOST")
settings = {"checkpoints": arguments.checkpoints, "limit": LIMIT, "host": host, "advertise": "127.0.0.1"}
muster.torch.worker(arguments.server, train, **settings)
