"""Graded perturbation: the larger the noise, the less similar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import scipy.stats
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.metrics.metric import Metric
from simbench.models.synthetic.perturbed_clusters import NOISE_OF_A_LEVEL
from simbench.references import Comparison
from simbench.registry import GENERATORS, METRICS
from simbench.sanity.generated_models import PerturbedClasses
from simbench.sanity.kinds.graded_perturbation import GradedPerturbation
from simbench.sanity.question import Similarity
from simbench.seeds import seed_for


def make(**keys: object) -> GradedPerturbation:
    return GradedPerturbation.model_validate({"id": "series", "kind": "graded_perturbation", **keys})


def parameters_of(comparison: Comparison) -> tuple[dict[str, Any], dict[str, Any]]:
    generators = comparison.a.model.generator, comparison.b.model.generator
    first, second = (dict(one.parameters) for one in generators if one is not None)
    return first, second


def level(comparison: Comparison) -> int:
    found = parameters_of(comparison)[0]["level"]
    assert isinstance(found, int)
    return found


def test_it_may_ask_for_what_can_be_synthetic() -> None:
    assert get_args(PerturbedClasses) == tuple(NOISE_OF_A_LEVEL)


def test_every_level_is_compared_with_the_model_without_noise() -> None:
    test = make(classes=[4, 6], levels=[1, 5, 9], seeds=[0, 1])
    comparisons = test.expand([], AT_LAYERS)
    assert len(comparisons) == 2 * 3 * 2
    assert sorted({level(comparison) for comparison in comparisons}) == [1, 5, 9]
    for comparison in comparisons:
        noisy, clean = parameters_of(comparison)
        assert clean == {**noisy, "level": 0}
        assert comparison.a.model.seed == comparison.b.model.seed


@pytest.mark.parametrize(("noise", "passed"), [(0.0, True), (30.0, None), (300.0, False)])
def test_the_grade_is_the_mean_rank_correlation_over_series(noise: float, passed: bool | None) -> None:
    test = make(classes=[4, 10], levels=list(range(1, 100, 7)), seeds=[0, 1])

    def similarity(comparison: Comparison) -> float:
        return -level(comparison) + noise * (seed_for(c=str(comparison)) % 1000) / 1000

    series: dict[str, list[tuple[float, float]]] = {}
    for question in test.questions([], AT_HEAD):
        series.setdefault(question.line, []).append((question.at or 0.0, -similarity(question.comparisons[0])))
    expected = [scipy.stats.spearmanr(*zip(*points, strict=True)).statistic for points in series.values()]
    assert len(expected) == 4
    verdict = test.grade([], AT_HEAD, lambda c: Similarity(similarity(c)))
    assert verdict.grade == pytest.approx(max(0.0, np.mean(expected)))
    assert verdict.passed is passed


def test_a_series_on_which_an_index_is_constant_counts_as_uncorrelated() -> None:
    def similarity(comparison: Comparison) -> float:
        return 0.5 if comparison.a.model.seed else -float(level(comparison))

    assert make(seeds=[0, 1]).grade([], AT_LAYERS, lambda c: Similarity(similarity(c))).grade == 0.5


@pytest.mark.parametrize("name", ["identifiability_llv", "cka"])
def test_real_indices_follow_the_levels(name: str) -> None:
    found = METRICS.get(name)
    assert isinstance(found, Metric)
    test = make(classes=[4], levels=[1, 60, 120, 180, 240], seeds=[0])
    ungated = replace(found, pairs_inputs=False)
    assert test.grade([], ungated, lambda c: _scored(found, c)).grade == 1.0


def test_a_directed_index_is_asked_with_the_perturbed_model_as_receiver_too() -> None:
    def sees_the_sender(comparison: Comparison, variable: object = None) -> Similarity:
        return Similarity(level(Comparison(comparison.b, comparison.a)) - level(comparison))

    directed = replace(AT_LAYERS, symmetric=False)
    verdict = make().grade([], directed, sees_the_sender)
    assert {name: column.grade for name, column in verdict.columns.items()} == {"as sender": 1.0, "as receiver": 0.0}


def _scored(metric: Metric, comparison: Comparison) -> Similarity:
    from simbench.metrics.scoring import score_pairs
    from simbench.representations.representation import Representation

    sides = []
    for ref in (comparison.a, comparison.b):
        assert ref.model.generator is not None
        made = GENERATORS.get(ref.model.generator.name)(**dict(ref.model.generator.parameters), seed=0)
        sides.append(Representation(made.probe, layer=ref.layer, model=made.model, at_head=True, classes=4))
    (score,) = score_pairs(metric, sides, [(0, 1)])
    assert score.value is not None
    return Similarity(metric.similarity(score.value))
