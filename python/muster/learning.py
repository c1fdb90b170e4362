"""What makes a model of answers: means, strategies, run directories and files of arrays."""
from __future__ import annotations

import os
import weakref
from typing import Any, Mapping, Optional, Union

import numpy
from numpy.typing import NDArray

from ._call import Owner, Texts, here
from ._errors import Invalid, checked
from ._message import Arrays, Message, Received, Value, array_view, as_array, fill_arrays
from ._muster import ffi, lib

Path = Union[str, "os.PathLike[str]"]


def _as_message(arrays: Arrays, scalars: Optional[Mapping[str, Value]] = None) -> Message:
    return arrays if isinstance(arrays, Message) and not scalars else Message("train", arrays, scalars)


def _unnamed(message: Message) -> Any:
    """The arrays, by their names if they have such."""
    return message.arrays if message.names is None else message.named


class Mean(Owner):
    """The weighted mean of arrays. With `like`, its members must have the dtypes, shapes and names of those arrays."""

    def __init__(self, like: Arrays = None) -> None:
        super().__init__(None)
        self._like = None if like is None else _as_message(like)._build()
        self._begin()

    def _begin(self) -> None:
        pointer = lib.muster_mean_new_like_message(self._like.message) if self._like else lib.muster_mean_new()
        if not pointer:
            raise Invalid("no mean can be made like this")
        self._pointer = ffi.gc(pointer, lib.muster_mean_free)
        self._given = False
        self._results: "weakref.WeakSet[_Kept]" = weakref.WeakSet()
        """Those that are in use."""

    def add(self, arrays: Arrays, weight: float = 1.0, scalars: Optional[Mapping[str, Value]] = None) -> None:
        """Adds a member: arrays, or a whole message with its numbers. After an error the mean is as it was."""
        if self._given:
            raise Invalid("this mean has given its result: reset() begins another one")
        built = _as_message(arrays, scalars)._build()
        checked(lib.muster_mean_add_message, self._live, built.message, float(weight))

    def result(self) -> Any:
        """
        The mean: a list of arrays, or a dict if they have names. They are views of memory of the mean, which they keep;
        nothing can be added any more.
        """
        return _unnamed(self.message())

    def message(self) -> Message:
        """The mean with its names and numbers, as result() gives the arrays."""
        message = ffi.new("struct muster_message *")
        checked(lib.muster_mean_result_message, self._live, message)
        self._given = True
        kept = _Kept(message, self._live)
        self._results.add(kept)
        return Received(kept)

    def reset(self) -> None:
        """Begins another mean. Arrays of result() that are still in use stay as they are."""
        if self._results:
            self._begin()
            return
        lib.muster_mean_reset(self._live)
        self._given = False


class _Kept:
    """A message of the library, and what keeps its memory."""

    __slots__ = ("message", "keeper", "__weakref__")

    def __init__(self, message: Any, keeper: Any) -> None:
        self.message, self.keeper = message, keeper

    def __getattr__(self, name: str) -> Any:
        return getattr(self.message, name)


class Strategy(Owner):
    """
    A strategy of the library, such as "fedavg", "fedadam" or "trimmedmean", which holds the model. Its parameters come
    by name (`eta=0.1`); docs/strategies.md lists them.
    """

    def __init__(
        self,
        model: Arrays,
        name: str = "fedavg",
        directory: Optional[Path] = None,
        flower_compatible: bool = False,
        clip: float = 0.0,
        noise: float = 0.0,
        **parameters: float,
    ) -> None:
        super().__init__(None)
        texts = Texts()
        options = ffi.new("struct muster_strategy_options *")
        lib.muster_strategy_options_init_sized(options, ffi.sizeof("struct muster_strategy_options"))
        scalars = ffi.new("struct muster_scalar[]", len(parameters))
        for index, (parameter, value) in enumerate(parameters.items()):
            scalars[index].name, scalars[index].value = texts(parameter), float(value)
        options.name = texts(name)
        options.parameters, options.parameter_count = scalars, len(parameters)
        options.directory = texts(None if directory is None else os.fspath(directory))
        options.flower_compatible, options.clip, options.noise = flower_compatible, clip, noise
        built = _as_message(model)._build()
        pointer = ffi.new("struct muster_strategy **")
        checked(lib.muster_strategy_new, options, built.message, pointer)
        self._pointer = ffi.gc(pointer[0], here[0].free_strategy)
        self._model: Optional[Message] = None

    def add(
        self,
        arrays: Arrays,
        weight: float = 1.0,
        loss: float = -1.0,
        base: Arrays = None,
        staleness: int = 0,
    ) -> None:
        """Adds an answer to the running round. After an error the round is as it was."""
        built = _as_message(arrays)._build()
        based = None if base is None else _as_message(base)._build()
        answer = ffi.new("struct muster_strategy_answer *")
        answer.message, answer.weight, answer.loss = built.message, weight, loss
        answer.base = ffi.NULL if based is None else based.message
        answer.staleness = staleness
        checked(lib.muster_strategy_add, self._live, answer)

    def step(self, divisor: float = 0.0) -> None:
        """Ends the round: moves the model, and forgets the answers."""
        checked(lib.muster_strategy_step, self._live, divisor)
        self._model = None

    def begin(self) -> None:
        """Forgets the answers of the running round. The model stays."""
        lib.muster_strategy_begin(self._live)

    @property
    def answers(self) -> int:
        """How many answers the running round has."""
        return int(lib.muster_strategy_answers(self._live))

    @property
    def least(self) -> int:
        """How many answers a step needs."""
        return int(lib.muster_strategy_least(self._live))

    @property
    def model(self) -> Message:
        """The model, as the last step has left it: a copy, which is made once for each step."""
        if self._model is None:
            own = Received(_Kept(lib.muster_strategy_model(self._live), self._live))
            copies = [array.copy() for array in own.arrays]
            self._model = Message("train", copies if own.names is None else dict(zip(own.names, copies)))
        return self._model

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of what it needs besides the model to go on elsewhere."""
        count = lib.muster_strategy_state_count(self._live)
        arrays = ffi.new("struct muster_named_array[]", max(count, 1))
        lib.muster_strategy_state(self._live, arrays)
        return {name: array.copy() for name, array in _named(self._live, arrays, count).items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where state() was taken, from a strategy made with the same options and the model of then."""
        arrays = _NamedArrays(state)
        checked(lib.muster_strategy_restore, self._live, arrays.views, arrays.count)
        self._model = None


