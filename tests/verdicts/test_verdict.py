"""Verdicts: intervals over models, thresholds, and the worst violations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from simbench.verdicts.verdict import VIOLATIONS, Trial, Verdict, decided, grade_trials, judge_by_mean, ungraded


def trial(*models: str, held: bool, margin: float = 0.0) -> Trial:
    return Trial("somewhere", models, held, margin)


def random_trials(models: int, per_pair: int, seed: int) -> list[Trial]:
    """Trials of single models and of pairs of them."""
    random = np.random.default_rng(seed)
    names = [f"m{number}" for number in range(models)]
    groups = [(name,) for name in names] + list(combinations(names, 2))
    return [trial(*group, held=bool(random.integers(2))) for group in groups for _ in range(per_pair)]


def interval_of(trials: Sequence[Trial]) -> tuple[float, float]:
    interval = judge_by_mean(trials).interval
    assert interval is not None
    return interval


def test_the_order_of_a_pair_of_models_does_not_matter() -> None:
    trials = random_trials(models=4, per_pair=2, seed=0)
    turned = [trial(*reversed(one.models), held=one.held) for one in trials]
    assert interval_of(trials) == interval_of(turned)


@pytest.mark.parametrize("models", [("a",), ("a", "b")])
def test_trials_of_the_same_models_have_an_interval_that_says_little(models: tuple[str, ...]) -> None:
    low, high = interval_of([trial(*models, held=held) for held in (True, False, True)])
    assert low < 0.15
    assert high > 0.95


def test_many_trials_of_few_models_do_not_narrow_the_interval() -> None:
    shares = {"a": 0.2, "b": 0.5, "c": 0.8, "d": 0.6}

    def width(per_model: int) -> float:
        trials = [trial(name, held=i < share * per_model) for name, share in shares.items() for i in range(per_model)]
        low, high = interval_of(trials)
        return high - low

    assert width(1000) == pytest.approx(width(10), abs=0.02)
    assert width(1000) > 0.3


def test_the_interval_covers_the_truth_because_it_leaves_out_models_and_not_trials() -> None:
    random = np.random.default_rng(0)
    repetitions, models, per_model, truth = 400, 10, 50, 0.5
    by_model = by_trial = 0
    for _ in range(repetitions):
        quality = random.beta(2, 2, size=models)
        held = random.random((models, per_model)) < quality[:, None]
        trials = [trial(f"m{m}", held=bool(one)) for m in range(models) for one in held[m]]
        low, high = interval_of(trials)
        by_model += low <= truth <= high
        share = held.mean()
        by_trial += abs(share - truth) <= 1.96 * np.sqrt(share * (1 - share) / held.size)
    assert 0.93 <= by_model / repetitions <= 0.97
    assert by_trial / repetitions < 0.65


def grade(trials: Sequence[Trial], unanswered: Sequence[Trial] = (), threshold: float = 0.95):
    return grade_trials([*trials, *unanswered], lambda value: value >= threshold, judge_by_mean, comparisons=7)


def answers(models: int, per_model: int, held: int) -> list[Trial]:
    """Of the questions to each model the first `held` hold."""
    return [trial(f"a/{m}", held=number < held) for m in range(models) for number in range(per_model)]


@pytest.mark.parametrize(
    ("models", "held", "outcome"),
    [
        (20, 20, "pass"),
        (3, 20, "undecided"),
        (20, 19, "undecided"),
        (3, 0, "fail"),
        (20, 16, "fail"),
        (1, 16, "undecided"),
    ],
)
def test_a_verdict_is_decided_where_the_interval_does_not_hold_the_threshold(
    models: int, held: int, outcome: str
) -> None:
    verdict = grade(answers(models, 20, held))
    assert (verdict.grade, verdict.comparisons, verdict.reason) == (held / 20, 7, None)
    assert verdict.outcome == outcome
    assert verdict.passed is {"pass": True, "fail": False, "undecided": None}[outcome]


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [((0.95, 1.0), "pass"), ((0.949, 1.0), "undecided"), ((0.5, 0.95), "undecided"), ((0.5, 0.949), "fail")],
)
def test_an_end_at_the_threshold_meets_it(interval: tuple[float, float], outcome: str) -> None:
    def judge(trials: Sequence[Trial]) -> Verdict:
        return Verdict("ok", sum(interval) / 2, interval)

    trials = [trial("a", held=True)]
    assert grade_trials(trials, lambda grade: grade >= 0.95, judge, comparisons=1).outcome == outcome


@pytest.mark.parametrize(
    ("grade", "interval", "passed"),
    [
        (0.5, (0.1, 0.8), True),  # excludes 0, and the effect is as large as was asked for
        (0.5, (0.0, 0.8), None),
        (0.2, (0.1, 0.8), None),
        (0.2, (0.1, 0.29), False),
        (0.0, (0.0, 0.2), False),
    ],
)
def test_an_association_passes_where_it_is_there_and_is_large_enough(
    grade: float, interval: tuple[float, float], passed: bool | None
) -> None:
    assert decided(grade, interval, lambda value: value >= 0.3, null_level=0.0) is passed


def test_questions_at_the_null_level_are_in_no_mean_and_widen_the_interval_by_what_they_could_have_been() -> None:
    answered = answers(20, 20, 20)
    at_null = [replace(one, held=None, status="null", reason="both at chance") for one in answers(10, 10, 0)]
    without, verdict = grade(answered), grade([*answered, *at_null])
    assert without.interval is not None
    assert (verdict.grade, verdict.interval) == (1.0, (pytest.approx(0.8 * without.interval[0]), 1.0))
    assert (verdict.outcome, verdict.reason) == ("undecided", None)
    assert verdict.auxiliary == {"at_null_level": 0.2}
    failed = grade([*answers(20, 20, 0), *at_null])
    assert (failed.grade, failed.outcome) == (0.0, "fail")


def test_a_test_with_nothing_but_questions_at_the_null_level_is_a_skip() -> None:
    at_null = [replace(one, status="null", reason="both at chance") for one in answers(1, 3, 0)]
    verdict = grade(at_null)
    assert (verdict.outcome, verdict.reason) == ("skip", "3 of 3 at the null level: both at chance")


def test_what_lacks_an_answer_is_partly_answered_unless_the_rest_fails() -> None:
    unanswered = [ungraded("here", "skip", "why")]
    assert grade(answers(20, 20, 20), unanswered).outcome == "partly"
    assert grade(answers(3, 20, 19), unanswered).outcome == "partly"
    assert grade(answers(20, 20, 0), unanswered).outcome == "fail"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["skip"], "ok"),
        (["skip", "missing"], "missing"),
        (["missing", "error"], "error"),
        (["skip", "error"], "error"),
    ],
)
def test_an_error_outranks_a_missing_score_and_that_a_skip(statuses: list[str], expected: str) -> None:
    unanswered = [ungraded("here", status, "why") for status in statuses]  # type: ignore[arg-type]
    verdict = grade([trial("a", held=True)], unanswered)
    assert verdict.status == expected
    assert verdict.passed is None


def test_the_reason_counts_what_it_stands_for() -> None:
    unanswered = [ungraded("block1", "error", "singular"), ungraded("block2", "error", "singular")]
    verdict = grade([trial("a", held=True)] * 3, unanswered)
    assert verdict.reason == "2 of 5 error: block1: singular"


def test_violations_are_the_worst_failures_first() -> None:
    trials = [trial("a", held=margin > 0, margin=margin) for margin in np.linspace(-2, 1, 31)]
    violations = grade(trials).violations
    assert len(violations) == VIOLATIONS
    assert [violation.margin for violation in violations] == pytest.approx(np.linspace(-2, 1, 31)[:VIOLATIONS])
