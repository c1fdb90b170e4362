#!/usr/bin/python3 -B
"""The participant at a server of the original protocol, written in Python against original.proto: its answers belong to
their instructions, also after it was asked to come back."""

import concurrent.futures
import importlib
import io
import queue
import subprocess
import sys

import grpc
import numpy

import support
from support import PARTICIPANT, SOURCE

FEATURES, CLASSES = 60, 10


class OriginalServer(grpc.GenericRpcHandler):
    """Takes the first message of each stream for the initiative, and each of the others for the answer to the
    instruction before, as the original does."""

    def __init__(self, protocol, plan):
        self.protocol = protocol
        self.plan = plan  # a list of marks for each stream
        self.answers = queue.SimpleQueue()

    def service(self, details):
        if details.method != "/ParticipantManager/Connect":
            return None
        return grpc.stream_stream_rpc_method_handler(
            self.connect,
            request_deserializer=self.protocol.ParticipantMessage.FromString,
            response_serializer=self.protocol.ServerMessage.SerializeToString,
        )

    def connect(self, requests, context):
        next(requests)
        marks = self.plan.pop(0)
        for mark in marks:
            yield self.instruction(mark)
            self.answers.put((mark, self.mark_of(next(requests))))
        if self.plan:
            yield self.protocol.ServerMessage(reconnect_in=1)

    def instruction(self, mark):
        """A model of which all biases are `mark`: training moves them, but not their mean."""
        message = self.protocol.ServerMessage()
        for array in (numpy.zeros((FEATURES, CLASSES), "f4"), numpy.full(CLASSES, mark, "f4")):
            with io.BytesIO() as file:
                numpy.save(file, array)
                message.train_config.theta.add(ndarray=file.getvalue())
        return message

    @staticmethod
    def mark_of(answer):
        if not answer.result.theta:
            return None
        return round(float(numpy.load(io.BytesIO(answer.result.theta[-1].ndarray)).mean()))


class Original(support.Case):
    def test_each_instruction_gets_its_own_answer_after_coming_back_too(self):
        subprocess.run(
            ["protoc", f"-I{SOURCE / 'proto'}", f"--python_out={self.scratch}", "original.proto"], check=True
        )
        sys.path.insert(0, str(self.scratch))
        plan = [[10, 20, 30], [40, 50, 60], [70]]
        expected = [(mark, mark) for stream in plan for mark in stream]
        door = OriginalServer(importlib.import_module("original_pb2"), plan)
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[door])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(server.stop, None)
        participant = self.start(PARTICIPANT, f"--connect=127.0.0.1:{port}", stdout=subprocess.DEVNULL)
        self.assertEqual([door.answers.get() for _ in expected], expected)
        self.assertEqual(participant.wait(), 0, self.errors_of(participant))


if __name__ == "__main__":
    support.main()
