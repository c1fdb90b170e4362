"""
Flower's clients, without a change, in a training of muster: objects with the methods of NumPyClient or Client, and a
ClientApp. An instruction to train becomes fit(), one to evaluate becomes evaluate(), and its scalars the config. flwr
itself is imported only for those that need its types.
"""
from __future__ import annotations

import inspect
import logging
import sys
from types import SimpleNamespace
from typing import Any, Callable, Mapping, Optional, Sequence

import numpy
from numpy.typing import NDArray

from ._errors import Cancelled, FormatError
from ._message import Arrays
from .participant import Instruction, Participant, connect

_log = logging.getLogger("muster.flower")
_Follow = Callable[[Instruction], bool]


def start_client(server: str, client: Any, name: Optional[str] = None, **options: Any) -> None:
    """
    Takes part in a training until the server says good-bye. `client` has the methods of Flower's NumPyClient, or is a
    Client of flwr. What get_properties() says becomes labels; `name` and the other options are those of connect(). What
    a method raises goes to the server as a failure, and to the log.
    """
    client = _as_numpy_client(client)
    options["labels"] = {**_properties(client), **(options.get("labels") or {})}
    with connect(server, name=name, **options) as participant:
        if hasattr(client, "set_context"):
            client.set_context(_context(participant, {}, {}))
        _serve(participant, lambda instruction: _ask_client(client, instruction))


def run_app(
    client_app: Any,
    server: str,
    name: Optional[str] = None,
    node_config: Optional[Mapping[str, Any]] = None,
    run_config: Optional[Mapping[str, Any]] = None,
    **options: Any,
) -> None:
    """
    Takes part in a training until the server says good-bye, with a ClientApp, or with a function client_fn(context) or
    client_fn(cid) alone. The context has the rank as node_id, and as "partition-id" unless `node_config` has another
    one. Its state lasts as long as this call.
    """
    with connect(server, name=name, **options) as participant:
        context = _context(participant, node_config or {}, run_config or {})
        if _is_client_app(client_app):
            from . import _flower_app

            _serve(participant, lambda instruction: _flower_app.ask(client_app, context, instruction))
        else:
            _serve(participant, lambda instruction: _ask_client(_make_client(client_app, context), instruction))


def _serve(participant: Participant, follow: _Follow) -> None:
    for instruction in participant:
        try:
            if instruction.kind in ("train", "evaluate"):
                follow(instruction)
        except Cancelled:
            continue
        except Exception as error:
            _log.exception("an instruction to %s failed", instruction.kind)
            if not instruction.answered:
                instruction.fail(error)


# ---- clients ----


def asks_for_first_model(instruction: Instruction) -> bool:
    """Whether a server without a model asks this participant for the first one."""
    return instruction.kind == "train" and "first_model" in instruction and not instruction.arrays


def with_names(instruction: Instruction, arrays: Sequence[Any]) -> Arrays:
    """The arrays of an answer, under the names that the instruction had for them."""
    arrays = list(arrays)
    if instruction.names is not None and len(instruction.names) == len(arrays):
        return dict(zip(instruction.names, arrays))
    return arrays


def _ask_client(client: Any, instruction: Instruction) -> bool:
    config = dict(instruction.scalars)
    if asks_for_first_model(instruction):
        arrays = list(client.get_parameters(config))
        if not arrays:
            raise FormatError("get_parameters() of this client gives no arrays: give the server a first model")
        return instruction.answer(arrays)
    if instruction.kind == "train":
        arrays, samples, metrics = client.fit(instruction.arrays, config)
        return instruction.answer(with_names(instruction, arrays), **{**(metrics or {}), "num_samples": samples})
    loss, samples, metrics = client.evaluate(instruction.arrays, config)
    return instruction.answer(None, **{**(metrics or {}), "loss": float(loss), "num_samples": samples})


def _properties(client: Any) -> dict[str, str]:
    """What a client says of itself, as labels. Bytes are none."""
    if not hasattr(client, "get_properties"):
        return {}
    found = client.get_properties({})
    return {name: str(value) for name, value in (found or {}).items() if not isinstance(value, bytes)}


def _as_numpy_client(client: Any) -> Any:
    """One that speaks arrays."""
    if "flwr" in sys.modules:
        from flwr.client import Client

        if isinstance(client, Client):
            return _OfClient(client)
    return client


class _OfClient:
    """A Client of flwr, whose methods take and give messages of Flower, as a NumPyClient."""

    def __init__(self, client: Any) -> None:
        from flwr import common

        self._client, self._common = client, common

    def set_context(self, context: Any) -> None:
        if hasattr(self._client, "set_context"):
            self._client.set_context(context)
        else:
            self._client.context = context

    def get_properties(self, config: dict[str, Any]) -> dict[str, Any]:
        result = self._client.get_properties(self._common.GetPropertiesIns(config))
        return result.properties if _code(result) == 0 else {}

    def get_parameters(self, config: dict[str, Any]) -> list[NDArray[Any]]:
        result = _checked(self._client.get_parameters(self._common.GetParametersIns(config)))
        arrays: list[NDArray[Any]] = self._common.parameters_to_ndarrays(result.parameters)
        return arrays

    def fit(self, arrays: list[NDArray[Any]], config: dict[str, Any]) -> tuple[list[NDArray[Any]], int, Any]:
        parameters = self._common.ndarrays_to_parameters(arrays)
        result = _checked(self._client.fit(self._common.FitIns(parameters, config)))
        return self._common.parameters_to_ndarrays(result.parameters), result.num_examples, result.metrics

    def evaluate(self, arrays: list[NDArray[Any]], config: dict[str, Any]) -> tuple[float, int, Any]:
        parameters = self._common.ndarrays_to_parameters(arrays)
        result = _checked(self._client.evaluate(self._common.EvaluateIns(parameters, config)))
        return result.loss, result.num_examples, result.metrics


def _code(result: Any) -> int:
    code = result.status.code
    return int(getattr(code, "value", code))


def _checked(result: Any) -> Any:
    """An answer of a Client, which says in its status whether it is one."""
    if _code(result) != 0:
        raise FormatError(f"the client answered with code {_code(result)}: {result.status.message}")
    return result


# ---- apps ----


def _is_client_app(app: Any) -> bool:
    if "flwr" not in sys.modules:
        return False
    try:
        from flwr.client import ClientApp
    except ImportError:  # before 1.7
        return False
    return isinstance(app, ClientApp)


def _context(participant: Participant, node_config: Mapping[str, Any], run_config: Mapping[str, Any]) -> Any:
    """Flower's Context, of the version that is there; without flwr, something that looks like it."""
    fields = {
        "run_id": 0,
        "node_id": participant.rank,
        "node_config": {"partition-id": participant.rank, **node_config},
        "run_config": dict(run_config),
    }
    if "flwr" in sys.modules:
        from . import _flower_app

        made = _flower_app.make_context(fields)
        if made is not None:
            return made
    return SimpleNamespace(**fields, state={})


def _make_client(client_fn: Callable[[Any], Any], context: Any) -> Any:
    """The client of a function: as in Flower, a new one for each instruction."""
    (parameter,) = inspect.signature(client_fn).parameters.values()
    old = parameter.name == "cid" or parameter.annotation in (str, "str")
    client = client_fn(str(context.node_config["partition-id"]) if old else context)
    return _as_numpy_client(client)


__all__ = ["run_app", "start_client"]
