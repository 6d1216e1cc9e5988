"""Invariance and distribution invariance: what the rest of the network undoes changes no similarity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.registry import TRANSFORMS
from simbench.sanity.kinds.correspondence import Correspondence
from simbench.sanity.kinds.distribution_invariance import DistributionInvariance
from simbench.sanity.kinds.identity import Identity
from simbench.sanity.kinds.invariance import Invariance
from simbench.sanity.question import Similarity, Ungradable
from simbench.sanity.selection import layers_of
from simbench.seeds import seed_for
from simbench.verdicts.verdict import Verdict

Table = Callable[[Comparison], float]
AFFINE = replace(AT_LAYERS, invariant_to=frozenset({"affine"}))


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


def is_changed(side: RepresentationRef) -> bool:
    return side.transform is not None or side.reparametrisation is not None


def noisy(comparison: Comparison) -> float:
    """Around 1 for what belongs together, 0 for what is shuffled; off by up to 0.1."""
    noise = (seed_for(c=str(comparison)) % 1001) / 10_000
    return noise if shuffled(comparison.a) else 1.0 - noise


def depth(side: RepresentationRef) -> int:
    return int(side.layer.removeprefix("block")) if side.layer.startswith("block") else 6


def graded(comparison: Comparison) -> float:
    """1 for a layer and itself, less the further apart layers and models are, and 0 for what is shuffled."""
    if shuffled(comparison.a):
        return 0.0
    a, b = comparison.a, comparison.b
    seeds = abs(a.model.seed - b.model.seed)
    return 1.0 - 0.1 * abs(depth(a) - depth(b)) - 0.03 * min(seeds, 4 - seeds)


def share_below(value: float, among: list[float]) -> float:
    return float(np.mean([1.0 if value > other else 0.5 if value == other else 0.0 for other in among]))


def brute_force(group: ModelGroup, test: Invariance, score: Table, *, directed: bool = False) -> float:
    """The definition, written out, over the comparisons of all layers with each other."""
    held = []

    def rivals(receiver: RepresentationRef, position: int) -> dict[Comparison, float]:
        models = (group.models[position], group.models[position - 1])
        senders = [RepresentationRef(model, layer) for model in models for layer in group.layers]
        return {Comparison(c, receiver): score(Comparison(c, receiver)) for c in senders if c != receiver}

    def keeps(before: Comparison, after: Comparison, among: dict[Comparison, float]) -> bool:
        rest = [value for comparison, value in among.items() if comparison != before]
        return abs(share_below(score(after), rest) - share_below(score(before), rest)) <= test.tolerance + 1e-12

    for layer in group.layers:
        for position, model in enumerate(group.models):
            following = (position + 1) % len(group.models)
            a, b = RepresentationRef(model, layer), RepresentationRef(group.models[following], layer)
            for choice in test.transforms:
                seed = seed_for(test=test.id, transform=choice.name, model=str(model), layer=layer)
                changed = a.under(Named.of(choice.name, seed=seed))
                of_a, of_b = rivals(a, position), rivals(b, following)
                for copy in [Comparison(changed, a), *([Comparison(a, changed)] if directed else [])]:
                    held.append(score(copy) > max(of_a.values()))
                held.append(keeps(Comparison(a, b), Comparison(changed, b), of_b))
                if directed:
                    held.append(keeps(Comparison(b, a), Comparison(b, changed), of_a))
    return float(np.mean(held))


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.3, 0.6])
def test_the_grade_is_the_share_of_copies_that_are_nearest_and_of_scores_that_keep_their_place(
    tolerance: float, directed: bool, group: ModelGroup
) -> None:
    def sharpened(comparison: Comparison) -> float:  # else no copy is above eight others
        return noisy(comparison) + 0.08 * (is_changed(comparison.a) or is_changed(comparison.b))

    metric = replace(AFFINE, symmetric=not directed)
    test = make(tolerance=tolerance)
    verdict = test.grade([group], metric, lambda c: Similarity(sharpened(c)))
    assert verdict.grade == pytest.approx(brute_force(group, test, sharpened, directed=directed))
    assert 0.0 < brute_force(group, test, sharpened, directed=directed) < 1.0


@pytest.mark.parametrize(
    "expressed",
    [lambda s: s**3, lambda s: 1 - (1 - s) ** 8, lambda s: np.arctanh(0.999 * s), lambda s: -np.log(1.001 - s)],
)
@pytest.mark.parametrize("kind", [make, rewritten])
def test_how_an_index_is_expressed_changes_no_grade(
    kind: Callable[[], Invariance | DistributionInvariance], expressed: Callable[[float], float], group: ModelGroup
) -> None:
    def grade(g: Callable[[float], float]) -> Verdict:
        return kind().grade([group], AFFINE, lambda c: Similarity(float(g(0.05 + 0.9 * noisy(c)))))

    one, other = grade(float), grade(expressed)
    assert (one.grade, one.interval, one.passed) == (other.grade, other.interval, other.passed)
    assert one.columns.keys() == other.columns.keys()


def test_an_index_that_is_defined_by_what_is_sent_is_seen_through_by_what_receives(group: ModelGroup) -> None:
    """R² of a linear map does not see what is done to its argument, and sees all that is done to its target."""

    def of_target(comparison: Comparison) -> Similarity:
        return Similarity(graded(comparison) - 0.5 * is_changed(comparison.b))

    directed = replace(AFFINE, symmetric=False)
    for test in (make(), rewritten()):
        verdict = test.grade([group], directed, of_target)
        by_sender = [column for name, column in verdict.columns.items() if not name.endswith("as receiver")]
        by_receiver = [column for name, column in verdict.columns.items() if name.endswith("as receiver")]
        assert len(by_sender) == len(by_receiver) == len(verdict.columns) / 2
        assert {column.grade for column in by_sender} == {1.0}
        assert {column.grade for column in by_receiver} == {0.0}
        assert (verdict.grade, verdict.passed) == (0.5, False)


def test_an_index_that_cannot_tell_shuffled_rows_apart_gets_no_answer_on_its_places(group: ModelGroup) -> None:
    """To an index that claims to pair, and does not see pairs of models at all, nothing but a layer itself is alike."""

    def own_only(comparison: Comparison) -> Similarity:
        alike = comparison.a.model == comparison.b.model and comparison.a.layer == comparison.b.layer
        return Similarity(float(alike and not shuffled(comparison.a)))

    verdict = make().grade([group], replace(AFFINE, pairs_inputs=True), own_only)
    assert verdict.grade == 1.0
    assert verdict.auxiliary["at_null_level"] == 0.5
    assert verdict.outcome == "undecided"


def test_there_is_one_column_per_transform(group: ModelGroup) -> None:
    verdict = make().grade([group], AT_LAYERS, lambda c: Similarity(noisy(c)))
    assert list(verdict.columns) == ["orthogonal", "translation"]
    directed = make().grade([group], replace(AT_LAYERS, symmetric=False), lambda c: Similarity(noisy(c)))
    assert list(directed.columns) == [
        "orthogonal", "orthogonal as receiver", "translation", "translation as receiver",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "promised"),
    [
        ((), set()),
        (("permutation",), set()),
        (("orthogonal",), {"orthogonal", "sign_flip", "block_rotation"}),
        (("diagonal_scaling",), {"isotropic_scaling", "diagonal_scaling"}),
        (
            ("invertible_linear",),
            {"orthogonal", "sign_flip", "block_rotation", "isotropic_scaling", "diagonal_scaling", "invertible_linear"},
        ),
    ],
)
def test_permutation_is_required_and_what_is_declared_is_promised(
    declared: tuple[str, ...], promised: set[str], group: ModelGroup
) -> None:
    transforms = [name for name, transform in TRANSFORMS if transform.function_preserving]
    metric = replace(AT_LAYERS, invariant_to=frozenset(declared), symmetric=False)
    verdict = make(transforms=transforms).grade([group], metric, lambda c: Similarity(graded(c)))
    owed = {"permutation": "required", "copy": "required", **dict.fromkeys(promised, "promised")}
    assert {name: column.owed for name, column in verdict.columns.items()} == {
        f"{name}{end}": owed.get(name, "not promised") for name in transforms for end in ("", " as receiver")
    }


def test_what_is_not_promised_counts_neither_for_nor_against_a_metric(group: ModelGroup) -> None:
    """It sees rotations, as one that matches units one to one must."""

    def one_to_one(comparison: Comparison) -> Similarity:
        names = {side.transform.name for side in (comparison.a, comparison.b) if side.transform is not None}
        return Similarity(graded(comparison) - 0.9 * ("orthogonal" in names))

    test = make(transforms=["permutation", "orthogonal"], pass_if=">= 0.5")
    verdict = test.grade([group], AT_LAYERS, one_to_one)
    assert (verdict.grade, verdict.passed, verdict.owed) == (1.0, True, "required")
    assert (verdict.columns["orthogonal"].grade, verdict.columns["orthogonal"].passed) == (0.0, False)
    broken = test.grade([group], replace(AT_LAYERS, invariant_to=frozenset({"orthogonal"})), one_to_one)
    assert (broken.grade, broken.passed) == (0.5, False)
    assert make(transforms=["orthogonal"]).grade([group], AT_LAYERS, one_to_one).owed == "not promised"


@pytest.mark.parametrize(
    ("declared", "owed"),
    [
        ({}, ("not promised", "required", "not promised")),
        ({"invariant_to": frozenset({"diagonal_scaling"})}, ("not promised", "required", "promised")),
        (
            {"invariant_to": frozenset({"invertible_linear"}), "purposes": frozenset({"geometry"})},
            ("promised", "required", "promised"),
        ),
        ({"invariant_to": frozenset({"invertible_linear"})}, ("required",) * 3),
        ({"purposes": frozenset({"function"})}, ("required",) * 3),
        ({"purposes": frozenset({"distribution"})}, ("required",) * 3),
    ],
)
def test_maps_of_a_layer_are_owed_by_indices_of_the_function(
    declared: dict[str, Any], owed: tuple[str, ...], group: ModelGroup
) -> None:
    verdict = rewritten().grade([group], replace(AT_LAYERS, **declared), lambda c: Similarity(graded(c)))
    assert tuple(column.owed for column in verdict.columns.values()) == owed
    assert list(verdict.columns) == ["head_linear", "unit_permutation", "relu_rescaling"]
    elsewhere = rewritten(purposes=["dynamics"]).grade([group], replace(AT_LAYERS, **declared), lambda c: Similarity(1))
    assert {column.owed for column in elsewhere.columns.values()} == {"not promised"}


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
    assert expected in {c.a for c in test.expand([group], AT_LAYERS)}
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


def hurt_by_translation(comparison: Comparison) -> Similarity:
    names = {side.transform.name for side in (comparison.a, comparison.b) if side.transform is not None}
    return Similarity(graded(comparison) - 0.9 * ("translation" in names))


def test_a_column_is_graded_by_itself(group: ModelGroup) -> None:
    verdict = make(pass_if=">= 0.5").grade([group], AFFINE, hurt_by_translation)
    assert (verdict.grade, verdict.passed) == (0.5, False)
    assert (verdict.columns["orthogonal"].grade, verdict.columns["orthogonal"].passed) == (1.0, True)
    assert (verdict.columns["translation"].grade, verdict.columns["translation"].passed) == (0.0, False)


def test_a_test_that_could_not_be_graded_does_not_fail_by_a_column_that_was(group: ModelGroup) -> None:
    def scores(comparison: Comparison) -> Similarity:
        if any(side.transform is not None and side.transform.name == "orthogonal" for side in (comparison.a,)):
            raise Ungradable("error", "out of order")
        return hurt_by_translation(comparison)

    verdict = make().grade([group], AFFINE, scores)
    assert (verdict.status, verdict.passed) == ("error", None)
    assert verdict.columns["translation"].passed is False


def test_real_pairs_are_those_of_identity_and_correspondence(group: ModelGroup) -> None:
    """So that they cost nothing more where those are asked too."""
    keys = {"models": ["net"]}
    across = Correspondence.model_validate({"id": "c", "kind": "correspondence", "distance": 1, **keys})
    within = Identity.model_validate({"id": "i", "kind": "identity", **keys})
    asked = {comparison for test in (across, within) for comparison in test.expand([group], AT_LAYERS)}
    real = {c for c in make().expand([group], AT_LAYERS) if not is_changed(c.a) and not is_changed(c.b)}
    assert real <= asked
    models, layers = len(group.seeds), len(group.layers)
    assert len(real) == models * layers * (2 * layers - 1)
    assert len(make().expand([group], AT_LAYERS)) == len(real) + models * layers * 2 * 2


def test_an_index_that_finds_changed_copies_less_similar_passes_nothing(group: ModelGroup) -> None:
    verdict = make().grade([group], AFFINE, lambda c: Similarity(graded(c) - 2.0 * is_changed(c.a)))
    assert verdict.grade == 0.0


@pytest.mark.parametrize("step", [0.9, -0.9])
def test_a_similarity_that_rises_is_as_wrong_as_one_that_falls(step: float, group: ModelGroup) -> None:
    def scores(c: Comparison) -> Similarity:  # layers of one model are more similar than models
        return Similarity(graded(c) - 0.15 * (c.a.model != c.b.model) + step * is_changed(c.a))

    verdict = make().grade([group], AFFINE, scores)
    kept = [trial.held for trial in verdict.trials if len(trial.models) == 2]
    assert len(kept) == len(group.seeds) * len(group.layers) * 2
    assert not any(kept)


def test_one_model_is_compared_with_itself_only() -> None:
    alone = ModelGroup("net", (0,), ("block1", "block2"), None)
    test = make(transforms=["orthogonal"])
    assert len(list(test.questions([alone], AT_LAYERS))) == 2
    assert len(test.expand([alone], AT_LAYERS)) == 4
    verdict = test.grade([replace(alone, layers=("block1",))], AT_LAYERS, lambda c: Similarity(1.0))
    assert (verdict.status, verdict.reason) == (
        "skip",
        "invariance found nothing to compare in the models it was given",
    )


def test_each_model_layer_and_transform_has_a_map_of_its_own(group: ModelGroup) -> None:
    sides = {side for c in make().expand([group], AT_LAYERS) for side in (c.a, c.b)}
    maps = [ref.transform for ref in sides if ref.transform is not None]
    assert len({dict(one.parameters)["seed"] for one in maps}) == len(group.seeds) * len(group.layers) * 2


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


def test_the_layer_that_the_head_reads_is_held_against_those_of_all_other_models(group: ModelGroup) -> None:
    """It may be a linear map of the last block, which an index of information holds for the same."""
    test = rewritten(reparametrisations=["head_linear"])

    def of_information(comparison: Comparison) -> Similarity:
        return Similarity(1.0 if comparison.a.model == comparison.b.model else 0.5 + 0.1 * comparison.a.model.seed)

    assert {c.a.layer for c in test.expand([group], AT_LAYERS)} == {"embedding"}
    assert test.grade([group], AFFINE, of_information).grade == 1.0


def test_one_rewritten_model_serves_all_its_layers(group: ModelGroup) -> None:
    changed = {
        (side.model, side.reparametrisation)
        for c in rewritten(reparametrisations=["unit_permutation"]).expand([group], AT_LAYERS)
        for side in (c.a, c.b)
        if side.reparametrisation is not None
    }
    assert len(changed) == len(group.seeds)
