"""Stitching: how well one network works when a layer of another one, mapped affinely, replaces a layer of its own.

The stitched network is h = g_{>j} ∘ T ∘ R ∘ f_i, everything frozen but T: f_i is the sender's layer, g_{>j} the rest
of the receiver, R resizes space where sizes differ (bilinear), T is an affine map of the features (a 1 × 1 convolution
with bias). *Direct matching* takes T = argmin ‖T R f_i − g_j‖² in closed form; *task loss matching* trains T.

Balogh & Jelasity (2025), arXiv 2412.11299, section 3; Bansal et al. (2021); Csiszárik et al. (2021). The first argument
is the sender, the second the receiver.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.metric import Pairs, Score, metric
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

NEEDS = ("model", "fit", "targets")
LEAST_ADVANTAGE = 0.05
"""A receiver whose accuracy is not this much above chance says nothing about the sender."""
ROWS_PER_PARAMETER = 5
RELATIVE_CUT = 1e-10
"""Eigenvalues of the centred Gram matrix below this share of the largest are treated as zero."""
EVALUATION_BATCH = 500


def stitch_direct_many(representations: Sequence[Representation], pairs: Pairs) -> list[Score]:
    """Functional direct matching of many pairs; one Gram matrix per sender and target size."""
    return [
        _or_skip(lambda a=a, b=b, t=t: functional_score(representations[a], representations[b], t()))
        for (a, b), t in _direct_maps(representations, pairs)
    ]


def stitch_direct_r2_many(representations: Sequence[Representation], pairs: Pairs) -> list[Score]:
    """Structural direct matching of many pairs."""
    return [
        _or_skip(lambda a=a, b=b, t=t: Score(held_out_r2(representations[a], representations[b], t())))
        for (a, b), t in _direct_maps(representations, pairs)
    ]


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


def stitch_task_many(
    representations: Sequence[Representation],
    pairs: Pairs,
    *,
    epochs: int = 30,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-5,
) -> list[Score]:
    """Task loss matching of many pairs; all senders of one receiving layer are trained together."""
    scores: list[Score | None] = [None] * len(pairs)
    for positions in _by_receiving_layer(representations, pairs):
        unable = _skipped(representations[pairs[positions[0]][1]])
        if unable is not None:
            scores = [unable if position in positions else score for position, score in enumerate(scores)]
            continue
        group = [(representations[pairs[position][0]], representations[pairs[position][1]]) for position in positions]
        maps = trained_maps(group, epochs, batch_size, learning_rate, weight_decay)
        for position, (sender, receiver), affine in zip(positions, group, maps, strict=True):
            scores[position] = _or_skip(lambda s=sender, r=receiver, t=affine: functional_score(s, r, t))
    return [score if score is not None else Score.error("not scored") for score in scores]


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
    epochs: int = 30,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-5,
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


@dataclass(frozen=True)
class Affine:
    """z → weight @ z + bias on the features; shapes (d₂, d₁) and (d₂,)."""

    weight: Tensor
    bias: Tensor


def functional_score(sender: Representation, receiver: Representation, affine: Affine) -> Score:
    """The stitched network's accuracy on the probe, between chance (0) and the receiver's own accuracy (1)."""
    targets, chance, own = _receiver_accuracy(receiver)
    logits = stitched_logits(sender, receiver, affine)
    accuracy = _accuracy(logits, targets)
    cross_entropy = torch.nn.functional.cross_entropy(logits.double(), targets).item()
    value = (accuracy - chance) / (own - chance)
    standard_error = math.sqrt(max(accuracy * (1 - accuracy), 0.0) / len(targets)) / (own - chance)
    return Score(min(max(value, 0.0), 1.0), standard_error=standard_error, tiebreak=-cross_entropy)


def held_out_r2(sender: Representation, receiver: Representation, affine: Affine) -> float:
    """1 − SSE / ‖Y − mean Y‖² over all positions of the probe inputs."""
    source = _rows(_resized(sender, receiver), sender).double()
    target = _rows(receiver.activations, receiver).double()
    residual = target - (source @ affine.weight.T.double() + affine.bias.double())
    return 1.0 - (residual.square().sum() / (target - target.mean(dim=0)).square().sum()).item()


def stitched_logits(sender: Representation, receiver: Representation, affine: Affine) -> Tensor:
    """`(n, labels)` on the probe inputs."""
    assert receiver.model is not None
    source = _resized(sender, receiver)
    logits = []
    with torch.no_grad():
        for start in range(0, len(source), EVALUATION_BATCH):
            chunk = slice(start, start + EVALUATION_BATCH)
            inputs = None if receiver.inputs is None else receiver.inputs[chunk]
            mapped = _apply(source[chunk], sender.feature_axis, receiver, affine)
            logits.append(receiver.model.continue_from(receiver.layer, mapped, inputs))
    return torch.cat(logits)


# --- direct matching ------------------------------------------------------------------------------------------------


def _direct_maps(representations: Sequence[Representation], pairs: Pairs) -> list[tuple[tuple[int, int], Any]]:
    """Each pair with a function that solves for its map; the eigendecomposition of a sender's Gram is shared."""
    solved: dict[Any, _Source] = {}

    def solver(a: int, b: int) -> Any:
        def solve() -> Affine:
            sender, receiver = _fits(representations[a], representations[b])
            size = _grid(receiver) if _grid(sender) else ()
            if (a, size) not in solved:
                solved[a, size] = _Source.of(sender, receiver)
            return solved[a, size].matched_to(_rows(receiver.activations, receiver))

        return solve

    return [((a, b), solver(a, b)) for a, b in pairs]


