"""Pairs of softmax models whose similarity is known, and slow references written from the formulas. Plain numpy.

A model is a pair (embeddings, unembeddings) of shapes (inputs, M) and (labels, M): p(y|x) ∝ exp(f(x)·g(y)).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from simbench.representations.representation import Representation
from simbench.testing.inputs import LinearReadout

Array = NDArray[np.float64]
Model = tuple[Array, Array]


def at_head(model: Model, bias: Array | None = None) -> Representation:
    """The representation at the head of a model, float64."""
    embeddings, unembeddings = (torch.tensor(array) for array in model)
    intercept = torch.zeros(len(unembeddings), dtype=torch.float64) if bias is None else torch.tensor(bias)
    return Representation(embeddings, layer="embedding", model=LinearReadout(unembeddings, intercept), at_head=True)


def log_probabilities(model: Model) -> Array:
    """log softmax of f(x)·g(y), shape (inputs, labels)."""
    logits = model[0] @ model[1].T
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


# --- pairs -----------------------------------------------------------------------------------------------------------


def gaussian_model(rng: np.random.Generator, inputs: int, dimension: int, labels: int, scale: float = 2.0) -> Model:
    """f ~ N(0, I), g ~ scale · N(0, I)."""
    return rng.normal(size=(inputs, dimension)), scale * rng.normal(size=(labels, dimension))


def equivalent(model: Model, rng: np.random.Generator, condition: float) -> Model:
    """The same distribution: f′ = A f, g′ = A⁻ᵀ g + c with an A of this condition number."""
    dimension = model[0].shape[1]
    left, right = (np.linalg.qr(rng.normal(size=(dimension, dimension)))[0] for _ in range(2))
    a = left @ np.diag(np.geomspace(1, condition, dimension)) @ right.T
    return model[0] @ a.T, model[1] @ np.linalg.inv(a) + rng.normal(size=dimension)


def circle_pair(labels: int, norm: float, seed: int = 0, per_label: int = 500) -> tuple[Model, Model]:
    """Close in KL and linearly unrelated: equally spaced directions in the plane, relabelled by k → 2k + 5 mod K.

    The unembeddings have length `norm`; the KL divergence goes to 0 as it grows while nothing else changes.
    """
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi * np.arange(labels) / labels
    relabelled = (2 * np.arange(labels) + 5) % labels
    noise = rng.uniform(-np.pi / 64, np.pi / 64, size=(labels, per_label))
    lengths = 2 + np.abs(0.01 * rng.normal(size=(labels, per_label)))

    def model(order: NDArray[np.int64]) -> Model:
        inputs = angles[order][:, None] + noise[order]
        embeddings = lengths[..., None] * direction(inputs)
        return embeddings.reshape(-1, 2), norm * direction(angles[order])

    return model(np.arange(labels)), model(relabelled)


def circle_norm(labels: int) -> float:
    """The norm at which the circle pair of this many labels is about as close in KL as that of 7 labels at norm 20."""
    return 7.5 / (1 - np.cos(2 * np.pi / labels))


def repelled_pair(dimension: int, labels: int, closeness: float, seed: int = 0) -> tuple[Model, Model]:
    """The same in any dimension: unit vectors pushed apart, exchanged by a derangement, KL below `closeness`."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(labels, dimension))
    for _ in range(400):
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        gap = u[:, None] - u[None]
        distance = np.linalg.norm(gap, axis=2) + np.eye(labels)
        u = u + 0.05 * (gap / distance[..., None] ** 3).sum(axis=1)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    margin = 1 - (u @ u.T - 2 * np.eye(labels)).max()
    length, norm = 2.0, 1.0

    def bound() -> float:
        delta = (labels - 1) * np.exp(-length * norm * margin)
        return float(delta * (1 + 2 * length * norm + delta))

    while bound() > closeness:
        norm *= 1.1
    order = rng.permutation(labels)
    deranged = np.empty(labels, dtype=int)
    deranged[order] = np.roll(order, 1)
    of_label = np.repeat(np.arange(labels), 100)
    noise = 0.02 / np.sqrt(dimension) * rng.normal(size=(len(of_label), dimension))
    first = (length * u[of_label] + noise, norm * u)
    second = (length * u[deranged][of_label] + noise, norm * u[deranged])
    return first, second


def perturbed_pair(labels: int, level: int, step: float, seed: int = 0, per_label: int = 500) -> tuple[Model, Model]:
    """One model on the circle, and the same with noise of size `level · step` added to the embeddings."""
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi * np.arange(labels) / labels
    inputs = angles[:, None] + rng.uniform(-np.pi / 64, np.pi / 64, size=(labels, per_label))
    lengths = 5 + np.abs(0.01 * rng.normal(size=(labels, per_label)))
    embeddings = (lengths[..., None] * direction(inputs)).reshape(-1, 2)
    unembeddings = 20 * direction(angles)
    noise = np.random.default_rng([seed, level]).normal(size=embeddings.shape)
    return (embeddings, unembeddings), (embeddings + level * step * noise, unembeddings)


