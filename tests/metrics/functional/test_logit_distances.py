"""Logit distances and the distance of implied linear maps: against slow references, and by their own properties."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from tests.metrics.generators import (
    Model,
    at_head,
    between,
    equivalent,
    gaussian_model,
    gaussian_pair,
    linear_map_errors,
    near_pair,
)

from simbench.errors import NotApplicable
from simbench.metrics.functional.logit_distances import (
    label_sets,
    logit_distance,
    logit_distance_relative,
    representation_distance,
)
from simbench.registry import TRANSFORMS
from simbench.representations.representation import Representation


def both_centred(pair: tuple[Model, Model]) -> list[np.ndarray]:
    return [f @ (g - g.mean(axis=0)).T for f, g in pair]


def test_logit_distance_equals_its_formula() -> None:
    pair = gaussian_pair()
    u, v = both_centred(pair)
    assert between(logit_distance, pair) == pytest.approx(np.sqrt(np.mean(np.sum((u - v) ** 2, axis=1))), rel=1e-9)


def test_relative_logit_distance_equals_its_formula() -> None:
    pair = gaussian_pair()
    u, v = both_centred(pair)
    squared = np.mean(np.sum((u - v) ** 2, axis=1))
    size = (np.mean(np.sum(u**2, axis=1)) + np.mean(np.sum(v**2, axis=1))) / 2
    assert between(logit_distance_relative, pair) == pytest.approx(np.sqrt(squared / size), rel=1e-9)


def test_the_logit_distance_of_two_coins_by_hand() -> None:
    f, g = np.ones((4, 1)), np.array([[0.0], [0.0]])
    lopsided = np.array([[0.0], [np.log(3)]])  # centred logits ± ½ log 3
    assert between(logit_distance, ((f, g), (f, lopsided))) == pytest.approx(np.log(3) / np.sqrt(2))


@pytest.mark.parametrize("metric", [logit_distance, logit_distance_relative])
def test_biases_that_differ_count(metric) -> None:
    first, second = near_pair()
    biases = np.random.default_rng(0).normal(size=(2, 6))
    assert metric(at_head(first, biases[0]), at_head(second, biases[1])) > between(metric, (first, second)) + 1e-3


def test_the_logit_distance_satisfies_the_triangle_inequality() -> None:
    rng = np.random.default_rng(0)
    violations = 0
    for _ in range(300):
        f, g = gaussian_model(rng, 60, 2, 6)
        a, b, c = (at_head((f + 0.5 * rng.normal(size=f.shape), g + 0.5 * rng.normal(size=g.shape))) for _ in range(3))
        violations += logit_distance(a, c) > logit_distance(a, b) + logit_distance(b, c) + 1e-12
    assert violations == 0


def test_two_uniform_models_have_no_relative_logit_distance() -> None:
    f = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(NotApplicable, match="equal probabilities"):
        between(logit_distance_relative, ((f, np.zeros((6, 2))), (f, np.zeros((6, 2)))))


# --- the distance of implied linear maps ------------------------------------------------------------------------------


@pytest.mark.parametrize("average", ["median", "mean"])
@pytest.mark.parametrize("pair", [gaussian_pair(labels=6), near_pair()])
def test_representation_distance_equals_its_formula(pair: tuple[Model, Model], average: str) -> None:
    errors = [error for error, _ in linear_map_errors(pair)]
    expected = np.sqrt(getattr(np, average)(errors))
    assert between(representation_distance, pair, average=average) == pytest.approx(expected, rel=1e-8)


def test_models_of_other_dimensions_are_compared() -> None:
    rng = np.random.default_rng(0)
    first, second = gaussian_model(rng, 100, 2, 6), gaussian_model(rng, 100, 4, 6)
    errors = [error for error, _ in linear_map_errors((first, second))]
    assert between(representation_distance, (first, second)) == pytest.approx(np.sqrt(np.median(errors)), rel=1e-8)


def test_representation_distance_is_directed() -> None:
    a, b = near_pair()
    assert abs(between(representation_distance, (a, b)) - between(representation_distance, (b, a))) > 1e-3


def test_it_is_in_units_of_the_first_models_embeddings() -> None:
    a, b = near_pair()
    assert between(representation_distance, ((10 * a[0], a[1] / 10), b)) == pytest.approx(
        10 * between(representation_distance, (a, b)), rel=1e-9
    )


def test_an_affine_map_of_the_second_model_with_its_head_does_not_matter() -> None:
    a, b = (at_head(model) for model in near_pair())
    mapped = TRANSFORMS.get("affine")(b, seed=0)
    assert representation_distance(a, mapped) == pytest.approx(representation_distance(a, b), rel=1e-9)


def test_biases_take_part_in_the_map() -> None:
    """f and f + c with biases −g·c have one distribution: an affine map, that no linear one could replace."""
    f, g = gaussian_pair()[0]
    shift = np.array([3.0, -2.0, 1.0])
    assert representation_distance(at_head((f, g)), at_head((f + shift, g), -g @ shift)) < 1e-9


def test_a_part_of_the_label_sets_gives_about_the_median_of_all() -> None:
    pair = gaussian_pair(labels=12, dimension=2)  # 660 sets
    exact = between(representation_distance, pair, max_subsets=10**6)
    drawn = [between(representation_distance, pair, max_subsets=256, seed=seed) for seed in range(5)]
    assert drawn == pytest.approx([exact] * 5, rel=0.2)
    assert len(set(drawn)) > 1


@pytest.mark.parametrize(("labels", "dimension"), [(5, 2), (4, 3), (7, 1)])
def test_all_label_sets_are_listed_once(labels: int, dimension: int) -> None:
    found = {(row[0], *sorted(row[1:])) for row in label_sets(labels, dimension, 1000, seed=0).tolist()}
    expected = {
        (pivot, *others)
        for pivot in range(labels)
        for others in combinations([label for label in range(labels) if label != pivot], dimension)
    }
    assert found == expected
    assert len(found) == labels * comb(labels - 1, dimension)


def test_drawn_label_sets_repeat_no_label() -> None:
    drawn = label_sets(30, 5, 50, seed=0)
    assert drawn.shape == (50, 6)
    assert all(len(set(row)) == 6 for row in drawn.tolist())
    assert torch.equal(drawn, label_sets(30, 5, 50, seed=0))


def test_label_sets_without_an_inverse_are_left_out() -> None:
    (f, g), (f_, g_) = near_pair()
    doubled, doubled_ = (np.vstack([side, side[:1]]) for side in (g, g_))
    found = between(representation_distance, ((f, doubled), (f_, doubled_)), average="mean")
    assert 0 < found < 100


@pytest.mark.parametrize(("dimension", "labels"), [(7, 7), (12, 5)])
def test_with_few_labels_only_the_part_that_the_head_reads_counts(dimension: int, labels: int) -> None:
    """Then L_J spans what the unembeddings span, for all J alike, and A_J = (L_Jᵀ)⁺ L′_Jᵀ."""
    (f, g), (f_, g_) = gaussian_pair(dimension=dimension, labels=labels)
    side, side_ = (g[1:] - g[0]).T, (g_[1:] - g_[0]).T
    read = np.linalg.pinv(side.T) @ (side.T @ f.T - side_.T @ f_.T)
    expected = np.sqrt(np.mean(np.sum(read**2, axis=0)))
    for average in ("median", "mean"):
        found = between(representation_distance, ((f, g), (f_, g_)), average=average)
        assert found == pytest.approx(expected, rel=1e-8)


def test_units_that_the_head_does_not_read_do_not_matter() -> None:
    (f, g), second = near_pair()
    unread = np.random.default_rng(0).normal(size=(len(f), 3))
    wider = np.hstack([f, unread]), np.hstack([g, np.zeros((len(g), 3))])
    expected = between(representation_distance, ((f, g), second))
    assert between(representation_distance, (wider, second)) == pytest.approx(expected, rel=1e-9)


def test_equal_unembeddings_are_not_applicable() -> None:
    f, g = gaussian_pair()[0]
    with pytest.raises(NotApplicable, match="all unembeddings of embedding are equal"):
        between(representation_distance, ((f, np.ones_like(g)), (f, g)))


def test_draws_that_miss_every_invertible_set_are_not_applicable() -> None:
    """One label alone spans the second dimension, and the one draw misses it."""
    f = gaussian_pair(dimension=2)[0][0]
    g = np.zeros((40, 2))
    g[:, 0], g[0, 1] = np.arange(40), 1.0
    assert 0 not in label_sets(40, 2, 1, seed=0)[0].tolist()
    with pytest.raises(NotApplicable, match="none of 1 sets of labels has unembeddings that span all 2 dimensions"):
        between(representation_distance, ((f, g), (f, g)), max_subsets=1)


def test_a_model_without_a_linear_head_is_not_applicable() -> None:
    class Headless:
        def continue_from(self, layer: str, activations: torch.Tensor, inputs: object = None) -> torch.Tensor:
            return activations @ torch.ones(2, 5, dtype=activations.dtype)

        def head(self) -> None:
            return None

    side = Representation(torch.randn(20, 2), layer="last", model=Headless(), at_head=True)
    with pytest.raises(NotApplicable, match="last has no linear head"):
        representation_distance(side, side)


def test_single_precision_leaves_a_small_distance_between_equivalent_models() -> None:
    rng = np.random.default_rng(0)
    model = gaussian_model(rng, 200, 3, 7)
    single = [at_head((f.astype(np.float32), g.astype(np.float32))) for f, g in (model, equivalent(model, rng, 10))]
    assert representation_distance(*single) < 1e-4
