#!/usr/bin/python3 -B
"""Clients and apps of Flower in trainings of muster: by duck typing, and with flwr itself where that is installed."""

import contextlib
import inspect
import logging
import pathlib
import tempfile
import unittest

import numpy

import common
from common import LONG, PEER
import muster
import muster.flower

try:
    import flwr.client
    import flwr.common
except ImportError:
    flwr = None
App = getattr(flwr and flwr.client, "ClientApp", None)

MODEL = [numpy.zeros((20, 5), numpy.float32), numpy.zeros(5, numpy.float32)]
CONFIG = {"epochs": 2, "learning_rate": 0.02, "nesterov": True, "optimizer": "sgd", "key": b"\0\1"}


class Duck:
    """A client as one writes it for Flower, but of no class of Flower's. It adds 1 to each array."""

    def __init__(self):
        self.configs = []

    def get_properties(self, config):
        return {"site": "Köln", "beds": 30, "secret": b"\0"}

    def get_parameters(self, config):
        return [numpy.full(3, 7.0)]

    def fit(self, parameters, config):
        self.configs.append(config)
        if config.get("fail"):
            raise RuntimeError("no data for you")
        return [each + 1 for each in parameters], 40, {"loss": 0.5, "accuracy": 0.25, "steps": 3}

    def evaluate(self, parameters, config):
        self.configs.append(config)
        return float(parameters[0].flat[0]), 10, {"loss": -1.0, "accuracy": 0.75}


class Case(common.Case):
    def setUp(self):
        super().setUp()
        logging.getLogger("muster.flower").setLevel(logging.CRITICAL)  # failures are meant to be here
        self.manager = muster.ParticipantManager("127.0.0.1:0")
        self.addCleanup(self.manager.close)

    def join(self, function, *arguments, **named):
        """A participant on a thread; its proxy."""
        self.in_thread(lambda: function(*arguments, **named))
        self.addCleanup(self.manager.close)  # before the thread is waited for
        return self.manager.get_participants(1, LONG)[-1]

    def start_client(self, client, **options):
        return self.join(muster.flower.start_client, self.manager.address, client, name="duck", **options)

    def expect_turns(self, proxy, config=CONFIG):
        """A training turn adds 1 to all, with the names that the model has, and a test says the first number as loss."""
        for model in (MODEL, dict(zip(("weights", "bias"), MODEL))):
            trained = proxy.run(muster.Train(model, **config), LONG)
            self.assertEqual([each.mean() for each in trained.arrays], [1, 1])
            self.assertEqual([each.shape for each in trained.arrays], [each.shape for each in MODEL])
            self.assertEqual(trained.names, list(model) if isinstance(model, dict) else None)
            self.assertEqual((trained["num_samples"], trained["accuracy"]), (40, 0.25))
            tested = proxy.run(muster.Evaluate(trained, **config), LONG)
            self.assertEqual((tested["num_samples"], tested["loss"], tested["accuracy"]), (10, 1.0, 0.75))
            self.assertEqual(len(tested.arrays), 0)

    def expect_config(self, config):
        self.assertEqual(config, CONFIG)
        self.assertEqual({name: type(value) for name, value in config.items()}, {n: type(v) for n, v in CONFIG.items()})

    def expect_failure(self, proxy):
        with self.assertRaisesRegex(muster.Refused, "no data for you") as caught:
            proxy.run(muster.Train(MODEL, fail=True), LONG)
        self.assertIn("in fit", caught.exception.detail)


class Ducks(Case):
    def test_a_client_without_flower(self):
        duck = Duck()
        proxy = self.start_client(duck, labels={"beds": "31"})
        self.assertEqual([proxy.label(name) for name in ("site", "beds", "secret")], ["Köln", "31", None])
        self.assertEqual(proxy.name, "duck")
        self.expect_turns(proxy)
        for config in duck.configs:
            self.expect_config(config)
        self.expect_failure(proxy)
        self.assertEqual(proxy.run(muster.Train(first_model=1.0), LONG).arrays[0].tolist(), [7, 7, 7])
        with self.assertRaises(muster.UnknownInstruction):
            proxy.run(muster.Application("mine", b"abc"), LONG)
        self.expect_turns(proxy)

    def test_beside_participants_of_c_and_python(self):
        with tempfile.TemporaryDirectory() as directory:
            program = common.compile_example("participant", pathlib.Path(directory))
            self.start(program, "--connect", self.manager.address, "--name", "c")
            self.start_python(PEER, "participant", self.manager.address, "python")
            self.start_client(Duck())
            proxies = self.manager.get_participants(3, LONG)
            model = MODEL
            for _ in range(2):
                mean, names = muster.Mean(like=model), []
                for proxy, answer in muster.run_all(proxies, muster.Train(model, **CONFIG), deadline=LONG):
                    mean.add(answer, weight=answer["num_samples"])
                    names.append(proxy.name)
                self.assertEqual(sorted(names), ["c", "duck", "python"])
                model = mean.result()
                tests = muster.run_all(proxies, muster.Evaluate(model), deadline=LONG)
                self.assertEqual(len([answer["loss"] for _, answer in tests]), 3)
            self.manager.close()

    def test_functions_that_make_clients(self):
        made = []

        def client_fn(context):
            made.append((context.node_id, context.node_config, context.run_config))
            return Duck()

        proxy = self.join(muster.flower.run_app, client_fn, self.manager.address, run_config={"lr": 0.1})
        self.expect_turns(proxy)
        rank = proxy.rank
        self.assertEqual(made, [(rank, {"partition-id": rank}, {"lr": 0.1})] * 4)
        self.expect_failure(proxy)

    def test_functions_of_old(self):
        made = []

        def client_fn(cid: str):
            made.append(cid)
            return Duck()

        self.join(muster.flower.run_app, client_fn, self.manager.address, node_config={"partition-id": 7})
        (proxy,) = self.manager.get_participants(1, LONG)
        self.expect_turns(proxy)
        self.assertEqual(made, ["7"] * 4)


