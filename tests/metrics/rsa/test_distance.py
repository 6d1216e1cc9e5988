"""Indices on distances and on transported clouds: against their definitions, by known answers and by properties."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from tests.metrics.sides import Array, pair

from simbench.errors import NotApplicable
from simbench.metrics.kernels import distance_matrices as pairwise
from simbench.metrics.kernels.memory import limited_memory
from simbench.metrics.rsa.distance import distance_correlation, rsm_norm_difference
from simbench.metrics.rsa.transport import energy_distance, gromov_wasserstein
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

SHAPES = [(40, 6, 9), (12, 30, 25), (20, 20, 1), (5, 2, 3)]
IDS = ["distance_correlation", "rsm_norm_difference", "energy_distance", "gromov_wasserstein"]


def value(metric, x: Array, y: Array, **parameters: object) -> float:
    return float(metric(torch.as_tensor(x), torch.as_tensor(y), **parameters))


def doubly_centred(x: Array) -> Array:
    d = cdist(x, x)
    return d - d.mean(axis=0) - d.mean(axis=1)[:, None] + d.mean()


def u_centred(x: Array) -> Array:
    d, n = cdist(x, x), len(x)
    a = d - d.sum(axis=0) / (n - 2) - d.sum(axis=1)[:, None] / (n - 2) + d.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(a, 0)
    return a


@pytest.mark.parametrize("shape", SHAPES)
def test_distance_correlation_is_that_of_doubly_centred_distances(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    a, b = doubly_centred(x), doubly_centred(y)
    expected = np.sqrt((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
    assert value(distance_correlation, x, y) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_unbiased_distance_correlation_is_that_of_u_centred_distances(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    a, b = u_centred(x), u_centred(y)
    expected = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    assert value(distance_correlation, x, y, unbiased=True) == pytest.approx(expected, rel=1e-9)


def test_independent_wide_data_have_a_high_distance_correlation_unless_it_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    draws = [(rng.normal(size=(50, 128)), rng.normal(size=(50, 128))) for _ in range(30)]
    assert value(distance_correlation, *draws[0]) == pytest.approx(0.97, abs=0.02)
    unbiased = np.array([value(distance_correlation, x, y, unbiased=True) for x, y in draws])
    assert abs(unbiased.mean()) < 3 * unbiased.std(ddof=1) / np.sqrt(len(unbiased))


def test_the_unbiased_distance_correlation_needs_four_rows() -> None:
    with pytest.raises(ValueError, match="at least 4 rows, got 3"):
        distance_correlation(torch.randn(3, 2), torch.randn(3, 2), unbiased=True)


@pytest.mark.parametrize("norm", ["frobenius", "spectral"])
@pytest.mark.parametrize("shape", [*SHAPES, (90, 4, 5)])
def test_rsm_norm_difference_is_a_norm_of_the_difference(norm: str, shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    expected = np.linalg.norm(cdist(x, x) - cdist(y, y), "fro" if norm == "frobenius" else 2)
    assert value(rsm_norm_difference, x, y, norm=norm) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("norm", ["frobenius", "spectral"])
@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9])
def test_small_norm_differences_keep_their_digits(norm: str, size: float) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(100, 5)), rng.normal(size=(100, 5))
    exact = value(rsm_norm_difference, x, x + 1e-4 * noise, norm=norm) / 1e-4
    assert value(rsm_norm_difference, x, x + size * noise, norm=norm) / size == pytest.approx(exact, rel=0.02)


def test_lanczos_that_does_not_converge_falls_back_to_the_full_decomposition(monkeypatch) -> None:
    import scipy.sparse.linalg

    def fails(*_: object, **__: object) -> None:
        raise scipy.sparse.linalg.ArpackNoConvergence("no", np.empty(0), np.empty((0, 0)))

    monkeypatch.setattr(scipy.sparse.linalg, "eigsh", fails)
    x, y = pair(90, 4, 5)
    expected = np.linalg.norm(cdist(x, x) - cdist(y, y), 2)
    assert value(rsm_norm_difference, x, y, norm="spectral") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_energy_distance_is_that_of_the_aligned_clouds(shape: tuple[int, int, int]) -> None:
    width = max(shape[1:])
    sides = []
    for side in pair(*shape):
        centred = side - side.mean(axis=0)
        scaled = centred / np.linalg.norm(centred) * np.sqrt(len(side))
        sides.append(np.pad(scaled, ((0, 0), (0, width - side.shape[1]))))
    x, y = sides
    y = y @ scipy.linalg.orthogonal_procrustes(y, x)[0]
    expected = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    assert value(energy_distance, *pair(*shape)) == pytest.approx(expected, abs=1e-10)


def test_the_energy_distance_ignores_which_row_is_which_within_a_cloud() -> None:
    x = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert value(energy_distance, x, -x) == pytest.approx(0, abs=1e-12)


def test_gromov_wasserstein_lies_between_the_best_permutation_and_the_given_one() -> None:
    for seed in range(8):
        x, y = pair(6, 2, 2, seed)
        d, e = cdist(x, x), cdist(y, y)
        best = min(np.linalg.norm(d - e[np.ix_(order, order)]) / 6 for order in permutations(range(6)))
        assert best - 1e-12 <= value(gromov_wasserstein, x, y) <= np.linalg.norm(d - e) / 6


def test_gromov_wasserstein_is_no_worse_than_a_public_solver() -> None:
    ot = pytest.importorskip("ot")
    for seed in range(4):
        x, y = pair(30, 3, 4, seed)
        d, e = cdist(x, x), cdist(y, y)
        weights = np.full(30, 1 / 30)
        coupling, log = ot.gromov.gromov_wasserstein(d, e, weights, weights, "square_loss", log=True)
        assert coupling.sum() == pytest.approx(1)
        assert value(gromov_wasserstein, x, y) <= np.sqrt(log["gw_dist"]) + 1e-9


def test_gromov_wasserstein_finds_a_shuffled_copy_again() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([np.sort(rng.exponential(size=40)), 0.01 * rng.normal(size=40)])
    assert value(gromov_wasserstein, x, x[rng.permutation(40)]) == pytest.approx(0, abs=1e-9)


def test_gromov_wasserstein_draws_the_same_rows_on_both_sides() -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    assert value(gromov_wasserstein, x, x, rows=20) == 0
    values = {value(gromov_wasserstein, *pair(60, 4, 3), rows=20, seed=seed) for seed in (0, 0, 1)}
    assert len(values) == 2


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(60, 6), (8, 30)])
def test_self_comparison_is_exact(name: str, dtype: torch.dtype, shape: tuple[int, int]) -> None:
    x = torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0)) + 10
    metric, best = METRICS.get(name), 1.0 if METRICS.get(name).higher_is_more_similar else 0.0
    scores = score_pairs(metric, [Representation(x)] * 2, [(0, 0), (0, 1)])
    found = [float(metric.function(x, x.clone())), *(score.value for score in scores)]
    assert found == pytest.approx([best] * 3, abs=1e-12)


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("limit", [1, 4_000, 2**25])
def test_a_batch_of_mixed_shapes_equals_the_plain_function(name: str, limit: int) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = [(30, 4), (30, 50), (30, 1), (12, 20), (12, 3)]
    sides = [Representation(torch.randn(*shape, generator=generator)) for shape in shapes]
    pairs = [(a, b) for a in range(5) for b in range(5) if shapes[a][0] == shapes[b][0]]
    metric = METRICS.get(name)
    expected = [float(metric.function(sides[a].matrix, sides[b].matrix)) for a, b in pairs]
    with limited_memory(limit):
        scores = score_pairs(metric, sides, pairs)
    assert [score.value for score in scores] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("offset", [0, 1e4])
def test_distances_from_inner_products_are_as_good_as_from_differences(offset: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 7)) * np.geomspace(1, 1e-7, 50)[:, None] + offset
    x[11] = x[40]
    found = pairwise.row_distances(torch.tensor(x)).matrix().numpy()
    centred = x - x.mean(axis=0)
    assert np.allclose(found, cdist(centred, centred), rtol=1e-9, atol=0 if offset == 0 else 1e-11)
    assert found[11, 40] == 0


@pytest.mark.parametrize("name", IDS)
@settings(max_examples=15, deadline=None)
@given(rows=st.integers(4, 20), width=st.integers(1, 30), other=st.integers(1, 30), seed=st.integers(0, 10**6))
def test_symmetric_and_within_its_range(name: str, rows: int, width: int, other: int, seed: int) -> None:
    metric, (x, y) = METRICS.get(name), pair(rows, width, other, seed)
    found = value(metric.function, x, y)
    assert value(metric.function, y, x) == pytest.approx(found, rel=1e-9, abs=1e-12)
    assert metric.value_range[0] <= found <= metric.value_range[1] + 1e-12


@pytest.mark.parametrize("name", ["distance_correlation", "rsm_norm_difference", "energy_distance"])
def test_more_noise_is_less_similar(name: str) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(100, 10)), rng.exponential(size=(100, 10))
    metric = METRICS.get(name)
    values = [metric.similarity(value(metric.function, x, x + level * noise)) for level in (0, 0.1, 0.3, 1, 3)]
    assert values == sorted(values, reverse=True)


def test_rsm_norm_differences_obey_the_triangle_inequality() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        x, z = rng.normal(size=(2, 12, 4))
        y = (x + z) / 2
        direct = value(rsm_norm_difference, x, z)
        assert direct <= value(rsm_norm_difference, x, y) + value(rsm_norm_difference, y, z) + 1e-9


@pytest.mark.parametrize("name", IDS)
def test_a_constant_matrix_is_not_applicable(name: str) -> None:
    with pytest.raises(NotApplicable, match="no variance"):
        METRICS.get(name).function(torch.full((10, 3), 0.1), torch.randn(10, 3))


def test_a_distance_variance_that_is_not_positive_is_an_error() -> None:
    x = torch.tensor([[0.0], [0], [0], [0], [1]])
    (score,) = score_pairs(
        METRICS.get("distance_correlation").with_parameters({"unbiased": True}),
        [Representation(x), Representation(torch.randn(5, 2))],
        [(0, 1)],
    )
    assert score.status == "error"
    assert score.reason is not None
    assert score.reason.startswith("NonPositiveDistanceVarianceError")


@pytest.mark.parametrize("limit", [1, 2**31])
def test_the_spectral_norm_does_not_depend_on_the_memory(limit: int) -> None:
    x, y = pair(90, 5, 7)
    expected = np.linalg.norm(cdist(x, x) - cdist(y, y), 2)
    metric = METRICS.get("rsm_norm_difference").with_parameters({"norm": "spectral"})
    with limited_memory(limit):
        scores = score_pairs(metric, [Representation(torch.tensor(side)) for side in (x, y, x)], [(0, 1), (0, 2)])
    assert [score.value for score in scores] == pytest.approx([expected, 0.0], rel=1e-9)


@pytest.mark.parametrize("rows", [2, 3, 4, 60, 61])
@pytest.mark.parametrize("values", ["continuous", "tied", "equal", "two"])
@pytest.mark.parametrize("limit", [1, 2**31])
def test_the_middle_of_a_matrix_is_found_without_holding_it(rows: int, values: str, limit: int) -> None:
    rng = np.random.default_rng(0)
    entries = {
        "continuous": rng.exponential(size=(rows, rows)) * 10.0 ** rng.integers(-9, 9, size=(rows, rows)),
        "tied": rng.integers(0, 4, size=(rows, rows)).astype(float),
        "equal": np.full((rows, rows), 0.3),
        "two": np.where(np.arange(rows * rows).reshape(rows, rows) % 2, 0.0, 1.0),
    }[values]
    matrix = torch.tensor(entries)
    with limited_memory(limit):
        found = pairwise.middle_above_diagonal(lambda i, j: matrix[i, j], rows)
    ordered = np.sort(entries[np.triu_indices(rows, 1)])
    assert found == (ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2])
