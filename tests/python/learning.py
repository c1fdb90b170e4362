#!/usr/bin/python3 -B
"""Means, strategies, run directories, files and records in Python."""

import numpy

import common
import muster


class Learning(common.Case):
    def test_mean(self):
        mean = muster.Mean(like={"w": numpy.zeros(3, numpy.float32), "n": numpy.zeros((), "i8")})
        mean.add({"w": numpy.ones(3, numpy.float32), "n": numpy.int64(3)}, weight=1, scalars={"loss": 1.0})
        mean.add({"w": numpy.zeros(3, numpy.float32), "n": numpy.int64(7)}, weight=3, scalars={"loss": 3.0})
        for wrong, said in (
            ({"w": numpy.zeros(4, numpy.float32), "n": numpy.int64(7)}, "3"),
            ({"v": numpy.zeros(3, numpy.float32), "n": numpy.int64(7)}, "w"),
        ):
            with self.assertRaisesRegex(muster.FormatError, said):
                mean.add(wrong)
        with self.assertRaises(muster.Invalid):
            mean.add({"w": numpy.full(3, numpy.nan, numpy.float32), "n": numpy.int64(7)})
        result = mean.message()
        self.assertEqual((result.named["w"].tolist(), int(result.named["n"])), ([0.25] * 3, 6))
        self.assertEqual(result.scalars, {"loss": 2.5})
        arrays = mean.result()
        with self.assertRaisesRegex(muster.Invalid, "has given its result"):
            mean.add(arrays)
        mean.reset()
        mean.add({"w": numpy.ones(3, numpy.float32), "n": numpy.int64(3)})
        self.assertEqual(mean.result()["w"].tolist(), [1] * 3)
        mean.reset()
        del mean, result
        self.assertEqual(arrays["w"].tolist(), [0.25] * 3, "what is in use stays")

    def test_the_model_of_a_strategy_outlives_its_steps(self):
        size = 1 << 20  # memory of this size goes back to the system when it is freed
        strategy = muster.Strategy({"w": numpy.zeros(size)})
        models = []
        for step in range(1, 4):
            strategy.add({"w": numpy.full(size, float(step))})
            strategy.step()
            models.append(strategy.model)
            self.assertIs(strategy.model, models[-1], "it is copied once")
        arrays = [model.named["w"] for model in models]
        del strategy, models
        self.assertEqual([(array[0], array[-1]) for array in arrays], [(1, 1), (2, 2), (3, 3)])

    def test_strategies_go_on_elsewhere(self):
        model = {"w": numpy.zeros(4, numpy.float32)}
        options = {"name": "fedadam", "eta": 0.1, "tau": 0.01}
        one, other = muster.Strategy(model, **options), None
        for step in range(4):
            for number in range(3):
                one.add({"w": numpy.full(4, step + number, numpy.float32)}, weight=number + 1)
            self.assertEqual(one.answers, 3)
            one.step()
            if step == 1:
                other = muster.Strategy({name: array.copy() for name, array in one.model.named.items()}, **options)
                other.restore(one.state())
            elif step > 1:
                for number in range(3):
                    other.add({"w": numpy.full(4, step + number, numpy.float32)}, weight=number + 1)
                other.step()
                self.assertEqual(one.model.named["w"].tobytes(), other.model.named["w"].tobytes())
        with self.assertRaisesRegex(muster.Invalid, "nosuch"):
            muster.Strategy(model, "nosuch")
        with self.assertRaises(muster.TooFew):
            one.step()

    def test_run_directory(self):
        path = self.scratch / "run"
        with muster.Run(path, '{"rounds": 3}') as run:
            run.commit(1, {"w": numpy.arange(3.0)}, "1,0.5\n")
            with self.assertRaises(muster.Busy):
                muster.Run(path)
        with muster.Run(path, "{}") as run:
            self.assertEqual((run.round, run.configuration), (1, '{"rounds": 3}'))
            self.assertEqual(run.state()["w"].tolist(), [0, 1, 2])

    def test_files(self):
        arrays = {"a": numpy.arange(6, dtype="f2").reshape(2, 3), "b": numpy.array([True, False])}
        muster.npz_write(self.scratch / "x.npz", arrays)
        for read in (muster.npz_read(self.scratch / "x.npz"), numpy.load(self.scratch / "x.npz")):
            self.assertEqual({name: read[name].tolist() for name in read}, {n: a.tolist() for n, a in arrays.items()})
        with self.assertRaises(muster.TooBig):
            muster.npz_read(self.scratch / "x.npz", limit=10)
        with self.assertRaises(muster.IoError):
            muster.npz_read(self.scratch / "none.npz")

    def test_record(self):
        with muster.Record(f"csv:{self.scratch}/m.csv", f"jsonl:{self.scratch}/m.jsonl") as record:
            record.setting("lr", 0.1)
            record.scalars(1, loss=0.5, accuracy=0.75)
            record.histogram(1, "w", numpy.arange(10.0))
            record.text(1, "note", "hello")
        self.assertIn("0.5,0.75", (self.scratch / "m.csv").read_text())
        self.assertIn("hello", (self.scratch / "m.jsonl").read_text())
        with self.assertRaises(muster.Invalid):
            muster.Record("nonsense:x")


class Torch(common.Case):
    def test_tensors_and_states(self):
        try:
            import torch
            import muster.torch
        except ImportError:
            self.skipTest("there is no PyTorch")
        net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).to(torch.float64)
        state = muster.torch.state(net)
        state["0.bias"][:] = 7
        self.assertEqual(net[0].bias.tolist(), [7, 7], "it is the model's memory")
        message = muster.Train(net.state_dict(), loss=torch.tensor(0.5))
        self.assertEqual((message.names, message.scalars), (list(state), {"loss": 0.5}))
        muster.torch.load(net, [array * 0 + 1 for array in message.arrays])
        self.assertEqual(net[0].bias.tolist(), [1, 1])
        muster.torch.load(net, muster.Train({name: array * 0 + 2 for name, array in state.items()}))
        self.assertEqual(net[0].bias.tolist(), [2, 2])
        with self.assertRaisesRegex(muster.Invalid, "write \\[array\\]"):  # and not its rows
            muster.Train(net[0].weight)
        with self.assertRaisesRegex(muster.Invalid, "muster.torch.state\\(model\\)"):
            muster.Train(net)
        with self.assertRaisesRegex(muster.FormatError, "0.bias"):
            muster.torch.load(net, {name: array for name, array in state.items() if name != "0.bias"})
        half = torch.arange(3).to(torch.bfloat16)
        self.assertTrue(torch.equal(muster.torch.to_tensor(muster.torch.to_numpy(half)), half))
        with muster.ParticipantManager("local:torch") as manager:
            self.in_thread(self.echo, manager.address)
            self.addCleanup(manager.close)
            (proxy,) = manager.get_participants(1, common.LONG)
            answer = proxy.run(muster.Train([half]), common.LONG)
            self.assertTrue(torch.equal(muster.torch.to_tensor(answer.arrays[0]), half))

    def echo(self, address):
        with muster.connect(address) as participant:
            for instruction in participant:
                instruction.answer(instruction.arrays)


if __name__ == "__main__":
    common.main()
