#!/usr/bin/python3 -B
"""Vertical learning, from outside: what is said of broken tables, the launcher over each transport against numpy, weights
and predictions, what is recorded and shown, and what signals and mistakes do."""

import csv
import json
import os
import pathlib
import re
import signal
import subprocess
import urllib.request

import numpy

import support
from support import BUILD, MASTER, MEMBER, SOURCE

LAUNCHER = SOURCE / "apps" / "muster" / "vertical" / "demo"

FINAL = re.compile(r"final (test|train) loss (\S+), (?:accuracy|r2) (\S+?)(?:; central: (\S+), (\S+))?$")


def sigmoid(score):
    return 1 / (1 + numpy.exp(-score))


class Case(support.Case):
    def start(self, *command, **settings):
        if any("mpi" in str(word) for word in command):
            # Some of MPI's modules are gone when leaks are looked for: only who called them shows whose leak it is.
            sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":fast_unwind_on_malloc=0"
            settings["env"] = os.environ | {"ASAN_OPTIONS": sanitizer}
        return super().start(*command, **settings)

    def start_master(self, *options, port=0, **settings):
        return self.start_on_port(MASTER, f"--listen=127.0.0.1:{port}", *options, **settings)

    def start_members(self, master, *options):
        return [self.start(MEMBER, f"--connect=127.0.0.1:{master.port}", f"--rank={k}", *options) for k in range(3)]

    def write_csv(self, name, rows):
        path = self.scratch / name
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows(rows)
        return path

    def launch(self, *options, **settings):
        """Runs the launcher: its final line, taken apart, and all that it printed."""
        process = self.start(LAUNCHER, BUILD, *options, **settings)
        output = process.stdout.read()
        self.assertEqual(process.wait(), 0, self.errors_of(process) + output)
        self.assert_nothing_left(process)
        last = output.splitlines()[-1]
        self.assertRegex(last, FINAL)
        return FINAL.search(last).groups(), output

    def weights(self, folder, count):
        """Those of all members, in the order of the columns."""
        return numpy.concatenate([numpy.load(folder / f"member-{k}.npz")["weights"] for k in range(count)])


