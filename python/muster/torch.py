"""PyTorch: tensors and state dicts as the arrays of messages, and back; and workers of a DDP training."""
from __future__ import annotations

from typing import Any, Mapping, Sequence, Union

import numpy
from numpy.typing import NDArray
import torch

from ._errors import FormatError
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


def load(model: torch.nn.Module, arrays: Union[Mapping[str, NDArray[Any]], Sequence[NDArray[Any]]]) -> None:
    """Copies arrays, by name or in the order of state_dict(), into a model."""
    own = model.state_dict()
    if not isinstance(arrays, Mapping):
        if len(arrays) != len(own):
            raise FormatError(f"the model has {len(own)} tensors, and {len(arrays)} arrays came")
        arrays = dict(zip(own, arrays))
    if set(arrays) != set(own):
        raise FormatError(f"these tensors differ by name: {', '.join(sorted(set(arrays) ^ set(own))[:5])}")
    with torch.no_grad():
        for name, tensor in own.items():
            value = to_tensor(arrays[name])
            if value.shape != tensor.shape:
                raise FormatError(f"{name} has the shape {tuple(value.shape)}; the model's is {tuple(tensor.shape)}")
            tensor.copy_(value)


__all__ = ["EpochOver", "Worker", "load", "state", "to_numpy", "to_tensor", "worker"]
