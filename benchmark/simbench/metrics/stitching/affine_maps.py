"""Affine maps from one layer's features to another's, by least squares on the fitting inputs.

T acts on features only, at every position alike. R resizes the sender's grid of positions to the receiver's where the
sizes differ (bilinear).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.metric import Pairs
from simbench.metrics.stitching.map_forms import ANY, MapForm
from simbench.representations.padding import real_rows, real_tokens

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

# Least squares needs this many rows per parameter of a feature's map.
ROWS_PER_PARAMETER = 5
# Eigenvalues of the centred Gram matrix below this share of the largest are treated as zero.
RELATIVE_CUT = 1e-10

# Spatial rules by which rows are inputs.
OF_INPUTS = ("pool", "last", "cls", "flatten")

# (sender, receiver)
Pair = tuple["Representation", "Representation"]


@dataclass(frozen=True)
class Affine:
    """z → weight @ z + bias on the features; shapes (d₂, d₁) and (d₂,)."""

    weight: Tensor
    bias: Tensor


# The position of a pair, and its map or the reason why it has none; in any order.
MapsOfPairs = Iterable[tuple[int, Affine | NotApplicable]]


# --- direct matching --------------------------------------------------------------------------------------------------


def solve_maps(representations: Sequence[Representation], pairs: Pairs, form: MapForm = ANY) -> MapsOfPairs:
    """Solve for the maps of many pairs, with one Gram matrix per sender and size of the target."""
    matching = DirectMatching(form)
    for position in sorted(range(len(pairs)), key=lambda k: (pairs[k][0], grid(representations[pairs[k][1]]))):
        try:
            yield position, matching.solve(*(representations[side] for side in pairs[position]))
        except NotApplicable as reason:
            yield position, reason


class DirectMatching:
    """Solver for maps of a form. It keeps the last sender's decomposition: give the pairs of one sender in a row."""

    def __init__(self, form: MapForm = ANY) -> None:
        """Solve for maps of this form."""
        self._form = form
        self._last: tuple[tuple[int, tuple[int, ...]], _Source] | None = None

    def solve(self, sender: Representation, receiver: Representation) -> Affine:
        """Return T = argmin ‖T R f_i − g_j‖² over the maps of the form, on the fitting inputs.

        Raises:
            NotApplicable: there are no fitting inputs or too few, or positions that no map relates.
        """
        source, target = fits_of(sender, receiver)
        require_map(source, target)
        source, target = where_both_are_real(source, target)
        key = (id(source), grid(target))
        if self._last is None or self._last[0] != key:
            self._last = key, _Source.of(source, target)
        return self._last[1].match(rows_of(target.activations, target), self._form)


@dataclass(frozen=True)
class _Source:
    """Sender's side of the least-squares problem: the inverse of its centred Gram matrix, by relative rank.

    Attributes:
        fit: the sender on the fitting inputs, kept alive because its identity stands for it.
        centred: its rows minus their mean.
        mean: the mean of its rows.
        inverse_gram: the inverse of the Gram matrix of `centred`, where its eigenvalues are not zero.
    """

    fit: Representation
    centred: Tensor
    mean: Tensor
    inverse_gram: Tensor

    @classmethod
    def of(cls, source: Representation, target: Representation) -> _Source:
        """Decompose the sender's rows on the target's grid."""
        rows = rows_of(resize(source, target), source)
        require_rows(source, target)
        centred = rows.double()
        mean = centred.mean(dim=0)
        centred = centred.sub_(mean) if centred is not rows else centred - mean
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        kept = values > RELATIVE_CUT * values[-1]
        vectors = vectors[:, kept]
        return cls(source, centred, mean, (vectors / values[kept]) @ vectors.T)

    def match(self, target: Tensor, form: MapForm) -> Affine:
        """Return T = argmin ‖X Wᵀ + 1 bᵀ − Y‖², solved centred: the same optimum, far better conditioned.

        X̃ᵀY is X̃ᵀỸ, as the columns of X̃ add up to 0: the target needs no centred copy of its own.
        """
        target = target.double()
        cross = self.centred.T @ target
        weight = form.match((self.inverse_gram @ cross).T, cross)
        return Affine(weight, target.mean(dim=0) - weight @ self.mean)


