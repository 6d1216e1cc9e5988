"""Scores of a stitched network, or of the map that stitches it: accuracy, agreement, R², relative error.

All of them read the probe inputs, on which no map is fitted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.metric import Score
from simbench.metrics.stitching.affine_maps import Affine, apply_map, resize, rows_of, where_both_are_real

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

# A receiver whose accuracy is not this much above chance says nothing about the sender.
LEAST_ADVANTAGE = 0.05
# A multiple of the batch in which models run, so that a layer stitched to itself meets the same batches.
EVALUATION_BATCH = 400


def functional_score(sender: Representation, receiver: Representation, affine: Affine) -> Score:
    """Score the stitched network's accuracy, rescaled so that chance is 0 and the receiver's own accuracy 1."""
    targets, chance, own = receiver_accuracy(receiver)
    logits = stitched_logits(sender, receiver, affine)
    accuracy = _accuracy(logits, targets)
    cross_entropy = torch.nn.functional.cross_entropy(logits.double(), targets).item()
    value = (accuracy - chance) / (own - chance)
    standard_error = math.sqrt(max(accuracy * (1 - accuracy), 0.0) / len(targets)) / (own - chance)
    return Score(min(max(value, 0.0), 1.0), standard_error=standard_error, tiebreak=-cross_entropy)


def agreement(sender: Representation, receiver: Representation, affine: Affine) -> Score:
    """Score the share of inputs for which the stitched network and the receiver predict the same label."""
    receiver_accuracy(receiver)
    logits = stitched_logits(sender, receiver, affine)
    share = _accuracy(logits, receiver.logits.argmax(dim=1))
    cross_entropy = torch.nn.functional.cross_entropy(logits.double(), receiver.log_probabilities.exp()).item()
    standard_error = math.sqrt(max(share * (1 - share), 0.0) / len(logits))
    return Score(share, standard_error=standard_error, tiebreak=-cross_entropy)


def held_out_r2(sender: Representation, receiver: Representation, affine: Affine) -> Score:
    """Score 1 − SSE / ‖Y − mean Y‖² over all rows of the probe inputs."""
    target, residual = _residual(sender, receiver, affine)
    return Score(1.0 - (residual.square().sum() / (target - target.mean(dim=0)).square().sum()).item())


def relative_error(sender: Representation, receiver: Representation, affine: Affine) -> Score:
    """Score SSE / ‖Y‖² over all rows of the probe inputs."""
    target, residual = _residual(sender, receiver, affine)
    return Score((residual.square().sum() / target.square().sum()).item())


def stitched_logits(sender: Representation, receiver: Representation, affine: Affine) -> Tensor:
    """Return the logits of the stitched network, `(n, labels)`."""
    assert receiver.model is not None
    source = resize(sender, receiver)
    logits = []
    with torch.no_grad():
        for start in range(0, len(source), EVALUATION_BATCH):
            chunk = slice(start, start + EVALUATION_BATCH)
            inputs = None if receiver.inputs is None else receiver.inputs[chunk]
            stitched = apply_map(source[chunk], sender.feature_axis, receiver, affine)
            logits.append(receiver.model.continue_from(receiver.layer, stitched, inputs))
    return torch.cat(logits)


def _residual(sender: Representation, receiver: Representation, affine: Affine) -> tuple[Tensor, Tensor]:
    """Return Y and Y − T X, a row per position, float64; of vectors, a row per input."""
    sender, receiver = where_both_are_real(sender, receiver)
    source = rows_of(resize(sender, receiver), sender).double()
    target = rows_of(receiver.activations, receiver).double()
    return target, target - (source @ affine.weight.T.double() + affine.bias.double())


def receiver_accuracy(receiver: Representation) -> tuple[Tensor, float, float]:
    """Return the targets, the accuracy of chance and that of the receiver.

    Raises:
        NotApplicable: the receiver is not better than chance.
    """
    assert receiver.targets is not None
    chance = 1.0 / (receiver.classes or int(receiver.targets.max()) + 1)
    own = _accuracy(receiver.logits, receiver.targets)
    if own - chance < LEAST_ADVANTAGE:
        raise NotApplicable(f"receiver is not better than chance: accuracy {own:.3f}, chance {chance:.3f}")
    return receiver.targets, chance, own


def _accuracy(logits: Tensor, targets: Tensor) -> float:
    return (logits.argmax(dim=1) == targets).double().mean().item()
