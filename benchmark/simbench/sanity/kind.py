"""Base of all sanity tests: a test asks questions about a metric's scores, and is graded by the answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, TypeVar

import numpy as np

from simbench.errors import SimbenchError
from simbench.origins import origin_of
from simbench.references import Comparison, ModelGroup, Named
from simbench.registry import TEST_KINDS
from simbench.sanity.stats.pairing import PairingCheck, checks_of_models
from simbench.sanity.stats.ties import ROUNDING, is_above
from simbench.suite.schema import DeclaredTest
from simbench.verdicts.verdict import (
    LACKING,
    MODEL_CORRELATION,
    NO_PAIRING,
    VIOLATIONS,
    Owed,
    Tally,
    Trial,
    TrialStatus,
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
# Stands for the layer that the head of a group would read, if it had a network.
NO_HEAD = "what a head would read"
SPARED = "the suite spares metrics that train something for every score here: `heavy: false`"
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
        asked = self._needed(groups, metric)
        comparisons = tuple(dict.fromkeys(islice(asked, MOST_COMPARISONS)))
        if next(asked, None) is not None:
            raise SimbenchError(
                f'test "{self.id}" needs more than {MOST_COMPARISONS} comparisons of each metric; give it fewer '
                "models, seeds or layers"
            )
        return comparisons

    def _needed(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Comparison]:
        comparisons = self.comparisons(groups, metric)
        first = next(comparisons, None)
        if first is not None:
            yield from chain([first], comparisons)
            yield from chain.from_iterable(self._checked_pairing(groups, metric))

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

    def owed(self, metric: Metric, column: str | None) -> Owed:
        """Say what the test, or a column of it, is to a metric: required, promised by what it declares, or neither.

        What is not promised is shown, and counts neither for nor against the metric.
        """
        return "required" if self.is_owed_for(metric) else "not promised"

    def is_owed_for(self, metric: Metric) -> bool:
        """Tell whether the metric serves one of the purposes for which the test is owed."""
        return not self.purposes or not set(self.purposes).isdisjoint(metric.serves)

    def pairing_checks(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[PairingCheck]:
        """Yield checks that a metric which claims to pair inputs does; of generated models, where a kind has these."""
        yield from checks_of_models(groups, metric.level)

    def grade(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Verdict:
        """Grade a metric's answers, in all and per column; columns that are not promised do not count.

        The test fails where a column fails, and passes where it passes as a whole and no column misses `pass_if`.
        """
        questions = self.asked(groups, metric)
        if not questions:
            if self._spares(metric):
                return Verdict("skip", reason=SPARED, owed=self.owed(metric, None))
            # What a kind asks of no metric of this sort, none of them owes.
            return Verdict("skip", reason=self.why_nothing(groups, metric), owed="not promised")
        trials = [_answer(question, metric, scores) for question in questions]
        checks = self._checked_pairing(groups, metric)
        in_vain = _claims_in_vain(checks, questions, scores)
        if in_vain:  # then "no higher than for shuffled rows" is a failure, not a question without an answer
            trials = [
                _failed(trial, question) if trial.status == "null" else trial
                for trial, question in zip(trials, questions, strict=True)
            ]
        places: dict[str | None, list[int]] = {}
        for place, question in enumerate(questions):
            places.setdefault(question.column, []).append(place)
        names = tuple(places)
        owed = {name: self.owed(metric, name) for name in names}
        for name in names:  # an index owes no answer about itself
            if all(_goes_by(questions[place], metric) for place in places[name]):
                owed[name] = "not promised"
        counted = [name for name in names if owed[name] != "not promised"] or names
        parts = {
            name: replace(self._graded(questions, trials, places[name]), owed=owed[name])
            for name in names
            if name is not None
        }
        if len(counted) == 1 and counted[0] is not None:
            verdict = parts[counted[0]]
        else:
            verdict = self._graded(questions, trials, sorted(chain.from_iterable(places[name] for name in counted)))
        verdict = self._judged_with(verdict, [parts[name] for name in counted if name is not None])
        verdict = replace(verdict, owed=_owed_in_all(owed.values()), columns=parts)
        if in_vain:
            verdict = _without_pairing(verdict)
        elif (unproved := _unproved(checks, questions, scores)) is not None:
            verdict = _lacking_pairing(verdict, unproved)
        auxiliary = self.auxiliary(groups, metric, scores) if verdict.status == "ok" else {}
        return replace(verdict, auxiliary={**verdict.auxiliary, **auxiliary})

    def remark(self, groups: Sequence[ModelGroup]) -> str:
        """Say what to know of the test's figures, whatever the metric; nothing by default."""
        return ""

    def nothing_to_ask(self, metric: Metric) -> str:
        """Explain why this kind asks nothing of a metric."""
        if metric.level == "head":
            reason = "compares layers" if self.of_layers_only else "found no linear heads to compare"
            return f"{self.kind} {reason}; this metric is defined at the head only"
        return f"{self.kind} found nothing to compare in the models it was given"

    def why_nothing(self, groups: Sequence[ModelGroup], metric: Metric) -> str:
        """Explain why nothing is asked of a metric in these groups, which may be given without the network it takes."""
        given = [group.name for group in groups if group.given]
        as_networks = [
            replace(group, embedding_layer=NO_HEAD, given=False) if group.given else group for group in groups
        ]
        if given and self.asks(as_networks, metric):
            return (
                f"{self.kind} compares what linear heads read here, and {', '.join(given)} "
                f"{'are' if len(given) > 1 else 'is'} given as activations, without a network"
            )
        return self.nothing_to_ask(metric)

    def judge(self, trials: Sequence[Trial]) -> Verdict:
        """Grade answered questions, with an interval: by their mean credit, unless a kind does otherwise."""
        return judge_by_mean(trials, self.model_correlation)

    def estimate(self, trials: Sequence[Trial]) -> Verdict:
        """Compute the grade and its interval alone, without the figures shown beside them."""
        return self.judge(trials)

    def _applies_to(self, metric: Metric) -> bool:
        return not (self.of_layers_only and metric.level == "head") and not self._spares(metric)

    def _spares(self, metric: Metric) -> bool:
        return not self.heavy and metric.cost == "heavy"

    def asked(self, groups: Sequence[ModelGroup], metric: Metric) -> list[Question]:
        """List the questions that a metric is asked; none where the kind does not apply to it."""
        return list(self.questions(groups, metric)) if self._applies_to(metric) else []

    def _graded(self, questions: Sequence[Question], trials: Sequence[Trial], chosen: Sequence[int]) -> Verdict:
        comparisons = len({comparison for position in chosen for comparison in questions[position].comparisons})
        return grade_trials(
            [trials[p] for p in chosen], self.passes, self.judge, comparisons=comparisons, null_level=self.null_level
        )

    def _judged_with(self, verdict: Verdict, columns: Sequence[Verdict]) -> Verdict:
        """Let no column that is easy for every index outweigh the column that the test is about."""
        if verdict.status != "ok":
            return verdict
        if any(part.passed is False for part in columns):
            return replace(verdict, passed=False)
        missed = any(part.grade is not None and not self.passes(part.grade) for part in columns)
        return replace(verdict, passed=None) if verdict.passed and missed else verdict

    def _checked_pairing(self, groups: Sequence[ModelGroup], metric: Metric) -> list[PairingCheck]:
        return list(self.pairing_checks(groups, metric)) if metric.pairs_inputs else []


