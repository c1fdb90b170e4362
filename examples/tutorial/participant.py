"""Logistic regression on the rows of a CSV file, which stay here. The last column is 0 or 1."""

import argparse
import io
import os
import pathlib
import queue
import time

import grpc
import numpy

import stream_pb2 as protocol

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", help="the CSV file")
parser.add_argument("--tls-ca", type=pathlib.Path, metavar="FILE", help="whose certificate the server has; PEM")
parser.add_argument("--token-file", type=pathlib.Path, metavar="FILE", help="the secret that the server asks for")
options = parser.parse_args()

# ---- what is learned: replace this by your own ----

rows = numpy.loadtxt(options.data, delimiter=",", dtype="float32")
x, y = rows[:, :-1], rows[:, -1:]
for_tests = numpy.arange(len(x)) % 5 == 0  # one row in five is kept from the training


def test(model, chosen):
    weights, bias = model
    chances = 1 / (1 + numpy.exp(-(x[chosen] @ weights + bias)))
    right = numpy.where(y[chosen] == 1, chances, 1 - chances)
    loss = -numpy.log(numpy.maximum(right, 1e-9)).mean()
    return chances, {"num_samples": len(right), "loss": loss, "accuracy": (right > 0.5).mean()}


def train(model, told):
    """The trained arrays, in the order of the model, and numbers: what is there of the received model."""
    weights, bias = model
    numbers = test(model, ~for_tests)[1]
    for _ in range(int(told.get("epochs", 1))):
        wrong = test([weights, bias], ~for_tests)[0] - y[~for_tests]
        weights = weights - told.get("lr", 0.1) * x[~for_tests].T @ wrong / len(wrong)
        bias = bias - told.get("lr", 0.1) * wrong.mean(axis=0)
    print(f"round {told['round']:.0f}: trained on {len(wrong)} patients", flush=True)
    return [weights, bias], numbers


# ---- how it takes part: the same for every model ----


def read(arrays):
    return [numpy.load(io.BytesIO(array.ndarray), allow_pickle=False) for array in arrays.theta]


def write(answer, arrays, numbers):
    for array in arrays:
        file = io.BytesIO()
        numpy.save(file, array.astype("float32"))
        answer.theta.add(ndarray=file.getvalue())
    for name, number in numbers.items():
        answer.scalars.add(name=name, value=number)


def answer_to(instruction):
    answer = protocol.ParticipantMessage(turn=instruction.turn)
    kind = instruction.WhichOneof("content")
    if kind == "train_config":
        told = {scalar.name: scalar.value for scalar in instruction.train_config.scalars}
        write(answer.result, *train(read(instruction.train_config), told))
    elif kind == "evaluate_config":
        write(answer.evaluate_result, [], test(read(instruction.evaluate_config), for_tests)[1])
    elif kind == "payload":
        answer.unknown_instruction = True
    else:
        return None  # it is no instruction
    return answer


def take_part(channel, metadata):
    """One stream. The seconds after which the server wants us back; None: it said good-bye."""
    outgoing = queue.SimpleQueue()
    connect = channel.stream_stream(
        "/ParticipantManager/Connect",
        request_serializer=protocol.ParticipantMessage.SerializeToString,
        response_deserializer=protocol.ServerMessage.FromString,
    )
    outgoing.put(protocol.ParticipantMessage(hello={"name": os.environ.get("MUSTER_NAME", "")}))
    try:
        for message in connect(iter(outgoing.get, None), metadata=metadata, wait_for_ready=True):
            if message.HasField("welcome"):
                outgoing.put(protocol.ParticipantMessage())  # from now on the server speaks first
            elif message.HasField("reconnect_in"):
                return max(message.reconnect_in, 0)
            elif answer := answer_to(message):
                outgoing.put(answer)
    finally:
        outgoing.put(None)


def main():
    server = os.environ["MUSTER_SERVER"]
    settings = [
        ("grpc.max_receive_message_length", -1),  # a model may be bigger than gRPC's default
        ("grpc.keepalive_time_ms", 30000),  # so a server that is cut off is noticed
        ("grpc.http2.max_pings_without_data", 0),
    ]
    metadata = []
    if options.token_file:
        metadata = [("authorization", "Bearer " + options.token_file.read_text().strip())]
    if options.tls_ca:
        credentials = grpc.ssl_channel_credentials(options.tls_ca.read_bytes())
        channel = grpc.secure_channel(server, credentials, settings)
    else:
        channel = grpc.insecure_channel(server, settings)
    with channel:
        while (seconds := take_part(channel, metadata)) is not None:
            time.sleep(seconds)


main()
