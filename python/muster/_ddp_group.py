"""The process group of an epoch: entered on one thread, and freed from another when a collective in it would hang."""
from __future__ import annotations

import contextlib
import datetime
import os
import re
import socket
import stat
import time
from typing import Any, Callable, Mapping, Optional

import torch
import torch.distributed as dist

from ._errors import Cancelled

Addresses = set[tuple[str, int]]


class EpochOver(Cancelled):
    """The epoch is over: another worker was lost, or a new one came. The training function is called again."""


def addresses_of(server: str) -> Addresses:
    """What connections to host:port have at their other end."""
    host, _, port = server.rpartition(":")
    with contextlib.suppress(OSError, ValueError):
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        return {(str(each[4][0]), int(each[4][1])) for each in found}
    return set()


def sockets() -> dict[int, int]:
    """The sockets of this process: their descriptors by their inodes, as a descriptor may be another socket later."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            status = os.fstat(int(name))
            if stat.S_ISSOCK(status.st_mode):
                found[status.st_ino] = int(name)
    return found


def _shut(inode: int, descriptor: int, spared: Addresses) -> None:
    """
    Ends a connection, if it still is what it was and no connection to one of the spared addresses. For this process it
    looks as if the peer had closed it. It can still send: gloo passes over errors of sending, and would wait for it.
    """
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as end:
        if os.fstat(end.fileno()).st_ino != inode or end.family not in (socket.AF_INET, socket.AF_INET6):
            return
        host, port = end.getpeername()[:2]  # raises if it listens
        if (host.removeprefix("::ffff:"), port) not in spared and (host, port) not in spared:
            end.shutdown(socket.SHUT_RD)


_SIGNS = re.compile(
    "gloo|nccl|NCCL|c10d|TCPStore|[Ss]ocket|process group|"
    "Broken pipe|[Cc]onnection (was )?(closed|reset|refused)|[Tt]imed out"
)


def is_group_error(error: BaseException) -> bool:
    """Whether the group broke, and not the program of this worker."""
    if type(error).__name__ in ("DistBackendError", "DistNetworkError", "DistStoreError"):
        return True
    return isinstance(error, (RuntimeError, OSError)) and _SIGNS.search(str(error)) is not None


class Store:
    """What rank 0 opens for an epoch, on a free port."""

    def __init__(self, world_size: int, limit: float) -> None:
        self.before = sockets()
        limit_ = datetime.timedelta(seconds=limit)
        self.store: Any = dist.TCPStore("127.0.0.1", 0, world_size, True, limit_, wait_for_workers=False)
        self.port = int(self.store.port)


class Group:
    """
    The group that an instruction `begin` describes. `limit` is that of each collective, behind free(); `server` is
    where the orchestrator is, whose connection is never shut.
    """

    def __init__(self, order: Mapping[str, Any], store: Optional[Store], limit: float, server: Addresses) -> None:
        self._order, self._limit, self._server = order, limit, server
        self._before = store.before if store else sockets()
        self._store: Any = store.store if store else None
        self._own: Optional[dict[int, int]] = None

    def _new_sockets(self) -> dict[int, int]:
        return {inode: descriptor for inode, descriptor in sockets().items() if inode not in self._before}

    def enter(self, is_over: Callable[[], bool]) -> None:
        """Enters the group. Raises EpochOver if that is in vain, and otherwise what torch raises."""
        order, limit = self._order, datetime.timedelta(seconds=self._limit)
        if self._store is None:
            self._await_store(is_over)
            address, port = order["master_addr"], order["master_port"]
            self._store = dist.TCPStore(address, port, order["world_size"], False, limit, wait_for_workers=False)
        if order["backend"] == "nccl":
            os.environ.setdefault("NCCL_ASYNC_ERROR_HANDLING", "1")
            torch.cuda.set_device(order["local_rank"])
        dist.init_process_group(
            order["backend"],
            store=dist.PrefixStore(f"epoch {order['epoch']}", self._store),
            rank=order["rank"],
            world_size=order["world_size"],
            timeout=limit,
        )
        self._own = self._new_sockets()

    def _await_store(self, is_over: Callable[[], bool]) -> None:
        """A store that is gone would be tried for long, with nothing to shut: so it is tried here first."""
        until = time.monotonic() + self._limit
        while True:
            if is_over():
                raise EpochOver("the epoch is over")
            try:
                socket.create_connection((self._order["master_addr"], self._order["master_port"]), 1).close()
                return
            except OSError as error:
                if time.monotonic() > until:  # whatever the reason, such as a name that is not known here
                    raise RuntimeError(f"the TCPStore of rank 0 cannot be reached: {error}") from None
                time.sleep(0.1)

    def free(self) -> None:
        """Has whoever waits in this group for others fail at once. Any thread; does not block."""
        for inode, descriptor in (self._own if self._own is not None else self._new_sockets()).items():
            _shut(inode, descriptor, self._server)

    def leave(self, broken: bool) -> None:
        """Leaves the group, on the thread that entered it; `broken`: nobody else is to wait for this worker in it."""
        if broken:
            self.free()
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
