"""Variants of stitching: other starts, other losses and other forms of the map than in `stitching`.

Each is a metric of its own, with the parameters of the one that it varies, so that none changes the scores of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from simbench.metrics.metric import Pairs, Score, metric
from simbench.metrics.stitching.map_forms import LowRank, Orthogonal
from simbench.metrics.stitching.pairs import directly_matched, task_matched
from simbench.metrics.stitching.scores import functional_score
from simbench.metrics.stitching.trained_maps import Training

if TYPE_CHECKING:
    from simbench.representations.representation import Representation

NEEDS = frozenset({"model", "fit", "targets"})
RANK = 8
ACCURACY = "clip((acc(h) − c) / (acc(g) − c), 0, 1), h stitched by "
TRAINED_ON_LABELS = "argmin E[CE(h(x), y)]"


def stitch_direct_low_rank_many(
    representations: Sequence[Representation], pairs: Pairs, *, rank: PositiveInt = RANK
) -> list[Score]:
    """Direct matching of many pairs by maps of low rank."""
    return directly_matched(functional_score, representations, pairs, LowRank(rank))


@metric(
    "stitch_direct_low_rank",
    version=1,
    higher_is_more_similar=True,
    value_range=(0, 1),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    needs=NEEDS,
    family="stitching",
    formula=ACCURACY + "T = argmin ‖T f_i − g_j‖² over maps of at most this rank",
    reference="Csiszárik et al. (2021), Similarity and Matching of Neural Network Representations; "
    "Izenman (1975), Reduced-rank regression for the multivariate linear model",
    compare_many=stitch_direct_low_rank_many,
)
def stitch_direct_low_rank(sender: Representation, receiver: Representation, *, rank: PositiveInt = RANK) -> Score:
    """`stitch_direct` by a map of at most this rank: reduced-rank regression, in closed form.

    Range [0, 1]. From the smaller of both widths on, the rank restricts nothing.
    """
    return stitch_direct_low_rank_many([sender, receiver], [(0, 1)], rank=rank)[0]


def stitch_direct_orthogonal_many(representations: Sequence[Representation], pairs: Pairs) -> list[Score]:
    """Direct matching of many pairs by rotations and reflections."""
    return directly_matched(functional_score, representations, pairs, Orthogonal())


@metric(
    "stitch_direct_orthogonal",
    version=1,
    higher_is_more_similar=True,
    value_range=(0, 1),
    invariant_to={"orthogonal", "translation"},
    needs=NEEDS,
    family="stitching",
    formula=ACCURACY + "T z = Qz + b = argmin ‖T f_i − g_j‖² over orthogonal Q, narrower side padded with zeros",
    reference="Csiszárik et al. (2021), Similarity and Matching of Neural Network Representations; "
    "Schönemann (1966), A generalized solution of the orthogonal Procrustes problem",
    compare_many=stitch_direct_orthogonal_many,
)
def stitch_direct_orthogonal(sender: Representation, receiver: Representation) -> Score:
    """`stitch_direct` by an orthogonal map and a bias, without scale: orthogonal Procrustes, in closed form.

    Range [0, 1]. Between different widths the map is a block of an orthogonal one.
    """
    return stitch_direct_orthogonal_many([sender, receiver], [(0, 1)])[0]


def stitch_task_direct_init_many(
    representations: Sequence[Representation], pairs: Pairs, **settings: Any
) -> list[Score]:
    """Task loss matching of many pairs, from the directly matched maps."""
    return task_matched(functional_score, representations, pairs, Training(**settings, start="direct"))


@metric(
    "stitch_task_direct_init",
    version=1,
    higher_is_more_similar=True,
    value_range=(0, 1),
    invariant_to={"permutation"},
    needs=NEEDS,
    family="stitching",
    formula=ACCURACY + "T = " + TRAINED_ON_LABELS + ", T from argmin ‖T f_i − g_j‖²",
    reference="Csiszárik et al. (2021), Similarity and Matching of Neural Network Representations; "
    "Balogh & Jelasity (2025), arXiv 2412.11299, task loss matching",
    cost="heavy",
    compare_many=stitch_task_direct_init_many,
)
def stitch_task_direct_init(
    sender: Representation,
    receiver: Representation,
    *,
    epochs: NonNegativeInt = 30,
    batch_size: PositiveInt = 256,
    learning_rate: PositiveFloat = 1e-3,
    weight_decay: NonNegativeFloat = 1e-5,
) -> Score:
    """`stitch_task`, trained from the directly matched map rather than from a random one.

    Range [0, 1]. Without training (`epochs: 0`) it is `stitch_direct`. Skipped where direct matching is.
    """
    return stitch_task_direct_init_many(
        [sender, receiver],
        [(0, 1)],
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )[0]


def stitch_task_soft_many(representations: Sequence[Representation], pairs: Pairs, **settings: Any) -> list[Score]:
    """Task loss matching of many pairs, on the receivers' own outputs."""
    return task_matched(functional_score, representations, pairs, Training(**settings, wanted="outputs"))


