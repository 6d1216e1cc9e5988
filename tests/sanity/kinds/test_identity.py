"""Identity: nothing is more similar to a layer than the layer itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup, RepresentationRef
from simbench.sanity.kinds.identity import Identity
from simbench.sanity.question import Similarity, Ungradable

TEST = Identity(id="identity", kind="identity", models=["net"])


def by_table(table: dict[Comparison, float]) -> Callable[[Comparison], Similarity]:
    return lambda comparison: Similarity(table[comparison])


def random_table(group: ModelGroup, seed: int, levels: int = 4) -> dict[Comparison, float]:
    """Scores of all comparisons, out of few values so that there are ties."""
    random = np.random.default_rng(seed)
    return {comparison: float(random.integers(levels)) for comparison in TEST.expand([group], AT_LAYERS)}


def brute_force(group: ModelGroup, table: dict[Comparison, float]) -> float:
    held = []
    for model in group.models:
        for receiver in group.layers:
            column = {
                sender: table[Comparison(RepresentationRef(model, sender), RepresentationRef(model, receiver))]
                for sender in group.layers
            }
            held.append(sum(value >= column[receiver] for value in column.values()) == 1)
    return sum(held) / len(held)


@pytest.mark.parametrize("seed", range(20))
def test_the_grade_is_the_share_of_columns_with_a_strict_maximum_on_the_diagonal(seed: int, group: ModelGroup) -> None:
    table = random_table(group, seed, levels=20)
    assert TEST.grade([group], AT_LAYERS, by_table(table)).grade == brute_force(group, table)


def test_a_directed_metric_is_asked_among_senders_and_among_receivers(group: ModelGroup) -> None:
    """The first layer sends well into every layer; every layer receives best from itself."""

    def from_first(comparison: Comparison) -> Similarity:
        own = comparison.a == comparison.b
        return Similarity(1.0 - 0.2 * (comparison.b.layer != "block1") if own else 0.9 if own_first(comparison) else 0)

    def own_first(comparison: Comparison) -> bool:
        return comparison.b.layer == "block1"

    directed = replace(AT_LAYERS, symmetric=False)
    verdict = TEST.grade([group], directed, from_first)
    assert {name: column.grade for name, column in verdict.columns.items()} == {"as sender": 1.0, "as receiver": 0.2}
    assert verdict.passed is False
    assert set(TEST.expand([group], directed)) == set(TEST.expand([group], AT_LAYERS))
    assert TEST.grade([group], AT_LAYERS, from_first).columns == {}


def test_every_ordered_pair_of_layers_is_compared_within_each_model(group: ModelGroup) -> None:
    comparisons = TEST.expand([group], AT_LAYERS)
    assert len(comparisons) == len(group.seeds) * len(group.layers) ** 2
    assert all(comparison.a.model == comparison.b.model for comparison in comparisons)


def test_at_the_head_every_ordered_pair_of_models_is_compared(group: ModelGroup) -> None:
    comparisons = TEST.expand([group], AT_HEAD)
    assert len(comparisons) == len(group.seeds) ** 2
    assert {side.layer for comparison in comparisons for side in (comparison.a, comparison.b)} == {"embedding"}


def test_a_network_of_one_layer_asks_nothing() -> None:
    assert TEST.expand([ModelGroup("net", (0, 1), ("only",), None)], AT_LAYERS) == ()


def test_groups_are_not_mixed(group: ModelGroup) -> None:
    other = ModelGroup("other", (0,), ("block1", "block2"), None)
    comparisons = TEST.expand([group, other], AT_LAYERS)
    assert len(comparisons) == len(group.seeds) * len(group.layers) ** 2 + 4
    assert all(comparison.a.model == comparison.b.model for comparison in comparisons)


def test_one_better_sender_is_enough_to_fail_a_receiver(group: ModelGroup) -> None:
    table = {comparison: float(comparison.a == comparison.b) for comparison in TEST.expand([group], AT_LAYERS)}
    model = group.models[0]
    better = Comparison(RepresentationRef(model, "block5"), RepresentationRef(model, "block1"))
    table[better] = 1.5
    verdict = TEST.grade([group], AT_LAYERS, by_table(table))
    assert verdict.grade == 19 / 20
    assert [(violation.where, violation.margin) for violation in verdict.violations] == [("net/0 block1", -0.5)]


def test_a_tie_is_broken_by_the_tie_break_in_either_direction(group: ModelGroup) -> None:
    for sign, grade in ((1.0, 1.0), (-1.0, 0.0)):
        verdict = TEST.grade(
            [group], AT_LAYERS, lambda c, sign=sign: Similarity(0.9, tiebreak=sign * float(c.a == c.b))
        )
        assert verdict.grade == grade


def test_a_tie_break_on_one_side_only_breaks_no_tie(group: ModelGroup) -> None:
    verdict = TEST.grade([group], AT_LAYERS, lambda c: Similarity(0.9, tiebreak=1.0) if c.a == c.b else Similarity(0.9))
    assert verdict.grade == 0.0


def test_an_equal_tie_break_breaks_no_tie() -> None:
    assert not Similarity(0.9, tiebreak=1.0).above(Similarity(0.9, tiebreak=1.0))


def test_a_tie_break_never_outweighs_the_value() -> None:
    assert Similarity(0.9, tiebreak=-5.0).above(Similarity(0.8, tiebreak=5.0))
    assert not Similarity(0.8, tiebreak=5.0).above(Similarity(0.9, tiebreak=-5.0))


@pytest.mark.parametrize(("others", "within"), [(0.90, 1.0), (0.92, 1.0), (0.93, 0.0)])
def test_within_one_standard_error_forgives_what_the_standard_error_of_self_explains(
    others: float, within: float, group: ModelGroup
) -> None:
    verdict = TEST.grade(
        [group], AT_LAYERS, lambda c: Similarity(0.9, standard_error=0.025) if c.a == c.b else Similarity(others)
    )
    assert verdict.auxiliary["within_one_standard_error"] == within


def test_the_mean_rank_of_self_counts_ties_against_it(group: ModelGroup) -> None:
    def rank_of(own: float, other: float) -> float:
        verdict = TEST.grade([group], AT_LAYERS, lambda c: Similarity(own if c.a == c.b else other))
        return verdict.auxiliary["mean_rank_of_self"]

    assert rank_of(1.0, 0.0) == 1.0
    assert rank_of(1.0, 1.0) == 5.0


def test_auxiliary_values_use_only_what_was_scored(group: ModelGroup) -> None:
    def scores(comparison: Comparison) -> Similarity:
        if comparison.b.layer == "block1":
            raise Ungradable("skip", "no")
        return Similarity(float(comparison.a == comparison.b))

    verdict = TEST.grade([group], AT_LAYERS, scores)
    assert verdict.auxiliary == {"within_one_standard_error": 1.0, "mean_rank_of_self": 1.0}


@given(
    st.integers(0, 10**6),
    st.lists(st.integers(-(10**6), 10**6), min_size=6, max_size=6, unique=True).map(sorted),
)
def test_a_monotone_transformation_of_an_index_changes_no_grade(seed: int, images: list[int]) -> None:
    group = ModelGroup("net", (0, 1, 2), ("block1", "block2", "block3", "block4"), None)
    table = random_table(group, seed, levels=6)
    transformed = {comparison: float(images[int(value)]) for comparison, value in table.items()}
    before, after = (TEST.grade([group], AT_LAYERS, by_table(scores)) for scores in (table, transformed))
    assert (before.grade, before.interval, before.passed) == (after.grade, after.interval, after.passed)


def test_only_the_chosen_layers_are_compared(group: ModelGroup) -> None:
    test = Identity(id="t", kind="identity", models=["net"], layers=["block1", "block3"])
    compared = {(comparison.a.layer, comparison.b.layer) for comparison in test.comparisons([group], AT_LAYERS)}
    assert compared == {(a, b) for a in ("block1", "block3") for b in ("block1", "block3")}
