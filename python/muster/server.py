"""The participant manager: listens for participants, and knows all of them."""
from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from typing import Any, Callable, Optional

from ._call import (
    Connected,
    Texts,
    callback,
    function,
    on_a_thread,
    on_a_thread_until_cancelled,
    options,
    people,
    slices,
    struct_dict,
)
from ._errors import Error, check, checked, copy_text, status_name
from ._message import Message, Prepared, built
from ._muster import ffi, lib
from .proxy import Proxy, Rounds, proxies_of, proxy_of

_EVENTS = {
    getattr(lib, "PARTICIPANT_MANAGER_" + name): name
    for name in "JOINED LEFT REFUSED PROGRESS AWAY BACK TURN_BEGAN TURN_ENDED ROUND_BEGAN ROUND_ENDED ASKED".split()
}


@dataclass(frozen=True)
class Event:
    """What happened to a participant, a turn or a round; `kind` is "JOINED", for example."""

    kind: str
    proxy: Optional[Proxy]
    status: str
    text: str
    turn: int
    round: int
    seconds: float


class _ManagerCallbacks:
    """What the library's threads call."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.rounds = Rounds()
        self.admit: Optional[Callable[[Proxy], Any]] = function("admit", given.pop("admit", None))
        self.event: Optional[Callable[[Event], None]] = function("on_event", given.pop("on_event", None))
        self.warning: Optional[Callable[[str], None]] = function("on_warning", given.pop("on_warning", None))


class ParticipantManager(Connected):
    """
    Listens for participants, and knows all of them. Options are those of `struct participant_manager_options`; times
    are in seconds, without the _ms (`session_grace=5`), and None is no limit. Callbacks run on threads of the library
    and must not block: admit(proxy) returns None, or why the participant is refused; on_event(event); on_warning(text).
    """

    def __init__(self, listen: Optional[str] = None, **given: Any) -> None:
        super().__init__(None)
        self._texts = Texts()
        self._callbacks = _ManagerCallbacks(given)
        self._handle = ffi.new_handle(self._callbacks)
        if listen is not None:
            given["listen"] = listen
        struct = options("participant_manager_options", given, self._texts)
        struct.context = self._handle
        if self._callbacks.admit:
            struct.admit = lib.muster_python_admit
        if self._callbacks.event:
            struct.on_event = lib.muster_python_manager_event
        if self._callbacks.warning:
            struct.on_warning = lib.muster_python_manager_warning
        pointer = ffi.new("struct participant_manager **")
        checked(lib.participant_manager_start, struct, pointer)
        self._pointer = pointer[0]
        if self._callbacks.event:
            observer = ffi.new("struct participant_manager_observer **")
            event = lib.muster_python_turn_event
            checked(lib.participant_manager_observe, self._pointer, event, self._handle, observer)

    @property
    def address(self) -> str:
        """Where it listens, with the port that was found."""
        return ffi.string(lib.participant_manager_address(self._live)).decode()

    @property
    def port(self) -> int:
        return int(lib.participant_manager_port(self._live))

    def get_participants(self, min: int = 0, timeout: Optional[float] = None) -> list[Proxy]:
        """
        Waits until at least `min` participants are open, and returns all of those, in the order in which they joined.
        One is open once it has asked for its first instruction.
        """
        return self._get_participants(min, timeout)

    def _get_participants(
        self, min: int, timeout: Optional[float], given_up: Optional[threading.Event] = None
    ) -> list[Proxy]:
        array, count = ffi.new("struct proxy ***"), ffi.new("size_t *")
        record = ffi.new("struct muster_error *")
        status, least = lib.MUSTER_TIMEOUT, people("min", min)

        def attempt(limit: int) -> bool:
            nonlocal status
            status = lib.participant_manager_get_participants(self._live, least, limit, array, count, record)
            return bool(status != lib.MUSTER_TIMEOUT)

        slices(timeout, attempt, given_up)
        check(status, record)
        return proxies_of(array[0], count[0], self._callbacks.rounds)

    async def get_participants_async(self, min: int = 0, timeout: Optional[float] = None) -> list[Proxy]:
        """get_participants() for asyncio."""
        return await on_a_thread_until_cancelled(lambda given_up: self._get_participants(min, timeout, given_up))

    def participants(self) -> list[Proxy]:
        """All participants: those that are joining, open and away."""
        array = ffi.new("struct proxy ***")
        count = ffi.new("size_t *")
        checked(lib.participant_manager_get_all, self._live, array, count)
        return proxies_of(array[0], count[0], self._callbacks.rounds)

    def prepare(self, message: Message) -> Prepared:
        """Serialises a message once, for many turns. What it was made of may change afterwards."""
        whole = built(message)
        prepared = ffi.new("struct muster_message *")
        checked(lib.participant_manager_prepare, self._live, whole.message, prepared)
        return Prepared(prepared)

    def reload_credentials(self) -> None:
        """Reads the files of the credentials again."""
        checked(lib.participant_manager_reload_credentials, self._live)

    def statistics(self) -> dict[str, Any]:
        """What it has done, and who is there. Counters by status are dicts."""
        struct = ffi.new("struct participant_manager_statistics *")
        size = ffi.sizeof("struct participant_manager_statistics")
        lib.participant_manager_get_statistics_sized(self._live, struct, size)
        result = struct_dict(struct[0])
        for name in ("left", "refused", "turns_ended", "rounds_ended"):
            result[name] = {status_name(index): count for index, count in enumerate(result[name]) if count}
        return result

    def rounds(self) -> list[dict[str, Any]]:
        """The running rounds, the oldest first."""
        room = 64
        array = ffi.new("struct proxy_round_statistics[]", room)
        size = ffi.sizeof("struct proxy_round_statistics")
        count = lib.participant_manager_get_rounds(self._live, array, room, size)
        return [struct_dict(array[index]) for index in range(min(count, room))]

    def _end(self) -> None:
        lib.participant_manager_close(self._pointer)
        self._callbacks.rounds.close()
        lib.participant_manager_stop(self._pointer)

    def leave(self, reconnect_in: Optional[int] = None) -> None:
        """Stops listening and begins to end all streams, and does not wait; participants may be asked to come back."""
        if reconnect_in is None:
            lib.participant_manager_close(self._live)
        else:
            checked(lib.participant_manager_close_for, self._live, reconnect_in)

    def close(self) -> None:
        """
        Ends all streams, says good-bye, and frees the manager. Proxies that are still held stay valid, and closed.
        """
        if not self._pointer:
            return
        if self._process == os.getpid():
            lib.participant_manager_close(self._pointer)
            self._callbacks.rounds.close()  # which it would wait for
        kept = (self._handle, self._callbacks, self._texts)
        self._free("participant_manager_close", "participant_manager_free", kept)

    def __enter__(self) -> "ParticipantManager":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    async def __aenter__(self) -> "ParticipantManager":
        return self

    async def __aexit__(self, *_: Any) -> None:
        await on_a_thread(self.close)

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()


@callback(lib.MUSTER_REFUSED)
def muster_python_admit(context: Any, pointer: Any, text: Any, size: int) -> int:
    try:
        callbacks = ffi.from_handle(context)
        reason = callbacks.admit(proxy_of(lib.proxy_retain(pointer), callbacks.rounds))
    except Error as refusal:
        copy_text(text, size, str(refusal))
        return int(getattr(lib, "MUSTER_" + refusal.status, lib.MUSTER_REFUSED))
    except Exception:
        copy_text(text, size, "the server's program failed")
        raise
    if reason is None or reason is True:
        return int(lib.MUSTER_OK)
    copy_text(text, size, str(reason or "not admitted"))
    return int(lib.MUSTER_REFUSED)


def _tell(context: Any, event: Any) -> None:
    callbacks = ffi.from_handle(context)
    proxy = None if event.proxy == ffi.NULL else proxy_of(lib.proxy_retain(event.proxy), callbacks.rounds)
    text = ffi.string(event.text).decode("utf-8", "replace")
    callbacks.event(
        Event(
            _EVENTS.get(event.kind, "UNKNOWN"),
            proxy,
            status_name(event.status),
            text,
            event.turn,
            event.round,
            event.milliseconds / 1000,
        )
    )


@callback()
def muster_python_manager_event(context: Any, event: Any) -> None:
    _tell(context, event)


@callback()
def muster_python_turn_event(context: Any, event: Any) -> None:
    """The others come by muster_python_manager_event(), which misses none after the start."""
    if _EVENTS.get(event.kind, "").startswith(("TURN", "ROUND")):
        _tell(context, event)


@callback()
def muster_python_manager_warning(context: Any, text: Any) -> None:
    ffi.from_handle(context).warning(ffi.string(text).decode("utf-8", "replace"))


__all__ = ["Event", "ParticipantManager"]
