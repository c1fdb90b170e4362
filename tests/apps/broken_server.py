"""A server of the full protocol, written against stream.proto alone, that has one fault of a list, or none. It instructs each
participant again and again."""

import concurrent.futures
import os
import threading

import grpc
import numpy

from broken_participant import split
from peers import METHOD, load_protocol, to_bytes

# Each fault, with the check that is to find it, and others that it fails as well.
FAULTS = {
    "welcome-name": ("welcome",),
    "token-size": ("welcome",),
    "two-welcomes": ("welcome-once",),
    "before-empty": ("initiative", "turn-numbers", "one-at-a-time", "instruction-again"),
    "repeats-turn": ("turn-numbers",),
    "two-at-once": ("one-at-a-time",),
    "wrong-dtype": ("arrays",),
    "unknown-field": ("known-fields",),
    "chunks-unasked": ("features",),
    "chunk-offset": ("chunks-in",),
    "chunk-more": ("chunks-in",),
    "no-grant": ("grant",),
    "forgets-session": ("resume",),
    "not-again": ("instruction-again",),
    "gives-the-token": ("unknown-token",),
    "any-first": ("refuses-first",),
    "any-name": ("refuses-name",),
    "name-twice": ("name-taken",),
    "any-answer": ("refuses-answer",),
    "original-turn": ("original",),
}
# To see these, one has to wait until something did not come.
SLOW = {"any-answer", "any-first", "any-name", "name-twice", "no-grant", "two-at-once"}

SMALL, BIG = numpy.zeros(1000, "f4"), numpy.zeros(200000, "f4")
GRANTED = 100  # bytes: every answer in chunks waits for its Grant
PART = 100000


class Refused(Exception):
    """The participant broke the protocol."""


class Session:
    def __init__(self, token):
        self.token = token
        self.turn = 0  # the newest
        self.running = False


class Server(grpc.GenericRpcHandler):
    def __init__(self, fault=None):
        self.protocol = load_protocol("stream")
        self.fault = fault
        self.lock = threading.Lock()
        self.sessions = {}
        self.names = set()

    def open(self):
        """Serves on a free port: the server to stop, and the port."""
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[self])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return server, port

    def service(self, details):
        if details.method == METHOD:
            return grpc.stream_stream_rpc_method_handler(self.connect)
        return None

    # ---- a stream ----

    def connect(self, requests, context):
        try:
            yield from self.serve(self.read(requests), context)
        except Refused as refused:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(refused))

    def read(self, requests):
        try:
            for request in requests:
                message = self.protocol.ParticipantMessage()
                try:
                    message.ParseFromString(request)
                except Exception:
                    raise Refused("the message is malformed") from None
                yield message
        except grpc.RpcError:
            return  # the stream broke

    def serve(self, messages, context):
        first = next(messages, None)
        if first is None:
            return
        content = first.WhichOneof("content")
        if content is None and not first.turn:
            yield from self.instruct_original(messages)
            return
        if content != "hello":
            if self.fault == "any-first":
                next(messages, None)
            raise Refused("the first message is to be Hello, or empty")
        if "/" in first.hello.name and self.fault != "any-name":
            raise Refused("the name has a slash")
        with self.lock:
            taken = first.hello.name in self.names
            self.names.add(first.hello.name)
        if taken and self.fault != "name-twice":
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "the name is in use")
        try:
            yield from self.admit(first.hello, messages)
        finally:
            with self.lock:
                self.names.discard(first.hello.name)

    def admit(self, hello, messages):
        session = self.sessions.get(hello.session)
        if session is None or self.fault == "forgets-session":
            token = os.urandom(5 if self.fault == "token-size" else 16)
            if self.fault == "gives-the-token" and hello.session:
                token = hello.session
            session = self.sessions[token] = Session(token)
        welcome = self.protocol.Welcome(session=session.token, rank=1, name=hello.name, features=["chunks"],
                                        max_message_size=4 << 20, last_turn=session.turn - session.running)
        if self.fault == "welcome-name":
            welcome.name += "-1"
        for _ in range(2 if self.fault == "two-welcomes" else 1):
            yield self.message(welcome=welcome)
        if self.fault == "before-empty":
            yield from self.instruct(session, hello)
        second = next(messages, None)
        if second is None:
            return
        if second.WhichOneof("content") or second.turn:
            raise Refused("the second message is to be empty")
        if session.running and hello.last_turn < session.turn and self.fault != "not-again":
            session.turn -= 1  # it comes again
        yield from self.run_turns(session, hello, messages)

    def run_turns(self, session, hello, messages):
        while True:
            yield from self.instruct(session, hello)
            if self.fault == "two-at-once":
                yield from self.instruct(session, hello)
            if not (yield from self.take_answer(session, messages)):
                return
            session.running = False

    # ---- instructions ----

    def message(self, **content):
        return self.protocol.ServerMessage(**content).SerializeToString()

    def instruct(self, session, hello):
        session.turn += 0 if self.fault == "repeats-turn" and session.turn else 1
        session.running = True
        message = self.protocol.ServerMessage(turn=session.turn)
        chunks = "chunks" in hello.features
        if chunks:
            message.granted = GRANTED
        array = SMALL.astype(">f4") if self.fault == "wrong-dtype" else SMALL
        header, data = split(to_bytes(BIG if chunks else array))
        if chunks or self.fault == "chunks-unasked":
            message.train_config.theta.add(header=header)
        else:
            message.train_config.theta.add(ndarray=header + data)
        yield message.SerializeToString() + (b"\xa0\x06\x01" if self.fault == "unknown-field" else b"")
        if message.train_config.theta[0].header:
            yield from self.send_chunks(session.turn, data)

    def send_chunks(self, turn, data):
        for offset in range(0, len(data), PART):
            shift = 1 if self.fault == "chunk-offset" and offset else 0
            yield self.message(turn=turn, chunk=self.protocol.Chunk(offset=offset + shift, data=data[offset:offset + PART]))
        if self.fault == "chunk-more":
            yield self.message(turn=turn, chunk=self.protocol.Chunk(offset=len(data), data=b"more"))

    def instruct_original(self, messages):
        while True:
            message = self.protocol.ServerMessage(turn=1 if self.fault == "original-turn" else 0)
            message.train_config.theta.add(ndarray=to_bytes(SMALL))
            yield message.SerializeToString()
            if next(messages, None) is None:
                return

    # ---- answers ----

    def take_answer(self, session, messages):
        """Reads the answer, with all that follows it; False: the stream is over."""
        announced, received = None, 0
        for message in messages:
            content = message.WhichOneof("content")
            if content in ("progress", "alive", "ask"):
                continue
            if content == "hello" or content is None:
                raise Refused("this is no answer")
            if message.turn != session.turn and self.fault != "any-answer":
                raise Refused("nobody has asked for this answer")
            if content == "chunk":
                if announced is None or message.chunk.grant != 1:
                    raise Refused("the chunk was not granted")
                received += len(message.chunk.data)
            else:
                announced = self.announced_by(message, content)
                if announced and self.fault != "no-grant":
                    yield self.message(turn=session.turn, grant=self.protocol.Grant(number=1))
            if announced is not None and received >= announced:
                return True
        return False

    @staticmethod
    def announced_by(message, content):
        if content not in ("result", "evaluate_result"):
            return 0
        return sum(len(split(to_bytes(BIG))[1]) for array in getattr(message, content).theta if array.header)