class Tables(Case):
    def refused(self, text, *options, name="people.csv"):
        """What a member says of a file that it cannot take."""
        path = self.scratch / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        status, output, errors = self.run_program(MEMBER, f"--data={path}", *options)
        self.assertEqual((status, output), (1, ""), errors)
        return errors

    def test_line_and_column_of_a_value(self):
        for value in ("", "NA", "nan", "?", '""', " "):
            self.assertIn("people.csv, line 3: column 'age': there is no value", self.refused(f"id,age\na,1\nb,{value}\n"))
        for value in ("x", "0x10", "1e", "1,", "inf", "1e999", "1 2", "--1"):
            said = self.refused(f'id,age\r\n"a, b",1\r\n"c""d","{value}"\r\n')
            self.assertIn("people.csv, line 3: column 'age': ", said)
            self.assertIn("is no finite number", said)

    def test_rows(self):
        self.assertIn("line 3: there are 1 values for 2 columns", self.refused("id,age\na,1\nb\n"))
        self.assertIn("line 2: there are 3 values for 2 columns", self.refused("id,age\na,1,2\n"))
        self.assertIn("line 4: the id 'a' is in line 2, too", self.refused("id,age\na,1\nb,1\na,1\n"))
        self.assertIn("line 3: the id: it is empty", self.refused("id,age\na,1\n,1\n"))
        self.assertIn("there are no rows", self.refused("id,age\n"))
        self.assertIn("there are no rows", self.refused(""))
        self.assertIn("line 2: a quote", self.refused('id,age\na"b,1\n'))
        self.assertIn("line 3: the id: it is no UTF-8", self.refused(b"id,age\na,1\nb\xff,1\n"))
        self.assertIn("line 2: the id: it is no UTF-8", self.refused("id,age\na\x1b[31m,1\n"))

    def test_columns(self):
        self.assertIn("line 1: two columns are called 'age'", self.refused("id,age,age\na,1,2\n"))
        self.assertIn("line 1: there is no column 'who'", self.refused("id,age\na,1\n", "--id=who"))
        self.assertIn("line 1: there are no columns of features", self.refused("id,age\na,1\n", "--labels=age"))
        self.assertIn("are there commas between the columns?", self.refused("id;age\na;1\n"))
        self.assertIn("line 1: there are no columns of features", self.refused("id,age\na,1\n", "--rank=2", "--members=3"))
        self.assertIn("line 1: the name of column 2: it is empty", self.refused("id,\na,1\n"))
        path = self.write_csv("labels.csv", [["id", "sick"], ["a", 1]])
        status, _, errors = self.run_program(MASTER, path, "--labels=well")
        self.assertEqual(status, 1)
        self.assertIn("line 1: there is no column 'well' with labels", errors)

    def test_files_that_are_none(self):
        self.assertIn("no-such.csv: No such file", self.run_program(MEMBER, f"--data={self.scratch}/no-such.csv")[2])
        self.assertIn("Is a directory", self.run_program(MEMBER, f"--data={self.scratch}")[2])
        for spec in ("synthetic:", "synthetic:0,3", "synthetic:9,-3", "synthetic:9,3,", "synthetic:classes:9,3", "synthetic:a"):
            self.assertIn("expected such as synthetic:2000,20", self.run_program(MEMBER, f"--data={spec}")[2])

    def test_npz(self):
        path = self.scratch / "people.npz"

        def said(**arrays):
            numpy.savez(path, **arrays)
            status, output, errors = self.run_program(MEMBER, f"--data={path}")
            self.assertEqual((status, output), (1, ""), errors)
            return errors

        x = numpy.ones((2, 3))
        self.assertIn("there is no array 'ids'", said(x=x))
        self.assertIn("there is no array 'x'", said(ids=numpy.arange(2)))
        self.assertIn("expected a row for each of the 2 ids", said(ids=numpy.arange(2), x=numpy.ones(3)))
        self.assertIn("ids: expected whole numbers, or text as bytes", said(ids=numpy.arange(2.0), x=x))
        self.assertIn("row 1: the id '7' is in row 0, too", said(ids=numpy.array([7, 7]), x=x))
        x[1, 2] = numpy.nan
        self.assertIn("x[1, 2]: there is no value, or it is not finite", said(ids=numpy.arange(2), x=x))


