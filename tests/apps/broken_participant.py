"""A participant of the full protocol, written against stream.proto alone, that has one fault of a list, or none."""

import queue
import threading
import time

import grpc
import numpy

from peers import METHOD, load_protocol, to_bytes

# Each fault, with the check that is to find it, and others that it fails as well.
FAULTS = {
    "early-empty": ("waits-for-welcome",),
    "comes-back": ("good-bye",),
    "answers-twice": ("answer-once", "resume-over"),
    "answers-cancelled-again": ("answer-once",),
    "wrong-turn": ("answer-turn",),
    "no-turn": ("answer-turn",),
    "wrong-kind": ("answer-kind",),
    "wrong-dtype": ("arrays",),
    "not-utf8": ("texts",),
    "unknown-field": ("known-fields",),
    "no-message": ("well-formed", "unknown-instruction"),
    "progress-beyond": ("progress",),
    "progress-crowded": ("progress",),
    "asks-unheard": ("ask",),
    "alive-idle": ("heartbeats-asked",),
    "no-alive": ("heartbeats",),
    "small-limit": ("big-message",),
    "silent": ("unknown-instruction",),
    "chunks-unasked": ("chunks-feature",),
    "chunk-ungranted": ("chunk-grant",),
    "chunk-offset": ("chunk-offset",),
    "chunk-more": ("chunk-size",),
    "chunk-limit": ("chunk-limit",),
    "chunk-goes-on": ("chunk-again",),
    "stays": ("reconnect-in",),
    "comes-early": ("reconnect-in",),
    "wrong-token": ("resume-token",),
    "wrong-last-turn": ("resume-turn",),
    "other-name": ("resume-name",),
    "drops-answer": ("resume-again",),
    "repeats-answer": ("resume-over", "answer-once"),
}
# To see these, one has to listen where nothing is to come.
UNCALLED = {"early-empty", "comes-back"}
# And to see these, one has to wait until something did not come.
SLOW = {"no-alive", "silent", "stays", "drops-answer", "chunk-goes-on", "small-limit",
        "wrong-turn", "no-turn"}

PART = 64 << 10
ANNOUNCED = 512 << 10  # an answer with more data goes in chunks


def split(file):
    """Header and data of a .npy file."""
    size = 10 + int.from_bytes(file[8:10], "little")
    return file[:size], file[size:]


