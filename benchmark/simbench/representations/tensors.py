"""Arrays as tensors of plain numbers: dense, not quantised, in a dtype that metrics compute in.

What cannot be read without changing what it says is refused by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

# Bits of the narrowest floating-point numbers that networks compute in, and whose rounding is told from their rank;
# narrower ones carry a digit or two, and weights are stored so, quantised.
NARROWEST = 16
# From here on, float64 no longer holds every whole number.
LARGEST_WHOLE = 2.0**53


def as_tensor(array: Any) -> Tensor:
    """Convert anything that NumPy or torch accepts as an array, in its own dtype where metrics compute in it.

    Arrays that are reversed, of a foreign endianness or read-only are copied, sparse ones are filled and quantised ones
    are read as the numbers that they stand for.

    Raises:
        TypeError: it is no array of numbers.
        ValueError: it is one, but some values are masked or missing, or its dtype is too narrow.

    >>> as_tensor(np.arange(3)[::-1])
    tensor([2, 1, 0])
    """
    if isinstance(array, Tensor):
        return dense(array.detach())
    if np.ma.is_masked(array):
        raise ValueError("some values are masked; leave out their rows or features, or fill them")
    native = np.asarray(array)
    native = np.asarray(native, dtype=native.dtype.newbyteorder("="), order="C")
    try:
        return dense(torch.as_tensor(native if native.flags.writeable else native.copy()))
    except TypeError:
        raise TypeError(f"an array of numbers is needed, not of {native.dtype}") from None


def dense(tensor: Tensor) -> Tensor:
    """Return a tensor with its numbers in memory one by one; raise `ValueError` that says why there are none."""
    if tensor.is_nested:
        raise ValueError("inputs have different shapes (a nested tensor)")
    if tensor.is_meta:
        raise ValueError("there are no numbers in it (a tensor on the device meta)")
    if tensor.is_floating_point() and torch.finfo(tensor.dtype).bits < NARROWEST:
        raise ValueError(
            f"numbers of type {_name(tensor.dtype)} carry a digit or two, so that rounding would count as variation; "
            "convert them, such as by .float(), to take them as exact"
        )
    if tensor.is_quantized:
        return tensor.dequantize()
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def as_floating(tensor: Tensor) -> Tensor:
    """Return integers and truth values as float64, and all else as it is.

    Raises:
        ValueError: an integer is so large that float64 would round it.
    """
    if tensor.is_floating_point() or tensor.is_complex():
        return tensor
    converted = tensor.double()
    if converted.numel() and float(converted.abs().max()) >= LARGEST_WHOLE:
        raise ValueError(
            f"integers as large as {float(converted.abs().max()):.1e} are beyond {LARGEST_WHOLE:.0f}, up to which "
            "float64 holds them exactly; subtract an offset, or give them as floating-point numbers"
        )
    return converted


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
