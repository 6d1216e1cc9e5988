"""Gate of pairing: a metric that claims to pair inputs and does not has the grade 0, whatever it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from simbench.references import Comparison
from simbench.sanity.question import Question, Scores, Similarity, Ungradable, all_scored, why_unscored
from simbench.sanity.stats.pairing import PairingCheck
from simbench.sanity.stats.ties import ROUNDING
from simbench.verdicts.verdict import LACKING, NO_PAIRING, VIOLATIONS, Tally, Trial, Verdict


def claims_in_vain(checks: Sequence[PairingCheck], questions: Sequence[Question], scores: Scores) -> bool:
    """Tell whether the metric claims to pair inputs and does not, on half of the layers with scores or more."""
    scored = [check for check in checks if all_scored(check, scores)]
    return bool(scored) and 2 * _told_apart(scored, questions, scores) <= len(scored)


def why_unproved(checks: Sequence[PairingCheck], questions: Sequence[Question], scores: Scores) -> Ungradable | None:
    """Return why it is not known whether the metric pairs inputs: so many checks lack scores that they could decide."""
    reasons = [why_unscored(check, scores) for check in checks]
    lacking = [why for why in reasons if why is not None]
    scored = [check for check, why in zip(checks, reasons, strict=True) if why is None]
    if not lacking or 2 * _told_apart(scored, questions, scores) > len(checks):
        return None
    example = next((why for status in LACKING for why in lacking if why.status == status), lacking[0])
    return Ungradable(example.status, f"{len(lacking)} of {len(checks)} checks of pairing: {example.reason}")


def _told_apart(checks: Sequence[PairingCheck], questions: Sequence[Question], scores: Scores) -> int:
    """Count the checks in which unrelated rows are less similar than a layer is to itself by more than rounding.

    An index that does not depend on the order of rows may sum them in it: where a layer has the value 0 with itself,
    what that leaves is small relative only to how far the test's other scores are from 0. It is held against their
    median, which shuffled rows exceed in any expression of an index that pairs inputs.
    """
    pairs = [(scores(own), scores(unrelated)) for own, unrelated in checks]
    above = [(own.value, own.value - unrelated.value) for own, unrelated in pairs if own.above(unrelated)]
    if not above:
        return 0
    others = dict.fromkeys(chain.from_iterable(question.comparisons for question in questions))
    beside = np.array([score.value for other in others if (score := _score_or_none(other, scores)) is not None])
    lowest, highest = (beside.min(), beside.max()) if len(beside) else (np.inf, -np.inf)

    def is_rounding(own: float, fall: float) -> bool:
        # The median is at most the largest distance, for which nothing is sorted.
        if not 0 < fall <= ROUNDING * max(highest - own, own - lowest):
            return False
        return fall <= ROUNDING * float(np.median(np.abs(beside - own)))

    return sum(not is_rounding(own, fall) for own, fall in above)


def _score_or_none(comparison: Comparison, scores: Scores) -> Similarity | None:
    try:
        return scores(comparison)
    except Ungradable:
        return None


def without_pairing(verdict: Verdict) -> Verdict:
    """Return the verdict on a metric that claims to pair inputs and does not: 0 and failed, whatever it was asked."""
    if verdict.status != "ok":
        return verdict
    return replace(
        verdict,
        grade=0.0,
        interval=(0.0, 0.0),
        passed=False,
        statistic=None if verdict.statistic is None else 0.0,
        without=dict.fromkeys(verdict.without, 0.0),
        tallies=tuple(Tally(tally.models, 0.0, tally.asked) for tally in verdict.tallies),
        violations=(Trial(NO_PAIRING, (), False, -1.0), *verdict.violations)[:VIOLATIONS],
        columns={name: without_pairing(part) for name, part in verdict.columns.items()},
    )


def lacking_pairing(verdict: Verdict, why: Ungradable) -> Verdict:
    """Return a verdict that is no pass, as it is not known whether the metric pairs inputs as it claims."""
    columns = {name: lacking_pairing(part, why) for name, part in verdict.columns.items()}
    if verdict.status != "ok":
        return replace(verdict, columns=columns)
    if why.status in LACKING:
        return Verdict(
            why.status, comparisons=verdict.comparisons, reason=why.reason, columns=columns, owed=verdict.owed
        )
    reason = "; ".join(text for text in (verdict.reason, why.reason) if text)
    return replace(verdict, passed=None if verdict.passed else verdict.passed, reason=reason, columns=columns)
