"""Base of all sanity tests: a test asks questions about a metric's scores, and is graded by the answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, TypeVar

from simbench.errors import SimbenchError
from simbench.origins import origin_of
from simbench.references import Comparison, ModelGroup, Named
from simbench.registry import TEST_KINDS
from simbench.suite.schema import DeclaredTest
from simbench.verdicts.verdict import (
    MODEL_CORRELATION,
    Trial,
    UngradedStatus,
    Verdict,
    clip,
    grade_trials,
    judge_by_mean,
    ungraded,
)

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

# Most comparisons that a test may ask of one metric: each takes up a kilobyte when a suite is planned.
MOST_COMPARISONS = 2_000_000
# A functional metric, and the comparison on which its value is needed.
NamedVariable = tuple[Named, Comparison]


class Similarity(NamedTuple):
    """A score, oriented so that more is more similar. Compare with `above`: the tie-break orders equal values."""

    value: float
    tiebreak: float | None = None
    standard_error: float | None = None

    def above(self, other: Similarity) -> bool:
        """Tell whether this is strictly more similar; a tie that nothing breaks is not above."""
        if self.value != other.value or self.tiebreak is None or other.tiebreak is None:
            return self.value > other.value
        return self.tiebreak > other.tiebreak


class Ungradable(Exception):  # noqa: N818 - carries a reason, not a failure of ours
    """A score that a question needs is missing."""

    def __init__(self, status: UngradedStatus, reason: str) -> None:
        """Keep the status of the missing score and the reason for it."""
        self.status = status
        self.reason = reason
        super().__init__(reason)


class Scores(Protocol):
    """Look-up of a comparison's score; raises `Ungradable` where there is none."""

    def __call__(self, comparison: Comparison, variable: Named | None = None) -> Similarity:
        """Return the score as a similarity; with `variable`, the value of that reference variable, as measured."""
        ...


def decide(holds: bool, margin: float, *violating: Comparison) -> Trial:
    """Answer yes or no; `margin` is > 0 on the right side. Comparisons that broke the claim count where it failed."""
    return Trial("", (), holds, margin, violating=() if holds else violating)


def give_credit(credit: float, *violating: Comparison) -> Trial:
    """Answer with partial credit, clipped to [0, 1], of which 1 is needed to hold.

    The violating comparisons are marked where half of the credit or more is lost.
    """
    credit = clip(credit)
    return Trial(
        "", (), credit == 1.0, credit - 1.0, violating=violating if credit <= 0.5 else (), partial_credit=credit
    )


def is_more_similar(more: Comparison, less: Comparison, violating: Comparison, scores: Scores) -> Trial:
    """Answer whether S(more) > S(less); a tie is a failure."""
    first, second = scores(more), scores(less)
    return decide(first.above(second), first.value - second.value, violating)


def observe(compared: Comparison, scores: Scores) -> Trial:
    """Answer with an observation, the similarity itself, at the value that the question gives."""
    return Trial("", (), None, scores(compared).value)


@dataclass(frozen=True)
class Question:
    """One question: the comparisons it needs and how their scores answer it.

    Attributes:
        where: the representations in question, in words.
        models: the models whose scores decide, `name/seed`.
        comparisons: what must be scored.
        ask: turns scores into an answer (`decide`, `give_credit`, `is_more_similar`, `observe`).
        column: the column of the board that the question belongs to.
        at: the value of the swept variable, where a test sweeps one.
        line: the curve that the question lies on: questions of one line differ in nothing but `at`.
        reference_variables: functional metrics, each with the comparison on which the answer needs its value.
    """

    where: str
    models: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    ask: Callable[[Scores], Trial]
    column: str | None = None
    at: float | None = None
    line: str = ""
    reference_variables: tuple[NamedVariable, ...] = ()

    @classmethod
    def about(
        cls,
        compared: Comparison,
        needed: Iterable[Comparison],
        ask: Callable[[Scores], Trial],
        column: str | None = None,
        at: float | None = None,
        line: str = "",
        reference_variables: tuple[NamedVariable, ...] = (),
    ) -> Question:
        """Ask about one comparison, which names the question and its models; `needed` is all that must be scored."""
        needed = tuple(dict.fromkeys(needed))
        return cls(str(compared), models_of(compared), needed, ask, column, at, line, reference_variables)

    def answer(self, scores: Scores) -> Trial:
        """Answer from scores; without one of them, say why there is no answer."""
        try:
            trial = self.ask(scores)
        except Ungradable as missing:
            return ungraded(self.where, missing.status, missing.reason, self.column)
        at = self.at if trial.at is None else trial.at
        return replace(trial, where=self.where, models=self.models, column=self.column, at=at, line=self.line)


