"""Servers of any model, and who takes part, for the tests of `muster server`."""

import csv

import numpy

import support
from support import MUSTER
from volunteers import Volunteer, adds


class Serving(support.Case):
    def write_model(self, **arrays):
        path = self.scratch / "model.npz"
        numpy.savez(path, **(arrays or {"w": numpy.zeros(4, "f4")}))
        return path

    def serve(self, *options, model=True, **settings):
        if model:
            options = (f"--model={self.write_model()}", *options)
        return self.start_on_port(MUSTER, "server", "--listen=127.0.0.1:0", *options, **settings)

    def bring(self, server, name, work=None, **labels):
        return self.bring_to(server.port, name, work, **labels)

    def bring_to(self, port, name, work=None, **labels):
        """Somebody who waits for a server at that port."""
        volunteer = Volunteer(port, name, work or adds(1), labels)
        self.addCleanup(volunteer.leave)
        return volunteer

    def bring_all(self, server, count, work=None):
        return [self.bring(server, f"node-{number:02}", work) for number in range(count)]

    def finish(self, server, status=0):
        """Its output and its errors."""
        output = server.stdout.read()
        self.assertEqual(server.wait(), status, self.errors_of(server))
        return output, self.errors_of(server)

    def rows(self, path=None):
        with open(path or self.scratch / "metrics.csv", newline="") as file:
            return list(csv.DictReader(file))

    def result(self, name="result.npz"):
        with numpy.load(self.scratch / name) as file:
            return {key: file[key] for key in file.files}

    def output(self):
        return (f"--metrics={self.scratch}/metrics.csv", f"--result={self.scratch}/result.npz")
