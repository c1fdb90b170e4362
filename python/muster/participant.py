"""The participant: a client, which consumes instructions and dispatches answers."""
from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import weakref
from typing import Any, AsyncIterator, Callable, Iterator, Mapping, Optional, Union

from . import log
from ._call import (
    Connected,
    Texts,
    callback,
    function,
    on_a_thread,
    on_a_thread_until_cancelled,
    options,
    slices,
    struct_dict,
)
from ._errors import Cancelled, Closed, Error, Invalid, Stopped, Timeout, check, checked
from ._message import Arrays, Failure, Message, Received, built, received
from ._muster import ffi, lib


# Seconds that a process which ends gives a participant to say good-bye.
GOODBYE = 1.0


class Instruction(Received):
    """What the server wants: kind, arrays, names and scalars, and the ways to answer."""

    def __init__(self, participant: "Participant", owner: Any) -> None:
        super().__init__(owner)
        self._participant = participant
        self.answered = False

    def answer(self, arrays: Union[Arrays, Message] = None, /, **scalars: Any) -> bool:
        """
        Answers, with arrays and numbers or with a whole message. Arrays that are the instruction's own, trained in
        place, are sent from where they lie: do not write to them afterwards. False: the server no longer waits for it,
        or another instruction was consumed since.
        """
        if isinstance(arrays, Message):
            if not scalars:
                return self._dispatch(arrays)
            scalars = {**arrays.scalars, **scalars}
        return self._dispatch(Message(self.kind, arrays, scalars))

    def fail(self, text: Union[str, BaseException], code: int = 0) -> bool:
        """Says that it could not be done, and why; of an exception with its traceback and the last lines of the log."""
        return self._dispatch(Failure(log.failure(text) if isinstance(text, BaseException) else text, code))

    def progress(self, fraction: float, /, **numbers: float) -> None:
        """
        Tells how far the work is, from 0 to 1, and numbers that say how it goes, such as the loss. A report that
        follows another within 100 ms is not sent. Raises Cancelled if the server no longer waits for the answer.
        """
        self._check_current()
        scalars = ffi.new("struct muster_scalar[]", len(numbers))
        names = Texts()
        for index, (name, value) in enumerate(numbers.items()):
            scalars[index].name, scalars[index].value = names(name), float(value)
        try:
            checked(lib.participant_report, self._participant._live, float(fraction), scalars, len(numbers))
        except Error as error:
            if not self._participant.reason:
                raise
            raise Cancelled(str(error)) from None

    @property
    def cancelled(self) -> bool:
        """Whether the server no longer waits for the answer."""
        return not self._is_current() or bool(lib.participant_cancelled(self._participant._live))

    def _is_current(self) -> bool:
        """Whether no other was consumed since."""
        return self._participant._instruction() is self

    def _check_current(self) -> None:
        """The library knows the newest alone: what is said of an older one would be taken for that."""
        if not self._is_current():
            raise Cancelled("the participant has consumed another instruction since")

    def _dispatch(self, message: Message) -> bool:
        try:
            self._check_current()
            self._participant.dispatch(message)
        except Error as error:
            if not isinstance(error, Cancelled) and not self._participant.reason:
                raise
            self.answered = True
            return False  # if the stream has ended for good, consume() says why
        self.answered = True
        return True


