"""Verdicts: intervals over models, thresholds, and the worst violations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from simbench.verdicts.verdict import VIOLATIONS, Trial, grade_trials, judge_by_mean, ungraded


def trial(*models: str, held: bool, margin: float = 0.0) -> Trial:
    return Trial("somewhere", models, held, margin)


def random_trials(models: int, per_pair: int, seed: int) -> list[Trial]:
    """Trials of single models and of pairs of them."""
    random = np.random.default_rng(seed)
    names = [f"m{number}" for number in range(models)]
    groups = [(name,) for name in names] + list(combinations(names, 2))
    return [trial(*group, held=bool(random.integers(2))) for group in groups for _ in range(per_pair)]


def interval_of(trials: Sequence[Trial]) -> tuple[float, float] | None:
    return judge_by_mean(trials).interval


def test_the_order_of_a_pair_of_models_does_not_matter() -> None:
    trials = random_trials(models=4, per_pair=2, seed=0)
    turned = [trial(*reversed(one.models), held=one.held) for one in trials]
    assert interval_of(trials) == interval_of(turned)


@pytest.mark.parametrize("models", [("a",), ("a", "b")])
def test_trials_of_the_same_models_have_no_interval(models: tuple[str, ...]) -> None:
    trials = [trial(*models, held=held) for held in (True, False, True)]
    assert interval_of(trials) is None


def test_many_trials_of_few_models_do_not_narrow_the_interval() -> None:
    shares = {"a": 0.2, "b": 0.5, "c": 0.8, "d": 0.6}

    def width(per_model: int) -> float:
        trials = [trial(name, held=i < share * per_model) for name, share in shares.items() for i in range(per_model)]
        low, high = interval_of(trials) or (0.0, 0.0)
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
        low, high = interval_of(trials) or (0.0, 0.0)
        by_model += low <= truth <= high
        share = held.mean()
        by_trial += abs(share - truth) <= 1.96 * np.sqrt(share * (1 - share) / held.size)
    assert 0.93 <= by_model / repetitions <= 0.97
    assert by_trial / repetitions < 0.65


def grade(trials: Sequence[Trial], unanswered: Sequence[Trial] = (), threshold: float = 0.95):
    return grade_trials([*trials, *unanswered], lambda value: value >= threshold, judge_by_mean, comparisons=7)


@pytest.mark.parametrize(("held", "passed"), [(19, True), (18, False)])
def test_a_grade_passes_where_it_meets_the_threshold(held: int, passed: bool) -> None:
    verdict = grade([trial("a", held=number < held) for number in range(20)])
    assert (verdict.grade, verdict.passed, verdict.comparisons) == (held / 20, passed, 7)


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
