#!/usr/bin/python3 -B
"""The settings of `muster server`, and the program `muster` itself: what is refused, and what is said of it."""

import re
import subprocess

import support
from support import MUSTER


class Commands(support.Case):
    def test_help_and_version(self):
        status, output, _ = self.run_program(MUSTER, "--help")
        self.assertEqual(status, 0)
        for word in ("server", "demo", "help COMMAND"):
            self.assertRegex(output, rf"(?m)^  {word} ")
        self.assertIn("\nAddresses:\n  HOST:PORT and [V6]:PORT, ", output)
        for words in (("help", "server"), ("server", "--help")):
            status, output, _ = self.run_program(MUSTER, *words)
            self.assertEqual(status, 0)
            self.assertIn("Usage: muster server [OPTION...]", output)
        for words, line in ((("--version",), r"^muster \d+\.\d+\.\d+\n$"), (("server", "--version"), r"^muster server .*\d+\.\d+\.\d+\n$")):
            status, output, _ = self.run_program(MUSTER, *words)
            self.assertEqual(status, 0)
            self.assertRegex(output, line)

    def test_all_keys_and_strategies_are_in_the_help(self):
        _, output, _ = self.run_program(MUSTER, "server", "--help")
        for key in ("rounds: --rounds", "select.over: --select", "strategy.name: --strategy", "stop.patience: --patience"):
            self.assertIn(f"  {key}\n", output)
        for name in ("fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", "fedadagrad", "qfedavg", "median", "trimmedmean",
                     "krum", "multikrum", "fedbuff"):  # fmt: skip
            self.assertRegex(output, rf"(?m)^  {name} ")
        self.assertIn("strategy.beta2 (0 to 0.999999, default 0.99)", output)

    def test_an_unknown_command(self):
        for word, hint in (("sever", "did you mean 'server'"), ("nothing", "--help")):
            status, output, errors = self.run_program(MUSTER, word)
            self.assertEqual((status, output), (2, ""))
            self.assertIn(hint, errors)
        self.assertEqual(self.run_program(MUSTER)[0], 2)
        self.assertEqual(self.run_program(MUSTER, "help", "sever")[0], 2)


