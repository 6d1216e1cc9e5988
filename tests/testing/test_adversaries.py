"""Adversaries are what they claim to be: no index of similarity, but indices that answer some questions right."""

from __future__ import annotations

import pytest
import torch

from simbench.metrics.cca.correlations import cca
from simbench.metrics.cka.linear import cka
from simbench.metrics.metric import Metric, Score
from simbench.metrics.resolve import resolve_metrics
from simbench.metrics.scoring import score_pairs
from simbench.testing.adversaries import (
    affine_equality,
    cka_of_ten_rows,
    cka_power,
    equality,
    equality_with_tiebreak,
    first_correlation,
    honest_spectra,
    negated_cka,
    random_by_hash,
    rounded_cka,
    row_norms,
    sum_of_correlations,
)
from simbench.testing.inputs import unrelated

MODULE = "simbench.testing.adversaries"
X, Y = (torch.randn(60, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in (0, 1))
MIXED = X @ torch.randn(5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 3


@pytest.mark.parametrize("metric", resolve_metrics([MODULE]), ids=lambda metric: metric.name)
def test_every_adversary_gives_a_number_in_its_range_the_same_in_both_orders(metric: Metric) -> None:
    case = unrelated(0)
    both = score_pairs(metric, [case.a, case.b], [(0, 1), (1, 0), (0, 0)])
    values = [score.value for score in both]
    assert all(value is not None for value in values), [score.reason for score in both]
    low, high = metric.value_range
    assert all(low <= value <= high for value in values if value is not None)
    assert values[0] == pytest.approx(values[1], abs=1e-12)


def test_equality_knows_nothing_but_equality() -> None:
    assert (equality(X, X.clone()), equality(X, X + 1e-9), equality(X, Y)) == (1, 0, 0)
    broken: Score = equality_with_tiebreak(X, Y)
    assert broken.value == 0
    assert broken.tiebreak == random_by_hash(X, Y) == random_by_hash(Y, X)


def test_affine_equality_is_one_for_affine_maps_and_next_to_nothing_else() -> None:
    assert affine_equality(X, MIXED) == 1
    assert affine_equality(X, Y) == pytest.approx(0.001 * float(cka(X, Y)))


def test_correlations_are_those_of_shared_columns() -> None:
    half = torch.cat([X[:, :2], Y[:, :3]], dim=1)
    assert first_correlation(X, half) == pytest.approx(1)
    assert sum_of_correlations(X, MIXED) == pytest.approx(5)


def test_the_sum_of_correlations_orders_layers_of_one_width_as_their_mean_does() -> None:
    """Where all layers have one width, no test that asks for order alone can tell the two apart."""
    mean = cca(X, Y)
    assert isinstance(mean, float)
    assert sum_of_correlations(X, Y) == pytest.approx(5 * mean)


def test_spectra_and_norms_do_not_see_what_they_should() -> None:
    shuffled = X[torch.randperm(60, generator=torch.Generator().manual_seed(3))]
    assert honest_spectra(X, shuffled) == pytest.approx(1)
    assert row_norms(X, -X) == pytest.approx(1)


def test_the_controls_follow_cka() -> None:
    value = float(cka(X, Y))
    assert rounded_cka(X, Y) == round(value, 2)
    assert cka_power(X, Y) == pytest.approx(value**8)
    assert negated_cka(X, Y) == -value
    assert cka_of_ten_rows(X, Y) == pytest.approx(float(cka(X[:10], Y[:10])))