def _claims_in_vain(checks: Sequence[PairingCheck], questions: Sequence[Question], scores: Scores) -> bool:
    """Tell whether the metric claims to pair inputs and does not, on half of the layers with scores or more."""
    scored = [check for check in checks if all_scored(check, scores)]
    return bool(scored) and 2 * _told_apart(scored, questions, scores) <= len(scored)


def _unproved(checks: Sequence[PairingCheck], questions: Sequence[Question], scores: Scores) -> Ungradable | None:
    """Return why it is not known whether the metric pairs inputs: so many checks lack scores that they could decide."""
    scored = [check for check in checks if all_scored(check, scores)]
    if len(scored) == len(checks) or 2 * _told_apart(scored, questions, scores) > len(checks):
        return None
    lacking = [why for check in checks for why in [_why_unscored(check, scores)] if why is not None]
    example = next((why for status in LACKING for why in lacking if why.status == status), lacking[0])
    return Ungradable(example.status, f"{len(lacking)} of {len(checks)} checks of pairing: {example.reason}")


def _told_apart(checks: Sequence[PairingCheck], questions: Sequence[Question], scores: Scores) -> int:
    """Count the checks in which unrelated rows are less similar than a layer is to itself by more than rounding.

    An index that does not depend on the order of rows may sum them in it: where a layer has the value 0 with itself,
    what that leaves is small relative only to how far the test's other scores are from 0. It is held against their
    median, which shuffled rows exceed in any expression of an index that pairs inputs.
    """
    pairs = [(scores(own), scores(unrelated)) for own, unrelated in checks]
    above = [(own.value, own.value - unrelated.value) for own, unrelated in pairs if own.above(unrelated)]
    if not above:
        return 0
    others = dict.fromkeys(chain.from_iterable(question.comparisons for question in questions))
    beside = np.array([score.value for other in others if (score := _score_or_none(other, scores)) is not None])
    lowest, highest = (beside.min(), beside.max()) if len(beside) else (np.inf, -np.inf)

    def is_rounding(own: float, fall: float) -> bool:
        # The median is at most the largest distance, for which nothing is sorted.
        if not 0 < fall <= ROUNDING * max(highest - own, own - lowest):
            return False
        return fall <= ROUNDING * float(np.median(np.abs(beside - own)))

    return sum(not is_rounding(own, fall) for own, fall in above)


