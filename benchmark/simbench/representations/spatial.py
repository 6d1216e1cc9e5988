"""Rows of activations with positions: the spatial rule of a suite, applied to all inputs at once or batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from simbench.representations.layouts import Layout
from simbench.seeds import seed_for

SpatialMode = Literal["positions", "pool", "flatten", "all"]


@dataclass(frozen=True)
class SpatialRule:
    """Rule by which activations with positions become a matrix, the same for a whole suite.

    * `positions`: rows are (input, position) pairs. `rows // inputs` relative positions are drawn per input, the same
      for every layer, and each layer is read at the nearest of its own positions, so that layers of different spatial
      size keep corresponding rows.
    * `pool`: rows are inputs, features are averaged over positions.
    * `flatten`: rows are inputs, every (feature, position) pair is a column.
    * `all`: rows are all (input, position) pairs, for positions that have been drawn already.
    """

    mode: SpatialMode = "positions"
    rows: int | None = None


@dataclass(frozen=True)
class Part:
    """Part of all inputs: from the input `first` on, of `inputs` in all."""

    first: int
    inputs: int


def rows_of(activations: Tensor, layout: Layout, rule: SpatialRule, part: Part | None = None) -> Tensor:
    """Return the rows `(rows, features)` of activations `(n, …)`, in their dtype.

    Args:
        activations: of all inputs, or of a part of them.
        layout: which axis holds the features.
        rule: what becomes of positions.
        part: which inputs these are; by default all. The rows of all parts are those of the whole.
    """
    if activations.ndim == 2:
        return activations
    inputs, axis = activations.shape[0], feature_axis(layout, activations.ndim)
    features = activations.shape[axis]
    positions = activations.movedim(axis, -1)
    if rule.mode == "flatten":
        return positions.reshape(inputs, -1)
    if rule.mode == "pool":
        return positions.reshape(inputs, -1, features).mean(dim=1)
    if rule.mode == "all":
        return positions.reshape(-1, features)
    grid = positions.shape[1:-1]
    part = part or Part(0, inputs)
    drawn = relative_positions(part.inputs, len(grid), rule.rows)[part.first : part.first + inputs]
    chosen = drawn.to(positions.device)
    index = [(chosen[..., axis] * size).long().clamp_max(size - 1) for axis, size in enumerate(grid)]
    each_input = torch.arange(inputs, device=positions.device)[:, None].expand_as(index[0])
    return positions[(each_input, *index)].reshape(-1, features)


def feature_axis(layout: Layout, axes: int) -> int:
    """Return the axis that holds the features, of an array of so many axes."""
    return axes - 1 if layout in ("tokens", "channels_last") else 1


def rows_per_input(rule: SpatialRule, inputs: int) -> int:
    """Return the number of rows that each of so many inputs has in a matrix, under `pool` and `positions`."""
    return max(1, (rule.rows or inputs) // inputs) if rule.mode == "positions" else 1


def relative_positions(inputs: int, axes: int, rows: int | None) -> Tensor:
    """Draw k = max(1, rows // inputs) positions per input, the same for all layers: `(inputs, k, axes)` in [0, 1)."""
    per_input = max(1, (rows or inputs) // inputs)
    generator = torch.Generator().manual_seed(seed_for(purpose="positions", inputs=inputs, axes=axes, rows=per_input))
    return torch.rand(inputs, per_input, axes, generator=generator, dtype=torch.float64)
