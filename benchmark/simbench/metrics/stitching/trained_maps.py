"""Affine maps trained on the receiver's task, many senders of one receiving layer at once: task loss matching.

Only T learns, on the fitting inputs. The sender's activations are read once; only the rest of the receiver runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import NonNegativeFloat, PositiveFloat

from simbench.bounds import Epochs, Inputs
from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.metric import Pairs
from simbench.metrics.stitching.affine_maps import (
    Affine,
    DirectMatching,
    MapsOfPairs,
    Pair,
    fits_of,
    grid,
    require_map,
    require_rows,
    resize,
)
from simbench.metrics.stitching.map_forms import ANY, MapForm
from simbench.metrics.stitching.scores import receiver_accuracy
from simbench.representations.selection import taken
from simbench.representations.transforms import UndoingModel
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor

    from simbench.representations.representation import Representation, RepresentedModel
else:
    torch = lazy_import("torch")

# The most maps that are trained at once: more gain little time, and each holds the activations of a whole pass.
LARGEST_GROUP = 16

# Training starts from PyTorch's default initialisation of a linear layer, or from the directly matched map.
Start = Literal["random", "direct"]
# The stitched network shall predict the labels, or the receiver's own softmax outputs.
Aim = Literal["labels", "outputs"]


@dataclass(frozen=True)
class AdamSettings:
    """Settings of Adam, which metrics have as parameters; defaults of Balogh & Jelasity (2025), arXiv 2412.11299."""

    epochs: Epochs = 30
    batch_size: Inputs = 256
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 1e-5


@dataclass(frozen=True)
class TaskTraining(AdamSettings):
    """Settings of the optimiser, the form of the maps, where training starts and what it aims at."""

    form: MapForm = ANY
    start: Start = "random"
    aim: Aim = "labels"


def train_maps(representations: Sequence[Representation], pairs: Pairs, training: TaskTraining) -> MapsOfPairs:
    """Train the maps of many pairs, all senders of one receiving layer together.

    Where nothing can be stitched, nothing is trained.
    """
    chosen = [(representations[a], representations[b]) for a, b in pairs]
    reasons = {k: reason for k, pair in enumerate(chosen) if (reason := _obstacle(*pair, training)) is not None}
    yield from reasons.items()
    possible = [position for position in range(len(pairs)) if position not in reasons]
    for group in group_pairs([chosen[position] for position in possible]):
        together = [possible[index] for index in group]
        yield from zip(together, train_group([chosen[k] for k in together], training), strict=True)


def group_pairs(pairs: Sequence[Pair]) -> list[list[int]]:
    """Return positions of pairs that can be trained together: one rest of a network, the same data and shapes."""
    groups: dict[Any, list[int]] = {}
    for position, (sender, receiver) in enumerate(pairs):
        source, target = fits_of(sender, receiver)
        key = (
            id(_network(receiver)),
            receiver.layer,
            (id(target.inputs), id(target.targets), target.activations.shape, target.layout),
            (source.activations.shape, source.layout),
        )
        groups.setdefault(key, []).append(position)
    return [
        group[start : start + LARGEST_GROUP]
        for group in groups.values()
        for start in range(0, len(group), LARGEST_GROUP)
    ]


def train_group(group: Sequence[Pair], training: TaskTraining) -> list[Affine]:
    """Train the maps of senders of one shape into one receiving layer together: one batched affine map, losses summed.

    Adam acts on each entry by itself and no loss depends on another sender's map, so the sum trains each map as if it
    were alone. Initialisation and batch order depend on shapes only, so a score does not depend on its company.
    """
    fits = [fits_of(sender, receiver) for sender, receiver in group]
    # Features are moved last once, not batch by batch: the order that gathering, multiplying and convolving take.
    sources = [_positions_of(resize(source, target), source) for source, target in fits]
    receivers = [target for _, target in fits]
    aims, inputs = _aims(receivers, training), receivers[0].inputs
    count, rows = aims.shape[:2]
    weight, bias = _start(group, training, sources[0])
    maps = training.form.trainable(weight)
    bias = bias.clone().requires_grad_()
    learned = [
        {"params": maps.learned, "weight_decay": training.weight_decay if maps.decayed else 0.0},
        {"params": [bias], "weight_decay": training.weight_decay},
    ]
    optimizer = torch.optim.Adam(learned, lr=training.learning_rate)
    order = torch.Generator().manual_seed(seed_for(purpose="stitch_task order", rows=rows))
    for _ in range(training.epochs):
        for batch in torch.split(torch.randperm(rows, generator=order).to(aims.device), training.batch_size):
            flat = torch.stack([source[batch] for source in sources]).flatten(1, 2)
            stitched = torch.baddbmm(bias[:, None, :], flat, maps.weights().mT)
            logits = _continue(stitched, len(batch), receivers, taken(inputs, batch) if inputs is not None else None)
            losses = torch.nn.functional.cross_entropy(logits, aims[:, batch].flatten(0, 1), reduction="sum")
            optimizer.zero_grad()
            (losses / len(batch)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    weight, bias = maps.weights().detach(), bias.detach()
    return [Affine(weight[k], bias[k]) for k in range(count)]


def uniform_linear(width: int, features: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw weight and bias as PyTorch initialises `Linear(width, features)`: uniform in ±1/√width."""
    bound = 1 / math.sqrt(width)
    weight = (torch.rand(features, width, generator=generator) * 2 - 1) * bound
    return weight, (torch.rand(features, generator=generator) * 2 - 1) * bound