class Training(Case):
    """The example that all know: 1000 records, 20 columns among three, 100 steps with all of them."""

    def setUp(self):
        super().setUp()
        random = numpy.random.RandomState(0)
        self.x = random.randn(1000, 20)
        w = random.randn(20)
        self.y = (sigmoid(self.x @ w) > random.rand(1000)).astype(float)
        header = ["id", *(f"x{i}" for i in range(20)), "y"]
        rows = [[f"p{i:04}", *map(repr, map(float, self.x[i])), int(self.y[i])] for i in range(1000)]
        self.data = self.write_csv("people.csv", [header, *rows])
        self.options = (
            self.data, "--labels=y", "--epochs=100", "--batch-size=0", "--learning-rate=0.5", "--test-fraction=0",
            f"--weights={self.scratch}/weights", "--report-every=100",
        )

    def reaches_the_reference(self, *options):
        (part, loss, accuracy, central_loss, central_accuracy), _ = self.launch(*self.options, *options)
        self.assertEqual((part, accuracy, central_accuracy), ("train", "0.8730", "0.8730"))
        self.assertAlmostEqual(float(loss), 0.2963941738, delta=1e-9)
        self.assertAlmostEqual(float(central_loss), 0.2963941738, delta=1e-9)
        weights = self.weights(self.scratch / "weights", 3)
        self.assertEqual(weights.shape, (20, 1))
        self.assertAlmostEqual(float(numpy.linalg.norm(weights)), 3.2114561873, delta=1e-9)
        self.assertEqual([len(numpy.load(self.scratch / "weights" / f"member-{k}.npz")["weights"]) for k in range(3)], [7, 6, 7])

    def test_threads(self):
        self.reaches_the_reference("--over=local")

    def test_processes(self):
        self.reaches_the_reference("--over=grpc")

    def test_private_matching(self):
        self.reaches_the_reference("--over=local", "--matching=private", "--only-private")

    def test_ranks(self):
        if not os.environ.get("MPIRUN"):
            self.skipTest("this build has no MPI")
        self.reaches_the_reference("--over=mpi")

    def test_predictions_for_new_records(self):
        self.launch(*self.options, "--over=local")
        header = ["id", *(f"x{i}" for i in range(20))]
        people = [[f"new, {i}", *map(repr, map(float, self.x[i] + 1))] for i in range(5)]
        new = self.write_csv("new.csv", [header, *people])
        process = self.start(
            LAUNCHER, BUILD, "--over=grpc", f"--infer={new}", f"--weights={self.scratch}/weights", "--labels=y",
            f"--predictions={self.scratch}/predictions.csv",
        )
        self.assertEqual(process.wait(), 0, self.errors_of(process))
        with open(self.scratch / "predictions.csv", newline="") as file:
            rows = list(csv.reader(file))
        self.assertEqual(rows[0], ["id", "prediction"])
        self.assertEqual([row[0] for row in rows[1:]], [f"new, {i}" for i in range(5)])
        expected = sigmoid((self.x[:5] + 1) @ self.weights(self.scratch / "weights", 3)).ravel()
        numpy.testing.assert_allclose([float(row[1]) for row in rows[1:]], expected, rtol=0, atol=1e-12)

    def test_weights_are_for_the_columns_that_were_trained(self):
        self.launch(*self.options, "--over=local")
        names = numpy.load(self.scratch / "weights" / "member-1.npz")["names"]
        self.assertEqual([bytes(name).rstrip(b"\0") for name in names], [f"x{i}".encode() for i in range(7, 13)])
        header = ["id", *(f"x{i}" for i in (*range(7), 8, 7, *range(9, 20)))]
        new = self.write_csv("new.csv", [header, ["a", *[1] * 20]])
        status, _, errors = self.run_program(
            LAUNCHER, BUILD, "--over=local", f"--infer={new}", f"--weights={self.scratch}/weights", "--labels=y"
        )
        self.assertEqual(status, 1)
        self.assertIn("member-1.npz: column 1 was 'x7' in the training, and is 'x8' now", errors)

    def test_a_member_that_cannot_predict_does_not_say_that_it_did(self):
        self.launch(*self.options, "--over=local", "--epochs=1")
        new = self.write_csv("new.csv", [["id", "z", *(f"x{i}" for i in range(1, 20))], ["a", *[1] * 20]])
        options = (f"--infer={new}", f"--weights={self.scratch}/weights")
        master = self.start_master(*options)
        members = self.start_members(master, *options)
        self.assertEqual(master.wait(), 1)
        self.assertEqual(members[0].wait(), 1)
        self.assertIn("column 1 was 'x0' in the training, and is 'z' now", self.errors_of(members[0]))

    def test_members_are_not_complete_if_nobody_has_the_predictions(self):
        self.launch(*self.options, "--over=local", "--epochs=1")
        options = (f"--infer={self.data}", "--labels=y", f"--weights={self.scratch}/weights")
        master = self.start_master("--predictions=/dev/full", *options)
        members = self.start_members(master, *options)
        self.assertEqual(master.wait(), 1)
        self.assertIn("/dev/full: No space left on device", self.errors_of(master))
        for member in members:
            self.assertEqual(member.wait(), 3)
            self.assertNotIn("complete", self.errors_of(member))

    def test_weights_that_cannot_be_written(self):
        for program in (MASTER, MEMBER):
            status, _, errors = self.run_program(program, "--weights=/dev/null/weights", "--rendezvous-timeout=0.1")
            self.assertEqual(status, 1)
            self.assertIn("/dev/null/weights: Not a directory", errors)

    def test_weights_that_are_not_there(self):
        for program in (MASTER, MEMBER):
            status, _, errors = self.run_program(
                program, f"--infer={self.data}", "--labels=y", f"--weights={self.scratch}/none", "--rendezvous-timeout=0.1"
            )
            self.assertEqual(status, 1)
            self.assertIn(".npz: No such file or directory", errors)

    def test_a_run_that_is_complete_says_the_same_again(self):
        options = (*self.options, "--over=local", f"--run={self.scratch}/run", "--report-every=50")
        first, trained = self.launch(*options)
        second, told = self.launch(*options)
        self.assertEqual(first, second)
        self.assertRegex(trained, "(?m)^update 50 ")
        self.assertNotRegex(told, "(?m)^update 50 ")  # nothing was trained again

    def test_a_complete_run_goes_on_with_more_epochs(self):
        options = (*self.options[:2], "--over=local")
        self.launch(*options, f"--run={self.scratch}/run", "--epochs=2")
        more, output = self.launch(*options, f"--run={self.scratch}/run", "--epochs=4")
        self.assertNotRegex(output, "epoch 1:")
        self.assertEqual(more, self.launch(*options, "--epochs=4")[0])


