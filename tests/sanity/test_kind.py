"""Answers of test kinds, and what holds whatever is asked: the pairing gate, own yardsticks, what is not promised."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest
from tests.sanity.kinds.subjects import AT_LAYERS
from tests.sanity.kinds.test_every_kind import CASES, FEW_DECIDE, graded_metrics, groups_of, make, scores_of

from simbench.metrics.metric import Metric
from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.registry import TEST_KINDS
from simbench.sanity.kind import SanityTest
from simbench.sanity.question import Question, Scores, Similarity, Ungradable, give_credit, is_more_similar
from simbench.verdicts.verdict import NO_PAIRING, Owed


@pytest.mark.parametrize(
    ("credit", "answer"),
    [
        (1.2, (True, 0.0, 0, 1.0)),
        (0.9, (False, -0.1, 0, 0.9)),
        (0.51, (False, -0.49, 0, 0.51)),
        (0.5, (False, -0.5, 1, 0.5)),
        (-0.2, (False, -1.0, 1, 0.0)),
    ],
)
def test_what_lost_half_of_its_credit_or_more_is_marked(credit: float, answer: Any, group: ModelGroup) -> None:
    a = RepresentationRef(group.models[0], "block1")
    found = give_credit(credit, Comparison(a, a))
    assert (found.held, pytest.approx(found.margin), len(found.violating), found.credit) == answer


PAIRS: dict[str, Any] = {"pairs_inputs": True}
KINDS_THAT_ASK = [kind for kind in TEST_KINDS.names() if not TEST_KINDS.get(kind).generates_its_models]
BY_KIND = pytest.mark.parametrize("kind", KINDS_THAT_ASK)


def without_shuffling(side: RepresentationRef) -> RepresentationRef:
    return replace(side, transform=None) if side.transform and side.transform.name == "row_shuffle" else side


def spectra_only(kind: str) -> Scores:
    """Return the sound index of a kind, but that it sees no order of rows: a shuffled layer is the layer itself."""

    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        seen = Comparison(without_shuffling(comparison.a), without_shuffling(comparison.b))
        return scores_of(CASES[kind].sound)(seen, variable)

    return scores


@BY_KIND
def test_a_metric_that_claims_to_pair_inputs_and_does_not_has_grade_0_in_every_kind(
    kind: str, group: ModelGroup
) -> None:
    for metric in graded_metrics(kind):
        verdict = make(kind).grade(groups_of(kind, group), replace(metric, **PAIRS), spectra_only(kind))
        assert (verdict.status, verdict.grade, verdict.interval, verdict.passed) == ("ok", 0.0, (0.0, 0.0), False)
        assert verdict.violations[0].where == NO_PAIRING
        assert all(column.grade in (0.0, None) and not column.passed for column in verdict.columns.values())


def test_what_rounding_leaves_of_the_value_0_does_not_open_the_gate(group: ModelGroup) -> None:
    """A ratio of norms is summed in the order of the rows: 0 with itself, and −2e-16 with its rows shuffled."""

    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        if comparison.a.layer != comparison.b.layer:
            return Similarity(-0.3)
        return Similarity(0.0 if comparison.a.transform is None else -2e-16)

    verdict = make("identity").grade([group], replace(AT_LAYERS, **PAIRS), scores)
    assert (verdict.grade, verdict.is_refused) == (0.0, True)


@pytest.mark.parametrize(
    "expressed", [lambda s: s, lambda s: s * 1e-9, lambda s: -math.log(1.1 - s), lambda s: 9e99**s]
)
def test_the_gate_is_open_to_every_expression_of_an_index_that_pairs(
    expressed: Callable[[float], float], group: ModelGroup
) -> None:
    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        if comparison.a.transform is not None:
            return Similarity(expressed(0.01))
        return Similarity(expressed(1.0 if comparison.a == comparison.b else 0.4))

    assert make("identity").grade([group], replace(AT_LAYERS, **PAIRS), scores).grade == 1.0


@BY_KIND
def test_a_metric_that_says_that_it_does_not_pair_inputs_is_asked_what_it_can_answer(
    kind: str, group: ModelGroup
) -> None:
    for metric in graded_metrics(kind):
        verdict = make(kind, pass_if=FEW_DECIDE).grade(groups_of(kind, group), metric, spectra_only(kind))
        assert (verdict.status, verdict.grade) == ("ok", 1.0)
        # a few models do not exclude that others are associated with nothing
        assert verdict.outcome in (("pass",) if make(kind).null_level is None else ("pass", "undecided"))


@pytest.mark.parametrize(("told_apart", "grade"), [(0, 0.0), (2, 0.0), (3, 1.0), (4, 1.0)])
def test_the_gate_closes_where_half_of_the_layers_are_not_told_apart(
    told_apart: int, grade: float, group: ModelGroup
) -> None:
    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        shuffled = comparison.a.transform is not None
        return Similarity(float(comparison.a.layer == comparison.b.layer) - (shuffled and blind(comparison)))

    def blind(comparison: Comparison) -> bool:
        return comparison.a.model.seed < told_apart

    assert make("identity").grade([group], replace(AT_LAYERS, **PAIRS), scores).grade == grade


def test_who_claims_to_pair_in_vain_fails_whatever_grade_the_test_asks_for(group: ModelGroup) -> None:
    test = make("identity", pass_if="<= 0.5")
    verdict = test.grade([group], replace(AT_LAYERS, **PAIRS), lambda comparison, variable=None: Similarity(1.0))
    assert (verdict.grade, verdict.outcome) == (0.0, "fail")


@pytest.mark.parametrize(("status", "outcome"), [("skip", "partly"), ("missing", "missing"), ("error", "error")])
@pytest.mark.parametrize(("lacking", "blind", "passes"), [(2, 0, False), (1, 0, True), (4, 4, False), (2, 2, False)])
def test_who_leaves_the_gate_unanswered_passes_only_where_that_cannot_decide_it(
    lacking: int, blind: int, passes: bool, status: Any, outcome: str, group: ModelGroup
) -> None:
    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        seed, shuffled = comparison.a.model.seed, comparison.a.transform is not None
        if shuffled and seed < lacking:
            raise Ungradable(status, "rows are out of order")
        return Similarity(float(comparison.a.layer == comparison.b.layer) - (shuffled and seed >= blind))

    verdict = make("identity", pass_if=FEW_DECIDE).grade([group], replace(AT_LAYERS, **PAIRS), scores)
    assert verdict.outcome == ("pass" if passes else outcome)
    assert passes or "checks of pairing: rows are out of order" in str(verdict.reason)


@BY_KIND
def test_the_gate_is_asked_of_those_only_that_claim_to_pair(kind: str, group: ModelGroup) -> None:
    def checks(metric: Metric) -> set[Comparison]:
        groups = groups_of(kind, group)
        return {pair for check in make(kind).pairing_checks(groups, metric) for pair in check} & set(
            make(kind).expand(groups, replace(metric, **PAIRS))
        )

    for metric in graded_metrics(kind):
        assert checks(metric), "a metric that claims to pair inputs is checked in every kind"


@pytest.mark.parametrize("kind", ["output_correlation", "closeness", "probe_correlation"])
def test_no_index_is_its_own_yardstick(kind: str, group: ModelGroup) -> None:
    metric = graded_metrics(kind)[0]
    variables = [variable.name for variable in make(kind).reference_variables(groups_of(kind, group), metric)]
    verdict = make(kind).grade(groups_of(kind, group), replace(metric, name=variables[0]), scores_of(CASES[kind].sound))
    parts = [verdict, *verdict.columns.values()]
    skipped = [part for part in parts if part.status == "skip" and "held against itself" in str(part.reason)]
    assert skipped
    assert verdict.passed is None, "another variable may be held against, but not all were"
    if len(variables) == 1:
        assert skipped[0] is verdict


class OwedByColumn(SanityTest):
    """Asks whether a layer is more similar to itself than to the others, in three columns."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        for group in groups:
            for model in group.models:
                for column in ("required", "promised", "not promised"):
                    own, other = (RepresentationRef(model, layer) for layer in group.layers[:2])
                    pair = Comparison(own, own), Comparison(replace(other, transform=Named.of(column)), own)
                    yield Question.about(pair[0], pair, partial(is_more_similar, *pair, pair[1]), column)

    def owed(self, metric: Metric, column: str | None) -> Owed:
        return "required" if column is None else cast(Owed, column)


