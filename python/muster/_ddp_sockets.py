"""
The connections of a process group, and how they end. gloo tells a collective of a connection's end, but not one whose
message is on its way then: that waits for its time limit. So a connection is shut once it is quiet.
"""
from __future__ import annotations

import array
import contextlib
import fcntl
import os
import re
import socket
import stat
import struct
import termios
import threading
import time
from typing import Any, Callable, Iterator, Optional

# A connection is quiet when nothing moved on it for so long, and nothing lies in its buffers. What is on its way
# between two workers that live arrives: gloo sends no data before the other end has a place for it.
QUIET_MS = 50
# One that is not quiet by then never will be: its peer is frozen, or its machine is gone.
QUIET_WITHIN_SECONDS = 2
LOOK_SECONDS = 0.02

Address = tuple[str, int]


def descriptors() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/fd")]


def epolls() -> set[int]:
    """What threads of this process watch sockets with: gloo has one for each group."""
    found = set()
    for descriptor in descriptors():
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{descriptor}") == "anon_inode:[eventpoll]":
                found.add(descriptor)
    return found


def watched(epoll: int) -> dict[int, int]:
    """The sockets that an epoll instance watches: their descriptors by their inodes, as a descriptor may be reused."""
    with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{epoll}", encoding="ascii") as file:
        lines = re.findall(r"^tfd:\s+(\d+) .*\bino:([0-9a-f]+)", file.read(), re.MULTILINE)
        return {int(inode, 16): int(descriptor) for descriptor, inode in lines}
    return {}


def _all() -> dict[int, int]:
    found = {}
    for descriptor in descriptors():
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            if stat.S_ISSOCK(status.st_mode):
                found[status.st_ino] = descriptor
    return found


@contextlib.contextmanager
def _connection(inode: int, descriptor: int) -> Iterator[socket.socket]:
    """A copy of the descriptor, if it still is that socket, and a connection. Raises OSError otherwise."""
    with socket.socket(fileno=os.dup(descriptor)) as end:
        if os.fstat(end.fileno()).st_ino != inode or end.family not in (socket.AF_INET, socket.AF_INET6):
            raise OSError("it is another one by now")
        end.getpeername()  # raises if it listens
        yield end


def address_of(name: tuple[Any, ...]) -> Address:
    """An address of IPv4 may look as one of IPv6, by the socket."""
    return name[0].removeprefix("::ffff:"), name[1]


def connections_of_store(port: Optional[int], address: Optional[Address]) -> dict[int, int]:
    """Those of a store that listens here at this port, and those to the one at this address."""
    ends: dict[int, tuple[int, Address, Address]] = {}
    for inode, descriptor in _all().items():
        with contextlib.suppress(OSError), _connection(inode, descriptor) as end:
            ends[inode] = (descriptor, address_of(end.getsockname()), address_of(end.getpeername()))
    places = {here for _, here, _ in ends.values() if here[1] == port} | {address}
    return {inode: descriptor for inode, (descriptor, here, peer) in ends.items() if places & {here, peer}}


def _is_quiet(end: socket.socket) -> bool:
    for request in (termios.TIOCOUTQ, termios.FIONREAD):
        waits = array.array("i", [0])
        fcntl.ioctl(end, request, waits)
        if waits[0]:
            return False
    times = struct.unpack("8B24I", end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104))
    last_sent, last_received = times[8 + 9], times[8 + 11]
    return min(last_sent, last_received) >= QUIET_MS


class Liberation:
    """
    Shuts the connections that `find` gives, each when it is quiet, on a thread of its own until stop(). For this
    process it looks as if the peer had closed them. They can still send: gloo passes over errors of sending, and would
    wait for it.
    """

    def __init__(self, find: Callable[[], dict[int, int]]) -> None:
        self._find = find
        self._until = time.monotonic() + QUIET_WITHIN_SECONDS
        self._stops, self._done = threading.Event(), threading.Event()
        self._shut: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="muster liberation", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stops.is_set():
            left = [self._try(inode, descriptor) for inode, descriptor in self._find().items()]
            if all(left):
                self._done.set()
            self._stops.wait(LOOK_SECONDS)

    def _try(self, inode: int, descriptor: int) -> bool:
        """Whether it is shut, or no connection any more."""
        if inode in self._shut:
            return True
        try:
            with _connection(inode, descriptor) as end:
                if time.monotonic() < self._until and not _is_quiet(end):
                    return False
                end.shutdown(socket.SHUT_RD)
                self._shut.add(inode)
        except OSError:
            pass
        return True

    def await_all(self) -> None:
        """Until no connection is left."""
        self._done.wait(QUIET_WITHIN_SECONDS + 1)

    def stop(self) -> None:
        self._stops.set()
        self._thread.join()