# --- shapes -----------------------------------------------------------------------------------------------------------


def fits_of(sender: Representation, receiver: Representation) -> Pair:
    """Return both on the fitting inputs; raise `NotApplicable` where there are none."""
    if sender.fit is None or receiver.fit is None:
        raise NotApplicable("a map is learned on fitting inputs; there are none")
    return sender.fit, receiver.fit


def grid(representation: Representation) -> tuple[int, ...]:
    """Return the size of the grid of positions: () for vectors, (l,), (h, w) or (t,)."""
    shape = list(representation.activations.shape[1:])
    del shape[representation.feature_axis - 1]
    return tuple(shape)


def require_map(sender: Representation, receiver: Representation) -> None:
    """Raise `NotApplicable` where the positions of one cannot be resized to those of the other."""
    own, wanted = grid(sender), grid(receiver)
    padded = sender.mask is not None or receiver.mask is not None
    if own == wanted and padded and not _same(real_tokens(sender.inputs), real_tokens(receiver.inputs)):
        raise NotApplicable("the padding of both is at different tokens: no map between them")
    if own != wanted and (len(own) != len(wanted) or {sender.layout, receiver.layout} != {"channels_first"}):
        raise NotApplicable(f"{sender.layer} has positions {own} and {receiver.layer} {wanted}: no map between them")


def where_both_are_real(sender: Representation, receiver: Representation) -> Pair:
    """Return both with the tokens that are real in both: those of rows that were shuffled are not the same."""
    if sender.mask is None or receiver.mask is None or _same(sender.mask, receiver.mask):
        return sender, receiver
    real = sender.mask & receiver.mask.to(sender.mask.device)
    return replace(sender, mask=real), replace(receiver, mask=real)


def _same(first: Tensor | None, second: Tensor | None) -> bool:
    if first is None or second is None:
        return first is second
    return torch.equal(first, second.to(first.device))


def require_rows(source: Representation, target: Representation) -> None:
    """Raise `NotApplicable` where the fitting inputs have too few positions for least squares."""
    each = len(source.activations) * math.prod(grid(target))
    rows, needed = each if source.mask is None else int(source.mask.sum()), ROWS_PER_PARAMETER * (source.features + 1)
    if rows < needed:
        raise NotApplicable(f"matching {source.features} features needs {needed} rows; there are {rows}")


def resize(sender: Representation, receiver: Representation) -> Tensor:
    """Apply R: return the sender's activations on the receiver's grid, bilinear where sizes differ."""
    require_map(sender, receiver)
    wanted = grid(receiver)
    if grid(sender) == wanted:
        return sender.activations
    mode = "linear" if len(wanted) == 1 else "bilinear"
    resized: Tensor = torch.nn.functional.interpolate(sender.activations, size=wanted, mode=mode, align_corners=False)
    return resized


def rows_of(activations: Tensor, representation: Representation) -> Tensor:
    """Return every position of every input as a row, `(n · positions, features)`; no padding."""
    return real_rows(representation, activations)


def where_rows_are_inputs(representation: Representation) -> Representation:
    """Return vectors, a row per input, where the suite's spatial rule makes inputs the rows; else the positions."""
    if representation.activations.ndim == 2 or representation.spatial.mode not in OF_INPUTS:
        return representation
    fit = representation.fit
    return replace(
        representation,
        activations=representation.matrix,
        layout="vector",
        fit=None if fit is None else where_rows_are_inputs(replace(fit, spatial=representation.spatial)),
    )


def apply_map(source: Tensor, axis: int, receiver: Representation, affine: Affine) -> Tensor:
    """Apply T to the features on `axis`, in T's dtype; return activations in the receiver's layout and dtype."""
    moved = source.movedim(axis, -1).to(affine.weight.dtype) @ affine.weight.T + affine.bias
    return moved.movedim(-1, receiver.feature_axis).to(receiver.activations.dtype)
