"""Ties: scores that float64 does not tell apart."""

from __future__ import annotations

# What solving a system of equations in float64 leaves of equal numbers, relative to them.
ROUNDING = 1e-12


def is_above(more: float, less: float) -> bool:
    """Tell whether a number is larger than another by more than rounding.

    >>> is_above(0.7, 0.6), is_above(0.7 + 1e-15, 0.7)
    (True, False)
    """
    return more - less > ROUNDING * max(abs(more), abs(less))
