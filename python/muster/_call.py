"""Calls of the library from Python: waits that Ctrl-C ends, limits in seconds, options by name."""
from __future__ import annotations

import _thread
import asyncio
import atexit
import functools
import math
import numbers
import os
import threading
import time
import weakref
from typing import Any, Callable, Optional, TypeVar, cast

from ._errors import Cancelled, Closed, Error, Invalid, Unsupported, check
from ._muster import ffi, lib

# How long the main thread may wait before it looks for signals.
SLICE_MS = 50

# Seconds that close() gives other threads to come out of the object's functions; then another thread waits for them.
COME_OUT = 10.0

lib.muster_python_keep_memory()

_main = threading.main_thread
_current = threading.current_thread


class _Inside(threading.local):
    """How many callbacks of the library this thread is in."""

    depth = 0


_inside = _Inside()
_Result = TypeVar("_Result")
_Function = TypeVar("_Function", bound=Callable[..., Any])


def callback(otherwise: Any = None) -> Callable[[_Function], _Function]:
    """For a function of Python that the library calls; if it raises, standard error tells, and `otherwise` returns."""

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def run(*arguments: Any) -> Any:
            _inside.depth += 1
            try:
                return function(*arguments)
            finally:
                _inside.depth -= 1

        more = {} if otherwise is None else {"error": otherwise}
        ffi.def_extern(**more)(run)
        return cast(_Function, run)

    return decorate


def in_callback() -> bool:
    """
    Whether nothing may be freed here: in a callback, or on a thread that is not Python's, which is on its way into one.
    """
    return _inside.depth > 0 or _thread.get_ident() not in getattr(threading, "_active")


