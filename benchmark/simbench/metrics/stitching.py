"""Stitching: how well one network works when a layer of another one, mapped affinely, replaces a layer of its own.

The stitched network is h = g_{>j} ∘ T ∘ R ∘ f_i, everything frozen but T: f_i is the sender's layer, g_{>j} the rest
of the receiver, R resizes space where sizes differ (bilinear), T is an affine map of the features (a 1 × 1 convolution
with bias). *Direct matching* takes T = argmin ‖T R f_i − g_j‖² in closed form; *task loss matching* trains T.

Balogh & Jelasity (2025), arXiv 2412.11299, section 3; Bansal et al. (2021); Csiszárik et al. (2021). The first argument
is the sender, the second the receiver.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.affine_maps import (
    Affine,
    DirectMatching,
    grid,
    groups_trained_together,
    mapped,
    require_map,
    resized,
    rows_of,
    trained_maps,
)
from simbench.metrics.metric import Pairs, Score, metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

NEEDS = ("model", "fit", "targets")
LEAST_ADVANTAGE = 0.05
"""A receiver whose accuracy is not this much above chance says nothing about the sender."""
EVALUATION_BATCH = 400
"""A multiple of the batch in which models run, so that a layer stitched to itself meets the same batches."""


def stitch_direct_many(representations: Sequence[Representation], pairs: Pairs) -> list[Score]:
    """Functional direct matching of many pairs; one Gram matrix per sender and target size."""
    return _directly_matched(functional_score, representations, pairs)


def stitch_direct_r2_many(representations: Sequence[Representation], pairs: Pairs) -> list[Score]:
    """Structural direct matching of many pairs, centred."""
    return _directly_matched(held_out_r2, representations, pairs)


def stitch_direct_relerr_many(representations: Sequence[Representation], pairs: Pairs) -> list[Score]:
    """Structural direct matching of many pairs, uncentred."""
    return _directly_matched(relative_error, representations, pairs)


@metric(
    "stitch_direct",
    version=1,
    higher_is_more_similar=True,
    value_range=(0, 1),
    invariant_to=("affine",),
    needs=NEEDS,
    family="stitching",
    formula="clip((acc(h) − c) / (acc(g) − c), 0, 1), h stitched by T = argmin ‖T f_i − g_j‖², c = chance",
    reference="Balogh & Jelasity (2025), arXiv 2412.11299, direct matching, functional; normalisation ours",
    default=True,
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
    invariant_to=("orthogonal", "isotropic_scaling", "translation"),
    needs=("fit",),
    family="stitching",
    formula="1 − ‖T f_i − g_j‖² / ‖g_j − mean g_j‖² on held-out inputs, T = argmin on the fit inputs",
    reference="Balogh & Jelasity (2025), arXiv 2412.11299, direct matching, structural; centred and held-out: ours",
    default=True,
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
    invariant_to=("orthogonal", "isotropic_scaling"),
    needs=("fit",),
    family="stitching",
    formula="‖T f_i − g_j‖² / ‖g_j‖² on held-out inputs, T = argmin on the fit inputs",
    reference="Balogh & Jelasity (2025), arXiv 2412.11299, direct matching, structural",
    compare_many=stitch_direct_relerr_many,
)
def stitch_direct_relerr(sender: Representation, receiver: Representation) -> Score:
    """Relative error of the receiver's held-out activations, predicted from the sender through an affine map.

    Range [0, ∞); 0 for a layer with itself. Uncentred, so that it has a ceiling well below what its range suggests: a
    receiver with a large mean is predicted well from anything. Prefer `stitch_direct_r2`.
    """
    return stitch_direct_relerr_many([sender, receiver], [(0, 1)])[0]


def stitch_task_many(
    representations: Sequence[Representation],
    pairs: Pairs,
    *,
    epochs: NonNegativeInt = 30,
    batch_size: PositiveInt = 256,
    learning_rate: PositiveFloat = 1e-3,
    weight_decay: NonNegativeFloat = 1e-5,
) -> list[Score]:
    """Task loss matching of many pairs; all senders of one receiving layer are trained together."""
    chosen = [(representations[a], representations[b]) for a, b in pairs]
    scores = {position: score for position, pair in enumerate(chosen) if (score := _impossible(*pair)) is not None}
    possible = [position for position in range(len(pairs)) if position not in scores]
    for group in groups_trained_together([chosen[position] for position in possible]):
        together = [possible[index] for index in group]
        trained = [chosen[position] for position in together]
        maps = trained_maps(trained, epochs, batch_size, learning_rate, weight_decay)
        for position, pair, affine in zip(together, trained, maps, strict=True):
            scores[position] = functional_score(*pair, affine)
    return [scores[position] for position in range(len(pairs))]


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


def functional_score(sender: Representation, receiver: Representation, affine: Affine) -> Score:
    """The stitched network's accuracy on the probe, between chance (0) and the receiver's own accuracy (1)."""
    targets, chance, own = _receiver_accuracy(receiver)
    logits = stitched_logits(sender, receiver, affine)
    accuracy = _accuracy(logits, targets)
    cross_entropy = torch.nn.functional.cross_entropy(logits.double(), targets).item()
    value = (accuracy - chance) / (own - chance)
    standard_error = math.sqrt(max(accuracy * (1 - accuracy), 0.0) / len(targets)) / (own - chance)
    return Score(min(max(value, 0.0), 1.0), standard_error=standard_error, tiebreak=-cross_entropy)


def held_out_r2(sender: Representation, receiver: Representation, affine: Affine) -> Score:
    """1 − SSE / ‖Y − mean Y‖² over all positions of the probe inputs."""
    target, residual = _residual(sender, receiver, affine)
    return Score(1.0 - (residual.square().sum() / (target - target.mean(dim=0)).square().sum()).item())


def relative_error(sender: Representation, receiver: Representation, affine: Affine) -> Score:
    """SSE / ‖Y‖² over all positions of the probe inputs."""
    target, residual = _residual(sender, receiver, affine)
    return Score((residual.square().sum() / target.square().sum()).item())


def stitched_logits(sender: Representation, receiver: Representation, affine: Affine) -> Tensor:
    """`(n, labels)` on the probe inputs."""
    assert receiver.model is not None
    source = resized(sender, receiver)
    logits = []
    with torch.no_grad():
        for start in range(0, len(source), EVALUATION_BATCH):
            chunk = slice(start, start + EVALUATION_BATCH)
            inputs = None if receiver.inputs is None else receiver.inputs[chunk]
            stitched = mapped(source[chunk], sender.feature_axis, receiver, affine)
            logits.append(receiver.model.continue_from(receiver.layer, stitched, inputs))
    return torch.cat(logits)


def _directly_matched(
    read_off: Callable[[Representation, Representation, Affine], Score],
    representations: Sequence[Representation],
    pairs: Pairs,
) -> list[Score]:
    """Solve for each pair's map and read a score off it; a pair that has none is skipped with the reason."""
    matching = DirectMatching()
    scores: dict[int, Score] = {}
    for position in sorted(range(len(pairs)), key=lambda k: (pairs[k][0], grid(representations[pairs[k][1]]))):
        sender, receiver = (representations[side] for side in pairs[position])
        try:
            scores[position] = read_off(sender, receiver, matching.map_of(sender, receiver))
        except NotApplicable as reason:
            scores[position] = Score.skip(str(reason))
    return [scores[position] for position in range(len(pairs))]


