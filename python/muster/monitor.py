"""What a person or a scraper sees of a running process: metrics for Prometheus, JSON, and a live page over HTTP."""
from __future__ import annotations

import sys
import weakref
from typing import Any, Optional, Union

from ._call import Texts, Threaded, function, options
from ._errors import Invalid, checked, needs
from ._muster import ffi, lib
from .group import Group
from .participant import Participant
from .server import ParticipantManager

Shown = Union[ParticipantManager, Participant, Group]


class Monitor(Threaded):
    """
    Serves HTTP, on loopback and port 8081 unless `listen` says otherwise. Options are those of `struct
    muster_monitor_options`. What it shows is kept as long as it is shown.
    """

    def __init__(self, listen: Optional[str] = None, **given: Any) -> None:
        super().__init__(None)
        needs("muster_monitor_start", "monitor")
        self._texts = Texts()
        self._shown: dict[int, Shown] = {}
        if listen is not None:
            given["listen"] = listen
        hosts = given.pop("hosts", ())
        self._warning = [function("on_warning", given.pop("on_warning", None))]
        self._handle = ffi.new_handle(self._warning)
        struct = options("muster_monitor_options", given, self._texts)
        struct.hosts, struct.host_count = self._texts.list(hosts), len(hosts)
        if self._warning[0]:
            struct.on_warning, struct.context = lib.muster_python_record_warning, self._handle
        pointer = ffi.new("struct muster_monitor **")
        checked(lib.muster_monitor_start, struct, pointer)
        self._pointer = pointer[0]

    @property
    def port(self) -> int:
        return int(lib.muster_monitor_port(self._live))

    def show(self, what: Shown, name: Optional[str] = None) -> None:
        """Shows a manager, a participant or a group, until remove(), or until one of both is closed."""
        if isinstance(what, ParticipantManager):
            checked(lib.muster_monitor_add_manager, self._live, self._texts(name), what._live)
        elif isinstance(what, Participant):
            checked(lib.muster_monitor_add_participant, self._live, what._live)
        elif isinstance(what, Group):
            checked(lib.muster_monitor_add_group, self._live, self._texts(name), what._live)
        else:
            raise Invalid(f"a monitor shows managers, participants and groups, and no {type(what).__name__}")
        self._shown[id(what)] = what
        what._shown_by = what._shown_by or weakref.WeakSet()
        what._shown_by.add(self)

    def remove(self, what: Shown) -> None:
        """Shows it no longer."""
        if self._shown.pop(id(what), None) is None or not self._pointer or not what._pointer:
            return
        if isinstance(what, ParticipantManager):
            lib.muster_monitor_remove_manager(self._live, what._live)
        elif isinstance(what, Participant):
            lib.muster_monitor_remove_participant(self._live, what._live)
        else:
            lib.muster_monitor_remove_group(self._live, what._live)

    def scalar(self, step: int, name: str, value: float) -> None:
        """Adds a point to a curve."""
        texts = Texts()
        lib.muster_monitor_scalar(self._live, step, texts(name), float(value))

    def setting(self, name: str, text: Any) -> None:
        """Shows a setting."""
        texts = Texts()
        lib.muster_monitor_setting(self._live, texts(name), texts(str(text)))

    def log(self, text: str) -> None:
        """Adds a line to the log."""
        texts = Texts()
        lib.muster_monitor_log(self._live, texts(text))

    def _end(self) -> None:
        lib.muster_monitor_stop(self._pointer)

    def close(self) -> None:
        if self._pointer:
            shown, self._shown = self._shown, {}
            kept = (shown, self._texts, self._handle, self._warning)
            self._free("muster_monitor_stop", "muster_monitor_free", kept)

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()


__all__ = ["Monitor"]
