"""Pairs of models that show why embeddings and unembeddings must be judged jointly.

* `separately_rotated`: embeddings and unembeddings each agree up to a rotation, and yet no prediction is the same;
* `exchanged_unembeddings`: the embeddings are equal and the distributions close, and yet the unembeddings differ.

Source: the synthetic examples of Nielsen et al., "Logit Distance Bounds Representational Similarity" (2026, arXiv
2602.15438).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.models.synthetic.base import GENERATOR_VERSION, Synthetic, UnembeddingModel, generator
from simbench.models.synthetic.permuted_clusters import directions
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

ROTATED_ANGLES = tuple(math.pi * turn for turn in (0, 1 / 2, 1, 5 / 4, 7 / 4))
ROTATED_UNEMBEDDING_LENGTH, ROTATED_EMBEDDING_LENGTH, ROTATED_NOISE = 8.0, 5.0, 0.5
ROTATION = math.pi / 4

EXCHANGED_ANGLES = tuple(math.pi / 16 * step for step in (0, 1, 2, 3, 10, 16, 20, 26))
# Of the last four labels, two at a time share the direction halfway between their unembeddings.
EXCHANGED_CLUSTERS = tuple(math.pi / 16 * step for step in (0, 1, 2, 3, 13, 13, 23, 23))
EXCHANGED_ORDER = (0, 1, 2, 3, 5, 4, 7, 6)
EXCHANGED_UNEMBEDDING_LENGTH = 5.5
EXCHANGED_LENGTH, EXCHANGED_SPREAD = 2.0, math.pi / 256


@generator("separately_rotated", version=GENERATOR_VERSION, pair="rotated")
def separately_rotated(*, rotated: bool, inputs_per_class: int = 100, seed: int = 0) -> Synthetic:
    """Make one of two models with f′ = R(45°) f and g′ = R(−45°) g: m_CCA is 1 on both sides, agreement is 0.

    Five labels at 0°, 90°, 180°, 225° and 315°, unembeddings of length 8, clusters N(5 · direction, ¼ I).

    Args:
        rotated: whether to make the rotated model.
        inputs_per_class: number in `probe`, and again in `fit`.
        seed: seed of the noise.
    """
    centres = directions(torch.tensor(ROTATED_ANGLES, dtype=torch.float64))
    targets = torch.arange(len(centres)).repeat_interleave(inputs_per_class)
    turn = ROTATION if rotated else 0.0

    def embeddings(part: str) -> Tensor:
        random = torch.Generator().manual_seed(seed_for(purpose="separately rotated", part=part, seed=seed))
        noise = torch.randn(len(targets), 2, generator=random, dtype=torch.float64)
        return (ROTATED_EMBEDDING_LENGTH * centres[targets] + ROTATED_NOISE * noise) @ _rotation(turn).T

    model = UnembeddingModel(ROTATED_UNEMBEDDING_LENGTH * centres @ _rotation(-turn).T)
    return Synthetic(model, embeddings("probe"), targets, embeddings("fit"), targets)


@generator("exchanged_unembeddings", version=GENERATOR_VERSION, pair="exchanged")
def exchanged_unembeddings(*, exchanged: bool, inputs_per_class: int = 500, seed: int = 0) -> Synthetic:
    """Make one of two models with equal embeddings, within .005 in KL, whose unembeddings have an m_CCA of .674.

    Eight labels with unembeddings of length 5.5 at 0, 1, 2, 3, 10, 16, 20 and 26 sixteenths of 180°. The inputs lie at
    the angles of the first four and halfway between the others, at 13, 13, 23 and 23, give or take π/256, at lengths
    2 + |N(0, 1)|. The other model exchanges the fifth with the sixth, and the seventh with the eighth unembedding.

    Args:
        exchanged: whether to make the model with exchanged unembeddings.
        inputs_per_class: number in `probe`, and again in `fit`.
        seed: seed of the noise.
    """
    unembedding = EXCHANGED_UNEMBEDDING_LENGTH * directions(torch.tensor(EXCHANGED_ANGLES, dtype=torch.float64))
    centres = torch.tensor(EXCHANGED_CLUSTERS, dtype=torch.float64)
    targets = torch.arange(len(centres)).repeat_interleave(inputs_per_class)

    def embeddings(part: str) -> Tensor:
        random = torch.Generator().manual_seed(seed_for(purpose="exchanged unembeddings", part=part, seed=seed))
        off = (2 * torch.rand(len(targets), generator=random, dtype=torch.float64) - 1) * EXCHANGED_SPREAD
        lengths = EXCHANGED_LENGTH + torch.randn(len(targets), generator=random, dtype=torch.float64).abs()
        return lengths[:, None] * directions(centres[targets] + off)

    model = UnembeddingModel(unembedding[list(EXCHANGED_ORDER)] if exchanged else unembedding)
    return Synthetic(model, embeddings("probe"), targets, embeddings("fit"), targets)


def _rotation(angle: float) -> Tensor:
    """Return the 2 × 2 rotation matrix."""
    sine, cosine = math.sin(angle), math.cos(angle)
    return torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
