#!/usr/bin/python3 -B
"""Participants in Python for the tests of `muster server`: threads of the test that do what a function says, or processes,
which can be frozen: `volunteers.py PORT NAME`."""

import collections
import contextlib
import queue
import sys
import threading

import grpc
import numpy

from peers import METHOD, from_bytes, load_protocol, to_bytes

# What a participant was told: "train" or "evaluate", the model, and numbers, bools and texts by their names.
Instruction = collections.namedtuple("Instruction", "kind arrays names told")

# Connections are tried again at once: a server that was killed is soon there again.
CHANNEL = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 300),
           ("grpc.use_local_subchannel_pool", 1))  # fmt: skip


def read(message):
    """An instruction of a server's message; None: it is none."""
    kind = {"train_config": "train", "evaluate_config": "evaluate"}.get(message.WhichOneof("content"))
    if kind is None:
        return None
    content = getattr(message, f"{kind}_config")
    told = {}
    for scalar in content.scalars:
        told[scalar.name] = scalar.boolean if scalar.WhichOneof("exact") == "boolean" else scalar.value
    for value in content.values:
        told[value.name] = value.text
    return Instruction(kind, [from_bytes(item.ndarray) for item in content.theta], list(content.names), told)


class Volunteer:
    """Takes part until the server says good-bye. `work(instruction)` gives the arrays and the numbers of an answer, or a
    text, which is a failure, or None: there is no answer, until answer() is called."""

    def __init__(self, port, name, work, labels=None):
        self.protocol = load_protocol("stream")
        self.port, self.name, self.work, self.labels = port, name, work, labels or {}
        self.seen = []  # instructions
        self.refused = []  # texts
        self.joined = threading.Event()
        self.changed = threading.Condition()
        self.over = False  # the server is not to be looked for again
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", CHANNEL)
        self.messages = None
        self.open_turn = None  # of the last instruction on this connection, if there was no answer
        self.thread = threading.Thread(target=self.take_part, daemon=True)
        self.thread.start()

    def await_instruction(self, suits):
        """Waits for one that suits."""
        with self.changed:
            self.changed.wait_for(lambda: any(map(suits, self.seen)))

    def await_refusals(self, count):
        """Waits until so many answers were refused: the server's word may be read when the server has ended."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.refused) >= count)

    def answer(self, work):
        """Answers the instruction that is open, or the next one."""
        with self.changed:
            self.changed.wait_for(lambda: self.open_turn)
            turn, instruction = self.open_turn
            self.open_turn = None
        self.messages.put(self.reply(turn, instruction, work(instruction)))

    def leave(self):
        """At once, and without a word."""
        self.over = True
        self.channel.close()

    def take_part(self):
        while not self.over:
            with contextlib.suppress(grpc.RpcError, ValueError):
                self.connect()

    def connect(self):
        self.messages = queue.SimpleQueue()
        hello = self.protocol.ParticipantMessage()
        hello.hello.name = self.name
        hello.hello.features.append("refused")
        for name, value in self.labels.items():
            hello.hello.labels.add(name=name, value=value)
        self.messages.put(hello)
        connect = self.channel.stream_stream(
            METHOD,
            request_serializer=self.protocol.ParticipantMessage.SerializeToString,
            response_deserializer=self.protocol.ServerMessage.FromString,
        )
        try:
            for message in connect(iter(self.messages.get, None), wait_for_ready=True):
                self.take(message)
            self.over = True  # that was the good-bye
        finally:
            self.open_turn = None
            self.messages.put(None)

    def take(self, message):
        content = message.WhichOneof("content")
        if content == "welcome":
            self.messages.put(self.protocol.ParticipantMessage())
            self.joined.set()
        elif content == "refused":
            with self.changed:
                self.refused.append(message.refused.text)
                self.changed.notify_all()
        elif content == "reconnect_in":
            raise ValueError("the server comes back")
        instruction = read(message)
        if instruction is None:
            return
        answer = self.work(instruction)
        with self.changed:
            self.seen.append(instruction)
            self.open_turn = (message.turn, instruction) if answer is None else None
            self.changed.notify_all()
        if answer is not None:
            self.messages.put(self.reply(message.turn, instruction, answer))

    def reply(self, turn, instruction, answer):
        reply = self.protocol.ParticipantMessage(turn=turn)
        if isinstance(answer, str):
            reply.failure.text = answer
            return reply
        arrays, numbers = answer
        content = reply.result if instruction.kind == "train" else reply.evaluate_result
        content.SetInParent()
        for array in arrays:
            content.theta.add(ndarray=to_bytes(array))
        for name, value in numbers.items():
            content.scalars.add(name=name, value=value)
        return reply


def adds(step, samples=1, **numbers):
    """Trains by adding a number to each number of the model; tests by how far the first one is from 10."""

    def work(instruction):
        if instruction.kind == "train":
            return [array + numpy.asarray(step, array.dtype) for array in instruction.arrays], {
                "num_samples": samples, **numbers}  # fmt: skip
        return [], {"num_samples": samples, "loss": abs(10.0 - float(instruction.arrays[0].flat[0]))}

    return work


if __name__ == "__main__":
    volunteer = Volunteer(int(sys.argv[1]), sys.argv[2], adds(1))
    volunteer.joined.wait()
    print("joined", flush=True)
    volunteer.thread.join()
