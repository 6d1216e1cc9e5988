"""Affine maps from one layer's features to another's: by least squares, or trained on the receiver's task.

T acts on features only, at every position alike. R resizes the sender's grid of positions to the receiver's where the
sizes differ (bilinear). Both kinds of map are learned on the fitting inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.representations.transforms import UndoingModel
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation, RepresentedModel
else:
    torch = lazy_import("torch")

ROWS_PER_PARAMETER = 5
RELATIVE_CUT = 1e-10
"""Eigenvalues of the centred Gram matrix below this share of the largest are treated as zero."""
LARGEST_GROUP = 16
"""Maps trained at once: more gain little time, and each holds the activations of a whole pass."""

Pair = tuple["Representation", "Representation"]
"""(sender, receiver)"""


@dataclass(frozen=True)
class Affine:
    """z → weight @ z + bias on the features; shapes (d₂, d₁) and (d₂,)."""

    weight: Tensor
    bias: Tensor


# --- direct matching --------------------------------------------------------------------------------------------------


class DirectMatching:
    """Solves for the maps of many pairs. The last sender's decomposition is kept: give one sender's pairs in a row."""

    def __init__(self) -> None:
        self._last: tuple[tuple[int, tuple[int, ...]], _Source] | None = None

    def map_of(self, sender: Representation, receiver: Representation) -> Affine:
        """T = argmin ‖T R f_i − g_j‖² on the fitting inputs; `NotApplicable` where there is none."""
        source, target = fits_of(sender, receiver)
        key = (id(source), grid(target))
        if self._last is None or self._last[0] != key:
            self._last = key, _Source.of(source, target)
        return self._last[1].matched_to(rows_of(target.activations, target))


@dataclass(frozen=True)
class _Source:
    """The sender's side of the least-squares problem: the inverse of its centred Gram matrix, by relative rank."""

    fit: Representation
    """Kept alive, because its identity stands for it."""
    centred: Tensor
    mean: Tensor
    inverse_gram: Tensor

    @classmethod
    def of(cls, source: Representation, target: Representation) -> _Source:
        rows = rows_of(resized(source, target), source)
        needed = ROWS_PER_PARAMETER * (rows.shape[1] + 1)
        if rows.shape[0] < needed:
            raise NotApplicable(f"matching {rows.shape[1]} features needs {needed} rows; there are {len(rows)}")
        centred = rows.double()
        mean = centred.mean(dim=0)
        centred = centred.sub_(mean) if centred is not rows else centred - mean
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        kept = values > RELATIVE_CUT * values[-1]
        vectors = vectors[:, kept]
        return cls(source, centred, mean, (vectors / values[kept]) @ vectors.T)

    def matched_to(self, target: Tensor) -> Affine:
        """T = argmin ‖X Wᵀ + 1 bᵀ − Y‖², solved centred: the same optimum, far better conditioned.

        X̃ᵀY is X̃ᵀỸ, as the columns of X̃ add up to 0: the target needs no centred copy of its own.
        """
        target = target.double()
        weight = (self.inverse_gram @ (self.centred.T @ target)).T
        return Affine(weight, target.mean(dim=0) - weight @ self.mean)


# --- task loss matching -----------------------------------------------------------------------------------------------


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


