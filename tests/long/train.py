#!/usr/bin/python3 -B
"""Participants of another gRPC library train at a `muster server` over each of the two transports for host:port.
PARTICIPANT is the command that runs one."""

import os
import pathlib
import subprocess
import sys

import numpy

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "apps"))

import support  # noqa: E402
from serving import Serving  # noqa: E402

CERTIFICATES = support.SOURCE / "tests" / "integration" / "make_certificates"
SCHEMES = ("http2+", "")


class Strangers(Serving):
    """A model of SIZE numbers in three arrays, of which the last has none."""

    SIZE = 1_500_000  # 6 MB

    def train(self, scheme, rounds, size, count=3, options=(), **environment):
        model = self.scratch / "model.npz"
        numpy.savez(model, a=numpy.zeros(size, "f4"), b=numpy.arange(3, dtype="f4"), none=numpy.zeros((0, 2), "f4"))
        server = self.start_on_port(
            support.MUSTER, "server", f"--listen={scheme}127.0.0.1:0", f"--model={model}", f"--rounds={rounds}", "--max-message-size=64M",
            f"--min-participants={count}", f"--result={self.scratch}/result.npz", *options,
        )  # fmt: skip
        participants = [self.join(server.port, f"node-{number}", **environment) for number in range(count)]
        output, _ = self.finish(server)
        self.assertIn(f"round {rounds}/{rounds}: {count} answered, 0 failed, train loss 0.5000", output)
        with numpy.load(self.scratch / "result.npz") as file:
            numpy.testing.assert_array_equal(file["a"], numpy.full(size, rounds, "f4"))
            numpy.testing.assert_array_equal(file["b"], numpy.arange(3) + rounds)
        for participant in participants:
            self.assertEqual(participant.stdout.read(), f"status 0 after {rounds} turns\n", self.errors_of(participant))
            self.assertEqual(participant.wait(), 0)

    def join(self, port, name, **environment):
        environment |= {"ADDRESS": f"localhost:{port}", "NAME": name, "PROTO": f"{support.SOURCE}/proto/stream.proto"}
        return self.start(*os.environ["PARTICIPANT"].split(), env=os.environ | environment)

    def test_many_turns(self):
        for scheme in SCHEMES:
            with self.subTest(scheme):
                self.train(scheme, 3000, 10, count=3)

    def test_payloads_of_several_megabytes(self):
        for scheme in SCHEMES:
            with self.subTest(scheme):
                self.train(scheme, 10, self.SIZE)

    def test_tls_and_a_token(self):
        subprocess.run([CERTIFICATES, self.scratch], check=True, stdout=subprocess.DEVNULL)
        options = (f"--tls-cert={self.scratch}/server.pem", f"--tls-key={self.scratch}/server.key", f"--token-file={self.scratch}/token")
        token = (self.scratch / "token").read_text()
        for scheme in SCHEMES:
            with self.subTest(scheme):
                self.train(scheme, 10, self.SIZE, options=options, CA=f"{self.scratch}/ca.pem", TOKEN=token)


if __name__ == "__main__":
    support.main()
