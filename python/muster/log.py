"""The last lines of a program's log, and what is told of a failure."""
from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from typing import Any

LINES = 20
BYTES = 16384


class _Tail(threading.local):
    """The last lines of each thread."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=LINES)


_tail = _Tail()
_make_record: Any = None
_lock = threading.Lock()


def keep() -> None:
    """
    Keeps the last lines that are logged from now on. It sees them when records are made, as a handler of the root
    logger would take what logging does without handlers from the program: the output of warnings, and basicConfig().
    """
    global _make_record
    with _lock:
        if _make_record is None:
            _make_record = logging.getLogRecordFactory()
            logging.setLogRecordFactory(_note)


def _note(*arguments: Any, **named: Any) -> logging.LogRecord:
    record: logging.LogRecord = _make_record(*arguments, **named)
    try:
        if record.name:  # one that is made of a dict has none yet
            _tail.lines.append(f"{record.levelname} {record.name}: {record.getMessage()}")
    except Exception:  # an argument that cannot be written: whoever handles the record says so
        pass
    return record


def forget() -> None:
    """Forgets what this thread has logged."""
    _tail.lines.clear()


def failure(error: BaseException) -> str:
    """What a failure says to the server: the error, its traceback, and what this thread logged last."""
    said = "".join(traceback.format_exception_only(type(error), error)).strip()
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__)).strip()
    parts = [said, text]
    if _tail.lines:
        parts.append("the last lines of its log:\n" + "\n".join(_tail.lines))
    whole = "\n\n".join(parts).encode("utf-8", "replace")
    if len(whole) > BYTES:
        whole = whole[: BYTES // 4] + b"\n...\n" + whole[-BYTES // 2 :]
    return whole.decode("utf-8", "ignore").replace("\0", "?")