class Settings(support.Case):
    def refused(self, *options):
        """What is said of options, without the hint to --help."""
        status, output, errors = self.run_program(MUSTER, "server", "--listen=127.0.0.1:0", "--wait=0.1", *options)
        self.assertEqual((status, output), (2, ""), errors)
        return re.sub(r"Try `.*\n", "", errors).strip()

    def test_options_are_written_out(self):
        self.assertIn("there is no option --port; did you mean --port-file;", self.refused("--port=8080"))
        self.assertIn("there is no option --round; did you mean --rounds;", self.refused("--round", "3"))
        self.assertIn("there is no option --nonsense;", self.refused("--nonsense"))
        # What follows an option is its value, whatever it looks like.
        self.assertIn("--rounds --nonsense: expected", self.refused("--rounds", "--nonsense"))

    def test_what_is_wrong_is_named_with_its_range(self):
        for option, text in (
            ("--rounds=0", "rounds 0: expected a whole number from 1 to 1000000"),
            ("--rounds=1.5", "rounds 1.5: expected a whole number"),
            ("--rounds=-1", "rounds -1: expected a whole number"),
            ("--fraction=0", "--fraction 0: expected a number above 0 up to 1"),
            ("--fraction=nan", "--fraction nan: expected a number"),
            ("--fraction=0x1", "--fraction 0x1: expected a number"),
            ("--select=0.5", "--select 0.5: expected a number from 1 to 100"),
            ("--deadline=inf", "--deadline inf: expected a number"),
            ("--model-limit=1T", "--model-limit 1T: expected"),
            ("--set=overwrite=yes", "overwrite yes: expected true or false"),
            ("--set=rounds", "rounds: expected KEY=VALUE"),
            ("--set=strategy.beta1=x", "strategy.beta1 x: expected a number"),
            ("--run=", "--run: a text is missing"),
            ("--select-label=phone", "--select-label (select.label) phone: expected NAME=VALUE"),
        ):
            self.assertIn(text, self.refused(option))

    def test_the_nearest_key_is_named(self):
        for key, nearest in (("selct.over", "select.over"), ("patience", "stop.patience"), ("Rounds", "rounds")):
            self.assertIn(f"{key}: there is no such setting; {nearest} is one", self.refused(f"--set={key}=1"))
        self.assertIn("--help lists them", self.refused("--set=something.else=1"))
        self.assertIn("fedadam is one", self.refused("--strategy=fedadm"))
        self.assertIn("krum has no such setting; it has f", self.refused("--strategy=krum", "--set=strategy.beta1=0.5"))
        self.assertIn("strategy.beta1 1: expected a number from 0 to 0.999999",
                      self.refused("--strategy=fedadam", "--set=strategy.beta1=1"))  # fmt: skip

    def test_rounds_that_can_never_move_the_model(self):
        for options, text in (
            (("--strategy=krum", "--set=strategy.f=3", "--count=8"), "--count (select.count) 8: krum needs at least 9 answers"),
            (("--strategy=trimmedmean", "--set=strategy.f=2", "--enough=4"), "enough 4: trimmedmean needs at least 5"),
            (("--count=3", "--enough=4"), "enough 4: a round may have only 3"),
            (("--count=3", "--at-least=4"), "--at-least 4"),
            (("--patience=3",), "nobody tests the model"),
        ):
            self.assertIn(text, self.refused(*options))

    def test_what_would_do_nothing(self):
        for option, text in (
            ("--select=1.5", "--select (select.over): all participants are wanted"),
            ("--buffer=3", "--buffer: only fedbuff has one"),
            ("--versions-budget=2M", "--versions-budget: only fedbuff has one"),
            ("--patience=3", "--patience (stop.patience): nobody tests the model: set evaluate.every (--evaluate)"),
            ("--metric=f1", "--metric (stop.metric): nobody tests"),
            ("--min-delta=1", "--min-delta (stop.min_delta): nobody tests"),
            ("--set=evaluate.fraction=0.5", "--evaluate-fraction (evaluate.fraction): nobody tests"),
            ("--evaluate-deadline=3", "--evaluate-deadline (evaluate.deadline): nobody tests"),
            ("--come-back=3", "--come-back: without a run the server says good-bye"),
            ("--overwrite", "--overwrite: there is no run to overwrite"),
        ):
            self.assertIn(text, self.refused(option))
        self.assertIn("--fraction (select.fraction): select.count (--count) says", self.refused("--fraction=0.5", "--count=3"))

    def test_a_monitor_that_anybody_could_see(self):
        status, _, errors = self.run_program(MUSTER, "server", "--listen=127.0.0.1:0", "--monitor=0.0.0.0:0")
        if "this build has no monitor" in errors:
            self.skipTest("this build has no monitor")
        self.assertEqual(status, 1)
        self.assertIn("--monitor 0.0.0.0:0: other machines reach that address: set --token-file, too", errors)
        self.assertNotIn("anywhere", errors)

    def test_what_participants_are_told(self):
        for setting, text in (
            ("train.=1", "is not a name"),
            ("train.1st=1", "is not a name"),
            ("train.a b=1", "is not a name"),
            ("train.lr=nan", "finite"),
            ("train.lr=-inf", "finite"),
            ("train.for=", "there is nothing in it"),
            ("train.for={ranks: 1}", "expected a list"),
            ("train.for=[{epochs: 1}]", "entry 1: expected a mapping with labels or ranks"),
            ("train.for=[{labels: {kind: phone}}, 3]", "entry 2: expected a mapping"),
            ("train.for=[{labels: phone, epochs: 1}]", "labels: expected a mapping"),
            ("train.for=[{ranks: -1, epochs: 1}]", "ranks: expected"),
            ("train.for=[{ranks: 3-1, epochs: 1}]", "ranks: expected"),
            ("train.for=[{ranks: 1, epochs: [1]}]", "epochs: expected a finite number"),
            ("train.for=[{ranks: 1, lr: .nan}]", "expected a finite number"),
            ("train.for=[{ranks: 1, lr: -.inf}]", "expected a finite number"),
            ("train.for=[{ranks: 1, lr: 1, lr: 2}]", "a key is there twice"),
            ("train.for=[{ranks: 1, lr: 1}]\n---\n[]", "behind the first document"),
            ("train.for=[{ranks: 1, lr: 1", "column"),
            ("train.for=" + "[" * 5000, "column"),
            ("train.for=[&a {ranks: 1, lr: 1}" + ", *a" * 3000 + "]", "entries"),
        ):
            self.assertIn(text, self.refused(f"--set={setting}"), setting[:60])

    def test_what_the_server_says_itself(self):
        for name in ("round", "first_model"):
            self.assertIn(f"train.{name}", self.refused(f"--set=train.{name}=1"))

    def test_files(self):
        for options, text in (
            (("--overwrite",), "overwrite: there is no run"),
            (("--run=x", "--metrics=y"), "metrics"),
        ):
            self.assertIn(text, self.refused(*options))

    def test_help_says_nothing_on_standard_error(self):
        done = subprocess.run([MUSTER, "server", "--usage"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


support.main(MUSTER)
