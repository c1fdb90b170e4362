"""The server's side: the participant manager, its proxies, turns and rounds."""
from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from dataclasses import dataclass
from numbers import Integral
from typing import Any, AsyncIterator, Callable, Iterable, Iterator, Mapping, Optional, Sequence, Union

from ._call import (
    SLICE_MS,
    Owner,
    Texts,
    callback,
    function,
    here,
    milliseconds,
    on_a_thread,
    on_a_thread_until_cancelled,
    options,
    slices,
    struct_dict,
    wait,
)
from ._errors import Error, Invalid, Refused, check, checked, copy_text, error, status_name, write_error
from ._message import Message, Prepared, Received, built, received
from ._muster import ffi, lib

HOUR = 3600.0


class Answer(Received):
    """A participant's answer: kind, arrays, names and scalars. Its arrays are views that live as long as they are used."""

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self._refusal: Optional[Error] = None

    def refuse(self, reason: Union[str, Error]) -> None:
        """In a round: this answer does not count, and its participant is told why."""
        self._refusal = reason if isinstance(reason, Error) else Refused(reason)


def _raise(status: int, record: Any, answer: Optional[Received]) -> None:
    """Raises how a turn ended, with what the participant said of it."""
    if status == lib.MUSTER_OK:
        return
    text = ffi.string(record.text).decode("utf-8", "replace")
    failed = answer is not None and answer.kind == "failure"
    problem = error(status, _one_line(text, answer.text) if failed else text)
    if isinstance(problem, Refused) and failed:
        problem.code, problem.detail = answer.code, answer.text
    raise problem


def _one_line(text: str, detail: str) -> str:
    """The library's text for a failure, up to the end of the failure's first line: behind it ? stands for each line's end."""
    line, end, _ = detail.partition("\n")
    start = text.find(line) if line and end else -1
    return text if start < 0 else text[: start + len(line)]


class _Rounds:
    """The running rounds of a manager, which gives them up when it is closed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: set["_RoundState"] = set()
        self.closed = False

    def add(self, state: "_RoundState") -> None:
        with self.lock:
            self.running.add(state)
            closed = self.closed
        if closed:
            state.close()

    def discard(self, state: "_RoundState") -> None:
        with self.lock:
            self.running.discard(state)

    def close(self) -> None:
        with self.lock:
            self.closed = True
            running = list(self.running)
        for state in running:
            state.close()


class Proxy:
    """The server's handle on one participant. Two handles on one participant are equal."""

    def __init__(self, pointer: Any, rounds: _Rounds) -> None:
        self._pointer = pointer  # of ffi.gc()
        self._rounds = rounds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._pointer == other._pointer

    def __hash__(self) -> int:
        return hash(self._pointer)

    def __repr__(self) -> str:
        return f"<Proxy {self.name!r}>"

    def run(self, instruction: Message, timeout: Optional[float] = HOUR) -> Answer:
        """Runs a turn: sends the instruction, and waits for the answer. Raises how it ended otherwise."""
        message = built(instruction)
        answer = received(ffi.new("struct muster_message *"))
        record = ffi.new("struct muster_error *")
        limit = milliseconds(timeout)
        status = wait("proxy_run", self._pointer, message.message, limit, answer, record, give_up=self.cancel)
        result = Answer(answer)
        _raise(status, record, result)
        return result

    async def run_async(self, instruction: Message, timeout: Optional[float] = HOUR) -> Answer:
        """run() for asyncio. The instruction is copied, unless it is prepared."""
        turn = _AsyncTurn(asyncio.get_running_loop())
        turn.begin(self._pointer, built(instruction), milliseconds(timeout))
        try:
            status, answer, record = await asyncio.shield(turn.future)
        except asyncio.CancelledError:
            self.cancel()
            raise
        _raise(status, record, answer)
        return answer

    def cancel(self) -> None:
        """Gives up the running turn, if there is one."""
        lib.proxy_cancel(self._pointer)

    def refuse(self, reason: str) -> None:
        """Tells the participant that its last answer was not accepted, and why."""
        checked(lib.proxy_refuse, self._pointer, Texts()(reason))

    def reconnect_in(self, seconds: int) -> None:
        """Asks the participant to come back in so many seconds, and closes the proxy."""
        checked(lib.proxy_reconnect_in, self._pointer, seconds)

    def close(self) -> None:
        """Ends the participant's stream. A running turn ends with Closed."""
        lib.proxy_close(self._pointer)

    @property
    def name(self) -> str:
        return ffi.string(lib.proxy_name(self._pointer)).decode("utf-8", "replace")

    @property
    def rank(self) -> int:
        return int(lib.proxy_rank(self._pointer))

    @property
    def peer(self) -> str:
        """The address that the participant came from, which proves nothing."""
        return ffi.string(lib.proxy_peer(self._pointer)).decode("utf-8", "replace")

    def label(self, name: str) -> Optional[str]:
        """What the participant said of itself under this name."""
        text = lib.proxy_label(self._pointer, Texts()(name))
        return None if text == ffi.NULL else ffi.string(text).decode("utf-8", "replace")

    @property
    def is_open(self) -> bool:
        """Whether it is connected and can be given an instruction."""
        return bool(lib.proxy_is_open(self._pointer))

    @property
    def asked(self) -> bool:
        """Whether it asks for a turn."""
        return bool(lib.proxy_asked(self._pointer))

    @property
    def progress(self) -> float:
        """The latest progress report of the running turn, from 0 to 1."""
        return float(lib.proxy_progress(self._pointer))

    @property
    def report(self) -> dict[str, Any]:
        """The numbers of the latest progress report."""
        message = received(ffi.new("struct muster_message *"))
        lib.proxy_report(self._pointer, message)
        return Received(message).scalars

    @property
    def transfer(self) -> dict[str, Any]:
        """How many bytes of the running turn were transferred."""
        return struct_dict(lib.proxy_transfer(self._pointer))

    def statistics(self) -> dict[str, Any]:
        """What it is doing, and has done."""
        struct = ffi.new("struct proxy_statistics *")
        lib.proxy_get_statistics_sized(self._pointer, struct, ffi.sizeof("struct proxy_statistics"))
        result = struct_dict(struct[0])
        result["state"] = ffi.string(lib.proxy_state_name(struct.state)).decode()
        return result


