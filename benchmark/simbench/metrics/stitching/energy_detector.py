"""An energy detector: does an activation look like those that a layer itself puts out?

A classifier of the layer's activations is trained by cross entropy, then fine-tuned so that the energy
E(z) = −log Σ exp logits(z) is low for native activations and high for outliers:

    CE + 0.1 · [mean relu(E(native) + 25)² + mean relu(−7 − E(outlier))²].

Liu, Wang, Owens & Li (2020), Energy-based Out-of-distribution Detection; margins after Balogh & Jelasity (2025), arXiv
2412.11299. *Ours*: the classifier reads every position by itself before it averages over a few cells, and the outliers
are made of the native activations themselves, so that a detector needs no other data: see `outliers_of`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.stitching.trained_maps import uniform_linear
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

NATIVE_ENERGY, OUTLIER_ENERGY, HINGE_WEIGHT = -25.0, -7.0, 0.1
HIDDEN = 64
CELLS = 4
"""Per axis: the positions of a cell are averaged after the first layer."""
STEPS = 200
"""Of cross entropy alone, and as many of fine-tuning."""
BATCH_SIZE = 128
LEARNING_RATE = 1e-2
DEAD = 1e-3
"""A unit whose standard deviation is below this share of the largest is measured in that share of the largest."""
SCORING_BATCH = 500

Layers = list[tuple["Tensor", "Tensor"]]
"""(weight, bias) of the three layers: of each position, of all cells together, of the logits."""


@dataclass(frozen=True)
class Standardisation:
    """Of a layer's activations: unit by unit, to mean 0 and variance 1 over inputs and positions."""

    feature_axis: int
    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, native: Representation) -> Standardisation:
        """With the moments of these activations."""
        rows = native.activations.movedim(native.feature_axis, -1).flatten(0, -2).double()
        scale = rows.std(dim=0)
        return cls(native.feature_axis, rows.mean(dim=0), scale.clamp_min(DEAD * scale.max()))

    def __call__(self, activations: Tensor) -> Tensor:
        """`(n, *positions, features)`, float32."""
        return ((activations.movedim(self.feature_axis, -1) - self.mean) / self.scale).float()


@dataclass(frozen=True)
class EnergyDetector:
    """A classifier of one layer's activations whose energy is low for the layer's own."""

    standardised: Standardisation
    layers: Layers

    def energies(self, activations: Tensor) -> Tensor:
        """`(n,)`, of activations in the layer's own shape."""
        with torch.no_grad():
            batches = torch.split(activations, SCORING_BATCH)
            return torch.cat([energies(_logits(self.standardised(batch), self.layers)) for batch in batches])


def trained_detector(native: Representation) -> EnergyDetector:
    """Trained on a layer's activations and labels; seeded, so that the same activations give the same detector."""
    assert native.targets is not None
    activations, targets, standardised = native.activations, native.targets, Standardisation.of(native)
    classes = native.classes or int(targets.max()) + 1
    generator = torch.Generator().manual_seed(seed_for(purpose="energy detector", rows=len(targets)))
    layers = _initial_layers(standardised(activations[:1]), classes, generator)
    optimizer = torch.optim.Adam([side for layer in layers for side in layer], lr=LEARNING_RATE)
    for step, batch in enumerate(islice(_batches(len(targets), generator), 2 * STEPS)):
        batch = batch.to(targets.device)
        own = standardised(activations[batch])
        if step < STEPS:
            loss = torch.nn.functional.cross_entropy(_logits(own, layers), targets[batch])
        else:
            logits = _logits(torch.cat([own, outliers_of(own, generator)]), layers)
            hinges = HINGE_WEIGHT * _hinges(energies(logits), len(batch))
            loss = torch.nn.functional.cross_entropy(logits[: len(batch)], targets[batch]) + hinges
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return EnergyDetector(standardised, [(weight.detach(), bias.detach()) for weight, bias in layers])


def _batches(rows: int, generator: Generator) -> Iterator[Tensor]:
    """Random batches of all rows, over and over."""
    while True:
        yield from torch.split(torch.randperm(rows, generator=generator), BATCH_SIZE)