class Models(Case):
    def test_classes(self):
        (part, loss, accuracy, central_loss, central_accuracy), _ = self.launch(
            "--over=local", "synthetic:classes:2000,12,4", "--model=multinomial", "--standardize", "--bias", "--momentum=0.5"
        )
        self.assertEqual(part, "test")
        self.assertAlmostEqual(float(loss), float(central_loss), delta=1e-9)
        self.assertEqual(accuracy, central_accuracy)
        self.assertGreater(float(accuracy), 0.7)

    def test_a_class_that_no_joint_record_has(self):
        random = numpy.random.RandomState(1)
        header = ["id", *(f"x{i}" for i in range(6)), "y"]
        rows = [[f"p{i:03}", *random.randn(6), i % 3] for i in range(200)]
        features = self.write_csv("features.csv", [header, *rows])
        data = self.write_csv("all.csv", [header, *rows, ["p999", *random.randn(6), 3]])
        master = self.start_master(data, "--labels=y", "--model=multinomial", "--central")
        self.start_members(master, f"--data={features}", "--labels=y")
        output = master.stdout.read()
        self.assertEqual(master.wait(), 0, self.errors_of(master))
        _, loss, _, central_loss, _ = FINAL.search(output.splitlines()[-1]).groups()
        self.assertAlmostEqual(float(loss), float(central_loss), delta=1e-9)

    def test_labels(self):
        (_, loss, accuracy, central_loss, _), _ = self.launch(
            "--over=local", "synthetic:1000,12,19", "--class-weights=" + ",".join(["1", "2"] * 9 + ["1"])
        )
        self.assertAlmostEqual(float(loss), float(central_loss), delta=1e-9)
        self.assertGreater(float(accuracy), 0.7)

    def test_numbers(self):
        for options in (["--model=linear", "--learning-rate=0.3"], ["--model=ridge", "--batch-size=0", "--epochs=60"],
                        ["--model=ridge", "--batch-size=0", "--consecutive"]):
            (_, loss, r2, central_loss, _), output = self.launch(
                "--over=local", "synthetic:numbers:1000,9,2", "--report-every=10", *options
            )
            self.assertAlmostEqual(float(loss), float(central_loss), delta=1e-6)
            self.assertGreater(float(r2), 0.99)
            self.assertRegex(output, r"test loss \S+, MAE \S+, RMSE \S+, R2 \S+; ")

    def test_members_that_join_left(self):
        for join, compare in (("inner", self.assertLess), ("left", self.assertEqual)):
            self.launch("--over=local", "--epochs=1", f"--join={join}", f"--logs={self.scratch}")
            log = (self.scratch / "master.log").read_text()
            joint, own = re.search(r"(\d+) records of (\d+) are joint", log).groups()
            compare(int(joint), int(own))
            self.assertGreaterEqual(int(joint), 1000)


