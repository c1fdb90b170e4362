#!/usr/bin/python3 -B
"""docs/tutorial.md, as a newcomer follows it: its files are written and its commands run, in their order, in an empty directory. The
participant of docs/server.md trains, and the experiments in the pages for users of other systems are good ones."""

import os
import re
import shutil
import signal
import subprocess

import support
from experiment import HAS_VERTICAL
from support import BUILD, MUSTER, SOURCE

# [NAME](PLACE): or `NAME`, and a block behind it: a file. A block of sh: commands.
BLOCK = re.compile(r"^(?:(?:\[([\w.]+)\]\(\S+\):\n\n)|`([\w.]+)`\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name):
    found = BLOCK.findall((SOURCE / "docs" / name).read_text())
    return [(linked or named, kind, text) for linked, named, kind, text in found]


def commands(text):
    """The lines of a block of sh, those that end with a backslash together with the next."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line]


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
        # As it was made, with the protocol where it is before it is installed.
        settings = re.sub("(?m)^protodir=.*", f"protodir={SOURCE.resolve()}/proto", (BUILD / "muster.pc").read_text())
        (self.tools / "muster.pc").write_text(settings)
        self.folder = self.scratch / "empty"
        self.folder.mkdir()
        self.environment = {
            **os.environ,
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "XDG_STATE_HOME": str(self.scratch / "state"),
            "PKG_CONFIG_PATH": str(self.tools),
        }

    def run_line(self, line):
        process = self.start("sh", "-c", line, cwd=self.folder, env=self.environment)
        output = process.stdout.read()
        self.assertEqual(process.wait(), 0, f"{line}: {output}{self.errors_of(process)}")
        return output

    def need_tools(self, *programs):
        modules = subprocess.run(["/usr/bin/python3", "-c", "import grpc, numpy, google.protobuf"], stderr=subprocess.DEVNULL)
        if modules.returncode or not all(shutil.which(program) for program in programs):
            self.skipTest(f"a module of Python is not installed, or one of {', '.join(programs)}")

    def stop_run(self):
        """What a failed test has left in the background."""
        subprocess.run([self.tools / "muster", "stop", "hospitals"], env=self.environment, capture_output=True)

    def follow(self, page):
        """Writes the files of a page and runs its commands; what each of them has written."""
        outputs = {}
        for name, kind, text in blocks(page):
            if name:
                (self.folder / name).write_text(text)
            elif kind == "sh":
                for line in commands(text):
                    outputs[line] = self.run_line(line)
        return outputs

    def test_each_step(self):
        self.need_tools("openssl", "pkg-config", "protoc")
        self.addCleanup(self.stop_run)
        outputs = self.follow("tutorial.md")
        self.assertIn("hospitals is good: 4 processes", outputs["muster check hospitals.yml"])
        end = re.search(r"^final accuracy (\S+) loss \S+ after 20 rounds$", outputs["muster start hospitals.yml"], re.MULTILINE)
        self.assertTrue(end, outputs["muster start hospitals.yml"])
        self.assertGreater(float(end[1]), 0.9)
        chances = re.findall(r"probability of (\S+)", outputs["python3 use_model.py"])
        self.assertEqual([round(float(chance)) for chance in chances], [1, 0])
        self.assertRegex(outputs["muster status hospitals"], r"hospital-2 +here +\d+ running")
        self.assertRegex(outputs["muster logs -n 2 hospitals"], r"hospital-1: round \d+: trained on 320 patients")
        self.assertRegex(outputs["muster list"], "hospitals +ended")
        self.assertIn("final after 20 rounds", outputs["muster start secure.yml"])
        self.assertIn("1 participant on east", self.run_line("muster check hosts.yml"))

    def test_participant_of_the_servers_page(self):
        self.need_tools("protoc")
        program = next(text for name, _, text in blocks("server.md") if name == "participant.py")
        (self.folder / "participant.py").write_text(program)
        self.run_line(f"protoc -I {SOURCE.resolve()}/proto --python_out=. original.proto")
        self.run_line("python3 -c 'import numpy as n; n.savez(\"line.npz\", weights=n.zeros(3, \"f4\"), bias=n.zeros(1, \"f4\"))'")
        server = self.start_on_port(
            MUSTER, "server", "--model=line.npz", "--rounds=20", "--min-participants=2", "--result=fitted.npz", "--listen=127.0.0.1:0",
            cwd=self.folder,
        )  # fmt: skip
        python = self.tools / "python3"
        participants = [
            self.start(python, "participant.py", f"127.0.0.1:{server.port}", seed, cwd=self.folder) for seed in (1, 2)
        ]
        self.assertIn("final after 20 rounds", server.stdout.read())
        self.assertEqual([process.wait() for process in (server, *participants)], [0] * 3)
        fitted = self.run_line("python3 -c 'import numpy as n; m = n.load(\"fitted.npz\"); print(*m[\"weights\"], *m[\"bias\"])'")
        for number, expected in zip(fitted.split(), (1.5, -2, 0.5, 3)):
            self.assertAlmostEqual(float(number), expected, 1)

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
        self.need_tools("protoc")
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
