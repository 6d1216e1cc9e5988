"""Warn of canonical correlations that too few rows force to 1, whatever the data."""

from __future__ import annotations

from simbench.metrics.kernels.linear_algebra import Spectrum
from simbench.metrics.metric import Score

SATURATED = "saturated"
"""How the warning of a value that is forced, in whole or in part, by there being too few rows begins."""


def with_forced(value: float, a: Spectrum, b: Spectrum) -> float | Score:
    """The value of canonical correlations, with a warning where the ranks force some of them to 1."""
    told = forced_correlations(a, b)
    return Score(value, warnings=told) if told else value


def forced_correlations(a: Spectrum, b: Spectrum) -> tuple[str, ...]:
    """The warning of two centred column spaces that have something in common whatever the data say, if they do."""
    rows = len(a.left)
    return forced_in_common(a.rank, b.rank, rows, rows - 1)


def forced_in_common(one: int, other: int, rows: int, dimensions: int) -> tuple[str, ...]:
    """The warning where subspaces of these ranks are too large for a space of `dimensions` not to intersect."""
    fewest = min(one, other)
    forced = min(one + other - dimensions, fewest)
    if forced <= 0:
        return ()
    return (f"{SATURATED}: ranks {one} and {other} of {rows} rows force {forced} of {fewest} correlations to 1",)
