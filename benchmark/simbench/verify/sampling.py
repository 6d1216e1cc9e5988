"""Sampling of the scores to compute again."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from simbench.results.record import ScoreRecord
from simbench.seeds import seed_for


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
