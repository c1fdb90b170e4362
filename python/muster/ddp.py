"""
A worker of `muster orchestrate`: a PyTorch DDP training whose workers may die, freeze or come late. A thread answers the
orchestrator while the program trains on its own; docs/orchestrate.md says what the two talk about.
"""
from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
import time
from typing import Any, Callable, Iterator, Mapping, Optional

import torch
import torch.distributed as dist

from . import log
from ._ddp_checkpoint import Checkpoints, NoCheckpoint
from ._ddp_group import EpochOver, Group, Store, addresses_of, is_group_error
from ._errors import Cancelled, Error, Stopped
from .participant import Instruction, Participant, connect

GROUP_BROKE, PROGRAM_FAILED, NO_CHECKPOINT = 1, 2, 3

# How often it is looked whether a turn was cancelled, should that not be told; and how often sockets of a group that is
# still being formed are shut.
LOOK_SECONDS = 0.1
# How long a worker whose program failed waits for a turn to say so.
TELL_SECONDS = 10

_log = logging.getLogger("muster.ddp")


class _Epoch:
    """An epoch as the orchestrator began it. All but what is constant is guarded by the lock of _Control."""

    def __init__(self, order: Mapping[str, Any], group: Group) -> None:
        self.order, self.group = order, group
        self.over = False
        self.left = False


class _Control:
    """
    What the orchestrator says, on a thread of its own. `begin` and `steps` are passed on to the thread that trains, which answers
    them; meanwhile it is watched whether they are cancelled, and whoever hangs in a collective is freed.
    """

    def __init__(self, server: str, limit: float) -> None:
        self.changed = threading.Condition()
        # Guarded by `changed`.
        self.turn: Optional[Instruction] = None
        self.epoch: Optional[_Epoch] = None
        self.end: Optional[Mapping[str, Any]] = None
        self.closed = False
        self.error: Optional[Error] = None
        # Of the control thread.
        self._server, self._limit = addresses_of(server), limit
        self._store: Optional[Store] = None
        self._stops = False

    def note_cancelled(self) -> None:
        """On a thread of the library."""
        with self.changed:
            self.changed.notify_all()

    def run(self, participant: Participant) -> None:
        error: Optional[Error] = None
        try:
            for instruction in participant:
                self._take(instruction)
        except Error as failure:
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
            group = Group(order, store if order["rank"] == 0 else None, self._limit, self._server)
            self._pass_on(instruction, _Epoch(order, group))
        elif task == "steps" and self.epoch and not self.epoch.over:
            self._pass_on(instruction)
        elif task == "steps":
            instruction.fail("this worker has left the group", GROUP_BROKE)
        elif task == "wait":
            self._break(True)
            _log.info("waiting: %s", order.get("text", ""))
            instruction.answer()
        elif task == "store":
            self._break(True)
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

    def _break(self, hard: bool) -> None:
        with self.changed:
            self._break_epoch(hard)

    def _break_epoch(self, hard: bool) -> None:
        """The epoch is over; `hard`: nobody is to wait in its group for others. Under the lock."""
        epoch = self.epoch
        if epoch and not epoch.over and hard:
            epoch.over = True
        if epoch and epoch.over and not epoch.left:
            epoch.group.free()
        self.changed.notify_all()

    def _pass_on(self, instruction: Instruction, begun: Optional[_Epoch] = None) -> None:
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

    def next_epoch(self, old: Optional[_Epoch]) -> Optional[_Epoch]:
        """Waits for the epoch after this one; None: there is none."""
        with self.changed:
            while self.epoch is old and not self.closed and self.end is None:
                self.changed.wait()
            return None if self.closed or self.end is not None else self.epoch

    def await_turn(self, epoch: _Epoch) -> Optional[Instruction]:
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

    def answer(self, epoch: _Epoch, **scalars: Any) -> None:
        with self.changed:
            if epoch.over or self.turn is None or not self.turn.answer(**scalars):
                raise EpochOver("the epoch is over")
            self.turn = None
            self.changed.notify_all()

    def report(self, epoch: _Epoch, fraction: float, **numbers: float) -> None:
        with self.changed:
            self.check(epoch)
            if self.turn is not None:
                self.turn.progress(fraction, **numbers)

    def check(self, epoch: _Epoch) -> None:
        if epoch.over:
            raise EpochOver("the epoch is over")

    def fail(self, epoch: _Epoch, text: str, code: int) -> None:
        """Says so with the turn at hand, or the next one; not at all if the epoch is over."""
        until = time.monotonic() + TELL_SECONDS
        with self.changed:
            while self.turn is None and not epoch.over and not self.closed and time.monotonic() < until:
                self.changed.wait(LOOK_SECONDS)
            if self.turn is not None and not epoch.over:
                self.turn.fail(text, code)
                self.turn = None
            self.changed.notify_all()

    def left(self, epoch: _Epoch) -> None:
        with self.changed:
            epoch.over = epoch.left = True
            self.changed.notify_all()


