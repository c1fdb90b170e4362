#!/usr/bin/python3 -B
"""muster check: each mistake in an experiment's file is told at its place, and what a good file comes to."""

import json
import os
import re
import subprocess
import unittest

import support
from support import MUSTER, SOURCE

CHECK = (MUSTER, "check")
# A build may have no vertical learning; then its section is a mistake, and nothing else is said of it.
HAS_VERTICAL = MUSTER.exists() and b"  vertical " in subprocess.run([MUSTER, "--help"], stdout=subprocess.PIPE).stdout
EXAMPLES = sorted((SOURCE / "examples" / "experiments").glob("*.yml" if HAS_VERTICAL else "[!v]*.yml"))

SERVER = "server: {rounds: 5}\n"
ONE = SERVER + "participants: {program: x}\n"
HOST = "hosts: [{name: a, ssh: u@h}]\n"

# A file, and what is said of it: all of it, in this order.
MISTAKES = {
    "an unknown key": ("servr: {}\n" + SERVER, ["1:1: servr: there is no such key; did you mean server?"]),
    "an unknown setting": ("server: {round: 5}\n", ["1:10: server.round: there is no such key; did you mean rounds?"]),
    "an unknown setting within": (
        "server:\n  select:\n    fractoin: 1\n",
        ["3:5: server.select.fractoin: there is no such key; did you mean select.fraction?"],
    ),
    "nothing to train": ("name: x\n", ["1:1: there is none of server, nodes and vertical: say what is to be trained"]),
    "nothing at all": ("", ["1:1: expected keys with values, such as `server: {rounds: 5}`"]),
    "two kinds": (
        SERVER + "nodes: {count: 2}\n",
        ["2:1: nodes: there is server already; an experiment has one of server, nodes and vertical"],
    ),
    "a section without its companion": (
        "nodes: {count: 2}\nparticipants: {program: x}\n",
        ["2:1: participants: this goes with server, which is missing"],
    ),
    "a number that is none": ("server: {rounds: many}\n", ["1:18: server.rounds many: expected a whole number from 1 to 1000000"]),
    "a number out of range": (
        "server: {select.fraction: 2}\n",
        ["1:27: server.select.fraction 2: expected a number above 0 up to 1"],
    ),
    "a strategy that is none": (
        "server: {strategy: {name: fedadm}}\n",
        ["1:27: server.strategy.name fedadm: there is no such strategy; fedadam is one"],
    ),
    "a parameter of another strategy": (
        "server:\n  strategy:\n    beta1: 0.5\n",
        ["3:12: server.strategy.beta1: fedavg has no such setting; it has none"],
    ),
    "a flag that is none": ("server: {overwrite: maybe}\n", ["1:10: server.overwrite: the launcher sets this; muster start has --overwrite"]),
    "a rule without ranks or labels": (
        "server:\n  train:\n    for: [{epochs: 1}]\n",
        ["3:10: server.train.for, entry 1: expected a mapping with labels or ranks, such as {labels: {kind: phone}, epochs: 1}"],
    ),
    "what the launcher says": ("server: {run: x}\n", ["1:10: server.run: the launcher sets this; say run at the top of the file"]),
    "a seed that is none": ("seed: -1\n" + SERVER, ["1:7: seed -1: expected a whole number from 0 to 9007199254740991"]),
    "a number in quotes": (
        'stop_within: "5"\n' + SERVER,
        ["1:14: stop_within 5: expected a number from 0.1 to 1000000000, without quotes"],
    ),
    "no program": (
        SERVER + "participants: {count: 2}\n",
        ['2:15: participants.program is missing: The program to start; "muster" is this one'],
    ),
    "too many": (SERVER + "participants: {program: x, count: 10001}\n", ["2:35: participants.count 10001: expected a whole number from 1 to 10000"]),
    "a text for a list": (SERVER + "participants: {program: x, arguments: y}\n", ["2:39: participants.arguments y: expected a list, such as [a, b]"]),
    "a restart that is none": (
        SERVER + "participants: {program: x, restart: sometimes}\n",
        ["2:37: participants.restart sometimes: expected never, on-failure or always"],
    ),
    "a rank that is not there": (
        SERVER + "participants: {program: x, count: 2, for: [{ranks: 2, arguments: [y]}]}\n",
        ["2:52: ranks: there are 2 of them, from 0 to 1"],
    ),
    "two rules for a rank": (
        SERVER + "participants: {program: x, count: 3, for: [{ranks: 0-1}, {ranks: [1, 2]}]}\n",
        ["2:67: ranks: rank 1 is there twice; say all of it in one entry"],
    ),
    "ranks that are none": (
        SERVER + "participants: {program: x, count: 3, for: [{ranks: 2-1}]}\n",
        ["2:52: participants.for.0.ranks 2-1: expected 3, 0-3, or a list of those"],
    ),
    "a variable that is the launcher's": (
        SERVER + "participants: {program: x, environment: {MUSTER_RANK: 3}}\n",
        ["2:42: participants.environment: MUSTER_RANK: the launcher itself sets this one"],
    ),
    "two groups of one name": (
        SERVER + "participants: [{program: x}, {program: y}]\n",
        ["2:30: participants: two groups are called participant; give each a name"],
    ),
    "a name with a slash": (
        SERVER + "participants: {program: x, name: a/b}\n",
        ["2:34: name a/b: this cannot be the name of a file"],
    ),
    "a run without a name": ("name: .\n" + SERVER, ["1:7: name .: expected 1 to 64 characters, no '/', and no '.' or '-' first"]),
    "a host that is not there": (
        SERVER + "participants: {program: x, hosts: [b]}\n",
        ["2:36: b: hosts does not define this host"],
    ),
    "a host without a way": ("hosts: [{name: a}]\n" + ONE, ["1:9: hosts: say how this host is reached: one of ssh, srun and mpirun"]),
    "a host with two ways": ("hosts: [{ssh: a, srun: a}]\n" + ONE, ["1:9: hosts: say how this host is reached: one of ssh, srun and mpirun"]),
    "a host that would be an option": ("hosts: [{ssh: -oProxyCommand=x}]\n" + ONE, ["1:15: -oProxyCommand=x: this is no host"]),
    "a host twice": (
        "hosts: [{name: a, ssh: h}, {name: a, ssh: i}]\n" + ONE,
        ["1:28: hosts: there are two of the name a; \"here\" is this machine"],
    ),
    "a host that is called here": (
        "hosts: [{name: here, ssh: h}]\n" + ONE,
        ["1:9: hosts: there are two of the name here; \"here\" is this machine"],
    ),
    "a host without processes": (
        HOST + SERVER + "participants: {program: x, hosts: [here]}\n",
        ["1:9: hosts: nothing runs on a"],
    ),
    "loopback for others": (
        HOST + 'server: {listen: "127.0.0.1:80"}\nparticipants: {program: x}\n',
        ["2:18: server.listen 127.0.0.1:80: other hosts cannot reach this address; say 0.0.0.0:0, or leave it out"],
    ),
    "loopback for others, over HTTP/2": (
        HOST + 'server: {listen: "http2+127.0.0.1:80"}\nparticipants: {program: x}\n',
        ["2:18: server.listen http2+127.0.0.1:80: other hosts cannot reach this address; say 0.0.0.0:0, or leave it out"],
    ),
    "a job that is none": ("hosts: slurm\n" + ONE, ["1:8: hosts: this is no Slurm job, or `scontrol show hostnames` does not tell its nodes"]),
    "nodes without a count": ("nodes: {rounds: 5}\n", ["1:8: nodes.count is missing: How many nodes"]),
    "a topology that is none": ("nodes: {count: 4, topology: rign}\n", None),
    "an algorithm that is none": (
        "nodes: {count: 4, algorithm: pull}\n",
        ["1:30: nodes.algorithm pull: expected static, push, exchange, dynamic or fedavg"],
    ),
    "a model that is none": (
        "vertical: {model: svm}\n",
        ["1:19: vertical.model svm: expected logistic, multinomial, linear or ridge"],
    ),
    "a member's key that is none": (
        "vertical: {members: 2}\nmembers: {dat: x.csv}\n",
        ["2:11: members.dat: there is no such key; did you mean data?"],
    ),
    "a key twice": ("name: a\nname: b\n" + SERVER, ["2:1: name: this key is there twice, first at line 1"]),
    "a tab": ("server:\n\trounds: 5\n", None),
    "no YAML": ("server: {rounds: 5\n", None),
    "two documents": (SERVER + "---\n" + SERVER, ["3:1: a second document begins here; a file has one"]),
    "a merge key": ("a: &a {b: 1}\nserver:\n  <<: *a\n", None),
    "a list": ("[1, 2]\n", ["1:1: expected keys with values, such as `server: {rounds: 5}`"]),
    "a variable that is not set": (
        'server: {rounds: "${MUSTER_TEST_NONE}"}\n',
        [
            "1:18: ${MUSTER_TEST_NONE}: the environment has no such variable; set it, or write ${MUSTER_TEST_NONE:-DEFAULT}",
            "1:18: server.rounds ${MUSTER_TEST_NONE}: expected a whole number from 1 to 1000000",
        ],
    ),
    "members of nobody": ("server: {rounds: 3}\nmembers: {}\n", ["2:1: members: this goes with vertical, which is missing"]),
    "a coordinator of nobody": ("server: {rounds: 3}\ncoordinator: {}\n", ["2:1: coordinator: this goes with nodes, which is missing"]),
    "an unknown key, far from all": ("server: {rounds: 3}\nzzzzzzzzz: 1\n", ["2:1: zzzzzzzzz: there is no such key; docs/experiments.md lists them"]),
    "a nested setting of the wrong type": ("server:\n  select:\n    over: x\n", ["3:11: server.select.over x: expected a number from 1 to 100"]),
    "a setting that is a mapping": ("server:\n  rounds: {a: 1}\n", ["2:11: server.rounds: expected a value"]),
    "a setting without a value": ("server:\n  rounds:\n", ["2:10: server.rounds: expected a value"]),
    "a setting said twice": ("server:\n  select.over: 2\n  select: {over: 3}\n", ["3:12: server.select.over: this is there twice, nested and with dots"]),
    "settings that do not go together": ("server:\n  stop: {patience: 3}\n", ["2:20: server.stop.patience: nobody tests the model: set evaluate.every (--evaluate), too"]),
    "a port file": ("server:\n  port_file: x\n", ["2:3: server.port_file: the launcher sets this; it is not needed here"]),
    "a bad address": ("server:\n  listen: 8080\nparticipants: {program: python3, count: 4}\n", ["2:11: server.listen 8080: expected HOST:PORT"]),
    "an address of threads": ("server:\n  listen: local:x\nparticipants: {program: python3, count: 4}\n", ["2:11: server.listen local:x: expected HOST:PORT"]),
    "a negative time": ("server: {rounds: 3}\nstop_within: 0\n", ["2:14: stop_within 0: expected a number from 0.1 to 1000000000"]),
    "a name that is a mapping": ("server: {rounds: 3}\nname: {a: b}\n", ["2:7: name: expected a text, and this is a mapping"]),
    "an empty run": ("server: {rounds: 3}\nrun: ''\n", ["2:6: run: expected a directory"]),
    "credentials that are unknown": ("server: {rounds: 3}\ncredentials: {tls_crt: x}\n", ["2:15: credentials.tls_crt: there is no such key; did you mean tls_cert?"]),
    "a certificate without a key": ("server: {rounds: 3}\ncredentials: {tls_cert: x}\n", ["2:15: credentials.tls_cert: tls_key is missing"]),
    "a key without a certificate": ("server: {rounds: 3}\ncredentials: {tls_key: x}\n", ["2:15: credentials.tls_key: tls_cert is missing"]),
    "a record that is no list": ("server: {rounds: 3}\nrecord: csv:x\n", ["2:9: record csv:x: expected a list, such as [a, b]"]),
    "no number of participants": ("server: {rounds: 3}\nparticipants: {program: x, count: 0}\n", ["2:35: participants.count 0: expected a whole number from 1 to 10000"]),
    "a count in quotes": ("server: {rounds: 3}\nparticipants: {program: x, count: '4'}\n", ["2:35: participants.count 4: expected a whole number from 1 to 10000, without quotes"]),
    "a name that cannot be a file's": ("server: {rounds: 3}\nparticipants: {program: x, name: .x}\n", ["2:34: name .x: this cannot be the name of a file"]),
    "a flag that is a word": ("server: {rounds: 3}\nparticipants: {program: x, show: yes}\n", ["2:34: participants.show yes: expected true or false"]),
    "an environment that is a list": ("server: {rounds: 3}\nparticipants: {program: x, environment: [A]}\n", ["2:41: participants.environment: expected a mapping, such as {NAME: VALUE}, and this is a list"]),
    "a variable that is none": ("server: {rounds: 3}\nparticipants: {program: x, environment: {'A=B': c}}\n", ["2:42: participants.environment: A=B is no name of a variable"]),
    "a rule without ranks": ("server: {rounds: 3}\nparticipants: {program: x, for: [{arguments: [a]}]}\n", ["2:34: participants.for.0.ranks is missing: For which of them this is: 3, 0-3, or a list of those"]),
    "a host for the server that is not there": ("server: {host: c}\n", ["1:16: c: hosts does not define this host"]),
    "a port that is none": ("server: {rounds: 3}\nhosts: [{name: a, ssh: x, port: 99999}]\n", ["2:33: hosts.0.port 99999: expected a whole number from 1 to 65535"]),
    "hosts that are a word": ("server: {rounds: 3}\nhosts: kubernetes\n", ["2:8: hosts kubernetes: expected slurm, or a list"]),
    "a node's own coordinator": ("nodes: {count: 4, coordinator: x}\n", ["1:19: nodes.coordinator: the launcher sets this; there is a section coordinator"]),
    "a rule of nodes, out of range": ("nodes:\n  count: 4\n  for: [{ranks: 3, epochs: 0}]\n", ["3:28: nodes.for: epochs cannot have this value, or not be another for some"]),
    "a rule of nodes, unknown": ("nodes:\n  count: 4\n  for: [{ranks: 3, epoch: 2}]\n", ["3:20: nodes.for: epoch: there is no such key; did you mean epochs?"]),
    "a setting of vertical": ("vertical:\n  epochs: x\n", ["2:11: vertical.epochs x: expected a whole number from 1 to 1000000000"]),
    "a member's rank": ("vertical: {}\nmembers: {rank: 1}\n", ["2:11: members.rank: the launcher sets this; each has its own"]),
    "a record that is none": ("record: [xml:x, 'csv:']\nserver: {}\n", [
        "1:10: record xml:x: expected tensorboard:DIR, mlflow:URL, csv:FILE or jsonl:FILE",
        "1:17: record csv:: expected tensorboard:DIR, mlflow:URL, csv:FILE or jsonl:FILE",
    ]),
    "a monitor that is none": ("monitor: 8080\nserver: {}\n", None),
    "a key that is a list": ("server: {rounds: 3}\n? [a]\n: 1\n", ["2:3: a key has to be a name"]),
}


