"""Sampling of the scores to compute again, and tolerances for their deviations."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import numpy as np

from simbench.results.record import ScoreRecord
from simbench.seeds import seed_for
from simbench.verify.report import ProofLevel

# Tolerances relative to a metric's spread. On one machine a sample differs by rounding at most, since its batches are
# not those of the whole; these are for other processors and libraries.
#
# `heavy` metrics train a map for every score, with mini-batches, so that rounding grows; training whole networks does
# the same to every metric.
TOLERANCES: Mapping[tuple[ProofLevel, str], float] = {
    ("rescored", "light"): 1e-6,
    ("rescored", "heavy"): 0.05,
    ("reproduced", "light"): 0.05,
    ("reproduced", "heavy"): 0.15,
}


def numbers(record: ScoreRecord) -> dict[str, float | None]:
    """Return the numbers of a record that are compared."""
    numbers = {name: getattr(record, name) for name in ("value", "tiebreak", "standard_error")}
    return {**numbers, **record.auxiliary}


def draw(records: Mapping[str, ScoreRecord], share: float, seed: int) -> list[str]:
    """Draw the keys of a random share of the settled records, at least one; the same seed draws the same ones."""
    settled = sorted(key for key, record in records.items() if record.settled)
    count = min(len(settled), max(1, math.ceil(share * len(settled))))
    # By content: which metrics stand beside this one does not change what is drawn of it.
    return (
        sorted(random.Random(seed_for(purpose="verification", seed=seed, first=settled[0])).sample(settled, count))
        if settled
        else []
    )


def spread(records: Mapping[str, ScoreRecord], name: str = "value") -> float:
    """Return the scale of deviations: the range of the middle 90 % of a metric's scores, or 1 if that is 0."""
    values = [value for record in records.values() if (value := numbers(record).get(name)) is not None]
    low, high = np.quantile(values, [0.05, 0.95]) if values else (0.0, 0.0)
    return float(high - low) or 1.0


def deviation(claimed: float | None, other: float | None) -> float:
    """Return the distance of two numbers, which is infinite if only one of them is there.

    >>> deviation(1.0, 0.75), deviation(None, None), deviation(None, 0.0)
    (0.25, 0.0, inf)
    """
    if claimed is None or other is None:
        return 0.0 if claimed is other else math.inf
    return abs(claimed - other)