class Worker:
    """What a training function is given, for one epoch: who it is, what to train, and where to go on from."""

    def __init__(self, control: _Control, epoch: _Epoch, checkpoints: Checkpoints) -> None:
        order = epoch.order
        self._control, self._epoch, self._checkpoints = control, epoch, checkpoints
        self._objects: dict[str, Any] = {}
        self._steps: Optional[Instruction] = None
        self._losses: list[float] = []
        self._numbers: dict[str, float] = {}
        self._samples, self._began = 0, time.monotonic()
        self.epoch, self.rank, self.world_size = int(order["epoch"]), int(order["rank"]), int(order["world_size"])
        self.local_rank, self.local_world_size = int(order["local_rank"]), int(order["local_world_size"])
        self.restart_count = int(order["restart_count"])
        """How many epochs have been broken so far."""
        self.iteration = int(order["checkpoint"])
        """The last iteration that is done, or the one that is being trained."""

    def restore(self, **objects: Any) -> int:
        """
        Says what belongs to a checkpoint, such as model=model and optimizer=optimizer: objects with state_dict() and
        load_state_dict(), whose states are tensors, numbers, texts, lists and dictionaries. They get the states of the last
        complete checkpoint, if there is one. Returns its iteration, or 0.
        """
        for name, each in objects.items():
            if self._checkpoints.loaded is not None:
                each.load_state_dict(self._checkpoints.loaded[name])
            self._objects[name] = each
        return self.iteration

    def iterations(self, total: Optional[int] = None) -> Iterator[int]:
        """
        The iterations to train, numbered from 1, up to `total` (None: until the orchestrator ends the training). Between them
        it reports, saves checkpoints when they are due, and raises EpochOver when the epoch is over.
        """
        while True:
            steps = self._steps = self._control.await_turn(self._epoch)
            if steps is None:
                return
            self._checkpoints.forget_before(steps["checkpoint"])
            self._losses, self._samples, self._began = [], 0, time.monotonic()
            last = steps["until"] if total is None else min(steps["until"], total)
            for iteration in range(steps["from"] + 1, last + 1):
                self.iteration = iteration
                yield iteration
                self._tell(steps)
            if last == total:
                return  # worker() answers, once the training function has returned
            self._acknowledge(False)

    def report(self, loss: Optional[float] = None, samples: int = 0, **numbers: float) -> None:
        """How the iteration at hand went. The orchestrator shows it; other numbers go to its record."""
        self._control.check(self._epoch)
        if loss is not None:
            self._losses.append(float(loss))
        self._samples += samples
        self._numbers = {name: float(value) for name, value in numbers.items()}

    def _figures(self) -> dict[str, float]:
        figures = {}
        if self._losses:
            figures["loss"] = self._losses[-1]
        if self._samples:
            figures["samples_per_second"] = self._samples / max(time.monotonic() - self._began, 1e-6)
        return figures

    def _tell(self, steps: Instruction) -> None:
        fraction = (self.iteration - steps["from"]) / (steps["until"] - steps["from"])
        numbers = {**self._numbers, **self._figures(), "iteration": self.iteration}
        self._control.report(self._epoch, fraction, **numbers)

    def _acknowledge(self, finished: bool) -> None:
        """The checkpoint of the iteration is saved; the loss is the mean since the one before."""
        figures = self._figures()
        if self._losses:
            figures["loss"] = sum(self._losses) / len(self._losses)
        if self.iteration > self._epoch.order["checkpoint"] or not finished:
            self._checkpoints.save(self.iteration, self._objects)
        self._steps = None
        self._control.answer(self._epoch, iteration=self.iteration, finished=finished, **figures)

    def _finish(self) -> None:
        """The training function has returned: that is the end of the training, unless another worker is lost before it."""
        if self._control.await_turn(self._epoch) is not None:
            self._acknowledge(True)
        self._control.await_turn(self._epoch)


