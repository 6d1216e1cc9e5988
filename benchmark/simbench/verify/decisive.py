"""Find the scores that decide verdicts: those with which, alone, a verdict would turn whatever else stays as it is.

A forged score that gave its author another verdict is among them: with the true value in its place the verdict turns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from simbench.grading import lookup
from simbench.metrics.metric import Metric
from simbench.plan.plan import Plan
from simbench.references import Comparison
from simbench.results.record import ScoreRecord
from simbench.sanity.kind import Question, SanityTest
from simbench.sanity.stats.statistic import StatisticTest
from simbench.verdicts.verdict import Trial, clip

# A metric's score, or that of a reference variable, by metric label and score key.
Score = tuple[str, str]
# Quantiles of all observations that are tried in place of one, with a value beyond each end.
TRIED = (0.25, 0.5, 0.75)


def decisive_scores(
    plan: Plan, metric: Metric, records: Mapping[str, Mapping[str, ScoreRecord]]
) -> dict[str, set[str]]:
    """Return, by metric label, the keys of scores any of which alone could turn a verdict on this metric.

    For a mean of credits that is exact; for a statistic, such as a rank correlation, as far as five values tell.
    """
    keys: dict[str, set[str]] = {}
    scores = lookup(plan, metric, records)
    for test in plan.tests:
        questions = test.asked(plan.groups_of(test), metric)
        trials = [question.answer(scores) for question in questions]
        for part in _parts(questions):
            asked, answers = [questions[place] for place in part], [trials[place] for place in part]
            places = _places_by_score(plan, metric, asked)
            for label, key in _turning(test, answers, places):
                keys.setdefault(label, set()).add(key)
    return keys


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
    answered = [place for place, trial in enumerate(trials) if trial.status == "ok"]
    unanswered = set(range(len(trials))) - set(answered)
    if unanswered:
        # Without an answer nothing passes: a value in place of the reason would let it.
        yield from (score for score, of_score in places.items() if unanswered <= set(of_score))
    if not answered:
        return
    turns = _statistic_turns if isinstance(test, StatisticTest) else _mean_turns
    for score, of_score in places.items():
        if turns(test, trials, answered, of_score):
            yield score


def _mean_turns(test: SanityTest, trials: Sequence[Trial], answered: Sequence[int], of_score: Sequence[int]) -> bool:
    """Tell whether answers to these questions, from no credit to all of it, turn the verdict."""
    credit = sum(trials[place].credit for place in answered)
    mine = [trials[place].credit for place in of_score if trials[place].status == "ok"]
    lowest, highest = credit - sum(mine), credit + len(mine) - sum(mine)
    passes = {test.passes(clip(reached / len(answered))) for reached in (lowest, credit, highest)}
    return len(passes) > 1


def _statistic_turns(
    test: SanityTest, trials: Sequence[Trial], answered: Sequence[int], of_score: Sequence[int]
) -> bool:
    """Tell whether other values of these observations turn the verdict."""
    assert isinstance(test, StatisticTest)
    observed = [trials[place] for place in answered]
    positions = {place: position for position, place in enumerate(answered)}
    mine = [positions[place] for place in of_score if place in positions]
    base = test.statistic(observed)
    if not mine or not math.isfinite(base):
        return False
    margins = np.array([trial.margin for trial in observed])
    low, high = float(margins.min()), float(margins.max())
    for value in [low - 1, high + 1, *np.quantile(margins, TRIED)]:
        tried = list(observed)
        for place in mine:
            tried[place] = replace(tried[place], margin=float(value))
        reached = test.statistic(tried)
        if math.isfinite(reached) and test.passes(clip(reached)) != test.passes(clip(base)):
            return True
    return False
