#!/usr/bin/python3 -B
"""A worker of `muster orchestrate` that trains nothing and speaks the raw protocol, for the tests: in a thread of the test, or
as a process that can be killed. It notes all that it is told, and holds at an iteration until it is cancelled or let go."""

import json
import os
import queue
import socket
import sys
import threading

import grpc

import peers


def values_of(arrays):
    """The names and values of a message."""
    values = {}
    for scalar in arrays.scalars:
        exact = scalar.WhichOneof("exact")
        values[scalar.name] = getattr(scalar, exact) if exact else scalar.value
    for value in arrays.values:
        values[value.name] = getattr(value, value.WhichOneof("kind"))
    return values


class Recruit:
    """`hold` are the iterations at which it waits, one after the other; `loss` what it answers; `finishes` the iteration that is
    its last. One that `stays` never leaves its first epoch. To tasks in `wrong` it answers with a failure of that code, or with
    nothing (None)."""

    def __init__(self, address, name, labels=None, hold=(), finishes=None, heartbeats=False, loss=0.5, stays=False, wrong=None):
        self.protocol = peers.load_protocol("stream")
        self.name, self.hold, self.finishes, self.loss = name, list(hold), finishes, loss
        self.notes = queue.SimpleQueue()  # a dictionary for each thing that happened
        self.to_send = queue.SimpleQueue()
        self.let_go = threading.Event()
        self.left = threading.Event()
        self.turn, self.store, self.stays, self.wrong = 0, None, stays, wrong or {}
        hello = self.protocol.ParticipantMessage()
        hello.hello.name = name
        if heartbeats:
            hello.hello.features.append("heartbeats")
        for label, value in (labels or {}).items():
            hello.hello.labels.add(name=label, value=value)
        self.to_send.put(hello)
        self.channel = grpc.insecure_channel(address)
        self.received = self.channel.stream_stream(
            peers.METHOD,
            request_serializer=self.protocol.ParticipantMessage.SerializeToString,
            response_deserializer=self.protocol.ServerMessage.FromString,
        )(iter(self.to_send.get, None))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def leave(self):
        self.to_send.put(None)
        self.let_go.set()
        self.left.set()
        self.channel.close()
        self.thread.join()
        if self.store:
            self.store.close()

    def note(self, what, **values):
        self.notes.put({"what": what, **values})

    def run(self):
        try:
            for message in self.received:
                self.take(message)
            self.note("over", code="OK", text="")
        except grpc.RpcError as error:
            self.note("over", code=error.code().name, text=error.details())
        self.left.set()

    def take(self, message):
        content = message.WhichOneof("content")
        if content == "welcome":
            self.to_send.put(self.protocol.ParticipantMessage())
            if message.welcome.heartbeat_ms:
                threading.Thread(target=self.live, args=[message.welcome.heartbeat_ms / 1000], daemon=True).start()
        elif content == "cancel":
            self.turn = 0
            self.note("cancel")
        elif content == "train_config":
            self.turn = message.turn
            values = values_of(message.train_config)
            self.note(**{**values, "what": values["task"]})
            if values["task"] not in self.wrong:
                getattr(self, "do_" + values["task"])(values)
            elif self.wrong[values["task"]] is not None:
                self.fail(self.wrong[values["task"]], "it is wrong")

    def live(self, seconds):
        """Heartbeats. They are sent between turns, too, which does no harm."""
        while not self.left.wait(seconds):
            self.to_send.put(self.protocol.ParticipantMessage(alive=self.protocol.Alive()))

    def answer(self, integers=None, **scalars):
        message = self.protocol.ParticipantMessage(turn=self.turn)
        message.result.SetInParent()
        for name, value in scalars.items():
            message.result.scalars.add(name=name, value=value)
        for name, value in (integers or {}).items():
            if isinstance(value, bool):
                message.result.scalars.add(name=name, value=value, boolean=value)
            else:
                message.result.scalars.add(name=name, value=value, integer=value)
        self.to_send.put(message)
        self.turn = 0

    def fail(self, code, text):
        message = self.protocol.ParticipantMessage(turn=self.turn)
        message.failure.code, message.failure.text = code, text
        self.to_send.put(message)

    def do_wait(self, values):
        self.answer()

    def do_store(self, values):
        """The store is only somewhere to connect to."""
        if self.store:
            self.store.close()
        self.store = socket.create_server(("127.0.0.1", 0))
        self.answer({"port": self.store.getsockname()[1]})

    def do_begin(self, values):
        if self.stays and values["epoch"] > 1:
            return
        report = self.protocol.ParticipantMessage(turn=self.turn)
        report.progress.scalars.add(name="enters", value=values["epoch"], integer=values["epoch"])
        self.to_send.put(report)
        with socket.create_connection((values["master_addr"], values["master_port"]), 60):
            self.answer()

    def do_steps(self, values):
        until = min(values["until"], self.finishes or values["until"])
        for iteration in range(values["from"] + 1, until + 1):
            report = self.protocol.ParticipantMessage(turn=self.turn)
            report.progress.fraction = (iteration - values["from"]) / (values["until"] - values["from"])
            report.progress.scalars.add(name="iteration", value=iteration, integer=iteration)
            report.progress.scalars.add(name="loss", value=self.loss)
            self.to_send.put(report)
            if self.hold and iteration == self.hold[0]:
                self.hold.pop(0)
                self.note("hold", iteration=iteration)
                threading.Thread(target=self.go_on, args=[self.turn, until], daemon=True).start()
                return
        self.answer_steps(until)

    def go_on(self, turn, until):
        self.let_go.wait()
        if self.turn == turn:
            self.answer_steps(until)

    def answer_steps(self, until):
        self.answer({"iteration": until, "finished": until == self.finishes}, loss=self.loss, samples_per_second=100)

    def do_end(self, values):
        self.answer()


def main():
    """As a process: what happens to it goes to standard output. The argument is what Recruit is made of, as JSON. With the file
    `dies_once` it kills itself where it holds, unless another one has done so before."""
    wishes = json.loads(sys.argv[1])
    mark = wishes.pop("dies_once", None)
    if mark and os.path.exists(mark):
        wishes.pop("hold", None)
    recruit = Recruit(os.environ["MUSTER_SERVER"], os.environ["MUSTER_NAME"], **wishes)
    ended = False
    while not ended:
        note = recruit.notes.get()
        print(json.dumps(note), flush=True)
        if note["what"] == "hold" and mark:
            with open(mark, "x"):
                os.kill(os.getpid(), 9)
        ended = note["what"] == "over"
    sys.exit(note["code"] != "OK")


if __name__ == "__main__":
    main()
