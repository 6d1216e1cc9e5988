"""A transform of somebody else's."""

from __future__ import annotations

from simbench.lazy import lazy_import
from simbench.representations.transforms import mapped, transform

torch = lazy_import("torch")


@transform("good_plugin/doubling", version=1, function_preserving=True)
def doubling(representation, random, *, factor: float = 2.0):
    """Multiply everything by two."""
    return mapped(representation, factor * torch.eye(representation.features, dtype=torch.float64))