@pytest.mark.parametrize(
    ("failed", "grade", "outcome"),
    [
        ("required", 0.5, "fail"),
        ("promised", 0.5, "fail"),
        ("not promised", 1.0, "pass"),
    ],
)
def test_columns_that_are_not_promised_count_nowhere(
    failed: str, grade: float, outcome: str, group: ModelGroup
) -> None:
    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        named = comparison.a.transform
        return Similarity(0.5 if named is None else 0.9 if named.name == failed else 0.1)

    many = replace(group, seeds=tuple(range(40)))
    test = OwedByColumn.model_validate({"id": "t", "kind": "owed", "models": ["net"], "pass_if": ">= 0.9"})
    verdict = test.grade([many], AT_LAYERS, scores)
    assert (verdict.grade, verdict.outcome, verdict.owed) == (grade, outcome, "required")
    assert {name: column.owed for name, column in verdict.columns.items()} == {
        name: name for name in ("required", "promised", "not promised")
    }
    assert verdict.columns[failed].outcome == "fail"
    assert len(verdict.trials) == 2 * len(many.seeds)
    assert "not promised" not in {trial.column for trial in (*verdict.trials, *verdict.violations)}


def test_a_test_that_is_not_owed_is_graded_and_counts_nowhere(group: ModelGroup) -> None:
    sound = scores_of(CASES["identity"].sound)
    verdict = make("identity", purposes=["dynamics"], pass_if=FEW_DECIDE).grade([group], AT_LAYERS, sound)
    assert (verdict.owed, verdict.grade) == ("not promised", 1.0)
    own = make("identity", purposes=["dynamics", "units"]).grade([group], AT_LAYERS, sound)
    assert own.owed == "required"
