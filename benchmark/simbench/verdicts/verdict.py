"""Verdicts: a test's grade for one metric, with its interval, its worst violations, and what could not be graded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from simbench.errors import NotApplicable
from simbench.references import Comparison
from simbench.seeds import seed_for
from simbench.verdicts.jackknife import bounded_interval, leaving_models_out

VerdictStatus = Literal["ok", "skip", "error", "missing"]
VIOLATIONS = 10


@dataclass(frozen=True)
class Trial:
    """One question that was asked of a metric. `margin` is how far on the right side (> 0) it fell.

    `violating` are the comparisons whose scores broke it; `at` is the swept variable's value where a test sweeps one,
    and `line` names the trials that differ in nothing else. `held` is None for an observation, one point of a
    statistic: its `margin` is the similarity and its `at` what this is held against. `partial_credit` in [0, 1] is
    what the trial adds to the grade where that is not all or nothing.
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

    @property
    def credit(self) -> float:
        """What the trial adds to the grade; an observation adds nothing by itself."""
        return float(bool(self.held)) if self.partial_credit is None else self.partial_credit


@dataclass(frozen=True)
class Ungraded:
    """A question that could not be answered, and why."""

    where: str
    status: Literal["skip", "error", "missing"]
    reason: str
    column: str | None = None


@dataclass(frozen=True)
class Violation:
    """A trial that did not hold."""

    where: str
    margin: float


@dataclass(frozen=True)
class Tally:
    """What the trials of the same models earned, and how many they were: what resampling models needs to know."""

    models: tuple[str, ...]
    held: float
    asked: int


@dataclass(frozen=True)
class Verdict:
    """A grade in [0, 1] (1 is perfect) or the reason why there is none.

    `passed` is None where some questions could not be answered: what could not be compared never reads as a pass.
    `tallies` are what a mean of credits consists of. Any other grade is a `statistic`, cut to [0, 1], and `without` is
    that statistic with each of its models left out.
    """

    status: VerdictStatus
    grade: float | None = None
    interval: tuple[float, float] | None = None
    passed: bool | None = None
    comparisons: int = 0
    reason: str | None = None
    auxiliary: Mapping[str, float] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    columns: Mapping[str, Verdict] = field(default_factory=dict)
    tallies: tuple[Tally, ...] = ()
    statistic: float | None = None
    without: Mapping[str, float] = field(default_factory=dict)
    trials: tuple[Trial, ...] = field(default=(), repr=False)

    @property
    def uncut(self) -> float | None:
        """What the grade is before it is cut to [0, 1]."""
        return self.grade if self.statistic is None else self.statistic

    def without_a_model(self) -> Mapping[str, float]:
        """`uncut` with each of its models left out; NaN where that leaves none. Nothing without a grade."""
        return self.without or leaving_models_out(self.tallies, _mean_of_tallies)


@dataclass(frozen=True)
class Judgement:
    """A grade in [0, 1], its interval, and the figures that belong beside it.

    `tallies` are what the mean credit of trials consists of. Any other grade is cut from a `statistic`, which `without`
    gives with each model left out.
    `violations` are what kept a statistic from 1; None where the trials that failed are the violations.
    """

    grade: float
    interval: tuple[float, float] | None = None
    auxiliary: Mapping[str, float] = field(default_factory=dict)
    tallies: tuple[Tally, ...] = ()
    statistic: float | None = None
    without: Mapping[str, float] = field(default_factory=dict)
    violations: tuple[Violation, ...] | None = None


def mean_credit(trials: Sequence[Trial]) -> float:
    """The mean credit of trials; where all are yes/no questions, the share that held."""
    return sum(trial.credit for trial in trials) / len(trials)


def tallied(trials: Iterable[Trial]) -> tuple[Tally, ...]:
    """The trials counted by the models they were asked of, in the order these appear."""
    credits: dict[tuple[str, ...], list[float]] = {}
    for trial in trials:
        credits.setdefault(trial.models, []).append(trial.credit)
    return tuple(Tally(models, sum(earned), len(earned)) for models, earned in credits.items())


def _mean_of_tallies(tallies: Sequence[Tally]) -> float:
    return sum(tally.held for tally in tallies) / sum(tally.asked for tally in tallies)


def judged_by_mean(trials: Sequence[Trial]) -> Judgement:
    """The mean credit of trials, with its interval over models."""
    grade, tallies = mean_credit(trials), tallied(trials)
    interval = bounded_interval(grade, leaving_models_out(tallies, _mean_of_tallies), 0, 1)
    return Judgement(grade, interval, tallies=tallies)


def cut(value: float) -> float:
    """The grade that a value stands for: nothing below 0 or above 1."""
    return min(1.0, max(0.0, value))


def grade_trials(
    trials: Sequence[Trial],
    ungraded: Sequence[Ungraded],
    passes: Callable[[float], bool],
    judge: Callable[[Sequence[Trial]], Judgement],
    *,
    comparisons: int,
) -> Verdict:
    """The verdict on a set of questions: an error or a missing score outranks a skip, a skip outranks a pass."""
    problem = next((one for status in ("error", "missing") for one in ungraded if one.status == status), None)
    if problem is not None:
        return Verdict(problem.status, comparisons=comparisons, reason=_counted(problem, ungraded, trials))
    if not trials:
        reason = ungraded[0].reason if ungraded else "nothing to compare"
        return Verdict("skip", comparisons=comparisons, reason=reason)
    try:
        judgement = judge(trials)
    except NotApplicable as reason:
        told = f"{reason}; {_counted(ungraded[0], ungraded, trials)}" if ungraded else str(reason)
        return Verdict("skip", comparisons=comparisons, reason=told)
    grade = judgement.grade
    partial = _counted(ungraded[0], ungraded, trials) if ungraded else None
    return Verdict(
        "ok",
        grade=grade,
        interval=judgement.interval,
        passed=False if not passes(grade) else None if ungraded else True,
        comparisons=comparisons,
        reason=partial,
        auxiliary=judgement.auxiliary,
        violations=worst(trials) if judgement.violations is None else judgement.violations,
        tallies=judgement.tallies,
        statistic=judgement.statistic,
        without=judgement.without,
        trials=tuple(trials),
    )


def _counted(problem: Ungraded, ungraded: Sequence[Ungraded], trials: Sequence[Trial]) -> str:
    alike = sum(one.status == problem.status for one in ungraded)
    return f"{alike} of {len(ungraded) + len(trials)} {problem.status}: {problem.where}: {problem.reason}"


def worst(trials: Iterable[Trial]) -> tuple[Violation, ...]:
    """The trials that failed, the furthest on the wrong side first."""
    failed = sorted(
        (trial for trial in trials if trial.held is not None and not trial.held), key=lambda trial: trial.margin
    )
    return tuple(Violation(trial.where, trial.margin) for trial in failed[:VIOLATIONS])


def seed_of_test(test_id: str) -> int:
    """The seed of a test's resampling."""
    return seed_for(purpose="interval", test=test_id)
