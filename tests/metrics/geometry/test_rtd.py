"""RTD: against relative Betti numbers by Gaussian elimination, by known answers and by properties."""

from __future__ import annotations

import sys
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from simbench.errors import NotApplicable
from simbench.metrics.geometry.rtd import cross_barcode, divergence, rtd, scaled_distances
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

Array = NDArray[np.float64]


def rank_mod_2(matrix: NDArray[np.bool_]) -> int:
    """Gaussian elimination over the field of two elements."""
    matrix, rank = matrix.copy(), 0
    for column in range(matrix.shape[1]):
        pivots = np.flatnonzero(matrix[rank:, column])
        if len(pivots) == 0:
            continue
        matrix[[rank, rank + pivots[0]]] = matrix[[rank + pivots[0], rank]]
        others = np.flatnonzero(matrix[:, column])
        matrix[others[others != rank]] ^= matrix[rank]
        rank += 1
    return rank


def relative_betti_1(first: Array, second: Array, scale: float) -> int:
    """dim H₁(R(min(first, second)), R(first)) at one scale: what is in the larger complex, modulo the smaller one.

    All vertices are in both, so every edge that is left is a cycle.
    """

    def left(size: int) -> list[tuple[int, ...]]:
        def diameter(r: Array, simplex: tuple[int, ...]) -> float:
            return max(r[i, j] for i, j in combinations(simplex, 2))

        both = np.minimum(first, second)
        simplices = combinations(range(len(first)), size)
        return [s for s in simplices if diameter(both, s) <= scale < diameter(first, s)]

    edges, triangles = left(2), left(3)
    boundary = np.array([[set(edge) <= set(triangle) for triangle in triangles] for edge in edges], dtype=bool)
    return len(edges) - (rank_mod_2(boundary) if edges and triangles else 0)


def reference(first: Array, second: Array) -> float:
    """The total length of bars is the integral of the Betti number over the scale; mean of both directions."""
    scales = np.unique(np.concatenate([first, second]))
    return sum(
        (after - before) * (relative_betti_1(first, second, before) + relative_betti_1(second, first, before)) / 2
        for before, after in pairwise(scales)
    )


def pair(rows: int, width: int = 3, other: int = 4, seed: int = 0, noise: float = 1.0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width))
    return x, x @ rng.normal(size=(width, other)) + noise * rng.normal(size=(rows, other))


def value(x: Array, y: Array, **parameters: int) -> float:
    found = rtd(torch.as_tensor(x), torch.as_tensor(y), **parameters).value
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_integral_of_the_relative_betti_numbers(seed: int) -> None:
    x, y = pair(8, 2, 2, seed)
    first, second = (cdist(side, side) / np.quantile(cdist(side, side), 0.9) for side in (x, y))
    expected = reference(first, second)
    assert expected > 0.1
    assert divergence(first, second) == pytest.approx(expected, rel=1e-12)
    assert value(x, y) == pytest.approx(expected, rel=1e-10)


def test_two_points_that_meet_later_give_one_bar() -> None:
    near, far = 1 - np.eye(2), 3 * (1 - np.eye(2))
    assert cross_barcode(far, near).tolist() == [[1.0, 3.0]]
    assert cross_barcode(near, far).tolist() == []
    assert divergence(near, far) == 1.0


def test_a_square_against_four_points_far_apart_gives_three_bars_of_components_and_one_of_the_loop() -> None:
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    square, apart = cdist(corners, corners), 2 * (1 - np.eye(4))
    bars = cross_barcode(apart, square)
    assert sorted(bars.tolist()) == pytest.approx(np.array([[1, 2**0.5], [1, 2], [1, 2], [1, 2]]))
    assert divergence(square, apart) == pytest.approx((3 + 2**0.5 - 1) / 2)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    x, y = pair(40)
    order = np.random.default_rng(seed).permutation(40)
    assert value(x[order], y[order]) == pytest.approx(value(x, y), rel=1e-10)
    assert value(x, y[order]) > 1.2 * value(x, y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [30, 60])
def test_the_divergence_from_oneself_is_zero(rows: int, dtype: torch.dtype) -> None:
    x = torch.randn(rows, 4, dtype=dtype)
    assert rtd(x, x.clone(), batch=30, batches=3).value == 0


def test_both_sides_are_read_at_the_same_rows() -> None:
    x, _ = pair(100)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    assert value(x, 5 * x @ rotation - 2, batch=30, batches=3) < 1e-10


def test_a_score_is_the_mean_over_the_batches_with_their_standard_error() -> None:
    x, y = (torch.as_tensor(side) for side in pair(100))
    score, first = rtd(x, y, batch=30, batches=4), rtd(x, y, batch=30, batches=1)
    parts = [METRICS.get("rtd").prepare(side, batch=30, batches=4, seed=0) for side in (x, y)]
    found = [divergence(scaled_distances(a), scaled_distances(b)) for a, b in zip(*parts, strict=True)]
    assert len({len(part) for part in parts[0]} | {30}) == 1
    assert score.value == pytest.approx(np.mean(found))
    assert score.standard_error == pytest.approx(np.std(found, ddof=1) / 2)
    assert (first.value, first.standard_error) == (pytest.approx(found[0]), None)
    assert rtd(x, y, batch=30, batches=4, seed=1).value != score.value


def test_all_rows_are_taken_once_where_there_are_no_more_than_a_batch() -> None:
    x, y = (torch.as_tensor(side) for side in pair(30))
    assert rtd(x, y, batch=30) == rtd(x, y, batch=500, seed=1)
    assert rtd(x, y, batch=30).standard_error is None


def test_it_grows_with_noise_and_is_largest_for_unrelated_rows() -> None:
    values = [value(*pair(60, 3, 3, noise=noise)) for noise in (0.1, 0.5, 2.0)]
    x, y = pair(60, 3, 3, noise=0.1)
    assert values == sorted(values)
    assert value(x, y[::-1].copy()) > values[0]


def test_distances_are_symmetric_to_the_last_digit() -> None:
    found = scaled_distances(torch.randn(300, 16) + 10)
    assert (found == found.T).all()


def test_duplicate_rows_do_no_harm_but_nine_tenths_of_zeros_have_no_scale() -> None:
    x, y = pair(10)
    twice = [np.concatenate([side, side]) for side in (x, y)]
    assert value(*twice) == pytest.approx(value(x, y), rel=0.2)
    collapsed = np.zeros((40, 2))
    collapsed[0] = 1
    with pytest.raises(NotApplicable, match="no scale"):
        rtd(torch.as_tensor(collapsed), torch.randn(40, 2))


def test_without_gudhi_it_is_skipped_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gudhi", None)
    sides = [Representation(torch.as_tensor(side)) for side in pair(10)]
    (score,) = score_pairs(METRICS.get("rtd"), sides, [(0, 1)])
    assert score.status == "skip"
    assert score.reason == 'rtd needs gudhi: pip install "simbench-leaderboard[topology]"'


def test_no_variance_does_not_apply() -> None:
    with pytest.raises(NotApplicable, match="no variance"):
        rtd(torch.ones(10, 2), torch.randn(10, 2))
