"""Rank statistics against scipy and scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from simbench.sanity.stats.rank_statistics import (
    average_precision,
    average_ranks,
    kendall,
    order_of,
    spearman,
    standardised_ranks,
    zero_if_constant,
)

# Small integers, so that ties are frequent.
SIDES = st.integers(3, 30).flatmap(lambda n: st.tuples(*[arrays(float, n, elements=st.integers(-4, 4).map(float))] * 2))


@given(SIDES)
def test_correlations_are_those_of_scipy(sides: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = sides
    np.testing.assert_array_equal(average_ranks(x), scipy.stats.rankdata(x))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(spearman(x, y))
        assert math.isnan(kendall(x, y))
    else:
        assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, rel=1e-12, abs=1e-12)
        assert kendall(x, y) == pytest.approx(scipy.stats.kendalltau(x, y).statistic, rel=1e-12, abs=1e-12)
        assert float(standardised_ranks(x) @ standardised_ranks(y)) == pytest.approx(spearman(x, y), abs=1e-12)


@pytest.mark.parametrize("correlation", [spearman, kendall])
def test_nothing_is_correlated_with_a_constant_on_either_side(correlation: Callable[..., float]) -> None:
    for sides in (([1, 2, 3], [5, 5, 5]), ([5, 5, 5], [1, 2, 3])):
        assert math.isnan(correlation(*sides))


@given(SIDES)
def test_equal_and_opposite_orders_are_exactly_1_and_minus_1(sides: tuple[np.ndarray, np.ndarray]) -> None:
    x, _ = sides
    if np.ptp(x) > 0:
        assert (spearman(x, 3 * x + 1), spearman(x, -x)) == (1.0, -1.0)


@given(SIDES, st.integers(1, 29))
def test_average_precision_is_that_of_scikit_learn(sides: tuple[np.ndarray, np.ndarray], cut: int) -> None:
    values = np.concatenate(sides)
    positive, negative = values[:cut], values[cut:]
    if len(positive) and len(negative):
        labels = np.arange(len(values)) < cut
        expected = sklearn.metrics.average_precision_score(labels, values)
        assert average_precision(positive, negative) == pytest.approx(expected, rel=1e-12)


def of_all_pairs(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    above, wrongly = ((side[..., None, :] >= positive[..., :, None]).sum(axis=-1) for side in (positive, negative))
    precision = above / (above + wrongly)
    return precision[..., 0] + (precision - precision[..., :1]).mean(axis=-1)


@given(arrays(float, st.tuples(st.integers(1, 4), st.integers(2, 30)), elements=st.integers(-4, 4).map(float)))
def test_average_precision_is_to_the_last_bit_that_of_comparing_all_with_all(values: np.ndarray) -> None:
    for cut in {1, values.shape[1] // 2}:
        positive, negative = (np.ascontiguousarray(side) for side in (values[:, :cut], values[:, cut:]))
        expected = of_all_pairs(positive, negative)
        assert np.array_equal(average_precision(positive, negative), expected)
        order = order_of(values)
        assert np.array_equal(average_precision(order[:, :cut], order[:, cut:]), expected)


@given(SIDES)
def test_kendall_is_to_the_last_bit_that_of_comparing_all_with_all(sides: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = sides
    a, b = (np.sign(np.subtract.outer(side, side)) for side in sides)
    if np.ptp(x) > 0 and np.ptp(y) > 0:
        untied = math.sqrt(np.abs(a).sum()) * math.sqrt(np.abs(b).sum())
        assert kendall(x, y) == float((a * b).sum() / untied)


@given(SIDES, st.integers(0, 29))
def test_an_order_serves_in_place_of_the_values_also_where_some_are_left_out(
    sides: tuple[np.ndarray, np.ndarray], first: int
) -> None:
    x, y = (side[first:] for side in sides)
    if len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0:
        orders = [order_of(side)[first:] for side in sides]
        np.testing.assert_array_equal(average_ranks(orders[0]), average_ranks(x))
        assert spearman(*orders) == spearman(x, y)
        assert kendall(*orders) == kendall(x, y)


def test_integers_that_are_no_order_are_taken_for_values() -> None:
    values = np.array([-(2**62), 5, 2**62, 5])
    np.testing.assert_array_equal(order_of(values), [0, 1, 2, 1])
    np.testing.assert_array_equal(average_ranks(values), [1.0, 2.5, 4.0, 2.5])


@pytest.mark.parametrize(("own", "others"), [(10, 50), (6, 48), (3, 7), (1, 1)])
def test_average_precision_of_a_constant_is_exactly_the_prevalence(own: int, others: int) -> None:
    assert average_precision(np.full(own, 0.7), np.full(others, 0.7)) == own / (own + others)


def test_average_precision_works_along_the_last_axis() -> None:
    random = np.random.default_rng(0)
    positive, negative = random.normal(size=(4, 3, 5)), random.normal(size=(4, 3, 7))
    one_by_one = [
        [average_precision(p, n) for p, n in zip(*rows, strict=True)] for rows in zip(positive, negative, strict=True)
    ]
    np.testing.assert_allclose(average_precision(positive, negative), one_by_one, rtol=1e-12)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_what_is_constant_up_to_rounding_does_not_depend_on_the_unit(size: float) -> None:
    assert not zero_if_constant([size, size * (1 + 1e-14)]).any()
    assert zero_if_constant([size, size * (1 + 1e-4)]).any()
