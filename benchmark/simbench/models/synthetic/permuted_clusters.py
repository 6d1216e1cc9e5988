"""The counter-example to "close in KL, hence similar" in two dimensions: clusters on a circle, permuted.

Source: Nielsen, Marconato, Dittadi and Gresele, "When Does Closeness in Distribution Imply Representational
Similarity?" (NeurIPS 2025, arXiv 2506.03784), theorem 3.1 and table 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args

from simbench.errors import SimbenchError
from simbench.lazy import lazy_import
from simbench.models.synthetic.base import GENERATOR_VERSION, Synthetic, UnembeddingModel, generator
from simbench.sanity.generated_models import PermutedClasses
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

CLASS_COUNTS: tuple[int, ...] = get_args(PermutedClasses)
ANGLE_SPREAD = math.pi / 64
LENGTH, LENGTH_SPREAD = 2.0, 0.01


@generator("permuted_clusters", version=GENERATOR_VERSION, pair="permuted")
def permuted_clusters(
    *, classes: int = 7, rho: float = 20.0, permuted: bool, inputs_per_class: int = 500, seed: int = 0
) -> Synthetic:
    """Make one of two models whose outputs agree as `rho` grows and whose embeddings are not linearly related.

    Each label has an unembedding of length `rho` in one of K equally spaced directions, and its inputs a cluster of
    embeddings around the same direction, at θ + δ with δ uniform in ±π/64 and of length 2 + |N(0, 0.01²)|. The
    permuted model puts label k, and its cluster, where label π(k) = 2k + 5 mod K is in the other one. An input keeps
    its length and takes the angular noise of the cluster whose place it takes. With K = 7 and rho = 20 the two are
    within 1e-4 in KL, and the canonical correlations of their embeddings are 0.

    Both models of one (classes, rho, inputs_per_class, seed) are read on the same inputs in the same order.

    Args:
        classes: 5, 7, 11 or 13.
        rho: length of the unembeddings.
        permuted: whether to make the model with permuted clusters.
        inputs_per_class: number in `probe`, and again in `fit`.
        seed: seed of the noise, which does not depend on `rho`, so that only closeness varies along a grid of `rho`.

    Raises:
        SimbenchError: another number of classes.
    """
    if classes not in CLASS_COUNTS:
        valid = ", ".join(map(str, CLASS_COUNTS))
        raise SimbenchError(f"permuted clusters exist for {valid} classes, not for {classes}")
    labels = torch.arange(classes)
    place = (2 * labels + 5) % classes if permuted else labels
    angles = place.double() * (2 * math.pi / classes)
    targets = labels.repeat_interleave(inputs_per_class)
    return Synthetic(
        UnembeddingModel(rho * directions(angles)),
        _clusters(angles, place, inputs_per_class, seed_for(purpose="permuted clusters", part="probe", seed=seed)),
        targets,
        _clusters(angles, place, inputs_per_class, seed_for(purpose="permuted clusters", part="fit", seed=seed)),
        targets,
    )


def _clusters(angles: Tensor, place: Tensor, inputs_per_class: int, seed: int) -> Tensor:
    """Draw embeddings `(classes · inputs_per_class, 2)`, class by class."""
    random = torch.Generator().manual_seed(seed)
    shape = (len(angles), inputs_per_class)
    noise = (2 * torch.rand(shape, generator=random, dtype=torch.float64) - 1) * ANGLE_SPREAD
    lengths = LENGTH + (LENGTH_SPREAD * torch.randn(shape, generator=random, dtype=torch.float64)).abs()
    embeddings = lengths[..., None] * directions(angles[:, None] + noise[place])
    return embeddings.reshape(-1, 2)


def directions(angles: Tensor) -> Tensor:
    """Return the unit vectors `(..., 2)` at these angles."""
    return torch.stack([angles.cos(), angles.sin()], dim=-1)
