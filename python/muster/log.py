"""The last lines of a program's log, and what is told of a failure."""
from __future__ import annotations

import logging
import threading
import traceback
from collections import deque

LINES = 20
BYTES = 16384


class _Tail(logging.Handler):
    """Keeps the last lines of each thread."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self._threads = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines().append(self.format(record))

    def lines(self) -> deque[str]:
        if not hasattr(self._threads, "lines"):
            self._threads.lines = deque(maxlen=LINES)
        return self._threads.lines


_tail = _Tail()


def keep() -> None:
    """Keeps the last lines that are logged from now on."""
    root = logging.getLogger()
    if _tail not in root.handlers:
        root.addHandler(_tail)


def forget() -> None:
    """Forgets what this thread has logged."""
    _tail.lines().clear()


def failure(error: BaseException) -> str:
    """What a failure says to the server: the error, its traceback, and what this thread logged last."""
    said = "".join(traceback.format_exception_only(type(error), error)).strip()
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__)).strip()
    parts = [said, text]
    if _tail.lines():
        parts.append("the last lines of its log:\n" + "\n".join(_tail.lines()))
    whole = "\n\n".join(parts).encode("utf-8", "replace")
    if len(whole) > BYTES:
        whole = whole[: BYTES // 4] + b"\n...\n" + whole[-BYTES // 2 :]
    return whole.decode("utf-8", "ignore").replace("\0", "?")