class Deaths(Case):
    """Programs that are killed and started again, and a model that is the same to the last digit."""

    OPTIONS = ("synthetic:2000,12", "--epochs=400", "--report-every=40", "--standardize", "--bias", "--momentum=0.5")

    def setUp(self):
        super().setUp()
        self.expected = self.launch(*self.OPTIONS, "--over=local")[0]

    def members_of(self, launcher):
        """The processes of members that a launcher has started."""
        found = []
        for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rpartition(")")[2].split()
                if int(fields[2]) == launcher.pid and (status.parent / "cmdline").read_text().split("\0")[1:3] == ["vertical", "member"]:
                    found.append(int(status.parent.name))
            except OSError:
                pass
        return found

    def test_members(self):
        process = self.start(LAUNCHER, BUILD, *self.OPTIONS, "--restart", f"--run={self.scratch}/run", stdout=support.IN_STEP)
        for _ in range(3):
            self.read_until(process, "^update")
            os.kill(max(self.members_of(process)), signal.SIGKILL)
        output = process.stdout.read()
        self.assertEqual(process.wait(), 0, self.errors_of(process))
        self.assertEqual(FINAL.search(output.splitlines()[-1]).groups(), self.expected)

    def test_the_master(self):
        run = f"--run={self.scratch}/run"
        master = self.start_master(*self.OPTIONS, "--central", run, stdout=support.IN_STEP)
        members = self.start_members(master, f"--data={self.OPTIONS[0]}", run)
        for number, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 128 + signal.SIGTERM)):
            self.read_until(master, "^update")
            master.send_signal(number)
            master.stdout.read()
            self.assertEqual(master.wait(), status)
            master = self.start_master(*self.OPTIONS, "--central", run, port=master.port, stdout=support.IN_STEP)
        output = master.stdout.read()
        self.assertEqual(master.wait(), 0, self.errors_of(master))
        self.assertEqual(FINAL.search(output.splitlines()[-1]).groups(), self.expected)
        self.assertEqual([member.wait() for member in members], [0, 0, 0], [self.errors_of(member) for member in members])


class Told(Case):
    def test_record(self):
        self.launch("--over=local", "--epochs=2", f"--record=csv:{self.scratch}/curves.csv")
        with open(self.scratch / "curves.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 2)
        for part in ("train", "test"):
            for name in ("loss", "accuracy", "roc_auc_macro", "roc_auc_micro"):
                self.assertTrue(0 < float(rows[-1][f"{part}/{name}"]) <= 1)
        self.assertEqual(float(rows[-1]["number_of_connected_agents"]), 3)
        self.assertGreater(float(rows[-1]["iteration_time_gauge"]), 0)
        for k in range(3):
            self.assertGreater(float(rows[-1][f"agent_task_execution_time/member-{k}"]), 0)
            self.assertGreater(float(rows[-1][f"member_send_time/member-{k}"]), 0)
            self.assertGreater(float(rows[-1][f"task_message_size/member-{k}"]), 0)
        self.assertNotIn("train/r2", rows[-1])

    def test_monitor(self):
        # Enough epochs that it still trains when somebody looks, and so few reports that nobody has to read them all.
        process = self.start(LAUNCHER, BUILD, "--over=local", "--epochs=1000000", "--report-every=500", "--monitor=127.0.0.1:0")
        address = re.search(r"http://\S+", self.read_until(process, "monitor at port"))[0]
        self.read_until(process, "^update")
        with urllib.request.urlopen(address + "metrics") as reply:
            metrics = reply.read().decode()
        self.assertRegex(metrics, r'muster_scalar\{name="test/accuracy"\} 0\.\d+')
        self.assertRegex(metrics, r'muster_scalar\{name="agent_task_execution_time/member-0"\} ')
        updates = re.search(r'muster_histogram_count\{name="iteration_time_hist"\} (\d+)', metrics)
        self.assertGreaterEqual(int(updates[1]), 500)
        with urllib.request.urlopen(address + "api/state") as reply:
            state = json.load(reply)
        self.assertEqual(state["managers"][0]["name"], "vertical")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(), 130)
        self.assert_nothing_left(process)

    def test_state(self):
        master = self.start(MASTER, "--listen=local:vertical", "--epochs=1000000")
        self.read_until(master, "^update")
        master.send_signal(signal.SIGUSR1)
        while "end of the state" not in self.errors_of(master):
            self.read_until(master, "^update")
        errors = self.errors_of(master)
        self.assertIn("state: training; update", errors)
        self.assertEqual(len(re.findall(r"member member-\d: open", errors)), 3)
        master.send_signal(signal.SIGTERM)
        master.stdout.read()
        self.assertEqual(master.wait(), 128 + signal.SIGTERM)

    def test_the_state_of_a_member_that_finds_no_master(self):
        member = self.start(MEMBER, "--connect=local:nobody", "--rendezvous-timeout=20", stderr=subprocess.PIPE)
        while not support.catches(member, signal.SIGUSR1):
            self.assertIsNone(member.poll())
        member.send_signal(signal.SIGUSR1)
        self.assertTrue(any("state: member: connecting to local:nobody" in line for line in member.stderr))

    def test_a_signal_ends_the_comparison(self):
        for epochs in (3000, 15000):  # on a busy machine it may be over before the signal comes
            master = self.start(MASTER, "--listen=local:vertical", "--central", f"--epochs={epochs}", "--report-every=1000000")
            self.read_until(master, "^update")
            while "training on all columns, to compare" not in self.errors_of(master) and master.poll() is None:
                master.send_signal(signal.SIGUSR1)
            master.send_signal(signal.SIGTERM)
            output = master.stdout.read()
            master.wait()
            if not output:
                break
        self.assertEqual((output, master.returncode), ("", 128 + signal.SIGTERM))


