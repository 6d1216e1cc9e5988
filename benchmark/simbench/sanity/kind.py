"""What a test kind is: questions about a metric's scores. `expand` and `grade` follow from the questions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeVar

from simbench.plan.references import Comparison, ModelGroup
from simbench.registry import TEST_KINDS, origin_of
from simbench.sanity.verdict import Trial, Ungraded, Verdict, grade_trials, seed_of_test
from simbench.suite.schema import TestSpec

Level = Literal["layers", "head"]


class Similarity(NamedTuple):
    """A score in similarity orientation. Compare with `above`: equal values are ordered by the tie-break."""

    value: float
    tiebreak: float | None = None
    standard_error: float | None = None

    def above(self, other: Similarity) -> bool:
        """Strictly more similar; a tie that nothing breaks is not above."""
        if self.value != other.value or self.tiebreak is None or other.tiebreak is None:
            return self.value > other.value
        return self.tiebreak > other.tiebreak


class Ungradable(Exception):  # noqa: N818 - carries a reason, not a failure of ours
    """A score that a question needs is not there."""

    def __init__(self, status: Literal["skip", "error", "missing"], reason: str) -> None:
        self.status: Literal["skip", "error", "missing"] = status
        self.reason = reason
        super().__init__(reason)


Scores = Callable[[Comparison], Similarity]
"""Looks up a comparison's score; raises `Ungradable` where there is none."""


class Answer(NamedTuple):
    """Whether a property held, by how much (> 0: on the right side), and the comparisons that broke it."""

    held: bool
    margin: float
    offending: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Question:
    """One yes/no question: the comparisons it needs and how their scores answer it.

    A test that sweeps a variable gives its value in `at`, and in `line` what the questions along one curve share.
    """

    where: str
    models: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    ask: Callable[[Scores], Answer]
    column: str | None = None
    at: float | None = None
    line: str = ""


class TestKind(TestSpec):
    """Base of all test kinds. A kind says which questions it asks; expansion and grading are the same for all."""

    @abstractmethod
    def questions(self, groups: Sequence[ModelGroup], level: Level) -> Iterator[Question]:
        """The questions for metrics that compare `layers`, or for those that live at the `head`."""

    def companions(self, groups: Sequence[ModelGroup], level: Level, scores: Scores) -> Mapping[str, float]:
        """Figures shown beside the grade, over what has scores; a figure that cannot be had is left out."""
        return {}

    def expand(self, groups: Sequence[ModelGroup], level: Level) -> tuple[Comparison, ...]:
        """Every comparison the questions need, once, in order."""
        return tuple(dict.fromkeys(c for question in self.questions(groups, level) for c in question.comparisons))

    def grade(self, groups: Sequence[ModelGroup], level: Level, scores: Scores) -> Verdict:
        """The share of questions that a metric's scores answer as a sound metric's must, and per column."""
        questions = list(self.questions(groups, level))
        if not questions:
            return Verdict("skip", reason=self.nothing_to_ask(level))
        answers = [_answer(question, scores) for question in questions]
        verdict = self._graded(questions, answers)
        columns = {}
        for column in dict.fromkeys(question.column for question in questions if question.column is not None):
            chosen = [position for position, question in enumerate(questions) if question.column == column]
            columns[column] = self._graded([questions[p] for p in chosen], [answers[p] for p in chosen])
        companions = self.companions(groups, level, scores) if verdict.status == "ok" else {}
        return replace(verdict, companions=dict(companions), columns=columns)

    def nothing_to_ask(self, level: Level) -> str:
        """Why this kind asks nothing at a level."""
        if level == "head":
            return f"{self.kind} compares layers; this metric is defined at the head only"
        return f"{self.kind} found nothing to compare in the models it was given"

    def _graded(self, questions: Sequence[Question], answers: Sequence[Trial | Ungraded]) -> Verdict:
        comparisons = len({comparison for question in questions for comparison in question.comparisons})
        trials = [answer for answer in answers if isinstance(answer, Trial)]
        ungraded = [answer for answer in answers if isinstance(answer, Ungraded)]
        return grade_trials(trials, ungraded, self.passes, seed=seed_of_test(self.id), comparisons=comparisons)


def _answer(question: Question, scores: Scores) -> Trial | Ungraded:
    try:
        answer = question.ask(scores)
    except Ungradable as problem:
        return Ungraded(question.where, problem.status, problem.reason, question.column)
    return Trial(
        question.where, question.models, *answer[:2], question.column, answer.offending, question.at, question.line
    )


def all_scored(comparisons: Iterable[Comparison], scores: Scores) -> bool:
    """Whether every comparison has a score."""
    try:
        for comparison in comparisons:
            scores(comparison)
    except Ungradable:
        return False
    return True


K = TypeVar("K", bound=type[TestKind])


def test_kind(name: str) -> Callable[[K], K]:
    """Register a class as a test kind."""

    def decorate(cls: K) -> K:
        TEST_KINDS.register(name, cls, origin_of(cls))
        return cls

    return decorate


test_kind.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever pytest makes of its name
