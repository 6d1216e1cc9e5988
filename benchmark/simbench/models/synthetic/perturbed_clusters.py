"""A model and ever noisier copies of it, which a distance should put in order.

Source: Nielsen, Marconato, Dittadi and Gresele, "When Does Closeness in Distribution Imply Representational
Similarity?" (NeurIPS 2025, arXiv 2506.03784), appendix F.6.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args

from simbench.errors import SimbenchError
from simbench.lazy import lazy_import
from simbench.models.synthetic.base import GENERATOR_VERSION, Synthetic, UnembeddingModel, generator
from simbench.models.synthetic.permuted_clusters import ANGLE_SPREAD, LENGTH_SPREAD, directions
from simbench.sanity.generated_models import PerturbedClasses
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor
else:
    torch = lazy_import("torch")

# Standard deviation of the noise that one level adds, by number of classes.
NOISE_OF_A_LEVEL: dict[int, float] = dict(
    zip(get_args(PerturbedClasses), (0.005, 0.004, 0.004, 0.0025, 0.002), strict=True)
)
UNEMBEDDING_LENGTH, EMBEDDING_LENGTH = 20.0, 5.0


@generator("perturbed_clusters", version=GENERATOR_VERSION)
def perturbed_clusters(*, classes: int = 6, level: int = 0, inputs_per_class: int = 500, seed: int = 0) -> Synthetic:
    """Make K clusters on a circle and add noise of size `level` to every embedding; level 0 is the model itself.

    Each label has an unembedding of length 20 in one of K equally spaced directions, and its inputs a cluster of
    embeddings around the same direction, at θ + δ with δ uniform in ±π/64 and of length 5 + |N(0, 0.01²)|. Level i adds
    i · s · N(0, I) to them, s = .005, .004, .004, .0025, .002 for 4, 5, 6, 10, 18 classes; the paper goes to i = 250.

    Args:
        classes: 4, 5, 6, 10 or 18.
        level: 0 or more.
        inputs_per_class: number in `probe`, and again in `fit`.
        seed: seed of the clusters and of the noise, which is the same at all levels but for its size.

    Raises:
        SimbenchError: another number of classes, or a negative level.
    """
    if classes not in NOISE_OF_A_LEVEL:
        valid = ", ".join(map(str, NOISE_OF_A_LEVEL))
        raise SimbenchError(f"perturbed clusters exist for {valid} classes, not for {classes}")
    if level < 0:
        raise SimbenchError(f"perturbed clusters need a level of 0 or more, not {level}")
    angles = torch.arange(classes, dtype=torch.float64) * (2 * math.pi / classes)
    targets = torch.arange(classes).repeat_interleave(inputs_per_class)

    def embeddings(part: str) -> Tensor:
        random = torch.Generator().manual_seed(seed_for(purpose="perturbed clusters", part=part, seed=seed))
        clean = _clusters(angles, inputs_per_class, random)
        noise = torch.randn(clean.shape, generator=random, dtype=torch.float64)
        return clean + level * NOISE_OF_A_LEVEL[classes] * noise

    model = UnembeddingModel(UNEMBEDDING_LENGTH * directions(angles))
    return Synthetic(model, embeddings("probe"), targets, embeddings("fit"), targets)


def _clusters(angles: Tensor, inputs_per_class: int, random: Generator) -> Tensor:
    """Draw embeddings `(classes · inputs_per_class, 2)`, class by class."""
    shape = (len(angles), inputs_per_class)
    off = (2 * torch.rand(shape, generator=random, dtype=torch.float64) - 1) * ANGLE_SPREAD
    lengths = EMBEDDING_LENGTH + (LENGTH_SPREAD * torch.randn(shape, generator=random, dtype=torch.float64)).abs()
    return (lengths[..., None] * directions(angles[:, None] + off)).reshape(-1, 2)
