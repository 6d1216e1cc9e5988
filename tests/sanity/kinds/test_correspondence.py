"""Correspondence: across seeds, a layer's counterpart beats layers far from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup, RepresentationRef
from simbench.sanity.kinds.correspondence import Correspondence
from simbench.sanity.question import Similarity, Ungradable
from simbench.sanity.selection import paired


def make(distance: int = 2, pairs: str = "ring", claim: str = "distant") -> Correspondence:
    keys = {"distance": distance, "pairs": pairs, "claim": claim}
    return Correspondence.model_validate({"id": "across", "kind": "correspondence", "models": ["net"], **keys})


def by_table(table: dict[Comparison, float]) -> Callable[[Comparison], Similarity]:
    return lambda comparison: Similarity(table[comparison])


def random_table(test: Correspondence, group: ModelGroup, seed: int, levels: int) -> dict[Comparison, float]:
    random = np.random.default_rng(seed)
    return {comparison: float(random.integers(levels)) for comparison in test.expand([group], AT_LAYERS)}


def model_pairs(group: ModelGroup, pairs: str) -> list[tuple[int, int]]:
    count = len(group.seeds)
    if pairs == "all":
        return list(combinations(range(count), 2))
    return [(position, (position + 1) % count) for position in range(count)]


def brute_force(group: ModelGroup, table: dict[Comparison, float], distance: int, pairs: str) -> tuple[float, float]:
    """(grade, share of columns with a strict maximum at the corresponding layer)."""
    held, hits = [], []
    for first, second in model_pairs(group, pairs):
        grid = np.array(
            [
                [
                    table[
                        Comparison(
                            RepresentationRef(group.models[first], sender),
                            RepresentationRef(group.models[second], receiver),
                        )
                    ]
                    for receiver in group.layers
                ]
                for sender in group.layers
            ]
        )
        for j in range(len(group.layers)):
            held += [grid[j, j] > grid[i, j] for i in range(len(group.layers)) if abs(i - j) >= distance]
            hits.append(sum(grid[:, j] >= grid[j, j]) == 1)
    return float(np.mean(held)), float(np.mean(hits))


@pytest.mark.parametrize("pairs", ["ring", "all"])
@pytest.mark.parametrize("distance", [1, 2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_the_grade_is_the_share_of_triples_in_the_right_order(
    seed: int, distance: int, pairs: str, group: ModelGroup
) -> None:
    test = make(distance, pairs)
    table = random_table(test, group, seed, levels=6)
    verdict = test.grade([group], AT_LAYERS, by_table(table))
    grade, arg_max = brute_force(group, table, distance, pairs)
    assert verdict.grade == pytest.approx(grade)
    assert verdict.auxiliary["column_arg_max"] == pytest.approx(arg_max)


@pytest.mark.parametrize("pairs", ["ring", "all"])
@pytest.mark.parametrize("seed", range(5))
def test_the_arg_max_over_all_layers_is_graded_where_that_is_claimed(seed: int, pairs: str, group: ModelGroup) -> None:
    test = make(pairs=pairs, claim="arg_max")
    table = random_table(test, group, seed, levels=6)
    verdict = test.grade([group], AT_LAYERS, by_table(table))
    assert verdict.grade == pytest.approx(brute_force(group, table, 1, pairs)[1])
    assert verdict.auxiliary == {"column_arg_max": pytest.approx(verdict.grade)}
    assert len(verdict.trials) == len(model_pairs(group, pairs)) * len(group.layers)


@pytest.mark.parametrize("claim", ["distant", "arg_max"])
def test_a_directed_metric_is_asked_among_senders_and_among_receivers(claim: str, group: ModelGroup) -> None:
    """The last layer receives well from any layer, and all layers receive best from their counterpart."""

    def scores(comparison: Comparison) -> Similarity:
        own = comparison.a.layer == comparison.b.layer
        return Similarity(own + 2.0 * (comparison.b.layer == "block5"))

    directed = replace(AT_LAYERS, symmetric=False)
    test = make(claim=claim, distance=1)
    columns = test.grade([group], directed, scores).columns
    # of five layers, four are beaten by one, the last, among four receivers
    as_receiver = 0.2 if claim == "arg_max" else 0.8
    assert {name: column.grade for name, column in columns.items()} == {"as sender": 1.0, "as receiver": as_receiver}
    assert set(test.expand([group], directed)) == set(test.expand([group], AT_LAYERS))


@pytest.mark.parametrize("claim", ["distant", "arg_max"])
def test_what_is_no_more_similar_than_shuffled_rows_has_no_answer(claim: str, group: ModelGroup) -> None:
    """Into the first layer nothing is seen; elsewhere the counterpart is seen, and nothing else is needed."""

    def scores(comparison: Comparison) -> Similarity:
        if comparison.b.layer == "block1" and comparison.a != comparison.b:
            return Similarity(0.1)
        shuffled = comparison.a.transform is not None
        return Similarity(0.1 if shuffled or comparison.a.layer != comparison.b.layer else 1.0)

    pairs = replace(AT_LAYERS, pairs_inputs=True)
    verdict = make(claim=claim, distance=1).grade([group], pairs, scores)
    assert (verdict.status, verdict.grade) == ("ok", 1.0)
    assert verdict.auxiliary["at_null_level"] == pytest.approx(0.2)
    assert verdict.interval is not None
    assert verdict.interval[0] < 0.8


def test_a_network_of_one_layer_has_no_arg_max(group: ModelGroup) -> None:
    verdict = make(claim="arg_max").grade([replace(group, layers=("only",))], AT_LAYERS, lambda c: Similarity(1.0))
    assert (verdict.status, verdict.reason) == (
        "skip",
        "correspondence needs two seeds of a network with layers that are 1 or more apart",
    )


@pytest.mark.parametrize(("pairs", "count"), [("ring", 4), ("all", 6)])
def test_every_ordered_layer_pair_is_compared_for_each_pair_of_models(
    pairs: str, count: int, group: ModelGroup
) -> None:
    comparisons = make(pairs=pairs).expand([group], AT_LAYERS)
    assert len(comparisons) == count * len(group.layers) ** 2
    assert all(comparison.a.model != comparison.b.model for comparison in comparisons)


@pytest.mark.parametrize(
    ("count", "pairing", "expected"), [(2, "ring", 1), (2, "all", 1), (3, "ring", 3), (5, "all", 10)]
)
def test_pairs_of_models_are_counted_once(count: int, pairing: str, expected: int) -> None:
    found = paired(range(count), pairing)
    assert len({frozenset(pair) for pair in found}) == len(found) == expected


def test_in_a_ring_every_model_sends_once_and_receives_once() -> None:
    found = paired(range(5), "ring")
    assert sorted(first for first, _ in found) == sorted(second for _, second in found) == list(range(5))


def test_layers_nearer_than_the_distance_are_not_asked_about(group: ModelGroup) -> None:
    def near_layers_win(comparison: Comparison) -> Similarity:
        gap = abs(group.layers.index(comparison.a.layer) - group.layers.index(comparison.b.layer))
        return Similarity(2.0 if gap == 1 else 1.0 if gap == 0 else 0.0)

    assert make(distance=2).grade([group], AT_LAYERS, near_layers_win).grade == 1.0
    assert make(distance=1).grade([group], AT_LAYERS, near_layers_win).grade < 1.0


def test_one_model_has_no_counterpart() -> None:
    verdict = make().grade([ModelGroup("net", (0,), ("a", "b", "c"), None)], AT_LAYERS, lambda c: Similarity(1.0))
    assert verdict.status == "skip"


def test_a_network_shallower_than_the_distance_asks_nothing(group: ModelGroup) -> None:
    verdict = make(distance=5).grade([group], AT_LAYERS, lambda c: Similarity(1.0))
    assert (verdict.status, verdict.reason) == (
        "skip",
        "correspondence needs two seeds of a network with layers that are 5 or more apart",
    )
    assert make(distance=5).expand([group], AT_LAYERS) == ()


def test_a_metric_of_the_head_has_no_layers_to_compare(group: ModelGroup) -> None:
    verdict = make().grade([group], AT_HEAD, lambda c: Similarity(1.0))
    assert (verdict.status, verdict.passed) == ("skip", None)
    assert verdict.reason == "correspondence compares layers; this metric is defined at the head only"
    assert make().expand([group], AT_HEAD) == ()


def test_networks_of_different_groups_are_not_compared(group: ModelGroup) -> None:
    other = ModelGroup("other", (0, 1), group.layers, None)
    assert {(c.a.model.group, c.b.model.group) for c in make().expand([group, other], AT_LAYERS)} == {
        ("net", "net"),
        ("other", "other"),
    }


def test_auxiliary_values_use_whole_columns_only(group: ModelGroup) -> None:
    def scores(comparison: Comparison) -> Similarity:
        gap = abs(group.layers.index(comparison.a.layer) - group.layers.index(comparison.b.layer))
        if gap == 1 and comparison.b.layer == "block1":
            raise Ungradable("error", "no question needs this score")
        return Similarity(-float(gap))

    verdict = make(distance=2).grade([group], AT_LAYERS, scores)
    assert (verdict.status, verdict.grade, verdict.reason) == ("ok", 1.0, None)
    assert verdict.auxiliary == {"column_arg_max": 1.0}


@given(
    st.integers(0, 10**6),
    st.lists(st.integers(-(10**6), 10**6), min_size=6, max_size=6, unique=True).map(sorted),
)
def test_a_monotone_transformation_of_an_index_changes_no_grade(seed: int, images: list[int]) -> None:
    group = ModelGroup("net", (0, 1, 2), ("block1", "block2", "block3", "block4"), None)
    table = random_table(make(), group, seed, levels=6)
    transformed = {comparison: float(images[int(value)]) for comparison, value in table.items()}
    before, after = (make().grade([group], AT_LAYERS, by_table(scores)) for scores in (table, transformed))
    assert (before.grade, before.interval, before.auxiliary) == (after.grade, after.interval, after.auxiliary)
