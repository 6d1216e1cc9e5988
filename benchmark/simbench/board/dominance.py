"""Tell which of two metrics is above the other, by paired evidence on the tests that both owe.

A metric is above another one where at least one test is decided in its favour and none in the other's. Nothing but the
two metrics' own answers matters. Why so: docs/decisions/standing.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from simbench.board.board import BoardColumn, Row
from simbench.references import AS_RECEIVER, AS_SENDER
from simbench.verdicts.bounds import effective_questions
from simbench.verdicts.jackknife import jackknife_variance
from simbench.verdicts.verdict import AT_NULL_LEVEL, Verdict

# Chance, at most, that one of two equal metrics is held to be above the other, over all tests and both directions.
ALPHA = 0.05

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """Credits of several metrics on one test, as (metrics, columns, groups of models) arrays.

    Attributes:
        models: the groups of models.
        credit: sums of credits.
        asked: how many questions were answered, 0 where a metric was not asked.
        at_null: (metrics, columns) how many more there were at the null level, which could have any answer.
        repeated: (metrics, columns) where the answers stand a second time, as those of the other direction.
    """

    models: tuple[tuple[str, ...], ...]
    credit: Floats
    asked: Floats
    at_null: Floats
    repeated: Flags

    def shared(self, metric: int, others: int | slice = slice(None)) -> Floats:
        """Return how many questions a metric shares with others, those that both repeat counted once.

        What the other answered and a metric with questions at the null level did not was one of these.
        """
        own, theirs = self.asked[metric], self.asked[others]
        either = np.maximum(own, theirs)
        both = np.minimum(
            np.where(self.at_null[metric][..., None] > 0, either, own),
            np.where(self.at_null[others][..., None] > 0, either, theirs),
        )
        both_repeat = self.repeated[metric] & self.repeated[others]
        return np.where(both_repeat[..., None], 0.0, both)

    def least(self, metric: int, shared: Floats) -> Floats:
        """Return the mean credits of a metric on questions shared with others, of none at the null level."""
        answered, _, elsewhere = self._known(metric, shared)
        return answered * (1 - elsewhere)

    def most(self, shared: Floats) -> Floats:
        """Return the mean credits of all metrics on questions shared with another, of all at the null level."""
        answered, unknown, elsewhere = self._known(slice(None), shared)
        return (answered + unknown) * (1 - elsewhere) + elsewhere

    def _known(self, metrics: int | slice, shared: Floats) -> tuple[Floats, Floats, Floats]:
        """Return mean credits, shares without an answer, and the share at the null level on models not known."""
        asked, at_null = self.asked[metrics], self.at_null[metrics]
        missing = np.maximum(shared - asked, 0.0)
        of_all = np.maximum(np.maximum(asked, shared), 1.0)
        left = np.maximum(at_null - missing.sum(axis=-1), 0.0)
        total = np.maximum(at_null + asked.sum(axis=-1), 1.0)
        return self.credit[metrics] / of_all, missing / of_all, (left / total)[..., None]


def dominance(rows: Sequence[Row], tests: Sequence[BoardColumn], columns: Sequence[BoardColumn]) -> Flags:
    """Return whether each metric (first axis) is above each other metric (second axis).

    Args:
        rows: metrics, each with an answer to every question that it owes on the tests.
        tests: the tests that count.
        columns: all columns of the board.
    """
    owes = np.array([[is_owed(row.verdicts.get(test.id)) for test in tests] for row in rows], dtype=bool)
    owes = owes.reshape(len(rows), len(tests))
    shared = (owes[:, None, :] & owes[None, :, :]).sum(axis=2)
    # one test per pair and direction has this error; of no shared test there is no evidence anyway
    level = ALPHA / 2 / np.maximum(shared, 1)
    won = np.zeros((len(rows), len(rows)), dtype=np.int64)
    for place, test in enumerate(tests):
        both = owes[:, None, place] & owes[None, :, place]
        parts = [column.id for column in columns if column.parent == test.id]
        won += both & _decided(rows, test, parts, level)
    above: Flags = (won > 0) & (won.T == 0)
    return above


def is_owed(verdict: Verdict | None) -> bool:
    """Tell whether a verdict counts for or against a metric."""
    return verdict is not None and verdict.owed != "not promised"


def sign_test(won: Floats, lost: Floats) -> Floats:
    """Return the p-value of at least `won` of `won + lost` fair coins, which need not be whole numbers.

    It falls where more is won and rises where more is lost: a better answer never hurts.

    >>> sign_test(np.array([5.0, 0.0, 3.0]), np.array([0.0, 0.0, 3.0])).round(4).tolist()
    [0.0312, 1.0, 0.6562]
    """
    from scipy.special import betainc  # not needed to plan, and slow to import

    return np.where(won > 0, betainc(np.where(won > 0, won, 1.0), lost + 1.0, 0.5), 1.0)


def _decided(rows: Sequence[Row], test: BoardColumn, parts: Sequence[str], level: Floats) -> Flags:
    """Return whether the test is decided in favour of each metric, against each other metric."""
    verdicts = [row.verdicts.get(test.id, Verdict("missing")) for row in rows]
    tallied = np.array([bool(verdict.tallies) for verdict in verdicts], dtype=bool)
    decided = _by_bounds(verdicts) | _by_jackknife(verdicts, level)
    by_credits = _by_credits(_answers(rows, test, parts), level, test.model_correlation)
    return np.where(tallied[:, None] & tallied[None, :], by_credits, decided)


def _by_bounds(verdicts: Sequence[Verdict]) -> Flags:
    """Decide where all of an interval lies above all of the other."""
    low = np.array([math.nan if verdict.interval is None else verdict.interval[0] for verdict in verdicts])
    high = np.array([math.nan if verdict.interval is None else verdict.interval[1] for verdict in verdicts])
    statistics = np.array([bool(verdict.without) for verdict in verdicts], dtype=bool)
    overlapping = low[:, None] > high[None, :]
    return np.asarray(overlapping & ~(statistics[:, None] & statistics[None, :]))


def _by_jackknife(verdicts: Sequence[Verdict], level: Floats) -> Flags:
    """Decide differences of statistics, with the same models left out of both; by bounds where models make none."""
    from scipy.special import stdtr  # not needed to plan, and slow to import

    decided = np.zeros((len(verdicts), len(verdicts)), dtype=bool)
    places = [place for place, verdict in enumerate(verdicts) if verdict.without and verdict.grade is not None]
    for first, second in combinations(places, 2):
        spread = jackknife_variance(_differences(verdicts[first], verdicts[second]))
        for better, worse in ((first, second), (second, first)):
            a, b = verdicts[better], verdicts[worse]
            assert a.grade is not None
            assert b.grade is not None
            if a.grade <= b.grade:
                continue
            if spread is None:
                decided[better, worse] = _lies_above(a, b)
            else:
                t = ((a.unclipped or 0.0) - (b.unclipped or 0.0)) / math.sqrt(spread.variance)
                decided[better, worse] = stdtr(spread.freedom, -t) <= level[better, worse]
    return decided


def _lies_above(better: Verdict, worse: Verdict) -> bool:
    return better.interval is not None and worse.interval is not None and better.interval[0] > worse.interval[1]


def _differences(first: Verdict, second: Verdict) -> dict[str, float]:
    """Return the difference without each model; a model that a statistic does not depend on leaves it as it is."""
    assert first.unclipped is not None
    assert second.unclipped is not None
    return {
        model: first.without.get(model, first.unclipped) - second.without.get(model, second.unclipped)
        for model in {**first.without, **second.without}
    }


def _by_credits(answers: Answers, level: Floats, correlation: float) -> Flags:
    """Decide by a sign test on what each metric can have won of the other, column by column and group by group.

    Of questions on which A earned a share a and B a share b, A can have won min(a, 1 - b) and B min(b, 1 - a): so the
    difference is what it is, and as many questions as possible are among those that speak for either.
    """
    metrics = len(answers.asked)
    decided = np.zeros((metrics, metrics), dtype=bool)
    effects = _DesignEffects(answers, correlation)
    for metric in range(metrics):
        shared, effect = answers.shared(metric), effects.of(metric)
        own, other = answers.least(metric, shared), answers.most(shared)
        won = (np.minimum(own, 1 - other) * shared).sum(axis=(1, 2)) / effect
        lost = (np.minimum(other, 1 - own) * shared).sum(axis=(1, 2)) / effect
        decided[metric] = sign_test(won, lost) <= level[metric]
    np.fill_diagonal(decided, False)
    return decided


class _DesignEffects:
    """Questions that two metrics share, over the independent questions that say as much; once for each set of them."""

    def __init__(self, answers: Answers, correlation: float) -> None:
        self.answers, self.correlation = answers, correlation
        numbers: dict[bytes, int] = {}
        of_metrics = zip(answers.asked, answers.at_null > 0, answers.repeated, strict=True)
        asked = [b"".join(part.tobytes() for part in parts) for parts in of_metrics]
        self.pattern = [numbers.setdefault(own, len(numbers)) for own in asked]
        self.effects: dict[tuple[int, int], float] = {}

    def of(self, metric: int) -> Floats:
        """Return the design effect of a metric's questions shared with each metric."""
        return np.array([self._of_pair(metric, other) for other in range(len(self.pattern))])

    def _of_pair(self, first: int, second: int) -> float:
        key = self.pattern[first], self.pattern[second]
        if key not in self.effects:
            asked = self.answers.shared(first, second).sum(axis=0)
            of_models = zip(self.answers.models, asked, strict=True)
            shared = [(models, int(number)) for models, number in of_models if number > 0]
            questions = sum(number for _, number in shared)
            self.effects[key] = questions / effective_questions(shared, self.correlation) if questions else 1.0
        return self.effects[key]


