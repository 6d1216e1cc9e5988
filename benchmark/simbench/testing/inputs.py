"""Seeded pairs of representations that are hard for metrics: low rank, wide, duplicated and dead units, float32.

Both sides of a pair depend on the same latent variables, so that they are neither equal nor unrelated (but those of
`unrelated` are independent), and have a linear softmax model, fitting inputs and targets: all that a metric may need.
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
    """Model whose only known layer is the embedding: logits = activations @ unembedding.T + bias.

    Shapes: unembedding (labels, features), bias (labels,).
    """

    unembedding: Tensor
    bias: Tensor

    def continue_from(self, layer: str, activations: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Return the logits, (rows, labels)."""
        return activations @ self.unembedding.to(activations).T + self.bias.to(activations)

    def head(self) -> Head:
        """Return the read-out itself."""
        from simbench.representations.representation import Head

        return Head(self.unembedding, self.bias)


@dataclass(frozen=True)
class Case:
    """Pair of representations of the same inputs, named by its special property."""

    name: str
    a: Representation
    b: Representation


def cases(seed: int, *, sequences: bool = False) -> list[Case]:
    """Return the pairs on which a metric is measured, an ordinary one first; with `sequences`, rows are tokens."""
    made = [
        _case("random", seed),
        _case("low rank", seed, noise=0.0),
        _case("wide", seed, rows=24, widths=(32, 40)),
        _case("duplicated units", seed, change=lambda x: torch.cat([x, x[:, :2]], dim=1)),
        _case("dead units", seed, change=_with_dead_units),
        _case("shared units", seed, shared=1),
        _case("float32", seed, dtype=torch.float32),
    ]
    return [in_sequences(case) for case in made] if sequences else made


def unrelated(seed: int, *, rows: int = 100, width: int = 20) -> Case:
    """Draw two independent standard normal matrices; the model of the second one predicts the common targets."""
    generator = torch.Generator().manual_seed(seed_for(purpose="unrelated", rows=rows, width=width, seed=seed))
    labels = max(LABELS, width + 4)  # more labels than dimensions, so that label sets determine embeddings
    sides = [_normal(generator, rows + FIT_ROWS, width) for _ in range(2)]
    models = [LinearReadout(_normal(generator, labels, width), _normal(generator, labels)) for _ in range(2)]
    targets = models[1].continue_from("", sides[1]).argmax(dim=1)
    a, b = (represented(side, model, targets, rows) for side, model in zip(sides, models, strict=True))
    return Case("unrelated", a, b)


def in_sequences(case: Case) -> Case:
    """Turn every eight rows into the tokens of one input; drop models, targets and fitting inputs."""
    return replace(case, a=_sequence(case.a), b=_sequence(case.b))


def common_shift(representation: Representation, seed: int) -> Representation:
    """Add one random vector to all unembeddings of the model, which changes logits but not the distribution."""
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
    shared: int = 0,
    change: Callable[[Tensor], Tensor] = lambda x: x,
) -> Case:
    generator = torch.Generator().manual_seed(seed_for(purpose="conformance", case=name, seed=seed))
    latents = _normal(generator, rows + FIT_ROWS, LATENT)
    labelling = 3 * _normal(generator, LABELS, LATENT)
    targets = (latents @ labelling.T).argmax(dim=1)
    sides: list[Representation] = []
    common = latents[:, :0]
    for width in widths:
        mixing = _normal(generator, LATENT, width)
        offset = _normal(generator, width)
        own = latents @ mixing + noise * _normal(generator, rows + FIT_ROWS, width) + offset
        activations = change(torch.cat([common, own], dim=1)).to(dtype or torch.float64)
        common = 2 * own[:, :shared]  # units of this side that the next one shares
        model = _readout(activations, latents, labelling + _normal(generator, LABELS, LATENT) / 2)
        sides.append(represented(activations, model, targets, rows))
    return Case(name, *sides)


def represented(activations: Tensor, model: LinearReadout, targets: Tensor, rows: int) -> Representation:
    """Build a representation with the first `rows` rows as the probe and the others as its fitting inputs."""
    from simbench.representations.representation import Representation

    whole = Representation(
        activations, layer="embedding", model=model, targets=targets, classes=len(model.bias), at_head=True
    )
    fit = replace(whole, activations=activations[rows:], targets=targets[rows:])
    return replace(whole, activations=activations[:rows], targets=targets[:rows], fit=fit)


def _sequence(representation: Representation) -> Representation:
    from simbench.representations.representation import Representation

    whole = len(representation.activations) // TOKENS * TOKENS
    tokens = representation.activations[:whole].reshape(-1, TOKENS, representation.features)
    return Representation(tokens, "tokens", layer=representation.layer)


def _readout(activations: Tensor, latents: Tensor, labelling: Tensor) -> LinearReadout:
    """Fit the read-out that predicts `latents @ labelling.T` from the activations with the least squared error."""
    mean = activations.double().mean(dim=0)
    inverse: Tensor = torch.linalg.pinv(activations.double() - mean, rtol=1e-6)
    unembedding = (inverse @ (latents @ labelling.T)).T
    return LinearReadout(unembedding, -unembedding @ mean)


def _with_dead_units(x: Tensor) -> Tensor:
    """Set the first unit to 0.7 everywhere, and append one that is 0 everywhere."""
    unit = x[:, :1]
    return torch.cat([torch.full_like(unit, 0.7), x[:, 1:], torch.zeros_like(unit)], dim=1)


def _normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)
