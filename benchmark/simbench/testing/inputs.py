"""Seeded pairs of representations that strain a metric: low rank, wide, duplicated and dead units, single precision.

Both sides of a pair see the same latent variables, so that their similarity is neither perfect nor absent, and carry a
linear softmax model, fitting inputs and targets: whatever a metric may need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor

    from simbench.representations.representation import Head, Representation
else:
    torch = lazy_import("torch")

LATENT = 5
LABELS = 12
FIT_ROWS = 240
TOKENS = 8


@dataclass(frozen=True)
class LinearReadout:
    """A model whose only known layer is the embedding: logits = activations @ unembedding.T + bias.

    Shapes: unembedding (labels, features), bias (labels,).
    """

    unembedding: Tensor
    bias: Tensor

    def continue_from(self, layer: str, activations: Tensor, inputs: Tensor | None = None) -> Tensor:
        """The logits, (rows, labels)."""
        return activations @ self.unembedding.to(activations).T + self.bias.to(activations)

    def head(self) -> Head:
        """The read-out itself."""
        from simbench.representations.representation import Head

        return Head(self.unembedding, self.bias)


@dataclass(frozen=True)
class Case:
    """A pair of representations of the same inputs, and the name of what is special about it."""

    name: str
    a: Representation
    b: Representation


def cases(seed: int, *, sequences: bool = False) -> list[Case]:
    """The pairs on which a metric is measured; the first one is the ordinary one. With `sequences`, rows are tokens."""
    made = [
        _case("random", seed),
        _case("low rank", seed, noise=0.0),
        _case("wide", seed, rows=24, widths=(32, 40)),
        _case("duplicated units", seed, change=lambda x: torch.cat([x, x[:, :2]], dim=1)),
        _case("dead units", seed, change=_with_dead_units),
        _case("float32", seed, dtype=torch.float32),
    ]
    return [replace(case, a=_in_sequences(case.a), b=_in_sequences(case.b)) for case in made] if sequences else made


def common_shift(representation: Representation, seed: int) -> Representation:
    """The same model with one random vector added to all unembeddings: the same distribution, other logits."""
    head = representation.model.head() if representation.model is not None else None
    if head is None:
        return representation
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randn(head.unembedding.shape[1], generator=generator, dtype=torch.float64)
    return replace(representation, model=LinearReadout(head.unembedding + shift.to(head.unembedding), head.bias))


def _case(
    name: str,
    seed: int,
    *,
    rows: int = 80,
    widths: tuple[int, int] = (6, 8),
    noise: float = 0.3,
    dtype: torch.dtype | None = None,
    change: Callable[[Tensor], Tensor] = lambda x: x,
) -> Case:
    generator = torch.Generator().manual_seed(seed_for(purpose="conformance", case=name, seed=seed))
    latents = _normal(generator, rows + FIT_ROWS, LATENT)
    labelling = 3 * _normal(generator, LABELS, LATENT)
    targets = (latents @ labelling.T).argmax(dim=1)
    sides = []
    for width in widths:
        mixing = _normal(generator, LATENT, width)
        offset = _normal(generator, width)
        activations = change(latents @ mixing + noise * _normal(generator, rows + FIT_ROWS, width) + offset)
        activations = activations.to(dtype or torch.float64)
        model = _readout(activations, latents, labelling + _normal(generator, LABELS, LATENT) / 2)
        sides.append(_representation(activations, targets, model, rows))
    return Case(name, *sides)


def _representation(activations: Tensor, targets: Tensor, model: LinearReadout, rows: int) -> Representation:
    """The first `rows` rows as the probe, the others as its fitting inputs."""
    from simbench.representations.representation import Representation

    whole = Representation(activations, layer="embedding", model=model, targets=targets, classes=LABELS, at_head=True)
    fit = replace(whole, activations=activations[rows:], targets=targets[rows:])
    return replace(whole, activations=activations[:rows], targets=targets[:rows], fit=fit)


def _in_sequences(representation: Representation) -> Representation:
    """Every eight rows as the tokens of one input, and nothing else of what it had."""
    from simbench.representations.representation import Representation

    tokens = representation.activations.reshape(-1, TOKENS, representation.features)
    return Representation(tokens, "tokens", layer=representation.layer)


def _readout(activations: Tensor, latents: Tensor, labelling: Tensor) -> LinearReadout:
    """The read-out that predicts `latents @ labelling.T` from the activations with the least squared error."""
    mean = activations.double().mean(dim=0)
    inverse: Tensor = torch.linalg.pinv(activations.double() - mean, rtol=1e-6)
    unembedding = (inverse @ (latents @ labelling.T)).T
    return LinearReadout(unembedding, -unembedding @ mean)


def _with_dead_units(x: Tensor) -> Tensor:
    """The first unit stuck at 0.7, and one more stuck at 0."""
    unit = x[:, :1]
    return torch.cat([torch.full_like(unit, 0.7), x[:, 1:], torch.zeros_like(unit)], dim=1)


def _normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)
