"""Measure how much answers about one model correlate: `python -m tests.verdicts.correlations BOARD.json …`.

Prints, by test kind, the intraclass correlation that the spread of models on published boards amounts to, beside the
constant that intervals of the kind borrow (`SanityTest.model_correlation`). Of pairs in a ring the jackknife's
spread is too large: what is printed for them is about 1.7 times what it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from simbench.registry import TEST_KINDS
from simbench.verdicts.bounds import effective_questions
from simbench.verdicts.jackknife import jackknife_variance
from simbench.verdicts.verdict import Tally, means_without_a_model


class Spread(NamedTuple):
    """What one grade says: `excess` = `scale` · ρ in expectation."""

    excess: float
    scale: float


def spread_of(tallies: Sequence[Tally]) -> Spread | None:
    """Compare the variance over models with that of independent questions; None for a grade that is perfect or empty.

    With n(ρ) the effective number of questions, V = p (1 − p) / n(ρ), and 1 / n is linear in ρ. Of the share that was
    reached, p (1 − p) is too small by V.
    """
    asked = [(tally.models, tally.asked) for tally in tallies]
    share = sum(tally.credit for tally in tallies) / sum(number for _, number in asked)
    variance = jackknife_variance(means_without_a_model(tallies))
    independent, whole = (1 / effective_questions(asked, correlation) for correlation in (0.0, 1.0))
    if variance is None or not 0 < share < 1 or whole <= 1.01 * independent:
        return None
    weight, per_answer = 1 / (whole - independent), share * (1 - share) + variance.variance
    return Spread((variance.variance - per_answer * independent) * weight, per_answer)


def correlation(spreads: Sequence[Spread]) -> float:
    """Pool grades into one estimate of ρ."""
    return sum(spread.excess for spread in spreads) / sum(spread.scale for spread in spreads)


def spreads_on(board: Path) -> Iterator[tuple[str, Spread]]:
    """Yield kind and spread of every grade of a board that tells."""
    document = json.loads(board.read_text(encoding="utf-8"))
    kinds = {column["id"]: column["kind"] for column in document["columns"]}
    for row in document["rows"]:
        for column, cell in row["tests"].items():
            tallies = [Tally(tuple(models), credit, asked) for models, credit, asked in cell["tallies"]]
            spread = spread_of(tallies) if tallies and cell["status"] == "ok" else None
            if spread is not None:
                yield kinds[column], spread


if __name__ == "__main__":
    by_kind: dict[str, list[Spread]] = {}
    for path in sys.argv[1:]:
        for kind, measured in spreads_on(Path(path)):
            by_kind.setdefault(kind, []).append(measured)
    for kind, several in sorted(by_kind.items()):
        borrowed = TEST_KINDS.get(kind).model_correlation  # type: ignore[attr-defined]
        print(f"{kind:26} {correlation(several):6.2f} over {len(several):3} grades; borrowed {borrowed}")