class SanityTest(DeclaredTest):
    """Base of all test kinds. A kind says which questions it asks; expansion and grading are the same for all."""

    model_correlation: ClassVar[float] = MODEL_CORRELATION
    """How much answers about the same models correlate, which intervals borrow where models show no spread."""
    null_level: ClassVar[float | None] = None
    """The grade of an index that is associated with nothing, where a kind grades an association."""

    @abstractmethod
    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield the questions for a metric; they may depend on what it declares, above all on its level.

        A kind that is `of_layers_only` is not asked about metrics that are defined at the head.
        """

    def comparisons(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Comparison]:
        """Yield the comparisons that the questions need, repeated or not; a kind may add those of auxiliary values."""
        for question in self.questions(groups, metric):
            yield from question.comparisons

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute figures shown beside the grade, over what has scores; leave out those that cannot be computed."""
        return {}

    def expand(self, groups: Sequence[ModelGroup], metric: Metric) -> tuple[Comparison, ...]:
        """List every comparison to score, once, in order.

        Raises:
            SimbenchError: they are more than fit into memory.
        """
        if not self._applies_to(metric):
            return ()
        asked = self.comparisons(groups, metric)
        comparisons = tuple(dict.fromkeys(islice(asked, MOST_COMPARISONS)))
        if next(asked, None) is not None:
            raise SimbenchError(
                f'test "{self.id}" needs more than {MOST_COMPARISONS} comparisons of each metric; give it fewer '
                "models, seeds or layers"
            )
        return comparisons

    def asks(self, groups: Sequence[ModelGroup], metric: Metric) -> bool:
        """Tell whether any comparison is asked of a metric, without listing them all."""
        return self._applies_to(metric) and next(iter(self.comparisons(groups, metric)), None) is not None

    def reference_variables(
        self, groups: Sequence[ModelGroup], metric: Metric
    ) -> Mapping[Named, tuple[Comparison, ...]]:
        """Return the reference variables of the questions: functional metrics, and the comparisons each is needed on.

        The runner scores these like any other metric; `scores(comparison, variable)` looks them up.
        """
        needed: dict[Named, dict[Comparison, None]] = {}
        for question in self.asked(groups, metric):
            for variable, comparison in question.reference_variables:
                needed.setdefault(variable, {})[comparison] = None
        return {variable: tuple(comparisons) for variable, comparisons in needed.items()}

    def grade(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Verdict:
        """Grade a metric's answers, in all and per column; it passes where every column does."""
        questions = self.asked(groups, metric)
        if not questions:
            return Verdict("skip", reason=self.nothing_to_ask(metric))
        trials = [question.answer(scores) for question in questions]
        verdict = self._graded(questions, trials)
        columns = {}
        for column in dict.fromkeys(question.column for question in questions if question.column is not None):
            chosen = [position for position, question in enumerate(questions) if question.column == column]
            columns[column] = self._graded([questions[p] for p in chosen], [trials[p] for p in chosen])
        auxiliary = self.auxiliary(groups, metric, scores) if verdict.status == "ok" else {}
        # A column that is easy for every index must not outweigh the column that the test is about.
        passed = verdict.passed
        if verdict.status == "ok" and columns:
            outcomes = {passed, *(part.passed for part in columns.values() if part.status == "ok")}
            passed = False if False in outcomes else None if None in outcomes else True
        return replace(verdict, passed=passed, auxiliary={**verdict.auxiliary, **auxiliary}, columns=columns)

    def nothing_to_ask(self, metric: Metric) -> str:
        """Explain why this kind asks nothing of a metric."""
        if metric.level == "head":
            reason = "compares layers" if self.of_layers_only else "found no linear heads to compare"
            return f"{self.kind} {reason}; this metric is defined at the head only"
        return f"{self.kind} found nothing to compare in the models it was given"

    def judge(self, trials: Sequence[Trial]) -> Verdict:
        """Grade answered questions, with an interval: by their mean credit, unless a kind does otherwise."""
        return judge_by_mean(trials, self.model_correlation)

    def _applies_to(self, metric: Metric) -> bool:
        return not (self.of_layers_only and metric.level == "head")

    def asked(self, groups: Sequence[ModelGroup], metric: Metric) -> list[Question]:
        """List the questions that a metric is asked; none where the kind does not apply to it."""
        return list(self.questions(groups, metric)) if self._applies_to(metric) else []

    def _graded(self, questions: Sequence[Question], trials: Sequence[Trial]) -> Verdict:
        comparisons = len({comparison for question in questions for comparison in question.comparisons})
        return grade_trials(trials, self.passes, self.judge, comparisons=comparisons, null_level=self.null_level)


def models_of(*comparisons: Comparison) -> tuple[str, ...]:
    """List the models of comparisons, `name/seed`, each once."""
    return tuple(dict.fromkeys(str(side.model) for compared in comparisons for side in (compared.a, compared.b)))


def all_scored(comparisons: Iterable[Comparison], scores: Scores) -> bool:
    """Tell whether every comparison has a score."""
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
