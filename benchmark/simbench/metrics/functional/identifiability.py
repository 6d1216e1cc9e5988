"""Distances between models that are equal exactly when the models are linearly identifiable with each other.

For p(y|x) ∝ exp(f(x)·g(y)) with embeddings f and unembeddings g of dimension M, equal distributions imply, under a
diversity condition, f = A f′ and g(y) − g(y₀) = A⁻ᵀ(g′(y) − g′(y₀)) for an invertible A. The distances here are
unchanged by that group and by nothing that alters the distribution, but for the blind spots named below.

Everything is read from the log-probabilities ℓ = log p alone, since with a pivot label y₀ and a pivot input x₀

    Lᵀf(x) = [ℓ(y|x) − ℓ(y₀|x)]_y   and   Nᵀg(y) = [ℓ(y|xⱼ) − ℓ(y|x₀)]ⱼ + const.

`identifiability_llv` and `identifiability_fg` share the choice of pivots (`Choice`), so that the bound
fg ≤ min(2Mε, 2ε²), ε = llv, holds between them. All standard deviations are sample values (ddof = 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from simbench.bounds import Repetitions
from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import unit_columns
from simbench.metrics.kernels.cross_products import nuclear_cross_norms
from simbench.metrics.kernels.model_outputs import log_probabilities
from simbench.metrics.metric import Pairs, metric
from simbench.seeds import seed_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

PAPER = (
    "Nielsen, Marconato, Dittadi, Gresele (2025), When Does Closeness in Distribution Imply Representational "
    "Similarity? An Identifiability Perspective"
)
WEIGHT = 1e-5
"""λ of the paper: what makes the log-likelihood-variance distance separate points, without ever dominating it."""
INVERTIBLE = {"affine"}
"""A function-preserving affine map at the head leaves the log-probabilities, and so these distances, as they are."""


def svd_distances_of_pairs(prepared: Sequence[Tensor], pairs: Pairs) -> Tensor:
    """1 − ‖C‖∗ / √(M · M′) of many pairs of standardised matrices, shape (pairs,)."""
    widths = torch.tensor([float(side.shape[1]) for side in prepared], dtype=torch.float64).sqrt()
    a, b = torch.tensor(pairs).T
    return 1 - nuclear_cross_norms(prepared, pairs) / (widths[a] * widths[b])


@metric(
    "identifiability_svd",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to={"permutation", "diagonal_scaling", "translation"},
    purposes={"distribution"},
    family="identifiability",
    formula="1 − ‖C‖∗ / √(M M′), C the cross-correlations of the units",
    reference=f"{PAPER}, Definition 4.5",
    default=True,
    prepare=unit_columns,
    compare_many=svd_distances_of_pairs,
)
def identifiability_svd(x: Tensor, y: Tensor) -> Tensor:
    """PLS-SVD distance: 1 minus the mean singular value of the matrix of correlations between units of X and of Y.

    x: (rows, M), y: (rows, M′) → a scalar in [0, 1]. Constant units are left out of C and of M.
    Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 2.0]])
    >>> float(identifiability_svd(x, x[:, [1, 0]] * torch.tensor([-2.0, 5.0]) + 1)) < 1e-12
    True
    """
    p, q = unit_columns(x), unit_columns(y)
    singular: Tensor = torch.linalg.svdvals(p.T @ q)
    return 1 - singular.sum() / math.sqrt(p.shape[1] * q.shape[1])


Count = Repetitions


@metric(
    "identifiability_llv",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, math.inf),
    invariant_to=INVERTIBLE,
    needs={"head"},
    level="head",
    family="identifiability",
    formula="max(t₁, t₂, λt₃, λt₄): spreads of differences of normalised log-likelihoods, λ = 1e-5",
    reference=f"{PAPER}, Definition 4.4",
    default=True,
)
def identifiability_llv(a: Representation, b: Representation, *, seed: int = 0, tuples: Count = 100) -> float:
    """Log-likelihood-variance distance of two models with the same labels, from their log-probabilities.

    a, b: representations at the head, (inputs, M) and (inputs, M′) → a number in [0, ∞), 0 for equal distributions.
    Of `tuples` seeded tuples of M + 1 inputs the best is used. Raises `NotApplicable` for fewer than M + 2 labels or
    M + 1 inputs.

        t₁ = max_y max(Std_x[ℓ(y|x)/σ_y − ℓ′(y|x)/σ′_y], Std_x[ℓ(y₀|x)/σ_y − ℓ′(y₀|x)/σ′_y])
        t₂ = max_j max(Std_y[ℓ(y|xⱼ)/τⱼ − ℓ′(y|xⱼ)/τ′ⱼ], Std_y[ℓ(y|x₀)/τⱼ − ℓ′(y|x₀)/τ′ⱼ])
        t₃ = max_y |σ_y − σ′_y|,  t₄ = max_j |τⱼ − τ′ⱼ|

    with σ_y = Std_x[ℓ(y|x) − ℓ(y₀|x)] and τⱼ = Std_y[ℓ(y|xⱼ) − ℓ(y|x₀)].
    """
    chosen = choose(a, b, seed=seed, tuples=tuples)
    return max(chosen.t1, chosen.t2, WEIGHT * chosen.t3, WEIGHT * chosen.t4)


@metric(
    "identifiability_fg",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to=INVERTIBLE,
    needs={"head"},
    level="head",
    family="identifiability",
    formula="max(max_J d_SVD(Lᵀf, L′ᵀf′), d_SVD(Nᵀg, N′ᵀg′))",
    reference=f"{PAPER}, Definition 4.5",
    default=True,
)
def identifiability_fg(
    a: Representation, b: Representation, *, seed: int = 0, tuples: Count = 100, max_subsets: Count = 256
) -> float:
    """PLS-SVD distance of embeddings and unembeddings together, from the log-probabilities of two models.

    a, b: representations at the head, (inputs, M) and (inputs, M′) → a number in [0, 1], 0 for equal distributions.
    The embedding side is the worst of all sets J of M labels, or of `max_subsets` seeded ones where there are more
    (then a lower estimate). Blind to a translation of the embedding and to temperature. Raises `NotApplicable` for
    fewer than M + 2 labels or M + 1 inputs.
    """
    chosen = choose(a, b, seed=seed, tuples=tuples)
    subsets = torch.tensor(_subsets(len(chosen.labels), chosen.dimension, max_subsets, seed))
    first, second = chosen.by_input
    correlations = unit_columns(first).T @ unit_columns(second)  # once: each J is one of its blocks
    blocks = correlations[subsets[:, :, None], subsets[:, None, :]]
    embedding = 1 - torch.linalg.svdvals(blocks).sum(dim=1).min() / chosen.dimension
    unembedding = identifiability_svd(*chosen.by_label)
    return max(0.0, float(embedding), float(unembedding))


@dataclass(frozen=True)
class Choice:
    """The pivots of one pair of models, and what the distances read at them.

    `labels` are all but the pivot, the one left out and those that cannot be told from the pivot. `by_input` holds
    Lᵀf(x), shape (inputs, labels), of both models and `by_label` Nᵀg(y), shape (labels of the model, M).
    """

    dimension: int
    pivot: int
    labels: list[int]
    inputs: list[int]
    t1: float
    t2: float
    t3: float
    t4: float
    by_input: tuple[Tensor, Tensor]
    by_label: tuple[Tensor, Tensor]


def choose(a: Representation, b: Representation, *, seed: int, tuples: int) -> Choice:
    """Return the pivot label and left-out label with the smallest t₁, and the best input tuple of a seeded draw."""
    first, second = log_probabilities(a, b)
    dimension, labels = min(a.features, b.features), first.shape[1]
    if labels < dimension + 2:
        raise NotApplicable(f"K ≥ M + 2 labels are needed; here K = {labels} and M = {dimension}")
    pivot, rest, t1 = _label_pivot(first, second, dimension)
    inputs, t2 = _input_tuple(first, second, dimension, seed=seed, tuples=tuples)
    by_input = _differences(first, pivot)[:, rest], _differences(second, pivot)[:, rest]
    by_label = _differences(first[inputs].T, 0)[:, 1:], _differences(second[inputs].T, 0)[:, 1:]
    t3, t4 = (float((p.std(dim=0) - q.std(dim=0)).abs().max()) for p, q in (by_input, by_label))
    return Choice(dimension, pivot, rest, inputs, t1, t2, t3, t4, by_input, by_label)


def _differences(ell: Tensor, pivot: int) -> Tensor:
    """All columns less the pivot's."""
    return ell - ell[:, pivot : pivot + 1]


