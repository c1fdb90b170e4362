#!/usr/bin/python3 -B
"""Nodes of a group that train with each other, and mixing alone."""

import csv
import json
import os
import re
import signal
import subprocess
import urllib.request

import numpy
import support
from support import BUILD, NODE, SOURCE

DEMO = SOURCE / "apps" / "muster" / "node" / "demo"
MIXING = BUILD / "tests" / "learning" / "mixing"


# Of 5 nodes, which come near each other and never get to the very same value.
ENDLESS = ("--consensus-only", "--until=0", "--steps=1000000000", "--topology=star", "--mixing=uniform")


class Case(support.Case):
    def start(self, *command, **settings):
        if any("mpi" in str(word) for word in command):
            # Some of MPI's modules are gone when leaks are looked for: only who called them shows whose leak it is.
            sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":fast_unwind_on_malloc=0"
            settings["env"] = os.environ | {"ASAN_OPTIONS": sanitizer}
        return super().start(*command, **settings)

    def demo(self, *options, **settings):
        return self.start(DEMO, BUILD, *options, **settings)

    def need_mpi(self):
        if not os.environ.get("MPIRUN"):
            self.skipTest("this build has no MPI")

    def lines_of(self, *options):
        """Runs a group to its end: the lines of rank 0. No process is left."""
        demo = self.demo(*options)
        lines = demo.stdout.read().splitlines()
        self.assertEqual(demo.wait(), 0, self.errors_of(demo))
        self.assert_nothing_left(demo)
        return lines

    def rows_of_rank(self, rank, directory=None):
        with open((directory or self.scratch / "metrics") / f"rank-{rank:02}.csv", newline="") as file:
            return list(csv.DictReader(file))