@dataclass(frozen=True)
class _Source:
    """The sender's side of the least-squares problem: the inverse of its centred Gram matrix, by relative rank."""

    rows: Tensor
    mean: Tensor
    inverse_gram: Tensor

    @classmethod
    def of(cls, sender: Representation, receiver: Representation) -> _Source:
        rows = _rows(_resized(sender, receiver), sender)
        if rows.shape[0] < ROWS_PER_PARAMETER * (rows.shape[1] + 1):
            needed = ROWS_PER_PARAMETER * (rows.shape[1] + 1)
            raise NotApplicable(f"matching {rows.shape[1]} features needs {needed} rows; there are {len(rows)}")
        mean = rows.double().mean(dim=0)
        centred = rows.double() - mean
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        kept = values > RELATIVE_CUT * values[-1]
        vectors = vectors[:, kept]
        return cls(rows, mean, (vectors / values[kept]) @ vectors.T)

    def matched_to(self, target: Tensor) -> Affine:
        """T = argmin ‖X Wᵀ + 1 bᵀ − Y‖², solved centred: the same optimum, far better conditioned."""
        target = target.double()
        mean = target.mean(dim=0)
        weight = (self.inverse_gram @ ((self.rows.double() - self.mean).T @ (target - mean))).T
        return Affine(weight, mean - weight @ self.mean)


# --- task loss matching -----------------------------------------------------------------------------------------------


def trained_maps(
    group: Sequence[tuple[Representation, Representation]],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
) -> list[Affine]:
    """Train the maps of senders of one shape into one receiving layer together: one batched affine map, losses summed.

    Adam acts on each entry by itself and no loss depends on another sender's map, so the sum trains each map as if it
    were alone. Initialisation and batch order depend on shapes only, so a score does not depend on its company.
    """
    fits = [_fits(sender, receiver) for sender, receiver in group]
    sources = torch.stack([_positions_last(_resized(sender, receiver), sender) for sender, receiver in fits])
    receiver = fits[0][1]
    targets, inputs = receiver.targets, receiver.inputs
    assert targets is not None
    count, rows, _, width = sources.shape
    weight, bias = _default_initialisation(width, receiver.features, sources)
    weight = weight.expand(count, -1, -1).clone().requires_grad_()
    bias = bias.expand(count, -1).clone().requires_grad_()
    optimizer = torch.optim.Adam([weight, bias], lr=learning_rate, weight_decay=weight_decay)
    order = torch.Generator().manual_seed(seed_for(purpose="stitch_task order", rows=rows))
    receivers = [receiver for _, receiver in group]
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(rows, generator=order).to(sources.device), batch_size):
            flat = sources[:, batch].flatten(1, 2)
            stitched = torch.baddbmm(bias[:, None, :], flat, weight.transpose(1, 2))
            logits = _continued(stitched, len(batch), receivers, inputs[batch] if inputs is not None else None)
            loss = torch.nn.functional.cross_entropy(logits, targets[batch].repeat(count), reduction="sum") / len(batch)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return [Affine(weight[k].detach(), bias[k].detach()) for k in range(count)]


