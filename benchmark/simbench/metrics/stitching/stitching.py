"""Stitching: how well one network works when a layer of another one, mapped affinely, replaces a layer of its own.

The stitched network is h = g_{>j} ∘ T ∘ R ∘ f_i, everything frozen but T: f_i is the sender's layer, g_{>j} the rest
of the receiver, R resizes space where sizes differ (bilinear), T is an affine map of the features (a 1 × 1 convolution
with bias). *Direct matching* takes T = argmin ‖T R f_i − g_j‖² in closed form; *task loss matching* trains T.

Balogh & Jelasity (2025), arXiv 2412.11299, section 3; Bansal et al. (2021); Csiszárik et al. (2021). The first argument
is the sender, the second the receiver.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from simbench.metrics.metric import Pairs, Score, metric
from simbench.metrics.stitching.pairs import directly_matched, task_matched
from simbench.metrics.stitching.scores import agreement, functional_score, held_out_r2, relative_error
from simbench.metrics.stitching.trained_maps import Training

if TYPE_CHECKING:
    from simbench.representations.representation import Representation

NEEDS = frozenset({"model", "fit", "targets"})


def stitch_direct_many(representations: Sequence[Representation], pairs: Pairs) -> list[Score]:
    """Functional direct matching of many pairs; one Gram matrix per sender and target size."""
    return directly_matched(functional_score, representations, pairs)


def stitch_direct_r2_many(representations: Sequence[Representation], pairs: Pairs) -> list[Score]:
    """Structural direct matching of many pairs, centred."""
    return directly_matched(held_out_r2, representations, pairs)


def stitch_direct_relerr_many(representations: Sequence[Representation], pairs: Pairs) -> list[Score]:
    """Structural direct matching of many pairs, uncentred."""
    return directly_matched(relative_error, representations, pairs)


@metric(
    "stitch_direct",
    version=1,
    higher_is_more_similar=True,
    value_range=(0, 1),
    invariant_to={"affine"},
    needs=NEEDS,
    family="stitching",
    formula="clip((acc(h) − c) / (acc(g) − c), 0, 1), h stitched by T = argmin ‖T f_i − g_j‖², c = chance",
    reference="Balogh & Jelasity (2025), arXiv 2412.11299, direct matching, functional; normalisation ours",
    default=True,
    map="direct",
    compare_many=stitch_direct_many,
)
def stitch_direct(sender: Representation, receiver: Representation) -> Score:
    """Accuracy of the receiver when the sender's layer, mapped by least squares, replaces its own.

    Range [0, 1]; 1 is the receiver's own accuracy, 0 chance. Ties are broken by the held-out cross entropy.
    Skipped where the receiver is not better than chance or the fit has fewer than 5 (d + 1) rows.
    """
    return stitch_direct_many([sender, receiver], [(0, 1)])[0]


@metric(
    "stitch_direct_r2",
    version=1,
    higher_is_more_similar=True,
    value_range=(float("-inf"), 1),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    needs={"fit"},
    family="stitching",
    formula="1 − ‖T f_i − g_j‖² / ‖g_j − mean g_j‖² on held-out inputs, T = argmin on the fit inputs",
    reference="Balogh & Jelasity (2025), arXiv 2412.11299, direct matching, structural; centred and held-out: ours",
    default=True,
    map="direct",
    compare_many=stitch_direct_r2_many,
)
def stitch_direct_r2(sender: Representation, receiver: Representation) -> Score:
    """Share of the receiver's held-out variance that the sender explains through an affine map.

    Range (−∞, 1]; 1 for a layer with itself, about −d / rows for an independent sender.
    """
    return stitch_direct_r2_many([sender, receiver], [(0, 1)])[0]


@metric(
    "stitch_direct_relerr",
    version=1,
    higher_is_more_similar=False,
    value_range=(0, float("inf")),
    invariant_to={"orthogonal", "isotropic_scaling"},
    needs={"fit"},
    family="stitching",
    formula="‖T f_i − g_j‖² / ‖g_j‖² on held-out inputs, T = argmin on the fit inputs",
    reference="Balogh & Jelasity (2025), arXiv 2412.11299, direct matching, structural",
    map="direct",
    compare_many=stitch_direct_relerr_many,
)
def stitch_direct_relerr(sender: Representation, receiver: Representation) -> Score:
    """Relative error of the receiver's held-out activations, predicted from the sender through an affine map.

    Range [0, ∞); 0 for a layer with itself. Uncentred, so that it has a ceiling well below what its range suggests: a
    receiver with a large mean is predicted well from anything. Prefer `stitch_direct_r2`.
    """
    return stitch_direct_relerr_many([sender, receiver], [(0, 1)])[0]


def stitch_direct_agreement_many(representations: Sequence[Representation], pairs: Pairs) -> list[Score]:
    """Agreement of many pairs under direct matching."""
    return directly_matched(agreement, representations, pairs)


@metric(
    "stitch_direct_agreement",
    version=1,
    higher_is_more_similar=True,
    value_range=(0, 1),
    invariant_to={"affine"},
    needs=NEEDS,
    family="stitching",
    formula="share of inputs with argmax h(x) = argmax g(x), h stitched by T = argmin ‖T f_i − g_j‖²",
    reference="Balogh & Jelasity (2025), arXiv 2412.11299, direct matching; agreement with the receiver ours",
    map="direct",
    compare_many=stitch_direct_agreement_many,
)
def stitch_direct_agreement(sender: Representation, receiver: Representation) -> Score:
    """Share of inputs on which the receiver predicts the same with the sender's layer, mapped by least squares.

    Range [0, 1]; 1 for a layer with itself. What the receiver gets wrong counts as much as what it gets right. Ties
    are broken by the cross entropy against the receiver's own outputs.
    """
    return stitch_direct_agreement_many([sender, receiver], [(0, 1)])[0]


def stitch_task_many(representations: Sequence[Representation], pairs: Pairs, **settings: Any) -> list[Score]:
    """Task loss matching of many pairs; all senders of one receiving layer are trained together."""
    return task_matched(functional_score, representations, pairs, Training(**settings))


@metric(
    "stitch_task",
    version=1,
    higher_is_more_similar=True,
    value_range=(0, 1),
    needs=NEEDS,
    family="stitching",
    formula="clip((acc(h) − c) / (acc(g) − c), 0, 1), h stitched by T = argmin E[CE(h(x), y)], c = chance",
    reference="Bansal et al. (2021); Balogh & Jelasity (2025), arXiv 2412.11299, task loss matching; scale ours",
    default=True,
    cost="heavy",
    map="task",
    compare_many=stitch_task_many,
)
def stitch_task(
    sender: Representation,
    receiver: Representation,
    *,
    epochs: NonNegativeInt = 30,
    batch_size: PositiveInt = 256,
    learning_rate: PositiveFloat = 1e-3,
    weight_decay: NonNegativeFloat = 1e-5,
) -> Score:
    """Accuracy of the receiver when the sender's layer, mapped by training on the task, replaces its own.

    Range [0, 1]; 1 is the receiver's own accuracy, 0 chance. T starts from PyTorch's default initialisation of a linear
    layer and learns with Adam (the paper: 30 epochs, batch 256, rate 1e-3, decay 1e-5); seeded by its shapes.
    """
    return stitch_task_many(
        [sender, receiver],
        [(0, 1)],
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )[0]


def stitch_task_agreement_many(representations: Sequence[Representation], pairs: Pairs, **settings: Any) -> list[Score]:
    """Agreement of many pairs under task loss matching, trained as for `stitch_task`."""
    return task_matched(agreement, representations, pairs, Training(**settings))


@metric(
    "stitch_task_agreement",
    version=1,
    higher_is_more_similar=True,
    value_range=(0, 1),
    needs=NEEDS,
    family="stitching",
    formula="share of inputs with argmax h(x) = argmax g(x), h stitched by T = argmin E[CE(h(x), y)]",
    reference="Balogh & Jelasity (2025), arXiv 2412.11299, task loss matching; agreement with the receiver ours",
    cost="heavy",
    map="task",
    compare_many=stitch_task_agreement_many,
)
def stitch_task_agreement(
    sender: Representation,
    receiver: Representation,
    *,
    epochs: NonNegativeInt = 30,
    batch_size: PositiveInt = 256,
    learning_rate: PositiveFloat = 1e-3,
    weight_decay: NonNegativeFloat = 1e-5,
) -> Score:
    """Share of inputs on which the receiver predicts the same with the sender's layer, mapped by training on the task.

    Range [0, 1]. The map is that of `stitch_task`; a layer stitched to itself need not reach 1.
    """
    return stitch_task_agreement_many(
        [sender, receiver],
        [(0, 1)],
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )[0]