class Participant:
    """Trains nothing: it sends back what it gets."""

    FEATURES = ("chunks", "heartbeats", "asks")

    def __init__(self, address, fault=None):
        self.protocol = load_protocol("stream")
        self.address = address
        self.fault = fault
        self.token = b""
        self.name = "ada"
        self.rank = None
        self.forget()
        self.lock = threading.RLock()
        self.over = threading.Event()

    def forget(self):
        self.last_turn = 0
        self.held = None  # the answer to that turn: the message, and the data behind it
        self.arriving = None

    def run(self):
        """Takes part until the server says good-bye, or nobody is there any more."""
        try:
            while (pause := self.stream()) is not None:
                time.sleep(pause)
        finally:
            self.over.set()

    # ---- a stream ----

    def stream(self):
        limit = 4 << 20 if self.fault == "small-limit" else -1
        options = [("grpc.max_receive_message_length", limit), ("grpc.max_send_message_length", -1)]
        self.outgoing = queue.SimpleQueue()
        self.welcome = self.out = None
        self.working = False
        ended = threading.Event()
        with grpc.insecure_channel(self.address, options) as channel:
            call = channel.stream_stream(METHOD, request_serializer=self.serialize,
                                         response_deserializer=self.protocol.ServerMessage.FromString)
            received = call(iter(self.outgoing.get, None), timeout=100)
            self.hello()
            threading.Thread(target=self.beat, args=[ended], daemon=True).start()
            try:
                pause = self.listen(received)
                return 0.05 if pause is None and self.fault == "comes-back" else pause
            except grpc.RpcError as error:
                gone = error.code() == grpc.StatusCode.UNAVAILABLE and "onnect" in error.details()
                return None if gone or error.code() == grpc.StatusCode.INVALID_ARGUMENT else 0.05
            finally:
                ended.set()
                self.outgoing.put(None)

    @staticmethod
    def serialize(message):
        return message if isinstance(message, bytes) else message.SerializeToString()

    def listen(self, received):
        pause = None
        for message in received:
            content = message.WhichOneof("content")
            if content == "reconnect_in" and self.fault != "stays":
                pause = 0 if self.fault == "comes-early" else message.reconnect_in
                self.outgoing.put(None)
            with self.lock:
                self.take(content, message)
        return pause

    def take(self, content, message):
        if content == "welcome":
            self.enter(message.welcome)
        elif content in ("train_config", "evaluate_config", "payload"):
            self.instruct(content, message)
        elif content == "chunk":
            self.add(message)
        elif content == "grant":
            self.grant(message)
        elif content == "cancel":
            if self.fault == "answers-cancelled-again":
                self.send_answer(message.turn, failure=self.protocol.Failure(text="too late"))
            self.out = None

    # ---- joining ----

    def hello(self):
        hello = self.protocol.Hello(name=self.name, features=self.FEATURES,
                                    max_message_size=64 << 20, max_payload_size=1 << 30)
        if self.token:
            hello.session = bytes(16) if self.fault == "wrong-token" else self.token
            hello.name = "eve" if self.fault == "other-name" else self.name
            hello.last_turn = self.last_turn + 1000 * (self.fault == "wrong-last-turn")
            hello.answer_held = self.held is not None
            hello.former_rank = self.rank + 1
        self.send(hello=hello)
        if self.fault == "early-empty":
            self.outgoing.put(b"")

    def enter(self, welcome):
        self.welcome = welcome
        self.name, self.rank = welcome.name, welcome.rank
        if self.fault != "early-empty":
            self.outgoing.put(b"")
        if welcome.session != self.token:
            self.forget()
            self.token = welcome.session
        elif self.held and self.last_turn <= welcome.last_turn and self.fault != "repeats-answer":
            self.held = None
        elif self.held and self.fault != "drops-answer":
            self.put_answer(*self.held)
        if self.fault == "asks-unheard":
            self.send(ask=self.protocol.Ask())
        if self.fault == "alive-idle":
            self.send(alive=self.protocol.Alive())

    def beat(self, ended):
        """Heartbeats: while an answer waits for its Grant, as all else takes no time."""
        while not ended.wait((self.welcome.heartbeat_ms if self.welcome else 0) / 1000 or 0.05):
            with self.lock:
                waits = self.out and self.out["sent"] < len(self.out["data"])
                if waits and self.welcome.heartbeat_ms and self.fault != "no-alive":
                    self.send(alive=self.protocol.Alive())

    # ---- instructions ----

    def instruct(self, content, message):
        self.held = self.out = None
        self.content, self.message = content, message
        arrays = getattr(message, content)
        self.waits_for = 0 if content == "payload" else sum(
            int(numpy.prod(shape(array.header), dtype=int)) * 4 for array in arrays.theta if array.header)
        self.data = b""
        if not self.waits_for:
            self.answer()

    def add(self, message):
        if message.turn != self.message.turn or not self.waits_for:
            return
        self.data += message.chunk.data
        if len(self.data) == self.waits_for:
            self.answer()

    def answer(self):
        turn = self.last_turn = self.message.turn
        if self.content == "payload":
            self.answer_unknown(turn)
            return
        progress = self.protocol.Progress(fraction=1.5 if self.fault == "progress-beyond" else 0.5)
        for number in range(17 if self.fault == "progress-crowded" else 16):
            progress.scalars.add(name=f"loss-{number}", value=number)
        self.send(turn=turn, progress=progress)
        arrays = self.protocol.Arrays()
        arrays.scalars.add(name="num_samples", value=10)
        headers, data = [], b""
        for array in getattr(self.message, self.content).theta:
            header, own = (array.header, b"") if array.header else split(array.ndarray)
            headers.append(header)
            data += own
        data += self.data
        if self.fault == "wrong-dtype":
            arrays.theta.add(ndarray=to_bytes(numpy.zeros(3, ">f4")))
            data = b""
        elif len(data) > ANNOUNCED and "chunks" in self.welcome.features or self.fault == "chunks-unasked":
            for header in headers:
                arrays.theta.add(header=header)
        else:
            self.add_whole(arrays, headers, data)
            data = b""
        kind = "result" if self.content == "train_config" else "evaluate_result"
        if self.fault == "wrong-kind":
            kind = "evaluate_result" if kind == "result" else "result"
        self.held = (self.envelope(turn, **{kind: arrays}), data)
        self.put_answer(*self.held)

    @staticmethod
    def add_whole(arrays, headers, data):
        for header in headers:
            size = int(numpy.prod(shape(header), dtype=int)) * 4
            arrays.theta.add(ndarray=header + data[:size])
            data = data[size:]

    def answer_unknown(self, turn):
        if self.fault == "silent":
            return
        if self.fault == "not-utf8":
            self.held = (b"\x32\x04\x12\x02\xc3\x28\x10" + bytes([turn]), b"")  # a failure with this text
        elif self.fault == "unknown-field":
            self.held = (self.envelope(turn, unknown_instruction=True).SerializeToString() + b"\xa0\x06\x01", b"")
        elif self.fault == "no-message":
            self.held = (b"\x32\x7f", b"")
        else:
            self.held = (self.envelope(turn, unknown_instruction=True), b"")
        self.put_answer(*self.held)

    # ---- answers ----

    def envelope(self, turn, **content):
        if self.fault == "wrong-turn":
            turn += 1
        return self.protocol.ParticipantMessage(turn=0 if self.fault == "no-turn" else turn, **content)

    def send(self, turn=0, **content):
        self.outgoing.put(self.protocol.ParticipantMessage(turn=turn, **content))

    def send_answer(self, turn, **content):
        self.outgoing.put(self.envelope(turn, **content))

    def put_answer(self, message, data):
        self.outgoing.put(message)
        if self.fault == "answers-twice":
            self.outgoing.put(message)
        if not data:
            return
        self.out = {"turn": message.turn, "data": data, "sent": 0, "grant": None, "limit": 0}
        if len(data) <= self.message.granted:
            self.start(0, self.message.limit)
        elif self.fault == "chunk-ungranted":
            self.send_chunk(0, data[:PART])

    def grant(self, message):
        if self.out and self.out["turn"] == message.turn:
            self.start(message.grant.number, message.grant.limit)

    def start(self, number, limit):
        out = self.out
        if out["grant"] != number and self.fault != "chunk-goes-on":
            out["sent"] = 0
        out["grant"] = number
        end = len(out["data"]) if limit == 0 or self.fault == "chunk-limit" else min(limit, len(out["data"]))
        while out["sent"] < end:
            data = out["data"][out["sent"]:min(end, out["sent"] + PART)]
            offset = out["sent"] + (self.fault == "chunk-offset" and out["sent"] > 0)
            self.send_chunk(offset, data)
            out["sent"] += len(data)
        if end == len(out["data"]) and self.fault == "chunk-more":
            self.send_chunk(end, b"more")

    def send_chunk(self, offset, data):
        chunk = self.protocol.Chunk(offset=offset, data=data, grant=self.out["grant"] or 0)
        self.send(self.out["turn"], chunk=chunk)


def shape(header):
    """That a .npy header says."""
    text = header[10:].decode()
    inside = text[text.index("'shape': (") + 10:]
    return [int(number) for number in inside[:inside.index(")")].split(",") if number.strip()]