def separately_related_pair(seed: int = 0) -> tuple[Model, Model]:
    """f′ is a rotation of f and g′ one of g, but not the matching one: only together do they differ."""
    rng = np.random.default_rng(seed)
    angles = np.array([0, 1 / 2, 1, 5 / 4, 7 / 4]) * np.pi
    unembeddings = 8 * direction(angles)
    embeddings = np.concatenate([5 * direction(angle) + rng.normal(scale=0.5, size=(100, 2)) for angle in angles])
    return (embeddings, unembeddings), (embeddings @ rotation(np.pi / 4).T, unembeddings @ rotation(-np.pi / 4).T)


def equal_embeddings_pair(seed: int = 0) -> tuple[Model, Model]:
    """The same embeddings and a small KL divergence, but two pairs of unembeddings exchanged."""
    rng = np.random.default_rng(seed)
    unembeddings = 5.5 * direction(np.array([0, 1, 2, 3, 10, 16, 20, 26]) * np.pi / 16)
    centres = np.array([0, 1, 2, 3, 13, 13, 23, 23]) * np.pi / 16
    angles = centres[:, None] + rng.uniform(-np.pi / 256, np.pi / 256, size=(8, 500))
    lengths = 2 + np.abs(rng.normal(size=(8, 500)))
    embeddings = (lengths[..., None] * direction(angles)).reshape(-1, 2)
    return (embeddings, unembeddings), (embeddings, unembeddings[[0, 1, 2, 3, 5, 4, 7, 6]])


def direction(angle: Array | float) -> Array:
    """Unit vectors at these angles, on a new last axis."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def rotation(angle: float) -> Array:
    """The 2 × 2 rotation matrix."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


# --- references: slow, obvious, float64 ------------------------------------------------------------------------------


def canonical_correlations(x: Array, y: Array) -> Array:
    """From orthonormal bases of the centred columns, by relative rank; descending."""
    bases = []
    for side in (x, y):
        left, values, _ = np.linalg.svd(side - side.mean(axis=0), full_matrices=False)
        bases.append(left[:, values > values[0] * max(side.shape) * np.finfo(float).eps])
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)


def spread(values: Array) -> float:
    """The sample standard deviation."""
    return float(np.std(values, ddof=1))


def pls_svd(p: Array, q: Array) -> float:
    """1 − ‖C‖∗ / √(M M′) with C the cross-correlations of the columns."""
    p, q = ((side - side.mean(axis=0)) / side.std(axis=0, ddof=1) for side in (p, q))
    correlations = p.T @ q / (len(p) - 1)
    return 1 - float(np.linalg.norm(correlations, "nuc")) / np.sqrt(p.shape[1] * q.shape[1])


def label_pivots(first: Array, second: Array) -> tuple[int, int, float]:
    """(y₀, left-out label, t₁) with the smallest t₁ of all, the first on ties."""
    count = first.shape[1]
    best = (0, 0, np.inf)
    for pivot in range(count):
        for left_out in (label for label in range(count) if label != pivot):
            terms = []
            for label in set(range(count)) - {pivot, left_out}:
                s = spread(first[:, label] - first[:, pivot])
                t = spread(second[:, label] - second[:, pivot])
                terms.append(spread(first[:, label] / s - second[:, label] / t))
                terms.append(spread(first[:, pivot] / s - second[:, pivot] / t))
            if max(terms) < best[2]:
                best = pivot, left_out, max(terms)
    return best


def llv(first: Array, second: Array, pivot: int, left_out: int, inputs: list[int]) -> float:
    """The log-likelihood-variance distance at given pivots, from two matrices of log-probabilities."""
    terms = []
    for label in set(range(first.shape[1])) - {pivot, left_out}:
        s = spread(first[:, label] - first[:, pivot])
        t = spread(second[:, label] - second[:, pivot])
        terms += [spread(first[:, k] / s - second[:, k] / t) for k in (label, pivot)]
        terms.append(1e-5 * abs(s - t))
    for j in inputs[1:]:
        s, t = spread(first[j] - first[inputs[0]]), spread(second[j] - second[inputs[0]])
        terms += [spread(first[k] / s - second[k] / t) for k in (j, inputs[0])]
        terms.append(1e-5 * abs(s - t))
    return max(terms)


def fg(models: tuple[Model, Model], pivot: int, left_out: int, inputs: list[int]) -> float:
    """The embedding and unembedding distance at given pivots, from the embeddings and unembeddings themselves."""
    (f, g), (f_, g_) = models
    rest = sorted(set(range(len(g))) - {pivot, left_out})
    worst = 0.0
    for subset in combinations(rest, f.shape[1]):
        chosen = list(subset)
        worst = max(worst, pls_svd(f @ (g[chosen] - g[pivot]).T, f_ @ (g_[chosen] - g_[pivot]).T))
    return max(worst, pls_svd(g @ (f[inputs[1:]] - f[inputs[0]]).T, g_ @ (f_[inputs[1:]] - f_[inputs[0]]).T))