class _NamedArrays:
    """Arrays with names, for the library."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        if not isinstance(arrays, Mapping):
            raise Invalid(f"a dict of arrays by name is expected, and this is a {type(arrays).__name__}")
        self.count = len(arrays)
        self.texts = Texts()
        self.arrays = [as_array(each) for each in arrays.values()]
        self.views = ffi.new("struct muster_named_array[]", max(self.count, 1))
        for index, name in enumerate(arrays):
            self.views[index].name = self.texts(name)
        fill_arrays([each.array for each in self.views], self.arrays, list(arrays))


def _named(owner: Any, arrays: Any, count: int) -> dict[str, NDArray[Any]]:
    return {
        ffi.string(arrays[index].name).decode(): array_view(owner, arrays[index].array) for index in range(count)
    }


def npz_write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an .npz file. An existing one is replaced only when the new one is complete and on the disk."""
    named = _NamedArrays(arrays)
    checked(lib.muster_npz_write, Texts()(os.fspath(path)), named.views, named.count)


def npz_read(path: Path, limit: Optional[int] = None) -> dict[str, NDArray[Any]]:
    """Reads an .npz file, which is not trusted: its arrays take at most `limit` bytes."""
    arrays = ffi.new("struct muster_named_array **")
    count = ffi.new("size_t *")
    if limit is not None and limit < 0:
        raise Invalid(f"a limit is 0 or more bytes, and this is {limit}")
    unlimited = 2 ** (8 * ffi.sizeof("size_t")) - 1
    most = unlimited if limit is None else min(limit, unlimited)
    checked(lib.muster_npz_read, Texts()(os.fspath(path)), most, arrays, count)
    memory = ffi.gc(arrays[0], lib.muster_python_free)
    return _named(memory, arrays[0], count[0])


class Run(Owner):
    """A run directory: what a server needs to go on after its own death. See muster/run.h."""

    def __init__(self, path: Path, configuration: str = "{}", overwrite: bool = False) -> None:
        super().__init__(None)
        pointer = ffi.new("struct muster_run **")
        texts = Texts()
        checked(lib.muster_run_open, texts(os.fspath(path)), texts(configuration), overwrite, pointer)
        self._pointer = pointer[0]

    @property
    def round(self) -> int:
        """The last completed round; 0 before the first."""
        return int(lib.muster_run_round(self._live))

    @property
    def configuration(self) -> str:
        return ffi.string(lib.muster_run_configuration(self._live)).decode()

    def configure(self, configuration: str) -> None:
        """Replaces the configuration."""
        checked(lib.muster_run_configure, self._live, Texts()(configuration))

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the state with which the run was opened."""
        count = ffi.new("size_t *")
        arrays = lib.muster_run_state(self._live, count)
        return {name: array.copy() for name, array in _named(self._live, arrays, count[0]).items()}

    def commit(self, round: int, state: Mapping[str, Any], metrics: str = "") -> None:
        """Completes a round: all of it is on the disk when this returns."""
        named = _NamedArrays(state)
        checked(lib.muster_run_commit, self._live, round, named.views, named.count, Texts()(metrics))

    def close(self) -> None:
        pointer = self._take()
        if pointer:
            lib.muster_run_close(pointer)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


__all__ = ["Mean", "Run", "Strategy", "npz_read", "npz_write"]
