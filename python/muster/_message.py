"""Messages: numpy arrays, numbers and texts on their way to and from the library, without a copy where possible."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Optional, Sequence, Union

import numpy
from numpy.typing import NDArray

from ._call import c_text, here
from ._errors import Invalid, checked
from ._muster import ffi, lib

Value = Union[float, int, bool, str, bytes]
Arrays = Union[None, "Message", Mapping[str, Any], Iterable[Any]]

_DTYPES = {
    lib.MUSTER_FLOAT32: "<f4",
    lib.MUSTER_FLOAT64: "<f8",
    lib.MUSTER_INT32: "<i4",
    lib.MUSTER_INT64: "<i8",
    lib.MUSTER_FLOAT16: "<f2",
    lib.MUSTER_BFLOAT16: "<V2",
    lib.MUSTER_UINT8: "|u1",
    lib.MUSTER_INT8: "|i1",
    lib.MUSTER_BOOL: "|b1",
}
_TO_DTYPE = {numpy.dtype(text): number for number, text in _DTYPES.items()}

KINDS = {
    "empty": lib.MUSTER_EMPTY,
    "train": lib.MUSTER_TRAIN,
    "evaluate": lib.MUSTER_EVALUATE,
    "application": lib.MUSTER_APPLICATION,
    "failure": lib.MUSTER_FAILURE,
    "unknown": lib.MUSTER_UNKNOWN,
    "reconnect": lib.MUSTER_RECONNECT,
}
_KIND_NAMES = {number: name for name, number in KINDS.items()}


def dtype_number(array: NDArray[Any]) -> int:
    """The library's number of an array's dtype."""
    dtype = array.dtype
    if dtype.byteorder == ">":
        remedy = 'write array.astype(array.dtype.newbyteorder("<"))'
        raise Invalid(f"arrays are little-endian, and this one has the dtype {dtype}, which is big-endian: {remedy}")
    number: Optional[int] = _TO_DTYPE.get(dtype)
    if number is None and dtype.name == "bfloat16":  # (the name takes long)
        number = int(lib.MUSTER_BFLOAT16)
    if number is None:
        raise Invalid(f"arrays of {dtype} cannot be sent: there are {', '.join(map(dtype_name, _DTYPES))}")
    return number


def dtype_name(number: int) -> str:
    return ffi.string(lib.muster_dtype_name(number)).decode()


def as_array(value: Any) -> NDArray[Any]:
    """An array in C order, without a copy where that is possible; tensors of PyTorch become arrays."""
    if type(value) is not numpy.ndarray and type(value).__module__.partition(".")[0] == "torch":
        from .torch import to_numpy

        value = to_numpy(value)
    array = numpy.asarray(value)
    # (numpy makes a number of no dimensions one of one)
    return array if array.flags.c_contiguous else numpy.ascontiguousarray(array)


def fill_array(view: Any, array: NDArray[Any]) -> None:
    """Makes the library's view of an array."""
    if array.ndim > lib.MUSTER_DIMENSIONS_MAX:
        raise Invalid(f"an array has {array.ndim} dimensions; there are {lib.MUSTER_DIMENSIONS_MAX} at most")
    view.dtype = dtype_number(array)
    view.dimensions = array.ndim
    for axis, length in enumerate(array.shape):
        view.shape[axis] = length
    view.data = ffi.cast("void *", array.__array_interface__["data"][0] if array.size else 0)


def fill_arrays(views: Any, arrays: Sequence[NDArray[Any]], names: Optional[Sequence[str]] = None) -> None:
    """The same for several; an error says which of them it is about."""
    for index, array in enumerate(arrays):
        try:
            fill_array(views[index], array)
        except Invalid as problem:
            name = f" ({names[index]})" if names else ""
            raise Invalid(f"array {index}{name}: {problem}") from None


class _Memory:
    """A piece of the library's memory for numpy, which keeps this, and so its owner, as long as an array."""

    __slots__ = ("owner", "__array_interface__")

    def __init__(self, owner: Any, view: Any, dtype: str) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "version": 3,
            "typestr": dtype,
            "shape": tuple(view.shape[0 : view.dimensions]),
            "data": (int(ffi.cast("uintptr_t", view.data)), False),
        }


