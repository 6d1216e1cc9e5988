"""Spectral clusters of units: against slow references, the published expectations, and by properties."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import block_diag, hadamard
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from simbench.errors import NotApplicable
from simbench.metrics.matching.clusters import (
    clustered,
    mixing,
    side,
    side_of,
    spectral_clusters,
    spectral_labels,
    spectral_subspace,
)
from simbench.metrics.matching.correlation import match_bipartite
from simbench.metrics.metric import Score
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation, SpatialRule
from simbench.testing import check_metric

Array = NDArray[np.float64]
IDS = ["spectral_clusters", "spectral_subspace"]
UNITS = 64


def pair(rows: int, width: int, other: int, seed: int = 0) -> tuple[Array, Array]:
    """Two sides that see the same latent variables, so that there is something to cluster."""
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(rows, 5))
    x, y = (latents @ rng.normal(size=(5, d)) + rng.normal(size=(rows, d)) for d in (width, other))
    return x, y + 3


def score(name: str, x: Array, y: Array, **parameters: object) -> Score:
    metric = METRICS.get(name).with_parameters(parameters)
    found: Score = metric.function(torch.as_tensor(x), torch.as_tensor(y), **metric.parameters)
    return found


def value(name: str, x: Array, y: Array, **parameters: object) -> float:
    found = score(name, x, y, **parameters)
    assert found.value is not None, found.reason
    return found.value


def labels_of(x: Array, y: Array, cluster_size: float = 5.0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    a, b = (side(torch.as_tensor(matrix), len(matrix)) for matrix in (x, y))
    return clustered(a, b, b.units.columns, cluster_size)


def raw_mixing(x: Array, y: Array, clusters: int) -> float:
    return mixing(*labels_of(x, y, (x.shape[1] + y.shape[1]) / clusters))


def rotation(rng: np.random.Generator, size: int) -> Array:
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


# Against references


def clusters_by_hand(affinity: Array, clusters: int) -> NDArray[np.int64]:
    """Ng, Jordan and Weiss, step by step; Ward's method by scikit-learn."""
    affinity = affinity.copy()
    for i in range(len(affinity)):
        affinity[i, i] = 0
    degree = [sum(row) for row in affinity]
    laplacian = [[a / np.sqrt(degree[i] * degree[j]) for j, a in enumerate(row)] for i, row in enumerate(affinity)]
    values, vectors = np.linalg.eig(np.array(laplacian))
    leading = vectors.real[:, np.argsort(-values.real)[:clusters]]
    rows = np.array([row / np.sqrt((row**2).sum()) for row in leading])
    found: NDArray[np.int64] = AgglomerativeClustering(clusters, linkage="ward").fit(rows).labels_
    return found


@pytest.mark.parametrize("shape", [(80, 10, 14), (80, 14, 10), (300, 30, 30)])
def test_the_clusters_are_those_of_the_definition(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    expected = clusters_by_hand(np.abs(np.corrcoef(x.T, y.T)), round((shape[1] + shape[2]) / 5))
    assert adjusted_rand_score(expected, np.concatenate(labels_of(x, y))) == 1


def test_the_mixing_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(6, size=20), rng.integers(6, size=33)
    expected = sum(min(np.mean(a == c), np.mean(b == c)) for c in range(6))
    assert mixing(a, b) == pytest.approx(expected, abs=1e-12)


def test_the_value_is_the_mixing_adjusted_by_that_of_exchanged_inputs() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 24))
    y = x[:, :22] + 2 * rng.normal(size=(100, 22))
    assert len({value("spectral_clusters", x, y, seed=seed) for seed in range(3)}) == 3
    shuffled = [raw_mixing(x, y[np.random.default_rng(seed).permutation(100)], 9) for seed in range(100)]
    found, chance = raw_mixing(x, y, 9), float(np.mean(shuffled))
    estimate = score("spectral_clusters", x, y, permutations=100)
    assert estimate.value == pytest.approx((found - chance) / (1 - chance), abs=4 * estimate.standard_error)
    error = (1 - found) / (1 - chance) ** 2 * np.std(shuffled) / np.sqrt(100)
    assert estimate.standard_error == pytest.approx(error, rel=0.3)


