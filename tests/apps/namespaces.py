#!/usr/bin/python3 -B
"""80 nodes in four network namespaces, as on four machines; eight of them are killed and started again. It skips where the
namespaces cannot be made."""

import csv
import os
import random
import re
import signal
import subprocess
import sys

import spaces
import support
from spaces import HERE, SPACES, ip, name_of
from support import NODE

NODES_EACH, KILLED, ROUNDS = 20, 8, 50
SEED = int(os.environ.get("MUSTER_TEST_SEED", str(random.randrange(2**31))))


class Namespaces(support.Case):
    def setUp(self):
        super().setUp()
        signal.alarm(180 * support.SLOWNESS)
        self.count = SPACES * NODES_EACH
        self.options = [f"--members={self.count}", "--patience=30", f"--run={self.scratch}/run"]
        self.options += [f"--rounds={ROUNDS}", "--topology=random-regular:4", "--algorithm=static"]

    def start_coordinator(self):
        self.coordinator = self.start_on_port(NODE, f"--coordinate={HERE}:0", "--threads=0", *self.options)

    def log_of(self, number):
        return self.scratch / f"node-{number:02}.log"

    def start_node(self, number, output=None):
        with open(self.log_of(number), "a") as log:
            return self.start(
                "ip", "netns", "exec", name_of(number // NODES_EACH),
                *NODE, f"--coordinator={HERE}:{self.coordinator.port}", f"--name=node-{number:02}", *self.options,
                stdout=output or log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def ranks_of(self, number):
        """Under which ranks it has told of rounds. That of rank 0 tells of them without."""
        text = self.log_of(number).read_text()
        return {int(rank) for rank in re.findall(r"rank (\d+): round", text)} | (
            {0} if re.search("^round", text, re.MULTILINE) else set()
        )

    def kill_in_round(self, number, least, node):
        """Kills a node, whose output is a pipe, when it has told of a round from `least` on. What it has told is logged."""
        with open(self.log_of(number), "a") as log:
            for line in node.stdout:
                log.write(line)
                told = re.search(r"round (\d+): loss", line)
                if told and int(told[1]) >= least:
                    break
            else:
                self.fail(f"node {number} has ended before it was killed")
            node.kill()
            log.write(node.stdout.read())
            node.wait()

    def test_killed_nodes_come_back(self):
        numbers = random.Random(SEED)
        print(f"MUSTER_TEST_SEED={SEED}")
        self.start_coordinator()
        victims = numbers.sample(range(self.count), KILLED)
        rounds = sorted(numbers.randrange(1, ROUNDS // 2) for _ in range(KILLED))
        nodes = [
            self.start_node(number, subprocess.PIPE if number in victims else None) for number in range(self.count)
        ]
        for least, number in zip(rounds, victims):
            self.kill_in_round(number, least, nodes[number])
            nodes[number] = self.start_node(number)
        for number, node in enumerate(nodes):
            self.assertEqual(node.wait(), 0, self.log_of(number).read_text()[-2000:])
        self.assertEqual(self.coordinator.wait(), 0)
        ranks = [self.ranks_of(number) for number in range(self.count)]
        self.assertEqual(sorted(rank for all_of_one in ranks for rank in all_of_one), list(range(self.count)))
        for rank in range(self.count):
            with open(self.scratch / "run" / f"rank-{rank:02}" / "metrics.csv", newline="") as file:
                self.assertEqual(list(csv.DictReader(file))[-1]["round"], str(ROUNDS))
        for space in range(SPACES):
            self.assertEqual(ip("netns", "pids", name_of(space)), "")


if __name__ == "__main__":
    # Once: what is removed is gone only a while later, and cannot be made again before.
    support.after_all.append(spaces.remove)
    try:
        spaces.make()
        support.main()
    except (OSError, RuntimeError) as error:
        print(f"no network namespaces here: {error}")
        sys.exit(77)
    finally:
        spaces.remove()