def array_view(owner: Any, view: Any) -> NDArray[Any]:
    """The data of the library's array, without a copy; `owner` is kept as long as the result."""
    dtype = _DTYPES[view.dtype]
    shape = tuple(view.shape[0 : view.dimensions])
    if view.data == ffi.NULL or 0 in shape:
        return numpy.empty(shape, dtype)
    return numpy.asarray(_Memory(owner, view, dtype))


def split(arrays: Arrays) -> tuple[list[NDArray[Any]], Optional[list[str]]]:
    """Arrays and their names, of a list, of a mapping, or of another message."""
    if arrays is None:
        return [], None
    if isinstance(arrays, Message):
        return list(arrays.arrays), arrays.names
    if isinstance(arrays, Mapping):
        return [as_array(each) for each in arrays.values()], [str(name) for name in arrays]
    if not isinstance(arrays, (list, tuple)):
        _check_several(arrays)
    return [as_array(each) for each in arrays], None


def _check_several(arrays: Any) -> None:
    if hasattr(arrays, "dtype"):  # numpy's, PyTorch's or another's, which would give its rows
        raise Invalid("a list of arrays is expected, and this is one array: write [array]")
    if hasattr(arrays, "state_dict"):
        raise Invalid(f"arrays are expected, and this is a {type(arrays).__name__}: write muster.torch.state(model)")
    if isinstance(arrays, str) or not isinstance(arrays, Iterable):
        raise Invalid(f"a list of arrays is expected, or a dict, and this is a {type(arrays).__name__}: write [array]")


def built(message: Any) -> "Built":
    """A message for the library."""
    if not isinstance(message, Message):
        raise Invalid(f"a message is expected, such as muster.Train(arrays), and this is a {type(message).__name__}")
    return message._build()


class Built:
    """A message for the library, and all that it points at."""

    __slots__ = ("message", "kept")

    def __init__(self, message: Any, kept: list[Any]) -> None:
        self.message, self.kept = message, kept


def _text(kept: list[Any], text: str, what: str = "") -> Any:
    try:
        kept.append(c_text(text))
    except Invalid as problem:
        raise Invalid(f"{what}: {problem}" if what else str(problem)) from None
    return kept[-1]


def _is_float(value: Any) -> bool:
    return isinstance(value, (float, numpy.floating))


def _put_values(message: Any, values: Mapping[str, Value], kept: list[Any]) -> None:
    floats = [(name, value) for name, value in values.items() if _is_float(value)]
    others = [(name, value) for name, value in values.items() if not _is_float(value)]
    if floats:
        scalars = ffi.new("struct muster_scalar[]", len(floats))
        kept.append(scalars)
        message.scalars, message.scalar_count = scalars, len(floats)
        for index, (name, value) in enumerate(floats):
            scalars[index].name, scalars[index].value = _text(kept, name), float(value)
    if others:
        slots = ffi.new("struct muster_value[]", len(others))
        kept.append(slots)
        message.values, message.value_count = slots, len(others)
        for index, (name, value) in enumerate(others):
            _put_value(slots[index], name, value, kept)


def _put_value(slot: Any, name: str, value: Any, kept: list[Any]) -> None:
    slot.name = _text(kept, name)
    if isinstance(value, (bool, numpy.bool_)):
        slot.kind, slot.boolean = lib.MUSTER_VALUE_BOOL, bool(value)
    elif isinstance(value, (int, numpy.integer)):
        if not -(2**63) <= value < 2**63:
            raise Invalid(f"{name} does not fit into 64 bits: it has {int(value).bit_length() + 1}")
        slot.kind, slot.integer = lib.MUSTER_VALUE_INTEGER, int(value)
    elif isinstance(value, str):
        slot.kind, slot.text = lib.MUSTER_VALUE_TEXT, _text(kept, value, name)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        whole = bytes(value)  # (the length of a view counts its elements)
        data = ffi.new("char[]", whole)
        kept.append(data)
        slot.kind, slot.bytes, slot.size = lib.MUSTER_VALUE_BYTES, data, len(whole)
    elif hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        _put_number(slot, name, value.item(), kept)
    else:
        raise Invalid(f"{name} is a {type(value).__name__}: values are floats, ints, bools, texts and bytes")


