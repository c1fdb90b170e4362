"""The proxy: the server's handle on one participant. It runs turns."""
from __future__ import annotations

import asyncio
import os
import threading
from typing import Any, NamedTuple, Optional, Protocol, Union

from ._call import Texts, callback, here, milliseconds, own, struct_dict, wait
from ._errors import Error, Refused, checked, error
from ._message import Message, Received, built, received
from ._muster import ffi, lib

HOUR = 3600.0


class Running(Protocol):
    """A running round."""

    def close(self) -> None: ...


class Answer(Received):
    """
    A participant's answer: kind, arrays, names and scalars. Its arrays are views that live as long as they are used.
    """

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
    if answer is None or answer.kind != "failure":
        raise error(status, text)
    problem = error(status, _one_line(text, answer.text))
    if isinstance(problem, Refused):
        problem.code, problem.detail = answer.code, answer.text
    raise problem


def _one_line(text: str, detail: str) -> str:
    """
    The library's text for a failure, up to the end of the failure's first line: behind it ? stands for each line's end.
    """
    line, end, _ = detail.partition("\n")
    start = text.find(line + "?") if line and end else -1
    return text if start < 0 else text[: start + len(line)]


class Rounds:
    """The running rounds of a manager, which gives them up when it is closed."""

    def __init__(self) -> None:
        self.process, self.home = os.getpid(), here[0]
        self.lock = threading.Lock()
        self.running: set[Running] = set()
        self.closed = False

    def add(self, state: Running) -> None:
        with self.lock:
            self.running.add(state)
            closed = self.closed
        if closed:
            state.close()

    def discard(self, state: Running) -> None:
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

    def __init__(self, pointer: Any, rounds: Rounds) -> None:
        self._pointer = pointer  # of ffi.gc()
        self._rounds = rounds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._pointer == other._pointer

    def __hash__(self) -> int:
        return hash(self._pointer)

    def __repr__(self) -> str:
        return f"<Proxy {self.name!r}>"

    def _check(self) -> None:
        if self._rounds.home is not here[0]:
            own(self._rounds.process, "Proxy")

    def run(self, instruction: Message, timeout: Optional[float] = HOUR) -> Answer:
        """Runs a turn: sends the instruction, and waits for the answer. Raises how it ended otherwise."""
        self._check()
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
        self._check()
        turn = _AsyncTurn(asyncio.get_running_loop())
        turn.begin(self._pointer, built(instruction), milliseconds(timeout))
        try:
            end = await asyncio.shield(turn.future)
        except asyncio.CancelledError:
            self.cancel()
            raise
        _raise(end.status, end.record, end.answer)
        return end.answer

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


def proxy_of(pointer: Any, rounds: Rounds) -> Proxy:
    """Of a reference that the caller has."""
    return Proxy(ffi.gc(pointer, here[0].release), rounds)


def proxies_of(array: Any, count: int, rounds: Rounds) -> list[Proxy]:
    """Of the library's array of references, which is freed."""
    result = [proxy_of(lib.proxy_retain(array[index]), rounds) for index in range(count)]
    lib.proxy_release_all(array, count)
    return result


class _End(NamedTuple):
    """How a turn ended."""

    status: int
    answer: Answer
    record: Any


class _AsyncTurn:
    """A turn that asyncio waits for. It lives until the library has told its end."""

    running: set["_AsyncTurn"] = set()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: "asyncio.Future[_End]" = loop.create_future()
        self.handle = ffi.new_handle(self)

    def begin(self, pointer: Any, message: Any, limit: int) -> None:
        self.running.add(self)
        try:
            checked(lib.proxy_run_async, pointer, message.message, limit, lib.muster_python_answered, self.handle)
        except BaseException:
            self.running.discard(self)
            raise

    def tell(self, end: "_End") -> None:
        self.running.discard(self)
        try:
            self.loop.call_soon_threadsafe(self._resolve, end)
        except RuntimeError:
            pass  # the loop was closed: nobody waits any more

    def _resolve(self, end: "_End") -> None:
        if not self.future.done():
            self.future.set_result(end)


@callback()
def muster_python_answered(context: Any, proxy: Any, status: int, answer: Any) -> None:
    record = ffi.new("struct muster_error *")
    if status != lib.MUSTER_OK:
        lib.proxy_explain(proxy, status, answer, record)
    ffi.from_handle(context).tell(_End(status, Answer(received(ffi.new("struct muster_message *", answer[0]))), record))


__all__ = ["Answer", "Proxy"]
