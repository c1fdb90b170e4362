#!/usr/bin/python3 -B
"""An experiment's file: values that come from elsewhere, what is resolved, hostile files, its schema and its documentation.
Its mistakes are in experiment.py."""

import json
import os
import unittest

import support
from experiment import EXAMPLES, HAS_VERTICAL, MISTAKES, SERVER
from support import MUSTER, SOURCE

try:
    import jsonschema
    import yaml
except ImportError:
    jsonschema = yaml = None

PARTICIPANTS = "participants: {program: python3, count: 4}\n"
HOSTS = "hosts:\n  - {name: a, ssh: a.example}\n  - {name: b, ssh: b.example}\n"


class Reading(support.Case):
    def check(self, text, *options, name="x.yml", **environment):
        """Exit status, output and mistakes, without the file's name."""
        path = self.scratch / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        own = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
        process = self.start(MUSTER, "check", path, *options, env={**own, **environment}, cwd=self.scratch)
        output = process.stdout.read()
        status = process.wait()
        return status, output, self.errors_of(process).replace(f"{path}:", "")

    def refused(self, text, *options, **environment):
        status, output, errors = self.check(text, *options, **environment)
        self.assertEqual((status, output), (1, ""), errors)
        return errors

    def resolved(self, text, *options, **environment):
        status, output, errors = self.check(text, "--resolved", *options, **environment)
        self.assertEqual((status, errors), (0, ""))
        return json.loads(output)


class Mistakes(Reading):
    def test_what_a_file_says_commands_no_terminal(self):
        errors = self.refused(SERVER + '"a\\e[2Jb": 1\n"c\\nd": 2\n')
        self.assertNotIn("\x1b", errors)
        self.assertEqual(len(errors.splitlines()), 2)


class Good(Reading):
    def test_keys_with_dots_and_nested_ones_are_the_same(self):
        nested = self.resolved("server: {strategy: {name: fedadam, eta: 0.5}, select: {over: 2, count: 3}}\n")
        dotted = self.resolved("server: {strategy.name: fedadam, strategy.eta: 0.5, select.over: 2, select.count: 3}\n")
        self.assertEqual(nested, dotted)
        self.assertEqual(nested["server"]["select.over"], 2)

    def test_other_hosts_are_listened_for(self):
        status, output, errors = self.check(SERVER + HOSTS + PARTICIPANTS)
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("2 participants on a", output)
        self.assertIn("2 participants on b", output)

    def test_an_alias_is_what_it_stands_for(self):
        text = "server: {}\nparticipants:\n  - &p {program: x, name: a, environment: {A: b}}\n  - program: y\n    name: b\n"
        self.assertEqual(self.check(text)[0], 0)
        text = "server: {}\nparticipants: {program: x, arguments: &a [b, c], for: [{ranks: 0, arguments: *a}]}\n"
        self.assertEqual(self.resolved(text)["participants"]["for"][0]["arguments"], ["b", "c"])


class Values(Reading):
    def test_the_environment(self):
        text = "server: {rounds: '${ROUNDS}', max_message_size: '${SIZE:-8M}'}\nrun: ${BASE:-runs}/y-$${x}\n"
        resolved = self.resolved(text, ROUNDS="7")
        self.assertEqual((resolved["server"]["rounds"], resolved["server"]["max_message_size"]), (7, 8 << 20))
        self.assertEqual(resolved["run"], "runs/y-$${x}")
        self.assertEqual(self.resolved(text, ROUNDS="7", BASE="/b", SIZE="")["run"], "/b/y-$${x}")

    def test_a_number_from_the_environment(self):
        text = SERVER + 'participants: {program: x, count: "${COUNT:-3}"}\n'
        self.assertEqual(self.resolved(text, COUNT="5")["participants"]["count"], 5)
        self.assertIn("2:35: participants.count five: expected", self.refused(text, COUNT="five"))

    def test_mistakes_in_references(self):
        for reference in ("${MISSING_XYZ}", "${}", "${A", "${A:x}", "${A-b}", "${1}"):
            self.assertIn(f"2:6: ${{{reference[2:].rstrip('}')}"[:6], self.refused(SERVER + f"run: '{reference}'\n", A=""))
        self.assertIn("MISSING_XYZ", self.refused(SERVER + "run: ${MISSING_XYZ}\n"))

    def test_what_the_environment_says_is_bounded(self):
        self.assertIn("2:6: ", self.refused(SERVER + "run: " + "${A}" * 20 + "\n", A="x" * 10000))

    def test_the_environment_is_not_utf_8(self):
        path = self.scratch / "x.yml"
        path.write_text(SERVER + "run: ${A}\n")
        process = self.start(MUSTER, "check", path, env={**os.environ, "A": os.fsdecode(b"\xff")})
        process.stdout.read()
        self.assertEqual(process.wait(), 1)
        self.assertIn("x.yml:2:6: ", self.errors_of(process))

    def test_set(self):
        text = "server: {rounds: 3, strategy.name: fedadam}\nparticipants: [{program: x, name: a}, {program: y, name: b}]\n"
        resolved = self.resolved(
            text,
            "--set=server.rounds=9",
            "--set=server.strategy.name=fedyogi",
            "--set=server.strategy.eta=0.5",
            "--set=participants.1.count=2",
            "--set=participants.0.arguments=[a, b c]",
            "--set=participants.2={program: z, name: c}",
            "--set=seed=4",
        )
        self.assertEqual((resolved["seed"], resolved["server"]["rounds"]), (4, 9))
        self.assertEqual(resolved["server"]["strategy.name"], "fedyogi")
        self.assertEqual(resolved["participants"][1]["count"], 2)
        self.assertEqual(resolved["participants"][0]["arguments"], ["a", "b c"])
        self.assertEqual(resolved["participants"][2]["name"], "c")

    def test_mistakes_in_set(self):
        text = "server: {rounds: 3}\nparticipants: [{program: x}]\n"
        for assignment, expected in (
            ("server.rounds=x", "--set server.rounds: server.rounds x: expected a whole number"),
            ("server.rouns=3", "--set server.rouns: server.rouns: there is no such key; did you mean rounds?"),
            ("server", "--set server: expected KEY=VALUE"),
            (".".join("a" * 16) + "=1", f"--set {'.'.join('a' * 16)}: there is room for 15 levels"),
            ("=3", "expected KEY=VALUE"),
            ("server..rounds=3", "--set server..rounds: a part of this key is empty"),
            ("server.rounds.x=3", "--set server.rounds.x: "),
            ("participants.x.count=3", "--set participants.x.count: x: this is a list"),
            ("participants.7.count=3", "--set participants.7.count: 7: the list has 1 entries"),
            ("seed=[", "--set seed: "),
            ("seed=a: b", "--set seed: seed: expected a whole number"),
        ):
            self.assertIn(expected, self.refused(text, f"--set={assignment}"))