def _answers(rows: Sequence[Row], test: BoardColumn, parts: Sequence[str]) -> Answers:
    """Gather the credits of all metrics on a test: by column where a metric has columns, and else as a whole."""
    graded = [_graded_parts(row, test, parts) for row in rows]
    again = [
        _other_direction(own, test) if row.metric.declaration.symmetric else {}
        for row, own in zip(rows, graded, strict=True)
    ]
    names = dict.fromkeys(name for own in (*graded, *again) for name in own)
    columns = {name: place for place, name in enumerate(names)}
    tallies = [tally for own in graded for verdict in own.values() for tally in verdict.tallies]
    models = {group: place for place, group in enumerate(dict.fromkeys(tally.models for tally in tallies))}
    shape = len(rows), len(columns), len(models)
    credit, asked = np.zeros(shape), np.zeros(shape)
    at_null, repeated = np.zeros(shape[:2]), np.zeros(shape[:2], dtype=bool)
    for metric, (own, repetition) in enumerate(zip(graded, again, strict=True)):
        repeated[metric, [columns[name] for name in repetition]] = True
        for name, verdict in {**own, **repetition}.items():
            column, unknown = columns[name], verdict.auxiliary.get(AT_NULL_LEVEL, 0.0)
            for tally in verdict.tallies:
                place = metric, column, models[tally.models]
                credit[place], asked[place] = tally.credit, tally.asked
            at_null[metric, column] = asked[metric, column].sum() * unknown / (1 - unknown)
    return Answers(tuple(models), credit, asked, at_null, repeated)


def _graded_parts(row: Row, test: BoardColumn, parts: Sequence[str]) -> Mapping[str, Verdict]:
    """Return the verdicts on the columns that the metric owes, by column; on the test where it has no columns."""
    graded = {part: row.verdicts[part] for part in parts if part in row.verdicts and row.verdicts[part].tallies}
    if not graded:
        return {test.id: row.verdicts[test.id]} if test.id in row.verdicts else {}
    return {part: verdict for part, verdict in graded.items() if is_owed(verdict)}


def _other_direction(graded: Mapping[str, Verdict], test: BoardColumn) -> Mapping[str, Verdict]:
    """Return the verdicts of a symmetric metric as a directed one has them, the same as receiver as they are as sender.

    So no directed metric gains by being asked one way only.
    """
    if test.id in graded:
        return {f"{test.id}/{direction}": graded[test.id] for direction in (AS_SENDER, AS_RECEIVER)}
    return {f"{part} {AS_RECEIVER}": verdict for part, verdict in graded.items()}
