#!/usr/bin/python3 -B
"""The programs of examples/python, with each other and with the pair in C."""

import ast
import os
import pathlib
import re
import tempfile

import numpy

import common
from common import LONG, support
import muster

try:
    import torch
except ImportError:
    torch = None

FOLDER = support.SOURCE / "examples" / "python"
PYTHON = ("numpy", "torch") if torch else ("numpy", "numpy")


class Programs(common.Case):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.programs = {
            name: common.compile_example(name, pathlib.Path(directory.name)) for name in ("participant", "fedavg_server")
        }

    def example(self, name, *words):
        path = os.pathsep.join([str(common.PACKAGE), os.environ.get("PYTHONPATH", "")])
        return self.start_python(FOLDER / name, *words, env={**os.environ, "PYTHONPATH": path})

    def train_with(self, server, *kinds):
        """Has participants train with a server to its end. Returns the losses of its rounds."""
        port = self.read_until(server, "^listening on port").split()[3]
        participants = []
        for number, kind in enumerate(kinds, 1):
            words = ("--connect", f"127.0.0.1:{port}", "--number", number)
            if kind == "c":
                participants.append(self.start(self.programs["participant"], *words))
            else:
                participants.append(self.example(f"participant_{kind}.py", *words))
        lines = server.stdout.read().splitlines()
        self.assertEqual(server.wait(LONG), 0, self.errors_of(server))
        for each in participants:
            self.assertEqual(each.wait(LONG), 0, self.errors_of(each))
        pattern = r"round (\d+): (\d+) trained, (\d+) tested: loss ([\d.]+), accuracy ([\d.]+)"
        found = [re.fullmatch(pattern, line) for line in lines]
        self.assertTrue(all(found), lines)
        self.assertEqual([(m[1], m[2], m[3]) for m in found[1:]], [(str(n), "2", "3") for n in range(1, len(found))])
        return [float(match[4]) for match in found]

    def test_the_server_in_python(self):
        file = self.scratch / "model.npz"
        server = self.example("server.py", "--listen", "127.0.0.1:0", "--rounds", 6, "--save", file)
        losses = self.train_with(server, *PYTHON, "numpy")
        self.assertLess(min(losses), 0.95 * losses[0])  # who trains in a round is drawn
        self.assertEqual(muster.npz_read(file)["weights"].shape, (20, 5))
        self.assertEqual(sorted(numpy.load(file)), ["bias", "weights"])

    def test_the_server_in_python_with_one_in_c(self):
        server = self.example("server.py", "--listen", "127.0.0.1:0", "--rounds", 2)
        self.train_with(server, "c", *PYTHON)

    def test_the_server_in_c(self):
        server = self.start(self.programs["fedavg_server"], "--listen=127.0.0.1:0", "--participants=3", "--rounds=2")
        self.train_with(server, "c", *PYTHON)

    def test_the_participant_of_the_page_with_muster_server(self):
        if not support.MUSTER.exists():
            self.skipTest("muster is not built")
        page = (support.SOURCE / "docs" / "python.md").read_text()
        (source,) = re.findall(r"`plane.py`\n```python\n(.*?)```", page, re.DOTALL)
        (options,) = re.findall(r"^(muster server .*) &$", page, re.MULTILINE)
        (self.scratch / "plane.py").write_text(source)
        server = self.start_on_port(support.MUSTER, *options.split()[1:], "--listen=127.0.0.1:0", cwd=self.scratch)
        planes = [self.example(self.scratch / "plane.py", f"127.0.0.1:{server.port}", seed) for seed in (1, 2)]
        output = server.stdout.read()
        self.assertEqual(server.wait(LONG), 0, output + self.errors_of(server))
        for plane in planes:
            self.assertEqual(plane.wait(LONG), 0, self.errors_of(plane))
        self.assertRegex(output, r"round 20/20: 2 answered")
        self.assertRegex(output, r"test after round 20")
        with numpy.load(self.scratch / "fitted.npz") as fitted:
            arrays = [fitted[name] for name in fitted.files]
        numpy.testing.assert_allclose(numpy.concatenate(arrays), [1.5, -2, 0.5, 3], atol=0.05)

    def test_each_is_short_and_says_how_to_run_it(self):
        for program in FOLDER.glob("*.py"):
            source = program.read_text()
            self.assertLessEqual(len(source.splitlines()), 60, program.name)
            self.assertIn(program.name, ast.get_docstring(ast.parse(source)), program.name)


if __name__ == "__main__":
    common.main()
