"""Component deletion: the more a layer loses of what can be read from it, the less similar it is to itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup, Named
from simbench.sanity.kind import Similarity
from simbench.sanity.kinds.component_deletion import ComponentDeletion


def make(**keys: Any) -> ComponentDeletion:
    return ComponentDeletion.model_validate({"id": "deletion", "kind": "component_deletion", "models": ["net"], **keys})


def kept(comparison: Comparison) -> float | None:
    """The share of components that is kept; None for a pair of seeds."""
    transform = comparison.a.transform
    return None if transform is None else float(dict(transform.parameters)["share"])


class World:
    """Random similarities and losses, by seed, layer and share; what a pair of seeds has in common is `level`."""

    def __init__(self, seed: int, level: float = 0.5) -> None:
        self.random, self.level = np.random.default_rng(seed), level
        self.known: dict[tuple[Comparison, bool], float] = {}

    def __call__(self, comparison: Comparison, variable: Named | None = None) -> Similarity:
        if kept(comparison) is None:
            return Similarity(self.level)
        return Similarity(self.known.setdefault((comparison, variable is None), float(self.random.random())))


@pytest.mark.parametrize("seed", range(5))
def test_the_grade_is_the_mean_correlation_along_the_ladder(seed: int, group: ModelGroup) -> None:
    world, test = World(seed), make(layers=2)
    verdict = test.grade([group], AT_LAYERS, world)
    curves: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for (comparison, is_score), value in world.known.items():
        if is_score:
            loss = world.known[comparison, False]
            curves.setdefault((comparison.b.model.seed, comparison.b.layer), []).append((-value, loss))
    assert len(curves) == 8
    rho, tau = (
        np.mean([correlation(*zip(*points, strict=True)).statistic for points in curves.values()])
        for correlation in (scipy.stats.spearmanr, scipy.stats.kendalltau)
    )
    assert verdict.auxiliary["spearman"] == pytest.approx(rho)
    assert verdict.auxiliary["kendall"] == pytest.approx(tau)
    assert verdict.grade == pytest.approx(max(0.0, rho))


def test_the_whole_layer_receives_what_is_left_of_it(group: ModelGroup) -> None:
    test = make(kept=[0.5, 1.0, 0.1, 0.5])
    for question in test.questions([group], AT_LAYERS):
        (compared,) = question.comparisons
        assert compared.a == compared.b.under(Named.of("top_components", share=kept(compared), seed=0))
        assert question.reference_variables == ((Named.of("probe_accuracy_difference"), compared),)
    first = [kept(question.comparisons[0]) for question in test.questions([group], AT_LAYERS)][:3]
    assert first == [1.0, 0.5, 0.1]


def test_the_last_layer_is_tested_unless_others_are_named_and_the_head_has_its_own(group: ModelGroup) -> None:
    assert {c.b.layer for c in make().expand([group], AT_LAYERS)} == {"block5"}
    assert {c.b.layer for c in make(layers=["block2"]).expand([group], AT_LAYERS)} == {"block2"}
    assert {c.b.layer for c in make().expand([group], AT_HEAD)} == {"embedding"}


def falling(level: float) -> Any:
    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        share = kept(comparison)
        return Similarity(level if share is None else share if variable is None else 1 - share)

    return scores


@pytest.mark.parametrize(
    ("level", "beyond", "first"), [(0.6, 1.0, 0.5), (0.75, 1.0, 0.5), (0.02, 0.0, None), (0.03, 1.0, 0.02)]
)
def test_auxiliary_values_say_where_deletion_exceeds_the_level_of_seeds(
    level: float, beyond: float, first: float | None, group: ModelGroup
) -> None:
    auxiliary = make().grade([group], AT_LAYERS, falling(level)).auxiliary
    assert auxiliary["beyond_seed_level"] == beyond
    assert auxiliary.get("kept_at_seed_level") == first


def test_the_auxiliary_value_of_several_curves_is_the_median(group: ModelGroup) -> None:
    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        share = kept(comparison)
        return Similarity(
            0.5 if share is None else share ** (1 + comparison.b.model.seed) * (1 if variable is None else -1)
        )

    # the first shares whose powers are below 0.5: 0.35, 0.5, 0.75, 0.75
    assert make().grade([group], AT_LAYERS, scores).auxiliary["kept_at_seed_level"] == 0.625


def test_one_seed_has_a_grade_and_no_level_of_seeds(group: ModelGroup) -> None:
    verdict = make().grade([replace(group, seeds=(0,))], AT_LAYERS, falling(0.5))
    assert (verdict.status, verdict.grade, verdict.interval) == ("ok", 1.0, (0.0, 1.0))
    assert set(verdict.auxiliary) == {"spearman", "kendall"}


def test_a_probe_that_loses_nothing_is_a_reason_to_skip(group: ModelGroup) -> None:
    def nothing_lost(comparison: Comparison, variable: Named | None = None) -> Similarity:
        return Similarity(0.0) if variable is not None else falling(0.5)(comparison)

    verdict = make().grade([group], AT_LAYERS, nothing_lost)
    assert (verdict.status, verdict.passed) == ("skip", None)
    assert verdict.reason is not None
    assert "as accurate whatever is deleted" in verdict.reason


def test_the_interval_is_over_models(group: ModelGroup) -> None:
    verdict = make(layers=3).grade([group], AT_LAYERS, World(3))
    assert verdict.interval is not None
    assert {trial.models for trial in verdict.trials} == {(f"net/{seed}",) for seed in group.seeds}
