"""Generators of synthetic models: how one is registered, and what it returns.

A generator is a function of keyword parameters and a seed. Two models of one seed are read on the same inputs in the
same order. Importing this module, or one that registers a generator, imports no torch: plans need the names alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from simbench.errors import UnknownNameError
from simbench.lazy import lazy_import
from simbench.origins import origin_of
from simbench.registry import GENERATORS, Registered

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Head
else:
    torch = lazy_import("torch")

EMBEDDING = "embedding"
# Version of every built-in generator, which is part of its models' keys: raise it when one of them gives other numbers.
GENERATOR_VERSION = 1


class UnembeddingModel:
    """A model that is nothing but a linear head: logits = embedding · unembeddingᵀ."""

    embedding_layer = EMBEDDING

    def __init__(self, unembedding: Tensor) -> None:
        """Keep the unembedding, `(labels, features)`."""
        self.unembedding = unembedding

    def layers(self) -> list[str]:
        """List the only layer, the embedding."""
        return [EMBEDDING]

    def continue_from(self, layer: str, activations: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Compute logits `(n, labels)`; raise `UnknownNameError` for any other layer."""
        if layer != EMBEDDING:
            raise UnknownNameError("layer", layer, [EMBEDDING])
        return activations @ self.unembedding.T.to(activations)

    def head(self) -> Head:
        """Return the unembedding, and a bias of zeros."""
        from simbench.representations.representation import Head

        return Head(self.unembedding, self.unembedding.new_zeros(len(self.unembedding)))


@dataclass(frozen=True)
class Synthetic:
    """A model and its embeddings `(inputs, features)`, float64, for two draws of noise; targets are `(inputs,)`.

    There may be no model: then no output can be computed from the data.
    """

    model: UnembeddingModel | None
    probe: Tensor
    probe_targets: Tensor
    fit: Tensor
    fit_targets: Tensor

    @classmethod
    def without_model(cls, probe: Tensor, fit: Tensor) -> Synthetic:
        """Hold data that no model reads; all targets are 0."""
        targets = [torch.zeros(len(side), dtype=torch.long) for side in (probe, fit)]
        return cls(None, probe, targets[0], fit, targets[1])


@dataclass(frozen=True)
class ModelGenerator(Registered):
    """A registered generator.

    Attributes:
        pair: the boolean parameter that chooses one of two models whose outputs agree and whose representations do
            not; None for generators that make no such pair.
    """

    pair: str | None

    def __call__(self, *, seed: int, **parameters: Any) -> Synthetic:
        """Make the model of these parameters and this seed."""
        made: Synthetic = self.function(seed=seed, **parameters)
        return made


F = TypeVar("F", bound="Callable[..., Synthetic]")


def generator(name: str, *, version: int | None = None, pair: str | None = None) -> Callable[[F], F]:
    """Register a function `(*, seed, parameters) -> Synthetic` as a generator; return it unchanged.

    Args:
        name: the name that test kinds use.
        version: raise it when the numbers change; without one, the hash of its code stands for it.
        pair: the boolean parameter that chooses one of two models, if there are two whose outputs agree and whose
            representations do not: such a generator can be named in a test of kind `distribution_sensitivity`.

    >>> import simbench, torch
    >>> @simbench.generator("clouds", version=1)
    ... def clouds(*, seed: int, features: int = 4):
    ...     draw = torch.Generator().manual_seed(seed)
    ...     sides = [torch.randn(50, features, generator=draw, dtype=torch.float64) for _ in range(2)]
    ...     return Synthetic.without_model(*sides)
    >>> GENERATORS.get("clouds").checked({"seed": 0})
    {'seed': 0, 'features': 4}
    """

    def decorate(function: F) -> F:
        registered = ModelGenerator(name, function, version, origin_of(function), pair)
        GENERATORS.register(name, registered, registered.origin)
        return function

    return decorate
