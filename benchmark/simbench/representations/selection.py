"""Selection of some of the inputs of a representation, a tensor or items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simbench.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


def taken(inputs: Any, chosen: Tensor) -> Any:
    """Return some of the inputs, a tensor or items, in the order of these indices.

    >>> taken(torch.arange(5), torch.tensor([3, 0]))
    tensor([3, 0])
    """
    return inputs[chosen.to(inputs.device)] if isinstance(inputs, torch.Tensor) else inputs[chosen.cpu().numpy()]


def largest_magnitude(inputs: Any) -> float | None:
    """Return the largest magnitude of inputs that are a tensor of floating-point numbers; None of any others."""
    if isinstance(inputs, torch.Tensor) and inputs.is_floating_point() and inputs.numel():
        return float(inputs.abs().max())
    return None
