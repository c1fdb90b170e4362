"""Checkpoints of workers: files that appear whole, and who of a group gives one to those that have none."""
from __future__ import annotations

import contextlib
import io
import logging
import os
import pathlib
import pickle
import re
import time
import types
import uuid
from typing import Any, Mapping, Optional

import torch
import torch.distributed as dist

# A part that is so old is no longer written.
LEFT_SECONDS = 3600

_log = logging.getLogger("muster.ddp")


class NoCheckpoint(Exception):
    """Nobody in the group has the checkpoint to go on from."""


class Checkpoints:
    """
    The checkpoints in a folder, to which one of the workers that share it writes them. A file has a mark of its epoch:
    one of an earlier training, under the same number, is not taken for that of this one.
    """

    def __init__(self, folder: "os.PathLike[str] | str") -> None:
        self.folder = pathlib.Path(folder)
        self._mark = ""
        self._writes = False
        self.loaded: Optional[Mapping[str, Any]] = None
        """The states to go on from, by name."""

    def _path(self, iteration: int) -> pathlib.Path:
        return self.folder / f"iteration-{iteration}.pt"

    def _place(self) -> tuple[Any, ...]:
        """The same for two workers only if they share the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        status = self.folder.stat()
        return os.uname().nodename, status.st_dev, status.st_ino

    def begin(self, iteration: int, rank: int) -> None:
        """In a group that was just entered: all get the states of this iteration (0: there are none)."""
        self.loaded = None
        data, saved = self._read(iteration) if iteration > 0 else (None, None)
        offers: list[Any] = [None] * dist.get_world_size()
        mine = (saved["time"], saved["mark"]) if saved else None
        place = self._place()
        dist.all_gather_object(offers, (mine, place, uuid.uuid4().hex))
        self._writes = [offer[1] for offer in offers].index(place) == rank
        self._mark = offers[0][2]
        if iteration == 0:
            return
        having = [(offer[0], -index) for index, (offer, _, _) in enumerate(offers) if offer]
        if not having:
            raise NoCheckpoint(f"nobody has the checkpoint of iteration {iteration} in {self.folder}")
        giver = -max(having)[1]
        mark = offers[giver][0][1]
        if any(offer is None or offer[1] != mark for offer, _, _ in offers):
            carried = [data if rank == giver else None]
            dist.broadcast_object_list(carried, giver)
            if mine is None or mine[1] != mark:
                saved = _load(carried[0])
                if self._writes:
                    self._write(iteration, carried[0])
        assert saved is not None
        self.loaded = saved["states"]

    def _read(self, iteration: int) -> tuple[Optional[bytes], Optional[Mapping[str, Any]]]:
        """The file and what is in it, if it is there and whole."""
        try:
            data = self._path(iteration).read_bytes()
            saved = _load(data)
            kinds: Mapping[str, type] = {"states": dict, "time": float, "mark": str}
            if not all(isinstance(saved[name], kind) for name, kind in kinds.items()):
                raise ValueError("a worker has written something else")
            return data, saved
        except FileNotFoundError:
            pass
        except Exception as error:  # torch's, pickle's or zipfile's
            _log.warning("%s is not used: %s", self._path(iteration), error)
        return None, None

    def save(self, iteration: int, objects: Mapping[str, Any]) -> None:
        """Returns when the file is safe on the disk; on the other workers that share the folder at once."""
        if not self._writes:
            return
        states = {name: each.state_dict() for name, each in objects.items()}
        buffer = io.BytesIO()
        torch.save({"states": states, "time": time.time(), "mark": self._mark}, buffer)
        self._write(iteration, buffer.getbuffer())

    def _write(self, iteration: int, data: Any) -> None:
        path = self._path(iteration)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        try:
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def forget_before(self, iteration: int) -> None:
        """Removes what is older than a complete checkpoint, and what killed workers have left."""
        if not self._writes:
            return
        for path in self.folder.iterdir():
            number = re.fullmatch(r"iteration-(\d+)\.pt", path.name)
            left = re.fullmatch(r"\.iteration-\d+\.pt\..*\.part", path.name)
            with contextlib.suppress(OSError):
                old = left and path.stat().st_mtime < time.time() - LEFT_SECONDS
                if old or (number and int(number[1]) < iteration):
                    path.unlink()


class _Plain(pickle.Unpickler):
    """What torch has as weights_only=True. In 1.13 that refuses plain floats, and pickle_module is passed over."""

    def find_class(self, module: str, name: str) -> Any:
        known = (module, name) in _KNOWN or (module == "torch" and isinstance(getattr(torch, name, None), torch.dtype))
        if not known:
            raise pickle.UnpicklingError(f"{module}.{name} is no tensor, number, text, list or dictionary")
        return super().find_class(module, name)


_KNOWN = {
    ("collections", "OrderedDict"),
    ("torch", "Size"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor_v2"),
}
_plain = types.SimpleNamespace(Unpickler=_Plain)
_version = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])


def _load(data: Any) -> Mapping[str, Any]:
    """States are tensors, numbers, texts, lists and dictionaries: what a file or another worker sends is no program."""
    loaded: Mapping[str, Any]
    if _version >= (2, 1):
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    else:
        with torch.serialization._open_zipfile_reader(io.BytesIO(data)) as reader:
            loaded = torch.serialization._load(reader, "cpu", _plain, encoding="utf-8")
    return loaded
