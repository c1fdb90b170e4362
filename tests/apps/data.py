#!/usr/bin/python3 -B
"""The formats of data, seen through what a participant exports, and what is said of broken files."""

import gzip
import json
import struct

import numpy

import support
from support import PARTICIPANT, SERVER


class Data(support.Case):
    def export(self, user, *options):
        directory = self.scratch / "export"
        status, _, errors = self.run_program(PARTICIPANT, f"--participant={user}", f"--export={directory}", *options)
        self.assertEqual(status, 0, errors)
        return numpy.load(directory / "x.npy"), numpy.load(directory / "y.npy")

    def options_for(self, *options):
        status, output, errors = self.run_program(SERVER, "--participant-options", *options)
        self.assertEqual(status, 0, errors)
        count, *words = output.removesuffix("\0").split("\0")
        return int(count), words

    def refused(self, *options):
        """What is said of data that cannot be loaded."""
        words = ["--participant=0", f"--export={self.scratch}/export", *options]  # the last number of a user counts
        status, output, errors = self.run_program(PARTICIPANT, *words)
        self.assertEqual(status, 1, errors)
        self.assertEqual(output, "")
        return errors


class Synthetic(Data):
    def test_shares_are_those_of_the_recipe(self):
        count, words = self.options_for()
        self.assertEqual(count, 30)
        shares = [self.export(user, *words) for user in range(count)]
        for x, y in shares:
            self.assertGreaterEqual(len(x), 45)  # 90 % of at least 50
            self.assertEqual(x.shape, (len(y), 60))
            self.assertTrue(((y >= 0) & (y < 10)).all())
        x, _ = max(shares, key=lambda share: len(share[0]))
        self.assertGreater(len(x), 500)
        expected = numpy.arange(1, 61) ** -1.2
        numpy.testing.assert_allclose(x.var(axis=0) / expected, 1, atol=0.4)
        self.assertAlmostEqual((x.var(axis=0) / expected).mean(), 1, delta=0.05)

    def test_labels_follow_a_linear_model(self):
        x, y = max((self.export(user, "--seed=3") for user in range(5)), key=lambda share: len(share[0]))
        inputs = numpy.hstack([x, numpy.ones((len(x), 1))])
        weights = numpy.linalg.lstsq(inputs, numpy.eye(10)[y], rcond=None)[0]
        self.assertGreater(((inputs @ weights).argmax(axis=1) == y).mean(), 0.7)

    def test_seed_decides(self):
        first, again, other = (self.export(4, f"--seed={seed}") for seed in (1, 1, 2))
        numpy.testing.assert_array_equal(first[0], again[0])
        numpy.testing.assert_array_equal(first[1], again[1])
        self.assertNotEqual(first[0].tobytes(), other[0].tobytes())
        self.assertNotEqual(first[0].tobytes(), self.export(5, "--seed=1")[0].tobytes())

    def test_iid_users_have_the_same_law_and_as_many_samples(self):
        shares = [self.export(user, "--data=synthetic:iid", "--seed=3") for user in range(4)]
        self.assertEqual({x.shape for x, _ in shares}, {(180, 60)})
        self.assertNotEqual(shares[0][0].tobytes(), shares[1][0].tobytes())
        x, y = (numpy.concatenate(arrays) for arrays in zip(*shares[:3]))
        expected = numpy.arange(1, 61) ** -0.6
        numpy.testing.assert_allclose(x.mean(axis=0) / expected, 0, atol=0.25)
        numpy.testing.assert_allclose(x.std(axis=0) / expected, 1, atol=0.15)
        # What three users say of a label holds for the fourth one.
        inputs, others = (numpy.hstack([x, numpy.ones((len(x), 1))]) for x in (x, shares[3][0]))
        weights = numpy.linalg.lstsq(inputs, numpy.eye(10)[y], rcond=None)[0]
        self.assertGreater(((others @ weights).argmax(axis=1) == shares[3][1]).mean(), 0.5)
        other = self.export(0, "--data=synthetic:iid", "--seed=4")
        self.assertNotEqual(shares[0][0].tobytes(), other[0].tobytes())

    def test_number_of_participants(self):
        self.assertEqual(self.options_for("--participants=7")[0], 7)
        self.assertIn("has 7", self.refused("--participants=7", "--participant=7"))

    def test_a_directory_that_is_missing(self):
        for spec in ("idx:", "leaf:", "synthetic:", ""):
            status, _, errors = self.run_program(support.SERVER, f"--data={spec}", "--participant-options")
            self.assertEqual(status, 1)
            self.assertIn("is none of synthetic:ALPHA,BETA, synthetic:iid, leaf:DIR and idx:DIR", errors)

    def test_bad_parameters(self):
        for spec in ("synthetic:", "synthetic:1", "synthetic:1,1,1", "synthetic:-1,1", "synthetic:nan,1", "synthetic:iid,1", "other:1"):
            self.assertIn(spec, self.refused(f"--data={spec}"))


