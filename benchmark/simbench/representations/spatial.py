"""Rows of activations with positions: the spatial rule of a suite, applied to all inputs at once or batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from simbench.errors import NotApplicable
from simbench.representations.layouts import Layout
from simbench.representations.padding import rows_of_real
from simbench.seeds import seed_for

SpatialMode = Literal["positions", "pool", "last", "cls", "flatten", "all"]

# Rules that read one token of each input.
OF_SEQUENCES = ("last", "cls")


@dataclass(frozen=True)
class SpatialRule:
    """Rule by which activations with positions become a matrix, the same for a whole suite.

    * `positions`: rows are (input, position) pairs. `rows // inputs` relative positions are drawn per input, the same
      for every layer, and each layer is read at the nearest of its own positions, so that layers of different spatial
      size keep corresponding rows.
    * `pool`: rows are inputs, features are averaged over positions.
    * `last`, `cls`: rows are inputs, each read at the last or the first token of a sequence.
    * `flatten`: rows are inputs, every (feature, position) pair is a column.
    * `all`: rows are all (input, position) pairs, for positions that have been drawn already.

    Padding is no position for the first four: `positions` are drawn among real tokens, and `pool` averages those.
    """

    mode: SpatialMode = "positions"
    rows: int | None = None


@dataclass(frozen=True)
class Part:
    """Part of all inputs: from the input `first` on, of `inputs` in all."""

    first: int
    inputs: int


def rows_of(
    activations: Tensor,
    layout: Layout,
    rule: SpatialRule,
    part: Part | None = None,
    mask: Tensor | None = None,
    layer: str = "",
) -> Tensor:
    """Return the rows `(rows, features)` of activations `(n, …)`, in their dtype.

    Args:
        activations: of all inputs, or of a part of them.
        layout: which axis holds the features.
        rule: what becomes of positions.
        part: which inputs these are; by default all. The rows of all parts are those of the whole.
        mask: which tokens of sequences are real, `(n, t)`; by default all.
        layer: the name of the layer, for messages.

    Raises:
        NotApplicable: the rule reads one token of a sequence, and these are maps.
    """
    if activations.ndim == 2:
        return activations
    inputs, axis = activations.shape[0], feature_axis(layout, activations.ndim)
    features = activations.shape[axis]
    positions = activations.movedim(axis, -1)
    if rule.mode == "flatten":
        return positions.reshape(inputs, -1)
    if rule.mode == "all":
        return positions.reshape(-1, features)
    grid = positions.shape[1:-1]
    if rule.mode in OF_SEQUENCES and len(grid) != 1:
        raise NotApplicable(f"{layer or 'an array'} has a grid of positions, no sequence with a {rule.mode} token")
    part = part or Part(0, inputs)
    drawn = relative_positions(part.inputs, len(grid), rule.rows)[part.first : part.first + inputs]
    if mask is not None:
        return rows_of_real(positions, mask, rule.mode, drawn[..., 0])
    if rule.mode == "pool":
        return positions.reshape(inputs, -1, features).mean(dim=1)
    if rule.mode in OF_SEQUENCES:
        return positions[:, -1 if rule.mode == "last" else 0]
    chosen = drawn.to(positions.device)
    index = [(chosen[..., axis] * size).long().clamp_max(size - 1) for axis, size in enumerate(grid)]
    each_input = torch.arange(inputs, device=positions.device)[:, None].expand_as(index[0])
    return positions[(each_input, *index)].reshape(-1, features)


def feature_axis(layout: Layout, axes: int) -> int:
    """Return the axis that holds the features, of an array of so many axes."""
    return axes - 1 if layout in ("tokens", "channels_last") else 1


def rows_per_input(rule: SpatialRule, inputs: int) -> int:
    """Return the number of rows of each of so many inputs in a matrix, under all rules but `flatten` and `all`."""
    return max(1, (rule.rows or inputs) // inputs) if rule.mode == "positions" else 1


def relative_positions(inputs: int, axes: int, rows: int | None) -> Tensor:
    """Draw k = max(1, rows // inputs) positions per input, the same for all layers: `(inputs, k, axes)` in [0, 1)."""
    per_input = max(1, (rows or inputs) // inputs)
    generator = torch.Generator().manual_seed(seed_for(purpose="positions", inputs=inputs, axes=axes, rows=per_input))
    return torch.rand(inputs, per_input, axes, generator=generator, dtype=torch.float64)