@pytest.mark.parametrize("shape", [(80, 10, 14), (80, 14, 10), (300, 30, 30)])
def test_the_subspaces_are_compared_by_canonical_correlation(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    a, b = labels_of(x, y)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    expected = 0.0
    for c in set(a) & set(b):
        left, right = x[:, a == c], y[:, b == c]
        cosines = np.linalg.svd(np.linalg.qr(left)[0].T @ np.linalg.qr(right)[0], compute_uv=False)
        expected += (left.shape[1] + right.shape[1]) * np.mean(cosines**2)
    assert value("spectral_subspace", x, y) == pytest.approx(expected / (shape[1] + shape[2]), abs=1e-10)


# What it should be


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_copy_is_the_same(name: str, dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(300, 20)), 0).astype(dtype)
    copy = (x * 2.0 ** rng.integers(-3, 3, size=20) + 4)[:, rng.permutation(20)].astype(dtype)
    for cluster_size in (2.5, 5.0, 10.0):
        assert value(name, x, x, cluster_size=cluster_size) == pytest.approx(1, abs=1e-12)
        assert value(name, x, -x, cluster_size=cluster_size) == pytest.approx(1, abs=1e-12)
        assert value(name, x, copy, cluster_size=cluster_size) == pytest.approx(1, abs=1e-6)


def test_a_copy_mixes_without_rounding_error() -> None:
    x = np.random.default_rng(0).normal(size=(300, 21))
    assert spectral_clusters(torch.as_tensor(x), torch.as_tensor(x)) == Score(1.0, standard_error=0.0)


@pytest.mark.parametrize(
    ("clusters", "rotated", "independent"), [(8, 0.91, 0.84), (16, 0.91, 0.75), (40, 0.89, 0.55)], ids=str
)
def test_without_adjustment_chance_alone_mixes_as_expected(clusters: int, rotated: float, independent: float) -> None:
    rng = np.random.default_rng(0)
    sides = [rng.normal(size=(1000, UNITS)) for _ in range(12)]
    turned = [raw_mixing(x, x @ rotation(rng, UNITS), clusters) for x in sides]
    unrelated = [raw_mixing(x, y, clusters) for x, y in pairwise(sides)]
    assert np.mean(turned) == pytest.approx(rotated, abs=0.05)
    assert np.mean(unrelated) == pytest.approx(independent, abs=0.05)


