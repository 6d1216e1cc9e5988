"""Power of tests: which of them no metric could pass, since the models are too few for their threshold."""

from __future__ import annotations

import math

from simbench.board.board import Board, BoardColumn
from simbench.suite.schema import meets
from simbench.verdicts.jackknife import Interval
from simbench.verdicts.verdict import best_interval


def out_of_reach(board: Board, test: BoardColumn) -> Interval | None:
    """Return the narrowest interval of a perfect grade of a test that no metric could pass; None if some could.

    Grades that are statistics, such as correlations, have no perfect grade whose interval the questions give.
    """
    verdicts = [entry.row.verdicts[test.id] for entry in board.rows if test.id in entry.row.verdicts]
    owed = [verdict for verdict in verdicts if verdict.owed != "not promised"]
    best = [interval for verdict in owed if (interval := best_interval(verdict, test.model_correlation)) is not None]
    if not best or not meets(test.pass_if, 1.0) or any(meets(test.pass_if, low) for low, _ in best):
        return None
    return max(best)


def power_text(board: Board, test: BoardColumn) -> str:
    """Return a sentence on a test that no metric could pass; nothing for any other."""
    best = out_of_reach(board, test)
    if best is None:
        return ""
    low = math.floor(100 * best[0]) / 100  # never rounded up to the threshold
    return (
        f"No metric can pass: with these models even a perfect grade has the interval [{low:.2f}, 1.00], "
        f"which is not all {test.pass_if}. Add models (seeds), or ask for less."
    )
