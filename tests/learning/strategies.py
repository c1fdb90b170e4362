#!/usr/bin/python3 -B
"""Each strategy, round by round as the library takes it, against one that is written here with numpy."""

import io
import pathlib
import subprocess
import sys
import tempfile
import zipfile
import zlib

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "apps"))
import support as programs  # noqa: E402, what tests of programs share
from references import (  # noqa: E402
    FLOATS,
    MODELS,
    Adagrad,
    Adam,
    Fair,
    Krum,
    Median,
    Momentum,
    Private,
    PrivateAdam,
    Strategy,
    Trimmed,
    Yogi,
    packed,
    random_model,
    random_values,
    rounded,
    unpacked,
)

STRATEGIES = programs.BUILD / "tests" / "learning" / "strategies"
ROUNDS = 20
TOLERANCE = 1e-6

OPTIMIZER = {"eta": 0.05, "beta1": 0.8, "beta2": 0.95, "tau": 0.002}
CASES = [
    ("fedavg", Strategy, {}),
    ("fedprox", Strategy, {"mu": 0.5}),
    ("fedavgm", Momentum, {"eta": 0.7, "beta": 0.6}),
    ("fedadam", Adam, OPTIMIZER),
    ("fedadam", Adam, {**OPTIMIZER, "flower": 1}),
    ("fedyogi", Yogi, OPTIMIZER),
    ("fedyogi", Yogi, {**OPTIMIZER, "flower": 1}),
    ("fedadagrad", Adagrad, {"eta": 0.05, "tau": 0.01}),
    ("fedadagrad", Adagrad, {"eta": 0.05, "tau": 0.01, "flower": 1}),
    ("qfedavg", Fair, {"q": 2, "lr": 0.3}),
    ("qfedavg", Fair, {"q": 0.5, "lr": 0.1}),
    ("qfedavg", Fair, {"q": 0, "lr": 0.1}),
    ("median", Median, {}),
    ("trimmedmean", Trimmed, {"f": 2}),
    ("trimmedmean", Trimmed, {"f": 0}),
    ("krum", Krum, {"f": 2}),
    ("multikrum", Krum, {"f": 1, "m": 3}),
    ("multikrum", Krum, {"f": 1, "m": 0}),
]
PRIVATE_CASES = [
    ("fedavg", Private, {"clip": 4}),
    ("fedavg", Private, {"clip": 1e3, "divisor": 7.5}),
    ("fedadam", PrivateAdam, {**OPTIMIZER, "clip": 4, "divisor": 5}),
]
INITIAL = {
    "fedavgm": {"eta": 1, "beta": 0.9},
    "fedadam": {"eta": 0.1, "beta1": 0.9, "beta2": 0.99, "tau": 1e-3},
    "fedyogi": {"eta": 0.01, "beta1": 0.9, "beta2": 0.99, "tau": 1e-3},
    "fedadagrad": {"eta": 0.1, "tau": 1e-3},
}