def numpy_client():
    """The same client, of Flower's class; made here, as flwr may be absent."""
    return type("Client", (Duck, flwr.client.NumPyClient), {})()


@unittest.skipUnless(flwr, "flwr is not installed")
class Clients(Case):
    def test_an_unchanged_numpy_client(self):
        client = numpy_client()
        proxy = self.start_client(client)
        self.expect_turns(proxy)
        self.expect_config(client.configs[0])
        self.expect_failure(proxy)
        if hasattr(getattr(client, "context", None), "node_id"):
            self.assertEqual(client.context.node_id, proxy.rank)

    def test_a_client_with_messages(self):
        client = numpy_client()
        to_client = getattr(client, "to_client", None) or (lambda: flwr.client.to_client(client))
        proxy = self.start_client(to_client())
        self.assertEqual(proxy.label("site"), "Köln")
        self.expect_turns(proxy)
        self.expect_config(client.configs[0])
        self.expect_failure(proxy)
        self.assertEqual(proxy.run(muster.Train(first_model=1.0), LONG).arrays[0].tolist(), [7, 7, 7])

    def test_a_client_that_says_no(self):
        common_ = flwr.common

        class Client(flwr.client.Client):
            def fit(self, ins):
                status = common_.Status(common_.Code.FIT_NOT_IMPLEMENTED, "I do not train")
                return common_.FitRes(status, common_.Parameters([], ""), 0, {})

        with self.assertRaisesRegex(muster.Refused, "I do not train"):
            self.start_client(Client()).run(muster.Train(MODEL), LONG)


@unittest.skipUnless(App, "flwr is not installed, or has no ClientApp")
class Apps(Case):
    def test_an_app_with_a_client_fn(self):
        client, given = numpy_client(), []
        if "node_id" in inspect.signature(flwr.common.Context).parameters:

            def client_fn(context: flwr.common.Context):
                given.append(context.node_config["partition-id"])
                context.state  # is there
                return client.to_client()

        else:

            def client_fn(cid: str):
                given.append(int(cid))
                return client.to_client()

        proxy = self.join(muster.flower.run_app, App(client_fn=client_fn), self.manager.address, name="app")
        self.expect_turns(proxy)
        self.assertEqual(given, [proxy.rank] * 4)
        self.expect_config(client.configs[0])
        self.expect_failure(proxy)
        self.assertEqual(proxy.run(muster.Train(first_model=1.0), LONG).arrays[0].tolist(), [7, 7, 7])

    def test_an_app_of_functions(self):
        proxy = self.join(muster.flower.run_app, app_of_functions(), self.manager.address)
        self.expect_turns(proxy)
        self.expect_failure(proxy)
        with self.assertRaisesRegex(muster.Refused, "give the server one"):
            proxy.run(muster.Train(first_model=1.0), LONG)
        with self.assertRaisesRegex(muster.Refused, "no arrays|without arrays"):
            proxy.run(muster.Train(MODEL, forget=True), LONG)


def app_of_functions():
    """An app with the functions that Flower's own strategies expect."""
    app, words = App(), flwr.common
    new = hasattr(words, "RecordDict")
    record, arrays, metrics = (
        getattr(words, first if new else second)
        for first, second in (("RecordDict", "RecordSet"), ("ArrayRecord", "ParametersRecord"), ("MetricRecord", "MetricsRecord"))
    )

    def part(content, kind, old, name):
        return getattr(content, f"{kind}_records" if new else old)[name]

    def reply(message, found, numbers):
        content = record()
        (content.metric_records if new else content.metrics_records)["metrics"] = metrics(numbers)
        if found:
            (content.array_records if new else content.parameters_records)["arrays"] = arrays(found)
        return words.Message(content, reply_to=message) if new else message.create_reply(content)

    @app.train()
    def fit(message, context):
        config = part(message.content, "config", "configs_records", "config")
        if "fail" in config.keys():
            raise RuntimeError("no data for you")
        found = part(message.content, "array", "parameters_records", "arrays")
        encode = words.Array if new else words.array_from_numpy
        made = {name: encode(each.numpy() + 1) for name, each in found.items()}
        return reply(message, {} if "forget" in config.keys() else made, {"num-examples": 40, "accuracy": 0.25})

    @app.evaluate()
    def evaluate(message, context):
        found = part(message.content, "array", "parameters_records", "arrays")
        first = float(next(iter(found.values())).numpy().flat[0])
        return reply(message, {}, {"num-examples": 10, "eval_loss": first, "accuracy": 0.75})

    return app


if __name__ == "__main__":
    with contextlib.suppress(AttributeError):
        logging.getLogger("flwr").setLevel(logging.ERROR)
    common.main()
