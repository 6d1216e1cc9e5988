"""Layer monotonicity: within a network, similarity falls with the distance of layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup
from simbench.sanity.kinds.layer_monotonicity import LayerMonotonicity
from simbench.sanity.question import Similarity


def make(**keys: Any) -> LayerMonotonicity:
    return LayerMonotonicity.model_validate({"id": "depth", "kind": "layer_monotonicity", "models": ["net"], **keys})


def by_table(table: dict[tuple[int, str, str], float]) -> Callable[[Comparison], Similarity]:
    """Scores by seed, sender and receiver."""
    return lambda c: Similarity(table[c.a.model.seed, c.a.layer, c.b.layer])


def random_table(group: ModelGroup, seed: int, levels: int = 5) -> dict[tuple[int, str, str], float]:
    random = np.random.default_rng(seed)
    return {
        (model.seed, a, b): float(random.integers(levels))
        for model in group.models
        for a in group.layers
        for b in group.layers
    }


def brute_force(group: ModelGroup, table: dict[tuple[int, str, str], float]) -> tuple[float, float]:
    """(share of triples in strict order, mean Spearman correlation of similarity with minus the distance)."""
    held, correlations = [], []
    places = range(len(group.layers))
    for seed in group.seeds:
        for anchor in places:
            score = {i: table[seed, group.layers[i], group.layers[anchor]] for i in places}
            for side in ([i for i in places if i > anchor], [i for i in places if i < anchor]):
                held += [score[i] > score[j] for i in side for j in side if abs(i - anchor) < abs(j - anchor)]
                values = [score[i] for i in side]
                if len(side) > 1 and len(set(values)) > 1:
                    distances = [-abs(i - anchor) for i in side]
                    correlations.append(scipy.stats.spearmanr(values, distances).statistic)
    return float(np.mean(held)), float(np.mean(correlations))


@pytest.mark.parametrize("seed", range(8))
def test_grade_and_auxiliary_values_are_those_of_the_obvious_loops(seed: int, group: ModelGroup) -> None:
    table = random_table(group, seed)
    verdict = make().grade([group], AT_LAYERS, by_table(table))
    grade, correlation = brute_force(group, table)
    assert verdict.grade == pytest.approx(grade)
    assert verdict.auxiliary["mean_spearman"] == pytest.approx(correlation)


def test_every_anchor_has_its_triples_on_both_sides(group: ModelGroup) -> None:
    questions = list(make().questions([group], AT_LAYERS))
    assert len(questions) == 4 * 2 * math.comb(5, 3)
    assert all(near.b == far.b for near, far in (question.comparisons for question in questions))
    assert {question.at for question in questions} == {1.0, 2.0, 3.0}
    assert {question.line for question in questions} == {str(model) for model in group.models}


def test_a_tie_is_a_failure(group: ModelGroup) -> None:
    def near_or_not(comparison: Comparison) -> Similarity:
        gap = abs(group.layers.index(comparison.a.layer) - group.layers.index(comparison.b.layer))
        return Similarity(float(gap < 2))

    verdict = make().grade([group], AT_LAYERS, near_or_not)
    tied = sum(q.at is not None and "block1: block3 against" in q.where for q in make().questions([group], AT_LAYERS))
    assert tied
    assert verdict.grade is not None
    assert 0 < verdict.grade < 1


def test_layers_are_in_the_order_of_the_network_whatever_the_order_in_the_suite(group: ModelGroup) -> None:
    table = random_table(group, 0)
    chosen = ["block5", "block1", "block3"]
    verdict = make(layers=chosen).grade([group], AT_LAYERS, by_table(table))
    three = replace(group, layers=("block1", "block3", "block5"))
    assert verdict.grade == pytest.approx(brute_force(three, table)[0])


def test_a_constant_index_has_no_correlation_to_show(group: ModelGroup) -> None:
    verdict = make().grade([group], AT_LAYERS, lambda comparison: Similarity(0.7))
    assert (verdict.grade, dict(verdict.auxiliary)) == (0.0, {})


@pytest.mark.parametrize("count", [1, 2])
def test_two_layers_have_no_order(count: int) -> None:
    few = ModelGroup("net", (0, 1), ("block1", "block2")[:count], None)
    assert make().grade([few], AT_LAYERS, lambda comparison: Similarity(1.0)).status == "skip"


def test_a_metric_of_the_head_has_no_layers_to_order(group: ModelGroup) -> None:
    verdict = make().grade([group], AT_HEAD, lambda comparison: Similarity(1.0))
    assert (verdict.status, verdict.passed) == ("skip", None)
