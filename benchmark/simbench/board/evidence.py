"""Gather what stands behind the verdicts, compactly: comparisons, scores, questions and answers of every test.

Metrics that were asked the same share the lists of comparisons and questions, so that the whole of a suite fits into a
page. `comparisons` are pairs of positions in `representations`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from simbench.board.board import Board, Row
from simbench.board.layer_grids import LayerMap, Place, layer_maps
from simbench.board.scores import ScoreRow
from simbench.verdicts.verdict import Trial

MARGIN_DIGITS = 6
# Parts that documents of former runs have, and nothing reads.
FORMER_PARTS = {"standard_errors", "tiebreaks"}
# The parts that identify a question: where, models, column, the swept value, the line it lies on.
Asked = tuple[str, tuple[str, ...], str | None, float | None, str]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MetricEvidence(_Part):
    """One metric's scores, by comparison, and its answers, by question.

    Attributes:
        values: as the metric returned them; null where `problems` has a status and a reason.
        auxiliary: other numbers that came with the values, by name; null where a value came without.
        marked: positions of the comparisons that made an answer fail.
        held: a letter per question: 1 held, 0 did not, - could not be asked; . is an observation, one point of a
            statistic, whose margin is the similarity and whose place on the other axis is the question's `at`.
        credits: what each answer added to the grade; empty where all are all or nothing.
        margins: how far on the right side each answer fell, to six digits.
    """

    values: list[float | None]
    problems: dict[str, tuple[str, str]]
    warnings: dict[str, str]
    marked: list[int]
    held: str
    margins: list[float | None]
    credits: list[float | None] = []
    auxiliary: dict[str, list[float | None]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_former_parts(cls, recorded: Any) -> Any:
        if not isinstance(recorded, Mapping):
            return recorded
        return {name: value for name, value in recorded.items() if name not in FORMER_PARTS}


class Questions(_Part):
    """The questions of a test, field by field."""

    where: list[str]
    models: list[list[str]]
    columns: list[str | None]
    at: list[float | None]
    lines: list[str]


class EvidenceBlock(_Part):
    """The comparisons, questions and answers of one test, for the metrics that were asked the same.

    `maps` are those that the comparisons fill; a test with columns is shown by these instead, and has none.
    """

    test: str
    comparisons: list[tuple[int, int]]
    maps: list[LayerMap]
    questions: Questions
    metrics: dict[str, MetricEvidence]


class Evidence(_Part):
    """Everything behind a board."""

    representations: list[Place]
    tests: list[EvidenceBlock]


def evidence_of(board: Board, scores: Sequence[ScoreRow]) -> Evidence:
    """Return the evidence for a board, in the order of its tests and rows."""
    places: dict[Place, int] = {}
    for score in scores:
        for place in _places(score):
            places.setdefault(place, len(places))
    by_test: dict[str, dict[str, list[ScoreRow]]] = {}
    for score in scores:
        by_test.setdefault(score.test, {}).setdefault(score.metric, []).append(score)
    rows = {ranked.row.metric.label: ranked.row for ranked in board.rows}
    undivided = {test.id for test in board.undivided}
    tests: list[EvidenceBlock] = []
    for test in board.tests:
        asked = by_test.get(test.id, {})
        of_test = {label: asked[label] for label in rows if label in asked}
        tests += _of_test(test.id, of_test, rows, places, with_maps=test.id in undivided)
    return Evidence(representations=list(places), tests=tests)


def _places(score: ScoreRow) -> tuple[Place, Place]:
    return (score.a_model, score.a_layer, score.a_change), (score.b_model, score.b_layer, score.b_change)


def _of_test(
    test: str,
    scores: Mapping[str, Sequence[ScoreRow]],
    rows: Mapping[str, Row],
    places: Mapping[Place, int],
    *,
    with_maps: bool,
) -> list[EvidenceBlock]:
    """Return one block per list of comparisons."""
    groups: dict[tuple[tuple[int, int], ...], list[str]] = {}
    for label, asked in scores.items():
        pairs = tuple((places[a], places[b]) for a, b in map(_places, asked))
        groups.setdefault(pairs, []).append(label)
    blocks = []
    for pairs, labels in groups.items():
        trials = {label: _by_question(rows[label].verdicts[test].trials) for label in labels}
        questions = list(dict.fromkeys(asked for answers in trials.values() for asked in answers))
        metrics = {label: _of_metric(scores[label], questions, trials[label]) for label in labels}
        blocks.append(
            EvidenceBlock(
                test=test,
                comparisons=list(pairs),
                maps=layer_maps([_places(score) for score in scores[labels[0]]]) if with_maps else [],
                questions=_questions(questions),
                metrics=metrics,
            )
        )
    return blocks


def _by_question(trials: Sequence[Trial]) -> dict[Asked, Trial]:
    return {(trial.where, trial.models, trial.column, trial.at, trial.line): trial for trial in trials}


def _questions(questions: Sequence[Asked]) -> Questions:
    return Questions(
        where=[asked[0] for asked in questions],
        models=[list(asked[1]) for asked in questions],
        columns=[asked[2] for asked in questions],
        at=[asked[3] for asked in questions],
        lines=[asked[4] for asked in questions],
    )


def _of_metric(scores: Sequence[ScoreRow], questions: Sequence[Asked], trials: Mapping[Asked, Trial]) -> MetricEvidence:
    marked = {ScoreRow.place_of(score) for trial in trials.values() for score in trial.violating}
    answers = [trials.get(asked) for asked in questions]
    return MetricEvidence(
        values=[score.value for score in scores],
        problems={str(n): (score.status, score.reason) for n, score in enumerate(scores) if score.status != "ok"},
        warnings={str(n): score.warnings for n, score in enumerate(scores) if score.warnings},
        marked=[n for n, score in enumerate(scores) if (*_places(score)[0], *_places(score)[1]) in marked],
        held="".join("-" if trial is None else _letter(trial.held) for trial in answers),
        margins=[None if trial is None else _rounded(trial.margin) for trial in answers],
        credits=_credits(answers),
        auxiliary={
            name: [score.auxiliary.get(name) for score in scores]
            for name in dict.fromkeys(name for score in scores for name in score.auxiliary)
        },
    )


def _letter(holds: bool | None) -> str:
    return "." if holds is None else "1" if holds else "0"


def _credits(answers: Sequence[Trial | None]) -> list[float | None]:
    values = [None if trial is None else trial.partial_credit for trial in answers]
    return values if any(number is not None for number in values) else []


def _rounded(number: float) -> float | None:
    return float(f"{number:.{MARGIN_DIGITS}g}") if math.isfinite(number) else None
