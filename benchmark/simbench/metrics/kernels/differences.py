"""Differences of numbers that summarise one representation each."""

from __future__ import annotations

from collections.abc import Sequence

from simbench.metrics.metric import Pairs


def differences_of_pairs(prepared: Sequence[float], pairs: Pairs) -> list[float]:
    """Return |a − b| of many pairs of numbers."""
    return [abs(prepared[a] - prepared[b]) for a, b in pairs]
