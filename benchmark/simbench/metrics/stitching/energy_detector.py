"""Energy detector of activations that differ from those of a layer.

A classifier of the layer's activations is trained by cross entropy, then fine-tuned so that the energy
E(z) = −log Σ exp logits(z) is low for native activations and high for outliers:

    CE + 0.1 · [mean relu(E(native) + 25)² + mean relu(−7 − E(outlier))²].

Liu, Wang, Owens & Li (2020), Energy-based Out-of-distribution Detection; margins after Balogh & Jelasity (2025), arXiv
2412.11299. *Ours*: the classifier reads every position by itself before it averages over a few cells, and the outliers
are made of the native activations themselves, so that a detector needs no other data: see `make_outliers`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.stitching.trained_maps import uniform_linear
from simbench.representations.padding import real_rows
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

NATIVE_ENERGY, OUTLIER_ENERGY, HINGE_WEIGHT = -25.0, -7.0, 0.1
HIDDEN = 64
# The most cells per axis: the positions of a cell are averaged after the first layer.
CELLS = 4
# Steps of cross entropy alone, and as many of fine-tuning.
STEPS = 200
BATCH_SIZE = 128
LEARNING_RATE = 1e-2
# A unit whose standard deviation is below this share of the largest is measured in that share of the largest.
DEAD = 1e-3
SCORING_BATCH = 500

# (weight, bias) of the three layers: of each position, of all cells together, of the logits.
Layers = list[tuple["Tensor", "Tensor"]]


@dataclass(frozen=True)
class Standardisation:
    """Map of a layer's activations, unit by unit, to mean 0 and variance 1 over inputs and positions."""

    feature_axis: int
    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, native: Representation) -> Standardisation:
        """Take the moments of these activations."""
        rows = real_rows(native).double()
        scale = rows.std(dim=0)
        return cls(native.feature_axis, rows.mean(dim=0), scale.clamp_min(DEAD * scale.max()))

    def __call__(self, activations: Tensor) -> Tensor:
        """Return standardised activations `(n, *positions, features)`, float32."""
        return ((activations.movedim(self.feature_axis, -1) - self.mean) / self.scale).float()


@dataclass(frozen=True)
class EnergyDetector:
    """Classifier of one layer's activations whose energy is low for the layer's own."""

    standardise: Standardisation
    layers: Layers

    def energies(self, activations: Tensor) -> Tensor:
        """Return the energies, `(n,)`, of activations in the layer's own shape."""
        with torch.no_grad():
            batches = torch.split(activations, SCORING_BATCH)
            return torch.cat([energies(_logits(self.standardise(batch), self.layers)) for batch in batches])


def train_detector(native: Representation) -> EnergyDetector:
    """Train on a layer's activations and labels; seeded, so that the same activations give the same detector."""
    assert native.targets is not None
    activations, targets, standardise = native.activations, native.targets, Standardisation.of(native)
    classes = native.classes or int(targets.max()) + 1
    generator = torch.Generator().manual_seed(seed_for(purpose="energy detector", rows=len(targets)))
    layers = _initial_layers(standardise(activations[:1]), classes, generator)
    optimizer = torch.optim.Adam([side for layer in layers for side in layer], lr=LEARNING_RATE)
    for step, batch in enumerate(islice(_batches(len(targets), generator), 2 * STEPS)):
        batch = batch.to(targets.device)
        own = standardise(activations[batch])
        if step < STEPS:
            loss = torch.nn.functional.cross_entropy(_logits(own, layers), targets[batch])
        else:
            logits = _logits(torch.cat([own, make_outliers(own, generator)]), layers)
            hinges = HINGE_WEIGHT * _hinges(energies(logits), len(batch))
            loss = torch.nn.functional.cross_entropy(logits[: len(batch)], targets[batch]) + hinges
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return EnergyDetector(standardise, [(weight.detach(), bias.detach()) for weight, bias in layers])


def _batches(rows: int, generator: Generator) -> Iterator[Tensor]:
    """Yield random batches of all rows, over and over."""
    while True:
        yield from torch.split(torch.randperm(rows, generator=generator), BATCH_SIZE)


