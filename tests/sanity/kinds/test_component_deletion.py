"""Component deletion: the more a layer loses of what can be read from it, the less similar it is to other seeds'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup, Named
from simbench.sanity.kinds.component_deletion import ComponentDeletion
from simbench.sanity.question import Similarity


def make(**keys: Any) -> ComponentDeletion:
    return ComponentDeletion.model_validate({"id": "deletion", "kind": "component_deletion", "models": ["net"], **keys})


def kept(comparison: Comparison) -> float:
    """The share of components that is kept."""
    transform = comparison.a.transform
    assert transform is not None
    return float(dict(transform.parameters)["share"])


class World:
    """Random similarities and differences of probes, by pair of seeds, layer and share."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.known: dict[tuple[Comparison, bool], float] = {}

    def __call__(self, comparison: Comparison, variable: Named | None = None) -> Similarity:
        return Similarity(self.known.setdefault((comparison, variable is None), float(self.random.random())))


@pytest.mark.parametrize("seed", range(5))
def test_the_grade_is_the_mean_over_references_of_the_correlation_over_seeds_and_shares(
    seed: int, group: ModelGroup
) -> None:
    world, test = World(seed), make(layers=2)
    verdict = test.grade([group], AT_LAYERS, world)
    curves: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for (comparison, is_score), value in world.known.items():
        if is_score:
            difference = world.known[comparison, False]
            curves.setdefault((comparison.b.model.seed, comparison.b.layer), []).append((-value, difference))
    assert [len(points) for points in curves.values()] == [3 * 9] * 8
    rho, tau = (
        np.mean([correlation(*zip(*points, strict=True)).statistic for points in curves.values()])
        for correlation in (scipy.stats.spearmanr, scipy.stats.kendalltau)
    )
    assert verdict.auxiliary["spearman"] == pytest.approx(rho)
    assert verdict.auxiliary["kendall"] == pytest.approx(tau)
    assert verdict.grade == pytest.approx(max(0.0, rho))


def test_a_whole_layer_receives_what_is_left_of_the_same_layer_of_other_seeds(group: ModelGroup) -> None:
    test = make(kept=[0.5, 1.0, 0.1, 0.5])
    questions = list(test.questions([group], AT_LAYERS))
    assert len(questions) == 4 * 3 * 3
    for question in questions:
        (compared,) = question.comparisons
        assert compared.a.transform == Named.of("top_components", share=kept(compared), seed=0)
        assert (compared.b.transform, compared.a.layer) == (None, compared.b.layer)
        assert compared.a.model != compared.b.model
        assert question.reference_variables == ((Named.of("probe_accuracy_difference"), compared),)
    assert [kept(question.comparisons[0]) for question in questions[:3]] == [1.0, 0.5, 0.1]


def test_the_last_layer_is_tested_unless_others_are_named_and_the_head_has_its_own(group: ModelGroup) -> None:
    assert {c.b.layer for c in make().expand([group], AT_LAYERS)} == {"block5"}
    assert {c.b.layer for c in make(layers=["block2"]).expand([group], AT_LAYERS)} == {"block2"}
    assert {c.b.layer for c in make().expand([group], AT_HEAD)} == {"embedding"}


def following(sign: float) -> Any:
    """Similarities that fall with what is lost, or rise with it, and probes that differ by what is lost."""

    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        return Similarity(sign * kept(comparison) if variable is None else 1.0 - kept(comparison))

    return scores


@pytest.mark.parametrize(("sign", "grade"), [(1.0, 1.0), (-1.0, 0.0), (0.0, 0.0)])
def test_an_index_that_follows_the_loss_scores_1(sign: float, grade: float, group: ModelGroup) -> None:
    assert make().grade([group], AT_LAYERS, following(sign)).grade == grade


def test_one_seed_has_no_other_to_be_compared_with(group: ModelGroup) -> None:
    verdict = make().grade([replace(group, seeds=(0,))], AT_LAYERS, following(1.0))
    assert (verdict.status, verdict.reason) == (
        "skip",
        "component_deletion needs two seeds of a model, and layers, or for metrics of the head a linear head",
    )


def test_a_probe_that_loses_nothing_is_a_reason_to_skip(group: ModelGroup) -> None:
    def nothing_lost(comparison: Comparison, variable: Named | None = None) -> Similarity:
        return Similarity(0.0 if variable is not None else kept(comparison))

    verdict = make().grade([group], AT_LAYERS, nothing_lost)
    assert (verdict.status, verdict.passed) == ("skip", None)
    assert verdict.reason is not None
    assert "as accurate whatever is deleted" in verdict.reason


def test_the_interval_is_over_both_models_of_every_pair(group: ModelGroup) -> None:
    verdict = make(layers=3).grade([group], AT_LAYERS, World(3))
    assert verdict.interval is not None
    assert {trial.models for trial in verdict.trials} == {
        (f"net/{a}", f"net/{b}") for a in group.seeds for b in group.seeds if a != b
    }
