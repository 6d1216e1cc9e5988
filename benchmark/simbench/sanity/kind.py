"""Base of all sanity tests: a test asks questions about a metric's scores, and is graded by the answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, ClassVar, TypeVar

from simbench.errors import SimbenchError
from simbench.origins import origin_of
from simbench.references import Comparison, ModelGroup, Named
from simbench.registry import TEST_KINDS
from simbench.sanity.pairing_gate import claims_in_vain, lacking_pairing, why_unproved, without_pairing
from simbench.sanity.question import Question, Scores
from simbench.sanity.stats.pairing import PairingCheck, checks_of_models
from simbench.suite.schema import DeclaredTest
from simbench.verdicts.verdict import (
    MODEL_CORRELATION,
    Owed,
    Trial,
    Verdict,
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
        in_vain = claims_in_vain(checks, questions, scores)
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
            verdict = without_pairing(verdict)
        elif (unproved := why_unproved(checks, questions, scores)) is not None:
            verdict = lacking_pairing(verdict, unproved)
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