class Consensus(Case):
    def assert_steps(self, steps, *options):
        lines = self.lines_of("--consensus-only", *options)
        self.assertEqual(lines[-1], f"consensus after {steps} steps")

    def test_ring_over_threads(self):
        for ranks, steps in ((8, 64), (16, 266), (32, 1072)):
            self.assert_steps(steps, f"-n{ranks}", "--over=local", "--topology=ring", "--mixing=uniform")

    def test_ring_over_grpc(self):
        self.assert_steps(266, "-n16", "--over=grpc", "--topology=ring", "--mixing=uniform")

    def test_ring_over_mpi(self):
        self.need_mpi()
        self.assert_steps(266, "-n16", "--over=mpi", "--topology=ring", "--mixing=uniform")
        demo = self.demo("-n3", "--over=mpi", "--topology=moebius")
        demo.stdout.read()
        self.assertNotEqual(demo.wait(), 0)
        self.assertIn("moebius", self.errors_of(demo))

    def test_one_peer_exponential_is_exact(self):
        for ranks, steps in ((16, 4), (64, 6)):
            self.assert_steps(steps, f"-n{ranks}", "--over=local", "--topology=one-peer-exponential")

    def test_every_step_is_the_product_with_the_matrix(self):
        steps = 20
        for topology, ranks, mixing, degree in (
            ("ring", 9, "uniform", 0),
            ("star", 9, "metropolis", 0),
            ("torus", 12, "metropolis", 0),
            ("random-regular:4", 12, "uniform", 0),
            ("random-regular:4", 12, "uniform", 2),
            ("erdos-renyi:0.4", 12, "uniform", 0),
            ("one-peer-exponential", 12, "uniform", 0),
            ("simple-base:3", 13, "uniform", 0),
            ("matching", 9, "uniform", 0),
        ):
            options = [f"--topology={topology}", f"--mixing={mixing}", "--start=random", "--seed=7", "--until=0"]
            options += [f"--degree={degree}"] if degree else []
            directory = self.scratch / f"{topology}-{degree}"
            self.run_program(
                NODE, "--coordinate=local:c", f"--threads={ranks}", "--consensus-only", f"--steps={steps}",
                f"--metrics={directory}", *options,
            )  # fmt: skip
            values = numpy.array(
                [[float(row["value"]) for row in self.rows_of_rank(rank, directory)] for rank in range(ranks)]
            ).T
            # It ends where all values are the same, as after the exact topologies.
            self.assertTrue(len(values) == steps + 1 or numpy.ptp(values[-1]) == 0)
            matrices = self.matrices(topology, ranks, mixing, degree, 7, steps)
            mixed = values[0]
            self.assertGreater(numpy.ptp(mixed), 1)
            for step in range(len(values) - 1):
                mixed = matrices[step] @ mixed
                self.assertLess(numpy.abs(mixed - values[step + 1]).max(), 1e-12)

    def matrices(self, topology, ranks, mixing, degree, seed, steps):
        """The weights of each step."""
        output = subprocess.run(
            [MIXING, topology, str(ranks), mixing, str(degree), str(seed), str(steps)],
            input=" 0" * ranks, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        lines = numpy.array([[float(word) for word in line.split()] for line in output.splitlines()])
        return lines.reshape(steps, ranks + 1, ranks)[:, :ranks]

    def test_too_many_steps_are_told(self):
        demo = self.demo("-n4", "--over=local", "--consensus-only", "--steps=2")
        demo.stdout.read()
        self.assertNotEqual(demo.wait(), 0)
        self.assertIn("no consensus after 2 steps", self.errors_of(demo))

    def test_signals_end_all_nodes(self):
        for over in ("grpc", "local", "mpi") if os.environ.get("MPIRUN") else ("grpc", "local"):
            for number, times in ((signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1)):
                group = f"--group={over}-{number}-{times}-{os.getpid()}"
                demo = self.demo("-n5", f"--over={over}", group, *ENDLESS)
                self.read_until(demo, "^step 3:")
                for _ in range(times):
                    os.killpg(demo.pid, number)
                demo.stdout.read()
                self.assertEqual(demo.wait(), 128 + number)
                self.assertEqual(self.errors_of(demo), "")
                self.assert_nothing_left(demo)
                while subprocess.run(["pgrep", "-f", f"[-]{group[1:]}"], stdout=subprocess.DEVNULL).returncode == 0:
                    pass  # a rank that was killed is no child of the launcher


class Training(Case):
    def final_of(self, lines):
        """Accuracy and consensus of the last line."""
        found = re.fullmatch(r"final accuracy (0\.\d{3}), consensus (\S+), (\d+) rounds", lines[-1])
        self.assertTrue(found, lines[-1])
        return float(found[1]), float(found[2]), int(found[3])

    def test_each_algorithm_learns(self):
        for algorithm in ("static", "push", "exchange", "dynamic", "fedavg"):
            accuracy, _, rounds = self.final_of(
                self.lines_of("-n8", "--over=local", f"--algorithm={algorithm}", "--rounds=40", "--learning-rate=0.1")
            )
            self.assertGreater(accuracy, 0.8, algorithm)
            self.assertEqual(rounds, 40)

    def test_everyone_with_everyone_is_federated_averaging(self):
        common = ["--seed=2", "--rounds=6"]
        data = [*common, "--epochs=1", "--learning-rate=0.2", "--batch-size=1000000"]
        training = {"epochs": 1, "lr": 0.2, "batch_size": 1000000, "mu": 0}
        averaging = [*common, "--participants=6", "--fraction=1", "--strategy=fedavg", "--average=0", "--no-baselines"]
        averaging += [f"--set=train.{name}={value}" for name, value in training.items()]
        file = self.scratch / "averaged.csv"
        for algorithms, options in ((("static", "exchange"), ["--default-weight=1", "--max-weight=1"]), (("fedavg",), [])):
            demo = self.start(support.DEMO, *averaging, *options, f"--metrics={file}")
            demo.stdout.read()
            self.assertEqual(demo.wait(), 0, self.errors_of(demo))
            expected = [float(row["test_accuracy"]) for row in self.rows_of(file)]
            self.assertGreater(abs(expected[0] - expected[1]), 0.1)
            for algorithm in algorithms:
                directory = self.scratch / algorithm
                self.lines_of("-n6", "--over=local", "--topology=full", f"--algorithm={algorithm}", f"--metrics={directory}", *data)
                for rank in (0, 5):
                    accuracy = [float(row["accuracy"]) for row in self.rows_of_rank(rank, directory)]
                    self.assertLess(numpy.abs(numpy.subtract(accuracy, expected)).max(), 0.01, algorithm)

    def test_numbers_of_a_round_are_those_of_the_nodes(self):
        ranks = 4
        lines = self.lines_of("-n4", "--over=local", "--rounds=3", f"--metrics={self.scratch}/metrics")
        last = [self.rows_of_rank(rank)[-1] for rank in range(ranks)]
        for name in ("nodes_accuracy", "mean_accuracy", "consensus"):
            self.assertEqual(len({row[name] for row in last}), 1)
        accuracy = numpy.mean([float(row["accuracy"]) for row in last])
        self.assertAlmostEqual(float(last[0]["nodes_accuracy"]), accuracy, 5)
        consensus = numpy.sqrt(numpy.mean([float(row["distance"]) ** 2 for row in last]))
        self.assertAlmostEqual(float(last[0]["consensus"]), consensus, 5)
        self.assertEqual(self.final_of(lines)[0], round(accuracy, 3))
        self.assertLess(abs(self.final_of(lines)[1] - consensus), 1e-3)
        sent, received = (sum(int(row[name]) for row in last) for name in ("bytes_sent", "bytes_received"))
        self.assertGreater(sent, 3 * 2 * ranks * 2440)
        self.assertLess(abs(sent - received), sent / 5)

    def test_same_seed_trains_the_same(self):
        options = ["-n5", "--over=local", "--rounds=5", "--topology=random-regular:2", "--dropout=0.3", "--seed=3"]
        self.assertEqual(self.lines_of(*options)[-1], self.lines_of(*options)[-1])

    def test_nodes_that_sit_out_are_not_waited_for(self):
        for algorithm in ("static", "push", "exchange", "fedavg"):
            options = ["-n6", "--over=local", f"--algorithm={algorithm}", "--rounds=30", "--dropout=0.4"]
            accuracy, _, _ = self.final_of(self.lines_of(*options, "--learning-rate=0.1", "--push-wait=20"))
            self.assertGreater(accuracy, 0.6, algorithm)

    def test_attacks_do_harm(self):
        options = ["-n6", "--over=local", "--topology=full", "--rounds=20", "--learning-rate=0.1"]
        honest, _, _ = self.final_of(self.lines_of(*options))
        for attack in ("sign-flip", "noise"):
            harmed, _, _ = self.final_of(self.lines_of(*options, f"--attack={attack}", "--attackers=1,4"))
            self.assertLess(harmed, honest - 0.02, attack)

    def test_nodes_with_settings_of_their_own_are_neighbours(self):
        settings = {
            "default": {"algorithm": "exchange", "learning_rate": 0.1},
            "1": {"algorithm": "push", "epochs": 2},
            "2": {"algorithm": "push"},
            "4": {"algorithm": "dynamic", "dropout": 0.5},
            "5": {"algorithm": "static", "batch_size": 5, "attack": "none"},
        }
        file = self.scratch / "settings.json"
        file.write_text(json.dumps(settings))
        accuracy, _, _ = self.final_of(
            self.lines_of("-n6", "--over=local", "--topology=wheel", "--rounds=20", f"--settings={file}")
        )
        self.assertGreater(accuracy, 0.65)
        for wrong in ({"9": {}}, {"x": {}}, {"1": {"epoch": 1}}, {"1": {"epochs": 0}}, {"1": {"algorithm": "fedavg"}}):
            file.write_text(json.dumps(wrong))
            code, _, errors = self.run_program(NODE, "--coordinate=local:c", "--threads=6", f"--settings={file}")
            self.assertEqual(code, 1)
            self.assertRegex(errors, "settings.json|fedavg is for all")


class Recorded(Case):
    """What rank 0 records."""

    def entries_of(self, *options):
        """Of a run: the lines of rank 0, and by name what it recorded, with the steps."""
        demo = self.demo(*options, f"--record=jsonl:{self.scratch}/record.jsonl", f"--record=csv:{self.scratch}/record.csv")
        lines = demo.stdout.read().splitlines()
        if demo.wait() != 0 and "--with-record" in self.errors_of(demo):
            self.skipTest("this build has no records")
        self.assertEqual(demo.returncode, 0, self.errors_of(demo))
        entries = {}
        for entry in map(json.loads, (self.scratch / "record.jsonl").read_text().splitlines()):
            value = entry.get("value", entry.get("text", entry.get("outcome")))
            entries.setdefault(entry.get("name", entry["kind"]), []).append((entry.get("step"), value))
        return lines, entries

    def test_a_training(self):
        lines, entries = self.entries_of("-n4", "--over=local", "--rounds=2")
        for name in ("loss", "accuracy", "nodes_accuracy", "mean_accuracy", "distance", "consensus", "bytes_received"):
            self.assertEqual([step for step, _ in entries[name]], [1, 2], name)
        found = re.match(r"round 2: loss (\S+), accuracy (\S+) \(nodes (\S+), mean model (\S+)\)", lines[1])
        recorded = [entries[name][1][1] for name in ("loss", "accuracy", "nodes_accuracy", "mean_accuracy")]
        for text, number in zip(found.groups(), recorded):
            self.assertAlmostEqual(float(text), number, 3)
        self.assertEqual(entries["topology"][0][1], "ring")
        self.assertEqual(entries["end"][0][1], "finished")

        # The group: who is there, and what went to whom. The neighbours of rank 0 in the ring are 1 and 3.
        roster = entries["group"][0][1].splitlines()
        self.assertEqual([line.split()[0] for line in roster], ["0", "1", "2", "3"])
        self.assertEqual({line.split()[1] for line in roster}, {f"node-{number:02}" for number in range(4)})
        self.assertEqual(entries["group/present"][0], (1, 4))  # after the last round some have left, perhaps
        self.assertEqual(entries["group/lost"][1], (2, 0))
        self.assertGreaterEqual(entries["group/links"][1][1], 2)
        for way in ("sent", "received"):
            peers = [entries[f"peer/{rank}/bytes_{way}"][-1][1] for rank in (1, 2, 3)]
            self.assertGreater(min(peers[0], peers[2]), 2440)
            self.assertLessEqual(sum(peers), entries[f"bytes_{way}"][1][1] + 1000)
        with open(self.scratch / "record.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["step"] for row in rows], ["1", "2"])
        self.assertEqual(float(rows[1]["peer/1/bytes_sent"]), entries["peer/1/bytes_sent"][-1][1])

    def test_mixing_alone(self):
        _, entries = self.entries_of("-n4", "--over=local", "--consensus-only", "--topology=one-peer-exponential")
        self.assertEqual([step for step, _ in entries["distance"]], [0, 1, 2])
        self.assertEqual(entries["value"][0], (0, 1))
        self.assertLess(entries["distance"][2][1], 1e-6)
        self.assertEqual(entries["end"][0][1], "finished")

    def test_a_run_that_is_stopped(self):
        sink = self.scratch / "record.jsonl"
        demo = self.demo("-n2", "--over=local", "--rounds=100000", f"--record=jsonl:{sink}")
        if not demo.stdout.readline() and "--with-record" in self.errors_of(demo):
            self.skipTest("this build has no records")
        os.killpg(demo.pid, signal.SIGINT)
        demo.stdout.read()
        self.assertEqual(demo.wait(), 130)
        self.assertEqual(json.loads(sink.read_text().splitlines()[-1])["outcome"], "killed")


class Shown(Case):
    """The monitor's page; tests/monitor/browser.py looks at it."""

    def look_until(self, port, see):
        """The state when `see` holds of its only group."""
        while True:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/state") as response:
                state = json.load(response)
            if state["groups"] and see(state["groups"][0], state):
                self.assertEqual(len(state["groups"]), 1)
                return state["groups"][0], state

    def watched(self, *options):
        """A run, and the port of its monitor."""
        demo = self.demo(*options, "--rounds=100000", "--monitor=127.0.0.1:0")
        line = demo.stdout.readline()
        if not line:
            demo.wait()
            self.assertIn("--with-monitor", self.errors_of(demo))
            self.skipTest("this build has no monitor")
        return demo, int(re.fullmatch(r"monitor at port (\d+): http://127\.0\.0\.1:\1/\n", line)[1])

    def stop(self, demo):
        os.killpg(demo.pid, signal.SIGINT)
        rest = demo.stdout.read()
        self.assertEqual(demo.wait(), 130)
        self.assert_nothing_left(demo)
        self.assertNotIn("monitor", rest)  # one of them has it

    def test_threads_show_the_whole_group(self):
        demo, port = self.watched("-n5", "--over=local")
        names = {"loss", "accuracy", "nodes_accuracy", "mean_accuracy", "distance", "consensus"}
        ring = {(rank, (rank + step) % 5) for rank in range(5) for step in (1, 4)}
        group, state = self.look_until(
            port, lambda group, state: ring <= links_of(group) and names <= {curve["name"] for curve in state["curves"]}
        )
        self.assertEqual([member["rank"] for member in group["members"]], list(range(5)))
        self.assertEqual({view["rank"] for view in group["views"]}, set(range(5)))
        self.assertIn(["topology", "ring"], state["settings"])
        self.stop(demo)

    def test_a_process_shows_what_its_node_sees(self):
        demo, port = self.watched("-n4", "--over=grpc", "--topology=full")
        group, _ = self.look_until(port, lambda group, _: len(links_of(group)) == 3)
        self.assertEqual(group["present"], 4)
        (view,) = group["views"]
        self.assertEqual(group["members"][view["rank"]]["name"], "node-00")
        self.stop(demo)

    def test_an_address_that_it_cannot_have_ends_the_run(self):
        demo, port = self.watched("-n2", "--over=local")
        for address in ("nonsense", f"127.0.0.1:{port}"):
            for over in ("grpc", "local"):
                code, _, errors = self.run_program(DEMO, BUILD, "-n3", f"--over={over}", f"--monitor={address}")
                self.assertEqual(code, 1)
                self.assertIn(address, errors)
        self.stop(demo)

    def test_a_rank_of_mpi_shows_what_it_sees(self):
        self.need_mpi()
        demo, port = self.watched("-n3", "--over=mpi")
        self.look_until(port, lambda group, _: len(links_of(group)) == 2)
        os.killpg(demo.pid, signal.SIGINT)
        demo.stdout.read()
        self.assertNotEqual(demo.wait(), 0)


def links_of(group):
    return {
        (view["rank"], edge["rank"]) for view in group["views"] for edge in view["edges"] if edge["link"] == "open"
    }  # fmt: skip


class Restarting(Case):
    def test_nodes_that_are_killed_go_on(self):
        demo = self.demo(
            "-n6", "--restart", "--rounds=300", f"--run={self.scratch}/run", f"--logs={self.scratch}/logs",
            "--patience=20", stdout=support.IN_STEP,
        )  # fmt: skip
        killed = []
        for number in (1, 2, 4):
            name = f"node-{number:02}"
            self.read_until(demo, "^round")
            process = subprocess.run(
                ["pgrep", "-s", str(demo.pid), "-f", f"[-]-name={name}"], capture_output=True, text=True, check=True
            ).stdout.split()[0]
            os.kill(int(process), signal.SIGKILL)
            killed.append(name)
        output = demo.stdout.read().splitlines()
        self.assertEqual(demo.wait(), 0, self.errors_of(demo))
        self.assertRegex(output[-1], r"^final accuracy 0\.\d{3}, consensus \S+, 300 rounds$")
        self.assert_nothing_left(demo)
        for rank in range(6):
            rows = self.rows_of_run(rank)
            self.assertEqual(rows[-1]["round"], "300")
        # A node has the rank of the directory that it writes to, and had it before.
        for name in killed:
            ranks = re.findall(r" rank (\d+): round", (self.scratch / "logs" / f"{name}.log").read_text())
            self.assertLessEqual(len(set(ranks)), 1)

    def rows_of_run(self, rank):
        with open(self.scratch / "run" / f"rank-{rank:02}" / "metrics.csv", newline="") as file:
            return list(csv.DictReader(file))

    def test_run_that_was_interrupted_is_gone_on_with(self):
        options = ["-n4", "--over=local", f"--run={self.scratch}/run", "--rounds=100000"]
        demo = self.demo(*options)
        self.read_until(demo, "^round 5:")
        os.killpg(demo.pid, signal.SIGINT)
        demo.stdout.read()
        self.assertEqual(demo.wait(), 130)
        done = max(int(self.rows_of_run(rank)[-1]["round"]) for rank in range(4))
        lines = self.lines_of(*options[:3], f"--rounds={done + 3}")
        self.assertRegex(lines[0], f"^round {done + 1}:")
        self.assertEqual(len(lines), 4)
        code, _, errors = self.run_program(
            DEMO, BUILD, *options[:3], f"--rounds={done + 3}", "--epochs=2", "--patience=1"
        )
        self.assertNotEqual(code, 0)
        self.assertIn("begun with other options", errors)


class State(Case):
    """What is told at SIGUSR1."""

    def state_of(self, process):
        process.send_signal(signal.SIGUSR1)
        lines = []
        while "end of the state" not in (line := process.stderr.readline()):
            self.assertTrue(line, "it has ended")
            lines.append(line)
        return "".join(lines)

    def await_state(self, process, pattern):
        while not (found := re.search(pattern, self.state_of(process))):
            pass
        return found

    def test_a_node_tells_whom_it_waits_for(self):
        options = ["--members=5", *ENDLESS]
        node = self.start_on_port(
            NODE, "--coordinate=127.0.0.1:0", "--threads=4", *options, "--patience=1000", stderr=subprocess.PIPE
        )
        while not support.catches(node, signal.SIGUSR1):
            pass
        self.await_state(node, r"state: group default: gathers for .*, epoch 0; of 5 members \d present.*; left: ")
        self.await_state(node, r"state: member 0 of this process has not joined yet\n")
        other = self.start(NODE, f"--coordinator=127.0.0.1:{node.port}", "--name=the frozen", *options, stdout=subprocess.DEVNULL)
        self.read_until(node, "^step 3:")
        other.send_signal(signal.SIGSTOP)
        waits = self.await_state(node, r"state: rank (\d) waits for rank (\d), the frozen \(present\): \w+ for (?!0\.0)\d+\.\d s, left: ")
        self.assertNotEqual(waits[1], waits[2])
        state = self.state_of(node)
        self.assertRegex(state, r"state: group default: runs for .*, epoch 1; of 5 members 5 present, \d of these away")
        self.assertRegex(state, rf"state: rank {waits[1]}: epoch 1, 5 of 5 members present, .* \d links, [1-9]\d* waits; .* received \d")
        self.assertRegex(state, rf"state: rank {waits[1]}, link to rank {waits[2]}, the frozen \(present\): (open|dialling), ")
        other.kill()


class Mistakes(Case):
    def test_each_is_told_with_what_is_wrong(self):
        no_object = self.scratch / "list.json"
        no_object.write_text("[3]")
        for options, text in (
            (["--topology=moebius"], "moebius"),
            (["--threads=5", "--topology=hypercube"], "hypercube"),
            (["--mixing=random"], "random"),
            (["--attack=noise"], "--attackers"),
            (["--attack=noise", "--attackers=9"], "expected ranks below"),
            (["--consensus-only", "--run=x"], "does not go with"),
            (["--consensus-only", "--dropout=0.5"], "each node does the same"),
            (["--consensus-only", f"--settings={no_object}"], "each node does the same"),
            ([f"--settings={no_object}"], f"{no_object}: this is no JSON object"),
            (["--settings=/nowhere.json"], "/nowhere.json: No such file"),
            (["--monitor=127.0.0.1:0", "--threads=0"], "--monitor"),
        ):
            code, _, errors = self.run_program(NODE, "--coordinate=local:c", *options)
            self.assertNotEqual(code, 0)
            self.assertIn(text, errors)

    def test_the_launcher_takes_no_options_of_one_node_alone(self):
        for option in ("--name=x", "--members=3", "--coordinator=127.0.0.1:1", "--threads=2", "--listen=127.0.0.1:0"):
            code, _, errors = self.run_program(DEMO, BUILD, "-n2", option)
            self.assertEqual(code, 2)
            self.assertIn(option, errors)

    def test_one_that_all_have_is_told_before_anybody_waits(self):
        code, _, errors = self.run_program(NODE, "--coordinator=127.0.0.1:1", "--members=5", "--topology=hypercube")
        self.assertEqual(code, 2)
        self.assertEqual(errors.count("--topology: there is no hypercube of 5 ranks"), 1)


if __name__ == "__main__":
    support.main()
