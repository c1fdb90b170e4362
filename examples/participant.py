#!/usr/bin/python3
"""A participant in Python that speaks only the original protocol (proto/original.proto): multinomial logistic
regression by mini-batch SGD in numpy, on the samples of x.npy and y.npy (made by `muster demo --participant K --export DIR`).

The original protocol carries nothing but arrays, so how to train is said on the command line, and the server
weights the answers with its --default-weight.

It sends and gets the whole model in one message: for a model of 4 MiB or more start the server with a
--max-message-size beyond that."""

import argparse
import importlib
import io
import pathlib
import queue
import subprocess
import sys
import tempfile
import time

import grpc
import numpy

PROTOCOL = pathlib.Path(__file__).resolve().parent.parent / "proto" / "original.proto"


def load_protocol(path):
    """The message classes of the protocol, compiled by protoc."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            ["protoc", f"--proto_path={path.parent}", f"--python_out={directory}", path.name], check=True
        )
        sys.path.insert(0, directory)
        try:
            return importlib.import_module(path.stem + "_pb2")
        finally:
            sys.path.remove(directory)


def to_bytes(array):
    with io.BytesIO() as file:
        numpy.save(file, array, allow_pickle=False)
        return file.getvalue()


def from_bytes(data):
    return numpy.load(io.BytesIO(data), allow_pickle=False)


def train(theta, x, y, options, random):
    """Trains (weights, bias) and returns them; options.mu holds them to where they began, as FedProx does."""
    start = [numpy.asarray(array, dtype=numpy.float32) for array in theta]
    weights, bias = start[0].copy(), start[1].copy()
    for _ in range(options.epochs):
        order = random.permutation(len(x))
        for first in range(0, len(x), options.batch_size):
            batch = order[first : first + options.batch_size]
            scores = x[batch] @ weights + bias
            scores = numpy.exp(scores - scores.max(axis=1, keepdims=True))
            scores /= scores.sum(axis=1, keepdims=True)
            scores[numpy.arange(len(batch)), y[batch]] -= 1
            rate = numpy.float32(options.learning_rate)
            pull = numpy.float32(options.mu)
            weights -= rate * (x[batch].T @ scores / len(batch) + pull * (weights - start[0]))
            bias -= rate * (scores.mean(axis=0) + pull * (bias - start[1]))
    return weights, bias


def take_part(channel, protocol, answer_to):
    """One stream: passes the initiative, answers instructions. Returns the seconds after which the server wants the
    participant back, or None when the server said good-bye."""
    outgoing = queue.SimpleQueue()
    outgoing.put(protocol.ParticipantMessage())
    connect = channel.stream_stream(
        "/ParticipantManager/Connect",
        request_serializer=protocol.ParticipantMessage.SerializeToString,
        response_deserializer=protocol.ServerMessage.FromString,
    )
    try:
        for instruction in connect(iter(outgoing.get, None), wait_for_ready=True):
            if instruction.WhichOneof("content") == "reconnect_in":
                return max(instruction.reconnect_in, 0)
            outgoing.put(answer_to(instruction))
        return None
    finally:
        outgoing.put(None)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[2])
    parser.add_argument("--connect", default="127.0.0.1:8080", metavar="HOST:PORT", help="the server (%(default)s)")
    parser.add_argument(
        "--wait", type=float, default=60, metavar="SECONDS", help="how long to wait for the server (%(default)s)"
    )
    parser.add_argument("--data", default=".", type=pathlib.Path, metavar="DIR", help="folder of x.npy and y.npy")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of the samples (%(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of a round (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=10, help="samples of a step (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=0.01, help="learning rate (%(default)s)")
    parser.add_argument("--mu", type=float, default=1, help="weight of FedProx's proximal term (%(default)s)")
    return parser.parse_args()


def main():
    options = parse_arguments()
    protocol = load_protocol(PROTOCOL)
    x = numpy.load(options.data / "x.npy").astype(numpy.float32)
    y = numpy.load(options.data / "y.npy").astype(numpy.int64)
    random = numpy.random.default_rng(options.seed)
    rounds = 0

    def answer_to(instruction):
        nonlocal rounds
        answer = protocol.ParticipantMessage()
        if instruction.WhichOneof("content") != "train_config":
            answer.unknown_instruction = True
            return answer
        theta = [from_bytes(array.ndarray) for array in instruction.train_config.theta]
        # What follows weights and bias is padding (--model-size of the server), and goes back as it came.
        for array in [*train(theta, x, y, options, random), *theta[2:]]:
            answer.result.theta.add(ndarray=to_bytes(array))
        rounds += 1
        return answer

    pause = 0
    try:
        while pause is not None:
            time.sleep(pause)  # the server asked for it
            # The original protocol leaves message sizes to gRPC; models are bigger than its default.
            unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
            with grpc.insecure_channel(options.connect, unlimited) as channel:
                grpc.channel_ready_future(channel).result(timeout=options.wait)
                pause = take_part(channel, protocol, answer_to)
    except grpc.FutureTimeoutError:
        print(f"participant.py: no server at {options.connect} within {options.wait:g} s (is it up?)", file=sys.stderr)
        return 1
    except grpc.RpcError as error:
        # Whoever wrote it is not to command the terminal, or forge a line of a log.
        details = "".join(letter if letter.isprintable() else "?" for letter in error.details())
        print(f"participant.py: ended after {rounds} rounds: {error.code().name}: {details}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"participant.py: trained in {rounds} rounds, the server said good-bye", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
