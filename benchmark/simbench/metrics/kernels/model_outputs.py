"""Outputs of models: log-probabilities over the labels that two models have in common, and predicted labels."""

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
    """Return ℓ = log p and ℓ′ = log p′, (inputs, labels), float64; `NotApplicable` for different numbers of labels."""
    first, second = a.log_probabilities, b.log_probabilities
    if first.shape[1] != second.shape[1]:
        raise NotApplicable(f"{first.shape[1]} labels against {second.shape[1]}")
    return first, second


def predictions(representation: Representation) -> Tensor:
    """Return the most probable label of each input, (inputs,), the first on ties.

    Raises `ValueError` for logits that are not finite: an arg max would turn NaN into a label.
    """
    ell = representation.log_probabilities
    if not bool(torch.isfinite(ell).all()):
        raise ValueError(f"non-finite logits from {representation.layer or 'the representation'} on")
    return ell.argmax(dim=1)