def trained_maps(
    group: Sequence[Pair], epochs: int, batch_size: int, learning_rate: float, weight_decay: float
) -> list[Affine]:
    """Train the maps of senders of one shape into one receiving layer together: one batched affine map, losses summed.

    Adam acts on each entry by itself and no loss depends on another sender's map, so the sum trains each map as if it
    were alone. Initialisation and batch order depend on shapes only, so a score does not depend on its company.
    """
    fits = [fits_of(sender, receiver) for sender, receiver in group]
    # Rows with their features last, once: the order in which batches are gathered, multiplied and convolved.
    sources = [_by_input(resized(source, target), source) for source, target in fits]
    receivers = [target for _, target in fits]
    targets, inputs = receivers[0].targets, receivers[0].inputs
    assert targets is not None
    count, rows, width = len(group), len(targets), fits[0][0].features
    weight, bias = _default_initialisation(width, receivers[0].features, sources[0])
    weight = weight.expand(count, -1, -1).clone().requires_grad_()
    bias = bias.expand(count, -1).clone().requires_grad_()
    optimizer = torch.optim.Adam([weight, bias], lr=learning_rate, weight_decay=weight_decay)
    order = torch.Generator().manual_seed(seed_for(purpose="stitch_task order", rows=rows))
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(rows, generator=order).to(targets.device), batch_size):
            flat = torch.stack([source[batch] for source in sources]).flatten(1, 2)
            stitched = torch.baddbmm(bias[:, None, :], flat, weight.transpose(1, 2))
            logits = _continued(stitched, len(batch), receivers, inputs[batch] if inputs is not None else None)
            loss = torch.nn.functional.cross_entropy(logits, targets[batch].repeat(count), reduction="sum") / len(batch)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return [Affine(weight[k].detach(), bias[k].detach()) for k in range(count)]


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


def _default_initialisation(width: int, features: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """PyTorch's initialisation of `Linear(width, features)`: uniform in ±1/√width, seeded by the shape."""
    generator = torch.Generator().manual_seed(seed_for(purpose="stitch_task map", width=width, features=features))
    bound = 1 / math.sqrt(width)
    weight = (torch.rand(features, width, generator=generator) * 2 - 1) * bound
    bias = (torch.rand(features, generator=generator) * 2 - 1) * bound
    return weight.to(like), bias.to(like)


# --- shapes -----------------------------------------------------------------------------------------------------------


def fits_of(sender: Representation, receiver: Representation) -> Pair:
    """The two on the fitting inputs."""
    if sender.fit is None or receiver.fit is None:
        raise NotApplicable("a map is learned on fitting inputs; there are none")
    return sender.fit, receiver.fit


def grid(representation: Representation) -> tuple[int, ...]:
    """The spatial size: () for vectors, (l,), (h, w) or (t,)."""
    shape = list(representation.activations.shape[1:])
    del shape[representation.feature_axis - 1]
    return tuple(shape)


def require_map(sender: Representation, receiver: Representation) -> None:
    """`NotApplicable` where the positions of one cannot be brought to those of the other."""
    own, wanted = grid(sender), grid(receiver)
    if own != wanted and (len(own) != len(wanted) or "tokens" in (sender.layout, receiver.layout)):
        raise NotApplicable(f"{sender.layer} has positions {own} and {receiver.layer} {wanted}: no map between them")


def resized(sender: Representation, receiver: Representation) -> Tensor:
    """R: the sender's activations on the receiver's grid, bilinear where sizes differ."""
    require_map(sender, receiver)
    wanted = grid(receiver)
    if grid(sender) == wanted:
        return sender.activations
    mode = "linear" if len(wanted) == 1 else "bilinear"
    found: Tensor = torch.nn.functional.interpolate(sender.activations, size=wanted, mode=mode, align_corners=False)
    return found


def _by_input(activations: Tensor, representation: Representation) -> Tensor:
    """`(n, positions, features)`, contiguous."""
    moved = activations.movedim(representation.feature_axis, -1)
    return moved.reshape(moved.shape[0], -1, moved.shape[-1]).contiguous()


def rows_of(activations: Tensor, representation: Representation) -> Tensor:
    """`(n · positions, features)`: every position of every input."""
    return activations.movedim(representation.feature_axis, -1).flatten(0, -2)


def mapped(source: Tensor, axis: int, receiver: Representation, affine: Affine) -> Tensor:
    """T on the features, in float64 where T is: the receiver's layout and dtype."""
    moved = source.movedim(axis, -1).to(affine.weight.dtype) @ affine.weight.T + affine.bias
    return moved.movedim(-1, receiver.feature_axis).to(receiver.activations.dtype)