class Library:
    """A process with a strategy, and the files that it reads and writes."""

    def __init__(self, folder):
        self.folder, self.files = pathlib.Path(folder), 0
        self.process = subprocess.Popen(
            [STRATEGIES, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait() == 0

    def say(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        return self.process.stdout.readline().rstrip("\n")

    def file(self, model, spec):
        self.files += 1
        path = self.folder / f"{self.files}.npz"
        with zipfile.ZipFile(path, "w") as archive:
            for i, (values, (_, dtype)) in enumerate(zip(model, spec)):
                file = io.BytesIO()
                numpy.save(file, packed(values, dtype))
                # A bfloat16 as ml_dtypes writes it.
                archive.writestr(f"a{i:02}.npy", file.getvalue().replace(b"'|V2'", b"'<V2'", 1))
        return path

    def new(self, name, model, spec, parameters):
        words = [f"{key}={value!r}" for key, value in parameters.items() if key not in ("flower", "divisor")]
        return self.say("new", name, self.file(model, spec), *words, *(["flower"] if "flower" in parameters else []))

    def add(self, arrays, spec, weight=1, loss=-1, *base):
        path = self.file(arrays, spec)
        said = self.say("add", path, weight, repr(loss), *base)
        path.unlink()
        return said

    def model(self):
        path = self.folder / "model.npz"
        assert self.say("model", path) == "OK"
        with numpy.load(path) as arrays:
            return [arrays[f"a{i}"] for i in range(len(arrays.files))]


def seed_of(*words):
    return zlib.crc32(" ".join(str(word) for word in words).encode())


class Compared(programs.Case):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def expect_equal(self, got, model, spec, case):
        """To 1e-6. What has fewer digits may be the next number where the sum lay in the middle, and seldom is."""
        for i, (_, dtype) in enumerate(spec):
            values, wanted = unpacked(got[i]), model[i]
            if dtype in ("float16", "bfloat16"):
                numpy.testing.assert_allclose(values, wanted, rtol=2**-7, atol=2**-14, err_msg=str((case, i)))
                self.assertLess(numpy.mean(values != wanted), 0.02, (case, i))
            else:
                tolerance = TOLERANCE if dtype in FLOATS else 0
                numpy.testing.assert_allclose(values, wanted, rtol=tolerance, atol=tolerance, err_msg=str((case, i)))

    def answers(self, reference, random, count):
        """Changes of the model that differ in size; of those that weigh nothing, one is far away."""
        answers = []
        for k in range(count):
            far = k == 1 and not reference.weighted and not reference.losses
            size = 30 if far else random.uniform(0.05, 0.5)
            arrays = [
                rounded(values + size * random.standard_normal(shape), dtype)
                if dtype in FLOATS
                else random_values(shape, dtype, random)
                for values, (shape, dtype) in zip(reference.model, reference.spec)
            ]
            weight = int(random.integers(1, 500))
            answers.append((arrays, weight, float(random.uniform(0, 3)) if reference.losses else -1))
        return answers

    def one_round(self, library, reference, random, case, most=11):
        """Of as many as come: others dropped out."""
        count = int(random.integers(max(1, reference.least), most + 1))
        answers = self.answers(reference, random, count)
        for arrays, weight, loss in answers:
            self.assertEqual(library.add(arrays, reference.spec, weight if reference.weighted else 0, loss), "OK", case)
        self.assertEqual(library.say("step", reference.parameters.get("divisor", 0)), "OK", case)
        reference.step(answers)

    def one_void_round(self, library, reference, random, case):
        before = [array.tobytes() for array in library.model()]
        for arrays, weight, loss in self.answers(reference, random, reference.least - 1):
            self.assertEqual(library.add(arrays, reference.spec, weight, loss), "OK", case)
        self.assertRegex(library.say("step", 0), "^TOO_FEW: .* needs %d answers, and there are %d" % (
            reference.least, reference.least - 1))
        self.assertEqual([array.tobytes() for array in library.model()], before, case)

    def compare(self, name, kind, parameters, model_name, rounds=ROUNDS):
        spec, case = MODELS[model_name], (name, parameters, model_name)
        random = numpy.random.default_rng(seed_of(*case))
        model = random_model(spec, random)
        reference = kind(model, spec, {**INITIAL.get(name, {}), **parameters})
        with Library(self.folder) as library:
            self.assertEqual(library.new(name, model, spec, parameters), "OK", case)
            for number in range(rounds):
                if number % 7 == 3 and "clip" not in parameters:
                    self.one_void_round(library, reference, random, case)
                self.one_round(library, reference, random, case)
                self.expect_equal(library.model(), reference.model, spec, (*case, number))


class Strategies(Compared):
    def test_every_strategy_is_here(self):
        names = subprocess.run([STRATEGIES], text=True, capture_output=True, check=True).stdout.split()
        self.assertEqual(set(names), {name for name, _, _ in CASES} | {"fedbuff"})

    def test_singles(self):
        for name, kind, parameters in CASES:
            self.compare(name, kind, parameters, "singles")

    def test_doubles(self):
        for name, kind, parameters in CASES:
            self.compare(name, kind, parameters, "doubles")

    def test_mixed(self):
        for name, kind, parameters in CASES:
            self.compare(name, kind, parameters, "mixed")

    def test_initial_parameters(self):
        for name, kind in (("fedavgm", Momentum), ("fedadam", Adam), ("fedyogi", Yogi), ("fedadagrad", Adagrad)):
            self.compare(name, kind, {}, "singles")

    def test_private(self):
        for name, kind, parameters in PRIVATE_CASES:
            for model_name in ("singles", "doubles"):
                self.compare(name, kind, parameters, model_name)

    def test_noise(self):
        spec = [((200000,), "float64")]
        model = [numpy.zeros(200000)]
        with Library(self.folder) as library:
            self.assertEqual(library.new("fedavg", model, spec, {"clip": 0.5, "noise": 3.0}), "OK")
            self.assertRegex(library.say("step", 0), "^INVALID: 0 is no divisor")
            for _ in range(2):  # nobody came, and that does not show
                self.assertEqual(library.say("step", 4), "OK")
            deviation = numpy.std(unpacked(library.model()[0]))
        self.assertAlmostEqual(deviation, 2**0.5 * 3 * 0.5 / 4, delta=0.01)


class Schedule:
    """FedBuff's participants, each of which works on the model of the time at which it began."""

    def __init__(self, model, spec, eta, size, random, clip=None):
        self.versions, self.spec, self.eta, self.size = [[a.copy() for a in model]], spec, eta, size
        self.random, self.clip = random, clip
        self.begun = [0] * 6  # a version for each participant
        self.buffer = []

    def next(self):
        """Somebody is ready: its answer, and the version that it began with."""
        who = int(self.random.integers(len(self.begun)))
        version = self.begun[who]
        answer = [
            rounded(values + 0.3 * self.random.standard_normal(shape), dtype)
            if dtype in FLOATS
            else random_values(shape, dtype, self.random)
            for values, (shape, dtype) in zip(self.versions[version], self.spec)
        ]
        return who, version, answer

    def take(self, who, version, answer):
        """Whether the model moved."""
        staleness = len(self.versions) - 1 - version
        self.buffer.append((1 / (1 + staleness) ** 0.5, version, answer))
        moved = len(self.buffer) == self.size
        if moved:
            self.move()
        self.begun[who] = len(self.versions) - 1
        return moved

    def factor(self, version, answer):
        if not self.clip:
            return 1
        norm = sum(numpy.sum((a - b) ** 2) for a, b in zip(answer, self.versions[version])) ** 0.5
        return min(1, self.clip / norm)

    def move(self):
        model = []
        for i, (_, dtype) in enumerate(self.spec):
            if dtype in FLOATS:
                change = sum(w * self.factor(v, a) * (a[i] - self.versions[v][i]) for w, v, a in self.buffer)
                moved = self.versions[-1][i] + self.eta / self.size * change
            else:
                moved = sum(w * a[i] for w, _, a in self.buffer) / sum(w for w, _, _ in self.buffer)
            model.append(rounded(moved, dtype))
        self.versions.append(model)
        self.buffer = []


class Buffered(Compared):
    def follow(self, library, schedule, events):
        """Plays the events, each of a participant, its version and its answer."""
        for who, version, answer in events:
            staleness = len(schedule.versions) - 1 - version
            base = [library.file(schedule.versions[version], schedule.spec), staleness] if staleness else []
            self.assertEqual(library.add(answer, schedule.spec, 0, -1, *base), "OK")
            if schedule.take(who, version, answer):
                self.assertEqual(library.say("step", 0), "OK")
                self.expect_equal(library.model(), schedule.versions[-1], schedule.spec, len(schedule.versions))

    def test_recorded_schedule(self):
        for model_name, spec in MODELS.items():
            for clip in (None, 5) if model_name != "mixed" else (None,):
                random = numpy.random.default_rng(seed_of("fedbuff", model_name))
                schedule = Schedule(random_model(spec, random), spec, 0.8, 4, random, clip)
                with Library(self.folder) as library:
                    parameters = {"eta": 0.8, **({"clip": clip} if clip else {})}
                    self.assertEqual(library.new("fedbuff", schedule.versions[0], spec, parameters), "OK")
                    while len(schedule.versions) <= ROUNDS:
                        self.follow(library, schedule, [schedule.next()])

    def test_order(self):
        """Answers that come in another order meet other models; within one buffer it makes no difference."""
        spec = MODELS["singles"]
        random = numpy.random.default_rng(5)
        model = random_model(spec, random)
        events = [(k, 0, [rounded(a + random.standard_normal(a.shape), "float32") for a in model]) for k in range(6)]
        ends = []
        for order in ([0, 1, 2, 3, 4, 5], [2, 1, 0, 5, 4, 3], [0, 4, 2, 3, 1, 5]):
            schedule = Schedule(model, spec, 1, 3, random)
            with Library(self.folder) as library:
                self.assertEqual(library.new("fedbuff", model, spec, {}), "OK")
                self.follow(library, schedule, [events[k] for k in order])
                ends.append(unpacked(library.model()[1]))
        numpy.testing.assert_allclose(ends[0], ends[1], rtol=0, atol=TOLERANCE)
        self.assertGreater(numpy.max(numpy.abs(ends[0] - ends[2])), 0.01)


class Restored(Compared):
    def run_rounds(self, name, kind, parameters, spec, restart):
        """The end of a training, which another process goes on with after some rounds."""
        random = numpy.random.default_rng(seed_of(name, parameters))
        model = random_model(spec, random)
        reference = kind(model, spec, {**INITIAL.get(name, {}), **parameters})
        saved = pathlib.Path(self.folder) / "saved.npz"
        library = Library(self.folder)
        self.assertEqual(library.new(name, model, spec, parameters), "OK")
        for number in range(ROUNDS):
            if number == restart:
                self.assertEqual(library.say("save", saved), "OK")
                library.__exit__()
                library = Library(self.folder)
                with numpy.load(saved) as arrays:
                    now = [unpacked(arrays[f"a{i}"]) for i in range(len(spec))]
                self.assertEqual(library.new(name, now, spec, parameters), "OK")
                self.assertEqual(library.say("restore", saved), "OK")
            self.one_round(library, reference, random, name)
        end = b"".join(array.tobytes() for array in library.model())
        library.__exit__()
        return end

    def test_same_bits(self):
        for name, kind, parameters in CASES:
            for spec in MODELS.values():
                ends = {self.run_rounds(name, kind, parameters, spec, restart) for restart in (None, 1, 11)}
                self.assertEqual(len(ends), 1, name)

    def test_same_bits_in_the_middle_of_a_buffer(self):
        for model_name, parameters in (("singles", {}), ("mixed", {}), ("doubles", {"clip": 3})):
            spec = MODELS[model_name]
            random = numpy.random.default_rng(8)
            model = random_model(spec, random)
            answers = [random_model(spec, random) for _ in range(12)]
            ends = set()
            for restart in (None, 2, 7):
                ends.add(self.buffer_rounds(model, spec, parameters, answers, restart))
            self.assertEqual(len(ends), 1, model_name)

    def buffer_rounds(self, model, spec, parameters, answers, restart):
        saved = pathlib.Path(self.folder) / "saved.npz"
        library = Library(self.folder)
        self.assertEqual(library.new("fedbuff", model, spec, parameters), "OK")
        for number, answer in enumerate(answers):
            if number == restart:
                self.assertEqual(library.say("save", saved), "OK")
                library.__exit__()
                library = Library(self.folder)
                with numpy.load(saved) as arrays:
                    now = [unpacked(arrays[f"a{i}"]) for i in range(len(spec))]
                self.assertEqual(library.new("fedbuff", now, spec, parameters), "OK")
                self.assertEqual(library.say("restore", saved), "OK")
            self.assertEqual(library.add(answer, spec, 0, -1), "OK")
            if number % 4 == 3:
                self.assertEqual(library.say("step", 0), "OK")
        end = b"".join(array.tobytes() for array in library.model())
        library.__exit__()
        return end


if __name__ == "__main__":
    programs.main(STRATEGIES)
