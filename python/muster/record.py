"""What a run leaves behind: scalars, settings, texts and files by step, for CSV, TensorBoard, MLflow and JSON lines."""
from __future__ import annotations

import _thread
import os
import sys
from typing import Any, Callable, Optional, Union

from ._call import Texts, Threaded, callback, checked_wait, function, in_callback, milliseconds, options
from ._errors import Invalid, checked, needs
from ._message import as_array, fill_array
from ._muster import ffi, lib


class Record(Threaded):
    """
    A record with sinks such as "csv:FILE", "jsonl:FILE", "tensorboard:DIR" and "mlflow:URL". Nothing here waits for a
    disk or a network but close(). Options are those of `struct muster_record_options`; on_warning(text) runs on threads
    of the library.
    """

    def __init__(self, *sinks: str, **given: Any) -> None:
        super().__init__(None)
        needs("muster_record_open", "record")
        self._texts = Texts()
        self._warning: list[Optional[Callable[[str], None]]] = [function("on_warning", given.pop("on_warning", None))]
        self._handle = ffi.new_handle(self._warning)
        struct = options("muster_record_options", given, self._texts)
        struct.sinks, struct.sink_count = self._texts.list(sinks), len(sinks)
        if self._warning[0]:
            struct.on_warning, struct.context = lib.muster_python_record_warning, self._handle
        pointer = ffi.new("struct muster_record **")
        checked(lib.muster_record_open, struct, pointer)
        self._pointer = pointer[0]

    def setting(self, name: str, text: Any) -> None:
        """A setting of the whole run."""
        texts = Texts()
        lib.muster_record_setting(self._live, texts(name), texts(str(text)))

    def scalar(self, step: int, name: str, value: float) -> None:
        """A number at a step."""
        texts = Texts()
        lib.muster_record_scalar(self._live, step, texts(name), float(value))

    def scalars(self, step: int, **values: float) -> None:
        """Numbers at a step."""
        for name, value in values.items():
            self.scalar(step, name, value)

    def histogram(self, step: int, name: str, array: Any) -> None:
        """How the elements of an array are distributed."""
        own, view, texts = as_array(array), ffi.new("struct muster_array *"), Texts()
        fill_array(view, own)
        lib.muster_record_histogram(self._live, step, texts(name), view)

    def text(self, step: int, name: str, text: str) -> None:
        """A text at a step."""
        texts = Texts()
        lib.muster_record_text(self._live, step, texts(name), texts(text))

    def file(self, step: int, name: str, path: Union[str, "os.PathLike[str]"]) -> None:
        """A file, such as a model. Leave it in place until the record is closed."""
        texts = Texts()
        lib.muster_record_file(self._live, step, texts(name), texts(os.fspath(path)))

    def close(self, outcome: str = "finished", limit: Optional[float] = 30.0) -> None:
        """Writes what is left and the outcome: "finished", "failed" or "killed"."""
        value = getattr(lib, "MUSTER_RECORD_" + outcome.upper(), None)
        if value is None:
            raise Invalid(f'an outcome is "finished", "failed" or "killed", and not {outcome!r}')
        pointer = self._take()
        if pointer and in_callback():
            kept = (self._warning, self._handle, self._texts)
            _thread.start_new_thread(_close, (pointer, value, milliseconds(limit), kept))
        elif pointer:
            checked_wait("muster_record_close", pointer, value, milliseconds(limit), give_up=lambda: None)

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, kind: Optional[type], *_: Any) -> None:
        outcome = "finished" if kind is None else "killed" if issubclass(kind, KeyboardInterrupt) else "failed"
        self.close(outcome)

    def __del__(self) -> None:
        if self._pointer and not sys.is_finalizing():
            self.close("failed", 1.0)


def _close(pointer: Any, outcome: int, limit: int, kept: Any) -> None:
    lib.muster_record_close(pointer, outcome, limit, ffi.NULL)
    del kept


@callback()
def muster_python_record_warning(context: Any, text: Any) -> None:
    ffi.from_handle(context)[0](ffi.string(text).decode("utf-8", "replace"))


__all__ = ["Record"]