class Leaf(Data):
    def write(self, part, name, users):
        directory = self.scratch / "leaf" / part
        directory.mkdir(parents=True, exist_ok=True)
        content = {
            "users": list(users),
            "num_samples": [len(data["y"]) for data in users.values()],
            "user_data": users,
        }
        (directory / name).write_text(json.dumps(content))
        return content

    def setUp(self):
        super().setUp()
        self.spec = f"--data=leaf:{self.scratch}/leaf"
        self.write("train", "b.json", {"zoe": {"x": [[1, 2.5], [3, 4]], "y": [0, 1]}})
        self.write(
            "train",
            "a.json",
            {"bob": {"x": [[5, 6]], "y": ["2"]}, "amy": {"x": [[7, 8], [9, 10], [11, 12]], "y": [1, 0, 1]}},
        )
        self.write("test", "all.json", {"amy": {"x": [[1, 1]], "y": [3]}, "new": {"x": [[0, 0]], "y": [0]}})

    def test_users_in_the_order_of_the_files(self):
        self.assertEqual(self.options_for(self.spec)[0], 3)
        for user, x, y in (
            (0, [[5, 6]], [2]),
            (1, [[7, 8], [9, 10], [11, 12]], [1, 0, 1]),
            (2, [[1, 2.5], [3, 4]], [0, 1]),
        ):
            exported = self.export(user, self.spec)
            numpy.testing.assert_array_equal(exported[0], x)
            numpy.testing.assert_array_equal(exported[1], y)

    def test_messages_name_file_and_user(self):
        def broken(change):
            content = self.write("train", "c.json", {"eve": {"x": [[1, 2], [3, 4]], "y": [0, 1]}})
            change(content)
            (self.scratch / "leaf/train/c.json").write_text(json.dumps(content))
            message = self.refused(self.spec, "--participant=3")
            self.assertIn("train/c.json", message)
            return message

        eve = lambda content: content["user_data"]["eve"]
        self.assertIn("user eve: num_samples", broken(lambda content: content.update(num_samples=[3])))
        self.assertIn("user eve: num_samples", broken(lambda content: eve(content)["y"].pop()))
        self.assertIn("user eve: num_samples", broken(lambda content: content["user_data"].clear()))
        self.assertIn("user eve: x[1] is not a list of 2", broken(lambda content: eve(content)["x"][1].pop()))
        self.assertIn("user eve: x[1][0]", broken(lambda content: eve(content).update(x=[[1, 2], ["a", 2]])))
        self.assertIn("user eve: x[0][1]", broken(lambda content: eve(content).update(x=[[1, 1e300], [1, 2]])))
        for label in ("a", "", -1, 0.5, None, 10**9, [1]):
            self.assertIn("user eve: y[1]", broken(lambda content: eve(content).update(y=[0, label])))
        self.assertIn("users", broken(lambda content: content.pop("users")))
        self.assertIn("users[0]", broken(lambda content: content.update(users=[7])))

        def empty(content):
            content["num_samples"] = [0]
            eve(content).update(x=[], y=[])

        self.assertIn("user eve has no samples", broken(empty))

        def rename(content):
            content["users"] = ["zoe"]
            content["user_data"] = {"zoe": eve(content)}

        (self.scratch / "leaf/train/b.json").rename(self.scratch / "leaf/train/0.json")
        self.assertIn("user zoe was in the train files before", broken(rename))

    def test_broken_json(self):
        (self.scratch / "leaf/test/all.json").write_text('{"users": [\n"a",,]}')
        self.assertIn("test/all.json, line 2", self.refused(self.spec))
        (self.scratch / "leaf/test/all.json").unlink()
        self.assertIn("test/*.json", self.refused(self.spec))
        self.assertIn("/nowhere/train/*.json", self.refused("--data=leaf:/nowhere"))

    def test_a_user_that_is_there_twice_in_a_file(self):
        (self.scratch / "leaf/test/all.json").write_text('{"users": [],\n"num_samples": [], "user_data": {"a": 1, "a": 2}}')
        self.assertRegex(self.refused(self.spec), "test/all.json, line 2: duplicate")

    def test_the_data_says_who_takes_part(self):
        self.assertIn("not an option", self.refused(self.spec, "--participants=2"))


