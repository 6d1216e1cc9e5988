"""Pairs of softmax models whose similarity is known, and slow references written from the formulas in plain numpy.

A model is a pair (embeddings, unembeddings) of shapes (inputs, M) and (labels, M): p(y|x) ∝ exp(f(x)·g(y)).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from simbench.models.synthetic.base import Synthetic
from simbench.models.synthetic.permuted_clusters import permuted_clusters
from simbench.models.synthetic.perturbed_clusters import perturbed_clusters
from simbench.representations.representation import Representation
from simbench.testing.inputs import LinearReadout

Array = NDArray[np.float64]
Model = tuple[Array, Array]


def at_head(model: Model, bias: Array | None = None) -> Representation:
    """The representation at the head of a model, float64."""
    embeddings, unembeddings = (torch.tensor(array) for array in model)
    intercept = torch.zeros(len(unembeddings), dtype=torch.float64) if bias is None else torch.tensor(bias)
    return Representation(embeddings, layer="embedding", model=LinearReadout(unembeddings, intercept), at_head=True)


def between(metric: Callable[..., float], pair: tuple[Model, Model], **parameters: Any) -> float:
    """A metric of the representations at the head of both models."""
    return metric(at_head(pair[0]), at_head(pair[1]), **parameters)


def log_probabilities(model: Model) -> Array:
    """log softmax of f(x)·g(y), shape (inputs, labels)."""
    logits = model[0] @ model[1].T
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


# --- pairs -----------------------------------------------------------------------------------------------------------


def gaussian_model(rng: np.random.Generator, inputs: int, dimension: int, labels: int, scale: float = 2.0) -> Model:
    """f ~ N(0, I), g ~ scale · N(0, I)."""
    return rng.normal(size=(inputs, dimension)), scale * rng.normal(size=(labels, dimension))


def gaussian_pair(seed: int = 0, inputs: int = 200, dimension: int = 3, labels: int = 7) -> tuple[Model, Model]:
    """Two unrelated models."""
    rng = np.random.default_rng(seed)
    return gaussian_model(rng, inputs, dimension, labels), gaussian_model(rng, inputs, dimension, labels)


def equivalent(model: Model, rng: np.random.Generator, condition: float) -> Model:
    """The same distribution: f′ = A f, g′ = A⁻ᵀ g + c with an A of this condition number."""
    dimension = model[0].shape[1]
    left, right = (np.linalg.qr(rng.normal(size=(dimension, dimension)))[0] for _ in range(2))
    a = left @ np.diag(np.geomspace(1, condition, dimension)) @ right.T
    return model[0] @ a.T, model[1] @ np.linalg.inv(a) + rng.normal(size=dimension)


def near_pair(seed: int = 0, size: float = 0.2) -> tuple[Model, Model]:
    """A model with M = 2 and K = 6, and the same with noise of this size on embeddings and unembeddings."""
    rng = np.random.default_rng(seed)
    f, g = gaussian_model(rng, 150, 2, 6)
    return (f, g), (f + size * rng.normal(size=f.shape), g + size * rng.normal(size=g.shape))


def arrays_of(made: Synthetic) -> Model:
    """The embeddings of the probe and the unembeddings of a synthetic model."""
    return made.probe.numpy(), made.model.unembedding.numpy()


def circle_pair(classes: int, rho: float, inputs_per_class: int = 500) -> tuple[Model, Model]:
    """Both models of `permuted_clusters`."""
    common: dict[str, Any] = {"classes": classes, "rho": rho, "inputs_per_class": inputs_per_class}
    return arrays_of(permuted_clusters(permuted=False, **common)), arrays_of(permuted_clusters(permuted=True, **common))


def circle_norm(classes: int) -> float:
    """The norm at which the circle pair of so many classes is about as close in KL as that of 7 classes at norm 20."""
    return float(7.5 / (1 - np.cos(2 * np.pi / classes)))


def perturbed_pair(classes: int, level: int, inputs_per_class: int = 500) -> tuple[Model, Model]:
    """`perturbed_clusters` without noise and with noise of a level."""
    common = {"classes": classes, "inputs_per_class": inputs_per_class}
    return arrays_of(perturbed_clusters(**common)), arrays_of(perturbed_clusters(level=level, **common))


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


def linear_map_errors(models: tuple[Model, Model]) -> list[tuple[float, float]]:
    """(E‖f − A_J f′‖², σ_min(L_J)) for every pivot and set J of M further labels, from embeddings and unembeddings."""
    (f, g), (f_, g_) = models
    found = []
    for pivot in range(len(g)):
        for subset in combinations(sorted(set(range(len(g))) - {pivot}), f.shape[1]):
            chosen = list(subset)
            side, side_ = (g[chosen] - g[pivot]).T, (g_[chosen] - g_[pivot]).T
            mapped = f_ @ (np.linalg.inv(side).T @ side_.T).T
            error = float(np.mean(np.sum((f - mapped) ** 2, axis=1)))
            found.append((error, float(np.linalg.svd(side, compute_uv=False)[-1])))
    return found


def correlation_loss(models: tuple[Model, Model]) -> float:
    """Σᵢ λᵢ (1 − ρᵢ²), λᵢ the variances of the second model's centred logits along their axes; equal dimensions."""
    (f, _), (f_, g_) = models
    logits = f_ @ (g_ - g_.mean(axis=0)).T
    variances = np.linalg.eigvalsh(np.cov(logits.T, ddof=0))[::-1]
    correlations = canonical_correlations(f, f_)
    return float(np.sum(variances[: len(correlations)] * (1 - correlations**2)))