class Resolved(Reading):
    def test_it_says_the_same_as_the_file(self):
        for text in (
            *(path.read_text() for path in EXAMPLES),
            "server: {train: {lr: 0.1, tag: a, yes: true, for: [{ranks: 0-3, lr: 0.2}]}, strategy: {name: fedadam, eta: 0.5}}\n"
            "participants: {program: x, arguments: ['1.10', --v=1.0, '$${x}']}\nhosts: [{ssh: a, options: [-v]}]\n",
            "nodes: {count: 3, for: [{ranks: 1, epochs: 3}]}\ncoordinator: {grace: 3}\n",
            "vertical: {members: 2}\nmembers: {data: 'x-{rank}.csv'}\nmonitor: off\n",
        ):
            if "vertical:" in text and not HAS_VERTICAL:
                continue
            _, first, errors = self.check(text, "--resolved")
            self.assertEqual(errors, "")
            _, again, errors = self.check(first, "--resolved")
            self.assertEqual((again, errors), (first, ""))
        self.assertIn('"1.10"', self.check(SERVER + "participants: {program: x, arguments: [1.10]}\n", "--resolved")[1])


class Started(Reading):
    """The examples, from their beginning to their end; they are small."""

    def test_examples(self):
        outputs = {"decentralized": "round 10", "fedavg": "final accuracy", "vertical": "final test loss"}
        for path in EXAMPLES:
            if path.stem not in outputs:
                continue  # it needs other hosts
            process = self.start(MUSTER, "start", path, cwd=self.scratch, env={**os.environ, "XDG_STATE_HOME": str(self.scratch)})
            said = process.stdout.read()
            self.assertEqual(process.wait(), 0, self.errors_of(process))
            self.assertIn(outputs[path.stem], said + self.errors_of(process))
            self.assertTrue((self.scratch / "runs" / path.stem / "experiment.json").exists())

    def test_the_server_s_limit_is_that_of_all(self):
        text = f"""
stop_within: 7
server: {{rounds: 1}}
participants: {{program: {MUSTER}, arguments: [demo, "--connect={{server}}"]}}
"""
        self.assertNotIn("stop_within", self.resolved(text)["server"])
        self.assertEqual(self.resolved(text.replace("rounds: 1", "stop_within: 3"))["server"]["stop_within"], 3)


