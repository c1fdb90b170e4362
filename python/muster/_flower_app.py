"""
A turn of Flower's ClientApp: the instruction becomes a Message of flwr with records, and the records of its reply
become the answer. Records have had two names in flwr, and constructors of several forms; this works with 1.8 and newer.
"""
from __future__ import annotations

import inspect
import io
import time
from typing import Any, Mapping, Optional

import numpy
from numpy.typing import NDArray

from ._errors import FormatError
from .flower import asks_for_first_model, with_names
from .participant import Instruction

DAY = 86400.0


def _flwr(*names: str) -> Any:
    """The first of these names that this version of flwr has."""
    import flwr.common

    try:
        import flwr.app
    except ImportError:  # before 1.20
        modules: list[Any] = [flwr.common]
    else:
        modules = [flwr.app, flwr.common]
    for name in names:
        for module in modules:
            if hasattr(module, name):
                return getattr(module, name)
    raise ImportError(f"this version of flwr has no {names[0]}: ClientApps need flwr 1.8 or newer")


def _make(kind: Any, fields: Mapping[str, Any]) -> Any:
    """An object, of those fields that this version knows."""
    known = inspect.signature(kind).parameters
    return kind(**{name: value for name, value in fields.items() if name in known})


def make_context(fields: dict[str, Any]) -> Optional[Any]:
    """Flower's Context, if this version has one."""
    try:
        context, state = _flwr("Context"), _flwr("RecordDict", "RecordSet")()
    except ImportError:
        return None
    made = _make(context, {**fields, "state": state})
    for name, value in fields.items():
        if not hasattr(made, name):  # before 1.10 a context was nothing but the state
            setattr(made, name, value)
    return made


# ---- to the app ----


def _array_record(arrays: Mapping[str, NDArray[Any]]) -> Any:
    record, array = _flwr("ArrayRecord", "ParametersRecord")(), _flwr("Array")
    encode = array.from_numpy_ndarray if hasattr(array, "from_numpy_ndarray") else _flwr("array_from_numpy")
    for name, value in arrays.items():
        record[name] = encode(value)
    return record


def _content(app: Any, instruction: Instruction, kind: str) -> Any:
    """The records that a client_fn's client expects, or the ones that functions expect from Flower's own strategies."""
    content = _flwr("RecordDict", "RecordSet")()
    arrays, configs = ("arrays", "config")
    if app._call:
        prefix = {"train": "fitins", "evaluate": "evaluateins", "get_parameters": "getparametersins"}[kind]
        arrays, configs = f"{prefix}.parameters", f"{prefix}.config"
    names = instruction.names or [str(index) for index in range(len(instruction.arrays))]
    if kind != "get_parameters":
        _records(content, "array")[arrays] = _array_record(dict(zip(names, instruction.arrays)))
    _records(content, "config")[configs] = _flwr("ConfigRecord", "ConfigsRecord")(dict(instruction.scalars))
    return content


def _message(content: Any, kind: str, context: Any, instruction: Instruction) -> Any:
    node = getattr(context, "node_id", 0)
    fields = {
        "run_id": 0,
        "message_id": str(id(instruction)),
        "src_node_id": 0,
        "dst_node_id": node,
        "reply_to_message": "",
        "reply_to_message_id": "",
        "group_id": str(instruction.get("round", "")),
        "created_at": time.time(),
        "ttl": DAY,
        "message_type": kind,
        "partition_id": context.node_config["partition-id"],
    }
    return _flwr("Message")(metadata=_make(_flwr("Metadata"), fields), content=content)


# ---- from the app ----


def _records(content: Any, kind: str) -> Any:
    old = {"array": "parameters_records", "metric": "metrics_records", "config": "configs_records"}
    return getattr(content, f"{kind}_records") if hasattr(content, f"{kind}_records") else getattr(content, old[kind])


def _arrays(content: Any) -> list[tuple[str, NDArray[Any]]]:
    """All arrays of a reply, with their names."""
    return [
        (name, numpy.load(io.BytesIO(array.data), allow_pickle=False))
        for record in _records(content, "array").values()
        for name, array in record.items()
        if name != "_empty"
    ]


def _numbers(content: Any) -> dict[str, Any]:
    """The numbers of a reply; what Flower counts as examples are samples here."""
    found: dict[str, Any] = {}
    for key, record in [*_records(content, "config").items(), *_records(content, "metric").items()]:
        if key.endswith(".status"):
            if int(record["code"]) != 0:
                raise FormatError(f"the client answered with code {record['code']}: {record['message']}")
        else:
            found.update(record)
    for name in ("num-examples", "num_examples"):
        if name in found:
            found["num_samples"] = found.pop(name)
    losses = [name for name in found if name.endswith("loss")]
    if "loss" not in found and len(losses) == 1:
        found["loss"] = found[losses[0]]
    return found


def ask(app: Any, context: Any, instruction: Instruction) -> bool:
    """Has an app do what an instruction says, and answers."""
    kind = instruction.kind
    if asks_for_first_model(instruction):
        if not app._call:
            raise FormatError("a ClientApp of functions has no first model: give the server one")
        kind = "get_parameters"
    reply = app(_message(_content(app, instruction, kind), kind, context, instruction), context)
    if reply.has_error():
        raise FormatError(f"the app replied with error {reply.error.code}: {reply.error.reason}")
    numbers, arrays = _numbers(reply.content), _arrays(reply.content)
    if instruction.kind == "evaluate":
        return instruction.answer(None, **numbers)
    if not arrays:
        raise FormatError("the app replied without arrays")
    if instruction.names is not None and sorted(instruction.names) == sorted(name for name, _ in arrays):
        by_name = dict(arrays)
        return instruction.answer({name: by_name[name] for name in instruction.names}, **numbers)
    return instruction.answer(with_names(instruction, [array for _, array in arrays]), **numbers)
