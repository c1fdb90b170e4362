"""Groups: processes that exchange messages directly, each with a rank, and the coordinator that unites them."""
from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Callable, Optional, Sequence

import numpy
from numpy.typing import NDArray

from ._call import Connected, Texts, callback, checked_wait, function, milliseconds, options, struct_dict
from ._errors import OutOfMemory, checked
from ._message import Arrays, Message, Received, as_array, fill_arrays, received
from ._muster import ffi, lib

ANY_RANK = lib.MUSTER_ANY_RANK
ANY_TAG = lib.MUSTER_ANY_TAG
HOUR = 3600.0


@dataclass(frozen=True)
class Member:
    """A place in the roster; `state` is "present", "lost" or "finished"."""

    rank: int
    state: str
    name: str
    address: str
    incarnation: int


def _member(member: Any) -> Member:
    state = ffi.string(lib.muster_member_state_name(member.state)).decode()
    texts = (member.name, member.address)
    name, address = (ffi.string(text).decode("utf-8", "replace") if text else "" for text in texts)
    return Member(member.rank, state, name, address, member.incarnation)


class _Callbacks:
    """What the library's threads call."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.event: Optional[Callable[..., None]] = function("on_event", given.pop("on_event", None))
        self.warning: Optional[Callable[[str], None]] = function("on_warning", given.pop("on_warning", None))

    def put(self, struct: Any, event: Any) -> None:
        if self.event:
            struct.on_event = event
        if self.warning:
            struct.on_warning = lib.muster_python_group_warning


class Group(Connected):
    """
    A member of a group, made by join_group(). Limits are in seconds; None is no limit. Messages are those of muster:
    Train, for example, or arrays alone. Callbacks: on_event(epoch, member), on_warning(text).
    """

    def __init__(self, coordinator: str, members: int, **given: Any) -> None:
        super().__init__(None)
        self._texts = Texts()
        self._callbacks = _Callbacks(given)
        self._handle = ffi.new_handle(self._callbacks)
        struct = options("muster_group_options", dict(given, members=members), self._texts)
        struct.context = self._handle
        self._callbacks.put(struct, lib.muster_python_group_event)
        pointer = ffi.new("struct muster_group **")
        kept = [self._texts, self._handle, self._callbacks]  # as long as the call goes on

        def late() -> None:
            lib.muster_group_free(pointer[0])
            del kept[:]

        checked_wait("muster_group_join", self._texts(coordinator), struct, pointer, late=late)
        self._pointer = pointer[0]

    def _wait(self, name: str, *arguments: Any) -> None:
        checked_wait(name, self._live, *arguments, give_up=self._end)

    @property
    def rank(self) -> int:
        return int(lib.muster_group_rank(self._live))

    @property
    def size(self) -> int:
        return int(lib.muster_group_size(self._live))

    @property
    def epoch(self) -> int:
        """The number of the roster: one more with each change of it."""
        return int(lib.muster_group_epoch(self._live))

    def roster(self) -> list[Member]:
        """All members by rank."""
        array = lib.muster_group_roster(self._live, ffi.NULL)
        if not array:
            raise OutOfMemory()
        array = ffi.gc(array, lib.muster_python_free)
        return [_member(array[rank]) for rank in range(self.size)]

    def send(self, to: int, message: Arrays, tag: int = 0, timeout: Optional[float] = HOUR) -> None:
        """Sends, and waits until that member's library has it; a big message waits until it is wanted."""
        built = _message(message)._build()
        self._wait("muster_group_send", to, tag, built.message, milliseconds(timeout))

    def receive(
        self, source: int = ANY_RANK, tag: int = ANY_TAG, timeout: Optional[float] = HOUR
    ) -> tuple[Message, int, int]:
        """Waits for a message, and returns it with the rank that sent it and its tag."""
        message = received(ffi.new("struct muster_message *"))
        rank, tagged = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        self._wait("muster_group_receive", source, tag, milliseconds(timeout), message, rank, tagged)
        return Received(message), rank[0], tagged[0]

    def exchange(self, peer: int, message: Arrays, tag: int = 0, timeout: Optional[float] = HOUR) -> Message:
        """Sends to a peer and receives from it, at once; the peer does the same."""
        built = _message(message)._build()
        answer = received(ffi.new("struct muster_message *"))
        self._wait("muster_group_exchange", peer, tag, built.message, milliseconds(timeout), answer)
        return Received(answer)

    def publish(self, version: int, message: Arrays) -> None:
        """Makes a copy of a message the state of this member; versions grow."""
        built = _message(message)._build()
        checked(lib.muster_group_publish, self._live, version, built.message)

    def fetch(self, source: int, least: int = 0, timeout: Optional[float] = HOUR) -> tuple[Message, int]:
        """Waits for a version of at least `least` of a member's state, and returns the newest with its number."""
        message = received(ffi.new("struct muster_message *"))
        version = ffi.new("uint64_t *")
        self._wait("muster_group_fetch", source, least, milliseconds(timeout), message, version)
        return Received(message), version[0]

    def barrier(self, timeout: Optional[float] = HOUR) -> None:
        """Waits until every member is here."""
        self._wait("muster_group_barrier", milliseconds(timeout))

    def broadcast(self, message: Arrays = None, root: int = 0, timeout: Optional[float] = HOUR) -> Message:
        """Gives the root's message to everyone."""
        if self.rank == root:
            given = _message(message)
            built = given._build()
            self._wait("muster_group_broadcast", root, built.message, milliseconds(timeout))
            return given
        got = received(ffi.new("struct muster_message *"))
        self._wait("muster_group_broadcast", root, got, milliseconds(timeout))
        return Received(got)

    def gather(self, message: Arrays, root: int = 0, timeout: Optional[float] = HOUR) -> Optional[list[Message]]:
        """Collects a message of each member at the root, by rank; None elsewhere."""
        built = _message(message)._build()
        array = self._room() if self.rank == root else ffi.NULL
        self._wait("muster_group_gather", root, built.message, array, milliseconds(timeout))
        return None if array == ffi.NULL else self._messages(array)

    def all_gather(self, message: Arrays, timeout: Optional[float] = HOUR) -> list[Message]:
        """Collects a message of each member everywhere, by rank."""
        built = _message(message)._build()
        array = self._room()
        self._wait("muster_group_all_gather", built.message, array, milliseconds(timeout))
        return self._messages(array)

    def all_reduce(
        self, arrays: Sequence[Any], mean: bool = True, weight: float = 1.0, timeout: Optional[float] = HOUR
    ) -> list[NDArray[Any]]:
        """
        The weighted mean, or the sum, over all members, the same bytes at each. It is written into the arrays
        themselves if they are in C order and writable, and otherwise into copies, which are returned.
        """
        own = [as_array(each) for each in arrays]
        own = [each if each.flags.writeable else each.copy() for each in own]
        views = ffi.new("struct muster_array[]", max(len(own), 1))
        fill_arrays(views, own)
        kind = lib.MUSTER_MEAN if mean else lib.MUSTER_SUM
        self._wait("muster_group_all_reduce", kind, weight, views, len(own), milliseconds(timeout))
        return own

    def _room(self) -> Any:
        return ffi.new("struct muster_message[]", self.size)

    def _messages(self, array: Any) -> list[Message]:
        return [Received(received(ffi.new("struct muster_message *", array[rank]))) for rank in range(self.size)]

    def statistics(self) -> dict[str, Any]:
        """What this member has done, and sees."""
        struct = ffi.new("struct muster_group_statistics *")
        lib.muster_group_get_statistics_sized(self._live, struct, ffi.sizeof("struct muster_group_statistics"))
        return struct_dict(struct[0])

    def _end(self) -> None:
        if self._pointer:  # otherwise, another thread is closing it
            lib.muster_group_close(self._pointer)

    def leave(self, timeout: Optional[float] = HOUR) -> None:
        """Says that this member has finished, and waits until all have, or are lost."""
        self._wait("muster_group_leave", milliseconds(timeout))

    def close(self) -> None:
        """Frees the member. Without leave() it is lost to the others."""
        if self._pointer:
            kept = (self._handle, self._callbacks, self._texts)
            self._free("muster_group_close", "muster_group_free", kept)

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is None and self._pointer:
                self.leave()
        finally:
            self.close()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()


