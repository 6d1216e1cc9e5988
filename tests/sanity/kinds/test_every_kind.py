"""What holds for every test kind: sound indices pass, unsound ones fail, and what has no score never passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.declaration import MapSearch
from simbench.metrics.metric import Metric
from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.registry import TEST_KINDS
from simbench.sanity.kind import SanityTest
from simbench.sanity.question import Question, Scores, Similarity, Ungradable
from simbench.seeds import seed_for

Index = Callable[[Comparison], float]
CONSTANT = 0.7
# A threshold low enough for a perfect grade of a few models to be decided.
FEW_DECIDE = ">= 0.3"


@dataclass(frozen=True)
class Case:
    """The keys of a test, an index that has the property it asks for, and one that has the opposite."""

    keys: dict[str, Any]
    sound: Index
    unsound: Index
    at_head: bool = True
    """Whether the kind asks anything of metrics that live at the head."""
    groups: int = 1
    """How many groups of models the kind compares."""
    chance: float = 0.0
    """The grade of an index that is constant."""
    map: MapSearch | None = None
    """How the metric that is asked finds its map, where the kind asks only stitching ones."""
    of_distances: bool = False
    """Whether the kind asks distances only."""
    judged_by_variables: bool = False
    """Whether a reference variable decides, whatever the scores are: then the index is that variable."""


def depth(ref: RepresentationRef) -> int:
    return int(ref.layer.removeprefix("block")) if ref.layer.startswith("block") else 6


def is_shuffled(comparison: Comparison) -> bool:
    return any(side.transform is not None and side.transform.name == "row_shuffle" for side in _sides(comparison))


def is_changed(comparison: Comparison) -> bool:
    """Whether any side is transformed or reparametrised, other than shuffled."""
    return any(
        side.reparametrisation is not None or (side.transform is not None and side.transform.name != "row_shuffle")
        for side in _sides(comparison)
    )


def _sides(comparison: Comparison) -> tuple[RepresentationRef, RepresentationRef]:
    return comparison.a, comparison.b


def related(comparison: Comparison) -> float:
    """1 for a layer and itself, less the further layers and models are apart; blind to any change of coordinates."""
    if is_shuffled(comparison):
        return 0.0
    a, b = comparison.a, comparison.b
    apart = abs(a.model.seed - b.model.seed)
    other_model = 0.4 + 0.01 * min(apart, 4 - apart) if a.model != b.model else 0.0
    return 1.0 - other_model - 0.02 * abs(depth(a) - depth(b))


def change_of(comparison: Comparison) -> str:
    """The name of the first transform, if any."""
    return next((side.transform.name for side in _sides(comparison) if side.transform is not None), "")


def parameter(comparison: Comparison, name: str) -> float:
    """A parameter of the first transform or generator that has it, else 0."""
    for side in _sides(comparison):
        for named in (side.transform, side.model.generator):
            if named is not None and name in dict(named.parameters):
                return float(dict(named.parameters)[name])
    return 0.0


def near(comparison: Comparison) -> float:
    """Minus the distance in depth; of two as far, a layer of the same model is nearer, and one that is less deep."""
    apart = abs(depth(comparison.a) - depth(comparison.b))
    return -apart - 0.25 * (comparison.a.model != comparison.b.model) - 0.01 * depth(comparison.a)


def dissimilar(comparison: Comparison) -> bool:
    """Whether a synthetic model is compared with its permuted counterpart."""
    return comparison.a.model != comparison.b.model


CASES = {
    "identity": Case({}, sound=lambda c: float(c.a == c.b), unsound=lambda c: -float(c.a == c.b)),
    "correspondence": Case(
        {"distance": 2},
        sound=lambda c: -abs(depth(c.a) - depth(c.b)),
        unsound=lambda c: abs(depth(c.a) - depth(c.b)),
        at_head=False,
    ),
    "invariance": Case(
        {"transforms": ["orthogonal", "translation"]},
        sound=related,
        unsound=lambda c: related(c) - 0.5 * is_changed(c),
    ),
    "distribution_invariance": Case({}, sound=related, unsound=lambda c: related(c) - 0.5 * is_changed(c)),
    "distribution_sensitivity": Case(
        {},
        sound=lambda c: 0.0 if is_shuffled(c) or dissimilar(c) else 1.0,
        unsound=lambda c: 0.0 if is_shuffled(c) or is_changed(c) else 1.0,
    ),
    "graded_perturbation": Case({}, sound=lambda c: -parameter(c, "level"), unsound=lambda c: parameter(c, "level")),
    "far_pair": Case(
        {},
        sound=lambda c: -abs(depth(c.a) - depth(c.b)),
        unsound=lambda c: abs(depth(c.a) - depth(c.b)),
        at_head=False,
    ),
    "noise_null": Case(
        {},
        sound=lambda c: float(not is_changed(c) and not is_shuffled(c)),
        unsound=lambda c: float(is_changed(c)),
    ),
    "noise_response": Case(
        {},
        sound=lambda c: -100.0 if is_shuffled(c) else -parameter(c, "ratio"),
        unsound=lambda c: -100.0 if is_shuffled(c) else parameter(c, "ratio"),
    ),
    "matching_recovery": Case(
        {},
        sound=lambda c: related(c) - 0.5 * (change_of(c) in MUST_BE_TOLD_APART),
        unsound=lambda c: related(c) - 0.5 * (change_of(c) in ("permutation", "noise")),
        at_head=False,
    ),
    "sample_size": Case(
        {},
        sound=lambda c: near(c) + parameter(c, "share"),
        unsound=lambda c: (-near(c) if change_of(c) == "row_subset" else near(c)) - parameter(c, "share"),
        at_head=False,
    ),
    "outliers": Case({}, sound=related, unsound=lambda c: related(c) - 5.0 * is_changed(c)),
    "axioms": Case({}, sound=related, unsound=lambda c: 0.0 if is_shuffled(c) else 5.0 + 3.0 * is_changed(c)),
}
CASES |= {
    "layer_monotonicity": Case(
        {},
        sound=lambda c: -abs(depth(c.a) - depth(c.b)),
        unsound=lambda c: abs(depth(c.a) - depth(c.b)),
        at_head=False,
    ),
    "group_separation": Case(
        {},
        sound=lambda c: float(c.a.model.group == c.b.model.group),
        unsound=lambda c: float(c.a.model.group != c.b.model.group),
        groups=3,
    ),
    "output_correlation": Case({}, sound=lambda c: -measured(c), unsound=lambda c: measured(c)),
    "component_deletion": Case({}, sound=lambda c: -measured(c), unsound=lambda c: measured(c)),
    "probe_correlation": Case({"pass_if": FEW_DECIDE}, sound=lambda c: -measured(c), unsound=lambda c: measured(c)),
    "untrained_control": Case(
        {"models": ["net0", "net1"]},
        sound=lambda c: float(c.a.model.group == c.b.model.group),
        unsound=lambda c: float(c.a.model.group != c.b.model.group),
        at_head=False,
        groups=2,
    ),
    "partial_overlap": Case(
        {}, sound=lambda c: parameter(c, "share"), unsound=lambda c: -parameter(c, "share"), at_head=False
    ),
    "in_distribution": Case(
        {}, sound=lambda c: 0.5, unsound=lambda c: 1.0, at_head=False, map="direct", judged_by_variables=True
    ),
    "upper_bound": Case(
        {"bounds": {name: {"by": "logit_distance", "times": 2.0} for name in (AT_LAYERS.name, AT_HEAD.name)}},
        sound=lambda c: -1.9 * measured(c) - is_shuffled(c),
        unsound=lambda c: -2.1 * measured(c) - 0.1 - is_shuffled(c),
        of_distances=True,
    ),
    "closeness": Case({}, sound=lambda c: -measured(c), unsound=lambda c: measured(c), groups=2, chance=0.5),
}
CASES["distillation_order"] = Case(
    {"models": ["net0", "net1", "net2"]},
    sound=lambda c: float(c.a.model.group == "net1"),
    unsound=lambda c: float(c.a.model.group == "net2"),
    groups=3,
)
MUST_BE_TOLD_APART: tuple[str, ...] = ("sign_flip", "orthogonal", "block_rotation")


def measured(comparison: Comparison) -> float:
    """What any functional metric finds: the components that are lost, else how far apart two models are."""
    if change_of(comparison) == "top_components":
        return 1.0 - parameter(comparison, "share")
    return abs(2.0**comparison.a.model.seed - 2.0**comparison.b.model.seed)


def groups_of(kind: str, group: ModelGroup) -> list[ModelGroup]:
    """The groups that a test of this kind is given: copies of one under other names."""
    return [replace(group, name=f"{group.name}{number}") for number in range(CASES[kind].groups)]


def make(kind: str, **keys: Any) -> SanityTest:
    """A test of this kind; `groups_of` gives its models, whatever it names."""
    declared = {"id": "t", "kind": kind, "models": ["net"], **CASES[kind].keys, **keys}
    test = TEST_KINDS.get(kind).model_validate(declared)
    assert isinstance(test, SanityTest)
    return test


def scores_of(index: Index) -> Scores:
    """An index by its formula; of the reference variables, only what a map does to a receiver depends on the index."""

    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        by_index = variable is None or variable.name == "stitch_in_distribution"
        return Similarity(float(index(comparison) if by_index else measured(comparison)))

    return scores


def graded_metrics(kind: str) -> list[Metric]:
    of_layers = replace(AT_LAYERS, map=CASES[kind].map)
    asked = [of_layers, AT_HEAD] if CASES[kind].at_head else [of_layers]
    # a constant stays within any bound: only the pairing gate refuses it
    distances = CASES[kind].of_distances
    return [replace(metric, higher_is_more_similar=not distances, pairs_inputs=distances) for metric in asked]


BY_KIND = pytest.mark.parametrize("kind", TEST_KINDS.names())
BY_KIND_AND_METRIC = pytest.mark.parametrize(
    ("kind", "metric"),
    [
        pytest.param(kind, metric, id=f"{kind}-{metric.level}")
        for kind in TEST_KINDS.names()
        if kind in CASES
        for metric in graded_metrics(kind)
    ],
)
FAILURES = pytest.mark.parametrize("status", ["skip", "error", "missing"])


@BY_KIND
def test_every_registered_kind_has_a_case(kind: str) -> None:
    assert kind in CASES, f"give {kind} a sound and an unsound index here"


@BY_KIND
def test_every_kind_says_what_it_claims(kind: str) -> None:
    summary = (TEST_KINDS.get(kind).__doc__ or "").partition("\n")[0]
    assert summary.endswith(".")


@BY_KIND
def test_a_kind_of_layers_asks_nothing_at_the_head_and_others_say_what_is_missing(kind: str, group: ModelGroup) -> None:
    headless = [replace(one, embedding_layer=None) for one in groups_of(kind, group)]
    test = make(kind)
    if test.of_layers_only:
        assert test.expand(groups_of(kind, group), AT_HEAD) == ()
        assert test.nothing_to_ask(AT_HEAD) == f"{kind} compares layers; this metric is defined at the head only"
    elif test.expand(headless, AT_HEAD) == ():
        assert "compares layers" not in test.nothing_to_ask(AT_HEAD)


@BY_KIND_AND_METRIC
def test_a_sound_index_scores_1_and_passes(kind: str, metric: Metric, group: ModelGroup) -> None:
    groups = [replace(one, seeds=tuple(range(8))) for one in groups_of(kind, group)]
    verdict = make(kind, pass_if=FEW_DECIDE).grade(groups, metric, scores_of(CASES[kind].sound))
    assert (verdict.status, verdict.grade, verdict.passed) == ("ok", 1.0, True)
    assert verdict.violations == ()


@BY_KIND_AND_METRIC
def test_an_unsound_index_scores_0_and_fails(kind: str, metric: Metric, group: ModelGroup) -> None:
    verdict = make(kind).grade(groups_of(kind, group), metric, scores_of(CASES[kind].unsound))
    assert (verdict.status, verdict.grade, verdict.passed) == ("ok", 0.0, False)
    assert verdict.violations


@BY_KIND_AND_METRIC
@pytest.mark.parametrize("constant", [CONSTANT, 0.0])
def test_a_constant_index_passes_nothing(kind: str, metric: Metric, constant: float, group: ModelGroup) -> None:
    if CASES[kind].judged_by_variables:
        pytest.skip("a reference variable of the map decides, whatever the scores are")
    test = make(kind)
    verdict = test.grade(groups_of(kind, group), metric, scores_of(lambda comparison: constant))
    # a few models do not exclude that other models are associated with something
    outcomes = {"fail"} if test.null_level is None else {"fail", "undecided"}
    assert verdict.grade == CASES[kind].chance
    assert verdict.outcome in outcomes
    columns = [column for column in verdict.columns.values() if column.outcome != "skip"]
    assert all(column.grade == 0.0 and column.outcome in outcomes for column in columns)


@pytest.mark.parametrize("kind", [kind for kind, case in CASES.items() if not case.at_head])
def test_a_kind_that_compares_layers_asks_nothing_of_a_metric_of_the_head(kind: str, group: ModelGroup) -> None:
    test = make(kind)
    assert test.expand(groups_of(kind, group), AT_HEAD) == ()
    verdict = test.grade(groups_of(kind, group), AT_HEAD, scores_of(CASES[kind].sound))
    assert (verdict.status, verdict.passed) == ("skip", None)
    assert verdict.reason


@pytest.mark.parametrize("kind", sorted(kind for kind, case in CASES.items() if not case.judged_by_variables))
def test_a_constant_index_with_rounding_errors_passes_nothing(kind: str, group: ModelGroup) -> None:
    def index(comparison: Comparison) -> float:
        return CONSTANT + 1e-16 * (seed_for(c=str(comparison)) % 3)

    assert make(kind).grade(groups_of(kind, group), graded_metrics(kind)[0], scores_of(index)).outcome != "pass"


@BY_KIND_AND_METRIC
def test_margins_are_finite_numbers(kind: str, metric: Metric, group: ModelGroup) -> None:
    for index in (CASES[kind].unsound, lambda comparison: CONSTANT):
        verdict = make(kind).grade(groups_of(kind, group), metric, scores_of(index))
        assert all(math.isfinite(violation.margin) and violation.margin <= 0 for violation in verdict.violations)


@BY_KIND_AND_METRIC
def test_what_broke_an_answer_is_marked_and_nothing_else(kind: str, metric: Metric, group: ModelGroup) -> None:
    for index in (CASES[kind].sound, CASES[kind].unsound):
        verdict = make(kind).grade(groups_of(kind, group), metric, scores_of(index))
        assert [bool(trial.violating) for trial in verdict.trials] == [trial.held is False for trial in verdict.trials]


@BY_KIND_AND_METRIC
@FAILURES
def test_without_any_score_there_is_a_status_and_a_reason_and_no_pass(
    kind: str, metric: Metric, status: Any, group: ModelGroup
) -> None:
    def nothing(comparison: Comparison, variable: Named | None = None) -> Similarity:
        raise Ungradable(status, "out of order")

    verdict = make(kind).grade(groups_of(kind, group), metric, nothing)
    assert verdict.status == status
    assert verdict.reason is not None
    assert "out of order" in verdict.reason
    assert (verdict.grade, verdict.passed, verdict.interval) == (None, None, None)


@BY_KIND_AND_METRIC
@FAILURES
def test_a_sound_index_without_one_of_its_scores_does_not_pass(
    kind: str, metric: Metric, status: Any, group: ModelGroup
) -> None:
    for absent in counted_questions(make(kind), groups_of(kind, group), metric)[0].comparisons:
        _assert_no_pass_without(absent, kind, metric, status, group)


def counted_questions(test: SanityTest, groups: list[ModelGroup], metric: Metric) -> list[Question]:
    """The questions by which a metric is graded: those that it owes an answer to, if there are any."""
    questions = list(test.questions(groups, metric))
    return [q for q in questions if test.owed(metric, q.column) != "not promised"] or questions


def _assert_no_pass_without(absent: Comparison, kind: str, metric: Metric, status: Any, group: ModelGroup) -> None:
    test = make(kind)

    def all_but_one(comparison: Comparison, variable: Named | None = None) -> Similarity:
        if comparison == absent:
            raise Ungradable(status, "out of order")
        return scores_of(CASES[kind].sound)(comparison, variable)

    verdict = test.grade(groups_of(kind, group), metric, all_but_one)
    questions = counted_questions(test, groups_of(kind, group), metric)
    concerned = sum(absent in question.comparisons for question in questions)
    all_concerned = concerned == len(questions)
    assert verdict.passed is None
    assert verdict.reason is not None
    assert "out of order" in verdict.reason
    if status == "skip" and not all_concerned:
        assert (verdict.status, verdict.grade) == ("ok", 1.0)
        assert verdict.reason.startswith(f"{concerned} of {len(questions)} skip")
    else:
        assert (verdict.status, verdict.grade) == (status, None)


@BY_KIND_AND_METRIC
def test_an_unsound_index_fails_also_where_some_scores_are_skipped(
    kind: str, metric: Metric, group: ModelGroup
) -> None:
    test = make(kind)
    questions = list(test.questions(groups_of(kind, group), metric))
    absent = questions[0].comparisons[0]
    if all(absent in question.comparisons for question in questions):
        pytest.skip("every question needs this score")

    def all_but_one(comparison: Comparison, variable: Named | None = None) -> Similarity:
        if comparison == absent:
            raise Ungradable("skip", "out of order")
        return scores_of(CASES[kind].unsound)(comparison, variable)

    assert test.grade(groups_of(kind, group), metric, all_but_one).passed is False


@BY_KIND_AND_METRIC
def test_expansion_holds_every_comparison_of_every_question_once(kind: str, metric: Metric, group: ModelGroup) -> None:
    test = make(kind)
    expanded = test.expand(groups_of(kind, group), metric)
    assert len(set(expanded)) == len(expanded)
    assert {c for question in test.questions(groups_of(kind, group), metric) for c in question.comparisons} <= set(
        expanded
    )


@BY_KIND_AND_METRIC
def test_grading_looks_up_what_was_asked_for_and_all_of_it(kind: str, metric: Metric, group: ModelGroup) -> None:
    test, groups = make(kind), groups_of(kind, group)
    looked_up: set[Comparison] = set()
    variables: set[tuple[Named, Comparison]] = set()

    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        looked_up.add(comparison) if variable is None else variables.add((variable, comparison))
        return scores_of(CASES[kind].sound)(comparison, variable)

    test.grade(groups, metric, scores)
    assert looked_up == set(test.expand(groups, metric))
    assert variables == {
        (variable, one) for variable, pairs in test.reference_variables(groups, metric).items() for one in pairs
    }


@BY_KIND_AND_METRIC
def test_a_single_model_is_graded_or_skipped(kind: str, metric: Metric, group: ModelGroup) -> None:
    alone = [replace(one, seeds=(0,)) for one in groups_of(kind, group)]
    verdict = make(kind).grade(alone, metric, scores_of(CASES[kind].sound))
    assert verdict.outcome in ("pass", "undecided", "skip")
    assert (verdict.interval is None) == (verdict.outcome == "skip")


@BY_KIND_AND_METRIC
def test_the_same_questions_come_every_time(kind: str, metric: Metric, group: ModelGroup) -> None:
    one, other = (
        [
            (question.where, question.comparisons, question.column)
            for question in make(kind).questions(groups_of(kind, group), metric)
        ]
        for _ in range(2)
    )
    assert one == other


@BY_KIND_AND_METRIC
def test_a_verdict_is_the_same_every_time(kind: str, metric: Metric, group: ModelGroup) -> None:
    def noisy(comparison: Comparison) -> float:
        return float(seed_for(c=str(comparison)) % 1000)

    one, other = (make(kind).grade(groups_of(kind, group), metric, scores_of(noisy)) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("kind", [name for name, kind in TEST_KINDS if not kind.generates_its_models])
def test_a_group_without_layers_to_compare_is_skipped(kind: str) -> None:
    empty = ModelGroup("net", (0,), (), None)
    verdict = make(kind).grade(groups_of(kind, empty), AT_LAYERS, scores_of(CASES[kind].sound))
    assert verdict.status == "skip"
    assert verdict.reason


@BY_KIND_AND_METRIC
def test_the_interval_contains_the_grade_and_lies_between_0_and_1(kind: str, metric: Metric, group: ModelGroup) -> None:
    def noisy(comparison: Comparison) -> float:
        return float(seed_for(c=str(comparison)) % 1000)

    verdict = make(kind).grade(groups_of(kind, group), metric, scores_of(noisy))
    if verdict.status == "ok":
        assert verdict.grade is not None
        assert verdict.interval is not None
        assert 0.0 <= verdict.interval[0] <= verdict.grade <= verdict.interval[1] <= 1.0
