"""The processes of a measurement in Python: servers and participants of muster, and of a bare grpcio program that sends
whole messages. They hear and say what bench/role.c does."""

import concurrent.futures
import contextlib
import ctypes
import io
import os
import queue
import resource
import signal
import sys
import threading
import time

import numpy

HOST = "127.0.0.1"
METHOD = "/Bench/Connect"
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def say(*words):
    print(*words, flush=True)


def kilobytes(path, name):
    with open(path) as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":")) * 1024


def tell_of_process(command):
    """Whether it was a command that every process knows."""
    if command == "memory":
        say("memory", kilobytes("/proc/self/smaps_rollup", "Rss"))
    elif command == "forget":
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        say("forget 0")
    elif command == "peak":
        say("peak", kilobytes("/proc/self/status", "VmHWM"))
    elif command == "cpu":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        say("cpu", int((usage.ru_utime + usage.ru_stime) * 1e6))
    else:
        return False
    return True


def commands():
    for line in sys.stdin:
        words = line.split()
        if words == ["end"]:
            return
        if not tell_of_process(words[0]):
            yield words[0], [int(word) for word in words[1:]]


def numbers(size):
    return (numpy.arange(size // 4) % 1000 / numpy.float32(1000)).astype(numpy.float32)


# ---- muster ----


class MusterServer:
    def __init__(self, options):
        import muster

        self.muster, self.options = muster, options
        self.manager = muster.ParticipantManager(f"{HOST}:0")
        self.port = self.manager.port
        self.model = [numbers(options["instruction"])]
        self.proxies = []

    def instruction(self):
        if self.options["arrays"]:
            return self.muster.Train(self.model)
        return self.muster.Application("bench", self.model[0].tobytes())

    def join(self, count):
        self.proxies = self.manager.get_participants(count)

    def turn(self):
        answer = self.proxies[0].run(self.instruction(), None)
        assert not self.options["arrays"] or answer.arrays[0].nbytes == self.options["answer"]

    def round(self):
        mean = self.muster.Mean()
        for _, answer in self.muster.run_all(self.proxies, self.instruction(), deadline=None):
            mean.add(answer, weight=1)
        mean.result()

    def stop(self):
        self.manager.close()


class MusterParticipants:
    def __init__(self, options):
        import muster

        self.muster, self.options = muster, options
        self.answer = [numbers(options["answer"])]
        self.threads = []

    def connect(self):
        admitted = [threading.Event() for _ in range(self.options["participants"])]
        for each in admitted:
            thread = threading.Thread(target=self.participate, args=(each,))
            thread.start()
            self.threads.append(thread)
        for each in admitted:
            each.wait()

    def participate(self, admitted):
        with self.muster.connect(f"{HOST}:{self.options['port']}") as participant:
            admitted.set()
            for instruction in participant:
                if not self.options["arrays"]:
                    instruction.answer(instruction)
                elif self.options["answer"] == self.options["instruction"]:
                    instruction.answer(instruction.arrays)
                else:
                    instruction.answer(self.answer)

    def stop(self):
        pass  # a process that ends says good-bye for all


# ---- grpcio: arrays are .npy files in messages of protobuf, as programs without muster send them ----


def message_class():
    """message Arrays { repeated bytes arrays = 1; }"""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="bench.proto", syntax="proto3")
    field = file.message_type.add(name="Arrays").field.add(name="arrays", number=1)
    field.type, field.label = field.TYPE_BYTES, field.LABEL_REPEATED
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("Arrays")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


class Messages:
    """Arrays as messages, and back."""

    def __init__(self):
        self.Arrays = message_class()
        self.serialize, self.parse = self.Arrays.SerializeToString, self.Arrays.FromString

    def pack(self, *arrays):
        message = self.Arrays()
        for array in arrays:
            file = io.BytesIO()
            numpy.save(file, array)
            message.arrays.append(file.getvalue())
        return message

    def unpack(self, message):
        return [numpy.load(io.BytesIO(each)) for each in message.arrays]



class GrpcioServer:
    """A queue of instructions for each participant, and one of answers for all."""

    def __init__(self, options):
        import grpc

        self.options = options
        self.instructions, self.answers = queue.SimpleQueue(), queue.SimpleQueue()
        self.lock, self.mine = threading.Lock(), []
        self.messages = Messages()
        handler = grpc.stream_stream_rpc_method_handler(self.serve, self.messages.parse, self.messages.serialize)
        pool = concurrent.futures.ThreadPoolExecutor(options["participants"] + 2)
        self.server = grpc.server(pool, options=UNLIMITED)
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("Bench", {"Connect": handler})])
        self.port = self.server.add_insecure_port(f"{HOST}:0")
        self.server.start()
        self.model = numbers(options["instruction"])

    def serve(self, requests, _):
        own = queue.SimpleQueue()
        next(requests)  # it is there
        with self.lock:
            self.mine.append(own)
        self.instructions.put(own)

        def pass_on():
            with contextlib.suppress(Exception):  # of a stream that ends
                for answer in requests:
                    self.answers.put(answer)

        threading.Thread(target=pass_on, daemon=True).start()
        while (message := own.get()) is not None:
            yield message

    def join(self, count):
        for _ in range(count):
            self.instructions.get()

    def turn(self):
        self.mine[0].put(self.messages.pack(self.model))
        assert self.messages.unpack(self.answers.get())[0].nbytes == self.options["answer"]

    def round(self):
        message = self.messages.pack(self.model)
        for own in self.mine:
            own.put(message)
        total = numpy.zeros(self.options["answer"] // 4, numpy.float64)
        for _ in self.mine:
            total += self.messages.unpack(self.answers.get())[0]
        (total / len(self.mine)).astype(numpy.float32)

    def stop(self):
        for own in self.mine:
            own.put(None)
        self.server.stop(0)


class GrpcioParticipants:
    def __init__(self, options):
        import grpc

        self.grpc, self.options = grpc, options
        self.answer = numbers(options["answer"])

    def connect(self):
        for _ in range(self.options["participants"]):
            threading.Thread(target=self.participate, daemon=True).start()

    def participate(self):
        channel = self.grpc.insecure_channel(f"{HOST}:{self.options['port']}", options=UNLIMITED)
        answers = queue.SimpleQueue()
        messages = Messages()
        answers.put(messages.pack())
        call = channel.stream_stream(METHOD, messages.serialize, messages.parse)
        try:
            for message in call(iter(answers.get, None)):
                arrays = messages.unpack(message)
                same = self.options["answer"] == self.options["instruction"]
                answers.put(messages.pack(*(arrays if same else [self.answer])))
        except self.grpc.RpcError:
            pass

    def stop(self):
        pass


# ---- roles ----


def time_each(action, count):
    times = []
    for _ in range(count):
        start = time.monotonic_ns()
        action()
        times.append(time.monotonic_ns() - start)
    say("times", *times)


def run_server(server):
    say("port", server.port)
    for command, count in commands():
        if command == "join":
            server.join(*count)
            say("joined", time.monotonic_ns())
        else:
            time_each({"turns": server.turn, "rounds": server.round}[command], *count)
    server.stop()


def run_participants(participants):
    for command, _ in commands():
        assert command == "connect", command
        start = time.monotonic_ns()
        participants.connect()
        say("connected", start)
    participants.stop()


ROLES = {
    "python-server": lambda options: run_server(MusterServer(options)),
    "python-participants": lambda options: run_participants(MusterParticipants(options)),
    "grpcio-server": lambda options: run_server(GrpcioServer(options)),
    "grpcio-participants": lambda options: run_participants(GrpcioParticipants(options)),
}


def main():
    role, text = sys.argv[1:]
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX, as for servers in C
    ROLES[role]({name: int(value) for name, value in (each.split("=") for each in text.split(","))})
    # Threads that wait for a server or a participant have nothing more to do.
    os._exit(0)


main()
