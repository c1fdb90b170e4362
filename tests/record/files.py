#!/usr/bin/python3 -B
"""What records write to files, read by others: csv, json, and an own reader of event files that knows TFRecord's
framing and compares every checksum."""

import csv
import importlib
import json
import math
import struct
import subprocess
import sys

from recording import HERE, RECORDER, Recorder, programs

VALUES = [0.1, -1 / 3, 1e300, 5e-324, 123456789012345680.0, 0.0, 1.0]


def crc32c(data):
    """Bit by bit, as the polynomial says."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def single(value):
    """As a float32 has it."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


class Case(programs.Case):
    def recorder(self, *sinks, options=""):
        recorder = Recorder(self)
        recorder.do(f"open {options} {' '.join(sinks)}")
        return recorder


class Table(Case):
    def setUp(self):
        super().setUp()
        self.path = self.scratch / "scalars.csv"

    def rows(self):
        with open(self.path, newline="") as file:
            return list(csv.reader(file, strict=True))

    def record(self, *commands):
        recorder = self.recorder(f"csv:{self.path}")
        recorder.do(*commands, "close finished 10000")
        recorder.end()
        self.assertEqual(recorder.warnings, [])

    def test_a_row_for_each_step(self):
        self.record("scalar 1 loss 0.5", "scalar 1 accuracy 0.25", "scalar 2 loss 0.125", "scalar 2 accuracy 0.75")
        rows = self.rows()
        self.assertEqual(rows[0], ["step", "time", "loss", "accuracy"])
        self.assertEqual([[row[0], *row[2:]] for row in rows[1:]], [["1", "0.5", "0.25"], ["2", "0.125", "0.75"]])
        self.assertRegex(rows[1][1], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_numbers_are_exact(self):
        self.record(*(f"scalar {step} x {value!r}" for step, value in enumerate(VALUES)))
        self.assertEqual([float(row[2]) for row in self.rows()[1:]], VALUES)
        self.assertEqual(self.rows()[1][2], "0.1")

    def test_not_numbers(self):
        self.record("scalar 1 x nan", "scalar 2 x inf", "scalar 3 x -inf")
        self.assertEqual([row[2] for row in self.rows()[1:]], ["nan", "inf", "-inf"])

    def test_a_column_that_comes_later(self):
        self.record("scalar 1 a 1", "scalar 2 a 2", "scalar 3 b 3", "scalar 3 a 4", "scalar 4 c 5")
        rows = self.rows()
        self.assertEqual(rows[0][2:], ["a", "b", "c"])
        self.assertEqual(
            [row[2:] for row in rows[1:]], [["1", "", ""], ["2", "", ""], ["4", "3", ""], ["", "", "5"]]
        )

    def test_the_last_number_of_a_step_counts(self):
        self.record("scalar 1 a 1", "scalar 1 a 2")
        self.assertEqual([row[2] for row in self.rows()[1:]], ["2"])

    def test_goes_on(self):
        self.record("scalar 1 a 1")
        self.record("scalar 2 a 2", "scalar 2 b,\" 3")
        self.record("scalar 3 b,\" 4", "scalar 3 a 5")
        rows = self.rows()
        self.assertEqual(rows[0][2:], ["a", 'b,"'])
        self.assertEqual([row[2:] for row in rows[1:]], [["1", ""], ["2", "3"], ["5", "4"]])

    def test_half_a_line_of_an_earlier_process_goes(self):
        self.path.write_text("step,time,a\n1,2026-01-01T00:00:00.000Z,1\n2,2026-01-")
        self.record("scalar 2 a 2")
        self.assertEqual([[row[0], row[2]] for row in self.rows()[1:]], [["1", "1"], ["2", "2"]])

    def test_half_a_header_goes(self):
        self.path.write_text("step,ti")
        self.record("scalar 1 a 1")
        self.assertEqual([row[2:] for row in self.rows()], [["a"], ["1"]])

    def test_names_of_strangers(self):
        self.record("scalar 1 =cmd() 1", "scalar 1 \x1b[31m\u2028 2", "scalar 1 <img> 3")
        self.assertEqual(self.rows()[0][2:], ["'=cmd()", "?[31m?", "<img>"])
        self.record("scalar 2 =cmd() 4")
        self.assertEqual(self.rows()[2][2:], ["4", "", ""])

    def test_too_many_columns(self):
        recorder = self.recorder(f"csv:{self.path}")
        recorder.do(*(f"scalar 1 a{i} {i}" for i in range(1030)), "close finished 10000")
        recorder.end()
        self.assertEqual(len(self.rows()[0]), 2 + 1024)
        self.assertEqual(len(recorder.warnings), 1)

    def test_what_is_no_record_stays(self):
        for sink in ("csv", "jsonl"):
            path = self.scratch / f"other.{sink}"
            others = ["hello", "hello\n", "step\n1\n", "steps,time\n", "step,timeout", "\0\0"]
            others += ["step,time,a\r\n1,,2\r\n", "step,time,a,a\n", "step,time,a\0b\n", 'step,time,"a\n']
            others += ["step,time," + "a" * (1 << 20), "step,time," + "a" * (1 << 20) + "\n"]
            for content in others:
                path.write_text(content, newline="")
                answer = Recorder(self).say(f"open {sink}:{path}")
                self.assertTrue(answer.startswith("FORMAT "), answer)
                self.assertIn("no record", answer)
                self.assertEqual(path.read_bytes(), content.encode())


class Opening(Case):
    def answer(self, sinks):
        recorder = Recorder(self)
        answer = recorder.say(f"open {sinks}")
        recorder.end()
        return answer

    def test_what_cannot_be_opened(self):
        self.assertRegex(self.answer(f"csv:{self.scratch}/none/a.csv"), "^IO .*opening: No such file")
        self.assertRegex(self.answer(f"tensorboard:{self.scratch}/../../dev/null/x"), "^IO ")
        self.assertRegex(self.answer("csv:/dev/null"), "^IO .*not a regular file")
        self.assertRegex(self.answer("xml:a"), "^INVALID .*is no sink")
        self.assertRegex(self.answer("mlflow:"), "^INVALID .*is no tracking server")
        self.assertRegex(self.answer("mlflow:ftp://host"), "^INVALID .*is no tracking server")
        self.assertRegex(self.answer("mlflow:http://a:b@host"), "^INVALID .*MLFLOW_TRACKING_USERNAME")
        self.assertRegex(self.answer("--backlog=100"), "^INVALID .*backlog_size")
        self.assertRegex(self.answer("--identity=a/b"), "^INVALID .*identity")
        self.assertRegex(self.answer(" ".join(["jsonl:a"] * 17)), "^INVALID .*more than 16")

    def test_one_record_at_a_time(self):
        path = self.scratch / "a.csv"
        first = self.recorder(f"csv:{path}")
        self.assertRegex(self.answer(f"csv:{path}"), "^BUSY ")
        first.do("close finished 10000")
        self.assertEqual(self.answer(f"csv:{path}"), "ok")

    def test_no_sinks(self):
        recorder = self.recorder()
        recorder.do("scalar 1 a 1", "text 1 b c", "histogram 1 h 1 2", "close finished 0")

    def test_no_record(self):
        recorder = Recorder(self)
        recorder.do("scalar 1 a 1", "setting a b", "text 1 b c", "histogram 1 h 1 2", "close finished 0")


class Lines(Case):
    def test_everything(self):
        path = self.scratch / "all.jsonl"
        for _ in range(2):
            recorder = self.recorder(f"jsonl:{path}")
            recorder.do(
                "setting lr 0.1",
                *(f"scalar {step} x {value!r}" for step, value in enumerate(VALUES)),
                "scalar 7 x nan",
                "scalar 8 x -inf",
                r'text 3 configuration {"a": 1}\nnext\n',
                "file 9 model.npz /tmp/model.npz",
                "histogram 4 w 1 2 2 5 nan",
                "close failed 10000",
            )
            recorder.end()
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.assertEqual(len(lines), 2 * 14)
        self.assertEqual([{**line, "time": 0} for line in lines[:14]], [{**line, "time": 0} for line in lines[14:]])
        self.assertEqual([line["value"] for line in lines[1:8]], VALUES)
        self.assertEqual([line["value"] for line in lines[8:10]], ["NaN", "-Infinity"])
        self.assertEqual(lines[10]["text"], '{"a": 1}\nnext\n')
        self.assertEqual(lines[11]["path"], "/tmp/model.npz")
        histogram = lines[12]["histogram"]
        self.assertEqual([histogram[name] for name in ("count", "not_finite", "min", "max")], [4, 1, 1, 5])
        self.assertEqual((histogram["sum"], histogram["sum_squares"]), (10, 34))
        self.assertEqual([count for count in histogram["counts"] if count], [1, 2, 1])
        self.assertEqual(histogram["limits"][-1], 5)
        self.assertEqual(lines[13]["kind"], "end")
        self.assertEqual(lines[13]["outcome"], "failed")


class EventCase(Case):
    """A test that reads event files."""

    def setUp(self):
        super().setUp()
        subprocess.run(["protoc", f"--proto_path={HERE}", f"--python_out={self.scratch}", "event.proto"], check=True)
        sys.path.insert(0, str(self.scratch))
        self.addCleanup(sys.path.remove, str(self.scratch))
        importlib.invalidate_caches()
        self.protocol = importlib.import_module("event_pb2")
        self.folder = self.scratch / "deep" / "run"

    def files(self):
        return sorted(self.folder.glob("events.out.tfevents.*"))

    def read(self, path):
        data = path.read_bytes()
        while data:
            size, checksum = struct.unpack("<QI", data[:12])
            self.assertEqual(checksum, masked(data[:8]))
            content = data[12 : 12 + size]
            self.assertEqual(len(content), size)
            self.assertEqual(struct.unpack("<I", data[12 + size : 16 + size])[0], masked(content))
            yield self.protocol.Event.FromString(content)
            data = data[16 + size :]

    def values(self, path):
        events = list(self.read(path))
        self.assertEqual(events[0].file_version, "brain.Event:2")
        return [(event, event.summary.value[0]) for event in events[1:]]


class Events(EventCase):
    def test_checksums(self):
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)

    def test_every_scalar(self):
        recorder = self.recorder(f"tensorboard:{self.folder}")
        recorder.do(
            *(f"scalar {step} loss/x {value!r}" for step, value in enumerate(VALUES)),
            "scalar -3 loss/x nan",
            "scalars 0 2000 many",
            "close finished 10000",
        )
        (path,) = self.files()
        values = self.values(path)
        self.assertEqual(
            [(event.step, value.simple_value) for event, value in values if value.tag == "loss/x"][:-1],
            [(step, single(value)) for step, value in enumerate(VALUES)],
        )
        self.assertTrue(math.isnan(values[len(VALUES)][1].simple_value))
        self.assertEqual(values[len(VALUES)][0].step, -3)
        self.assertEqual(
            [(event.step, value.simple_value) for event, value in values if value.tag == "many"],
            [(step, step) for step in range(2000)],
        )
        self.assertTrue(all(event.wall_time > 1.6e9 for event, _ in values))

    def test_texts(self):
        recorder = self.recorder(f"tensorboard:{self.folder}")
        recorder.do("setting lr 0.1", r"text 2 configuration # <b>a</b>\n  b", "close finished 10000")
        (_, setting), (event, text) = self.values(self.files()[0])
        self.assertEqual((setting.tag, setting.tensor.string_val[0]), ("settings/lr", b"    0.1\n"))
        self.assertEqual((text.tag, event.step), ("configuration", 2))
        self.assertEqual(text.tensor.string_val[0], b"    # <b>a</b>\n      b\n")
        self.assertEqual(text.metadata.plugin_data.plugin_name, "text")
        self.assertEqual((text.tensor.dtype, [dim.size for dim in text.tensor.tensor_shape.dim]), (7, [1]))

    def test_histograms(self):
        recorder = self.recorder(f"tensorboard:{self.folder}")
        recorder.do("histogram 4 w -1 0 0.5 3 3", "histogram 5 w 2 2", "close finished 10000")
        (_, first), (_, second) = self.values(self.files()[0])
        histogram = first.histo
        self.assertEqual((histogram.min, histogram.max, histogram.num), (-1, 3, 5))
        self.assertEqual((histogram.sum, histogram.sum_squares), (5.5, 19.25))
        self.assertEqual(len(histogram.bucket_limit), 64)
        self.assertEqual(list(histogram.bucket_limit), sorted(histogram.bucket_limit))
        self.assertEqual((sum(histogram.bucket), histogram.bucket_limit[-1]), (5, 3))
        self.assertEqual((list(second.histo.bucket_limit), list(second.histo.bucket)), ([2], [2]))

    def test_tensorboard_reads_them(self):
        """TensorBoard's own reader, where it is installed."""
        try:
            from tensorboard.backend.event_processing import event_accumulator
        except ImportError:
            return
        recorder = self.recorder(f"tensorboard:{self.folder}")
        recorder.do(
            *(f"scalar {step} x {value!r}" for step, value in enumerate(VALUES)),
            "text 1 t a",
            "histogram 1 h 1 2 3",
            "close finished 10000",
        )
        events = event_accumulator.EventAccumulator(str(self.folder)).Reload()
        self.assertEqual(
            [(event.step, event.value) for event in events.Scalars("x")],
            [(step, single(value)) for step, value in enumerate(VALUES)],
        )
        self.assertEqual(events.Tags()["tensors"], ["t"])
        (histogram,) = events.Histograms("h")
        self.assertEqual((histogram.histogram_value.num, sum(histogram.histogram_value.bucket)), (3, 3))

    def test_a_file_for_each_record(self):
        for step in range(2):
            recorder = self.recorder(f"tensorboard:{self.folder}", f"tensorboard:{self.folder}")
            recorder.do(f"scalar {step} a {step}", "close finished 10000")
        self.assertEqual(len(self.files()), 4)
        for path in self.files():
            self.assertEqual(len(self.values(path)), 1)


