"""Snapshots of objects with arrays in them, to tell whether anybody has written to one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from simbench.lazy import lazy_import
from simbench.metrics.kernels.memoisation import times_changed

if TYPE_CHECKING:
    import numpy as np
    import torch
else:
    torch, np = lazy_import("torch"), lazy_import("numpy")


class Snapshot:
    """Checksums of all arrays in an object: tensors, NumPy arrays and lists of numbers, however deep."""

    def __init__(self, value: Any) -> None:
        """Take the checksums."""
        self._value = value
        self._arrays = {place: (array, times_changed(array), digest(array)) for place, array in _arrays_in(value)}
        self._flags = _flags(value)
        self.bytes = sum(getattr(array, "nbytes", 0) for array, _, _ in self._arrays.values())

    def changed(self) -> str | None:
        """Name an array that is another one, has been written to, or has other numbers; None if there is none."""
        now = dict(_arrays_in(self._value))
        for place, (array, count, before) in self._arrays.items():
            if now.get(place) is not array or times_changed(array) != count or digest(array) != before:
                return place
        return None

    def touched(self) -> bool:
        """Tell whether anything else was changed that the next call would see: modes, gradients, hooks."""
        return _flags(self._value) != self._flags


def _arrays_in(value: Any, place: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Yield the arrays in an object, each once, with their places, such as `network.fc.weight`."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, (str, bytes, int, float, complex, type, FunctionType, ModuleType)):
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor) or (isinstance(value, np.ndarray) and not value.dtype.hasobject):
        yield place, value
        return
    if isinstance(value, list) and value and all(isinstance(each, (int, float)) for each in value):
        yield place, value
        return
    if isinstance(value, Mapping):
        inside = list(value.items())
    elif isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim):
        inside = list(enumerate(value))
    else:
        inside = list(getattr(value, "__dict__", {}).items())
    for name, part in inside:
        hidden = name in ("_parameters", "_buffers", "_modules", "_original")
        if name != "_original":
            yield from _arrays_in(part, place if hidden else f"{place}.{name}".strip("."), seen)


def _flags(value: Any) -> list[Any]:
    """Return what a network, or tensors, are set to beside their numbers: modes, hooks, rates, methods of an object."""
    network = getattr(value, "network", value)
    flags: list[Any] = []
    if isinstance(network, torch.nn.Module):
        flags += [(type(module), _attributes(module)) for module in network.modules()]
    tensors = [array for _, array in _arrays_in(value) if isinstance(array, torch.Tensor)]
    return flags + [
        (tensor.requires_grad, tensor.is_leaf and tensor.grad is not None, len(tensor._backward_hooks or ()))
        for tensor in tensors
    ]


def _attributes(module: Any) -> dict[str, Any]:
    """Return the attributes of a module: values to compare, of hooks and the like which ones there are, else which."""
    attributes: dict[str, Any] = {}
    for name, value in vars(module).items():
        if isinstance(value, Mapping):
            attributes[name] = [(key, id(each)) for key, each in value.items()]
        else:
            attributes[name] = value if isinstance(value, bool | int | float | str) else id(value)
    return attributes


def digest(array: Any) -> tuple[Any, ...]:
    """Return shape, type and a checksum of an array."""
    if isinstance(array, list):
        return (tuple(array),)
    if isinstance(array, np.ndarray):
        return (array.shape, array.dtype.str, zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data))
    tensor = array.detach()
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    plain = tensor.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
    return (tuple(array.shape), array.dtype, zlib.crc32(plain.numpy()))
