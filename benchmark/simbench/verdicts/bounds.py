"""Intervals of grades from questions and models together, also where models show no spread, as of a perfect grade.

Why so, and how often the intervals cover the truth: docs/decisions/intervals.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from simbench.verdicts.jackknife import Interval

# Share of errors of an interval; of a one-sided bound all of it lies on the one side.
ALPHA = 0.05


def effective_questions(asked: Iterable[tuple[tuple[str, ...], int]], correlation: float) -> float:
    """Return how many independent questions say as much as these, whose answers depend on the models they are about.

    Two answers about the same models correlate by `correlation`, ρ, and two that share one model of two by ρ/2: what
    models contribute adds up. With Q questions, of which model m is in those that make up U_m = Σ 1/√(models of the
    question), it is Q² / (Q (1 - ρ) + ρ Σ U_m²); for q questions to each model it is Q / (1 + (q - 1) ρ), which is
    Kish's design effect (Kish 1965, Survey Sampling).

    >>> round(effective_questions([(("cnn/0",), 20), (("cnn/1",), 20)], 0.1), 2)
    13.79

    Args:
        asked: the models that questions are about, and how many such questions there are.
        correlation: ρ, in [0, 1].
    """
    questions, by_model = 0, dict[str, float]()
    for models, number in asked:
        questions += number
        distinct = set(models) or {""}  # questions about no named model are all of one
        for model in distinct:
            by_model[model] = by_model.get(model, 0.0) + number / math.sqrt(len(distinct))
    overlap = sum(weight**2 for weight in by_model.values())
    return questions**2 / (questions * (1 - correlation) + correlation * overlap)


def share_interval(share: float, questions: float) -> Interval:
    """Return the 95 % interval of Clopper & Pearson (1934) of a share of so many independent questions, not all whole.

    At 0 and 1 it is one-sided: a perfect share of n questions has the lower bound .05^(1/n).

    >>> [round(end, 3) for end in share_interval(1.0, 59)]
    [0.95, 1.0]
    """
    if share >= 1:
        return ALPHA ** (1 / questions), 1.0
    if share <= 0:
        return 0.0, 1 - ALPHA ** (1 / questions)
    from scipy.special import betaincinv  # not needed to plan, and slow to import

    correct = share * questions
    wrong = questions - correct
    return float(betaincinv(correct, wrong + 1, ALPHA / 2)), float(betaincinv(correct + 1, wrong, 1 - ALPHA / 2))


def interval_over_models(share: float, questions: float, variance: float | None) -> Interval:
    """Return the 95 % interval of a share of questions to models.

    Of few models, as of those that answer all questions, the spread may be small by chance: the fewer independent
    questions count, those that models make of them or those that the spread of models leaves.

    Args:
        share: the share.
        questions: how many independent questions they are worth.
        variance: that of the share over models; None where models show no spread.
    """
    if variance is not None and 0 < share < 1:
        questions = min(questions, share * (1 - share) / variance)
    return share_interval(share, questions)


def hull(first: Interval | None, second: Interval) -> Interval:
    """Return the shortest interval that holds both."""
    return second if first is None else (min(first[0], second[0]), max(first[1], second[1]))


def interval_of_difference(first: float, of_first: Interval, second: float, of_second: Interval) -> Interval:
    """Return the 95 % interval of second − first from those of both, as of independent estimates.

    The method of variance estimates recovery (Newcombe 1998; Zou & Donner 2008): each end of the difference is as far
    from it as the ends of both are from them that lie on that side. Where both share their models, it is too wide.

    >>> interval_of_difference(1.0, (0.7, 1.0), 0.5, (0.1, 0.9))
    (-0.9, 0.0)
    """
    below = math.hypot(second - of_second[0], of_first[1] - first)
    above = math.hypot(of_second[1] - second, first - of_first[0])
    return second - first - below, second - first + above


def widen(interval: Interval, share: float) -> Interval:
    """Return the interval of a mean of which a share is unknown, anything in [0, 1].

    >>> widen((0.8, 1.0), 0.5)
    (0.4, 1.0)
    """
    low, high = interval
    return low * (1 - share), high * (1 - share) + share
