"""Items: inputs that are no array, such as image files and texts; each network turns them into a tensor of its own.

A probe's items are shared by all models. What becomes of them (size, crop, normalisation, tokens) is the model's
`preprocess`, applied batch by batch; without one, items that have a `tensor()` are read as that says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simbench.errors import SimbenchError

if TYPE_CHECKING:
    from torch import Tensor


class Items(Protocol):
    """Inputs that are read when they are asked for; part of them are again items."""

    def __len__(self) -> int:
        """Return the number of inputs."""
        ...

    def __getitem__(self, index: slice | NDArray[np.intp], /) -> Items:
        """Return some of the inputs, in this order."""
        ...


# From items of whatever kind the model knows.
Preprocess: TypeAlias = "Callable[[Any], Tensor]"


def are_texts(inputs: Any) -> bool:
    """Tell whether inputs are texts, of which each network makes token ids of its own."""
    return bool(getattr(inputs, "are_texts", False))


def shape_of(inputs: Any) -> tuple[int, ...]:
    """Return the shape of one input, of an array or as items say it; empty where they say none."""
    if isinstance(inputs, np.ndarray):
        return tuple(inputs.shape[1:])
    return tuple(getattr(inputs, "input_shape", ()))


def tensor_of(items: Items, preprocess: Preprocess | None, reader: str) -> Tensor:
    """Return items as the tensor that a network reads, `(n, …)`.

    Args:
        items: a batch of them.
        preprocess: the network's own preprocessing; without it, the items' `tensor()`.
        reader: who reads them, for messages.

    Raises:
        SimbenchError: neither is there, or an item cannot be read.
    """
    if preprocess is not None:
        return preprocess(items)
    own: Callable[[], Tensor] | None = getattr(items, "tensor", None)
    if own is None:
        raise SimbenchError(f"{reader} has no preprocessing that turns {type(items).__name__} into numbers")
    return own()
