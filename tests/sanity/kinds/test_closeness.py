"""Closeness: models whose distributions are closer are more similar."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import scipy.stats
from tests.sanity.kinds.subjects import AT_LAYERS

from simbench.references import Comparison, ModelGroup, Named
from simbench.sanity.kinds.closeness import Closeness
from simbench.sanity.question import Similarity

SYMMETRIC = replace(AT_LAYERS, symmetric=True)
WIDTHS = (16, 64)


def make() -> Closeness:
    return Closeness.model_validate({"id": "widths", "kind": "closeness", "models": ["net16", "net64"]})


def widths(group: ModelGroup, seeds: int = 6) -> list[ModelGroup]:
    return [replace(group, name=f"net{width}", seeds=tuple(range(seeds))) for width in WIDTHS]


class World:
    """Random distances, smaller for wide models; similarity follows them as far as `alike` says."""

    def __init__(self, seed: int, alike: float, trend: float = 1.0) -> None:
        random = np.random.default_rng(seed)
        self.distance = {f"net{w}": self._symmetric(random) + trend * (w == WIDTHS[0]) for w in WIDTHS}
        own = {name: self._symmetric(random) for name in self.distance}
        self.similarity = {name: -alike * d - (1 - alike) * own[name] for name, d in self.distance.items()}

    @staticmethod
    def _symmetric(random: np.random.Generator) -> np.ndarray:
        points = random.normal(size=(6, 3))
        return np.linalg.norm(points[:, None] - points[None], axis=2)

    def __call__(self, comparison: Comparison, variable: Named | None = None) -> Similarity:
        assert variable in (None, Named.of("identifiability_llv"))
        table = self.similarity if variable is None else self.distance
        return Similarity(float(table[comparison.a.model.group][comparison.a.model.seed, comparison.b.model.seed]))


@pytest.mark.parametrize("seed", range(6))
def test_the_grade_is_the_rank_correlation_over_all_widths_mapped_to_0_and_1(seed: int, group: ModelGroup) -> None:
    world = World(seed, alike=0.5)
    verdict = make().grade(widths(group), SYMMETRIC, world)
    pairs = [(f"net{width}", i, j) for width in WIDTHS for i, j in combinations(range(6), 2)]
    similarity = [world.similarity[name][i, j] for name, i, j in pairs]
    closeness = [-world.distance[name][i, j] for name, i, j in pairs]
    rho = scipy.stats.spearmanr(similarity, closeness).statistic
    assert verdict.auxiliary["spearman"] == pytest.approx(rho)
    assert verdict.grade == pytest.approx((1 + rho) / 2)
    for end, (low, high) in {"narrowest": (0, 15), "widest": (15, 30)}.items():
        assert verdict.auxiliary[f"median_similarity_{end}"] == pytest.approx(np.median(similarity[low:high]))
        assert verdict.auxiliary[f"median_d_llv_{end}"] == pytest.approx(-np.median(closeness[low:high]))


def test_what_follows_width_alone_has_a_good_grade_and_no_small_p_value(group: ModelGroup) -> None:
    found = [make().grade(widths(group), SYMMETRIC, self_made) for self_made in map(_by_width, range(40))]
    assert np.mean([verdict.grade for verdict in found]) > 0.75
    assert 0.3 < np.mean([verdict.auxiliary["p_value_within_widths"] for verdict in found]) < 0.7


def _by_width(seed: int) -> World:
    """Similarity that has a trend with width, and within a width nothing to do with the distance."""
    world = World(seed, alike=0.0, trend=5.0)
    world.similarity["net16"] = world.similarity["net16"] - 5.0
    return world


def test_what_follows_the_distance_has_the_smallest_p_value(group: ModelGroup) -> None:
    verdict = make().grade(widths(group), SYMMETRIC, World(0, alike=1.0))
    assert (verdict.grade, verdict.passed, verdict.auxiliary["p_value_within_widths"]) == (1.0, True, 0.001)


def test_a_constant_index_is_at_chance_and_does_not_pass(group: ModelGroup) -> None:
    world = World(0, alike=1.0)
    verdict = make().grade(
        widths(group), SYMMETRIC, lambda c, variable=None: Similarity(0.7) if variable is None else world(c, variable)
    )
    assert (verdict.grade, verdict.outcome) == (0.5, "undecided")  # twelve models do not exclude that others differ


def test_only_models_of_one_width_are_compared_and_where_the_head_reads(group: ModelGroup) -> None:
    comparisons = make().expand(widths(group), SYMMETRIC)
    assert len(comparisons) == 2 * 15
    assert all(c.a.model.group == c.b.model.group for c in comparisons)
    assert {c.a.layer for c in comparisons} == {"embedding"}
    assert len(make().expand(widths(group), replace(AT_LAYERS, symmetric=False))) == 2 * 30


def test_observations_lie_at_their_distance_on_the_line_of_their_width(group: ModelGroup) -> None:
    world = World(1, alike=0.5)
    verdict = make().grade(widths(group), SYMMETRIC, world)
    assert {trial.line for trial in verdict.trials} == {"net16", "net64"}
    assert {trial.at for trial in verdict.trials if trial.line == "net16"} == {
        world.distance["net16"][pair] for pair in combinations(range(6), 2)
    }


def test_models_without_a_head_are_skipped(group: ModelGroup) -> None:
    headless = [replace(one, embedding_layer=None) for one in widths(group)]
    verdict: Any = make().grade(headless, SYMMETRIC, World(0, alike=1.0))
    assert (verdict.status, verdict.passed) == ("skip", None)
    assert "linear head" in verdict.reason


def test_distances_that_do_not_vary_are_a_reason_to_skip(group: ModelGroup) -> None:
    def all_as_close(comparison: Comparison, variable: Named | None = None) -> Similarity:
        return Similarity(0.25 if variable is not None else float(comparison.a.model.seed))

    verdict = make().grade(widths(group), SYMMETRIC, all_as_close)
    assert verdict.status == "skip"
    assert verdict.reason == "d_LLV is 0.25 for every pair: nothing to correlate with"
