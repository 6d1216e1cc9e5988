"""Affine maps from one layer's features to another's, by least squares on the fitting inputs.

T acts on features only, at every position alike. R resizes the sender's grid of positions to the receiver's where the
sizes differ (bilinear).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.stitching.map_forms import ANY, Form

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

ROWS_PER_PARAMETER = 5
RELATIVE_CUT = 1e-10
"""Eigenvalues of the centred Gram matrix below this share of the largest are treated as zero."""

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

    def __init__(self, form: Form = ANY) -> None:
        self._form = form
        self._last: tuple[tuple[int, tuple[int, ...]], _Source] | None = None

    def map_of(self, sender: Representation, receiver: Representation) -> Affine:
        """T = argmin ‖T R f_i − g_j‖² over the maps of the form, on the fitting inputs; `NotApplicable` if none."""
        source, target = fits_of(sender, receiver)
        key = (id(source), grid(target))
        if self._last is None or self._last[0] != key:
            self._last = key, _Source.of(source, target)
        return self._last[1].matched_to(rows_of(target.activations, target), self._form)


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
        require_rows(source, target)
        centred = rows.double()
        mean = centred.mean(dim=0)
        centred = centred.sub_(mean) if centred is not rows else centred - mean
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        kept = values > RELATIVE_CUT * values[-1]
        vectors = vectors[:, kept]
        return cls(source, centred, mean, (vectors / values[kept]) @ vectors.T)

    def matched_to(self, target: Tensor, form: Form) -> Affine:
        """T = argmin ‖X Wᵀ + 1 bᵀ − Y‖², solved centred: the same optimum, far better conditioned.

        X̃ᵀY is X̃ᵀỸ, as the columns of X̃ add up to 0: the target needs no centred copy of its own.
        """
        target = target.double()
        cross = self.centred.T @ target
        weight = form.matched((self.inverse_gram @ cross).T, cross)
        return Affine(weight, target.mean(dim=0) - weight @ self.mean)


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


def require_rows(source: Representation, target: Representation) -> None:
    """`NotApplicable` where the fitting inputs have too few positions for least squares."""
    rows, needed = len(source.activations) * math.prod(grid(target)), ROWS_PER_PARAMETER * (source.features + 1)
    if rows < needed:
        raise NotApplicable(f"matching {source.features} features needs {needed} rows; there are {rows}")


def resized(sender: Representation, receiver: Representation) -> Tensor:
    """R: the sender's activations on the receiver's grid, bilinear where sizes differ."""
    require_map(sender, receiver)
    wanted = grid(receiver)
    if grid(sender) == wanted:
        return sender.activations
    mode = "linear" if len(wanted) == 1 else "bilinear"
    found: Tensor = torch.nn.functional.interpolate(sender.activations, size=wanted, mode=mode, align_corners=False)
    return found


def rows_of(activations: Tensor, representation: Representation) -> Tensor:
    """`(n · positions, features)`: every position of every input."""
    return activations.movedim(representation.feature_axis, -1).flatten(0, -2)


def mapped(source: Tensor, axis: int, receiver: Representation, affine: Affine) -> Tensor:
    """T on the features, in float64 where T is: the receiver's layout and dtype."""
    moved = source.movedim(axis, -1).to(affine.weight.dtype) @ affine.weight.T + affine.bias
    return moved.movedim(-1, receiver.feature_axis).to(receiver.activations.dtype)
