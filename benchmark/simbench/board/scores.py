"""The scores behind a leaderboard as a tidy table: one row per metric, test and comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from simbench.references import Comparison


@dataclass(frozen=True)
class ScoreRow:
    """One score, as a test asked for it. `a` is the sender and `b` the receiver of a directed metric.

    Attributes:
        metric: the metric's label.
        test: the id of a test that asked for the comparison; a score that two tests share stands in two rows.
        a_model, b_model: `group/seed`, or the generator and its seed.
        a_layer, b_layer: the layers' names.
        a_change, b_change: reparametrisation and transform, as text; empty for the representation as it is.
        status: `ok`, `skip`, `error`, `timeout` or `missing`.
        value: as the metric returned it (distances are not negated); None unless the status is `ok`.
        key: the score's content-addressed key.
        auxiliary: other numbers that came with the value, such as a p-value.
    """

    metric: str
    test: str
    a_model: str
    a_layer: str
    a_change: str
    b_model: str
    b_layer: str
    b_change: str
    status: str
    value: float | None
    standard_error: float | None
    tiebreak: float | None
    warnings: str
    reason: str
    seconds: float
    key: str
    auxiliary: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def place_of(comparison: Comparison) -> tuple[str, str, str, str, str, str]:
        """Return the six columns that name a comparison."""
        a, b = comparison.a, comparison.b
        changes = [
            " ".join(str(step) for step in (side.reparametrisation, side.transform) if step is not None)
            for side in (a, b)
        ]
        return str(a.model), a.layer, changes[0], str(b.model), b.layer, changes[1]
