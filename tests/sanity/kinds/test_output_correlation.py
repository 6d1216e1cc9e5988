"""Output correlation: models that behave differently are less similar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import scipy.stats
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup, Named
from simbench.sanity.kinds.output_correlation import OutputCorrelation
from simbench.sanity.question import Similarity

VARIABLES = ("accuracy_difference", "jensen_shannon", "disagreement")
SYMMETRIC = replace(AT_LAYERS, symmetric=True)
DIRECTED = replace(AT_LAYERS, symmetric=False)


def make(**keys: Any) -> OutputCorrelation:
    return OutputCorrelation.model_validate({"id": "outputs", "kind": "output_correlation", "models": ["net"], **keys})


def ten(group: ModelGroup) -> ModelGroup:
    return replace(group, seeds=tuple(range(10)))


class World:
    """Models in random places, others for each variable: their outputs differ by how far apart they are."""

    def __init__(self, seed: int, alike: float = 0.0) -> None:
        random = np.random.default_rng(seed)
        own = random.normal(size=(20, 3))
        self.similarity = -self._distances(own)
        others = random.normal(size=(len(VARIABLES), 20, 3))
        self.variables = {
            name: self._distances(alike * own + (1 - alike) * one) for name, one in zip(VARIABLES, others, strict=True)
        }

    @staticmethod
    def _distances(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points[:, None] - points[None], axis=2)

    def __call__(self, comparison: Comparison, variable: Named | None = None) -> Similarity:
        table = self.similarity if variable is None else self.variables[variable.name]
        return Similarity(float(table[comparison.a.model.seed, comparison.b.model.seed]))

    def expected(self, count: int, correlation: Callable[..., Any]) -> dict[str, float]:
        above = list(combinations(range(count), 2))
        margin = [-self.similarity[pair] for pair in above]
        return {
            name: correlation(margin, [variable[pair] for pair in above]).statistic
            for name, variable in self.variables.items()
        }


@pytest.mark.parametrize("seed", range(6))
def test_a_column_is_the_rank_correlation_with_a_variable_and_the_test_their_mean(seed: int, group: ModelGroup) -> None:
    world = World(seed, alike=0.3)
    verdict = make().grade([ten(group)], SYMMETRIC, world)
    rho, tau = world.expected(10, scipy.stats.spearmanr), world.expected(10, scipy.stats.kendalltau)
    assert list(verdict.columns) == list(VARIABLES)
    for name, column in verdict.columns.items():
        assert column.grade == pytest.approx(max(0.0, rho[name]))
        assert column.auxiliary["spearman"] == pytest.approx(rho[name])
        assert column.auxiliary["kendall"] == pytest.approx(tau[name])
        assert 0 < column.auxiliary["p_value"] <= 1
    assert verdict.grade == pytest.approx(max(0.0, np.mean(list(rho.values()))))
    assert verdict.auxiliary["kendall"] == pytest.approx(np.mean(list(tau.values())))


def test_what_moves_with_the_outputs_is_significant_and_what_does_not_is_not(group: ModelGroup) -> None:
    same = make().grade([ten(group)], SYMMETRIC, World(0, alike=1.0))
    assert (same.grade, same.passed, same.auxiliary["p_value"]) == (1.0, True, 0.001)
    chance = [make().grade([ten(group)], SYMMETRIC, World(seed)).auxiliary["p_value"] for seed in range(40)]
    assert 0.3 < np.mean(chance) < 0.7


@pytest.mark.parametrize(("metric", "count"), [(SYMMETRIC, 45), (DIRECTED, 90)])
def test_directed_metrics_are_compared_both_ways(metric: Any, count: int, group: ModelGroup) -> None:
    test = make()
    assert len(test.expand([ten(group)], metric)) == count
    assert test.grade([ten(group)], metric, World(0, alike=0.3)).grade == pytest.approx(
        test.grade([ten(group)], SYMMETRIC, World(0, alike=0.3)).grade
    )


def test_variables_are_asked_where_the_head_reads_or_else_at_the_last_layer(group: ModelGroup) -> None:
    for asked, layer in ((group, "embedding"), (replace(group, embedding_layer=None), "block5")):
        pairs = next(iter(make(layers=["block2"]).reference_variables([asked], SYMMETRIC).values()))
        assert {side.layer for pair in pairs for side in (pair.a, pair.b)} == {layer}


def test_at_the_head_the_layer_that_it_reads_is_compared(group: ModelGroup) -> None:
    assert {pair.a.layer for pair in make().expand([group], AT_HEAD)} == {"embedding"}


def test_variables_are_asked_once_however_many_layers(group: ModelGroup) -> None:
    one, all_layers = (
        make().reference_variables([group], SYMMETRIC),
        make(layers=5).reference_variables([group], SYMMETRIC),
    )
    assert one == all_layers
    assert [variable.name for variable in one] == list(VARIABLES)
    assert all(len(comparisons) == 6 for comparisons in one.values())
    headless = replace(group, embedding_layer=None)
    assert {c.a.layer for found in make().reference_variables([headless], SYMMETRIC).values() for c in found} == {
        "block5"
    }


def test_the_last_layer_is_compared_unless_others_are_named_and_the_head_has_its_own(group: ModelGroup) -> None:
    def layers(test: OutputCorrelation, metric: Any = SYMMETRIC) -> set[str]:
        return {comparison.a.layer for comparison in test.expand([group], metric)}

    assert layers(make()) == {"block5"}
    assert layers(make(layers=["block1", "block3"])) == {"block1", "block3"}
    assert layers(make(layers=["block1"]), AT_HEAD) == {"embedding"}


def test_several_layers_are_averaged(group: ModelGroup) -> None:
    forth, back = World(0, alike=0.5), World(0, alike=0.5)
    back.similarity = -back.similarity

    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        return (forth if comparison.a.layer == "block1" else back)(comparison, variable)

    verdict = make(layers=["block1", "block2"]).grade([ten(group)], SYMMETRIC, scores)
    assert verdict.auxiliary["spearman"] == pytest.approx(0.0, abs=1e-12)


def test_a_variable_that_does_not_vary_is_a_reason_to_skip(group: ModelGroup) -> None:
    world = World(0, alike=0.5)
    world.variables["accuracy_difference"][:] = 0.0
    verdict = make().grade([ten(group)], SYMMETRIC, world)
    assert (verdict.status, verdict.passed) == ("skip", None)
    assert verdict.reason == "accuracy_difference is 0 for every pair of net block5: nothing to correlate with"
    assert [column.status for column in verdict.columns.values()] == ["skip", "ok", "ok"]


def test_an_observation_lies_at_what_was_measured_of_the_outputs(group: ModelGroup) -> None:
    world = World(0)
    verdict = make(against=["disagreement"]).grade([group], SYMMETRIC, world)
    points = {(trial.margin, trial.at) for trial in verdict.trials}
    assert points == {
        (world.similarity[i, j], world.variables["disagreement"][i, j]) for i, j in combinations(range(4), 2)
    }
    assert all(trial.held is None for trial in verdict.trials)


def test_one_model_has_no_pairs(group: ModelGroup) -> None:
    assert make().grade([replace(group, seeds=(0,))], SYMMETRIC, World(0)).status == "skip"