class Hostile(Reading):
    def test_files_are_refused(self):
        laughs = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi")
        )
        for what, text, expected in (
            ("too long", SERVER + "#" * (1 << 20), "at most 1048576 bytes"),
            ("not UTF-8", SERVER.encode() + b"name: \xff\n", "2:7: "),
            ("UTF-16", ("\ufeff" + SERVER).encode("utf-16-le"), "1:1: "),
            ("a NUL", SERVER.encode() + b"name: a\0b\n", "2:8: "),
            ("a NUL that is escaped", SERVER + 'name: "a\\0b"\n', "2:7: there is a NUL in this text"),
            ("a billion laughs", laughs, "this is nested too deep, or too much"),
            ("an alias of itself", "a: &a [*a]\n", "this is nested too deep, or too much"),
            ("nested deep", "a: " + "[" * 100 + "]" * 100, "this is nested too deep, or too much"),
            ("nested very deep", "a: " + "[" * 500000, ""),
            ("many values", "a: [" + "1," * 300000 + "]\n", "this is nested too deep, or too much"),
            ("many keys", "".join(f"k{i}: 1\n" for i in range(3000)), "there is room for 1000 keys"),
            ("many processes", SERVER + "participants:\n" + "".join(f"  - {{program: x, name: n{i}, count: 10000}}\n" for i in range(300)), "10000 processes"),
            ("a long key", SERVER + "k" * 1000 + ": 1\n", "2:1: "),
            ("random bytes", bytes((i * 167 + 13) % 256 for i in range(5000)), ""),
        ):  # fmt: skip
            errors = self.refused(text)
            self.assertIn(expected, errors, what)
            self.assertLess(len(errors), 100000, what)

    def test_wrong_types_everywhere(self):
        keys = ["name", "run", "seed", "stop_within", "hosts", "credentials", "monitor", "record", "server", "participants",
                "coordinator", "nodes", "vertical", "members"]  # fmt: skip
        for key in keys:
            for value in ("x", "3", "[]", "[x]", "[[x]]", "{}", "{a: 1}", "[{}]", "[{for: [{}]}]", "{for: 3, hosts: 3}",
                          "{for: [3], hosts: [[]], environment: 3, count: x, program: []}", "null", "true"):  # fmt: skip
                other = {"coordinator": "nodes: {count: 2}\n", "members": "vertical: {}\n"}.get(key, "server: {}\n")
                text = f"{key}: {value}\n" + ("" if key in ("server", "nodes", "vertical") else other)
                status, _, errors = self.check(text)
                self.assertIn(status, (0, 1), f"{text}: {errors}")
                self.assertEqual(status == 1, errors != "", text)


@unittest.skipUnless(jsonschema and yaml, "python3-jsonschema and python3-yaml are not there")
class Schema(Reading):
    def setUp(self):
        super().setUp()
        status, output, errors = self.run_program(MUSTER, "check", "--schema")
        self.assertEqual((status, errors), (0, ""))
        schema = json.loads(output)
        jsonschema.Draft202012Validator.check_schema(schema)
        self.validator = jsonschema.Draft202012Validator(schema)

    def test_it_takes_both_forms_of_keys_and_references(self):
        for text in (
            "server: {strategy: {name: fedadam, eta: 0.5}, select: {over: 2}, train: {lr: 0.1, for: [{ranks: 1}]}}",
            "server: {strategy.name: fedadam, strategy.eta: 0.5, select.over: 2, train.lr: 0.1, rounds: '${ROUNDS}'}",
            "nodes: {count: 3, topology: ring, for: [{ranks: [0, 1-2], epochs: 3}]}\ncoordinator: {}",
            "vertical: {members: 2}\nmembers: {data: x}\nhosts: slurm\nmonitor: off",
            SERVER + HOSTS + PARTICIPANTS,
        ):
            self.validator.validate(yaml.safe_load(text))

    def test_it_refuses_mistakes(self):
        for what in (
            "nothing to train", "two kinds", "an unknown key", "an unknown setting", "an unknown setting within",
            "a number out of range", "a nested setting of the wrong type", "a setting that is a mapping", "no program", "too many",
            "a count in quotes", "a restart that is none", "a text for a list", "nodes without a count", "a port that is none",
            "hosts that are a word", "a rule without ranks", "a list",
        ):  # fmt: skip
            document = yaml.safe_load(MISTAKES[what][0])
            self.assertFalse(self.validator.is_valid(document), what)


class Documented(Reading):
    """docs/experiments.md has every key that is no setting of a program, and its examples are right."""

    def setUp(self):
        super().setUp()
        self.text = (SOURCE / "docs" / "experiments.md").read_text()

    def test_every_key(self):
        schema = json.loads(self.run_program(MUSTER, "check", "--schema")[1])
        top = schema["properties"]
        host = next(each["items"] for each in top["hosts"]["anyOf"] if "items" in each)
        participant = top["participants"]["anyOf"][0]
        own = {"environment", "directory", "restart", "restarts", "show", "host", "hosts", "listen", "address", "for"}
        for key in {*top, *host["properties"], *participant["properties"], *top["credentials"]["properties"], *own}:
            self.assertIn(f"`{key}`", self.text)

    def test_keys_at_the_top_are_there(self):
        schema = json.loads(self.run_program(MUSTER, "check", "--schema")[1])
        table = self.text.split("## At the top")[1].split("##")[0]
        for line in table.splitlines():
            if line.startswith("| `"):
                self.assertIn(line.split("`")[1], schema["properties"])

    def test_its_examples_are_right(self):
        found = self.text.split("```yaml\n")[1:]
        self.assertGreater(len(found), 5)
        for block in found:
            if "vertical:" in block and not HAS_VERTICAL:
                continue
            status, _, errors = self.check(block.split("```")[0], DATA="/data")
            self.assertEqual((status, errors), (0, ""), block)


if __name__ == "__main__":
    support.main()
