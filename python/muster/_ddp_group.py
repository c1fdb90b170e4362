"""The process group of an epoch: entered on one thread, and freed from another when a collective in it would hang."""
from __future__ import annotations

import contextlib
import datetime
import functools
import os
import re
import socket
import threading
import time
from typing import Any, Callable, Iterator, Mapping, Optional

import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d

from ._ddp_sockets import Address, Liberation, address_of, connections_of_store, epolls, watched
from ._errors import Cancelled


class EpochOver(Cancelled):
    """The epoch is over: another worker was lost, or a new one came. The training function is called again."""


_ERRORS_OF_GROUPS = ("DistBackendError", "DistNetworkError", "DistStoreError")
_OPENING_OF_TORCH = re.compile(r"\[[^\]]*(gloo|c10d|torch/csrc|nccl)[^\]]*:\d+\]|gloo::|NCCL error")
_SIGNS = re.compile(
    "gloo|nccl|NCCL|c10d|TCPStore|[Ss]ocket|process group|"
    "Broken pipe|[Cc]onnection (was )?(closed|reset|refused)|[Tt]imed out"
)
_FOLDERS = tuple(os.path.join(os.path.dirname(torch.__file__), name, "") for name in ("distributed", "nn/parallel"))


class GroupBroke(RuntimeError):
    """What is raised here when the group cannot be entered."""


def _innermost_file(error: BaseException) -> str:
    frame, file = error.__traceback__, ""
    while frame:
        file, frame = frame.tb_frame.f_code.co_filename, frame.tb_next
    return file


def is_group_error(error: BaseException) -> bool:
    """
    Whether the group broke, and not the program of this worker, whose own connections may be refused or time out, too.
    torch begins what it says of a group with a place in its source, wherever that is raised, such as in backward().
    Otherwise it counts that it is raised in torch.distributed, or here.
    """
    if isinstance(error, GroupBroke) or type(error).__name__ in _ERRORS_OF_GROUPS:
        return True
    if not isinstance(error, RuntimeError):  # what torch raises
        return False
    text = str(error)
    if _OPENING_OF_TORCH.match(text):
        return True
    file = _innermost_file(error)
    return (file == __file__ or file.startswith(_FOLDERS)) and _SIGNS.search(text) is not None


class Store:
    """What rank 0 opens for an epoch, on a free port."""

    def __init__(self, world_size: int, limit: float) -> None:
        limit_ = datetime.timedelta(seconds=limit)
        self.store: Any = dist.TCPStore("127.0.0.1", 0, world_size, True, limit_, wait_for_workers=False)
        self.port = int(self.store.port)


class _Watches:
    """
    The epoll instances that gloo made for the groups of this process: those that were not there before. Threads of the
    program may open sockets meanwhile, which are in none of them.
    """

    def __init__(self) -> None:
        self._found: set[int] = set()
        self._before: Optional[set[int]] = None

    @contextlib.contextmanager
    def forming(self) -> Iterator[None]:
        """Around what forms a group."""
        self._before = epolls()
        try:
            yield
        finally:
            before, self._before = self._before, None
            self._found |= epolls() - before

    def connections(self) -> dict[int, int]:
        """Any thread."""
        before, found = self._before, {}
        for epoll in self._found | (epolls() - before if before is not None else set()):
            found.update(watched(epoll))
        return found


@contextlib.contextmanager
def _new_groups_are_noticed(watches: _Watches, limit: datetime.timedelta) -> Iterator[None]:
    """Those that the program makes by dist.new_group(), or what calls it. They have the same limit, if it says none."""
    original = distributed_c10d.new_group

    @functools.wraps(original)
    def new_group(*arguments: Any, **options: Any) -> Any:
        if len(arguments) < 2:  # the ranks, the limit
            options.setdefault("timeout", limit)
        with watches.forming():
            return original(*arguments, **options)

    distributed_c10d.new_group = dist.new_group = new_group
    try:
        yield
    finally:
        distributed_c10d.new_group = dist.new_group = original


class Group:
    """The group that an instruction `begin` describes. `limit` is that of each collective, behind free()."""

    def __init__(self, order: Mapping[str, Any], store: Optional[Store], limit: float) -> None:
        self._order, self._limit = order, limit
        self._store: Any = store.store if store else None
        self._port = store.port if store else None
        self._address: Optional[Address] = None  # of a store elsewhere
        self._watches = _Watches()
        self._noticing = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._liberation: Optional[Liberation] = None  # guarded by the lock
        self._left = False  # the same

    def enter(self, is_over: Callable[[], bool]) -> None:
        """Enters the group. Raises EpochOver if that is in vain, and otherwise GroupBroke or what torch raises."""
        order, limit = self._order, datetime.timedelta(seconds=self._limit)
        if self._store is None:
            self._await_store(is_over)
            address, port = order["master_addr"], order["master_port"]
            self._store = dist.TCPStore(address, port, order["world_size"], False, limit, wait_for_workers=False)
        if order["backend"] == "nccl":
            os.environ.setdefault("NCCL_ASYNC_ERROR_HANDLING", "1")
            torch.cuda.set_device(order["local_rank"])
        with self._watches.forming():
            dist.init_process_group(
                order["backend"],
                store=dist.PrefixStore(f"epoch {order['epoch']}", self._store),
                rank=order["rank"],
                world_size=order["world_size"],
                timeout=limit,
            )
        self._noticing.enter_context(_new_groups_are_noticed(self._watches, limit))

    def _await_store(self, is_over: Callable[[], bool]) -> None:
        """A store that is gone would be tried for long, with nothing to shut: so it is tried here first."""
        until = time.monotonic() + self._limit
        while True:
            if is_over():
                raise EpochOver("the epoch is over")
            try:
                with socket.create_connection((self._order["master_addr"], self._order["master_port"]), 1) as end:
                    self._address = address_of(end.getpeername())
                return
            except OSError as error:
                if time.monotonic() > until:  # whatever the reason, such as a name that is not known here
                    raise GroupBroke(f"the TCPStore of rank 0 cannot be reached: {error}") from None
                time.sleep(0.1)

    def _connections(self) -> dict[int, int]:
        return {**connections_of_store(self._port, self._address), **self._watches.connections()}

    def free(self) -> None:
        """Has whoever waits in this group for others fail soon. Any thread; does not block."""
        with self._lock:
            if not self._liberation and not self._left:
                self._liberation = Liberation(self._connections)

    def leave(self, broken: bool) -> None:
        """
        Leaves the group, on the thread that entered it; `broken`: nobody else is to wait for this worker in it. What
        it has sent arrives first.
        """
        if broken:
            self.free()
        with self._lock:
            self._left, liberation = True, self._liberation
        if liberation:
            liberation.await_all()
            liberation.stop()
        self._noticing.close()
        if dist.is_initialized():
            dist.destroy_process_group()
        else:
            _forget_failed_group()
        self._store = None


def _forget_failed_group() -> None:
    """
    torch numbers groups, and counts one that failed to form: this process would then look for the others under another
    number. Leaving a group begins the numbers again.
    """
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    dist.destroy_process_group()
