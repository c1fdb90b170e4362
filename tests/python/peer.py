"""Participants and a server that the tests start as processes: the model of examples/, from Python."""

import asyncio
import json
import os
import sys
import time

import numpy

import common  # noqa: F401
import muster

SHAPES = ((20, 5), (5,))
WORK = {"fail": 0}


def train(instruction):
    """Adds 1 to all that came, in place."""
    arrays = instruction.arrays
    for array in arrays:
        array += 1
    return arrays


def follow(instruction):
    if instruction.kind == "application":
        return instruction.answer(muster.Application(instruction.type, instruction.data))
    metrics = {"num_samples": 100, "loss": 0.5, "accuracy": 0.25}
    if instruction.kind == "evaluate":
        return instruction.answer(None, **metrics)
    until = instruction.get("until", "")  # a file: with it the steps end
    for step in range(int(instruction.get("steps", 0))):
        if until and os.path.exists(until):
            break
        instruction.progress(step / instruction["steps"], step=step)
        time.sleep(0.01)
    return instruction.answer(train(instruction), **metrics)


def participate(address, name):
    with muster.connect(address, name=name, labels={"language": "python"}) as participant:
        for instruction in participant:
            try:
                follow(instruction)
            except muster.Cancelled:
                continue


async def participate_async(address, name):
    async with await muster.connect_async(address, name=name, labels={"language": "asyncio"}) as participant:
        async for instruction in participant:
            try:
                follow(instruction)
            except muster.Cancelled:
                continue


def serve(participants, rounds):
    """Tells its port and then, for each round, who answered and the first number of the mean."""
    with muster.ParticipantManager("127.0.0.1:0") as manager:
        print(manager.port, flush=True)
        model = [numpy.zeros(shape, numpy.float32) for shape in SHAPES]
        for _ in range(rounds):
            proxies = manager.get_participants(participants)
            mean = muster.Mean(like=model)
            for kind in (muster.Train, muster.Evaluate):
                names = []
                for proxy, answer in muster.run_all(proxies, kind(model, epochs=1, learning_rate=0.02), deadline=100):
                    names.append(proxy.name)
                    if kind is muster.Train:
                        mean.add(answer, weight=answer["num_samples"])
            model = mean.result()
            print(json.dumps([sorted(names), float(model[0][0, 0])]), flush=True)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "participant":
        participate(*words)
    elif what == "asyncio":
        asyncio.run(participate_async(*words))
    else:
        serve(*map(int, words))