def _start(group: Sequence[Pair], training: TaskTraining, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maps from which training starts, `(count, d₂, d₁)` and `(count, d₂)`; random ones are equal."""
    if training.start == "direct":
        matched = [DirectMatching(training.form).solve(*pair) for pair in group]
        weights, biases = (torch.stack(sides) for sides in zip(*((a.weight, a.bias) for a in matched), strict=True))
        return weights.to(like), biases.to(like)
    width, features = (side.features for side in group[0])
    generator = torch.Generator().manual_seed(seed_for(purpose="stitch_task map", width=width, features=features))
    weight, bias = (side.to(like) for side in uniform_linear(width, features, generator))
    return weight.expand(len(group), -1, -1), bias.expand(len(group), -1)


def _aims(receivers: Sequence[Representation], training: TaskTraining) -> Tensor:
    """Return what each stitched network shall predict: labels `(count, rows)`, or outputs `(count, rows, labels)`."""
    if training.aim == "outputs":
        return torch.stack([torch.softmax(receiver.logits, dim=1) for receiver in receivers])
    targets = receivers[0].targets
    assert targets is not None
    return targets.expand(len(receivers), -1)


def _continue(stitched: Tensor, rows: int, receivers: Sequence[Representation], inputs: Any) -> Tensor:
    """Return the logits of all stitched networks, sender by sender; receivers first undo their transforms."""
    first = receivers[0]
    shaped = stitched.reshape(len(receivers), rows, *grid(first), first.features)
    shaped = shaped.movedim(-1, first.feature_axis + 1)
    if any(isinstance(receiver.model, UndoingModel) for receiver in receivers):
        shaped = torch.stack([_undo(values, r.model) for values, r in zip(shaped, receivers, strict=True)])
    repeated = None if inputs is None else taken(inputs, torch.arange(rows).repeat(len(receivers)))
    logits: Tensor = _network(first).continue_from(first.layer, shaped.flatten(0, 1), repeated)
    return logits


def _undo(activations: Tensor, model: RepresentedModel | None) -> Tensor:
    """Return the activations that the network underneath all transforms expects."""
    while isinstance(model, UndoingModel):
        activations, model = model.undo(activations), model.base
    return activations


def _network(receiver: Representation) -> Any:
    """Return the network underneath all transforms."""
    model = receiver.model
    while isinstance(model, UndoingModel):
        model = model.base
    return model


def _positions_of(activations: Tensor, representation: Representation) -> Tensor:
    """Return activations as `(n, positions, features)`, contiguous."""
    moved = activations.movedim(representation.feature_axis, -1)
    return moved.reshape(moved.shape[0], -1, moved.shape[-1]).contiguous()


def _obstacle(sender: Representation, receiver: Representation, training: TaskTraining) -> NotApplicable | None:
    """Return the reason why nothing can be stitched here, before anything is trained."""
    try:
        require_map(sender, receiver)
        receiver_accuracy(receiver)
        if training.start == "direct":
            require_rows(*fits_of(sender, receiver))
    except NotApplicable as reason:
        return reason
    return None