@metric(
    "stitch_task_soft",
    version=1,
    higher_is_more_similar=True,
    value_range=(0, 1),
    needs=NEEDS,
    family="stitching",
    formula=ACCURACY + "T = argmin E[CE(h(x), softmax g(x))]",
    reference="Balogh & Jelasity (2025), arXiv 2412.11299; Csiszárik et al. (2021), soft labels",
    cost="heavy",
    compare_many=stitch_task_soft_many,
)
def stitch_task_soft(
    sender: Representation,
    receiver: Representation,
    *,
    epochs: NonNegativeInt = 30,
    batch_size: PositiveInt = 256,
    learning_rate: PositiveFloat = 1e-3,
    weight_decay: NonNegativeFloat = 1e-5,
) -> Score:
    """`stitch_task`, trained on the receiver's softmax outputs rather than on the labels.

    Range [0, 1]. T learns to make the receiver do what it did, right or wrong.
    """
    return stitch_task_soft_many(
        [sender, receiver],
        [(0, 1)],
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )[0]


def stitch_task_low_rank_many(
    representations: Sequence[Representation], pairs: Pairs, *, rank: PositiveInt = RANK, **settings: Any
) -> list[Score]:
    """Task loss matching of many pairs by maps of low rank."""
    return task_matched(functional_score, representations, pairs, Training(**settings, form=LowRank(rank)))


@metric(
    "stitch_task_low_rank",
    version=1,
    higher_is_more_similar=True,
    value_range=(0, 1),
    needs=NEEDS,
    family="stitching",
    formula=ACCURACY + "T z = UVᵀz + b, " + TRAINED_ON_LABELS,
    reference="Csiszárik et al. (2021), Similarity and Matching of Neural Network Representations; factorisation ours",
    cost="heavy",
    compare_many=stitch_task_low_rank_many,
)
def stitch_task_low_rank(
    sender: Representation,
    receiver: Representation,
    *,
    rank: PositiveInt = RANK,
    epochs: NonNegativeInt = 30,
    batch_size: PositiveInt = 256,
    learning_rate: PositiveFloat = 1e-3,
    weight_decay: NonNegativeFloat = 1e-5,
) -> Score:
    """`stitch_task` by a map of at most this rank, trained as a product of two factors.

    Range [0, 1]. The factors start as those of the best approximation to the map from which `stitch_task` starts.
    """
    return stitch_task_low_rank_many(
        [sender, receiver],
        [(0, 1)],
        rank=rank,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )[0]


def stitch_task_orthogonal_many(
    representations: Sequence[Representation], pairs: Pairs, **settings: Any
) -> list[Score]:
    """Task loss matching of many pairs by orthogonal maps."""
    return task_matched(functional_score, representations, pairs, Training(**settings, form=Orthogonal()))


@metric(
    "stitch_task_orthogonal",
    version=1,
    higher_is_more_similar=True,
    value_range=(0, 1),
    needs=NEEDS,
    family="stitching",
    formula=ACCURACY + "T z = Qz + b, " + TRAINED_ON_LABELS + " over orthogonal Q",
    reference="Csiszárik et al. (2021), Similarity and Matching of Neural Network Representations; "
    "Cayley parametrisation ours",
    cost="heavy",
    compare_many=stitch_task_orthogonal_many,
)
def stitch_task_orthogonal(
    sender: Representation,
    receiver: Representation,
    *,
    epochs: NonNegativeInt = 30,
    batch_size: PositiveInt = 256,
    learning_rate: PositiveFloat = 1e-3,
    weight_decay: NonNegativeFloat = 1e-5,
) -> Score:
    """`stitch_task` by an orthogonal map and a bias.

    Range [0, 1]. Q starts next to the map from which `stitch_task` starts and turns from there: between equal widths it
    is a rotation or a rotoreflection by the shape alone. Weight decay acts on the bias only.
    """
    return stitch_task_orthogonal_many(
        [sender, receiver],
        [(0, 1)],
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )[0]
