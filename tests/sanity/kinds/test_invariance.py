"""Invariance and distribution invariance: what the rest of the network undoes changes no similarity."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import numpy as np
import pytest
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.registry import TRANSFORMS
from simbench.sanity.kind import Similarity, Ungradable
from simbench.sanity.kinds.distribution_invariance import DistributionInvariance
from simbench.sanity.kinds.invariance import Invariance
from simbench.sanity.selection import layers_of
from simbench.seeds import seed_for

Table = Callable[[Comparison], float]


def make(**keys: object) -> Invariance:
    return Invariance.model_validate(
        {"id": "turned", "kind": "invariance", "models": ["net"], "transforms": ["orthogonal", "translation"], **keys}
    )


def rewritten(**keys: object) -> DistributionInvariance:
    return DistributionInvariance.model_validate(
        {"id": "rewritten", "kind": "distribution_invariance", "models": ["net"], **keys}
    )


def shuffled(ref: RepresentationRef) -> bool:
    return ref.transform is not None and ref.transform.name == "row_shuffle"


def noisy(comparison: Comparison) -> float:
    """Around 1 for what belongs together, 0 for what is shuffled; off by up to 0.1."""
    noise = (seed_for(c=str(comparison)) % 1001) / 10_000
    return noise if shuffled(comparison.a) else 1.0 - noise


def brute_force(group: ModelGroup, test: Invariance, score: Table) -> float:
    """The definition, written out: per model, layer and transform, |ΔS| ≤ tol · scale for both questions."""
    held = []
    comparisons = test.expand([group], AT_LAYERS)
    for layer in group.layers:
        unrelated = median(score(c) for c in comparisons if shuffled(c.a) and c.a.layer == layer)
        for position, model in enumerate(group.models):
            a = RepresentationRef(model, layer)
            b = RepresentationRef(group.models[(position + 1) % len(group.models)], layer)
            scale = score(Comparison(a, a)) - unrelated
            of_a = [c.b for c in comparisons if c.a == a and c.b.transform is not None and c.b.model == model]
            for changed in of_a:
                for before, after in (
                    (Comparison(a, a), Comparison(a, changed)),
                    (Comparison(a, b), Comparison(changed, b)),
                ):
                    assert after in comparisons
                    held.append(scale > 0 and abs(score(after) - score(before)) <= test.tolerance * scale)
    assert len(held) == len(group.seeds) * len(group.layers) * len(test.transforms) * 2
    return float(np.mean(held))


@pytest.mark.parametrize("tolerance", [0.01, 0.03, 0.05, 0.1, 0.3])
def test_the_grade_is_the_share_of_scores_that_stay_within_the_tolerance(tolerance: float, group: ModelGroup) -> None:
    test = make(tolerance=tolerance)
    verdict = test.grade([group], AT_LAYERS, lambda c: Similarity(noisy(c)))
    assert verdict.grade == pytest.approx(brute_force(group, test, noisy))


def test_an_index_that_does_not_know_rows_apart_has_no_scale_but_rounding(group: ModelGroup) -> None:
    """It compares clouds: shuffled rows are the same to it, up to 1e-14, and other seeds are at a distance of 1/2."""

    def cloud(comparison: Comparison) -> Similarity:
        if comparison.a.model != comparison.b.model:
            return Similarity(-0.5)
        return Similarity(-1e-14 if shuffled(comparison.a) else -1e-6 if comparison.b.transform is not None else 0.0)

    verdict = make().grade([group], AT_LAYERS, cloud)
    assert (verdict.grade, verdict.passed) == (0.0, False)
    assert {violation.margin for violation in verdict.violations} == {make().tolerance - 1}


def test_there_is_one_column_per_transform(group: ModelGroup) -> None:
    verdict = make().grade([group], AT_LAYERS, lambda c: Similarity(noisy(c)))
    assert list(verdict.columns) == ["orthogonal", "translation"]


def test_a_column_names_the_parameters_that_differ_from_their_defaults(group: ModelGroup) -> None:
    mixing = [{"name": "invertible_linear", "condition": condition} for condition in (10, 100, 1e3)]
    test = make(transforms=[*mixing, {"name": "affine"}])
    verdict = test.grade([group], AT_LAYERS, lambda c: Similarity(noisy(c)))
    assert list(verdict.columns) == [
        "invertible_linear",
        "invertible_linear(condition=100.0)",
        "invertible_linear(condition=1000.0)",
        "affine",
    ]
    of_each = [{side.transform for side in (c.a, c.b)} for c in test.expand([group], AT_LAYERS)]
    asked = {named for found in of_each for named in found if named is not None and named.name == "invertible_linear"}
    assert {dict(named.parameters).get("condition") for named in asked} == {None, 100.0, 1000.0}


@pytest.mark.parametrize("choice", ["invertible_linear", {"name": "invertible_linear", "condition": 10}])
def test_a_transform_without_other_parameters_has_the_key_and_the_seed_of_its_bare_name(
    choice: object, group: ModelGroup
) -> None:
    test = make(transforms=[choice])
    model, layer = group.models[0], group.layers[0]
    seed = seed_for(test="turned", transform="invertible_linear", model=str(model), layer=layer)
    expected = RepresentationRef(model, layer).under(Named.of("invertible_linear", seed=seed))
    assert expected in {c.b for c in test.expand([group], AT_LAYERS)}
    assert test.model_dump(mode="json")["transforms"] == ["invertible_linear"]


def test_a_transform_with_parameters_is_written_as_it_is_read() -> None:
    test = make(transforms=["orthogonal", {"name": "invertible_linear", "condition": 100}])
    written = test.model_dump(mode="json")
    assert written["transforms"] == ["orthogonal", {"name": "invertible_linear", "condition": 100.0}]
    assert Invariance.model_validate(written) == test


@pytest.mark.parametrize("name", [name for name, transform in TRANSFORMS if not transform.function_preserving])
def test_only_function_preserving_transforms_are_asked_for(name: str) -> None:
    with pytest.raises(ValueError, match=f'"{name}" is not function-preserving; valid: affine, '):
        make(transforms=["orthogonal", name])


def test_a_column_is_graded_by_itself(group: ModelGroup) -> None:
    def hurt_by_translation(comparison: Comparison) -> Similarity:
        names = {side.transform.name for side in (comparison.a, comparison.b) if side.transform is not None}
        return Similarity(0.0 if "row_shuffle" in names else 0.2 if "translation" in names else 1.0)

    verdict = make(pass_if=">= 0.7").grade([group], AT_LAYERS, hurt_by_translation)
    assert (verdict.grade, verdict.passed) == (0.5, False)
    assert (verdict.columns["orthogonal"].grade, verdict.columns["orthogonal"].passed) == (1.0, True)
    assert (verdict.columns["translation"].grade, verdict.columns["translation"].passed) == (0.0, False)


def test_a_test_that_could_not_be_graded_does_not_fail_by_a_column_that_was(group: ModelGroup) -> None:
    def scores(comparison: Comparison) -> Similarity:
        names = {side.transform.name for side in (comparison.a, comparison.b) if side.transform is not None}
        if "orthogonal" in names:
            raise Ungradable("error", "out of order")
        return Similarity(0.0 if "row_shuffle" in names else 0.2 if "translation" in names else 1.0)

    verdict = make().grade([group], AT_LAYERS, scores)
    assert (verdict.status, verdict.passed) == ("error", None)
    assert verdict.columns["translation"].passed is False


def test_columns_of_equal_tests_count_the_same_number_of_comparisons(group: ModelGroup) -> None:
    verdict = make().grade([group], AT_LAYERS, lambda c: Similarity(noisy(c)))
    models, layers = len(group.seeds), len(group.layers)
    # per model and layer: (a, a), (a, b), the shuffled pair, and two with the transform
    assert {column.comparisons for column in verdict.columns.values()} == {models * layers * 5}
    assert verdict.comparisons == models * layers * (3 + 2 * 2)


@pytest.mark.parametrize("span", [1.0, 1e-2, 1e-4])
def test_a_nearly_constant_index_gains_nothing_over_the_same_index_at_full_range(
    span: float, group: ModelGroup
) -> None:
    test = make()
    full = test.grade([group], AT_LAYERS, lambda c: Similarity(noisy(c)))
    narrow = test.grade([group], AT_LAYERS, lambda c: Similarity(5.0 + span * noisy(c)))
    assert narrow.grade == full.grade
    assert full.grade is not None
    assert 0.0 < full.grade < 1.0


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_of_an_index_changes_no_grade(unit: float, group: ModelGroup) -> None:
    test = make()

    def grade(index: Table) -> float | None:
        return test.grade([group], AT_LAYERS, lambda c: Similarity(unit * index(c))).grade

    assert grade(noisy) == test.grade([group], AT_LAYERS, lambda c: Similarity(noisy(c))).grade
    assert grade(lambda c: 1.0 + 1e-8 * noisy(c)) == 0.0


def test_an_index_that_finds_shuffled_copies_more_similar_passes_nothing(group: ModelGroup) -> None:
    verdict = make().grade([group], AT_LAYERS, lambda c: Similarity(1.0 if shuffled(c.a) else 0.0))
    assert verdict.grade == 0.0


def test_a_similarity_that_rises_is_as_wrong_as_one_that_falls(group: ModelGroup) -> None:
    def changed_by(step: float) -> float | None:
        def scores(c: Comparison) -> Similarity:
            changed = any(side.transform is not None and not shuffled(side) for side in (c.a, c.b))
            return Similarity(0.0 if shuffled(c.a) else 1.0 + step * changed)

        return make().grade([group], AT_LAYERS, scores).grade

    assert changed_by(0.04) == changed_by(-0.04) == 1.0
    assert changed_by(0.06) == changed_by(-0.06) == 0.0


def test_a_change_that_is_just_the_tolerance_is_none(group: ModelGroup) -> None:
    def scores(c: Comparison) -> Similarity:
        changed = any(side.transform is not None for side in (c.a, c.b))
        return Similarity(0.0 if shuffled(c.a) else 0.75 if changed else 1.0)

    assert make(tolerance=0.25).grade([group], AT_LAYERS, scores).grade == 1.0
    assert make(tolerance=0.24).grade([group], AT_LAYERS, scores).grade == 0.0


def test_one_model_is_compared_with_itself_only() -> None:
    alone = ModelGroup("net", (0,), ("block1",), None)
    test = make(transforms=["orthogonal"])
    assert len(list(test.questions([alone], AT_LAYERS))) == 1
    assert len(test.expand([alone], AT_LAYERS)) == 3


def test_each_model_layer_and_transform_has_a_map_of_its_own(group: ModelGroup) -> None:
    sides = {side for c in make().expand([group], AT_LAYERS) for side in (c.a, c.b)}
    maps = [ref.transform for ref in sides if ref.transform is not None]
    assert len({dict(one.parameters)["seed"] for one in maps}) == len(group.seeds) * len(group.layers) * 3


def test_metrics_of_the_head_are_tested_at_the_layer_that_the_head_reads(group: ModelGroup) -> None:
    assert {c.b.layer for c in make().expand([group], AT_HEAD)} == {"embedding"}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, (1, 2, 3, 4, 5)),
        (1, (1,)),
        (2, (1, 5)),
        (3, (1, 3, 5)),
        (9, (1, 2, 3, 4, 5)),
        (["block4", "block2"], (4, 2)),
    ],
)
def test_a_number_of_layers_is_spread_evenly(
    chosen: int | list[str] | None, expected: tuple[int, ...], group: ModelGroup
) -> None:
    assert layers_of(group, chosen, "layers") == tuple(f"block{number}" for number in expected)


@pytest.mark.parametrize("bad", [0, -1, []])
def test_no_layers_are_a_mistake(bad: object) -> None:
    with pytest.raises(ValueError, match="layers"):
        make(layers=bad)


def test_reparametrisations_change_weights_and_carry_no_transform(group: ModelGroup) -> None:
    changed = {
        side
        for c in rewritten().expand([group], AT_LAYERS)
        for side in (c.a, c.b)
        if side.reparametrisation is not None
    }
    assert {ref.reparametrisation.name for ref in changed if ref.reparametrisation is not None} == {
        "head_linear",
        "unit_permutation",
        "relu_rescaling",
    }
    assert all(ref.transform is None for ref in changed)


def test_the_head_is_rewritten_at_the_layer_that_it_reads_and_blocks_at_their_outputs(group: ModelGroup) -> None:
    layers: dict[str, set[str]] = {}
    for c in rewritten().expand([group], AT_LAYERS):
        for side in (c.a, c.b):
            if side.reparametrisation is not None:
                layers.setdefault(side.reparametrisation.name, set()).add(side.layer)
    assert layers["head_linear"] == {"embedding"}
    assert layers["unit_permutation"] == layers["relu_rescaling"] == set(group.layers)


def test_one_rewritten_model_serves_all_its_layers(group: ModelGroup) -> None:
    changed = {
        (side.model, side.reparametrisation)
        for c in rewritten(reparametrisations=["unit_permutation"]).expand([group], AT_LAYERS)
        for side in (c.a, c.b)
        if side.reparametrisation is not None
    }
    assert len(changed) == len(group.seeds)