class Checking(support.Case):
    def file(self, text, name="file.yml"):
        path = self.scratch / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def check(self, text, *options):
        path = self.file(text)
        status, output, errors = self.run_program(*CHECK, path, *options)
        return status, output, errors.replace(str(path) + ":", "")

    def resolve(self, text, *options):
        status, output, errors = self.check(text, "--resolved", *options)
        self.assertEqual(status, 0, errors)
        return json.loads(output)


class Mistakes(Checking):
    def test_each(self):
        wrong = []
        for name, (text, expected) in MISTAKES.items():
            if "vertical:" in text and not HAS_VERTICAL:
                continue
            status, output, errors = self.check(text)
            said = errors.splitlines()
            good = (status, output) == (1, "") and said and re.match(r"\d+:\d+: ", said[0])
            if not good or (expected is not None and said != expected):
                wrong.append(f"{name}: {said}, and not {expected}")
        self.assertEqual("\n".join(wrong), "")

    def test_all_are_told_in_order(self):
        text = "nam: x\nserver: {rounds: 0, stragegy: 1}\nparticipants: {count: 0, program: x}\n"
        _, _, errors = self.check(text)
        self.assertEqual([line.split(" ")[0] for line in errors.splitlines()], ["1:1:", "2:18:", "2:21:", "3:23:"])

    def test_many(self):
        text = "".join(f"k{i}: 1\n" for i in range(200))
        _, _, errors = self.check(text)
        lines = errors.splitlines()
        self.assertEqual(len(lines), 51)
        self.assertIn("more mistakes are not shown", lines[-1])

    def test_hostile_files(self):
        bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
        )
        for text in (
            bomb,
            "a: &a [*a]\n",
            "[" * 10000,
            b"\x00server: {}\n",
            b"server: {model: \xff\xfe}\n",
            "server: {model: \"a\\0b\"}\n",
            "x" * (1 << 20) + ": 1\n",
            "server: {\"\": 1}\n",
            "? [a]\n: 1\n",
            "server: {train: {for: " + "[" * 12 + "]" * 12 + "}}\n",
            SERVER + "participants: {program: x, environment: [a], for: {ranks: 0}, arguments: {a: b}}\n",
            SERVER + "participants: [[x], x, {}]\nhosts: [x, [y], {}]\n",
            "nodes: {count: 3, for: [x, {ranks: {a: b}}]}\n",
            "server: 5\nparticipants: 6\n",
            "vertical: []\nmembers: []\n",
        ):
            status, _, errors = self.check(text)
            self.assertEqual(status, 1, (text[:80], errors))
            self.assertNotRegex(errors, r"[^\x20-\x7e\n]")

    def test_a_file_that_cannot_be_read(self):
        for path in (self.scratch / "none", self.scratch):
            status, _, errors = self.run_program(*CHECK, path)
            self.assertEqual(status, 1)
            self.assertIn(str(path), errors)

    def test_command_lines(self):
        for words in ([], ["a", "b"], ["--resolve", "a"]):
            self.assertEqual(self.run_program(*CHECK, *words)[0], 2)