class FullDisk(EventCase):
    """No file may grow any more, and later it may."""

    def test_catches_up(self):
        table, lines = self.scratch / "a.csv", self.scratch / "a.jsonl"
        recorder = self.recorder(f"csv:{table}", f"jsonl:{lines}", f"tensorboard:{self.folder}")
        recorder.do("file-size 0")
        recorder.do("scalar 1 a 1", "scalar 2 a 2")
        for sink in ("csv", "jsonl", "tensorboard"):
            recorder.wait_for_warning(f"recording to {sink}:")
        recorder.do("scalar 3 a 3", "scalar 3 b 4", "file-size -1")
        for sink in (f"csv:{table}", f"jsonl:{lines}", f"tensorboard:{self.folder}"):
            recorder.wait_for_warning(f"recording to {sink}: it works again")
        recorder.do("close finished 10000")
        recorder.end()
        self.assertEqual(len(recorder.warnings), 6, recorder.warnings)
        with open(table, newline="") as file:
            self.assertEqual([row[2:] for row in csv.reader(file)], [["a", "b"], ["1", ""], ["2", ""], ["3", "4"]])
        read = [json.loads(line) for line in lines.read_text().splitlines()]
        self.assertEqual([line["value"] for line in read[:-1]], [1, 2, 3, 4])
        self.assertEqual([value.simple_value for _, value in self.values(self.files()[0])], [1, 2, 3, 4])

    def test_in_the_middle_of_a_piece(self):
        table, lines = self.scratch / "a.csv", self.scratch / "a.jsonl"
        recorder = self.recorder(f"csv:{table}", f"jsonl:{lines}", f"tensorboard:{self.folder}")
        recorder.do("file-size 5000", "scalars 0 2000 a")
        for sink in ("csv", "jsonl", "tensorboard"):
            recorder.wait_for_warning(f"recording to {sink}:")
        recorder.do("file-size -1", "close finished 30000")
        recorder.end()
        with open(table, newline="") as file:
            self.assertEqual([int(row[2]) for row in list(csv.reader(file))[1:]], list(range(2000)))
        read = [json.loads(line) for line in lines.read_text().splitlines()]
        self.assertEqual([line["value"] for line in read[:-1]], list(range(2000)))
        self.assertEqual([value.simple_value for _, value in self.values(self.files()[0])], list(range(2000)))

    def test_the_end_does_not_wait_for_it(self):
        lines = self.scratch / "a.jsonl"
        recorder = self.recorder(f"jsonl:{lines}")
        recorder.do("file-size 0", "scalar 1 a 1")
        recorder.wait_for_warning("recording to jsonl:")
        self.assertIn("not all was written within 50 ms", recorder.say("close killed 50"))
        recorder.end()
        self.assertEqual(lines.read_bytes(), b"")

    def test_the_oldest_is_lost(self):
        lines = self.scratch / "a.jsonl"
        recorder = self.recorder(f"jsonl:{lines}", options="--backlog=65536")
        recorder.do("file-size 0", "scalar -1 a 1")
        recorder.wait_for_warning("File too large")
        recorder.do("scalars 0 5000 a")
        recorder.wait_for_warning("its backlog is full")
        recorder.do("file-size -1")
        recorder.wait_for_warning("entries were lost")
        recorder.do("close finished 10000")
        recorder.end()
        steps = [json.loads(line)["step"] for line in lines.read_text().splitlines()[:-1]]
        lost = int(next(word for word in recorder.warnings[-1].split() if word.isdigit()))
        self.assertEqual(steps[0], -1)
        self.assertEqual(steps[-1], 4999)
        self.assertEqual(steps, sorted(steps))
        self.assertEqual(len(steps) + lost, 5001)
        self.assertEqual(len(recorder.warnings), 4, recorder.warnings)


if __name__ == "__main__":
    programs.main(RECORDER)