class Mistakes(Case):
    def failure(self, *options):
        process = self.start(LAUNCHER, BUILD, *options)
        process.stdout.read()
        self.assertNotEqual(process.wait(), 0)
        self.assert_nothing_left(process)
        return self.errors_of(process)

    def test_a_rate_that_is_too_high(self):
        for over in ("local", "grpc"):
            said = self.failure(f"--over={over}", "synthetic:numbers:200,6", "--model=linear", "--learning-rate=1e6", "--epochs=200")
            self.assertIn("not finite", said)

    def test_nothing_in_common(self):
        people = self.write_csv("people.csv", [["id", "x", "y"], *([f"a{i}", i, i % 2] for i in range(9))])
        labels = self.write_csv("labels.csv", [["id", "y"], *([f"b{i}", i % 2] for i in range(9))])
        master = self.start_master(labels, "--members=1")
        member = self.start(MEMBER, f"--connect=127.0.0.1:{master.port}", f"--data={people}", "--labels=y")
        self.assertEqual(master.wait(), 1)
        self.assertIn("FORMAT: ", self.errors_of(master))
        self.assertEqual(member.wait(), 3)

    def test_labels_that_are_none(self):
        people = self.write_csv("people.csv", [["id", "x", "y"], *([f"a{i}", i, i] for i in range(9))])
        self.assertIn("column 1 (y): the label 2 is not 0 or 1", self.failure("--over=local", people, "--labels=y"))
        self.assertIn("--class-weights has 2 numbers", self.failure("--over=local", "--class-weights=1,2"))

    def test_a_member_that_cannot_begin(self):
        people = self.write_csv("people.csv", [["id", "x", "y"], *([f"a{i}", i, i % 2] for i in range(9))])
        for over in ("local", "grpc"):
            said = self.failure(f"--over={over}", people, "--labels=y", "--members=2")
            self.assertRegex(said, "member.1.*there are no columns of features")

    def test_options(self):
        for option in ("--model=x", "--epochs=0", "--learning-rate=-1", "--join=outer", "--matching=x", "--start=x", "--members=0",
                       "--class-weights=1,x", "--test-fraction=1", "--model=ridge", "--consecutive", "--infer=x", "--unknown",
                       "--predictions=x", "--recv-timeout=x", "--max-message-size=1", "--heartbeat-interval=0.01"):
            status, _, errors = self.run_program(MASTER, option)
            self.assertEqual(status, 2, option)
            self.assertIn("--help", errors)
        for option in ("--rank=3", "--rank=x", "--seed=x", "--match-limit=0", "more", "--name=master", "--name=a/b", "--name=.."):
            self.assertEqual(self.run_program(MEMBER, option)[0], 2, option)
        for option in ("--over", "--logs"):
            status, _, errors = self.run_program(LAUNCHER, BUILD, option)
            self.assertEqual((status, errors), (2, f"{option} needs a value\n"))


support.main()
