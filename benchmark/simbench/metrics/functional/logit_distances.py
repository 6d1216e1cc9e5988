"""Distances of centred logits, and how far a model's embeddings are from the linear map that its unembeddings imply.

The centred logits ũ = ℓ − mean_y ℓ, ℓ = log p, are unchanged by whatever leaves the distribution. Where two models
p(y|x) ∝ exp(f(x)·g(y)) have equal distributions, f = A_J f′ for every pivot y₀ and set J of M further labels, with

    A_J = L_J⁻ᵀ L′_Jᵀ,   L_J = [g(y) − g(y₀)] for y in J, as columns.

`d_rep` reads L′_Jᵀ f′ from the log-probabilities, so that biases, and a dimension M′ ≠ M, are taken care of. Where the
unembeddings span less than M dimensions, as they do for M labels or fewer, f stands for its part in what they span.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Literal, NamedTuple

from simbench.bounds import Repetitions
from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.model_outputs import log_probabilities
from simbench.metrics.metric import metric
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

PAPER = "Nielsen et al. (2026), Logit Distance Bounds Representational Similarity"


@metric(
    "logit_distance_relative",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, 2.0),
    triangle_inequality=True,
    invariant_to={"affine"},
    needs={"head"},
    level="head",
    family="identifiability",
    formula="√(E‖ũ − ũ′‖²) / √(½(E‖ũ‖² + E‖ũ′‖²)), ũ = ℓ − mean_y ℓ",
    reference=f"{PAPER}; the normalisation is ours",
    default=True,
)
def logit_distance_relative(a: Representation, b: Representation) -> float:
    """Distance of the centred logits of two models with the same labels, relative to their size.

    a, b: representations at the head → a number in [0, 2]: 0 for equal distributions, √2 for uncorrelated logits.
    Raises `NotApplicable` where both models are uniform everywhere.
    """
    ells = log_probabilities(a, b)
    first, second = (centred_logits(ell) for ell in ells)
    size = ((first.square().mean() + second.square().mean()) / 2).sqrt()
    rounding = torch.finfo(torch.float64).eps * max(float(ell.abs().max()) for ell in ells)
    if float(size) <= 8 * rounding:
        raise NotApplicable("both models give equal probabilities to all labels")
    return float((first - second).square().mean().sqrt() / size)


@metric(
    "logit_distance",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, math.inf),
    triangle_inequality=True,
    invariant_to={"affine"},
    needs={"head"},
    level="head",
    family="identifiability",
    formula="√(E‖ũ − ũ′‖²), ũ = ℓ − mean_y ℓ",
    reference=PAPER,
)
def logit_distance(a: Representation, b: Representation) -> float:
    """Distance of the centred logits of two models with the same labels, in units of logits.

    a, b: representations at the head → a number in [0, ∞), 0 for equal distributions. A metric in the mathematical
    sense that grows with the models' confidence. Raises `NotApplicable` for different numbers of labels.
    """
    first, second = log_probabilities(a, b)
    return float(centred_logits(first - second).square().sum(dim=1).mean().sqrt())


def centred_logits(ell: Tensor) -> Tensor:
    """Mean 0 over the labels."""
    return ell - ell.mean(dim=1, keepdim=True)


Count = Repetitions
SINGULAR = 1e-6
"""Relative to the largest, a singular value below this is none: heads and logits come in single precision."""
Average = Literal["median", "mean"]


@metric(
    "d_rep",
    version=1,
    higher_is_more_similar=False,
    symmetric=False,
    value_range=(0.0, math.inf),
    invariant_to={"orthogonal", "translation"},
    needs={"head"},
    level="head",
    family="identifiability",
    formula="√(median over y₀, J of E‖f − A_J f′‖²), A_J = L_J⁻ᵀ L′_Jᵀ",
    reference=f"{PAPER} (there the mean over y₀, J)",
)
def representation_distance(
    a: Representation, b: Representation, *, seed: int = 0, max_subsets: Count = 256, average: Average = "median"
) -> float:
    """Distance of model a's embeddings from the linear maps of model b's that equal distributions imply. Directed.

    a, b: representations at the head, (inputs, M) and (inputs, M′), with the same labels → a number in [0, ∞), in units
    of a's embeddings; 0 for equal distributions. Invariant to affine maps of b. All pivots y₀ and sets J of further
    labels are used, or `max_subsets` seeded ones where there are more. What a's unembeddings do not span, no output
    depends on: that part of f is left out, and J has as many labels as there are dimensions left. Raises
    `NotApplicable` without a linear head, or when all of a's unembeddings are equal.

    The errors are as heavy-tailed as 1/σ_min(L_J)²: for random unembeddings their mean has no limit. So the median is
    the default, and the paper's mean a choice. Label sets with a singular L_J are left out of both.
    """
    errors = map_errors(a, b, seed=seed, max_subsets=max_subsets).squared
    return float((errors.quantile(0.5) if average == "median" else errors.mean()).sqrt())


class MapErrors(NamedTuple):
    """E‖f − A_J f′‖² and σ_min(L_J) for every pivot and set of `dimension` labels whose L_J is invertible, (sets,)."""

    squared: Tensor
    smallest: Tensor
    dimension: int


def map_errors(a: Representation, b: Representation, *, seed: int, max_subsets: int) -> MapErrors:
    """Return the distance of f from the linear maps of f′ that equal distributions would imply.

    With Δ = [ℓ(y|x) − ℓ(y₀|x)] − [ℓ′(y|x) − ℓ′(y₀|x)] over J it equals E‖L_J⁻ᵀ Δ‖². The inputs enter by the triangular
    factor R of ũ − ũ′ only, which has no more rows than there are labels.
    """
    first, second = log_probabilities(a, b)
    g = spanned(a).to(first.device)
    sets = label_sets(g.shape[0], g.shape[1], max_subsets, seed).to(g.device)
    pivots, others = sets[:, :1], sets[:, 1:]
    differences = g[others] - g[pivots]  # L_Jᵀ, (sets, dimensions, dimensions)
    values = torch.linalg.svdvals(differences)
    invertible = values[:, -1] > SINGULAR * values[:, 0]
    if not bool(invertible.any()):
        raise NotApplicable(
            f"none of {len(sets)} sets of labels has unembeddings that span all {g.shape[1]} dimensions"
        )
    r = torch.linalg.qr(centred_logits(first - second), mode="r").R / math.sqrt(len(first))
    gaps = r.T[others] - r.T[pivots]  # (sets, dimensions, rows of R)
    solved: Tensor = torch.linalg.solve(differences[invertible], gaps[invertible])
    return MapErrors(solved.square().sum(dim=(1, 2)), values[invertible, -1], g.shape[1])


def spanned(representation: Representation) -> Tensor:
    """Return the centred unembeddings in an orthonormal basis of their span, (labels, dimensions < labels)."""
    head = representation.model.head() if representation.model is not None else None
    if head is None:
        raise NotApplicable(f"{representation.layer or 'the representation'} has no linear head")
    if bool((head.unembedding == head.unembedding[:1]).all()):
        raise NotApplicable(f"all unembeddings of {representation.layer or 'the representation'} are equal")
    left, values, _ = torch.linalg.svd(centred(head.unembedding), full_matrices=False)
    kept = values > SINGULAR * values[0]
    coordinates: Tensor = left[:, kept] * values[kept]
    return coordinates


def label_sets(labels: int, dimension: int, limit: int, seed: int) -> Tensor:
    """Pivots, each with a set of `dimension` further labels: all of them, or `limit` seeded ones where there are more.

    >>> label_sets(3, 1, limit=10, seed=0).tolist()
    [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
    """
    if labels * math.comb(labels - 1, dimension) <= limit:
        others = [[label for label in range(labels) if label != pivot] for pivot in range(labels)]
        return torch.tensor([[p, *chosen] for p in range(labels) for chosen in combinations(others[p], dimension)])
    generator = torch.Generator().manual_seed(
        seed_for(purpose="pivots and label sets", seed=seed, labels=labels, size=dimension)
    )
    return torch.stack([torch.randperm(labels, generator=generator)[: dimension + 1] for _ in range(limit)])
