"""Affine maps trained on the receiver's task, many senders of one receiving layer at once: task loss matching.

Only T learns. It is trained on the fitting inputs; the sender's activations are read once, and only the receiver's rest
runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from simbench.lazy import lazy_import
from simbench.metrics.stitching.affine_maps import Affine, DirectMatching, Pair, fits_of, grid, resized
from simbench.metrics.stitching.map_forms import ANY, Form
from simbench.representations.transforms import UndoingModel
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor

    from simbench.representations.representation import Representation, RepresentedModel
else:
    torch = lazy_import("torch")

LARGEST_GROUP = 16
"""Maps trained at once: more gain little time, and each holds the activations of a whole pass."""


@dataclass(frozen=True)
class Training:
    """How maps are trained; by default as in Balogh & Jelasity (2025), arXiv 2412.11299.

    Attributes:
        epochs, batch_size, learning_rate, weight_decay: of Adam.
        form: which maps are allowed.
        start: from PyTorch's default initialisation of a linear layer, or from the directly matched map.
        wanted: what the stitched network shall predict: the labels, or the receiver's own softmax outputs.
    """

    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    form: Form = ANY
    start: Literal["random", "direct"] = "random"
    wanted: Literal["labels", "outputs"] = "labels"


def groups_trained_together(pairs: Sequence[Pair]) -> list[list[int]]:
    """Positions of pairs that can be trained together: the same rest of a network and data, senders of one shape."""
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


def trained_maps(group: Sequence[Pair], training: Training) -> list[Affine]:
    """Train the maps of senders of one shape into one receiving layer together: one batched affine map, losses summed.

    Adam acts on each entry by itself and no loss depends on another sender's map, so the sum trains each map as if it
    were alone. Initialisation and batch order depend on shapes only, so a score does not depend on its company.
    """
    fits = [fits_of(sender, receiver) for sender, receiver in group]
    # Rows with their features last, once: the order in which batches are gathered, multiplied and convolved.
    sources = [_by_input(resized(source, target), source) for source, target in fits]
    receivers = [target for _, target in fits]
    wanted, inputs = _wanted(receivers, training), receivers[0].inputs
    count, rows = wanted.shape[:2]
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
        for batch in torch.split(torch.randperm(rows, generator=order).to(wanted.device), training.batch_size):
            flat = torch.stack([source[batch] for source in sources]).flatten(1, 2)
            stitched = torch.baddbmm(bias[:, None, :], flat, maps.weights().mT)
            logits = _continued(stitched, len(batch), receivers, inputs[batch] if inputs is not None else None)
            losses = torch.nn.functional.cross_entropy(logits, wanted[:, batch].flatten(0, 1), reduction="sum")
            optimizer.zero_grad()
            (losses / len(batch)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    weight, bias = maps.weights().detach(), bias.detach()
    return [Affine(weight[k], bias[k]) for k in range(count)]


def uniform_linear(width: int, features: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """PyTorch's initialisation of `Linear(width, features)`: weight and bias uniform in ±1/√width."""
    bound = 1 / math.sqrt(width)
    weight = (torch.rand(features, width, generator=generator) * 2 - 1) * bound
    return weight, (torch.rand(features, generator=generator) * 2 - 1) * bound


def _start(group: Sequence[Pair], training: Training, like: Tensor) -> tuple[Tensor, Tensor]:
    """`(count, d₂, d₁)` and `(count, d₂)`: the maps from which training starts; random ones are the same for all."""
    if training.start == "direct":
        matched = [DirectMatching(training.form).map_of(*pair) for pair in group]
        return torch.stack([one.weight for one in matched]).to(like), torch.stack([one.bias for one in matched]).to(
            like
        )
    width, features = (side.features for side in group[0])
    generator = torch.Generator().manual_seed(seed_for(purpose="stitch_task map", width=width, features=features))
    weight, bias = (side.to(like) for side in uniform_linear(width, features, generator))
    return weight.expand(len(group), -1, -1), bias.expand(len(group), -1)


def _wanted(receivers: Sequence[Representation], training: Training) -> Tensor:
    """What each stitched network shall predict: labels `(count, rows)`, or probabilities `(count, rows, labels)`."""
    if training.wanted == "outputs":
        return torch.stack([torch.softmax(receiver.logits, dim=1) for receiver in receivers])
    targets = receivers[0].targets
    assert targets is not None
    return targets.expand(len(receivers), -1)


def _continued(stitched: Tensor, rows: int, receivers: Sequence[Representation], inputs: Tensor | None) -> Tensor:
    """Logits of all stitched networks at once, sender by sender; transformed receivers first undo their transforms."""
    first = receivers[0]
    shaped = stitched.reshape(len(receivers), rows, *grid(first), first.features)
    shaped = shaped.movedim(-1, first.feature_axis + 1)
    if any(isinstance(receiver.model, UndoingModel) for receiver in receivers):
        shaped = torch.stack([_undone(values, r.model) for values, r in zip(shaped, receivers, strict=True)])
    repeated = None if inputs is None else inputs.repeat(len(receivers), *[1] * (inputs.ndim - 1))
    logits: Tensor = _network(first).continue_from(first.layer, shaped.flatten(0, 1), repeated)
    return logits


def _undone(activations: Tensor, model: RepresentedModel | None) -> Tensor:
    """The activations that the network underneath expects."""
    while isinstance(model, UndoingModel):
        activations, model = model.undo(activations), model.base
    return activations


def _network(receiver: Representation) -> Any:
    """The network underneath all transforms."""
    model = receiver.model
    while isinstance(model, UndoingModel):
        model = model.base
    return model


def _by_input(activations: Tensor, representation: Representation) -> Tensor:
    """`(n, positions, features)`, contiguous."""
    moved = activations.movedim(representation.feature_axis, -1)
    return moved.reshape(moved.shape[0], -1, moved.shape[-1]).contiguous()