class _Interrupts:
    """Python hears of Ctrl-C when the main thread is back from a collective: so it has to be freed from that."""

    def __init__(self, control: _Control) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._run, args=(control,), name="muster interrupts", daemon=True)
        self._thread.start()

    def _run(self, control: _Control) -> None:
        while signals := self._reader.recv(64):
            if signal.SIGINT in signals and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                control._break(True)

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        self._writer.close()
        self._thread.join()
        self._reader.close()


def _set_environment(order: Mapping[str, Any]) -> None:
    """That of torchrun."""
    for name in ("rank", "local_rank", "local_world_size", "world_size", "master_addr", "master_port"):
        os.environ[name.upper()] = str(order[name])
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(order["restart_count"])


def _take_part(control: _Control, epoch: _Epoch, checkpoints: Checkpoints, train: Callable[[Worker], Any]) -> Any:
    """One epoch. What the training function returned, or None when the epoch is over."""
    broken = True
    try:
        _set_environment(epoch.order)
        epoch.group.enter(lambda: epoch.over)
        worker = Worker(control, epoch, checkpoints)
        checkpoints.begin(worker.iteration, worker.rank, worker.local_rank)
        control.answer(epoch)
        result = train(worker)
        worker._finish()
        broken = False
        return result
    except Exception as error:
        if epoch.over or isinstance(error, EpochOver):
            _log.info("epoch %d is over: %s", epoch.order["epoch"], error)
        elif isinstance(error, NoCheckpoint):
            control.fail(epoch, str(error), NO_CHECKPOINT)
        elif is_group_error(error):
            _log.info("the group of epoch %d broke: %s", epoch.order["epoch"], error)
            epoch.group.free()
            control.fail(epoch, f"{type(error).__name__}: {error}"[:1000], GROUP_BROKE)
        else:
            epoch.group.free()
            control.fail(epoch, log.failure(error), PROGRAM_FAILED)
            raise
    finally:
        epoch.group.leave(broken)
        control.left(epoch)
    return None


def _run(control: _Control, checkpoints: Checkpoints, train: Callable[[Worker], Any]) -> Any:
    result, epoch = None, control.next_epoch(None)
    while epoch is not None:
        result = _take_part(control, epoch, checkpoints, train)
        gc.collect()  # models of the epoch before, whose hooks are cycles, keep its group
        epoch = control.next_epoch(epoch)
    if control.end is None:
        raise control.error or Stopped("the orchestrator has ended without a word")
    if not control.end.get("finished"):
        raise Stopped(f"the training did not finish: {control.end.get('text', '')}")
    return result


def worker(
    server: Optional[str],
    train: Callable[[Worker], Any],
    *,
    name: Optional[str] = None,
    checkpoints: "os.PathLike[str] | str" = "checkpoints",
    limit: float = 60,
    host: Optional[str] = None,
    advertise: Optional[str] = None,
    **options: Any,
) -> Any:
    """
    Takes part in the training of `muster orchestrate` at `server` (None: what MUSTER_SERVER says), and returns what `train`
    returned when the training has finished. train(worker) is called on this thread, in the group of torch.distributed, and again
    when an epoch is over because a worker was lost or came: then it goes on from the last complete checkpoint.

    `checkpoints` is a folder; one worker of each machine writes there. `limit`, in seconds, is that of each collective, for what is
    not noticed otherwise: an iteration on the slowest worker takes less. `host` is the name of this machine, and `advertise` the
    address by which the others reach it. Other options are those of connect().

    Raises Stopped if the training ended without having finished, Full if there is no place, what `train` raised, and others.
    """
    address = server or os.environ.get("MUSTER_SERVER", "127.0.0.1:50051")
    backends = ["gloo"] + ["nccl"] * (torch.cuda.is_available() and dist.is_nccl_available())
    labels = {"host": host or socket.gethostname(), "backends": ",".join(backends), **options.pop("labels", {})}
    if advertise:
        labels["advertise"] = advertise
    control = _Control(address, limit)
    participant = connect(
        address, name or os.environ.get("MUSTER_NAME"), labels=labels, on_cancelled=control.note_cancelled, **options
    )
    thread = threading.Thread(target=control.run, args=(participant,), name="muster worker", daemon=True)
    on_main = threading.current_thread() is threading.main_thread()
    interrupts = _Interrupts(control) if on_main else None
    thread.start()
    try:
        return _run(control, Checkpoints(checkpoints), train)
    finally:
        if interrupts:
            interrupts.close()
        control.stop()
        participant.leave()
        thread.join()
        participant.close()


__all__ = ["EpochOver", "Worker", "worker"]
