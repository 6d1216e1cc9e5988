"""What two models put out for the same inputs: log-probabilities over labels in common, and predicted labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")


def log_probabilities(a: Representation, b: Representation) -> tuple[Tensor, Tensor]:
    """ℓ = log p and ℓ′ = log p′, each (inputs, labels), float64; `NotApplicable` for different numbers of labels."""
    first, second = a.log_probabilities, b.log_probabilities
    if first.shape[1] != second.shape[1]:
        raise NotApplicable(f"{first.shape[1]} labels against {second.shape[1]}")
    return first, second


def predictions(representation: Representation) -> Tensor:
    """The most probable label of each input, (inputs,), the first on ties; `ValueError` for logits that are not finite.

    An arg max would turn NaN into a label.
    """
    ell = representation.log_probabilities
    if not bool(torch.isfinite(ell).all()):
        raise ValueError(f"non-finite logits from {representation.layer or 'the representation'} on")
    return ell.argmax(dim=1)
