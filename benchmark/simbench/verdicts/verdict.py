"""Verdicts: a test's grade for one metric, with its interval, its worst violations, and what could not be graded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from simbench.errors import NotApplicable
from simbench.references import Comparison
from simbench.seeds import seed_for
from simbench.verdicts.bounds import effective_questions, interval_over_models, widen
from simbench.verdicts.jackknife import Interval, jackknife_variance

# Why a question has no answer: the metric does not apply, it failed, or its score has not been computed.
UngradedStatus = Literal["skip", "error", "timeout", "missing"]
# Statuses of scores that should be there; the first that a question has is that of the verdict.
LACKING: tuple[UngradedStatus, ...] = ("error", "timeout", "missing")
VerdictStatus = Literal["ok", UngradedStatus]
# "null": the scores are those of an index that sees nothing, so that the answer could have been any.
TrialStatus = Literal[VerdictStatus, "null"]
# What a verdict says, in a word.
Outcome = Literal["pass", "fail", "undecided", "partly", UngradedStatus]
# What a question is to a metric: owed by every index of the test's purposes, declared by this one, or neither.
Owed = Literal["required", "promised", "not promised"]
# Intraclass correlation of answers about the same models, where a kind does not say its own: on the published boards
# it is at most .05 for these, but .13 and .16 for two kinds (docs/decisions/intervals.md).
MODEL_CORRELATION = 0.1
# Auxiliary value: the share of the questions at the null level.
AT_NULL_LEVEL = "at_null_level"
# A verdict lists at most so many violations.
VIOLATIONS = 10
# First violation of a metric that is refused, whatever it was asked.
NO_PAIRING = (
    "claims to pair inputs, and takes a layer with its rows shuffled for as similar to the layer as the layer is"
)


@dataclass(frozen=True)
class Trial:
    """One question that a test asks of a metric, with its answer or with the reason why there is none.

    Attributes:
        where: the representations in question, in words.
        models: the models whose scores decide, `name/seed`.
        held: whether the claim held; None for an observation, which is one point of a statistic, and without an answer.
        margin: how far on the right side (> 0) the answer fell; for an observation, the similarity.
        column: the column of the board that the question belongs to.
        violating: the comparisons whose scores broke the claim.
        at: the value of the swept variable, where a test sweeps one; for an observation, of the reference variable.
        line: the curve that the question lies on: trials of one line differ in nothing but `at`.
        partial_credit: what the answer adds to the grade, in [0, 1], where that is not all or nothing.
        status: "ok" for an answered question; "null" where the scores lie at the null level, so that the answer says
            nothing; else why there is no answer.
        reason: the explanation of any other status.
        given: the value of a variable that the statistic takes account of, such as a distance in depth.
    """

    where: str
    models: tuple[str, ...]
    held: bool | None
    margin: float
    column: str | None = None
    violating: tuple[Comparison, ...] = ()
    at: float | None = None
    line: str = ""
    partial_credit: float | None = None
    status: TrialStatus = "ok"
    reason: str = ""
    given: float | None = None

    @property
    def credit(self) -> float:
        """Contribution to the grade; 0 for an observation."""
        return float(bool(self.held)) if self.partial_credit is None else self.partial_credit


def ungraded(where: str, status: TrialStatus, reason: str, column: str | None = None) -> Trial:
    """Return the trial of a question that could not be answered."""
    return Trial(where, (), None, math.nan, column, status=status, reason=reason)


@dataclass(frozen=True)
class Tally:
    """Credit that the trials of the same models earned, and their number: enough to resample models."""

    models: tuple[str, ...]
    credit: float
    asked: int


@dataclass(frozen=True)
class Verdict:
    """A grade in [0, 1] (1 is perfect) or the reason why there is none.

    Attributes:
        interval: its 95 % interval over models; every grade has one.
        passed: True where the whole interval meets the threshold, False where none of it does; None where it holds the
            threshold, and where some questions could not be answered: what could not be compared never reads as a pass.
        comparisons: how many comparisons the questions needed.
        reason: why there is no grade, or what could not be answered.
        auxiliary: figures shown beside the grade.
        violations: the worst trials, by margin.
        columns: verdicts on parts of the test.
        tallies: the credits of which the grade is the mean; empty for a grade that is a statistic.
        statistic: the statistic before it is clipped to [0, 1]; None for a mean of credits.
        without: the statistic with each of its models left out.
        trials: every question that was answered.
        owed: what the questions are to this metric.
    """

    status: VerdictStatus
    grade: float | None = None
    interval: tuple[float, float] | None = None
    passed: bool | None = None
    comparisons: int = 0
    reason: str | None = None
    auxiliary: Mapping[str, float] = field(default_factory=dict)
    violations: tuple[Trial, ...] = ()
    columns: Mapping[str, Verdict] = field(default_factory=dict)
    tallies: tuple[Tally, ...] = ()
    statistic: float | None = None
    without: Mapping[str, float] = field(default_factory=dict)
    trials: tuple[Trial, ...] = field(default=(), repr=False)
    owed: Owed = "required"

    @property
    def is_refused(self) -> bool:
        """Tell whether the metric claims to pair inputs and does not, so that its answers count for nothing."""
        return bool(self.violations) and self.violations[0].where == NO_PAIRING

    @property
    def outcome(self) -> Outcome:
        """Say in a word what the verdict is: "partly" where questions lack answers and the rest does not fail.

        >>> Verdict("ok", 0.97, (0.9, 1.0)).outcome, Verdict("skip", reason="needs a head").outcome
        ('undecided', 'skip')
        """
        if self.status != "ok":
            return self.status
        if self.passed is None:
            return "undecided" if self.reason is None else "partly"
        return "pass" if self.passed else "fail"

    @property
    def unclipped(self) -> float | None:
        """Grade before it is clipped to [0, 1]."""
        return self.grade if self.statistic is None else self.statistic

    def without_a_model(self) -> Mapping[str, float]:
        """Return `unclipped` with each model left out; NaN where that leaves no trial, nothing without a grade."""
        return self.without or means_without_a_model(self.tallies)


def judge_by_mean(trials: Sequence[Trial], model_correlation: float = MODEL_CORRELATION) -> Verdict:
    """Grade trials by their mean credit, with its interval over models; for yes/no questions, the share that held."""
    grade, tallies = sum(trial.credit for trial in trials) / len(trials), tally_by_models(trials)
    interval = interval_of_mean(grade, tallies, model_correlation)
    return Verdict("ok", grade, interval, violations=worst_trials(trials), tallies=tallies)


def interval_of_mean(grade: float, tallies: Sequence[Tally], model_correlation: float) -> Interval:
    """Return the 95 % interval of a mean of credits: that of a share of so many independent questions.

    Args:
        grade: the mean.
        tallies: the credits of which it is the mean.
        model_correlation: the intraclass correlation of answers about the same models.
    """
    questions = effective_questions(((tally.models, tally.asked) for tally in tallies), model_correlation)
    spread = jackknife_variance(means_without_a_model(tallies))
    return interval_over_models(grade, questions, None if spread is None else spread.variance)


def best_interval(verdict: Verdict, model_correlation: float) -> Interval | None:
    """Return the interval that a perfect grade of the same questions would have; None for a grade that is a statistic.

    Whoever fails no question cannot do better: where this interval does not pass, the models are too few to tell.
    """
    if not verdict.tallies:
        return None
    perfect = [Tally(tally.models, float(tally.asked), tally.asked) for tally in verdict.tallies]
    return widen(interval_of_mean(1.0, perfect, model_correlation), verdict.auxiliary.get(AT_NULL_LEVEL, 0.0))


def tally_by_models(trials: Iterable[Trial]) -> tuple[Tally, ...]:
    """Add up the credits of trials that were asked of the same models, in the order of their first trial."""
    credits: dict[tuple[str, ...], list[float]] = {}
    for trial in trials:
        credits.setdefault(trial.models, []).append(trial.credit)
    return tuple(Tally(models, sum(earned), len(earned)) for models, earned in credits.items())


def means_without_a_model(tallies: Sequence[Tally]) -> dict[str, float]:
    """Return the mean credit with each model left out in turn; NaN where no question is left."""
    credit, asked = sum(tally.credit for tally in tallies), sum(tally.asked for tally in tallies)
    of_model: dict[str, tuple[float, int]] = {}
    for tally in tallies:
        for model in set(tally.models):
            earned, number = of_model.get(model, (0.0, 0))
            of_model[model] = earned + tally.credit, number + tally.asked
    return {
        model: (credit - earned) / (asked - number) if asked > number else math.nan
        for model, (earned, number) in sorted(of_model.items())
    }


def worst_trials(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """Select the trials that failed, the furthest on the wrong side first."""
    failed = [trial for trial in trials if trial.held is not None and not trial.held]
    return tuple(sorted(failed, key=lambda trial: trial.margin)[:VIOLATIONS])


def clip(value: float) -> float:
    """Clip a value to [0, 1]."""
    return min(1.0, max(0.0, value))


def grade_trials(
    trials: Sequence[Trial],
    passes: Callable[[float], bool],
    judge: Callable[[Sequence[Trial]], Verdict],
    *,
    comparisons: int,
    null_level: float | None = None,
) -> Verdict:
    """Reach the verdict on a set of questions: a score that should be there outranks a skip, a skip outranks a pass.

    Questions at the null level are in no mean; the interval holds what they could have been.

    Args:
        trials: the questions, answered or not.
        passes: whether a grade meets the threshold.
        judge: gives answered questions a grade and its interval.
        comparisons: how many comparisons the questions needed.
        null_level: the grade of an index that is associated with nothing, where the grade is one of an association:
            that passes where the interval lies above this level and the grade itself meets the threshold.
    """
    answered = [trial for trial in trials if trial.status == "ok"]
    at_null = [trial for trial in trials if trial.status == "null"]
    unanswered = [trial for trial in trials if trial.status not in ("ok", "null")]
    failure = next((trial for status in LACKING for trial in unanswered if trial.status == status), None)
    if failure is not None and failure.status != "null":
        return Verdict(failure.status, comparisons=comparisons, reason=_counted(failure, trials))
    partial = _counted(unanswered[0], trials) if unanswered else None
    if not answered:
        empty = f"{len(at_null)} of {len(trials)} at the null level: {at_null[0].reason}" if at_null else None
        reason = empty or (unanswered[0].reason if unanswered else "nothing to compare")
        return Verdict("skip", comparisons=comparisons, reason=reason)
    try:
        verdict = judge(answered)
    except NotApplicable as undetermined:
        reason = str(undetermined) if partial is None else f"{undetermined}; {partial}"
        return Verdict("skip", comparisons=comparisons, reason=reason)
    assert verdict.grade is not None
    assert verdict.interval is not None
    share_at_null = len(at_null) / (len(at_null) + len(answered))
    interval = widen(verdict.interval, share_at_null)
    passed = decided(verdict.grade, interval, passes, null_level)
    return replace(
        verdict,
        interval=interval,
        passed=None if passed and unanswered else passed,
        comparisons=comparisons,
        reason=partial,
        auxiliary={**verdict.auxiliary, AT_NULL_LEVEL: share_at_null} if at_null else verdict.auxiliary,
        trials=tuple(answered),
    )


def decided(
    grade: float, interval: Interval, passes: Callable[[float], bool], null_level: float | None = None
) -> bool | None:
    """Tell whether an interval decides: all of it passes, or none of it does; None otherwise.

    An association, whose null level is given, passes where all of the interval lies above that level and the grade
    itself passes.

    >>> [decided(0.9, interval, lambda grade: grade >= 0.8) for interval in ((0.85, 1), (0.7, 1), (0.5, 0.7))]
    [True, None, False]
    """
    ends = [passes(end) for end in interval]
    if not any(ends):
        return False
    if null_level is not None:
        return True if interval[0] > null_level and passes(grade) else None
    return True if all(ends) else None


def _counted(example: Trial, trials: Sequence[Trial]) -> str:
    alike = sum(trial.status == example.status for trial in trials)
    return f"{alike} of {len(trials)} {example.status}: {example.where}: {example.reason}"


def seed_of_test(test_id: str) -> int:
    """Derive the seed of a test's resampling."""
    return seed_for(purpose="interval", test=test_id)
