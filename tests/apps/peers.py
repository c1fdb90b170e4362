"""Servers and participants in Python, for the tests of what goes over the wire."""

import concurrent.futures
import functools
import importlib
import io
import queue
import subprocess
import sys
import tempfile

import grpc
import numpy

from support import SOURCE

METHOD = "/ParticipantManager/Connect"

# The model for the synthetic data.
FEATURES, CLASSES = 60, 10


@functools.cache  # the messages of a name are registered once in a process
def load_protocol(name):
    """The message classes of proto/NAME.proto."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["protoc", f"-I{SOURCE}/proto", f"--python_out={directory}", f"{name}.proto"], check=True)
        sys.path.insert(0, directory)
        try:
            return importlib.import_module(f"{name}_pb2")
        finally:
            sys.path.remove(directory)


def to_bytes(array):
    with io.BytesIO() as file:
        numpy.save(file, array)
        return file.getvalue()


def from_bytes(data):
    return numpy.load(io.BytesIO(data))


class Door(grpc.GenericRpcHandler):
    """A server of participants, whose streams `connect(requests, context)` of the class serves."""

    def __init__(self, protocol):
        self.protocol = protocol

    def service(self, details):
        if details.method != METHOD:
            return None
        return grpc.stream_stream_rpc_method_handler(
            self.connect,
            request_deserializer=self.protocol.ParticipantMessage.FromString,
            response_serializer=self.protocol.ServerMessage.SerializeToString,
        )

    def open(self, case):
        """Serves on a free port until the test case is over; the port."""
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[self])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        case.addCleanup(server.stop, None)
        return port


def call(case, port, protocol=None):
    """A stream to a server: the channel, the queue of what to send (None: the end), and what is received. Without a
    protocol both are bytes."""
    messages = queue.SimpleQueue()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    case.addCleanup(channel.close)
    case.addCleanup(messages.put, None)
    received = channel.stream_stream(
        METHOD,
        request_serializer=protocol and protocol.ParticipantMessage.SerializeToString,
        response_deserializer=protocol and protocol.ServerMessage.FromString,
    )(iter(messages.get, None))
    return channel, messages, received
