"""Rounds: one instruction to many, or one for each of many, and their answers as they come."""
from __future__ import annotations

import asyncio
import queue
import threading
from dataclasses import dataclass
from typing import Any, AsyncIterator, Iterable, Iterator, Mapping, Optional, Sequence, Union

from ._call import SLICE_MS, callback, here, milliseconds, on_a_thread, people
from ._errors import Error, Invalid, Refused, check, status_name, write_error
from ._message import Message, built, received
from ._muster import ffi, lib
from .proxy import HOUR, Answer, Proxy


@dataclass(frozen=True)
class Entry:
    """How the turn of one participant in a round ended."""

    proxy: Proxy
    status: str
    """"OK": its answer was accepted; otherwise the name of the status."""
    seconds: float
    text: str
    """Why, unless it is OK."""


def _all_proxies(proxies: Any) -> list[Proxy]:
    found: list[Any] = list(proxies) if isinstance(proxies, Iterable) else [None]
    if not all(isinstance(each, Proxy) for each in found):
        text = f"a list of proxies is expected, such as get_participants() returns, and this is {proxies!r}"
        raise Invalid(text[:200])
    for proxy in found:
        proxy._check()
    return found


class _RoundState:
    """What the thread of a round and its iterator share. The thread passes answers over one at a time."""

    def __init__(self, proxies: Sequence[Proxy], one: Optional[Message], each: Sequence[Message] = ()) -> None:
        self.result = ffi.gc(ffi.new("struct proxy_round_result *"), here[0].clear_result)
        self.proxies = _all_proxies(proxies)
        self.pointers = ffi.new("struct proxy *[]", [proxy._pointer for proxy in self.proxies])
        self.one = None if one is None else built(one)
        self.each = [built(instruction) for instruction in each]
        self.options = ffi.new("struct proxy_round_options *")
        lib.proxy_round_options_init_sized(self.options, ffi.sizeof("struct proxy_round_options"))
        self.options.tick_ms, self.options.on_tick = SLICE_MS, lib.muster_python_tick
        self.record = ffi.new("struct muster_error *")
        self.status = lib.MUSTER_OK
        self.arrivals: "queue.SimpleQueue[Any]" = queue.SimpleQueue()  # (index, Answer); None: the round has ended
        self.verdicts: "queue.SimpleQueue[Optional[Error]]" = queue.SimpleQueue()
        self.closed = False

    def run(self) -> None:
        handle = ffi.new_handle(self)
        managers = {proxy._rounds for proxy in self.proxies}
        for manager in managers:
            manager.add(self)
        arguments = (self.options, lib.muster_python_on_answer, handle, self.result, self.record)
        count = len(self.proxies)
        try:
            if self.one is not None:
                self.status = lib.proxy_run_all(self.pointers, count, self.one.message, *arguments)
            else:
                messages = ffi.new("struct muster_message *[]", [each.message for each in self.each])
                self.status = lib.proxy_run_each(self.pointers, messages, count, *arguments)
        finally:
            for manager in managers:
                manager.discard(self)
            self.arrivals.put(None)

    def on_answer(self, index: int, answer: Any) -> Optional[Error]:
        """On the round's thread: waits for the word of whoever iterates."""
        if self.closed:
            return Refused("the round was given up")
        owner = received(ffi.new("struct muster_message *"))
        lib.muster_message_share(answer, owner)
        self.arrivals.put((index, Answer(owner)))
        del owner
        return self.verdicts.get()

    def close(self) -> None:
        """Has the round's thread give up what still runs, and end. Does not wait."""
        self.closed = True
        self.verdicts.put(Refused("the round was given up"))

    def tick(self, waiting: Any, count: int) -> None:
        """On the round's thread, which knows whom the round still waits for."""
        if self.closed:
            for index in range(count):
                lib.proxy_cancel(waiting[index])


@callback(lib.MUSTER_REFUSED)
def muster_python_on_answer(context: Any, index: int, _: Any, answer: Any, reason: Any) -> int:
    refusal = ffi.from_handle(context).on_answer(index, answer)
    if refusal is None:
        return int(lib.MUSTER_OK)
    write_error(reason, str(refusal))
    return int(getattr(lib, "MUSTER_" + refusal.status, lib.MUSTER_REFUSED))


@callback()
def muster_python_tick(context: Any, _: Any, waiting: Any, count: int) -> None:
    ffi.from_handle(context).tick(waiting, count)


