"""The counter-example to "close in KL, hence similar" in any dimension.

Source: Nielsen, Marconato, Dittadi and Gresele, "When Does Closeness in Distribution Imply Representational
Similarity?" (NeurIPS 2025, arXiv 2506.03784), theorem 3.1. The bound on the divergence is ours.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simbench.errors import SimbenchError
from simbench.lazy import lazy_import
from simbench.models.synthetic.base import GENERATOR_VERSION, Synthetic, UnembeddingModel, generator
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor
else:
    torch = lazy_import("torch")

LENGTH, NOISE = 2.0, 0.02
STEPS, STEP_SIZE = 400, 0.05
GROWTH = 1.1


@generator("deranged_clusters", version=GENERATOR_VERSION, pair="deranged")
def deranged_clusters(
    *,
    dimension: int = 4,
    classes: int = 8,
    closeness: float = 1e-6,
    deranged: bool,
    inputs_per_class: int = 100,
    seed: int = 0,
) -> Synthetic:
    """Make one of two models within `closeness` in KL whose embeddings are no linear map of each other.

    Each label has its unembedding, of one length ρ, in one of K directions of M-space that repelled each other, and its
    inputs a cluster around the same direction at distance 2, with Gaussian noise of root mean square length 0.02. The
    deranged model gives every label the direction of another one, in a single cycle; an input keeps its noise.

    ρ is the length that `separating_length` returns. Unlike the canonical correlations of `permuted_clusters`, those of
    the embeddings are not 0 but what a random cycle leaves: .45 to .75 on average from (M, K) = (2, 5) to (32, 100).

    Args:
        dimension: M, the number of dimensions.
        classes: K > M, the number of classes.
        closeness: bound on the KL divergence, in either direction, of clusters without noise.
        deranged: whether to make the deranged model.
        inputs_per_class: number in `probe`, and again in `fit`.
        seed: seed of the directions, the derangement and the noise; none of them depends on `closeness`.

    Raises:
        SimbenchError: no more classes than dimensions, or a closeness that is not positive.
    """
    if classes <= dimension:
        raise SimbenchError(f"deranged clusters need more classes than dimensions, not {classes} for {dimension}")
    if closeness <= 0:
        raise SimbenchError(f"deranged clusters need a closeness above 0, not {closeness:g}")
    own = repelled_directions(classes, dimension, _generator("directions", seed))
    places = own[derangement(classes, _generator("derangement", seed))] if deranged else own
    targets = torch.arange(classes).repeat_interleave(inputs_per_class)

    def embeddings(part: str) -> Tensor:
        shape = (len(targets), dimension)
        noise = torch.randn(shape, generator=_generator(part, seed), dtype=torch.float64)
        return LENGTH * places[targets] + NOISE / math.sqrt(dimension) * noise

    model = UnembeddingModel(separating_length(own, closeness) * places)
    return Synthetic(model, embeddings("probe"), targets, embeddings("fit"), targets)


def repelled_directions(count: int, dimension: int, generator: Generator) -> Tensor:
    """Return `(count, dimension)` unit vectors that have pushed each other apart, by forces 1 / distance²."""
    u = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
    for _ in range(STEPS):
        u = u / u.norm(dim=1, keepdim=True)
        gap = u[:, None] - u[None]
        distance = gap.norm(dim=2) + torch.eye(count, dtype=torch.float64)
        u = u + STEP_SIZE * (gap / distance[..., None] ** 3).sum(dim=1)
    unit: Tensor = u / u.norm(dim=1, keepdim=True)
    return unit


def derangement(count: int, generator: Generator) -> Tensor:
    """Draw a permutation `(count,)` that is a single cycle: nothing stays in its place."""
    cycle = torch.randperm(count, generator=generator)
    places = torch.empty_like(cycle)
    places[cycle] = cycle.roll(1)
    return places


def separating_length(u: Tensor, closeness: float) -> float:
    """Return a length ρ of unembeddings at which any two relabellings of the clusters are within `closeness` in KL.

    The label of a cluster leads any other by 2ρm or more in logits, m the least 1 − uᵢ·uⱼ. So all others together have
    a probability below δ = (K − 1) e^(−2ρm), and the divergence is at most δ (1 + 4ρ + δ). ρ grows until that is small.
    """
    margin = 1 - float((u @ u.T - 2 * torch.eye(len(u), dtype=u.dtype)).max())
    rho = 1.0
    while True:
        delta = (len(u) - 1) * math.exp(-LENGTH * rho * margin)
        if delta * (1 + 2 * LENGTH * rho + delta) <= closeness:
            return rho
        rho *= GROWTH


def _generator(part: str, seed: int) -> Generator:
    return torch.Generator().manual_seed(seed_for(purpose="deranged clusters", part=part, seed=seed))