def _put_number(slot: Any, name: str, value: Any, kept: list[Any]) -> None:
    """A number of another library, such as a tensor's: it is no float of Python's, or it would not be here."""
    if isinstance(value, float):
        raise Invalid(f"{name}: write float({name})")
    _put_value(slot, name, value, kept)


def plain_values(values: Mapping[str, Any]) -> dict[str, Value]:
    """Numbers of tensors and of arrays without dimensions as Python's own."""
    return {
        name: value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
        for name, value in values.items()
    }


class Message:
    """What an instruction or an answer carries; Train, Evaluate, Application and Failure make one."""

    kind: str
    arrays: list[NDArray[Any]]
    names: Optional[list[str]]
    scalars: dict[str, Any]

    def __init__(self, kind: str, arrays: Arrays = None, scalars: Optional[Mapping[str, Any]] = None) -> None:
        if kind not in KINDS:
            raise Invalid(f"a message is of the kind {', '.join(KINDS)}, and not {kind!r}")
        self.kind = kind
        self.arrays, self.names = split(arrays)
        self.scalars = plain_values(scalars or {})

    @property
    def named(self) -> dict[str, NDArray[Any]]:
        """The arrays by their names."""
        if self.names is None and self.arrays:
            raise Invalid("the arrays of this message have no names: use .arrays, or send a dict")
        return dict(zip(self.names or [], self.arrays))

    def __getitem__(self, name: str) -> Any:
        try:
            return self.scalars[name]
        except KeyError:
            there = ", ".join(map(repr, self.scalars)) or "nothing"
            raise KeyError(f"this {self.kind} message has no {name!r}; it has {there}"[:400]) from None

    def get(self, name: str, otherwise: Any = None) -> Any:
        """The value under `name`, or `otherwise`."""
        return self.scalars.get(name, otherwise)

    def __contains__(self, name: object) -> bool:
        return name in self.scalars

    def __iter__(self) -> Iterator[str]:
        raise TypeError("a message is no list: see its arrays and its scalars")

    def __repr__(self) -> str:
        shapes = ", ".join(f"{each.dtype}{list(each.shape)}" for each in self.arrays[:4])
        more = ", ..." if len(self.arrays) > 4 else ""
        return f"<{type(self).__name__} {self.kind} [{shapes}{more}] {self.scalars}>"

    def _build(self) -> Built:
        message = ffi.new("struct muster_message *")
        kept: list[Any] = [message]
        message.kind = KINDS[self.kind]
        if self.arrays:
            arrays = [as_array(each) for each in self.arrays]
            views = ffi.new("struct muster_array[]", len(arrays))
            kept += [views, arrays]
            fill_arrays(views, arrays, self.names)
            message.arrays, message.array_count = views, len(arrays)
        if self.names:
            names = ffi.new("char *[]", [_text(kept, name) for name in self.names])
            kept.append(names)
            message.array_names = names
        if self.scalars:
            _put_values(message, self.scalars, kept)
        return Built(message, kept)


class Train(Message):
    """To train: a model and what to do with it; and the answer to that."""

    def __init__(self, arrays: Arrays = None, **scalars: Any) -> None:
        super().__init__("train", arrays, scalars)


class Evaluate(Message):
    """To evaluate: a model and what to do with it; and the answer to that."""

    def __init__(self, arrays: Arrays = None, **scalars: Any) -> None:
        super().__init__("evaluate", arrays, scalars)


class Application(Message):
    """The application's own: a name for what `data` is, and its bytes."""

    def __init__(self, type: str, data: Any = b"") -> None:
        super().__init__("application")
        self.type = type
        self.data = data

    def _build(self) -> Built:
        built = super()._build()
        try:
            data = memoryview(self.data).cast("B") if not isinstance(self.data, bytes) else self.data
        except TypeError:
            kind = type(self.data).__name__
            remedy = "write data.encode() for a text" if kind == "str" else "write numpy.ascontiguousarray(data)"
            raise Invalid(f"data is bytes, or an array in C order, and this is a {kind}: {remedy}") from None
        built.message.type = _text(built.kept, self.type)
        if len(data):
            buffer = ffi.from_buffer(data)
            built.kept += [buffer, data]
            built.message.data, built.message.size = buffer, len(data)
        return built