def _residual(sender: Representation, receiver: Representation, affine: Affine) -> tuple[Tensor, Tensor]:
    """(Y, Y − T X) on the probe inputs, a row per position, float64."""
    source = rows_of(resized(sender, receiver), sender).double()
    target = rows_of(receiver.activations, receiver).double()
    return target, target - (source @ affine.weight.T.double() + affine.bias.double())


# --- accuracy ---------------------------------------------------------------------------------------------------------


def _receiver_accuracy(receiver: Representation) -> tuple[Tensor, float, float]:
    """(targets, chance, the receiver's own accuracy)."""
    assert receiver.targets is not None
    chance = 1.0 / (receiver.classes or int(receiver.targets.max()) + 1)
    own = _accuracy(receiver.logits, receiver.targets)
    if own - chance < LEAST_ADVANTAGE:
        raise NotApplicable(f"receiver is not better than chance: accuracy {own:.3f}, chance {chance:.3f}")
    return receiver.targets, chance, own


def _accuracy(logits: Tensor, targets: Tensor) -> float:
    return (logits.argmax(dim=1) == targets).double().mean().item()


def _impossible(sender: Representation, receiver: Representation) -> Score | None:
    """Why nothing can be stitched here, before anything is trained."""
    try:
        require_map(sender, receiver)
        _receiver_accuracy(receiver)
    except NotApplicable as reason:
        return Score.skip(str(reason))
    return None