def energies(logits: Tensor) -> Tensor:
    """Return E = −log Σ exp of the logits `(n, labels)`: `(n,)`."""
    return -torch.logsumexp(logits, dim=1)


def make_outliers(native: Tensor, generator: Generator) -> Tensor:
    """Make as many outliers as there are standardised native activations `(n, *positions, features)`.

    In the first half each feature is shuffled between inputs by itself: single features stay as native as they can be,
    their combinations do not. The second half is mapped at random, as by a stitch that has learned nothing: by one
    Gaussian matrix and bias, and each input by a factor of its own between 1/2 and 4, because a large activation,
    however foreign, makes a classifier confident.
    """
    half = (len(native) + 1) // 2
    return torch.cat([_shuffle(native[:half], generator), _map_randomly(native[half:], generator)])


def far_noise(native: Tensor, feature_axis: int) -> Tensor:
    """Draw independent Gaussian noise in the shape of `native`, with each feature's mean and thrice its deviation."""
    generator = torch.Generator().manual_seed(seed_for(purpose="energy detector sanity", rows=len(native)))
    features = native.movedim(feature_axis, -1)
    rows = features.flatten(0, -2)
    noise = torch.randn(features.shape, generator=generator).to(native)
    return (rows.mean(dim=0) + 3 * rows.std(dim=0) * noise).movedim(-1, feature_axis)


def _shuffle(native: Tensor, generator: Generator) -> Tensor:
    """Give each feature, with all its positions, to another input."""
    features = native.shape[-1]
    order = torch.rand(len(native), features, generator=generator).argsort(dim=0).to(native.device)
    moved = native.movedim(-1, 1)[order, torch.arange(features, device=native.device)]
    return moved.movedim(1, -1)


def _map_randomly(native: Tensor, generator: Generator) -> Tensor:
    """Return factor · (G z + b), with factors log-uniform in [1/2, 4]."""
    features = native.shape[-1]
    matrix = torch.randn(features, features, generator=generator) / math.sqrt(features)
    bias = torch.randn(features, generator=generator) * torch.rand((), generator=generator)
    factors = 2 ** (3 * torch.rand(len(native), generator=generator) - 1)
    factors = factors.to(native).reshape(-1, *[1] * (native.ndim - 1))
    return factors * (native @ matrix.to(native).T + bias.to(native))


def _initial_layers(example: Tensor, classes: int, generator: Generator) -> Layers:
    """Initialise layers for activations like the standardised `example`, `(n, *positions, features)`."""
    cells = math.prod(_cells(example))
    widths = ((example.shape[-1], HIDDEN), (HIDDEN * cells, HIDDEN), (HIDDEN, classes))
    initial = (uniform_linear(*width, generator) for width in widths)
    return [(weight.to(example).requires_grad_(), bias.to(example).requires_grad_()) for weight, bias in initial]


def _logits(standardised: Tensor, layers: Layers) -> Tensor:
    """Return the logits `(n, classes)` of activations `(n, *positions, features)`."""
    linear = torch.nn.functional.linear
    hidden = linear(standardised, *layers[0]).relu().movedim(-1, 1)
    cells = _cells(standardised)
    if len(cells) == 1:
        hidden = torch.nn.functional.adaptive_avg_pool1d(hidden, cells)
    elif len(cells) == 2:
        hidden = torch.nn.functional.adaptive_avg_pool2d(hidden, cells)
    return linear(linear(hidden.flatten(1), *layers[1]).relu(), *layers[2])


def _cells(standardised: Tensor) -> tuple[int, ...]:
    """Return the number of cells along each axis of positions."""
    return tuple(min(CELLS, size) for size in standardised.shape[1:-1])


def _hinges(energy: Tensor, native: int) -> Tensor:
    """Return the penalty of energies `(n,)`, the first `native` of which are native."""
    low = (energy[:native] - NATIVE_ENERGY).relu().square().mean()
    return low + (OUTLIER_ENERGY - energy[native:]).relu().square().mean()
