"""Questions that tests ask about a metric's scores, and the answers that the scores give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from simbench.references import Comparison, Named
from simbench.sanity.stats.ties import is_above
from simbench.verdicts.verdict import Trial, TrialStatus, clip, ungraded

# A functional metric, and the comparison on which its value is needed.
NamedVariable = tuple[Named, Comparison]


class Similarity(NamedTuple):
    """A score, oriented so that more is more similar. Compare with `above`: the tie-break orders equal values."""

    value: float
    tiebreak: float | None = None
    standard_error: float | None = None

    def above(self, other: Similarity) -> bool:
        """Tell whether this is more similar by more than rounding; a tie that nothing breaks is not above."""
        if is_above(self.value, other.value):
            return True
        if is_above(other.value, self.value) or self.tiebreak is None or other.tiebreak is None:
            return False
        return self.tiebreak > other.tiebreak


class Ungradable(Exception):  # noqa: N818 - carries a reason, not a failure of ours
    """A score that a question needs is missing."""

    def __init__(self, status: TrialStatus, reason: str) -> None:
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


def is_most_similar(own: Comparison, others: Sequence[Comparison], scores: Scores) -> Trial:
    """Answer whether S(own) is above all others; a tie is a failure."""
    own_score, other_scores = scores(own), [scores(other) for other in others]
    violating = tuple(other for other, score in zip(others, other_scores, strict=True) if not own_score.above(score))
    return decide(not violating, own_score.value - max(other.value for other in other_scores), *violating)


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
        given: the value of a variable that the statistic takes account of, where a test has one.
    """

    where: str
    models: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    ask: Callable[[Scores], Trial]
    column: str | None = None
    at: float | None = None
    line: str = ""
    reference_variables: tuple[NamedVariable, ...] = ()
    given: float | None = None

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
        given: float | None = None,
    ) -> Question:
        """Ask about one comparison, which names the question and its models; `needed` is all that must be scored."""
        needed = tuple(dict.fromkeys(needed))
        return cls(str(compared), models_of(compared), needed, ask, column, at, line, reference_variables, given)

    def answer(self, scores: Scores) -> Trial:
        """Answer from scores; without one of them, say why there is no answer."""
        try:
            trial = self.ask(scores)
        except Ungradable as missing:
            return ungraded(self.where, missing.status, missing.reason, self.column)
        at = self.at if trial.at is None else trial.at
        # In full: `dataclasses.replace` takes twice as long, and there may be a million answers.
        return Trial(
            self.where,
            self.models,
            trial.held,
            trial.margin,
            self.column,
            trial.violating,
            at,
            self.line,
            trial.partial_credit,
            trial.status,
            trial.reason,
            self.given,
        )


def models_of(*comparisons: Comparison) -> tuple[str, ...]:
    """List the models of comparisons, `name/seed`, each once."""
    return tuple(dict.fromkeys(str(side.model) for compared in comparisons for side in (compared.a, compared.b)))


def why_unscored(comparisons: Iterable[Comparison], scores: Scores) -> Ungradable | None:
    """Return why the first comparison without a score has none; None if all have one."""
    try:
        for comparison in comparisons:
            scores(comparison)
    except Ungradable as why:
        return why
    return None


def all_scored(comparisons: Iterable[Comparison], scores: Scores) -> bool:
    """Tell whether every comparison has a score."""
    return why_unscored(comparisons, scores) is None