def _label_pivot(first: Tensor, second: Tensor, dimension: int) -> tuple[int, list[int], float]:
    """Return the pivot and the labels, one left out, for which t₁ is smallest (the first on ties), and that t₁.

    A label whose log-odds to a pivot do not vary has σ = 0 there: it is dropped, and only pivots for which the fewest
    labels are dropped compete, lest dropping be rewarded.
    """
    p, q, rounding = _centre(first.T), _centre(second.T), (_rounding(first), _rounding(second))
    terms = torch.stack([_spreads(p, q, pivot, rounding) for pivot in range(len(p))])
    comparable = torch.isfinite(terms)
    others = comparable.sum(dim=1)
    if int(others.max()) - 1 < dimension:
        raise NotApplicable(f"fewer than M + 2 = {dimension + 2} labels have distinguishable log-probabilities")
    largest, at = terms.topk(2, dim=1)
    worst = largest[:, :1].expand_as(terms).scatter(1, at[:, :1], largest[:, 1:])  # [pivot, left out]
    worst = worst.masked_fill(~comparable | (others < others.max())[:, None], math.inf)
    pivot, left_out = divmod(int(worst.argmin()), terms.shape[1])
    rest = [label for label in torch.nonzero(comparable[pivot]).flatten().tolist() if label != left_out]
    return pivot, rest, float(worst[pivot, left_out])


