"""What every distance at the head must show: nothing for the same distribution, something for any other one.

The pairs are those of the papers, synthetic by `simbench.models.synthetic`; so are the expected numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tests.metrics.generators import (
    Model,
    arrays_of,
    at_head,
    between,
    circle_norm,
    circle_pair,
    equivalent,
    gaussian_model,
    gaussian_pair,
    near_pair,
    perturbed_pair,
)

from simbench.metrics.cca.correlations import cca
from simbench.metrics.functional.identifiability import identifiability_fg, identifiability_llv, identifiability_svd
from simbench.metrics.functional.logit_distances import logit_distance, logit_distance_relative, representation_distance
from simbench.metrics.functional.outputs import disagreement, jensen_shannon, kl
from simbench.metrics.metric import Score
from simbench.metrics.scoring import score_pairs
from simbench.models.synthetic.deranged_clusters import deranged_clusters
from simbench.models.synthetic.perturbed_clusters import NOISE_OF_A_LEVEL
from simbench.models.synthetic.rotated_pairs import exchanged_unembeddings, separately_rotated
from simbench.registry import METRICS
from simbench.representations.representation import Representation

Distance = Callable[..., float]

SYMMETRIC: list[Distance] = [identifiability_llv, identifiability_fg, logit_distance_relative, logit_distance]
DISTANCES = [*SYMMETRIC, representation_distance]
NAMES = ["identifiability_llv", "identifiability_fg", "logit_distance_relative", "logit_distance", "d_rep", "kl"]


def mean_correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The registered mean canonical correlation."""
    found = cca(torch.tensor(x), torch.tensor(y))
    return float(found.value if isinstance(found, Score) else found)