def _proxy(pointer: Any, rounds: _Rounds) -> Proxy:
    """Of a reference that the caller has."""
    return Proxy(ffi.gc(pointer, here[0].release), rounds)


def _proxies(array: Any, count: int, rounds: _Rounds) -> list[Proxy]:
    """Of the library's array of references, which is freed."""
    result = [_proxy(lib.proxy_retain(array[index]), rounds) for index in range(count)]
    lib.proxy_release_all(array, count)
    return result


class _AsyncTurn:
    """A turn that asyncio waits for. It lives until the library has told its end."""

    running: set["_AsyncTurn"] = set()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: "asyncio.Future[Any]" = loop.create_future()
        self.handle = ffi.new_handle(self)

    def begin(self, pointer: Any, message: Any, limit: int) -> None:
        self.running.add(self)
        try:
            checked(lib.proxy_run_async, pointer, message.message, limit, lib.muster_python_answered, self.handle)
        except BaseException:
            self.running.discard(self)
            raise

    def tell(self, result: Any) -> None:
        self.running.discard(self)
        try:
            self.loop.call_soon_threadsafe(self._resolve, result)
        except RuntimeError:
            pass  # the loop was closed: nobody waits any more

    def _resolve(self, result: Any) -> None:
        if not self.future.done():
            self.future.set_result(result)


@callback()
def muster_python_answered(context: Any, proxy: Any, status: int, answer: Any) -> None:
    record = ffi.new("struct muster_error *")
    if status != lib.MUSTER_OK:
        lib.proxy_explain(proxy, status, answer, record)
    ffi.from_handle(context).tell((status, Answer(received(ffi.new("struct muster_message *", answer[0]))), record))


# ---- rounds ----


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
    found = list(proxies) if isinstance(proxies, Iterable) else [None]
    if not all(isinstance(each, Proxy) for each in found):
        raise Invalid(f"a list of proxies is expected, such as get_participants() returns, and this is {proxies!r}"[:200])
    return found


def people(name: str, number: int) -> int:
    """A number of participants, for the library."""
    if not isinstance(number, Integral) or not 0 <= number < 2**31:
        raise Invalid(f"{name} is a whole number of participants, 0 or more, and this is {number!r}")
    return int(number)


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
        return lib.MUSTER_OK
    write_error(reason, str(refusal))
    return getattr(lib, "MUSTER_" + refusal.status, lib.MUSTER_REFUSED)