def energies(logits: Tensor) -> Tensor:
    """E = −log Σ exp of the logits `(n, labels)`: `(n,)`."""
    return -torch.logsumexp(logits, dim=1)


def outliers_of(native: Tensor, generator: Generator) -> Tensor:
    """As many outliers as there are standardised native activations `(n, *positions, features)`.

    Of the first half the features are shuffled between inputs, each by itself: as native one by one as they can be, but
    not together. The second half is mapped at random, as a stitch that has learned nothing would: by one Gaussian
    matrix and bias, and each input by a factor of its own between 1/2 and 4, because a large activation, however
    foreign, makes a classifier confident.
    """
    half = (len(native) + 1) // 2
    return torch.cat([_shuffled(native[:half], generator), _randomly_mapped(native[half:], generator)])


def far_noise(native: Tensor, feature_axis: int) -> Tensor:
    """Independent Gaussian noise in the shape of `native`, around the mean of each feature, thrice as wide as it."""
    generator = torch.Generator().manual_seed(seed_for(purpose="energy detector sanity", rows=len(native)))
    features = native.movedim(feature_axis, -1)
    rows = features.flatten(0, -2)
    noise = torch.randn(features.shape, generator=generator).to(native)
    return (rows.mean(dim=0) + 3 * rows.std(dim=0) * noise).movedim(-1, feature_axis)


def _shuffled(native: Tensor, generator: Generator) -> Tensor:
    """Each feature goes, with all its positions, to another input."""
    features = native.shape[-1]
    order = torch.rand(len(native), features, generator=generator).argsort(dim=0).to(native.device)
    moved = native.movedim(-1, 1)[order, torch.arange(features, device=native.device)]
    return moved.movedim(1, -1)


def _randomly_mapped(native: Tensor, generator: Generator) -> Tensor:
    """factor · (G z + b), with factors log-uniform in [1/2, 4]."""
    features = native.shape[-1]
    matrix = torch.randn(features, features, generator=generator) / math.sqrt(features)
    bias = torch.randn(features, generator=generator) * torch.rand((), generator=generator)
    factors = 2 ** (3 * torch.rand(len(native), generator=generator) - 1)
    factors = factors.to(native).reshape(-1, *[1] * (native.ndim - 1))
    return factors * (native @ matrix.to(native).T + bias.to(native))


def _initial_layers(example: Tensor, classes: int, generator: Generator) -> Layers:
    """For activations like the standardised `example`, `(n, *positions, features)`."""
    cells = math.prod(_cells(example))
    widths = ((example.shape[-1], HIDDEN), (HIDDEN * cells, HIDDEN), (HIDDEN, classes))
    initial = (uniform_linear(*width, generator) for width in widths)
    return [(weight.to(example).requires_grad_(), bias.to(example).requires_grad_()) for weight, bias in initial]


def _logits(standardised: Tensor, layers: Layers) -> Tensor:
    """`(n, classes)` of `(n, *positions, features)`."""
    linear = torch.nn.functional.linear
    hidden = linear(standardised, *layers[0]).relu().movedim(-1, 1)
    cells = _cells(standardised)
    if len(cells) == 1:
        hidden = torch.nn.functional.adaptive_avg_pool1d(hidden, cells)
    elif len(cells) == 2:
        hidden = torch.nn.functional.adaptive_avg_pool2d(hidden, cells)
    return linear(linear(hidden.flatten(1), *layers[1]).relu(), *layers[2])


def _cells(standardised: Tensor) -> tuple[int, ...]:
    """How many cells there are along each axis of positions."""
    return tuple(min(CELLS, size) for size in standardised.shape[1:-1])


def _hinges(energy: Tensor, native: int) -> Tensor:
    """The penalty of energies `(n,)`, the first `native` of which are native."""
    low = (energy[:native] - NATIVE_ENERGY).relu().square().mean()
    return low + (OUTLIER_ENERGY - energy[native:]).relu().square().mean()
