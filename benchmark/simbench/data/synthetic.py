"""Generated datasets: radial classification, spirals, and characters of known entropy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simbench.bounds import MOST_CLASSES, Classes, Inputs, Width
from simbench.data.dataset import Dataset, Outline, Split, dataset
from simbench.seeds import seed_for

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RADIAL_DEVIATION = 3.0
# Order of the Markov chain: the number of preceding characters that a character depends on.
ORDER = 2


def _of_the_plane(*, train: int, test: int, **_: Any) -> Outline:
    return Outline((2,), train, test)


@dataset("radial", version=1, outline=_of_the_plane)
def radial(
    cache: Path, *, classes: Classes = 4, train: Inputs = 20_000, test: Inputs = 2_000, seed: int = 0
) -> Dataset:
    """Generate the radial task (Nielsen et al. 2025): points of the plane, labelled by the angle of their line.

    x ~ N(0, 9 I₂). The label is the bin of the angle of the line through 0 and x, in [0, π), into `classes` equal bins:
    each class is two opposite wedges.
    """
    return Dataset("radial", _radial_split(classes, train, seed), _radial_split(classes, test, seed + 1), classes)


def _radial_split(classes: int, count: int, seed: int) -> Split:
    points = RADIAL_DEVIATION * np.random.RandomState(seed).standard_normal((count, 2))
    angles = np.arctan2(points[:, 1], points[:, 0]) % np.pi
    # An angle just below 0 is rounded to π, which belongs to the last bin.
    return Split(points.astype(np.float32), np.minimum((angles * classes / np.pi).astype(np.int64), classes - 1))


SPIRAL_RADII = (1.0, 10.0)
# Share of its sector that a spiral arm fills; the rest separates neighbouring labels.
SPIRAL_FILLED = 0.75


@dataset("spirals", version=1, outline=_of_the_plane)
def spirals(
    cache: Path,
    *,
    classes: Annotated[int, Field(ge=2, le=MOST_CLASSES)] = 7,
    arms: Classes = 4,
    train: Inputs = 3_500,
    test: Inputs = 1_750,
    seed: int = 0,
) -> Dataset:
    """Generate the spirals (Nielsen et al. 2026): points of the plane, labelled by their arm; a label has `arms` arms.

    Of T = `classes` · `arms` sectors, sector t has the points of radius r ~ U(1, 10) and angle r π/70 + 2π t/T + s π/T,
    s ~ U(−¾, ¾). Each turn of `classes` sectors holds every label once: label 0 first, the others in a drawn order.
    """
    random = np.random.RandomState(seed_for(purpose="spirals", seed=seed))
    labels = np.concatenate([[0, *(1 + random.permutation(classes - 1))] for _ in range(arms)]).astype(np.int64)
    first, second = (_spiral_split(labels, count, random) for count in (train, test))
    return Dataset("spirals", first, second, classes)


def _spiral_split(labels: Integers, count: int, random: np.random.RandomState) -> Split:
    """Draw `count` points, as evenly as possible from the sectors, which have these labels."""
    sectors = np.arange(count) % len(labels)
    radii = random.uniform(*SPIRAL_RADII, count)
    within = random.uniform(-SPIRAL_FILLED, SPIRAL_FILLED, count)
    angles = radii * np.pi / 70 + (2 * sectors + within) * np.pi / len(labels)
    points = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Split(points.astype(np.float32), labels[sectors])


def _of_sequences(*, context: int, train: int, test: int, **_: Any) -> Outline:
    return Outline((context,), train, test)


@dataset("characters", version=1, outline=_of_sequences)
def characters(
    cache: Path,
    *,
    symbols: Classes = 12,
    context: Width = 8,
    sharpness: float = 4.0,
    train: Inputs = 20_000,
    test: Inputs = 2_000,
    seed: int = 0,
) -> Dataset:
    """Generate sequences of tokens from a seeded source of known entropy; the label is the next token.

    Inputs are the `context` tokens before each position of one long stream, whole numbers from 0; no model can have a
    lower expected cross entropy than the source's `entropy_rate`.
    """
    source = CharacterSource.drawn(symbols, sharpness, seed)
    first, second = (_windows(source, context, count, seed, name) for name, count in (("train", train), ("test", test)))
    return Dataset("characters", first, second, classes=symbols, tokens=True)


@dataclass(frozen=True)
class CharacterSource:
    """Markov chain of order 2 in the family p(y|x) ∝ exp(f(x)·g(y)), with x = (a, b) the last two symbols.

    Attributes:
        embeddings: f, `(symbols, symbols, features)`, by (a, b).
        unembeddings: g, `(symbols, features)`.
    """

    embeddings: Floats
    unembeddings: Floats

    @classmethod
    def drawn(cls, symbols: int, sharpness: float, seed: int, features: int = 4) -> CharacterSource:
        """Draw a source: f(a, b) = s · (u_a ⊙ v_b) / ‖·‖ depends on both symbols; u, v and g are normal.

        Args:
            symbols: the number of symbols.
            sharpness: s, the length of every embedding: 0 makes all symbols equally likely.
            seed: the seed of u, v and g.
            features: the dimension of f and g.
        """
        random = np.random.RandomState(seed_for(purpose="character source", seed=seed))
        u, v, g = (random.standard_normal((symbols, features)) for _ in range(3))
        mixed = u[:, None] * v[None]
        return cls(sharpness * mixed / np.linalg.norm(mixed, axis=-1, keepdims=True), g)

    @property
    def probabilities(self) -> Floats:
        """Transition probabilities p(y | a, b), `(symbols, symbols, symbols)`."""
        logits = self.embeddings @ self.unembeddings.T
        likelihoods = np.exp(logits - logits.max(-1, keepdims=True))
        probabilities: Floats = likelihoods / likelihoods.sum(-1, keepdims=True)
        return probabilities

    @property
    def pair_distribution(self) -> Floats:
        """Stationary distribution of (a, b), `(symbols, symbols)`."""
        probabilities = self.probabilities
        symbols = len(probabilities)
        # (a, b) becomes (b, y) with probability p(y | a, b)
        transition = np.zeros((symbols, symbols, symbols, symbols))
        b = np.arange(symbols)
        transition[:, b, b, :] = probabilities
        square = transition.reshape(symbols**2, symbols**2)
        # π (P − I) = 0 and Σ π = 1; every step is possible, so that there is one solution
        equations = np.vstack([square.T - np.eye(symbols**2), np.ones(symbols**2)])
        right = np.append(np.zeros(symbols**2), 1.0)
        # The solution for a pair that is very rare may be about −10⁻¹⁸.
        solution = np.linalg.lstsq(equations, right, rcond=None)[0].clip(0)
        stationary: Floats = solution.reshape(symbols, symbols) / solution.sum()
        return stationary

    @property
    def entropy_rate(self) -> float:
        """Entropy rate Σ π(a, b) H(p(· | a, b)) in nats, the lowest possible expected cross entropy."""
        probabilities = self.probabilities
        entropies = -(probabilities * np.log(probabilities)).sum(-1)
        return float((self.pair_distribution * entropies).sum())

    def stream(self, length: int, random: np.random.RandomState) -> Integers:
        """Draw `length` symbols in a row, the first two from the stationary distribution."""
        symbols = len(self.unembeddings)
        thresholds = self.probabilities.cumsum(-1)
        first = random.choice(
            symbols**2, p=self.pair_distribution.clip(0).ravel() / self.pair_distribution.clip(0).sum()
        )
        pair = [first // symbols, first % symbols]
        for draw in random.random_sample(max(0, length - ORDER)):
            # Rounding may put the last threshold just below 1.
            drawn = thresholds[pair[-2], pair[-1]].searchsorted(draw, side="right")
            pair.append(min(int(drawn), symbols - 1))
        return np.array(pair[:length], dtype=np.int64)


def _windows(source: CharacterSource, context: int, count: int, seed: int, split: str) -> Split:
    """Return every position of a stream as a label, with the `context` symbols before it as input."""
    random = np.random.RandomState(seed_for(purpose="characters", seed=seed, split=split))
    stream = source.stream(count + context, random)
    windows: NDArray[Any] = np.lib.stride_tricks.sliding_window_view(stream, context)
    return Split(windows[:count], stream[context:])
