"""What a test kind is: questions about a metric's scores. `expand` and `grade` follow from the questions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

from simbench.references import Comparison, ModelGroup, Named
from simbench.registry import TEST_KINDS, origin_of
from simbench.suite.schema import DeclaredTest
from simbench.verdicts.verdict import (
    Judgement,
    Trial,
    Ungraded,
    Verdict,
    grade_trials,
    judged_by_mean,
)

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


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


class Scores(Protocol):
    """Looks up a comparison's score; raises `Ungradable` where there is none."""

    def __call__(self, comparison: Comparison, variable: Named | None = None) -> Similarity:
        """Return the score as a similarity; with `variable`, the value of that reference variable, as measured."""
        ...


class Answer(NamedTuple):
    """Whether a property held, by how much (> 0: on the right side), and the comparisons that broke it.

    `credit` in [0, 1] is what the answer adds to the grade where that is not all or nothing. `held` is None for an
    observation: one point of a statistic, neither right nor wrong; `at` is then where it lies on the other axis.
    """

    held: bool | None
    margin: float
    violating: tuple[Comparison, ...] = ()
    credit: float | None = None
    at: float | None = None


def partly(credit: float, violating: Sequence[Comparison] = ()) -> Answer:
    """An answer that is more or less right: `credit`, cut to [0, 1], of which 1 is needed to hold.

    The violating comparisons are marked where half of the credit or more is lost.
    """
    credit = min(1.0, max(0.0, credit))
    return Answer(credit == 1.0, credit - 1.0, tuple(violating) if credit <= 0.5 else (), credit)


@dataclass(frozen=True)
class Question:
    """One question: the comparisons it needs and how their scores answer it.

    A test that sweeps a variable gives its value in `at`, and in `line` what the questions along one curve share.
    `reference_variables` are functional metrics, each with the comparison on which the answer needs its value.
    """

    where: str
    models: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    ask: Callable[[Scores], Answer]
    column: str | None = None
    at: float | None = None
    line: str = ""
    reference_variables: tuple[tuple[Named, Comparison], ...] = ()


class SanityTest(DeclaredTest):
    """Base of all test kinds. A kind says which questions it asks; expansion and grading are the same for all."""

    @abstractmethod
    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """The questions for a metric, of whose declarations (its level above all) they may depend."""

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Figures shown beside the grade, over what has scores; a figure that cannot be had is left out."""
        return {}

    def expand(self, groups: Sequence[ModelGroup], metric: Metric) -> tuple[Comparison, ...]:
        """Every comparison the questions need, once, in order."""
        return tuple(dict.fromkeys(c for question in self.questions(groups, metric) for c in question.comparisons))

    def reference_variables(
        self, groups: Sequence[ModelGroup], metric: Metric
    ) -> Mapping[Named, tuple[Comparison, ...]]:
        """Return the reference variables of the questions: functional metrics, and the comparisons each is needed on.

        The runner scores these like any other metric; `scores(comparison, variable)` looks them up.
        """
        found: dict[Named, dict[Comparison, None]] = {}
        for question in self.questions(groups, metric):
            for variable, comparison in question.reference_variables:
                found.setdefault(variable, {})[comparison] = None
        return {variable: tuple(comparisons) for variable, comparisons in found.items()}

    def grade(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Verdict:
        """How well a metric's scores answer the questions, in all and per column; it passes where every column does."""
        questions = list(self.questions(groups, metric))
        if not questions:
            return Verdict("skip", reason=self.nothing_to_ask(metric))
        answers = [_answer(question, scores) for question in questions]
        verdict = self._graded(questions, answers)
        columns = {}
        for column in dict.fromkeys(question.column for question in questions if question.column is not None):
            chosen = [position for position, question in enumerate(questions) if question.column == column]
            columns[column] = self._graded([questions[p] for p in chosen], [answers[p] for p in chosen])
        auxiliary = self.auxiliary(groups, metric, scores) if verdict.status == "ok" else {}
        # what is easy for every index must not outweigh the column that a test is about
        failed = any(one.passed is False for one in columns.values())
        passed = False if failed and verdict.status == "ok" else verdict.passed
        return replace(verdict, passed=passed, auxiliary={**verdict.auxiliary, **auxiliary}, columns=columns)

    def nothing_to_ask(self, metric: Metric) -> str:
        """Why this kind asks nothing of a metric."""
        if metric.level == "head":
            found = "compares layers" if self.of_layers_only else "found no linear heads to compare"
            return f"{self.kind} {found}; this metric is defined at the head only"
        return f"{self.kind} found nothing to compare in the models it was given"

    def judge(self, trials: Sequence[Trial]) -> Judgement:
        """The grade of answered questions with its interval: their mean credit, unless a kind says otherwise."""
        return judged_by_mean(trials)

    def _graded(self, questions: Sequence[Question], answers: Sequence[Trial | Ungraded]) -> Verdict:
        comparisons = len({comparison for question in questions for comparison in question.comparisons})
        trials = [answer for answer in answers if isinstance(answer, Trial)]
        ungraded = [answer for answer in answers if isinstance(answer, Ungraded)]
        return grade_trials(trials, ungraded, self.passes, self.judge, comparisons=comparisons)


def _answer(question: Question, scores: Scores) -> Trial | Ungraded:
    try:
        answer = question.ask(scores)
    except Ungradable as problem:
        return Ungraded(question.where, problem.status, problem.reason, question.column)
    return Trial(
        question.where,
        question.models,
        answer.held,
        answer.margin,
        question.column,
        answer.violating,
        question.at if answer.at is None else answer.at,
        question.line,
        answer.credit,
    )


def all_scored(comparisons: Iterable[Comparison], scores: Scores) -> bool:
    """Whether every comparison has a score."""
    try:
        for comparison in comparisons:
            scores(comparison)
    except Ungradable:
        return False
    return True


K = TypeVar("K", bound=type[SanityTest])


def sanity_test(name: str) -> Callable[[K], K]:
    """Register a class as a test kind."""

    def decorate(cls: K) -> K:
        TEST_KINDS.register(name, cls, origin_of(cls))
        return cls

    return decorate
