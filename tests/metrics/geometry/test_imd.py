"""IMD: against the eigenvalues of the Laplacian, on graphs with a known spectrum, and by properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from simbench.errors import NotApplicable
from simbench.metrics.geometry.imd import grid_of_times, heat_trace, imd, neighbourhood_graph
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

Array = NDArray[np.float64]
TIMES = np.geomspace(0.1, 10, 256)
WEIGHTS = np.exp(-2 * (TIMES + 1 / TIMES))


def adjacency(x: Array, k: int) -> Array:
    """1 where one of two rows is among the k nearest of the other; the first rows win ties."""
    d = cdist(x, x)
    np.fill_diagonal(d, np.inf)
    nearest = np.argsort(d, axis=1, kind="stable")[:, :k]
    a = np.zeros_like(d)
    np.put_along_axis(a, nearest, 1, axis=1)
    return np.maximum(a, a.T)


def trace(x: Array, k: int) -> Array:
    """tr e^−tL / n on the grid, from all eigenvalues."""
    a = adjacency(x, k)
    degrees = a.sum(axis=1)
    laplacian = np.eye(len(x)) - a / np.sqrt(np.outer(degrees, degrees))
    return np.exp(-np.outer(TIMES, np.linalg.eigvalsh(laplacian))).mean(axis=1)


def reference(x: Array, y: Array, k: int = 5) -> float:
    return float((WEIGHTS * np.abs(trace(x, k) - trace(y, k))).max())


def pair(rows: int, width: int, other: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, width)), rng.normal(size=(rows, other)) * np.linspace(0.1, 1, other) + 3


def value(x: Array, y: Array, **parameters: int) -> float:
    found = imd(torch.as_tensor(x), torch.as_tensor(y), **parameters).value
    assert found is not None
    return found


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("shape", [(40, 6, 9), (12, 30, 25), (60, 1, 2), (7, 2, 3)])
def test_it_is_the_weighted_difference_of_the_heat_traces(shape: tuple[int, int, int], k: int) -> None:
    x, y = pair(*shape)
    assert value(x, y, k=k) == pytest.approx(reference(x, y, k), rel=1e-9, abs=1e-15)


def test_a_cycle_against_triangles_has_the_value_of_their_known_spectra() -> None:
    angles = 2 * np.pi * np.arange(30) / 30
    cycle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    corners = np.array([[0, 0], [1, 0], [0.5, 0.9]])
    triangles = np.concatenate([corners + 100 * k for k in range(10)])
    of_cycle = np.exp(-np.outer(TIMES, 1 - np.cos(angles))).mean(axis=1)
    of_triangles = (1 + 2 * np.exp(-1.5 * TIMES)) / 3
    expected = (WEIGHTS * np.abs(of_cycle - of_triangles)).max()
    assert value(cycle, triangles, k=2) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("probes", [4000, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_distance_from_oneself_is_exactly_zero_even_where_it_is_estimated(dtype: torch.dtype, probes: int) -> None:
    x = torch.randn(30, 5, dtype=dtype)
    assert imd(x, x.clone(), probes=probes).value == 0


def test_random_probes_are_right_on_average_and_their_error_is_what_is_reported() -> None:
    x, y = (torch.as_tensor(side) for side in pair(50, 2, 12))
    _, weights = grid_of_times(x)
    exact = heat_trace(x, k=5, probes=50, seed=0).trace - heat_trace(y, k=5, probes=50, seed=0).trace
    best = int((weights * exact.abs()).argmax())
    found, errors = [], []
    for seed in range(60):
        sides = [heat_trace(side, k=5, probes=16, seed=seed) for side in (x, y)]
        found.append(float(weights[best] * (sides[0].trace - sides[1].trace)[best]))
        errors.append(imd(x, y, probes=16, seed=seed).standard_error)
    expected = float(weights[best] * exact[best])
    assert abs(np.mean(found) - expected) < 4 * np.std(found, ddof=1) / np.sqrt(60)
    assert np.mean(errors) == pytest.approx(np.std(found, ddof=1), rel=0.3)


def test_an_exact_value_has_no_standard_error_and_no_use_for_the_seed() -> None:
    x, y = (torch.as_tensor(side) for side in pair(50, 2, 12))
    assert imd(x, y, probes=50) == imd(x, y, probes=50, seed=1)
    assert imd(x, y, probes=50).standard_error is None
    assert imd(x, y, probes=49) != imd(x, y, probes=49, seed=1)


def test_duplicate_rows_are_neighbours_of_one_another_and_never_of_themselves() -> None:
    x, y = pair(6, 3, 4)
    x, y = np.repeat(x, 7, axis=0), np.concatenate([y] * 7)
    senders, receivers = neighbourhood_graph(torch.as_tensor(x), 5)
    assert not bool((senders == receivers).any())
    assert bool((senders // 7 == receivers // 7).all())
    assert int(torch.bincount(senders).min()) >= 5
    assert value(x, y) == pytest.approx(reference(x, y), rel=1e-9, abs=1e-15)


def test_the_graph_is_that_of_the_definition() -> None:
    x, _ = pair(40, 6, 9)
    senders, receivers = neighbourhood_graph(torch.as_tensor(x), 5)
    expected = np.argwhere(adjacency(x, 5) > 0)
    assert torch.stack([senders, receivers], dim=1).tolist() == expected.tolist()


def test_rows_need_no_pairing() -> None:
    x, y = pair(60, 2, 12)
    shuffled = y[np.random.default_rng(1).permutation(60)]
    assert value(x, shuffled) == pytest.approx(value(x, y), rel=1e-9)


# The kit compares with a tolerance relative to 1; these values are a thousand times smaller and more.
@pytest.mark.parametrize("change", ["orthogonal", "scale", "translation"])
def test_what_keeps_the_neighbours_keeps_the_value(change: str) -> None:
    x, y = pair(60, 4, 12)
    changed = {
        "orthogonal": x @ np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0],
        "scale": 1e-6 * x,
        "translation": x + 1e4,
    }[change]
    assert value(x, y) > 1e-5
    assert value(changed, y) == pytest.approx(value(x, y), rel=1e-9)
    assert value(changed, x) < 1e-14


def test_an_invertible_map_changes_the_value() -> None:
    x, y = pair(60, 4, 12)
    assert value(x * [1, 1, 10, 10], y) != pytest.approx(value(x, y), rel=0.01)


def test_clouds_of_one_dimension_are_nearer_than_clouds_of_two_dimensions() -> None:
    rng = np.random.default_rng(0)
    plane, other, space = (rng.normal(size=(300, width)) for width in (2, 2, 12))
    assert 3 * value(plane, other) < value(plane, space)


@pytest.mark.parametrize("probes", [4000, 16])
def test_blocks_make_no_difference(probes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pair(40, 6, 9)
    whole = value(x, y, probes=probes)
    monkeypatch.setattr("simbench.metrics.kernels.memory.BLOCK", 8 * 40 * 7)
    assert value(x, y, probes=probes) == pytest.approx(whole, rel=1e-9)


def test_the_batched_interface_gives_the_same_for_many_pairs() -> None:
    x, y = pair(40, 6, 9)
    sides = [Representation(torch.as_tensor(side)) for side in (x, y)]
    scores = score_pairs(METRICS.get("imd"), sides, [(0, 1), (1, 0), (1, 1)])
    assert [score.value for score in scores] == [value(x, y), value(x, y), 0.0]


def test_too_few_rows_and_no_variance_do_not_apply() -> None:
    with pytest.raises(NotApplicable, match="5 nearest neighbours need at least 7 rows, there are 6"):
        imd(torch.randn(6, 2), torch.randn(6, 2))
    with pytest.raises(NotApplicable, match="no variance"):
        imd(torch.ones(10, 2), torch.randn(10, 2))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_device_makes_no_difference() -> None:
    x, y = (torch.as_tensor(side) for side in pair(200, 6, 9))
    for probes in (4000, 16):
        there = imd(x.cuda(), y.cuda(), probes=probes)
        assert there.value == pytest.approx(imd(x, y, probes=probes).value, rel=1e-6)