class _Callbacks:
    """What the library's threads call: no part of the participant, so that nothing here keeps that."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.warning: Optional[Callable[[str], None]] = function("on_warning", given.pop("on_warning", None))
        self.cancelled: Optional[Callable[[], None]] = function("on_cancelled", given.pop("on_cancelled", None))


class _Waiting:
    """The tasks of a loop that wait for an instruction."""

    def __init__(self) -> None:
        self.futures: "set[asyncio.Future[None]]" = set()
        self.gone = threading.Event()

    def resolve(self) -> None:
        for future in self.futures:
            if not future.done():
                future.set_result(None)


class Participant(Connected):
    """
    A participant, made by connect(). Iterate over it for its instructions; the iteration ends when the server says
    good-bye. An instruction that is not answered is answered with "unknown" when the next one is asked for. If the body
    of a `with` raises, the instruction at hand is answered with the failure.
    """

    def __init__(self, address: str, **given: Any) -> None:
        super().__init__(None)
        self._texts = Texts()
        self._waiting: dict[asyncio.AbstractEventLoop, _Waiting] = {}
        self._given_up: Optional[threading.Event] = given.pop("_given_up", None)
        self._callbacks = _Callbacks(given)
        self._handle = ffi.new_handle(self._callbacks)
        self._gate = lib.muster_gate_new(self._handle)
        if not self._gate:
            raise MemoryError
        self._instruction: Callable[[], Optional[Instruction]] = _none
        labels = given.pop("labels", None)
        struct = options("participant_options", given, self._texts)
        self._set_labels(struct, labels or {})
        struct.context = self._gate
        struct.on_admitted = struct.on_ready = ffi.addressof(lib, "muster_gate_open")
        if self._callbacks.warning:
            struct.on_warning = lib.muster_python_participant_warning
        if self._callbacks.cancelled:
            struct.on_cancelled = lib.muster_python_cancelled
        limit = struct.connect_timeout_ms
        pointer = ffi.new("struct participant **")
        try:
            checked(lib.participant_start, self._texts(address), struct, pointer)
        except BaseException:
            lib.muster_gate_free(self._gate)
            raise
        self._pointer = pointer[0]
        try:
            self._wait_for_admission(None if limit < 0 else limit / 1000 + 60)
        except BaseException:
            self.close()
            raise
        log.keep()

    def _set_labels(self, struct: Any, labels: Mapping[str, str]) -> None:
        if not isinstance(labels, Mapping):
            raise Invalid(f'labels are a dict, such as {{"gpu": "1"}}, and this is {labels!r}'[:200])
        if labels:
            array = ffi.new("struct participant_label[]", len(labels))
            for index, (name, value) in enumerate(labels.items()):
                array[index].name, array[index].value = self._texts(name), self._texts(str(value))
            self._texts.kept.append(array)
            struct.labels, struct.label_count = array, len(labels)

    def _wait_for_admission(self, limit: Optional[float]) -> None:
        def attempt(left: int) -> bool:
            return bool(lib.muster_gate_wait(self._gate, left if left >= 0 else 1 << 40))

        opened = slices(limit, attempt, self._given_up)
        if not opened:
            raise Timeout("the server did not admit the participant")
        if self.reason:
            self._consume_for(0)  # raises why

    # ---- turns ----

    def _consume_for(self, limit: int) -> Optional[Instruction]:
        """The next instruction, or None."""
        instruction = ffi.new("struct muster_message **")
        record = ffi.new("struct muster_error *")
        status = lib.participant_consume(self._live, limit, instruction, record)
        if status == lib.MUSTER_TIMEOUT:
            return None
        check(status, record)
        owner = received(ffi.new("struct muster_message *"))
        checked(lib.participant_take, self._live, owner)
        log.forget()
        instruction = Instruction(self, owner)
        self._instruction = weakref.ref(instruction)
        return instruction

    def consume(self, timeout: Optional[float] = None) -> Instruction:
        """Waits for the next instruction. Raises Timeout, or Stopped, Closed and others when the stream has ended."""
        found: list[Instruction] = []

        def attempt(limit: int) -> bool:
            instruction = self._consume_for(limit)
            if instruction is not None:
                found.append(instruction)
            return bool(found)

        if not slices(timeout, attempt):
            raise Timeout("there was no instruction in time")
        return found[0]

    def dispatch(self, message: Message) -> None:
        """Sends an answer; Instruction.answer() does it."""
        whole = built(message)
        checked(lib.participant_dispatch, self._live, whole.message)

    def serve(self, handler: Callable[[Instruction], Any]) -> None:
        """
        Has `handler` answer each instruction until the server says good-bye. It returns a message, arrays, or (arrays,
        numbers); or answers by itself and returns None. What it raises goes to the server as a failure, with its
        traceback and the last lines of the log; a cancelled turn just ends.
        """
        for instruction in self:
            try:
                result = handler(instruction)
                if result is not None and not instruction.answered:
                    arrays, scalars = result if isinstance(result, tuple) else (result, {})
                    instruction.answer(arrays, **scalars)
            except Cancelled:
                continue
            except Exception as error:
                if not instruction.answered:
                    instruction.fail(error)

    def ask(self) -> None:
        """Asks the server for a turn, as the program has something to say."""
        checked(lib.participant_ask, self._live)

    def __iter__(self) -> Iterator[Instruction]:
        return self

    def __next__(self) -> Instruction:
        try:
            return self.consume()
        except (Stopped, Closed):
            raise StopIteration from None

    # ---- asyncio ----

    def fileno(self) -> int:
        """
        A descriptor that is readable when consume() would not wait: for select, poll and event loops. Only wait on it.
        """
        record = ffi.new("struct muster_error *")
        descriptor = lib.participant_descriptor(self._live, record)
        if descriptor < 0:
            check(record.status, record)
        return int(descriptor)

    async def consume_async(self) -> Instruction:
        """consume() for asyncio."""
        loop = asyncio.get_running_loop()
        while True:
            instruction = self._consume_for(0)
            if instruction is not None:
                return instruction
            await self._readable(loop)

    async def _readable(self, loop: asyncio.AbstractEventLoop) -> None:
        """Waits until consume() would not wait, or close() was called; a loop has one reader for all its tasks."""
        descriptor = self.fileno()
        waiting = self._waiting.get(loop)
        if waiting is None:
            waiting = self._waiting[loop] = _Waiting()
            loop.add_reader(descriptor, waiting.resolve)
        future = loop.create_future()
        waiting.futures.add(future)
        try:
            await future
        finally:
            waiting.futures.discard(future)
            if not waiting.futures and self._waiting.pop(loop, None) is not None:
                loop.remove_reader(descriptor)
                waiting.gone.set()

    def _wake(self) -> None:
        """Has all tasks look again, before the descriptor is closed, which no loop may watch then."""
        for loop, waiting in list(self._waiting.items()):
            if _is_running(loop):
                del self._waiting[loop]
                loop.remove_reader(self.fileno())
                waiting.resolve()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(waiting.resolve)
                waiting.gone.wait(GOODBYE)

    def __aiter__(self) -> AsyncIterator[Instruction]:
        return self

    async def __anext__(self) -> Instruction:
        try:
            return await self.consume_async()
        except (Stopped, Closed):
            raise StopAsyncIteration from None

    async def __aenter__(self) -> "Participant":
        return self

    async def __aexit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        self._tell_failure(error)
        await on_a_thread(self.close)

    # ---- what it is ----

    @property
    def name(self) -> str:
        return ffi.string(lib.participant_name(self._live)).decode()

    @property
    def rank(self) -> int:
        return int(lib.participant_rank(self._live))

    @property
    def reason(self) -> str:
        """Why the stream ended for good; "" before that."""
        return ffi.string(lib.participant_reason(self._live)).decode("utf-8", "replace")

    @property
    def transfer(self) -> dict[str, Any]:
        """How many bytes of the arriving instruction and of the last answer were transferred."""
        return struct_dict(lib.participant_transfer(self._live))

    def statistics(self) -> dict[str, Any]:
        """What it is doing, and has done."""
        struct = ffi.new("struct participant_statistics *")
        lib.participant_get_statistics_sized(self._live, struct, ffi.sizeof("struct participant_statistics"))
        result = struct_dict(struct[0])
        result["state"] = ffi.string(lib.participant_state_name(struct.state)).decode()
        return result

    # ---- its end ----

    def _tell_failure(self, error: Optional[BaseException]) -> None:
        instruction = self._instruction()
        if error is None or instruction is None or instruction.answered or not self._pointer:
            return
        try:
            instruction.fail(error)
        except Error:
            pass  # nobody is there to be told

    def _end(self) -> None:
        """Says good-bye, so that the server need not wait."""
        lib.participant_close(self._pointer)
        deadline = time.monotonic() + GOODBYE
        while self.statistics()["state"] != "ended" and time.monotonic() < deadline:
            time.sleep(0.002)

    def leave(self) -> None:
        """Ends the stream, and does not wait: a consume() on another thread raises Closed."""
        lib.participant_close(self._live)

    def close(self) -> None:
        """Ends the stream when the last answer has been sent, and frees the participant."""
        if not self._pointer:
            return
        if self._waiting and self._process == os.getpid():
            lib.participant_close(self._pointer)
            self._wake()
        gate, kept = getattr(self, "_gate", None), getattr(self, "_handle", None)
        self._free("participant_close", "participant_free", kept, lambda: lib.muster_gate_free(gate))

    def __enter__(self) -> "Participant":
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        self._tell_failure(error)
        self.close()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()


def _none() -> None:
    return None


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    """On this thread."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def connect(address: str, name: Optional[str] = None, **given: Any) -> Participant:
    """
    Connects to a server, and waits until it has admitted the participant. Options are those of `struct
    participant_options`; times are in seconds, without the _ms (`connect_timeout=5`), and None is no limit.
    on_warning(text) and on_cancelled() are called on threads of the library, and must not block.
    """
    return Participant(address, name=name, **given)


async def connect_async(address: str, name: Optional[str] = None, **given: Any) -> Participant:
    """connect() for asyncio."""
    return await on_a_thread_until_cancelled(lambda given_up: connect(address, name, _given_up=given_up, **given))


@callback()
def muster_python_participant_warning(context: Any, text: Any) -> None:
    ffi.from_handle(lib.muster_gate_handle(context)).warning(ffi.string(text).decode("utf-8", "replace"))


@callback()
def muster_python_cancelled(context: Any, _: Any) -> None:
    ffi.from_handle(lib.muster_gate_handle(context)).cancelled()


__all__ = ["Instruction", "Participant", "connect", "connect_async"]