class Round:
    """
    A running round, made by run_all() and run_each(). Iterate over it for (proxy, answer), as answers come: each counts
    as accepted when the next one is asked for, unless its refuse() was called. The iteration raises if too few were
    accepted in time. A round that is not iterated to its end is given up: with close() or the end of a `with`, which
    wait until its turns have ended; or with the last reference to it, or by a task of asyncio that is cancelled in it,
    which do not wait.
    """

    def __init__(self, state: _RoundState) -> None:
        self._state = state
        self._waiting: Optional[Answer] = None
        self._ended = False
        self._lock = threading.Lock()
        self.entries: list[Entry] = []
        """How each turn ended, in the order of the proxies; when the round has ended."""
        self.answered = self.late = self.failed = 0
        self.bytes_sent = self.bytes_received = 0
        self._thread = threading.Thread(target=state.run, name="muster round", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[tuple[Proxy, Answer]]:
        return self

    def __next__(self) -> tuple[Proxy, Answer]:
        if self._ended:
            raise StopIteration
        self._accept()
        try:
            arrival = self._state.arrivals.get()
        except BaseException:
            self.close()
            raise
        if arrival is None:
            self._end()
            self._state.arrivals.put(None)  # for others who wait
            check(self._state.status, self._state.record)
            raise StopIteration
        index, self._waiting = arrival
        return self._state.proxies[index], self._waiting

    def _accept(self) -> None:
        answer, self._waiting = self._waiting, None
        if answer is not None:
            self._state.verdicts.put(answer._refusal)

    def _end(self) -> None:
        self._thread.join()
        with self._lock:
            if not self._ended:
                self._tell_end()
                self._ended = True

    def _tell_end(self) -> None:
        result, state = self._state.result, self._state
        for index in range(result.count):
            entry = result.entries[index]
            text = ffi.string(entry.text).decode("utf-8", "replace")
            self.entries.append(Entry(state.proxies[index], status_name(entry.status), entry.milliseconds / 1000, text))
        self.answered, self.late, self.failed = result.answered, result.late, result.failed
        self.bytes_sent, self.bytes_received = result.bytes_sent, result.bytes_received

    def wait(self) -> "Round":
        """Accepts all answers that are to come, and returns when the round has ended."""
        for _ in self:
            pass
        return self

    def close(self) -> None:
        """Gives up the turns that still run. Does nothing when the round has ended."""
        if not self._ended:
            self._state.close()
            self._waiting = None
            while self._state.arrivals.get() is not None:
                self._state.verdicts.put(Refused("the round was given up"))
            self._end()
            self._state.arrivals.put(None)

    def __enter__(self) -> "Round":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_thread") and not self._ended:
            self._state.close()  # this may be any thread: it does not wait

    def __aiter__(self) -> AsyncIterator[tuple[Proxy, Answer]]:
        return self

    async def __anext__(self) -> tuple[Proxy, Answer]:
        try:
            found: Optional[tuple[Proxy, Answer]] = await on_a_thread(next, self, None)
        except asyncio.CancelledError:  # the thread takes an answer that nobody would see
            self._state.close()
            raise
        if found is None:
            raise StopAsyncIteration
        return found


def _start_round(state: _RoundState, deadline: Optional[float], enough: int, at_least: int) -> Round:
    state.options.deadline_ms = milliseconds(deadline)
    state.options.enough, state.options.at_least = people("enough", enough), people("at_least", at_least)
    return Round(state)


def run_all(
    proxies: Sequence[Proxy],
    instruction: Message,
    deadline: Optional[float] = HOUR,
    enough: int = 0,
    at_least: int = 0,
) -> Round:
    """
    Begins a round: sends one instruction, serialised once, to all. It ends after `deadline` seconds, or when `enough`
    answers were accepted (0: all); it has failed if fewer than `at_least` were (0: `enough`).
    """
    return _start_round(_RoundState(proxies, instruction), deadline, enough, at_least)


def run_each(
    instructions: Union[Mapping[Proxy, Message], Iterable[tuple[Proxy, Message]]],
    deadline: Optional[float] = HOUR,
    enough: int = 0,
    at_least: int = 0,
) -> Round:
    """Begins a round with an instruction of its own for each participant; otherwise as run_all()."""
    pairs: list[Any] = list(instructions.items() if isinstance(instructions, Mapping) else instructions)
    if not all(isinstance(each, tuple) and len(each) == 2 for each in pairs):
        raise Invalid("a dict of proxies and their instructions is expected, or a list of such pairs")
    state = _RoundState([proxy for proxy, _ in pairs], None, [instruction for _, instruction in pairs])
    return _start_round(state, deadline, enough, at_least)


__all__ = ["Entry", "Round", "run_all", "run_each"]
