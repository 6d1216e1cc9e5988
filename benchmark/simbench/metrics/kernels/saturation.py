"""Warn of canonical correlations that too few rows force to 1, whatever the data."""

from __future__ import annotations

from simbench.metrics.kernels.spectrum import Spectrum
from simbench.metrics.metric import Score

# The first word of the warning that too few rows force a value, in whole or in part.
SATURATED = "saturated"


def with_forced(value: float, a: Spectrum, b: Spectrum) -> float | Score:
    """Return a value made of canonical correlations, with a warning where the ranks force some of them to 1."""
    warnings = forced_correlations(a, b)
    return Score(value, warnings=warnings) if warnings else value


def forced_correlations(a: Spectrum, b: Spectrum) -> tuple[str, ...]:
    """Return the warning, if any, that two centred column spaces intersect whatever the data."""
    rows = len(a.left)
    return forced_in_common(a.rank, b.rank, rows, rows - 1)


def forced_in_common(rank_x: int, rank_y: int, rows: int, dimensions: int) -> tuple[str, ...]:
    """Return the warning, if any, that subspaces of these ranks must intersect in a space of `dimensions`."""
    fewest = min(rank_x, rank_y)
    forced = min(rank_x + rank_y - dimensions, fewest)
    if forced <= 0:
        return ()
    return (f"{SATURATED}: ranks {rank_x} and {rank_y} of {rows} rows force {forced} of {fewest} correlations to 1",)