@callback()
def muster_python_tick(context: Any, _: Any, waiting: Any, count: int) -> None:
    ffi.from_handle(context).tick(waiting, count)


class Round:
    """
    A running round, made by run_all() and run_each(). Iterate over it for (proxy, answer), as answers come: each counts as
    accepted when the next one is asked for, unless its refuse() was called. The iteration raises if too few were accepted in
    time. A round that is not iterated to its end is given up: with close(), with the last reference to it, or by a task of
    asyncio that is cancelled in it.
    """

    def __init__(self, state: _RoundState) -> None:
        self._state = state
        self._waiting: Optional[Answer] = None
        self._refused: Optional[Error] = None
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
            found = await on_a_thread(next, self, None)
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
    Begins a round: sends one instruction, serialised once, to all. It ends after `deadline` seconds, or when `enough` answers
    were accepted (0: all); it has failed if fewer than `at_least` were (0: `enough`).
    """
    return _start_round(_RoundState(proxies, instruction), deadline, enough, at_least)


def run_each(
    instructions: Union[Mapping[Proxy, Message], Iterable[tuple[Proxy, Message]]],
    deadline: Optional[float] = HOUR,
    enough: int = 0,
    at_least: int = 0,
) -> Round:
    """Begins a round with an instruction of its own for each participant; otherwise as run_all()."""
    pairs = list(instructions.items() if isinstance(instructions, Mapping) else instructions)
    state = _RoundState([proxy for proxy, _ in pairs], None, [instruction for _, instruction in pairs])
    return _start_round(state, deadline, enough, at_least)


# ---- the manager ----

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
        self.rounds = _Rounds()
        self.admit: Optional[Callable[[Proxy], Any]] = function("admit", given.pop("admit", None))
        self.event: Optional[Callable[[Event], None]] = function("on_event", given.pop("on_event", None))
        self.warning: Optional[Callable[[str], None]] = function("on_warning", given.pop("on_warning", None))


class ParticipantManager(Owner):
    """
    Listens for participants, and knows all of them. Options are those of `struct participant_manager_options`; times are in
    seconds, without the _ms (`session_grace=5`), and None is no limit. Callbacks run on threads of the library and must not
    block: admit(proxy) returns None, or why the participant is refused; on_event(event); on_warning(text).
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
        Waits until at least `min` participants are open, and returns all of those, in the order in which they joined. One is
        open once it has asked for its first instruction.
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
            return status != lib.MUSTER_TIMEOUT

        slices(timeout, attempt, given_up)
        check(status, record)
        return _proxies(array[0], count[0], self._callbacks.rounds)

    async def get_participants_async(self, min: int = 0, timeout: Optional[float] = None) -> list[Proxy]:
        """get_participants() for asyncio."""
        return await on_a_thread_until_cancelled(lambda given_up: self._get_participants(min, timeout, given_up))

    def participants(self) -> list[Proxy]:
        """All participants: those that are joining, open and away."""
        array = ffi.new("struct proxy ***")
        count = ffi.new("size_t *")
        checked(lib.participant_manager_get_all, self._live, array, count)
        return _proxies(array[0], count[0], self._callbacks.rounds)

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
        """Ends all streams, says good-bye, and frees the manager. Proxies that are still held stay valid, and closed."""
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
        reason = callbacks.admit(_proxy(lib.proxy_retain(pointer), callbacks.rounds))
    except Error as refusal:
        copy_text(text, size, str(refusal))
        return getattr(lib, "MUSTER_" + refusal.status)
    except Exception:
        copy_text(text, size, "the server's program failed")
        raise
    if reason is None or reason is True:
        return lib.MUSTER_OK
    copy_text(text, size, str(reason or "not admitted"))
    return lib.MUSTER_REFUSED


def _tell(context: Any, event: Any) -> None:
    callbacks = ffi.from_handle(context)
    proxy = None if event.proxy == ffi.NULL else _proxy(lib.proxy_retain(event.proxy), callbacks.rounds)
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


__all__ = ["Answer", "Entry", "Event", "ParticipantManager", "Proxy", "Round", "run_all", "run_each"]
