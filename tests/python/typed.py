#!/usr/bin/python3 -B
"""The types of the package for Python, as mypy sees them: those of the package itself, and what a program sees of them.
Skipped where mypy is not installed."""

import os
import shutil
import sys

from common import support

MYPY = shutil.which("mypy")

# What a reader of docs/python.md would write. Each line with "# error" is a mistake that is to be found.
PROGRAM = '''
import muster
import numpy
from numpy.typing import NDArray


def train(instruction: muster.Instruction) -> list[NDArray[numpy.float32]]:
    rate: float = instruction.get("rate", 0.1)
    instruction.progress("half")  # error
    return [each * rate for each in instruction.arrays]


def take_part() -> None:
    with muster.connect("127.0.0.1:8080", name="ada", labels={"gpu": "1"}) as participant:
        for instruction in participant:
            told: bool = instruction.answer(train(instruction), num_samples=600, loss=0.3)
        instruction.anwser()  # error


async def take_part_in_a_loop() -> None:
    async with await muster.connect_async("127.0.0.1:8080") as participant:
        async for instruction in participant:
            instruction.answer({"w": numpy.zeros(3)})


def serve(model: list[NDArray[numpy.float32]]) -> None:
    with muster.ParticipantManager("127.0.0.1:8080", on_event=lambda event: print(event.kind)) as manager:
        proxies: list[muster.Proxy] = manager.get_participants("2")  # error
        mean = muster.Mean(like=model)
        for proxy, answer in muster.run_all(proxies, muster.Train(model, rate=0.1), deadline=60, enough=2):
            mean.add(answer.arrays, weight=answer["num_samples"])
        proxies[0].run([model])  # error
'''


class Typed(support.Case):
    def check(self, *words, folder):
        process = self.start(MYPY, f"--cache-dir={self.scratch}", "--strict", *words, cwd=folder)
        output = process.stdout.read()
        self.assertIn(process.wait(), (0, 1), self.errors_of(process))
        return output.splitlines()

    def test_the_package(self):
        last = self.check(folder=support.SOURCE / "python")[-1]
        self.assertRegex(last, "^Success: no issues found in [1-9][0-9] source files$")

    def test_a_program(self):
        program = self.scratch / "program.py"
        program.write_text(PROGRAM)
        os.environ["MYPYPATH"] = str(support.SOURCE / "python")
        lines = self.check("--follow-imports=silent", program, folder=self.scratch)
        found = [int(line.split(":")[1]) for line in lines if ": error: " in line]
        wanted = [number for number, line in enumerate(PROGRAM.split("\n"), 1) if line.endswith("# error")]
        self.assertEqual(found, wanted, lines)


if __name__ == "__main__":
    if MYPY is None:
        print("mypy is not installed")
        sys.exit(77)
    support.main(support.SOURCE)