def milliseconds(seconds: Optional[float]) -> int:
    """A limit for the library; None: there is none."""
    if seconds is None:
        return int(lib.MUSTER_NO_LIMIT)
    if not isinstance(seconds, (int, float, numbers.Real)) or not 0 <= seconds <= 1e12:
        raise Invalid(f"a time in seconds is expected: 0 or more, or None for no limit; this is {seconds!r}")
    return int(-(-float(seconds) * 1000 // 1))


def people(name: str, number: int) -> int:
    """A number of participants, for the library."""
    if not isinstance(number, numbers.Integral) or not 0 <= number < 2**31:
        raise Invalid(f"{name} is a whole number of participants, 0 or more, and this is {number!r}")
    return int(number)


def on_main_thread() -> bool:
    """Whether this is the thread that Python's signal handlers run on."""
    return _current() is _main()


def wait(name: str, *arguments: Any, give_up: Optional[Callable[[], None]] = None, late: Any = None) -> int:
    """
    Calls a function of the library that waits. On the main thread it runs on another one, so that signals are heard: if
    a handler raises, as Ctrl-C's does, `give_up` has the call return. Without it the call goes on, and `late` is called
    when it has ended.
    """
    result: int
    if not on_main_thread():
        try:
            result = getattr(lib, name)(*arguments)
        finally:
            del arguments  # as in checked()
        return result
    begun = ffi.new("struct muster_job **")
    kept = [begun, arguments]
    del arguments
    _running[id(kept)] = kept  # a signal may raise anywhere here: what the call uses stays
    try:
        getattr(lib, "muster_begin_" + name)(*kept[1], begun)
        if not begun[0]:
            raise MemoryError(f"{name}: there is no memory for a thread")
        while not lib.muster_job_wait(begun[0], SLICE_MS):
            pass
    except BaseException:
        if not begun[0]:
            del _running[id(kept)]
        elif give_up is None:
            # what the call reads is kept by the thread
            threading.Thread(target=_end_late, args=(begun[0], kept, late), daemon=True).start()
        else:
            _finish(begun[0], give_up)
            del _running[id(kept)]
        del kept  # as in checked()
        raise
    result = lib.muster_job_end(begun[0])
    del _running[id(kept)]
    return result


# What calls on other threads use, by its id().
_running: dict[int, Any] = {}


def _finish(job: Any, give_up: Callable[[], None]) -> None:
    while True:
        try:
            give_up()  # again and again: the call may not have begun yet when it is told first
            if lib.muster_job_wait(job, SLICE_MS):
                break
        except BaseException:  # it is about to end: a second Ctrl-C changes nothing
            continue
    lib.muster_job_end(job)


def _end_late(job: Any, kept: Any, late: Optional[Callable[[], None]]) -> None:
    while not lib.muster_job_wait(job, 3_600_000):
        pass
    lib.muster_job_end(job)
    if late is not None:
        late()
    _running.pop(id(kept), None)


def checked_wait(
    name: str, *arguments: Any, give_up: Optional[Callable[[], None]] = None, late: Any = None
) -> None:
    """wait() for a function whose last argument is the error's record; raises unless it returns OK."""
    record = ffi.new("struct muster_error *")
    try:
        status = wait(name, *arguments, record, give_up=give_up, late=late)
    finally:
        del arguments  # as in checked()
    check(status, record)


def slices(
    seconds: Optional[float], attempt: Callable[[int], bool], given_up: Optional[threading.Event] = None
) -> bool:
    """
    Tries for so long: attempt(milliseconds) waits and says whether that was enough. On the main thread, or where it can
    be given up, it waits a little at a time. False when the time has passed.
    """
    left = milliseconds(seconds)
    if given_up is None and not on_main_thread():
        return attempt(left)
    deadline = math.inf if seconds is None else time.monotonic() + left / 1000
    while left < 0 or left > SLICE_MS:
        if attempt(SLICE_MS):
            return True
        if given_up is not None and given_up.is_set():
            raise Cancelled("the task was cancelled")
        if seconds is not None:
            left = max(0, math.ceil((deadline - time.monotonic()) * 1000))
    return attempt(left)


async def on_a_thread(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """
    A call that waits, for asyncio: on a thread of its own, as the loop's few may all wait for what one more has to do.
    """
    loop = asyncio.get_running_loop()
    future: "asyncio.Future[_Result]" = loop.create_future()

    def finish(result: Any, problem: Optional[BaseException]) -> None:
        if future.done():
            return
        if problem is None:
            future.set_result(result)
        else:
            future.set_exception(problem)

    def run() -> None:
        result, problem = None, None
        try:
            result = function(*arguments)
        except BaseException as raised:
            problem = raised
        try:
            loop.call_soon_threadsafe(finish, result, problem)
        except RuntimeError:
            pass  # the loop was closed: nobody waits any more

    threading.Thread(target=run, name="muster asyncio", daemon=True).start()
    return await future


async def on_a_thread_until_cancelled(function: Callable[[threading.Event], _Result]) -> _Result:
    """The same for a function that ends when its event is set, which the end of the task does."""
    given_up = threading.Event()
    try:
        return await on_a_thread(function, given_up)
    finally:
        given_up.set()


def c_text(text: Any) -> Any:
    """A text, or a path, for the library."""
    if not isinstance(text, (str, bytes, os.PathLike)):
        raise Invalid(f"a text is expected, and this is a {type(text).__name__}: {text!r}"[:200])
    try:
        if isinstance(text, os.PathLike):
            data = os.fsencode(text)
        else:
            data = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise Invalid(f"a text is no Unicode, as it has half of a character: {text!r}"[:200]) from None
    if b"\0" in data:
        raise Invalid(f"a text has a NUL in it: {text!r}"[:200])
    return ffi.new("char[]", data)


def function(name: str, given: Any) -> Any:
    """What is given as a callback, which can be called or is None."""
    if given is not None and not callable(given):
        raise Invalid(f"{name} is called, and this is no function: {given!r}"[:200])
    return given


class Texts:
    """Texts that the library reads, kept as long as this is."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def __call__(self, text: Optional[str]) -> Any:
        if text is None:
            return ffi.NULL
        self.kept.append(c_text(text))
        return self.kept[-1]

    def list(self, texts: Any) -> Any:
        self.kept.append(ffi.new("char *[]", [self(each) for each in texts]))
        return self.kept[-1]


CREDENTIALS = ("tls", "certificate", "key", "ca", "token_file")


def options(kind: str, given: dict[str, Any], texts: Texts) -> Any:
    """
    A struct of options with the library's defaults, and what was given: by the names of its fields. Times, which the
    fields have in milliseconds, are seconds here, without the _ms; None is no limit. Those of credentials come with all
    others.
    """
    struct = ffi.new(f"struct {kind} *")
    getattr(lib, f"{kind}_init_sized")(struct, ffi.sizeof(f"struct {kind}"))
    fields = dict(ffi.typeof(f"struct {kind}").fields)
    for name, value in given.items():
        if name in CREDENTIALS and "credentials" in fields:
            setattr(struct.credentials, name, bool(value) if name == "tls" else texts(value))
        elif name + "_ms" in fields:
            try:
                setattr(struct, name + "_ms", milliseconds(value))
            except Invalid as problem:
                raise Invalid(f"{name}: {problem}") from None
        elif name not in fields or name in _OWN:
            raise TypeError(f"there is no option {name!r}; there are {', '.join(known_options(fields))}")
        else:
            _set_option(struct, name, fields[name].type, value, texts)
    return struct


# What the fields of structs are for, and has other names here, or none.
_OWN = {"size", "context", "credentials", "label_count", "sink_count", "host_count", "parameter_count"}
_OWN |= {"on_admitted", "on_ready", "factory", "destroy"}


def known_options(fields: dict[str, Any]) -> list[str]:
    """The names of options, of the fields of their struct."""
    known = {name[:-3] if name.endswith("_ms") else name for name in fields} - _OWN
    return sorted(known | (set(CREDENTIALS) if "credentials" in fields else set()))


def _set_option(struct: Any, name: str, kind: Any, value: Any, texts: Texts) -> None:
    try:
        setattr(struct, name, texts(value) if kind.kind == "pointer" and not isinstance(value, ffi.CData) else value)
    except Invalid as problem:
        raise Invalid(f"{name}: {problem}") from None
    except (TypeError, OverflowError):
        raise Invalid(f"{name}: a number that fits is expected, and this is {value!r}"[:200]) from None


def struct_dict(struct: Any) -> dict[str, Any]:
    """A struct of statistics as a dict; texts, enumerations and structs in it become Python's."""
    result = {}
    for name, field in ffi.typeof(struct).fields:
        if name == "size" or name.startswith("reserved"):
            continue
        value = getattr(struct, name)
        kind = field.type
        if kind.kind == "struct":
            value = struct_dict(value)
        elif kind.kind == "array":
            value = list(value)
        elif kind.cname == "char *" or kind.cname == "char const *":
            value = None if value == ffi.NULL else ffi.string(value).decode("utf-8", "replace")
        result[name] = value
    return result


class _Here:
    """
    The functions that free what this process has made; a forked process has others, and leaves its parent's alone.
    """

    def __init__(self) -> None:
        self.process = os.getpid()

    def clear(self, message: Any) -> None:
        if self.process == os.getpid():
            lib.muster_message_clear(message)

    def clear_result(self, result: Any) -> None:
        if self.process == os.getpid():
            lib.proxy_round_result_clear(result)

    def release(self, proxy: Any) -> None:
        if self.process == os.getpid():
            lib.proxy_release(proxy)

    def free_strategy(self, strategy: Any) -> None:
        if self.process == os.getpid():
            lib.muster_strategy_free(strategy)


here = [_Here()]


def _begin_again() -> None:
    here[0] = _Here()
    if any(isinstance(owner, Connected) and owner._pointer for owner in Owner.living):
        Connected.forked = True


os.register_at_fork(after_in_child=_begin_again)


class Owner:
    """
    An object of the library, freed once: by close(), by the end of a `with`, or with the last reference to it. A forked
    process does not free what its parent has.
    """

    living: "weakref.WeakSet[Owner]" = weakref.WeakSet()
    _pointer: Any = None
    _process = 0
    _shown_by: Any = ()  # monitors, of which close() removes it

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer
        self._process = os.getpid()
        self._home = here[0]
        Owner.living.add(self)

    def _end(self) -> None:
        """At the end of the process: has the library's threads call Python no more. Others may still use the object."""

    @property
    def _live(self) -> Any:
        if not self._pointer:
            raise Closed(f"this {type(self).__name__} was closed")
        return self._pointer

    def _take(self) -> Any:
        """The pointer, for whoever frees it; None: there is nothing to free here."""
        pointer, self._pointer = self._pointer, None
        return pointer if pointer and self._process == os.getpid() else None

    def _free(self, close: str, free: str, kept: Any = None, after: Callable[[], None] = lambda: None) -> None:
        """
        Closes the object, so that its functions return, and frees it when no thread is in one any more; then calls
        `after`. In a callback, where nothing may be freed, another thread does that. `kept` is kept until then.
        """
        if self._process == os.getpid():
            for monitor in list(self._shown_by):
                monitor.remove(self)
        pointer = self._take()
        if not pointer:
            return
        getattr(lib, close)(pointer)
        ending = _Ending(pointer, free, kept, after)
        del pointer  # from now on, it is only where it is in use
        ending.run()


def own(process: int, what: str) -> None:
    """Raises Closed in a process that was forked from an object's own, where the library's threads work for it."""
    if process != os.getpid():
        raise Closed(f"this {what} is of the process that this one was forked from")


class Threaded(Owner):
    """An object that threads of the library work for. A forked process has none of them."""

    @property
    def _live(self) -> Any:
        pointer = self._pointer
        if not pointer or self._home is not here[0]:
            own(self._process, type(self).__name__)
            raise Closed(f"this {type(self).__name__} was closed")
        return pointer


class Connected(Threaded):
    """One that uses a network, of which there is one in a process."""

    forked = False
    """Whether this process was forked from one with such an object: its network lacks its threads."""

    def __init__(self, pointer: Any) -> None:
        if Connected.forked:
            remedy = 'use multiprocessing.get_context("spawn"), or fork before that'
            raise Unsupported(f"this process was forked from one in which muster was in use: {remedy}")
        super().__init__(pointer)


class _Ending:
    """An object that was closed, and is to be freed."""

    def __init__(self, pointer: Any, free: str, kept: Any, after: Callable[[], None]) -> None:
        self.unused = threading.Event()
        unused = self.unused
        self.reference = weakref.ref(pointer, lambda _: unused.set())
        self.raw = ffi.cast(ffi.typeof(pointer), pointer)
        self.free, self.kept, self.after = free, kept, after

    def run(self) -> None:
        try:
            here = not in_callback() and self.unused.wait(COME_OUT)
        except BaseException:
            self.run_elsewhere()
            raise
        if not here:
            self.run_elsewhere()
            return
        try:
            wait(self.free, self.raw, give_up=lambda: None)
        finally:
            self.after()

    def run_elsewhere(self) -> None:
        _thread.start_new_thread(self.finish, ())  # no lock is taken for that: this may be anywhere

    def finish(self) -> None:
        self.unused.wait()
        getattr(lib, self.free)(self.raw)
        self.after()


@atexit.register
def _end_all() -> None:
    for owner in list(Owner.living):
        if owner._pointer and owner._process == os.getpid():
            try:
                owner._end()
            except Error:
                pass  # another thread has closed it