def test_chance_is_zero_on_average() -> None:
    rng = np.random.default_rng(0)
    values = [value("spectral_clusters", *rng.normal(size=(2, 200, 32)), seed=seed) for seed in range(30)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(30)
    assert min(values) < 0 < max(values)


def test_independent_units_share_no_subspace() -> None:
    rng = np.random.default_rng(0)
    assert value("spectral_subspace", *rng.normal(size=(2, 1000, UNITS))) < 0.02


def test_rotated_blocks_of_units_keep_their_subspaces_and_not_their_units() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, UNITS))
    y = x @ block_diag(*[rotation(rng, 4) for _ in range(UNITS // 4)])
    assert float(match_bipartite(torch.as_tensor(x), torch.as_tensor(y))) <= 0.8
    assert value("spectral_subspace", x, y) >= 0.9
    assert value("spectral_clusters", x, y) >= 0.9
    assert value("spectral_subspace", x, x @ rotation(rng, UNITS)) < 0.3


@pytest.mark.parametrize("name", IDS)
def test_more_noise_is_less_similar(name: str) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(500, 40)), rng.normal(size=(500, 40))
    values = [value(name, x, x + size * noise) for size in (0, 1, 3, 30)]
    assert values[0] == pytest.approx(1)
    assert values[-1] < 0.1
    assert name != "spectral_subspace" or values == sorted(values, reverse=True)


# Dead, isolated and left-over units, copies of units, sides of different size


@pytest.mark.parametrize("name", IDS)
def test_dead_units_are_left_out_and_counted(name: str) -> None:
    x, y = pair(80, 16, 12)
    dead = np.column_stack([np.full((80, 3), -7.3), x])
    sides = [Representation(torch.as_tensor(matrix)) for matrix in (dead, y)]
    itself, other = score_pairs(METRICS.get(name), sides, [(0, 0), (0, 1)])
    assert itself.value == pytest.approx(1, abs=1e-12)
    assert itself.warnings == ("3 and 3 dead units",)
    assert other.value == pytest.approx(value(name, x, y), abs=1e-12)
    assert other.warnings == ("3 and 0 dead units",)


@pytest.mark.parametrize("name", IDS)
def test_only_dead_units_are_not_applicable(name: str) -> None:
    with pytest.raises(NotApplicable, match="no variance"):
        METRICS.get(name).function(torch.full((10, 30), 0.1), torch.randn(10, 30))


@pytest.mark.parametrize("name", IDS)
def test_copies_of_a_unit_and_of_their_copy_stay_together(name: str) -> None:
    """There are fewer distinct units than clusters; an eigenvector of a negative eigenvalue would tell copies apart."""
    rng = np.random.default_rng(0)
    once = rng.normal(size=(100, 2))
    x = np.repeat(once, 10, axis=1)
    assert len(set(np.concatenate(labels_of(x, x)))) <= 2
    assert value(name, x, x) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", IDS)
def test_units_without_any_correlation_are_as_similar_to_themselves_as_others(name: str) -> None:
    """Each unit and its copy are a component of the graph: more components than clusters."""
    x = hadamard(32)[:, 1:17].astype(float)
    assert value(name, x, x) == pytest.approx(1, abs=1e-12)


def test_units_that_the_leading_eigenvectors_leave_at_the_origin_are_one_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eight components share the eigenvalue 1. Which two vectors span it is LAPACK's choice, so the test makes it."""
    chosen = np.tile(np.eye(8)[:, :2], (4, 1)) / 2
    chosen += 1e-17 * np.random.default_rng(0).normal(size=chosen.shape)  # what these say of the others is rounding
    monkeypatch.setattr("scipy.linalg.eigh", lambda *_, **__: (np.ones(2), chosen))
    labels = spectral_labels(np.kron(np.ones((4, 4)), np.eye(8)), 2).reshape(4, 8)
    assert np.array_equal(labels, np.broadcast_to(labels[0], (4, 8)))
    assert len(set(labels[0])) == 3
    assert len(set(labels[0, 2:])) == 1


def test_equal_components_are_never_split_whichever_eigenvectors_are_found() -> None:
    labels = spectral_labels(np.kron(np.ones((4, 4)), np.eye(8)), 2).reshape(4, 8)
    assert np.array_equal(labels, np.broadcast_to(labels[0], (4, 8)))
    assert len(set(labels[0])) in (2, 3)


def test_isolated_units_are_clusters_of_their_own() -> None:
    affinity = np.eye(6)
    affinity[1, 2] = affinity[2, 1] = 0.5
    affinity[4, 5] = affinity[5, 4] = 0.2
    labels = spectral_labels(affinity, 2)
    assert len(set(labels)) == 4
    assert labels[1] == labels[2] != labels[4] == labels[5]
    assert len(set(spectral_labels(np.eye(3), 2))) == 3


def test_units_that_correlate_with_none_of_the_other_side_mix_with_none() -> None:
    columns = hadamard(64).astype(float)
    x, y = columns[:, 1:17], columns[:, 17:33]
    assert mixing(*labels_of(x, y)) == 0
    assert value("spectral_subspace", x, y) == 0


def test_correlations_of_the_size_of_rounding_errors_are_none() -> None:
    angles = 2 * np.pi * np.arange(100)[:, None] / 100 * np.arange(1, 17)
    assert mixing(*labels_of(np.cos(angles), np.sin(angles))) == 0


@pytest.mark.parametrize("name", IDS)
def test_sides_of_different_size_are_compared(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(300, 40))
    part = x[:, :5]  # so few that some clusters hold none of them
    assert value(name, x, part) < 0.9
    assert value(name, x, part) == pytest.approx(value(name, part, x), abs=1e-9)


def test_a_part_with_units_in_every_cluster_mixes_unevenly_and_spans_a_subspace_of_the_whole() -> None:
    x = np.random.default_rng(0).normal(size=(300, 40))
    part = x[:, :20]
    assert set(labels_of(x, part)[0]) == set(labels_of(x, part)[1])
    assert value("spectral_clusters", x, part) < 0.9
    assert value("spectral_subspace", x, part) == pytest.approx(1, abs=1e-12)


def test_where_chance_mixes_perfectly_the_adjusted_mixing_is_skipped() -> None:
    x, y = pair(30, 3, 3)
    found = score("spectral_clusters", x, y)
    assert (found.status, found.value) == ("skip", None)
    assert "too few clusters" in str(found.reason)


def test_a_cluster_that_fits_anything_is_said_to() -> None:
    x, y = pair(8, 30, 30)
    assert score("spectral_subspace", x, y, cluster_size=30).warnings == (
        "saturated: ranks 7 and 7 of 8 rows force 7 of 7 correlations to 1",
    )
    assert score("spectral_subspace", *pair(200, 30, 30)).warnings == ()


# Positions


def test_positions_of_an_input_are_exchanged_together() -> None:
    positions = torch.randn(10, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    representation = Representation(positions, "channels_first", spatial=SpatialRule("positions", rows=30))
    node = side_of(representation)
    assert node.inputs == 10
    before, after = node.units.columns.view(10, 3, 6), node.exchanged(0).view(10, 3, 6)
    origin = [next(k for k in range(10) if torch.equal(block, before[k])) for block in after]
    assert sorted(origin) == list(range(10))
    assert all(k != origin[k] == origin.index(k) for k in range(10))


def test_chance_is_that_of_inputs_where_rows_are_positions() -> None:
    """Positions of one input are alike: 12 inputs correlate by chance far more than 600 rows would."""
    rng = np.random.default_rng(0)
    values, by_rows = [], []
    for seed in range(12):
        x, y = (np.repeat(rng.normal(size=(12, 24, 1)), 50, axis=2) + rng.normal(size=(12, 24, 50)) for _ in range(2))
        sides = [
            Representation(torch.as_tensor(a), "channels_first", spatial=SpatialRule("positions", rows=600))
            for a in (x, y)
        ]
        (found,) = score_pairs(METRICS.get("spectral_clusters").with_parameters({"seed": seed}), sides, [(0, 1)])
        values.append(found.value)
        by_rows.append(spectral_clusters(sides[0].matrix, sides[1].matrix, seed=seed).value)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(12)
    assert np.mean(by_rows) > 0.3


# All of it


@pytest.mark.parametrize("name", IDS)
@settings(max_examples=25, deadline=None)
@given(rows=st.integers(4, 40), width=st.integers(1, 15), other=st.integers(1, 15), seed=st.integers(0, 10**6))
def test_range_and_symmetry(name: str, rows: int, width: int, other: int, seed: int) -> None:
    x, y = pair(rows, width, other, seed)
    found, back = score(name, x, y), score(name, y, x)
    assert found.status == back.status
    assert found.value is not None or width + other < 15
    if found.value is not None:
        low, high = METRICS.get(name).value_range
        assert low <= found.value <= high
        assert back.value == pytest.approx(found.value, abs=1e-9)


@pytest.mark.parametrize("name", IDS)
def test_declarations_hold_on_other_inputs_too(name: str) -> None:
    assert [found for found in check_metric(METRICS.get(name), seed=1) if not found.ok] == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("metric", [spectral_clusters, spectral_subspace])
def test_the_gpu_finds_the_same(metric) -> None:
    x, y = (torch.as_tensor(matrix) for matrix in pair(300, 30, 20))
    assert metric(x.cuda(), y.cuda()).value == pytest.approx(metric(x, y).value, abs=1e-9)
