"""The losses that the distance of logits bounds: against slow references, and never above the bound."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.metrics.generators import (
    Model,
    at_head,
    between,
    circle_pair,
    correlation_loss,
    equivalent,
    gaussian_model,
    gaussian_pair,
    linear_map_errors,
    near_pair,
    perturbed_pair,
)

from simbench.metrics.functional.logit_bounds import logit_correlation_loss, logit_map_loss
from simbench.metrics.functional.logit_distances import logit_distance
from simbench.representations.representation import Representation

LOSSES = [logit_correlation_loss, logit_map_loss]
PAIRS = [near_pair(), gaussian_pair(labels=6), perturbed_pair(6, 50, 100)]
both_losses = pytest.mark.parametrize("loss", LOSSES)


@pytest.mark.parametrize("pair", PAIRS)
def test_correlation_loss_equals_its_formula(pair: tuple[Model, Model]) -> None:
    assert between(logit_correlation_loss, pair) ** 2 == pytest.approx(correlation_loss(pair), rel=1e-8)


@pytest.mark.parametrize("pair", PAIRS)
def test_map_loss_equals_its_formula(pair: tuple[Model, Model]) -> None:
    dimension = pair[0][0].shape[1]
    worst = max(error * smallest**2 for error, smallest in linear_map_errors(pair)) / (dimension + 1)
    assert between(logit_map_loss, pair) ** 2 == pytest.approx(worst, rel=1e-8)


def test_on_the_circle_pair_the_loss_of_correlation_is_half_the_bound() -> None:
    pair = circle_pair(7, 20.0)
    lost, bound = (between(metric, pair) ** 2 for metric in (logit_correlation_loss, logit_distance))
    assert lost == pytest.approx(bound / 2, rel=1e-3)


@both_losses
@given(
    seed=st.integers(0, 10**6),
    size=st.sampled_from([1e-6, 1e-3, 0.1, 1.0, 30.0]),
    dimensions=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_no_loss_exceeds_the_distance_of_logits(loss, seed: int, size: float, dimensions: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    (f, g), (f_, g_) = (gaussian_model(rng, 40, dimension, 6) for dimension in dimensions)
    shared = min(dimensions)
    f_[:, :shared] = f[:, :shared] + size * rng.normal(size=(40, shared))
    g_[:, :shared] = g[:, :shared] + size * rng.normal(size=(6, shared))
    biases = rng.normal(size=(2, 6))
    first, second = at_head((f, g), biases[0]), at_head((f_, g_), biases[1])
    assert loss(first, second) <= logit_distance(first, second) * (1 + 1e-9)


@both_losses
@pytest.mark.parametrize("pair", [*(perturbed_pair(6, level, 100) for level in (1, 250)), circle_pair(7, 20.0, 100)])
def test_the_bound_holds_on_synthetic_pairs(loss, pair: tuple[Model, Model]) -> None:
    assert 0 < between(loss, pair) <= between(logit_distance, pair) * (1 + 1e-9)


@both_losses
@pytest.mark.parametrize("condition", [1.0, 10.0, 1e3])
def test_equal_distributions_lose_nothing(loss, condition: float) -> None:
    rng = np.random.default_rng(0)
    model = gaussian_model(rng, 500, 3, 8)
    size = between(logit_distance, (model, gaussian_model(rng, 500, 3, 8)))
    assert between(loss, (model, equivalent(model, rng, condition))) <= 1e-9 * size


@both_losses
def test_losses_are_directed(loss) -> None:
    a, b = near_pair()
    assert abs(between(loss, (a, b)) - between(loss, (b, a))) > 1e-3


def test_what_an_embedding_has_no_dimension_for_is_lost() -> None:
    """One of two equally important dimensions is known to the first model: half of the variance is lost."""
    f = np.random.default_rng(0).normal(size=(400, 2))
    f = np.linalg.qr(f - f.mean(axis=0))[0] * np.sqrt(400)
    g = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    lost = between(logit_correlation_loss, ((f[:, :1], g[:, :1]), (f, g)))
    assert lost**2 == pytest.approx(2.0)  # each dimension has a variance of 1² + (−1)²
    assert between(logit_correlation_loss, ((f, g), (f[:, :1], g[:, :1]))) == pytest.approx(0, abs=1e-12)


@both_losses
def test_single_precision_changes_little(loss) -> None:
    a, b = near_pair()
    halved = [
        Representation(side.matrix.float(), layer="embedding", model=side.model, at_head=True)
        for side in map(at_head, (a, b))
    ]
    assert halved[0].matrix.dtype == torch.float32
    assert loss(*halved) == pytest.approx(between(loss, (a, b)), rel=1e-4)


@both_losses
def test_there_must_be_a_head(loss) -> None:
    bare = Representation(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), layer="embedding")
    with pytest.raises(ValueError, match="embedding has no model"):
        loss(bare, bare)
