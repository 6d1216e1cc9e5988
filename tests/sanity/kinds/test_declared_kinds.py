"""Six kinds that read a metric's declarations, or construct their data: what they ask of whom, and what it is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup, Named
from simbench.registry import TEST_KINDS
from simbench.sanity.kind import SanityTest
from simbench.sanity.question import Similarity, Ungradable
from simbench.verdicts.verdict import Verdict

DISTANCE = replace(AT_LAYERS, higher_is_more_similar=False, value_range=(0.0, float("inf")), triangle_inequality=True)


def make(kind: str, **keys: Any) -> SanityTest:
    test = TEST_KINDS.get(kind).model_validate({"id": "t", "kind": kind, "models": ["net"], **keys})
    assert isinstance(test, SanityTest)
    return test


def change(comparison: Comparison) -> str:
    transforms = [side.transform for side in (comparison.a, comparison.b) if side.transform is not None]
    return transforms[0].name if transforms else ""


def depth(layer: str) -> int:
    return int(layer.removeprefix("block"))


def distance(comparison: Comparison) -> float:
    """A true distance: between layers by depth, between models by seed."""
    if change(comparison) == "row_shuffle":
        return 50.0
    apart = abs(depth(comparison.a.layer) - depth(comparison.b.layer))
    return apart + abs(comparison.a.model.seed - comparison.b.model.seed)


def columns(verdict: Verdict) -> dict[str, float | None]:
    return {name: column.grade for name, column in verdict.columns.items()}


def test_a_true_distance_has_every_axiom(group: ModelGroup) -> None:
    verdict = make("axioms").grade([group], DISTANCE, lambda c: Similarity(-distance(c)))
    assert columns(verdict) == {"determinism": 1.0, "symmetry": 1.0, "range": 1.0, "triangle": 1.0}


def test_the_square_of_a_distance_breaks_the_triangle_and_nothing_else(group: ModelGroup) -> None:
    verdict = make("axioms").grade([group], DISTANCE, lambda c: Similarity(-(distance(c) ** 2)))
    found = columns(verdict)
    assert found.pop("triangle") < 1.0
    assert set(found.values()) == {1.0}


def test_violations_say_by_how_much_an_axiom_was_missed(group: ModelGroup) -> None:
    def noisy(comparison: Comparison, variable: object = None) -> Similarity:
        return Similarity(-distance(comparison) - 9.0 * (change(comparison) == "copy"))

    test = make("axioms", layers=["block3"])
    margins = {one.margin for one in test.grade([group], AT_LAYERS, noisy).columns["determinism"].violations}
    # of the 8 other layers of both models, 6 are further from block3 than its counterpart, at 1, and 2 are as far
    assert min(margins) == pytest.approx(-(6 + 2 / 2) / 8)
    squared = make("axioms").grade([group], DISTANCE, lambda c: Similarity(-(distance(c) ** 2)))
    # from block1 to block5 by block3, up to rounding
    assert squared.columns["triangle"].violations[0].margin == pytest.approx(2**2 + 2**2 - 4**2, rel=1e-6)


def test_pairs_in_which_nothing_is_seen_leave_axioms_open(group: ModelGroup) -> None:
    """Between models, the index gives 0 as for shuffled rows: deterministic, but of no pair can that be said."""
    pairs = replace(AT_LAYERS, pairs_inputs=True)
    verdict = make("axioms").grade([group], pairs, lambda c: Similarity(float(c.a == c.b)))
    assert (verdict.status, verdict.columns["determinism"].status) == ("skip", "skip")
    assert "null level" in str(verdict.reason)


def test_what_is_declared_is_promised_and_determinism_is_required(group: ModelGroup) -> None:
    verdict = make("axioms").grade([group], DISTANCE, lambda c: Similarity(-distance(c)))
    assert {name: column.owed for name, column in verdict.columns.items()} == {
        "determinism": "required",
        "symmetry": "promised",
        "range": "promised",
        "triangle": "promised",
    }


def test_a_constant_has_no_axiom(group: ModelGroup) -> None:
    verdict = make("axioms").grade([group], DISTANCE, lambda c: Similarity(-0.7))
    assert columns(verdict) == {"determinism": 0.0, "symmetry": 0.0, "range": 0.0, "triangle": 0.0}


def test_triangles_are_asked_within_every_model_and_across_three(group: ModelGroup) -> None:
    questions = make("axioms", layers=3).questions([group], DISTANCE)
    within = [len(question.models) == 1 for question in questions if question.column == "triangle"]
    # three layers, or three models, have three ways round
    assert (sum(within), len(within)) == (3 * 4, 3 * 4 + 3 * 3)


@pytest.mark.parametrize(("beyond", "grade"), [(0.0, 1.0), (5e-13, 1.0), (2e-12, 0.0)])
def test_a_value_may_be_beyond_its_range_by_rounding(beyond: float, grade: float, group: ModelGroup) -> None:
    unit = replace(AT_LAYERS, value_range=(0.0, 1.0))
    for between in (-beyond, 1.0 + beyond):

        def scores(comparison: Comparison, variable: object = None, between: float = between) -> Similarity:
            own = 0.2 if change(comparison) == "row_shuffle" else 0.8
            return Similarity(own if comparison.a.model == comparison.b.model else between)

        assert columns(make("axioms").grade([group], unit, scores))["range"] == grade


def test_symmetry_and_the_triangle_are_asked_where_they_are_declared(group: ModelGroup) -> None:
    directed = replace(AT_LAYERS, symmetric=False)
    verdict = make("axioms").grade([group], directed, lambda c: Similarity(float(change(c) != "row_shuffle")))
    assert set(verdict.columns) == {"determinism", "range"}


def test_a_second_score_that_differs_and_a_direction_that_differs_are_found(group: ModelGroup) -> None:
    def noisy(comparison: Comparison, variable: object = None) -> Similarity:
        return Similarity(distance(comparison) + (5.0 if change(comparison) == "copy" else 0.0) - 50.0)

    def turned(comparison: Comparison, variable: object = None) -> Similarity:
        received = comparison.b.transform is not None and comparison.b.transform.name == "copy"
        return Similarity(-distance(comparison) - 5.0 * received)

    wide = replace(AT_LAYERS, value_range=(-100.0, 100.0))
    assert columns(make("axioms").grade([group], wide, lambda c: Similarity(-noisy(c).value)))["determinism"] == 0.0
    found = columns(make("axioms").grade([group], wide, turned))
    assert (found["determinism"], found["symmetry"], found["range"]) == (1.0, 0.0, 1.0)


def test_a_value_outside_the_range_is_found_for_a_distance_too(group: ModelGroup) -> None:
    assert columns(make("axioms").grade([group], DISTANCE, lambda c: Similarity(1.0 - distance(c))))["range"] == 1.0
    below = make("axioms").grade([group], DISTANCE, lambda c: Similarity(5.0 - distance(c)))
    assert columns(below)["range"] == 0.0


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("invariant", [True, False])
def test_rotated_copies_are_to_be_recognised_where_that_is_declared(
    invariant: bool, symmetric: bool, group: ModelGroup
) -> None:
    by_declaration = frozenset({"orthogonal"} if invariant else {"permutation"})
    metric = replace(AT_LAYERS, invariant_to=by_declaration, symmetric=symmetric)
    always, declared = ("permutation", "noise"), ("sign_flip", "orthogonal", "block_rotation")

    def one_to_one(comparison: Comparison, variable: object = None) -> Similarity:
        values = {"row_shuffle": 0.2, **dict.fromkeys(declared, 0.6), **dict.fromkeys(always, 1.0)}
        own = 1.0 if comparison.a == comparison.b else 0.7
        return Similarity(values.get(change(comparison), own))

    verdict = make("matching_recovery").grade([group], metric, one_to_one)
    ends = ("",) if symmetric else ("", " as receiver")
    assert columns(verdict) == {f"{name}{end}": float(name in always) for name in (*declared, *always) for end in ends}
    rotated = "promised" if invariant else "not promised"
    assert {name: column.owed for name, column in verdict.columns.items()} == {
        f"{name}{end}": "required" if name in always else rotated for name in (*declared, *always) for end in ends
    }
    assert verdict.grade == (0.4 if invariant else 1.0)
    assert verdict.auxiliary == pytest.approx(
        {f"kept_{name}": 0.5 if name in declared else 1.0 for name in (*always, *declared)}
    )


def test_copies_are_noisy_by_the_ratio_that_is_given_and_keep_the_median_over_layers_and_models(
    group: ModelGroup,
) -> None:
    test = make("matching_recovery", noise=0.02, copies=["permutation", "noise"], layers=1)
    sides = {c.a.transform for c in test.expand([group], AT_LAYERS) if c.a.transform is not None}
    ratios = {(side.name, dict(side.parameters).get("ratio")) for side in sides}
    assert ratios == {("permutation", None), ("noise", 0.02), ("row_shuffle", None)}
    kept = {0: 0.1, 1: 0.2, 2: 0.4, 3: 0.9}

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        found = {"row_shuffle": 0.0, "noise": kept[comparison.b.model.seed]}
        return Similarity(found.get(change(comparison), 1.0))

    assert test.grade([group], AT_LAYERS, scores).auxiliary == pytest.approx({"kept_permutation": 1, "kept_noise": 0.3})


def test_overlap_is_synthetic_and_asked_of_matrix_metrics_only() -> None:
    def share(comparison: Comparison, variable: object = None) -> Similarity:
        assert comparison.a.model.generator is not None
        return Similarity(float(dict(comparison.a.model.generator.parameters)["share"]))

    verdict = make("partial_overlap", models=[]).grade([], AT_LAYERS, share)
    assert verdict.grade == 1.0
    assert set(verdict.columns) == {"permuted", "rotated", "extended", "dead"}
    assert set(verdict.auxiliary.values()) == {0.0}
    stitching = replace(AT_LAYERS, needs=frozenset({"model"}))
    for metric in (AT_HEAD, stitching):
        assert make("partial_overlap", models=[]).grade([], metric, share).status == "skip"


def test_overlap_is_read_off_the_scores(group: ModelGroup) -> None:
    def low(comparison: Comparison, variable: object = None) -> Similarity:
        assert comparison.a.model.generator is not None
        return Similarity(0.8 * float(dict(comparison.a.model.generator.parameters)["share"]))

    verdict = make("partial_overlap", models=[], shares=[1.0, 0.0, 0.5]).grade([], AT_LAYERS, low)
    assert {trial.margin for trial in verdict.trials} == {0.4}
    # |0.8 p − p| at 0, .5 and 1; where nothing in common would be infinitely many other units, at .5 and 1
    means = {"permuted": 0.1, "rotated": 0.1, "extended": 0.15, "dead": 0.15}
    assert verdict.auxiliary == pytest.approx({f"distance_from_share_{form}": mean for form, mean in means.items()})
    assert {form: column.comparisons for form, column in verdict.columns.items()} == {
        "permuted": 9, "rotated": 9, "extended": 6, "dead": 6,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("back", "grade"), [(lambda share: 1.0, 1.0), (lambda share: 1.0 - 1e-15 * share, 1.0), (lambda share: -share, 0.0)]
)
def test_for_a_directed_metric_overlap_rises_in_one_direction_and_falls_in_none(back: Any, grade: float) -> None:
    def recalled(comparison: Comparison, variable: object = None) -> Similarity:
        """How much of the second population is in the first: an extended one has all of the other."""
        given = [dict(side.model.generator.parameters) for side in (comparison.a, comparison.b)]
        return Similarity(back(given[0]["share"]) if given[0]["form"] == "extended" else float(given[1]["share"]))

    metric = replace(AT_LAYERS, needs=frozenset(), symmetric=False)
    assert make("partial_overlap", models=[], forms=["extended"]).grade([], metric, recalled).grade == grade
    symmetric = replace(metric, symmetric=True)
    assert make("partial_overlap", models=[], forms=["extended"]).grade([], symmetric, recalled).grade == 0.0


def test_spectra_alone_see_no_overlap() -> None:
    """All rise with the share, as dead units would make them, and none knows which input a row belongs to."""

    def share(comparison: Comparison, variable: object = None) -> Similarity:
        assert comparison.a.model.generator is not None
        return Similarity(float(dict(comparison.a.model.generator.parameters)["share"]))

    pairing = replace(AT_LAYERS, pairs_inputs=True)
    assert make("partial_overlap", models=[]).grade([], pairing, share).grade == 0.0


def sizes(**keys: Any) -> SanityTest:
    return make("sample_size", **{"inputs": [50, 100], "ratios": [2.0, 0.1, 1.0], "features": 10, "draws": 2, **keys})


def test_sample_size_asks_for_the_order_of_chosen_layers_of_a_model_and_of_the_one_before_it(group: ModelGroup) -> None:
    questions = [question for question in sizes(layers=2).questions([group], AT_LAYERS) if question.column == "order"]
    assert [question.at for question in questions] == [50.0, 100.0] * 8
    few = [c for c in questions[0].comparisons if c.a.transform is not None]
    assert {(c.a.model.seed, c.a.layer) for c in few} == {(0, "block5"), (3, "block1"), (3, "block5")}
    assert len({side.transform for c in few for side in (c.a, c.b)}) == 1, "all keep the same inputs"
    assert set(questions[0].comparisons) - set(few) == {
        Comparison(replace(c.a, transform=None), replace(c.b, transform=None)) for c in few
    }


@pytest.mark.parametrize(
    ("by_few", "grade"), [((1, 2, 3), 1.0), ((1, 3, 2), 2 / 3), ((1, 1, 3), 2 / 3), ((3, 2, 1), 0.0)]
)
def test_the_credit_is_the_share_of_pairs_in_the_order_of_all_inputs(
    by_few: tuple[int, ...], grade: float, group: ModelGroup
) -> None:
    """Three senders: another layer of the same model, and both layers of the one before it."""

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        if comparison.a.model.generator is not None:
            return Similarity(float(dict(comparison.a.model.generator.parameters)["share"]))
        sender = 0 if comparison.a.model == comparison.b.model else 1 + (comparison.a.layer == comparison.b.layer)
        return Similarity(float((by_few if change(comparison) == "row_subset" else (10, 20, 30))[sender]))

    verdict = sizes(layers=2).grade([group], AT_LAYERS, scores)
    assert columns(verdict) == {"order": pytest.approx(grade), "across sizes": 1.0}


def test_where_no_sender_is_above_shuffled_rows_there_is_no_order_to_keep(group: ModelGroup) -> None:
    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        return Similarity(1.0 if comparison.a == comparison.b else 0.9 if change(comparison) == "row_shuffle" else 0.5)

    metric = replace(AT_LAYERS, pairs_inputs=True)
    assert sizes(layers=2).grade([group], metric, scores).columns["order"].reason == (
        "16 of 16 at the null level: the scores are no higher than for shuffled rows: nothing can be read from them"
    )


@pytest.mark.parametrize(("symmetric", "asked"), [(True, ["across sizes"]), (False, ["across sizes"] * 2)])
def test_unrelated_data_of_many_features_and_few_rows_are_held_against_related_data_of_many_rows(
    symmetric: bool, asked: list[str]
) -> None:
    metric = replace(AT_LAYERS, symmetric=symmetric)
    questions = list(sizes(shared=0.25).questions([], metric))
    assert {question.at for question in questions} == {1.0, 2.0}
    assert len(questions) == 2 * 2 * len(asked)
    for question in questions:
        related, unrelated = (dict(_other(c)) for c in question.comparisons)
        assert (related["share"], related["rows"], unrelated["share"]) == (0.25, 100, 0.0)
        assert unrelated["rows"] == 10 / question.at if question.at is not None else False


def _other(comparison: Comparison) -> Any:
    """The parameters of the population that is not the first one."""
    generators = [side.model.generator for side in (comparison.a, comparison.b)]
    return next(one.parameters for one in generators if one is not None and ("form", "permuted") in one.parameters)


def test_sample_size_refuses_a_ratio_that_leaves_no_rows() -> None:
    with pytest.raises(ValueError, match="fewer than 3 rows"):
        make("sample_size", features=10, ratios=[0.1, 5.0])
    make("sample_size", features=10, ratios=[0.1, 3.0])


def test_the_untrained_control_leaves_first_layers_out(group: ModelGroup) -> None:
    test = make("untrained_control", models=["net", "untrained"], from_layer=3)
    untrained = replace(group, name="untrained", seeds=(0,))
    directed = replace(AT_LAYERS, symmetric=False)
    questions = list(test.questions([group, untrained], directed))
    assert {question.comparisons[0].a.layer for question in questions} == {"block3", "block4", "block5"}
    assert {question.column for question in test.questions([group, untrained], AT_LAYERS)} == {"sender"}
    assert {str(q.comparisons[1].a.model) for q in questions if q.column == "sender"} == {"untrained/0"}
    assert {str(q.comparisons[1].b.model) for q in questions if q.column == "receiver"} == {"untrained/0"}


def test_the_untrained_control_has_no_answer_where_trained_layers_are_as_unrelated_as_shuffled_rows(
    group: ModelGroup,
) -> None:
    test, metric = make("untrained_control", models=["net", "untrained"]), replace(AT_LAYERS, pairs_inputs=True)

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        trained = 0.3 if comparison.b.layer == "block5" else 0.6
        own = 1.0 if comparison.a == comparison.b else trained if comparison.a.model.group == "net" else 0.2
        return Similarity(0.4 if change(comparison) == "row_shuffle" else own)

    verdict = test.grade([group, replace(group, name="untrained")], metric, scores)
    assert (verdict.grade, verdict.auxiliary["at_null_level"]) == (1.0, pytest.approx(1 / 4))


def auroc(value: float) -> Any:
    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        return Similarity(0.7 if variable is None else value)

    return scores


@pytest.mark.parametrize(("value", "credit"), [(0.5, 1.0), (0.3, 1.0), (0.75, 0.5), (1.0, 0.0)])
def test_in_distribution_gives_credit_for_what_cannot_be_told_apart(
    value: float, credit: float, group: ModelGroup
) -> None:
    metric = replace(AT_LAYERS, map="direct")
    verdict = make("in_distribution", layers=2).grade([group], metric, auroc(value))
    assert verdict.grade == pytest.approx(credit)
    assert set(verdict.columns) == {"self", "corresponding"}
    assert verdict.auxiliary["auroc_self"] == pytest.approx(value)


def test_what_a_map_sends_from_the_last_layer_into_the_first_is_shown_and_not_graded(group: ModelGroup) -> None:
    """An honest map has nothing native to send there."""

    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        return Similarity(1.0 if comparison.a.layer == "block5" != comparison.b.layer else 0.5)

    verdict = make("in_distribution", layers=2).grade([group], replace(AT_LAYERS, map="direct"), scores)
    assert verdict.grade == 1.0
    assert verdict.auxiliary == {"auroc_self": 0.5, "auroc_corresponding": 0.5, "auroc_far": 1.0}


def test_in_distribution_asks_for_the_metric_s_own_map(group: ModelGroup) -> None:
    task = replace(AT_LAYERS, map="task", parameters={"epochs": 8})
    variables = make("in_distribution").reference_variables([group], task)
    assert list(variables) == [Named.of("stitch_in_distribution", mapping="task", epochs=8)]
    verdict = make("in_distribution").grade([group], AT_LAYERS, auroc(0.5))
    assert (verdict.status, verdict.reason) == ("skip", "of_layers finds no map into the receiving network")


def test_a_detector_that_is_not_believed_leaves_the_question_open(group: ModelGroup) -> None:
    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        if variable is not None and comparison.b.layer == "block1":
            raise Ungradable("skip", "the detector cannot tell noise from native activations")
        return Similarity(0.5)

    verdict = make("in_distribution").grade([group], replace(AT_LAYERS, map="direct"), scores)
    assert verdict.status == "ok"
    assert verdict.passed is None
    assert "detector" in str(verdict.reason)


def test_a_map_that_has_no_score_gives_no_activations_to_judge(group: ModelGroup) -> None:
    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        if variable is None and comparison.b.layer == "block1":
            raise Ungradable("error", "did not converge")
        return Similarity(0.5)

    verdict = make("in_distribution").grade([group], replace(AT_LAYERS, map="direct"), scores)
    assert (verdict.status, verdict.passed) == ("error", None)
    assert "did not converge" in str(verdict.reason)


def test_in_a_network_of_one_layer_nothing_is_far(group: ModelGroup) -> None:
    metric = replace(AT_LAYERS, map="direct")
    verdict = make("in_distribution").grade([replace(group, layers=("block1",))], metric, auroc(0.5))
    assert set(verdict.columns) == {"self", "corresponding"}