def _input_tuple(first: Tensor, second: Tensor, dimension: int, *, seed: int, tuples: int) -> tuple[list[int], float]:
    """Return the tuple (x₀, …, x_M) with the smallest t₂ if that is below 1, else the first; and its t₂.

    Tuples with τ = 0, that is with an input twice, are passed over.
    """
    rows, size = first.shape[0], dimension + 1
    count = min(tuples, rows // size)
    if count < 1:
        raise NotApplicable(f"M + 1 = {size} inputs are needed; there are {rows}")
    generator = torch.Generator().manual_seed(seed_for(purpose="input tuples", seed=seed, rows=rows, size=size))
    drawn = torch.randperm(rows, generator=generator)[: count * size].reshape(count, size)
    rounding = _rounding(first), _rounding(second)
    spreads = _spreads(_centre(first[drawn]), _centre(second[drawn]), 0, rounding)[:, 1:]
    usable = torch.isfinite(spreads).all(dim=1)
    if not bool(usable.any()):
        raise NotApplicable("every tuple of inputs holds two with equal log-probabilities")
    worst = spreads.amax(dim=1).masked_fill(~usable, math.inf)
    best = int(worst.argmin())
    if not bool(worst[best] < 1):
        best = int(usable.int().argmax())
    return drawn[best].tolist(), float(worst[best])


def _spreads(first: Tensor, second: Tensor, pivot: int, rounding: tuple[Tensor, Tensor]) -> Tensor:
    """Return the terms of t₁ and t₂ for variables in rows and samples, with mean 0, in columns; shape (…, variables).

    With s = Std[ℓ − ℓ_pivot] over the samples: max(Std[ℓ/s − ℓ′/s′], Std[ℓ_pivot/s − ℓ′_pivot/s′]); −∞ for the pivot
    itself and where s or s′ is not above its `rounding`.
    """
    p, q = first[..., pivot : pivot + 1, :], second[..., pivot : pivot + 1, :]
    s, s_ = _std(first - p), _std(second - q)
    terms = torch.maximum(_std(first / s - second / s_), _std(p / s - q / s_)).squeeze(-1)
    usable = ((s > rounding[0]) & (s_ > rounding[1])).squeeze(-1)
    usable[..., pivot] = False
    return terms.masked_fill(~usable, -math.inf)


def _centre(ell: Tensor) -> Tensor:
    """Return values with mean 0 over the samples, the last axis.

    They are contiguous, because what follows goes over them again and again.
    """
    return (ell - ell.mean(dim=-1, keepdim=True)).contiguous()


def _std(centred: Tensor) -> Tensor:
    """Return the sample standard deviation over the last axis, which stays with length 1."""
    norm: Tensor = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)
    return norm / math.sqrt(centred.shape[-1] - 1)


def _rounding(ell: Tensor) -> Tensor:
    """Return the spread of log-probabilities below which it is rounding: logits may be of single precision."""
    return torch.finfo(torch.float32).eps * ell.abs().max()


def _subsets(count: int, size: int, limit: int, seed: int) -> list[list[int]]:
    """Return all subsets of `size` of `count` labels, or `limit` seeded ones when there are more."""
    if math.comb(count, size) <= limit:
        return [list(subset) for subset in combinations(range(count), size)]
    generator = torch.Generator().manual_seed(seed_for(purpose="label subsets", seed=seed, labels=count, size=size))
    return [torch.randperm(count, generator=generator)[:size].tolist() for _ in range(limit)]
