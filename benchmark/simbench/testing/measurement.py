"""Measure the properties of a metric that `simbench describe` shows: invariances, null level, cost."""

from __future__ import annotations

import time
from itertools import combinations
from statistics import mean, stdev

from simbench.catalogue.measured import Measured
from simbench.declaration import INVARIANCES
from simbench.metrics.metric import Metric
from simbench.metrics.scoring import score_pairs
from simbench.testing.bench import TOLERANCE
from simbench.testing.conformance import PAIRING, check_metric, null_values
from simbench.testing.inputs import in_sequences, unrelated
from simbench.testing.triangles import detours
from simbench.verdicts.verdict import LACKING

ROWS, WIDTH, CASES = 500, 32, 3
# A measurement that takes more seconds is made once, any other one three times, and the quickest counts.
LONG = 2.0


def measure(metric: Metric) -> Measured:
    """Measure a metric at its default parameters."""
    findings = {finding.property: finding.measured for finding in check_metric(metric)}
    tried = not metric.higher_is_more_similar and "triangle inequality" in findings
    detour = detours(metric, TOLERANCE) if tried else None
    null = null_values(metric)
    return Measured(
        identity=metric.identity,
        invariant_to=tuple(name for name in INVARIANCES if findings.get(f"invariance: {name}") == "yes"),
        pairs_inputs=findings[PAIRING] == "yes",
        symmetric=findings["symmetry"] == "yes",
        triples=detour.triples if detour else None,
        violations=detour.violations if detour else None,
        null=rounded(mean(null)) if null else None,
        null_deviation=rounded(stdev(null)) if len(null) > 1 else None,
        seconds=rounded(seconds_per_pair(metric), digits=2),
    )


def seconds_per_pair(metric: Metric) -> float | None:
    """Return the CPU time per pair of scoring all pairs of six matrices together; None if a pair has no value."""
    cases = [unrelated(seed, rows=ROWS, width=WIDTH) for seed in range(CASES)]
    if "sequence" in metric.needs:
        cases = [in_sequences(case) for case in cases]
    sides = [side for case in cases for side in (case.a, case.b)]
    pairs = list(combinations(range(len(sides)), 2))
    taken: list[float] = []
    while len(taken) < 3 and max(taken, default=0.0) < LONG:
        start = time.process_time()
        scores = score_pairs(metric, sides, pairs)
        taken.append(time.process_time() - start)
        if any(score.status in LACKING for score in scores) or all(score.value is None for score in scores):
            return None
    return min(taken) / len(pairs)


def rounded(value: float | None, digits: int = 4) -> float | None:
    """Round to a number of significant digits.

    >>> rounded(0.00123456), rounded(1234567.0)
    (0.001235, 1235000.0)
    """
    return None if value is None else float(f"{value:.{digits - 1}e}")
