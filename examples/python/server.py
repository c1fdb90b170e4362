#!/usr/bin/python3
"""A server: federated averaging. Some participants train the model in a round; the mean of theirs is the next one.

    python3 server.py --save model.npz& for n in 1 2 3; do python3 participant_numpy.py --number $n & done; wait

Participants of any language may come: participant_torch.py and ../participant.c, too."""
import argparse
import random

import numpy

import muster


def run(proxies, instruction, mean):
    """Sends an instruction to all, and adds their answers to the mean. Returns how many were accepted."""
    round = muster.run_all(proxies, instruction, deadline=60, at_least=1)
    for proxy, answer in round:  # as they come
        samples, loss, accuracy = (answer.get(name, -1) for name in ("num_samples", "loss", "accuracy"))
        arrays = answer.arrays if instruction.kind == "train" else []
        if not (1 <= samples <= 1e6 and 0 <= loss <= 1e6 and 0 <= accuracy <= 1):
            answer.refuse(f"{samples} samples, with a loss of {loss} and an accuracy of {accuracy}")
            continue
        try:
            mean.add(arrays, weight=samples, scalars={"loss": loss, "accuracy": accuracy})
        except muster.Error as error:  # another shape, perhaps
            answer.refuse(error)
    for entry in round.entries:
        if entry.status != "OK":
            print(f"{entry.proxy.name}: {entry.text}", flush=True)
    return round.answered


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="where participants connect")
    parser.add_argument("--participants", type=int, default=3, help="how many to wait for before the first round")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--save", metavar="FILE.npz", help="where the model is written")
    options = parser.parse_args()
    model = [numpy.zeros((20, 5), "f4"), numpy.zeros(5, "f4")]
    with muster.ParticipantManager(options.listen) as manager:  # says good-bye to all at its end
        print("listening on port", manager.port, flush=True)
        for number in range(options.rounds + 1):
            proxies = manager.get_participants(options.participants if number == 0 else 1)
            trained = 0
            if number > 0:  # before, the model of zeros is tested
                mean, some = muster.Mean(like=model), random.sample(proxies, max(1, len(proxies) * 2 // 3))
                trained = run(some, muster.Train(model, epochs=2, learning_rate=0.02), mean)
                model = mean.result()
            metrics = muster.Mean()
            tested, found = run(proxies, muster.Evaluate(model), metrics), metrics.message()
            numbers = f"loss {found['loss']:.3f}, accuracy {found['accuracy']:.3f}"
            print(f"round {number}: {trained} trained, {tested} tested: {numbers}", flush=True)
            if options.save:
                muster.npz_write(options.save, {"weights": model[0], "bias": model[1]})


if __name__ == "__main__":
    main()