class Failure(Message):
    """Answer: it could not be done. `code` is the application's own number."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__("failure")
        if not isinstance(text, str):
            raise Invalid(f"a failure has a text, and this is a {type(text).__name__}: {text!r}"[:200])
        self.text = text
        self.code = code

    def _build(self) -> Built:
        built = super()._build()
        built.message.text = _text(built.kept, self.text.replace("\0", "?"))
        built.message.code = self.code
        return built


class Prepared(Message):
    """A message that is serialised already, for many turns; see ParticipantManager.prepare()."""

    def __init__(self, message: Any) -> None:
        super().__init__(_KIND_NAMES[message.kind])
        self._owner = received(message)

    def _build(self) -> Built:
        return Built(self._owner, [self._owner])


def received(message: Any) -> Any:
    """Takes a received message, of ffi.new(): it is cleared when nothing points into it any more."""
    return ffi.gc(message, here[0].clear)


class Received(Message):
    """
    A message that came. Its arrays are views of the library's memory, which lives as long as they do. An application's
    message has `type` and `data`, and a failure `text` and `code`.
    """

    type: str
    data: memoryview
    text: str
    code: int

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self.kind = _KIND_NAMES.get(owner.kind, "unknown")

    if not TYPE_CHECKING:  # a checker would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            """What is made when it is asked for first."""
            make = _LAZY.get(name)
            if make is None:
                raise AttributeError(f"{type(self).__name__} has no {name!r}")
            value = make(self, self.__dict__["_owner"])
            self.__dict__[name] = value
            return value

    def _build(self) -> Built:
        return Built(self._owner, [self._owner])


def _read_arrays(self: Received, message: Any) -> list[NDArray[Any]]:
    return [array_view(message, message.arrays[index]) for index in range(message.array_count)]


def _read_names(self: Received, message: Any) -> Optional[list[str]]:
    if message.array_names == ffi.NULL:
        return None
    return [ffi.string(message.array_names[index]).decode() for index in range(message.array_count)]


def _read_value(value: Any) -> Value:
    if value.kind == lib.MUSTER_VALUE_INTEGER:
        return int(value.integer)
    if value.kind == lib.MUSTER_VALUE_BOOL:
        return bool(value.boolean)
    if value.kind == lib.MUSTER_VALUE_TEXT:
        return ffi.string(value.text).decode()
    return bytes(ffi.buffer(value.bytes, value.size)) if value.size else b""


def _read_scalars(self: Received, message: Any) -> dict[str, Value]:
    scalars: dict[str, Value] = {}
    for index in range(message.scalar_count):
        scalars[ffi.string(message.scalars[index].name).decode()] = message.scalars[index].value
    for index in range(message.value_count):
        value = message.values[index]
        scalars[ffi.string(value.name).decode()] = _read_value(value)
    return scalars


def _read_text(name: str) -> Any:
    def read(self: Received, message: Any) -> str:
        text = getattr(message, name)
        return "" if text == ffi.NULL else ffi.string(text).decode("utf-8", "replace")

    return read


def _read_data(self: Received, message: Any) -> memoryview:
    """The payload of an application's message, without a copy."""
    if message.data == ffi.NULL or message.size == 0:
        return memoryview(b"")
    view = ffi.new("struct muster_array *")
    view.dtype, view.dimensions, view.data = lib.MUSTER_UINT8, 1, message.data
    view.shape[0] = message.size
    array: Any = array_view(message, view)
    return memoryview(array)


_LAZY = {
    "arrays": _read_arrays,
    "names": _read_names,
    "scalars": _read_scalars,
    "type": _read_text("type"),
    "text": _read_text("text"),
    "code": lambda self, message: int(message.code),
    "data": _read_data,
}


def check_match(message: Message, expected: Message) -> None:
    """Raises FormatError, which says what differs, unless dtypes, shapes and names of the arrays are as expected."""
    one, other = built(message), built(expected)
    checked(lib.muster_arrays_match, one.message, other.message)
