"""PyTorch: tensors and state dicts as the arrays of messages, and back; and workers of a DDP training."""
from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray
import torch

from ._errors import FormatError
from ._message import Arrays, split
from .ddp import EpochOver, Worker, worker

BFLOAT16 = numpy.dtype("<V2")


def to_numpy(tensor: torch.Tensor) -> NDArray[Any]:
    """
    A tensor as an array, without a copy if it is on the CPU and in C order. (bfloat16 has no dtype in numpy: '<V2'.)
    """
    tensor = tensor.detach().to("cpu").contiguous()
    bits = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
    array: NDArray[Any] = bits.numpy()
    return array if bits is tensor else array.view(BFLOAT16)


def to_tensor(array: NDArray[Any]) -> torch.Tensor:
    """An array as a tensor of the same memory."""
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array.view("<i2")).view(torch.bfloat16)
    return torch.from_numpy(numpy.asarray(array))


def state(model: torch.nn.Module) -> dict[str, NDArray[Any]]:
    """The state of a model as arrays by name, which share its memory if it is on the CPU."""
    return {name: to_numpy(tensor) for name, tensor in model.state_dict().items()}


def load(model: torch.nn.Module, arrays: Arrays) -> None:
    """Copies arrays, or those of a message, into a model: by their names, or else in the order of state_dict()."""
    own = model.state_dict()
    given, names = split(arrays)
    if names is None and len(given) != len(own):
        raise FormatError(f"the model has {len(own)} tensors, and {len(given)} arrays came")
    by_name = dict(zip(own if names is None else names, given))
    if set(by_name) != set(own):
        raise FormatError(f"these tensors differ by name: {', '.join(sorted(set(by_name) ^ set(own))[:5])}")
    with torch.no_grad():
        for name, tensor in own.items():
            value = to_tensor(by_name[name])
            if value.shape != tensor.shape:
                raise FormatError(f"{name} has the shape {tuple(value.shape)}; the model's is {tuple(tensor.shape)}")
            tensor.copy_(value)


__all__ = ["EpochOver", "Worker", "load", "state", "to_numpy", "to_tensor", "worker"]
