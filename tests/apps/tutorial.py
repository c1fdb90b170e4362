#!/usr/bin/python3 -B
"""docs/tutorial.md, as a newcomer follows it: its files are written and its commands run, in their order, in an empty directory. And
the experiments in the pages for users of other systems are good ones."""

import os
import re
import shutil
import signal
import subprocess

import support
from experiment import HAS_VERTICAL
from support import MUSTER, SOURCE

# `NAME`, and a block behind it: a file. A block of sh: commands.
BLOCK = re.compile(r"^(?:`([\w.]+)`\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name):
    return BLOCK.findall((SOURCE / "docs" / name).read_text())


class Tutorial(support.Case):
    def setUp(self):
        super().setUp()
        signal.alarm(300 * support.SLOWNESS)
        self.tools = self.scratch / "tools"
        self.tools.mkdir()
        (self.tools / "muster").write_text(f'#!/bin/sh\nexec {MUSTER} "$@"\n')
        (self.tools / "python3").write_text('#!/bin/sh\nexec /usr/bin/python3 "$@"\n')
        for tool in self.tools.iterdir():
            tool.chmod(0o755)
        self.folder = self.scratch / "empty"
        self.folder.mkdir()
        self.environment = {
            **os.environ, "PATH": f"{self.tools}:{os.environ['PATH']}", "XDG_STATE_HOME": str(self.scratch / "state")
        }  # fmt: skip

    def run_line(self, line):
        process = self.start("sh", "-c", line, cwd=self.folder, env=self.environment)
        output = process.stdout.read()
        self.assertEqual(process.wait(), 0, f"{line}: {output}{self.errors_of(process)}")
        return output

    def test_each_step(self):
        if not shutil.which("protoc") or subprocess.run(["/usr/bin/python3", "-c", "import grpc, numpy, google.protobuf"]).returncode:
            self.skipTest("protoc, or a module of Python, is not installed")
        outputs = {}
        for name, kind, text in blocks("tutorial.md"):
            if name:
                (self.folder / name).write_text(text)
            elif kind == "sh":
                for line in text.splitlines():
                    outputs[line] = self.run_line(line)
        self.assertIn("final after 20 rounds", outputs["muster start hospitals.yml"])
        self.assertIn("hospitals is good: 4 processes", outputs["muster check hospitals.yml"])
        right = re.findall(r"hospital \d: (\S+) right", outputs["python3 test_model.py"])
        self.assertEqual([float(share) > 0.85 for share in right], [True] * 3, right)
        self.assertRegex(outputs["muster status hospitals"], r"participant-2 +here +\d+ running")
        self.assertRegex(outputs["muster list"], "hospitals +ended")
        self.assertIn("participant-1: trained on 400 patients", outputs["muster logs -n 2 hospitals"])

    def test_pages_show_the_examples_as_they_are(self):
        found = 0
        for page in sorted((SOURCE / "docs").glob("from-*.md")):
            for name in re.findall(r"\(\.\./(examples/experiments/\w[\w-]*\.yml)\)", page.read_text()):
                found += 1
                texts = [text for _, kind, text in blocks(page.name) if kind == "yaml"]
                self.assertIn((SOURCE / name).read_text(), texts, page.name)
        self.assertEqual(found, 4)

    def test_workers(self):
        output = self.run_line(f"muster start {SOURCE}/examples/experiments/workers.yml")
        self.assertIn("round 10/10: 4 answered, 0 failed", output)

    def test_a_participant_of_the_original_protocol_joins(self):
        try:
            import numpy  # noqa: F401
            import grpc  # noqa: F401
        except ImportError:
            self.skipTest("grpc or numpy is not installed")
        if not shutil.which("protoc"):
            self.skipTest("protoc is not installed")
        self.run_line("python3 -c \"import numpy; numpy.savez('model.npz', w=numpy.zeros((60, 10), 'f4'), b=numpy.zeros(10, 'f4'))\"")
        for rank in range(2):
            self.run_line(f"muster demo --participant={rank} --participants=2 --export data-{rank}")
        # Instead of participants that come from elsewhere, and to a port that they know.
        own = f"{{program: python3, count: 2, arguments: [{SOURCE}/examples/participant.py, '--connect={{server}}', '--data=data-{{rank}}']}}"
        output = self.run_line(
            f"muster start {SOURCE}/examples/experiments/original.yml --set server.listen=127.0.0.1:0 --set server.rounds=2"
            f' --set "participants={own}"'
        )
        self.assertIn("round 2/2: 2 answered, 0 failed", output)

    def test_experiments_of_all_pages(self):
        os.environ["DATA"] = str(self.scratch)  # which one of them takes
        found = 0
        for page in sorted((SOURCE / "docs").glob("*.md")):
            for _, kind, text in blocks(page.name):
                if kind != "yaml" or not re.search("^(server|nodes|vertical):", text, re.MULTILINE):
                    continue
                if "vertical:" in text and not HAS_VERTICAL:
                    continue
                found += 1
                (self.folder / "file.yml").write_text(text)
                status, output, errors = self.run_program(MUSTER, "check", self.folder / "file.yml")
                self.assertEqual((status, errors), (0, ""), f"{page.name}: {text}")
        self.assertGreater(found, 4)


if __name__ == "__main__":
    support.main()
