"""
A worker of `muster orchestrate`: a PyTorch DDP training whose workers may die, freeze or come late. A thread answers
the orchestrator while the program trains on its own; docs/orchestrate.md says what the two talk about.
"""
from __future__ import annotations

import gc
import logging
import os
import socket
import threading
import time
from typing import Any, Callable, Iterator, Mapping, Optional

import torch
import torch.distributed as dist

from . import log
from ._ddp_checkpoint import Checkpoints, NoCheckpoint
from ._ddp_control import GROUP_BROKE, NO_CHECKPOINT, PROGRAM_FAILED, Control, Epoch, Interrupts
from ._ddp_group import EpochOver, is_group_error
from ._errors import Exists, Full, Gone, Stopped, Unavailable
from .participant import Instruction, Participant, connect

# Between two attempts to connect again.
AGAIN_SECONDS = 1

_log = logging.getLogger("muster.ddp")


class Worker:
    """What a training function is given, for one epoch: who it is, what to train, and where to go on from."""

    def __init__(self, control: Control, epoch: Epoch, checkpoints: Checkpoints) -> None:
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
        load_state_dict(), whose states are tensors, numbers, texts, lists and dictionaries. They get the states of the
        last complete checkpoint, if there is one. Returns its iteration, or 0.
        """
        for name, each in objects.items():
            if self._checkpoints.loaded is not None:
                each.load_state_dict(self._checkpoints.loaded[name])
            self._objects[name] = each
        return self.iteration

    def iterations(self, total: Optional[int] = None) -> Iterator[int]:
        """
        The iterations to train, numbered from 1, up to `total` (None: until the orchestrator ends the training).
        Between them it reports, saves checkpoints when they are due, and raises EpochOver when the epoch is over.
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
        """The training function has returned: that is the end, unless another worker is lost before it."""
        if self._control.await_turn(self._epoch) is not None:
            self._acknowledge(True)
        self._control.await_turn(self._epoch)


def _set_environment(order: Mapping[str, Any]) -> None:
    """That of torchrun."""
    for name in ("rank", "local_rank", "local_world_size", "world_size", "master_addr", "master_port"):
        os.environ[name.upper()] = str(order[name])
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(order["restart_count"])


def _take_part(control: Control, epoch: Epoch, checkpoints: Checkpoints, train: Callable[[Worker], Any]) -> Any:
    """One epoch. What the training function returned, or None when the epoch is over."""
    broken = True
    try:
        _set_environment(epoch.order)
        control.report(epoch, 0, enters=int(epoch.order["epoch"]))  # so it has left the one before
        epoch.group.enter(lambda: epoch.over)
        worker = Worker(control, epoch, checkpoints)
        checkpoints.begin(worker.iteration, worker.rank)
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
            control.fail(epoch, log.failure(error), PROGRAM_FAILED)
            control.await_dismissal(epoch)
            raise
    finally:
        epoch.group.leave(broken)
        control.left(epoch)
    return None


def _run(control: Control, checkpoints: Checkpoints, train: Callable[[Worker], Any]) -> Any:
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
    join_timeout: float = 30,
    host: Optional[str] = None,
    advertise: Optional[str] = None,
    **options: Any,
) -> Any:
    """
    Takes part in the training of `muster orchestrate` at `server` (None: what MUSTER_SERVER says), and returns what
    `train` returned when the training has finished. train(worker) is called on this thread, in the group of
    torch.distributed, and again when an epoch is over because a worker was lost or came: then it goes on from the last
    complete checkpoint.

    `checkpoints` is a folder; one of the workers that share it writes there. `limit`, in seconds, is that of each
    collective, for what is not noticed otherwise: an iteration on the slowest worker takes less. `host` is the name of
    this machine, and `advertise` the address by which the others reach it. Other options are those of connect().
    `join_timeout`, in seconds: for so long it asks again when the orchestrator has no place at first, or one of its
    name is there. A worker that was started again after its machine was lost comes before the orchestrator knows:
    --patience is to be less. `reconnect_timeout` (60) says for how long a broken connection is made again, as when the
    orchestrator is started again.

    Raises Stopped if the training ended without having finished, Full if there is no place, what `train` raised, and
    others.
    """
    address = server or os.environ.get("MUSTER_SERVER", "127.0.0.1:50051")
    backends = ["gloo"] + ["nccl"] * (torch.cuda.is_available() and dist.is_nccl_available())
    labels = {"host": host or socket.gethostname(), "backends": ",".join(backends), **options.pop("labels", {})}
    if advertise:
        labels["advertise"] = advertise
    name, patience = name or os.environ.get("MUSTER_NAME"), options.pop("reconnect_timeout", 60)
    files, again, until = Checkpoints(checkpoints), False, time.monotonic() + join_timeout
    while True:
        control = Control(limit)
        options["on_cancelled"] = control.note_cancelled
        participant = _connect(address, until, again, name=name, labels=labels, **options)
        try:
            return _attend(control, participant, files, train)
        except Gone as error:
            if error is not control.error or not patience:
                raise
            _log.warning("the connection to the orchestrator broke, and is made again: %s", error)
            again, until = True, time.monotonic() + patience


def _connect(address: str, until: float, again: bool, **options: Any) -> Participant:
    """
    Connects; up to this time again and again, as an orchestrator notices late who is gone; with `again` also where
    there is none, as it is started again.
    """
    level = logging.WARNING
    while True:
        if again:
            options["connect_timeout"] = max(until - time.monotonic(), 0.001)
        try:
            return connect(address, **options)
        except (Exists, Full, Unavailable) as error:
            left = until - time.monotonic()
            if left <= AGAIN_SECONDS or (isinstance(error, Unavailable) and not again):
                raise
            text = "the orchestrator does not take this worker yet, and is asked again for %.0f s; "
            _log.log(level, text + "it may notice late that a worker of before is gone: %s", left, error)
            level = logging.DEBUG
        time.sleep(AGAIN_SECONDS)


def _attend(control: Control, participant: Participant, files: Checkpoints, train: Callable[[Worker], Any]) -> Any:
    """As long as one connection lasts."""
    thread = threading.Thread(target=control.run, args=(participant,), name="muster worker", daemon=True)
    on_main = threading.current_thread() is threading.main_thread()
    interrupts = Interrupts(control) if on_main else None
    thread.start()
    try:
        return _run(control, files, train)
    finally:
        if interrupts:
            interrupts.close()
        control.stop()
        participant.leave()
        thread.join()
        participant.close()


__all__ = ["EpochOver", "Worker", "worker"]
