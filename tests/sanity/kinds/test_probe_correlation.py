"""Probe correlation: across layers and seeds, what less alike can be read from is less similar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kinds.probe_correlation import ProbeCorrelation
from simbench.sanity.question import Similarity


def make(**keys: Any) -> ProbeCorrelation:
    return ProbeCorrelation.model_validate({"id": "depth", "kind": "probe_correlation", "models": ["net"], **keys})


class World:
    """A random probe accuracy per representation, and random similarities of ordered pairs."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.accuracy: dict[RepresentationRef, float] = {}
        self.similarity: dict[Comparison, float] = {}

    def __call__(self, comparison: Comparison, variable: Named | None = None) -> Similarity:
        if variable is None:
            return Similarity(self.similarity.setdefault(comparison, float(self.random.random())))
        assert variable == Named.of("probe_accuracy_difference")
        a, b = (self.accuracy.setdefault(side, float(self.random.random())) for side in (comparison.a, comparison.b))
        return Similarity(abs(a - b))


@pytest.mark.parametrize("seed", range(5))
def test_the_grade_is_the_mean_correlation_over_references(seed: int, group: ModelGroup) -> None:
    world = World(seed)
    verdict = make(layers=2).grade([group], AT_LAYERS, world)
    references = list(world.accuracy)
    assert len(references) == 4 * 2
    depth = {layer: place for place, layer in enumerate(group.layers)}
    rho, tau, partial = [], [], []
    for reference in references:
        others = [other for other in references if other != reference]
        distances = [-world.similarity[Comparison(other, reference)] for other in others]
        differences = [abs(world.accuracy[other] - world.accuracy[reference]) for other in others]
        rho.append(scipy.stats.spearmanr(distances, differences).statistic)
        tau.append(scipy.stats.kendalltau(distances, differences).statistic)
        apart = [abs(depth[other.layer] - depth[reference.layer]) for other in others]
        with_x, with_y = (scipy.stats.spearmanr(side, apart).statistic for side in (distances, differences))
        partial.append((rho[-1] - with_x * with_y) / np.sqrt((1 - with_x**2) * (1 - with_y**2)))
    assert verdict.auxiliary["spearman"] == pytest.approx(np.mean(rho))
    assert verdict.auxiliary["kendall"] == pytest.approx(np.mean(tau))
    assert verdict.grade == pytest.approx(max(0.0, np.mean(partial)))
    assert len(verdict.trials) == 8 * 7


def test_depth_alone_has_no_grade(group: ModelGroup) -> None:
    """Probes that improve with depth, and an index that knows nothing but how far apart two layers are."""
    random = np.random.default_rng(0)
    improvement = {f"net/{seed} {layer}": 0.3 * random.random() for seed in group.seeds for layer in group.layers}

    def by_depth(comparison: Comparison, variable: Named | None = None) -> Similarity:
        apart = [group.layers.index(side.layer) + improvement[str(side)] for side in (comparison.a, comparison.b)]
        return Similarity(abs(apart[0] - apart[1]) if variable is not None else -abs(round(apart[0]) - round(apart[1])))

    verdict = make().grade([group], AT_LAYERS, by_depth)
    assert verdict.auxiliary["spearman"] > 0.9
    assert verdict.grade == 0.0


def test_the_reference_receives_from_all_layers_of_all_models_but_itself(group: ModelGroup) -> None:
    by_reference: dict[str, set[RepresentationRef]] = {}
    for question in make().questions([group], AT_LAYERS):
        (compared,) = question.comparisons
        assert question.line == str(compared.b)
        assert question.reference_variables == ((Named.of("probe_accuracy_difference"), compared),)
        by_reference.setdefault(question.line, set()).add(compared.a)
    assert len(by_reference) == 4 * 5
    assert all(len(others) == 19 and line not in map(str, others) for line, others in by_reference.items())


def test_at_the_head_only_seeds_vary(group: ModelGroup) -> None:
    assert {c.b.layer for c in make().expand([group], AT_HEAD)} == {"embedding"}
    assert len(make().expand([group], AT_HEAD)) == 4 * 3


def test_probes_that_are_all_as_accurate_are_a_reason_to_skip(group: ModelGroup) -> None:
    def all_alike(comparison: Comparison, variable: Named | None = None) -> Similarity:
        return Similarity(0.0 if variable is not None else 1.0 / (1 + comparison.a.model.seed))

    verdict = make().grade([group], AT_LAYERS, all_alike)
    assert (verdict.status, verdict.passed) == ("skip", None)
    assert verdict.reason is not None
    assert "differ from that of net/0 block1 by 0: nothing to correlate with" in verdict.reason


def test_the_layers_of_one_model_are_compared_but_one_representation_is_nothing_to_ask(group: ModelGroup) -> None:
    alone = replace(group, seeds=(0,))
    assert make().grade([alone], AT_LAYERS, World(0)).status == "ok"
    verdict = make(layers=["block2"]).grade([alone], AT_LAYERS, World(0))
    assert (verdict.status, verdict.grade) == ("skip", None)


def test_the_interval_is_over_models(group: ModelGroup) -> None:
    verdict = make(layers=3).grade([group], AT_LAYERS, World(3))
    assert verdict.interval is not None
    assert {model for trial in verdict.trials for model in trial.models} == {f"net/{seed}" for seed in group.seeds}
