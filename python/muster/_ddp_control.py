"""
What a worker of a DDP training hears from its orchestrator: a thread passes instructions on to the one that trains, and
frees that from a collective that would hang.
"""
from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from typing import Any, Mapping, Optional

from ._ddp_group import EpochOver, Group, Store
from ._errors import Cancelled
from .participant import Instruction, Participant

GROUP_BROKE, PROGRAM_FAILED, NO_CHECKPOINT = 1, 2, 3

# How often it is looked whether a turn was cancelled, should that not be told.
LOOK_SECONDS = 0.1
# How long a worker whose program failed waits for a turn to say so.
TELL_SECONDS = 10

_log = logging.getLogger("muster.ddp")


class Epoch:
    """An epoch as the orchestrator began it. All but what is constant is guarded by the lock of Control."""

    def __init__(self, order: Mapping[str, Any], group: Group) -> None:
        self.order, self.group = order, group
        self.over = False
        self.left = False


class Control:
    """
    What the orchestrator says, on a thread of its own. `begin` and `steps` are passed on to the thread that trains,
    which answers them; meanwhile it is watched whether they are cancelled, and whoever hangs in a collective is freed.
    """

    def __init__(self, limit: float) -> None:
        self.changed = threading.Condition()
        # Guarded by `changed`.
        self.turn: Optional[Instruction] = None
        self.epoch: Optional[Epoch] = None
        self.end: Optional[Mapping[str, Any]] = None
        self.closed = False
        self.error: Optional[Exception] = None
        # Of the control thread.
        self._limit = limit
        self._store: Optional[Store] = None
        self._stops = False

    def note_cancelled(self) -> None:
        """On a thread of the library."""
        with self.changed:
            self.changed.notify_all()

    def run(self, participant: Participant) -> None:
        error: Optional[Exception] = None
        try:
            for instruction in participant:
                self._take(instruction)
        except Exception as failure:  # the training thread raises it
            error = failure
        with self.changed:
            self.closed, self.error = True, error
            self._break_epoch(self.end is None)
            self.changed.notify_all()

    def stop(self) -> None:
        with self.changed:
            self._stops = True
            self.changed.notify_all()

    def _take(self, instruction: Instruction) -> None:
        task, order = instruction.get("task"), instruction.scalars
        if task == "begin":
            store, self._store = self._store, None
            group = Group(order, store if order["rank"] == 0 else None, self._limit)
            self._pass_on(instruction, Epoch(order, group))
        elif task == "steps" and self.epoch and not self.epoch.over:
            self._pass_on(instruction)
        elif task == "steps":
            instruction.fail("this worker has left the group", GROUP_BROKE)
        elif task == "wait":
            self.give_up()
            _log.info("waiting: %s", order.get("text", ""))
            instruction.answer()
        elif task == "store":
            self.give_up()
            self._open_store(instruction)
        elif task == "end":
            with self.changed:
                self.end = order
                self._break_epoch(not order.get("finished"))
            instruction.answer()

    def _open_store(self, instruction: Instruction) -> None:
        self._store = None
        try:
            self._store = Store(instruction["world_size"], self._limit)
        except Exception as error:
            instruction.fail(error, GROUP_BROKE)
        else:
            instruction.answer(port=self._store.port)

    def give_up(self) -> None:
        """The epoch is over, and whoever hangs in its group is freed. Any thread."""
        with self.changed:
            self._break_epoch(True)

    def _break_epoch(self, hard: bool) -> None:
        """The epoch is over; `hard`: nobody is to wait in its group for others. Under the lock."""
        epoch = self.epoch
        if epoch and not epoch.over and hard:
            epoch.over = True
        if epoch and epoch.over and not epoch.left:
            epoch.group.free()
        self.changed.notify_all()

    def _pass_on(self, instruction: Instruction, begun: Optional[Epoch] = None) -> None:
        """Until the training thread has answered, or the turn is cancelled."""
        with self.changed:
            if begun:
                self._break_epoch(True)
            while begun and self.epoch and not self.epoch.left and not instruction.cancelled and not self._stops:
                self._break_epoch(True)
                self.changed.wait(LOOK_SECONDS)
            if begun:
                self.epoch = begun
            self.turn = instruction
            self.changed.notify_all()
            while self.turn is instruction and not instruction.cancelled and not self._stops:
                self.changed.wait(LOOK_SECONDS)
            if self.turn is instruction:
                self.turn = None
                self._break_epoch(True)

    # ---- for the thread that trains ----

    def next_epoch(self, old: Optional[Epoch]) -> Optional[Epoch]:
        """Waits for the epoch after this one; None: there is none."""
        with self.changed:
            while self.epoch is old and not self.closed and self.end is None:
                self.changed.wait()
            return None if self.closed or self.end is not None else self.epoch

    def await_turn(self, epoch: Epoch) -> Optional[Instruction]:
        """Waits for an instruction in this epoch; None: the training has finished."""
        with self.changed:
            while True:
                if epoch.over:
                    raise EpochOver("the epoch is over")
                if self.turn is not None:
                    return self.turn
                if self.closed or self.end is not None:
                    return None
                self.changed.wait()

    def answer(self, epoch: Epoch, **scalars: Any) -> None:
        with self.changed:
            if epoch.over or self.turn is None or not self.turn.answer(**scalars):
                raise EpochOver("the epoch is over")
            self.turn = None
            self.changed.notify_all()

    def report(self, epoch: Epoch, fraction: float, /, **numbers: float) -> None:
        with self.changed:
            self.check(epoch)
            try:
                if self.turn is not None:
                    self.turn.progress(fraction, **numbers)
            except Cancelled as error:  # the control thread is about to notice
                self._break_epoch(True)
                raise EpochOver(str(error)) from None

    def check(self, epoch: Epoch) -> None:
        if epoch.over:
            raise EpochOver("the epoch is over")

    def fail(self, epoch: Epoch, text: str, code: int) -> None:
        """Says so with the turn at hand, or the next one; not at all if the epoch is over."""
        until = time.monotonic() + TELL_SECONDS
        with self.changed:
            while self.turn is None and not epoch.over and not self.closed and time.monotonic() < until:
                self.changed.wait(LOOK_SECONDS)
            if self.turn is not None and not epoch.over:
                self.turn.fail(text, code)
                self.turn = None
            self.changed.notify_all()

    def await_dismissal(self, epoch: Epoch) -> None:
        """The orchestrator ends the stream of a worker that has failed. Others, once freed, may be heard before it."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or epoch.over, TELL_SECONDS)

    def left(self, epoch: Epoch) -> None:
        with self.changed:
            epoch.over = epoch.left = True
            self.changed.notify_all()


class Interrupts:
    """Python hears of Ctrl-C when the main thread is back from a collective: so it has to be freed from that."""

    def __init__(self, control: Control) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._run, args=(control,), name="muster interrupts", daemon=True)
        self._thread.start()

    def _run(self, control: Control) -> None:
        while signals := self._reader.recv(64):
            if signal.SIGINT in signals and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                control.give_up()

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        self._writer.close()
        self._thread.join()
        self._reader.close()