def _continued(stitched: Tensor, rows: int, receivers: Sequence[Representation], inputs: Tensor | None) -> Tensor:
    """Logits of all stitched networks at once: transformed receivers first undo their own transform."""
    parts = []
    for values, receiver in zip(stitched, receivers, strict=True):
        shaped = values.reshape(rows, *_grid(receiver), receiver.features)
        shaped = shaped.movedim(-1, receiver.feature_axis)
        parts.append(_undo(receiver.model, shaped))
    model = _base(receivers[0].model)
    repeated = None if inputs is None else inputs.repeat(len(receivers), *[1] * (inputs.ndim - 1))
    logits: Tensor = model.continue_from(receivers[0].layer, torch.cat(parts), repeated)
    return logits


def _by_receiving_layer(representations: Sequence[Representation], pairs: Pairs) -> list[list[int]]:
    """Positions of pairs that can be trained together: the same rest of a network, senders of one shape."""
    groups: dict[Any, list[int]] = {}
    for position, (a, b) in enumerate(pairs):
        sender, receiver = representations[a], representations[b]
        key = (
            id(_base(receiver.model)),
            receiver.layer,
            tuple(sender.activations.shape[1:]),
            sender.layout,
            tuple(receiver.activations.shape[1:]),
        )
        groups.setdefault(key, []).append(position)
    return list(groups.values())


def _default_initialisation(width: int, features: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """PyTorch's initialisation of `Linear(width, features)`: uniform in ±1/√width, seeded by the shape."""
    generator = torch.Generator().manual_seed(seed_for(purpose="stitch_task map", width=width, features=features))
    bound = 1 / math.sqrt(width)
    weight = (torch.rand(features, width, generator=generator) * 2 - 1) * bound
    bias = (torch.rand(features, generator=generator) * 2 - 1) * bound
    return weight.to(like), bias.to(like)


def _base(model: Any) -> Any:
    """The network underneath a transform."""
    return getattr(model, "base", model)


def _undo(model: Any, activations: Tensor) -> Tensor:
    undo = getattr(model, "undo", None)
    return undo(activations) if undo is not None else activations


# --- shapes -----------------------------------------------------------------------------------------------------------


def _fits(sender: Representation, receiver: Representation) -> tuple[Representation, Representation]:
    assert sender.fit is not None
    assert receiver.fit is not None
    return sender.fit, receiver.fit


def _grid(representation: Representation) -> tuple[int, ...]:
    """The spatial size: () for vectors, (l,), (h, w) or (t,)."""
    shape = list(representation.activations.shape[1:])
    del shape[representation.feature_axis - 1]
    return tuple(shape)


def _resized(sender: Representation, receiver: Representation) -> Tensor:
    """R: the sender's activations on the receiver's grid, bilinear where sizes differ."""
    own, wanted = _grid(sender), _grid(receiver)
    if own == wanted:
        return sender.activations
    if len(own) != len(wanted) or sender.layout == "tokens":
        raise NotApplicable(f"{sender.layer} has positions {own} and {receiver.layer} {wanted}: no map between them")
    mode = "linear" if len(own) == 1 else "bilinear"
    resized: Tensor = torch.nn.functional.interpolate(sender.activations, size=wanted, mode=mode, align_corners=False)
    return resized


def _positions_last(activations: Tensor, representation: Representation) -> Tensor:
    """`(n, positions, features)`."""
    moved = activations.movedim(representation.feature_axis, -1)
    return moved.reshape(moved.shape[0], -1, moved.shape[-1])


def _rows(activations: Tensor, representation: Representation) -> Tensor:
    """`(n · positions, features)`: every position of every input."""
    return _positions_last(activations, representation).flatten(0, 1)


def _apply(source: Tensor, axis: int, receiver: Representation, affine: Affine) -> Tensor:
    """T on the features, in float64 where T is: the receiver's layout and dtype."""
    mapped = source.movedim(axis, -1).to(affine.weight.dtype) @ affine.weight.T + affine.bias
    return mapped.movedim(-1, receiver.feature_axis).to(receiver.activations.dtype)


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


def _skipped(receiver: Representation) -> Score | None:
    """Why nothing can be stitched into this receiver, before anything is trained."""
    try:
        _receiver_accuracy(receiver)
    except NotApplicable as reason:
        return Score.skip(str(reason))
    return None


def _or_skip(score: Any) -> Score:
    try:
        result: Score = score()
    except NotApplicable as reason:
        return Score.skip(str(reason))
    return result