# --- what must not matter ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [*DISTANCES, kl, jensen_shannon])
def test_a_model_is_at_distance_zero_from_itself(metric: Distance) -> None:
    model = gaussian_pair()[0]
    assert between(metric, (model, model)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("condition", [1, 10, 1e3])
@pytest.mark.parametrize(("dimension", "labels"), [(2, 6), (8, 20), (50, 100)])
def test_equivalent_models_are_at_distance_zero(dimension: int, labels: int, condition: float) -> None:
    rng = np.random.default_rng(0)
    model = gaussian_model(rng, 2000 if labels < 100 else 600, dimension, labels)
    pair = model, equivalent(model, rng, condition)
    distances = [between(metric, pair) for metric in (*DISTANCES, kl, jensen_shannon)]
    assert max(abs(distance) for distance in distances) <= 1e-8


@pytest.mark.parametrize("metric", SYMMETRIC)
def test_distances_are_symmetric(metric: Distance) -> None:
    for seed in range(30):
        a, b = near_pair(seed)
        assert between(metric, (a, b)) == pytest.approx(between(metric, (b, a)), rel=1e-12)


# --- what must matter -------------------------------------------------------------------------------------------------

SHIFT = np.array([1, -2, 0.5])


def altered(kind: str, seed: int) -> tuple[Model, Model]:
    rng = np.random.default_rng(seed)
    f, g = gaussian_model(rng, 2000, 3, 8, scale=1.5)
    others = {
        "embedding mapped": (f @ rng.normal(size=(3, 3)).T, g),
        "embedding shifted": (f + SHIFT, g),
        "labels permuted": (f, np.roll(g, 1, axis=0)),
        "temperature": (f, 2 * g),
    }
    return (f, g), others[kind]


def range_over_seeds(metric: Distance, kind: str) -> tuple[float, float]:
    values = [between(metric, altered(kind, seed)) for seed in range(20)]
    return min(values), max(values)


KINDS = ["embedding mapped", "embedding shifted", "labels permuted", "temperature"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "metric", [identifiability_llv, logit_distance_relative, logit_distance, representation_distance]
)
def test_another_distribution_is_at_a_distance(metric: Distance, kind: str) -> None:
    assert range_over_seeds(metric, kind)[0] > 0.03


@pytest.mark.parametrize("kind", ["embedding mapped", "labels permuted"])
def test_fg_sees_maps_and_permutations(kind: str) -> None:
    assert range_over_seeds(identifiability_fg, kind)[0] > 0.15


@pytest.mark.parametrize("kind", ["embedding shifted", "temperature"])
def test_fg_is_blind_to_shifts_and_temperature(kind: str) -> None:
    assert range_over_seeds(identifiability_fg, kind)[1] < 1e-9


@pytest.mark.parametrize(("kind", "low", "high"), [("embedding shifted", 0.29, 1.04), ("temperature", 0.04, 0.105)])
def test_llv_lies_in_its_reference_range(kind: str, low: float, high: float) -> None:
    smallest, largest = range_over_seeds(identifiability_llv, kind)
    assert low <= smallest <= largest <= high


def test_a_shift_of_the_embedding_is_as_far_as_it_goes() -> None:
    found = between(representation_distance, altered("embedding shifted", 0))
    assert found == pytest.approx(np.linalg.norm(SHIFT), rel=1e-9)


def test_twice_the_temperature_maps_the_embedding_to_twice_itself() -> None:
    pair = altered("temperature", 0)
    size = np.sqrt(np.mean(np.sum(pair[0][0] ** 2, axis=1)))
    assert between(representation_distance, pair) == pytest.approx(size, rel=1e-9)
    assert between(logit_distance_relative, pair) == pytest.approx(np.sqrt(2 / 5), rel=1e-9)


# --- close in distribution, not similar -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "divergence", "expected"),
    [(5, 1.7e-5, 1.00), (7, 2.7e-5, 1.317), (11, 6e-5, 2.00), (13, 9e-5, 2.35)],
)
def test_the_circle_pair_is_dissimilar_though_close_in_kl(classes: int, divergence: float, expected: float) -> None:
    pair = circle_pair(classes, circle_norm(classes))
    assert between(kl, pair) == pytest.approx(divergence, rel=0.1)
    assert between(disagreement, pair) == 0
    assert between(identifiability_llv, pair) == pytest.approx(expected, abs=0.03)
    assert between(identifiability_fg, pair) >= 0.999
    assert between(logit_distance_relative, pair) == pytest.approx(2**0.5, abs=1e-3)
    assert between(representation_distance, pair) > 3.5  # the embeddings have length 2
    assert mean_correlation(pair[0][0], pair[1][0]) <= 0.002
    assert identifiability_svd(*(torch.tensor(f) for f, _ in pair)) >= 0.999


def test_kl_falls_with_the_norm_while_the_distances_stay() -> None:
    pairs = [circle_pair(7, rho) for rho in (2, 5, 10, 15, 20, 40)]
    divergences = [between(kl, pair) for pair in pairs]
    assert divergences == pytest.approx([1.057, 0.382, 1.98e-2, 7.6e-4, 2.7e-5, 3.7e-11], rel=0.05)
    assert [between(identifiability_llv, pair) for pair in pairs] == pytest.approx([1.317] * 6, abs=0.01)
    assert [between(logit_distance_relative, pair) for pair in pairs] == pytest.approx([2**0.5] * 6, abs=1e-3)
    embeddings_only = [between(representation_distance, pair) for pair in pairs]
    assert embeddings_only == pytest.approx([embeddings_only[0]] * 6, rel=1e-9)


@pytest.mark.parametrize(("dimension", "classes"), [(2, 5), (4, 8), (8, 20), (16, 40)])
def test_the_pair_of_any_dimension_is_dissimilar_though_close_in_kl(dimension: int, classes: int) -> None:
    pair = [
        arrays_of(deranged_clusters(dimension=dimension, classes=classes, closeness=1e-6, deranged=which))
        for which in (False, True)
    ]
    first, second = pair
    assert 0 < between(kl, (first, second)) <= 1e-6
    assert 0 < between(kl, (second, first)) <= 1e-6
    assert between(disagreement, (first, second)) == 0
    assert mean_correlation(first[0], second[0]) <= 0.8
    assert between(logit_distance_relative, (first, second)) >= 0.8
    assert between(identifiability_llv, (first, second)) >= 0.5