def _message(message: Arrays) -> Message:
    return message if isinstance(message, Message) else Message("train", message)


def join_group(coordinator: str, members: int, **given: Any) -> Group:
    """
    Joins a group of so many members, and waits until it is complete. Options are those of `struct
    muster_group_options`, times in seconds without the _ms: name, group, least, join_timeout, and others.
    """
    return Group(coordinator, members, **given)


class Coordinator(Connected):
    """Whom the members of groups register with. Options are those of `struct muster_coordinator_options`."""

    def __init__(self, listen: Optional[str] = None, **given: Any) -> None:
        super().__init__(None)
        self._texts = Texts()
        self._callbacks = _Callbacks(given)
        self._handle = ffi.new_handle(self._callbacks)
        if listen is not None:
            given["listen"] = listen
        struct = options("muster_coordinator_options", given, self._texts)
        struct.context = self._handle
        self._callbacks.put(struct, lib.muster_python_coordinator_event)
        pointer = ffi.new("struct muster_coordinator **")
        checked(lib.muster_coordinator_start, struct, pointer)
        self._pointer = pointer[0]

    @property
    def port(self) -> int:
        return int(lib.muster_coordinator_port(self._live))

    def wait(self, group: str = "default", timeout: Optional[float] = None) -> None:
        """Waits until a group is over."""
        arguments = (self._texts(group), milliseconds(timeout))
        checked_wait("muster_coordinator_wait", self._live, *arguments, give_up=self._end)

    def _end(self) -> None:
        if self._pointer:  # otherwise, another thread is closing it
            lib.muster_coordinator_close(self._pointer)

    def close(self) -> None:
        if self._pointer:
            kept = (self._handle, self._callbacks, self._texts)
            self._free("muster_coordinator_close", "muster_coordinator_free", kept)

    def __enter__(self) -> "Coordinator":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()


@callback()
def muster_python_group_event(context: Any, event: Any) -> None:
    ffi.from_handle(context).event(event.epoch, _member(event.member))


@callback()
def muster_python_coordinator_event(context: Any, event: Any) -> None:
    group, text = (ffi.string(each).decode("utf-8", "replace") for each in (event.group, event.text))
    ffi.from_handle(context).event(group, event.epoch, _member(event.member), text)


@callback()
def muster_python_group_warning(context: Any, text: Any) -> None:
    ffi.from_handle(context).warning(ffi.string(text).decode("utf-8", "replace"))


__all__ = ["ANY_RANK", "ANY_TAG", "Coordinator", "Group", "Member", "join_group"]