class Idx(Data):
    def write(self, name, array, opener=open, more=b""):
        header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
        with opener(self.scratch / (name + (".gz" if opener is gzip.open else "")), "wb") as file:
            file.write(header + array.astype(numpy.uint8).tobytes() + more)

    def setUp(self):
        super().setUp()
        random = numpy.random.default_rng(0)
        self.labels = random.integers(0, 5, 600)
        # Each image is its own number, so that it can be told who got which.
        self.images = numpy.zeros((600, 3, 2), dtype=numpy.uint8)
        self.images[:, 0, 0] = numpy.arange(600) // 256
        self.images[:, 2, 1] = numpy.arange(600) % 256
        self.spec = f"--data=idx:{self.scratch}"
        self.write("train-labels-idx1-ubyte", self.labels)
        self.write("train-images-idx3-ubyte", self.images, gzip.open)
        self.write("t10k-labels-idx1-ubyte", self.labels[:50], gzip.open)
        self.write("t10k-images-idx3-ubyte", self.images[:50])

    def shares(self, *options):
        count, words = self.options_for(self.spec, *options)
        shares = [self.export(user, *words) for user in range(count)]
        numbers = [
            numpy.rint(x[:, 0] * 255).astype(int) * 256 + numpy.rint(x[:, 5] * 255).astype(int) for x, _ in shares
        ]
        return shares, numbers

    def test_everything_is_dealt_out_once(self):
        shares, numbers = self.shares()
        self.assertEqual(len(shares), 10)
        self.assertEqual(sorted(numpy.concatenate(numbers)), list(range(600)))
        for (x, y), own in zip(shares, numbers):
            self.assertGreaterEqual(len(y), 10)
            numpy.testing.assert_array_equal(y, self.labels[own])
            numpy.testing.assert_array_equal(x, self.images[own].reshape(-1, 6).astype(numpy.float32) / 255)

    def test_dirichlet_decides_how_one_sided(self):
        def biggest_share_of_a_label(*options):
            shares, _ = self.shares("--participants=4", *options)
            return numpy.mean([numpy.bincount(y).max() / len(y) for _, y in shares])

        self.assertLess(biggest_share_of_a_label("--dirichlet=1000"), 0.35)
        self.assertGreater(biggest_share_of_a_label("--dirichlet=0.1"), 0.5)

    def test_seed_decides(self):
        first, again, other = (
            [own.tobytes() for own in self.shares("--participants=3", f"--seed={seed}")[1]] for seed in (1, 1, 2)
        )
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_too_many_participants(self):
        self.assertIn("fewer participants", self.refused(self.spec, "--participants=400", "--dirichlet=0.01"))

    def test_broken_files(self):
        (self.scratch / "train-images-idx3-ubyte.gz").unlink()
        self.assertIn("train-images-idx3-ubyte.gz: No such file", self.refused(self.spec))
        self.write("train-images-idx3-ubyte", self.images[:-1])
        self.assertIn("do not go with", self.refused(self.spec))
        self.write("train-images-idx3-ubyte", self.labels)
        self.assertIn("not an IDX file of bytes in 3 dimensions", self.refused(self.spec))
        self.write("train-images-idx3-ubyte", self.images)
        file = self.scratch / "train-images-idx3-ubyte"
        file.write_bytes(file.read_bytes()[:-1])
        self.assertIn("shorter", self.refused(self.spec, "--participants=1"))
        file.write_bytes(b"\0\0")
        self.assertIn("not an IDX file", self.refused(self.spec))

    def test_damaged_archives(self):
        for name in ("train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
            file = self.scratch / name
            whole = file.read_bytes()
            for at in (-8, -1, len(whole) // 2):  # the checksum, the size, the middle
                damaged = bytearray(whole)
                damaged[at] ^= 0x55
                file.write_bytes(damaged)
                self.assertRegex(self.refused(self.spec), f"{file}: (damaged at byte|shorter|not an IDX|there is more)")
            file.write_bytes(whole[:-4])
            self.assertRegex(self.refused(self.spec), f"{file}: damaged at byte \\d+ of what it holds")
            file.write_bytes(whole[: len(whole) // 2])
            self.assertRegex(self.refused(self.spec), f"{file}: damaged at byte \\d+ of what it holds")
            file.write_bytes(whole)

    def test_data_behind_the_end(self):
        for name in ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte", "train-labels-idx1-ubyte"):
            file = self.scratch / name
            whole = file.read_bytes()
            file.write_bytes(whole + b"more")
            self.assertRegex(self.refused(self.spec), f"{file}: (there is more|something stands) behind its")
            file.write_bytes(whole)
        self.write("t10k-labels-idx1-ubyte", self.labels[:50], gzip.open, b"more")
        self.assertIn("t10k-labels-idx1-ubyte.gz: there is more behind its end at byte 58", self.refused(self.spec))

    def test_images_of_another_shape(self):
        self.write("t10k-images-idx3-ubyte", self.images[:50].reshape(50, 2, 3))
        expected = "t10k-images-idx3-ubyte: images of 2 x 3 do not go with those to train with, of 3 x 2"
        self.assertIn(expected, self.refused(self.spec))


if __name__ == "__main__":
    support.main()
