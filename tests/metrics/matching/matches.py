"""Matches of units as the paper defines them, on the residuals that the metrics are computed from."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from simbench.metrics.matching.span_residuals import SpanResiduals, span_residuals, unit_vectors
from simbench.metrics.matching.subspace_match import shrink


@dataclass(frozen=True)
class Match:
    """The indices of the matched units of X and of Y, ascending; all-zero units are not counted in."""

    x: tuple[int, ...]
    y: tuple[int, ...]


def maximum_match(x: Tensor, y: Tensor, epsilon: float) -> Match:
    """Return the maximum ε-match. Indices count the units that are not all zero."""
    state = span_residuals(unit_vectors(x), unit_vectors(y))
    shrink(state, epsilon)
    return _match(state)


def minimal_match(x: Tensor, y: Tensor, unit: int, epsilon: float, *, side: Literal["x", "y"] = "x") -> Match | None:
    """Return an ε-match with this unit of which no smaller match with it is left; None if it is in no match.

    Every other unit is left out on trial once, with all that this drags along; where the unit survives, for good.
    """
    state = span_residuals(unit_vectors(x), unit_vectors(y))
    shrink(state, epsilon)
    return _minimal(state, int(side == "y"), unit, epsilon)


def simple_matches(x: Tensor, y: Tensor, epsilon: float) -> list[Match]:
    """Return the distinct minimal matches of all units in the maximum match; every match is a union of such."""
    state = span_residuals(unit_vectors(x), unit_vectors(y))
    shrink(state, epsilon)
    matches = [
        _minimal(state, side, unit, epsilon)
        for side in range(2)
        for unit in torch.nonzero(state.left[side]).flatten().tolist()
    ]
    return list(dict.fromkeys(match for match in matches if match is not None))


def _minimal(state: SpanResiduals, side: int, unit: int, epsilon: float) -> Match | None:
    if not bool(state.left[side][unit]):
        return None
    for other_side in range(2):
        for other in torch.nonzero(state.left[other_side]).flatten().tolist():
            if (other_side, other) == (side, unit) or not bool(state.left[other_side][other]):
                continue
            trial = copy.deepcopy(state)
            masks = [torch.zeros_like(left) for left in trial.left]
            masks[other_side][other] = True
            trial.remove(*masks)
            shrink(trial, epsilon)
            if bool(trial.left[side][unit]):
                state = trial
    return _match(state)


def _match(state: SpanResiduals) -> Match:
    x, y = (tuple(torch.nonzero(left).flatten().tolist()) for left in state.left)
    return Match(x, y) if x and y else Match((), ())
