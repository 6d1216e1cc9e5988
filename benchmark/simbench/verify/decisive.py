"""Find the scores that decide verdicts: those with which, alone, a verdict would turn whatever else stays as it is.

A verdict turns where it becomes another one of pass, fail and undecided. A forged score that gave its author another
verdict is among them: with the true value in its place the verdict turns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from simbench.grading import lookup
from simbench.metrics.metric import Metric
from simbench.plan.plan import Plan
from simbench.references import Comparison
from simbench.results.record import ScoreRecord
from simbench.sanity.kind import SanityTest
from simbench.sanity.question import Question, Scores, all_scored
from simbench.sanity.stats.statistic import StatisticTest
from simbench.verdicts.verdict import Trial, grade_trials

# A metric's score, or that of a reference variable, by metric label and score key.
Score = tuple[str, str]
# Whether a verdict passed, and whether its grade alone meets the threshold, which counts for columns.
Passing = tuple[bool | None, bool]
# Quantiles of all observations that are tried in place of one, with a value beyond each end.
TRIED = (0.25, 0.5, 0.75)


def decisive_scores(
    plan: Plan, metric: Metric, records: Mapping[str, Mapping[str, ScoreRecord]]
) -> dict[str, set[str]]:
    """Return, by metric label, the keys of scores any of which alone could turn a verdict on this metric.

    For a mean of credits it is tried with all answers of a score right, wrong and at the null level; for a statistic,
    such as a rank correlation, with five values, of which those count that move it furthest.
    """
    keys: dict[str, set[str]] = {}
    scores = lookup(plan, metric, records)
    for test in plan.tests:
        groups = plan.groups_of(test)
        questions = test.asked(groups, metric)
        trials = [question.answer(scores) for question in questions]
        for comparison in _deciding_pairing(test, plan, metric, scores) if questions else ():
            keys.setdefault(metric.label, set()).add(plan.score_key(metric, comparison))
        for part in _parts(questions):
            asked, answers = [questions[place] for place in part], [trials[place] for place in part]
            places = _places_by_score(plan, metric, asked)
            for label, key in _turning(test, answers, places):
                keys.setdefault(label, set()).add(key)
    return keys


def _deciding_pairing(test: SanityTest, plan: Plan, metric: Metric, scores: Scores) -> Iterator[Comparison]:
    """Yield the comparisons of pairing checks that are so balanced that one of them tells whether the metric pairs."""
    if not metric.pairs_inputs:
        return
    checks = [check for check in test.pairing_checks(plan.groups_of(test), metric) if all_scored(check, scores)]
    holds = [scores(check.own).above(scores(check.unrelated)) for check in checks]
    for check, holding in zip(checks, holds, strict=True):
        turned = sum(holds) + (-1 if holding else 1)
        if (2 * turned <= len(checks)) != (2 * sum(holds) <= len(checks)):
            yield from check


def _parts(questions: Sequence[Question]) -> list[list[int]]:
    """Return the positions of all questions, and those of each column: each has a verdict of its own."""
    columns = dict.fromkeys(question.column for question in questions if question.column is not None)
    everything = [list(range(len(questions)))] if questions else []
    return everything + [
        [place for place, question in enumerate(questions) if question.column == column] for column in columns
    ]


def _places_by_score(plan: Plan, metric: Metric, questions: Sequence[Question]) -> dict[Score, list[int]]:
    """Return the positions of the questions that each score answers."""
    places: dict[Score, list[int]] = {}
    for place, question in enumerate(questions):
        needed: list[tuple[Metric, Comparison]] = [(metric, comparison) for comparison in question.comparisons]
        needed += [(plan.reference_variable(variable), compared) for variable, compared in question.reference_variables]
        for asked, comparison in needed:
            places.setdefault((asked.label, plan.score_key(asked, comparison)), []).append(place)
    return places


def _turning(test: SanityTest, trials: Sequence[Trial], places: Mapping[Score, list[int]]) -> Iterator[Score]:
    answered = [place for place, trial in enumerate(trials) if trial.status in ("ok", "null")]
    unanswered = set(range(len(trials))) - set(answered)
    if unanswered:
        # Without an answer nothing passes: a value in place of the reason would let it.
        yield from (score for score, of_score in places.items() if unanswered <= set(of_score))
    if not answered:
        return
    base = _passing(test, trials)
    turns: dict[tuple[object, ...], bool] = {}
    for score, of_score in places.items():
        # Verdicts depend on models and credits alone: scores that answer for the same ones are alike.
        alike = tuple((trials[place].models, trials[place].credit, trials[place].status) for place in of_score)
        key = (*of_score,) if isinstance(test, StatisticTest) else alike
        if key not in turns:
            turns[key] = any(_passing(test, tried) != base for tried in _tried(test, trials, of_score))
        if turns[key]:
            yield score


def _passing(test: SanityTest, trials: Sequence[Trial]) -> Passing:
    verdict = grade_trials(trials, test.passes, test.estimate, comparisons=0, null_level=test.null_level)
    return verdict.passed, verdict.grade is not None and test.passes(verdict.grade)


def _tried(test: SanityTest, trials: Sequence[Trial], of_score: Sequence[int]) -> Iterator[Sequence[Trial]]:
    if isinstance(test, StatisticTest):
        yield from _other_observations(test, trials, of_score)
    else:
        yield from _other_answers(trials, of_score)


def _other_answers(trials: Sequence[Trial], of_score: Sequence[int]) -> Iterator[Sequence[Trial]]:
    """Yield the trials with the answers of a score all wrong, all right, and all at the null level."""
    changes: tuple[dict[str, Any], ...] = ({"held": False}, {"held": True}, {"status": "null"})
    for change in changes:
        tried = list(trials)
        for place in of_score:
            if tried[place].status in ("ok", "null"):
                tried[place] = replace(tried[place], **{"status": "ok", "partial_credit": None, **change})
        yield tried


def _other_observations(
    test: StatisticTest, trials: Sequence[Trial], of_score: Sequence[int]
) -> Iterator[Sequence[Trial]]:
    """Yield the trials with other similarities in place of those of a score: the lowest and the highest statistic."""
    margins = np.array([trial.margin for trial in trials if trial.status == "ok"])
    mine = [place for place in of_score if trials[place].status == "ok"]
    if not mine:
        return
    low, high = float(margins.min()), float(margins.max())
    reached: list[tuple[float, Sequence[Trial]]] = []
    for value in [low - 1, high + 1, *np.quantile(margins, TRIED)]:
        tried = list(trials)
        for place in mine:
            tried[place] = replace(tried[place], margin=float(value))
        statistic = test.statistic([trial for trial in tried if trial.status == "ok"])
        if math.isfinite(statistic):
            reached.append((statistic, tried))
    by_statistic = sorted(reached, key=lambda pair: pair[0])
    yield from (tried for _, tried in (*by_statistic[:1], *by_statistic[-1:]))
