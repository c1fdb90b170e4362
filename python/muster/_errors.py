"""Errors: an exception for each status of the library."""
from __future__ import annotations

from typing import Any, Callable

from ._muster import ffi, lib


class Error(Exception):
    """What went wrong: `status` is the library's name for it, such as "TIMEOUT", and the text is one sentence."""

    status = "UNKNOWN"

    def __init__(self, text: str = "") -> None:
        super().__init__(text or _phrase(self.status))
        self.text = str(self)


def _phrase(status: str) -> str:
    return ffi.string(lib.muster_status_text(getattr(lib, "MUSTER_" + status, -1))).decode()


class Timeout(Error, TimeoutError):
    """The limit of the wait passed."""

    status = "TIMEOUT"


class Cancelled(Error):
    """The turn was given up: nobody waits for its answer any more."""

    status = "CANCELLED"


class Gone(Error, ConnectionError):
    """The peer is gone: its connection ended."""

    status = "GONE"


class Closed(Error):
    """This object was closed."""

    status = "CLOSED"


class TooBig(Error):
    """A message is bigger than the limit."""

    status = "TOO_BIG"


class ProtocolError(Error):
    """The peer broke the protocol."""

    status = "PROTOCOL"


class Refused(Error):
    """The peer refused, and said why. `code` and `detail` are the participant's: a traceback, perhaps."""

    status = "REFUSED"
    code: int = 0
    detail: str = ""


class UnknownInstruction(Error):
    """The participant does not know this kind of instruction."""

    status = "UNKNOWN_INSTRUCTION"


class Stopped(Error):
    """The server is stopping."""

    status = "STOPPED"


class OutOfMemory(Error, MemoryError):
    """Out of memory."""

    status = "OUT_OF_MEMORY"


class Unavailable(Error, ConnectionError):
    """The server cannot be reached."""

    status = "UNAVAILABLE"


class Unauthenticated(Error, PermissionError):
    """The peer did not prove who it is."""

    status = "UNAUTHENTICATED"


class Exists(Error):
    """The name or address is in use."""

    status = "EXISTS"


class Busy(Error):
    """Another turn of this proxy is running."""

    status = "BUSY"


class Invalid(Error, ValueError):
    """An argument is invalid."""

    status = "INVALID"


class IoError(Error, OSError):
    """Reading or writing a file failed."""

    status = "IO"


class FormatError(Error, ValueError):
    """A file or array is malformed, or of a type that is not supported."""

    status = "FORMAT"


class Unsupported(Error):
    """The peer, or this build of the library, does not offer this."""

    status = "UNSUPPORTED"


class Full(Error):
    """The server takes no more participants now."""

    status = "FULL"


class TooFew(Error):
    """Too few answers were accepted."""

    status = "TOO_FEW"


_by_status: dict[int, type[Error]] = {
    getattr(lib, "MUSTER_" + each.status): each
    for each in list(globals().values())
    if isinstance(each, type) and issubclass(each, Error) and each is not Error
}


def status_name(status: int) -> str:
    """The library's name of a status, such as "TIMEOUT"."""
    return ffi.string(lib.muster_status_name(status)).decode()


def error(status: int, text: str = "") -> Error:
    """The exception for a status."""
    kind = _by_status.get(status)
    if kind is None:
        kind = type("Error", (Error,), {"status": status_name(status)})
    return kind(text)


def check(status: int, record: Any) -> None:
    """Raises what a call of the library returned, unless it is OK."""
    if status != lib.MUSTER_OK:
        raise error(status, ffi.string(record.text).decode("utf-8", "replace"))


def checked(function: Callable[..., int], *arguments: Any) -> None:
    """Calls a function whose last argument is the error's record, and raises unless it returns OK."""
    record = ffi.new("struct muster_error *")
    try:
        status = function(*arguments, record)
    finally:
        # An error's traceback keeps this frame: close() would wait for an object that seems to be in use.
        del arguments
    check(status, record)


def write_error(record: Any, text: str) -> None:
    """Writes a text into the library's record of an error, cut to fit."""
    if record != ffi.NULL:
        copy_text(record.text, lib.MUSTER_ERROR_TEXT_SIZE, text)


def copy_text(to: Any, size: int, text: str) -> None:
    """Writes a text, cut between two characters, into `size` bytes."""
    line = text.encode("utf-8", "replace")[: max(size - 1, 0)].decode("utf-8", "ignore").encode() + b"\0"
    if size > 0:
        ffi.memmove(to, line, len(line))


def needs(function: str, part: str) -> None:
    """Raises Invalid if the library was built without a part, and so has not this function."""
    if not hasattr(lib, function):
        remedy = f"configure it --with-{part}, and install this package again"
        raise Invalid(f"the library was built without its {part}: {remedy}")