# --- graded perturbations and the bound -------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [4, 6, 10])
@pytest.mark.parametrize("metric", DISTANCES)
def test_distances_grow_with_the_perturbation(metric: Distance, classes: int) -> None:
    levels = range(1, 250, 10)
    values = [between(metric, perturbed_pair(classes, level, 100)) for level in levels]
    assert spearmanr(list(levels), values).statistic >= 0.99


def excess(pair: tuple[Model, Model]) -> float:
    """By how much the bound fg ≤ min(2Mε, 2ε²), ε = llv, is violated for M = 2."""
    epsilon = between(identifiability_llv, pair)
    return between(identifiability_fg, pair) - min(2 * 2 * epsilon, 2 * epsilon**2)


@pytest.mark.parametrize("classes", NOISE_OF_A_LEVEL)
def test_fg_of_perturbations_is_bounded_by_llv(classes: int) -> None:
    assert max(excess(perturbed_pair(classes, level, 200)) for level in range(1, 250, 20)) <= 1e-9


def test_fg_of_random_models_is_bounded_by_llv() -> None:
    assert max(excess(near_pair(seed, size=0.1 * (seed + 1))) for seed in range(30)) <= 1e-9


@pytest.mark.parametrize("scale", [0.1, 0.5, 2.0])
def test_kl_bounds_the_logit_distance_where_no_probability_is_small(scale: float) -> None:
    rng = np.random.default_rng(0)
    a, b = (at_head(gaussian_model(rng, 100, 3, 5, scale)) for _ in range(2))
    tau = float(min(side.log_probabilities.exp().min() for side in (a, b)))
    assert logit_distance(a, b) ** 2 <= 2 / tau**2 * kl(a, b)


# --- embeddings and unembeddings must be judged jointly ---------------------------------------------------------------


def test_separate_rotations_are_seen_though_each_side_is_related() -> None:
    first, second = pair = tuple(arrays_of(separately_rotated(rotated=which)) for which in (False, True))
    assert mean_correlation(first[0], second[0]) >= 0.9999
    assert mean_correlation(first[1], second[1]) >= 0.9999
    assert between(disagreement, pair) == 1
    assert between(kl, pair) == pytest.approx(36.1, rel=0.03)
    assert between(identifiability_llv, pair) == pytest.approx(1.02, abs=0.02)
    assert between(identifiability_fg, pair) == pytest.approx(0.59, abs=0.02)
    assert between(logit_distance_relative, pair) == pytest.approx(2**0.5, abs=0.01)


def test_equal_embeddings_do_not_hide_exchanged_unembeddings() -> None:
    first, second = pair = tuple(arrays_of(exchanged_unembeddings(exchanged=which)) for which in (False, True))
    assert mean_correlation(first[1], second[1]) == pytest.approx(0.674, abs=0.001)
    assert between(kl, pair) == pytest.approx(0.0045, rel=0.1)
    assert between(kl, (second, first)) == pytest.approx(0.0045, rel=0.1)
    assert between(identifiability_llv, pair) == pytest.approx(0.66, abs=0.01)
    assert between(identifiability_fg, pair) == pytest.approx(0.33, abs=0.03)
    assert between(logit_distance_relative, pair) == pytest.approx(0.82, abs=0.01)
    assert between(representation_distance, pair) > 2


# --- where there is nothing to compare --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_different_labels_are_a_skip(name: str) -> None:
    rng = np.random.default_rng(0)
    sides = [at_head(gaussian_model(rng, 50, 2, labels)) for labels in (6, 7)]
    (score,) = score_pairs(METRICS.get(name), sides, [(0, 1)])
    assert (score.status, score.reason) == ("skip", "6 labels against 7")


@pytest.mark.parametrize("name", NAMES)
def test_arrays_without_a_head_are_a_skip(name: str) -> None:
    sides = [Representation(torch.randn(20, 3), layer="arrays") for _ in range(2)]
    (score,) = score_pairs(METRICS.get(name), sides, [(0, 1)])
    assert score.status == "skip"
    assert "head" in (score.reason or "")
