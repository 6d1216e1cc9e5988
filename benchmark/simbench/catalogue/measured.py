"""Measured properties of the built-in metrics, from the packaged file that `docs/make_metrics.py --measure` writes.

Figures are valid only for the version of the metric at which they were measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

FILE = Path(__file__).with_name("measured.json")
COSTS = (
    (1e-4, "< 0.1 ms"),
    (1e-3, "0.1–1 ms"),
    (1e-2, "1–10 ms"),
    (1e-1, "10–100 ms"),
    (1.0, "0.1–1 s"),
    (10.0, "1–10 s"),
)


@dataclass(frozen=True)
class Measured:
    """Properties of one metric at its default parameters, as `simbench.testing` measured them.

    Attributes:
        identity: the metric and its version.
        invariant_to: the transforms that did not change its value on any inputs.
        pairs_inputs: whether shuffling the rows of one side lowers the similarity.
        symmetric: whether exchanging the arguments did not change its value.
        triples: of a distance, the number of triples on which the triangle inequality was tried.
        violations: the number of triples that violate it.
        null: mean value of independent normal matrices, 100 rows and 20 features each; None if there is none.
        null_deviation: its standard deviation over the draws.
        seconds: CPU time of one of the 15 pairs of six matrices of 500 rows and 32 features, scored together.
    """

    identity: str
    invariant_to: tuple[str, ...]
    pairs_inputs: bool
    symmetric: bool
    triples: int | None
    violations: int | None
    null: float | None
    null_deviation: float | None
    seconds: float | None

    @property
    def cost(self) -> str:
        """Order of magnitude of `seconds`; empty if there is none.

        >>> Measured("m@1", (), True, True, None, None, None, None, 0.02).cost
        '10–100 ms'
        """
        if self.seconds is None:
            return ""
        return next((name for limit, name in COSTS if self.seconds < limit), "> 10 s")

    @property
    def triangle(self) -> str:
        """Numbers of triples on which the triangle inequality was tried and violated; empty if it was not tried."""
        return f"{self.violations} of {self.triples} triples violate it" if self.triples else ""


@cache
def measured() -> dict[str, Measured]:
    """Read the packaged file; return its entries by identity."""
    measured = json.loads(FILE.read_text(encoding="utf-8"))["metrics"] if FILE.exists() else []
    entries = [Measured(**{**entry, "invariant_to": tuple(entry["invariant_to"])}) for entry in measured]
    return {entry.identity: entry for entry in entries}


def measured_of(metric: Metric) -> Measured | None:
    """Return the measured properties of this version of a metric, if there are any."""
    return measured().get(metric.identity)