class Good(Checking):
    def test_a_summary(self):
        text = SERVER + HOST + "participants: [{program: sh, count: 3}, {program: sh, name: b, hosts: [here, a], count: 2}]\n"
        status, output, errors = self.check(text)
        self.assertEqual(status, 0, errors)
        self.assertEqual(
            output.splitlines()[1:], ["  1 server on here", "  4 participants on a", "  1 participant on here"]
        )

    def test_the_environment(self):
        os.environ["MUSTER_TEST_ROUNDS"] = "7"
        os.environ["MUSTER_TEST_EMPTY"] = ""
        text = 'server: {rounds: "${MUSTER_TEST_ROUNDS}", model: "$${x}-${MUSTER_TEST_NONE:-d}-${MUSTER_TEST_EMPTY:-e}"}\n'
        server = self.resolve(text)["server"]
        self.assertEqual((server["rounds"], server["model"]), (7, "$${x}-d-e"))

    def test_assignments(self):
        text = SERVER + "participants: [{program: x, arguments: [a, b]}]\n"
        resolved = self.resolve(
            text, "--set", "server.rounds=9", "--set", "server.strategy.name=fedadam", "--set", "participants.0.count=3",
            "--set", "participants.0.arguments.1=c d", "--set", "name=other", "--set", "participants.0.environment={A: 1}",
        )  # fmt: skip
        self.assertEqual(resolved["server"]["rounds"], 9)
        self.assertEqual(resolved["server"]["strategy.name"], "fedadam")
        (group,) = resolved["participants"]
        self.assertEqual((group["count"], group["arguments"], group["environment"]), (3, ["a", "c d"], {"A": 1}))
        self.assertEqual((resolved["name"], resolved["run"]), ("other", "runs/other"))
        for words, expected in (
            ("server.rounds=0", "--set server.rounds: server.rounds 0: expected a whole number from 1 to 1000000"),
            ("rounds", "--set rounds: expected KEY=VALUE, such as server.rounds=10"),
            ("participants.5.count=1", "--set participants.5.count: 5: the list has 1 entries, and the next is 1"),
            ("server.rounds.x=1", '--set server.rounds.x: there is no x in it: this is one value, "5"'),
        ):
            status, _, errors = self.check(text, "--set", words)
            self.assertEqual((status, errors.strip()), (1, expected))

    def test_the_name_is_the_files(self):
        path = self.file(SERVER, "my run.yaml")
        status, output, _ = self.run_program(*CHECK, path)
        self.assertEqual(status, 0)
        self.assertIn("my run is good: 1 process; the run directory is runs/my run", output)

    def test_fewer_participants_than_the_server_waits_for(self):
        for count, noted in ((2, True), (5, False)):
            text = "server: {rounds: 5, min_participants: 5}\nparticipants: {program: x, count: %d}\n" % count
            status, output, _ = self.check(text)
            self.assertEqual(status, 0)
            self.assertEqual("the server waits for 3 more that the file does not start" in output, noted)

    def notes(self, text):
        status, output, errors = self.check(text)
        self.assertEqual(status, 0, errors)
        return re.findall("(?m)^  note: (.*)$", output)

    def test_files_that_are_not_here(self):
        """They are noted, each once, and as the processes that use them would find them."""
        folder = self.scratch / "w"
        folder.mkdir()
        (folder / "run.sh").write_text("#!/bin/sh\n")
        (folder / "token").write_text("x")
        text = SERVER + f"participants: {{program: ./run.sh, count: 2, directory: '{folder}'}}\ncredentials: {{token_file: {folder}/token}}\n"
        self.assertEqual(self.notes(text), ["participant-0: program: ./run.sh: Permission denied"])
        (folder / "run.sh").chmod(0o755)
        self.assertEqual(self.notes(text), [])
        (folder / "token").unlink()
        self.assertEqual(self.notes(text), [f"server: credentials.token_file: {folder}/token: No such file or directory"])
        self.assertEqual(self.notes(SERVER + "participants: {program: no-such-program, count: 3}\n"),
                         ["participant-0: program: no-such-program: there is no such program in PATH"])  # fmt: skip
        self.assertEqual(self.notes(SERVER + "participants: {program: sh}\n"), [])
        # What is elsewhere is not known.
        self.assertEqual(self.notes(HOST + SERVER + "participants: {program: no-such-program}\n"), [])

    @unittest.skipUnless(HAS_VERTICAL, "no vertical learning in this build")
    def test_data_that_is_not_here(self):
        self.assertEqual(self.notes("vertical: {members: 2}\n"), [])
        text = f"vertical: {{members: 20, data: '{self.scratch}/labels.csv'}}\nmembers: {{data: '{self.scratch}/columns-{{rank}}.csv'}}\n"
        notes = self.notes(text)
        self.assertEqual(notes[0], f"master: data: {self.scratch}/labels.csv: No such file or directory")
        self.assertEqual(notes[1], f"member-00: data: {self.scratch}/columns-0.csv: No such file or directory")
        self.assertEqual((len(notes), notes[-1]), (11, "11 more files are missing"))

    def test_slurm(self):
        tools = self.scratch / "tools"
        tools.mkdir()
        (tools / "scontrol").write_text('#!/bin/sh\n[ "$*" = "show hostnames n[1-3]" ] && printf "n1\\nn2\\nn3\\n"\n')
        (tools / "scontrol").chmod(0o755)
        path = self.file(SERVER + "participants: {program: x, count: 6}\n")
        job = {"SLURM_JOB_NODELIST": "n[1-3]", "SLURM_JOB_NUM_NODES": "3", "PATH": f"{tools}:{os.environ['PATH']}"}
        check = self.start(CHECK, path, env={**os.environ, **job})
        self.assertEqual(
            check.stdout.read().splitlines()[1:],
            ["  1 server on here", "  2 participants on n1", "  2 participants on n2", "  2 participants on n3"],
        )
        self.assertEqual(check.wait(), 0, self.errors_of(check))

    def test_examples(self):
        self.assertGreater(len(EXAMPLES), 0)
        for path in EXAMPLES:
            status, output, errors = self.run_program(*CHECK, path)
            self.assertEqual(status, 0, errors)


class Schema(Checking):
    def setUp(self):
        super().setUp()
        status, output, _ = self.run_program(*CHECK, "--schema")
        self.assertEqual(status, 0)
        self.schema = json.loads(output)

    def test_it_has_what_files_have(self):
        server = self.schema["properties"]["server"]["properties"]
        self.assertEqual(server["select"]["properties"]["fraction"]["anyOf"][0]["exclusiveMinimum"], 0)
        self.assertIn("description", server["rounds"])
        self.assertFalse(self.schema["additionalProperties"])

    def test_it_says_the_same(self):
        try:
            import jsonschema
            import yaml
        except ImportError:
            raise unittest.SkipTest("python3-jsonschema or python3-yaml is not installed")
        validator = jsonschema.Draft202012Validator(self.schema)
        jsonschema.Draft202012Validator.check_schema(self.schema)
        for path in EXAMPLES:
            self.assertEqual(list(validator.iter_errors(yaml.safe_load(path.read_text()))), [], path)
        for name in ("an unknown key", "an unknown setting", "a number out of range", "two kinds", "no program", "too many"):
            self.assertNotEqual(list(validator.iter_errors(yaml.safe_load(MISTAKES[name][0]))), [], name)


if __name__ == "__main__":
    support.main()
