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


def hold_texts(inputs: Any) -> bool:
    """Tell whether inputs are texts, or have a part that is."""
    return are_texts(inputs) or any(are_texts(part) for part in getattr(inputs, "parts", {}).values())


def part_for(inputs: Any, network: object, preprocess: Preprocess | None) -> Any:
    """Return the part of inputs that a network reads, where they have several, as images with captions do.

    The preprocessing of a network says by its attribute `reads` which part that is (`images`, `texts`). A network
    without one reads the part that is numbers without it.

    Raises:
        SimbenchError: the network reads none of them.
    """
    parts: dict[str, Items] | None = getattr(inputs, "parts", None)
    if parts is None:
        return inputs
    reader = type(network).__name__
    if preprocess is None:
        if getattr(network, "vocabulary", None) is not None:
            raise SimbenchError(
                f"{reader} reads token ids and has no tokenizer: it reads neither {' nor '.join(parts)}"
            )
        return next((part for part in parts.values() if hasattr(part, "tensor")), inputs)
    reads = getattr(preprocess, "reads", None)
    if reads not in parts:
        says = "does not say what it reads" if reads is None else f"reads {reads}"
        raise SimbenchError(
            f"the preprocessing of {reader} {says}: give it the attribute `reads`, which is "
            f"{' or '.join(repr(name) for name in parts)} here"
        )
    return parts[reads]


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
