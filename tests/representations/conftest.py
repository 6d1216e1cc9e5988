"""Small representations of every layout, with a model that can continue from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from simbench.representations.representation import Head, Layout, Representation

SHAPES: dict[str, tuple[Layout, tuple[int, ...]]] = {
    "vector": ("vector", (5,)),
    "sequence": ("channels_first", (5, 8)),
    "image": ("channels_first", (5, 4, 6)),
    "tokens": ("tokens", (7, 5)),
    "channels last": ("tokens", (4, 6, 5)),
}
FEATURES = 5
LABELS = 3


@dataclass(frozen=True)
class Rest:
    """What comes after the layer: a nonlinear map of the features at each position, the mean, a linear map."""

    axis: int
    weight: Tensor
    bias: Tensor

    def continue_from(self, layer: str, activations: Tensor, inputs: Tensor | None = None) -> Tensor:
        features = activations.movedim(self.axis, -1)
        mixed = torch.tanh(features) if features.ndim > 2 else features
        pooled = mixed.flatten(1, -2).mean(dim=1) if features.ndim > 2 else mixed
        return pooled @ self.weight.T.to(pooled) + self.bias.to(pooled)

    def head(self) -> Head | None:
        return Head(self.weight, self.bias)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def make() -> Callable[..., Representation]:
    """A representation by the name of its shape, with a model, targets and fitting inputs."""

    def build(shape: str, inputs: int = 12, dtype: torch.dtype = torch.float64) -> Representation:
        layout, rest = SHAPES[shape]
        axis = len(rest) if layout == "tokens" else 1
        model = Rest(axis, normal(1, LABELS, FEATURES), normal(2, LABELS))
        sides = [
            Representation(
                (normal(seed, count, *rest) + 0.5).to(dtype),
                layout,
                "layer",
                model,
                targets=torch.arange(count) % LABELS,
                classes=LABELS,
                at_head=shape == "vector",
            )
            for seed, count in ((3, inputs), (4, 2 * inputs))
        ]
        return replace(sides[0], fit=sides[1])

    return build