def _score_or_none(comparison: Comparison, scores: Scores) -> Similarity | None:
    try:
        return scores(comparison)
    except Ungradable:
        return None


def _why_unscored(check: PairingCheck, scores: Scores) -> Ungradable | None:
    try:
        for comparison in check:
            scores(comparison)
    except Ungradable as why:
        return why
    return None


def _answer(question: Question, metric: Metric, scores: Scores) -> Trial:
    """Answer a question, but not where the fact that it goes by is the metric itself."""
    if _goes_by(question, metric):
        reason = f"{metric.name} is the fact that this test goes by: it cannot be held against itself"
        return ungraded(question.where, "skip", reason, question.column)
    return question.answer(scores)


def _goes_by(question: Question, metric: Metric) -> bool:
    return any(variable.name == metric.name for variable, _ in question.reference_variables)


def _failed(trial: Trial, question: Question) -> Trial:
    return replace(trial, status="ok", reason="", held=False, margin=-1.0, models=question.models)


def _owed_in_all(owed: Iterable[Owed]) -> Owed:
    levels = set(owed)
    return "required" if "required" in levels else "promised" if "promised" in levels else "not promised"


def _without_pairing(verdict: Verdict) -> Verdict:
    """Return the verdict on a metric that claims to pair inputs and does not: 0 and failed, whatever it was asked."""
    if verdict.status != "ok":
        return verdict
    return replace(
        verdict,
        grade=0.0,
        interval=(0.0, 0.0),
        passed=False,
        statistic=None if verdict.statistic is None else 0.0,
        without=dict.fromkeys(verdict.without, 0.0),
        tallies=tuple(Tally(tally.models, 0.0, tally.asked) for tally in verdict.tallies),
        violations=(Trial(NO_PAIRING, (), False, -1.0), *verdict.violations)[:VIOLATIONS],
        columns={name: _without_pairing(part) for name, part in verdict.columns.items()},
    )


def _lacking_pairing(verdict: Verdict, why: Ungradable) -> Verdict:
    """Return a verdict that is no pass, as it is not known whether the metric pairs inputs as it claims."""
    columns = {name: _lacking_pairing(part, why) for name, part in verdict.columns.items()}
    if verdict.status != "ok":
        return replace(verdict, columns=columns)
    if why.status in LACKING:
        return Verdict(
            why.status, comparisons=verdict.comparisons, reason=why.reason, columns=columns, owed=verdict.owed
        )
    reason = "; ".join(text for text in (verdict.reason, why.reason) if text)
    return replace(verdict, passed=None if verdict.passed else verdict.passed, reason=reason, columns=columns)


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
    """Register a class as a test kind, `simbench.test_kind`; return it unchanged.

    Its fields are the keys of such a test in a suite, its docstring is the claim, and `questions` says what is compared
    and asked.

    >>> import simbench
    >>> @simbench.test_kind("never_alike")
    ... class NeverAlike(SanityTest):
    ...     '''No metric is asked anything.'''
    ...     tolerance: float = 0.1
    ...     def questions(self, groups, metric):
    ...         return ()
    >>> TEST_KINDS.get("never_alike")(id="mine", kind="never_alike").tolerance
    0.1
    """

    def decorate(cls: K) -> K:
        TEST_KINDS.register(name, cls, origin_of(cls))
        return cls

    return decorate
