"""Geometry score: against witness complexes and Betti numbers from the definition, and by properties."""

from __future__ import annotations

import sys
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from simbench.errors import NotApplicable
from simbench.metrics.geometry import geometry_score as module
from simbench.metrics.geometry.geometry_score import (
    geometry_score,
    living_times,
    relative_living_times,
    witnessed_loops,
)
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

Array = NDArray[np.float64]
Filtration = dict[tuple[int, ...], float]


def witness_filtration(to_landmarks: Array) -> Filtration:
    """The α at which each set of one to three landmarks, and all its faces, have a witness; (rows, landmarks)."""
    count = to_landmarks.shape[1]
    found: Filtration = {}
    for size in (1, 2, 3):
        for simplex in combinations(range(count), size):
            outside = [other for other in range(count) if other not in simplex]
            needed = to_landmarks[:, simplex].max(axis=1) - to_landmarks[:, outside].min(axis=1)
            faces = [found[face] for face in combinations(simplex, size - 1) if face]
            found[simplex] = max(0.0, float(needed.min()), *faces)
    return found


def betti_1(filtration: Filtration, alpha: float) -> int:
    """Loops at one scale: edges − rank of their boundary − rank of the boundary of the triangles, over the reals."""
    here = [[s for s, born in filtration.items() if len(s) == size and born <= alpha] for size in (1, 2, 3)]

    def boundary_rank(faces: list[tuple[int, ...]], simplices: list[tuple[int, ...]]) -> int:
        matrix = np.zeros((len(faces), len(simplices)))
        for column, simplex in enumerate(simplices):
            for position in range(len(simplex)):
                matrix[faces.index(simplex[:position] + simplex[position + 1 :]), column] = (-1) ** position
        return int(np.linalg.matrix_rank(matrix)) if matrix.size else 0

    return len(here[1]) - boundary_rank(here[0], here[1]) - boundary_rank(here[1], here[2])


def slow_living_times(to_landmarks: Array, end: float) -> Array:
    filtration = witness_filtration(to_landmarks)
    scales = sorted({0.0, end, *(born for born in filtration.values() if born < end)})
    share = np.zeros(module.MOST_LOOPS)
    for before, after in pairwise(scales):
        share[betti_1(filtration, before)] += (after - before) / end
    return share


def ring(rows: int, rng: np.random.Generator) -> Array:
    angles = 2 * np.pi * rng.random(rows)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) + 0.03 * rng.normal(size=(rows, 2))


def disc(rows: int, rng: np.random.Generator) -> Array:
    directions = ring(rows, rng)
    return directions * np.sqrt(rng.random((rows, 1)))


def value(x: Array, y: Array, **parameters: float) -> float:
    found = geometry_score(torch.as_tensor(x), torch.as_tensor(y), **parameters).value
    assert found is not None
    return found


@pytest.mark.parametrize("gamma", [0.02, 0.3])
@pytest.mark.parametrize("make", [ring, disc])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_living_times_are_those_of_the_definition(make, seed: int, gamma: float) -> None:
    rng = np.random.default_rng(seed)
    x = make(25, rng)
    to_landmarks = cdist(x, x[rng.permutation(25)[:9]])
    end = gamma * to_landmarks.max()
    order = np.argsort(to_landmarks, axis=1)
    bars = witnessed_loops(order, np.take_along_axis(to_landmarks, order, axis=1), end)
    assert relative_living_times(bars, end) == pytest.approx(slow_living_times(to_landmarks, end), abs=1e-12)


def test_the_score_is_the_squared_distance_of_the_mean_living_times() -> None:
    rng = np.random.default_rng(0)
    sides = [torch.as_tensor(make(60, rng)) for make in (ring, disc)]
    times = [living_times(side, landmarks=12, draws=10, gamma=0.1, seed=0) for side in sides]
    score = geometry_score(*sides, landmarks=12, draws=10, gamma=0.1)
    assert times[0].shape == (10, module.MOST_LOOPS)
    assert times[0].sum(axis=1) == pytest.approx(np.ones(10))
    assert score.value == pytest.approx(((times[0].mean(axis=0) - times[1].mean(axis=0)) ** 2).sum())
    assert score.value > 0.01


def test_a_draw_has_the_living_times_of_its_landmarks() -> None:
    x = torch.as_tensor(ring(20, np.random.default_rng(0)))
    (found, _) = living_times(x, landmarks=20, draws=2, gamma=0.1, seed=0)  # all rows: whatever is drawn
    to_landmarks = cdist(x, x)
    assert found == pytest.approx(slow_living_times(to_landmarks, 0.1 * to_landmarks.max()), abs=1e-9)


def test_gamma_grows_with_the_rows_unless_it_is_given() -> None:
    x, y = (ring(60, np.random.default_rng(seed)) for seed in (0, 1))
    small = {"landmarks": 20, "draws": 4}
    assert value(x, y, **small) == value(x, y, gamma=60 / 128 / 5000, **small)
    assert value(x, y, **small) != value(x, y, gamma=0.1, **small)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_score_of_oneself_is_zero(dtype: torch.dtype) -> None:
    x = torch.randn(40, 3, dtype=dtype)
    assert geometry_score(x, x.clone(), landmarks=20, draws=5).value == 0


def test_both_sides_are_seen_from_the_same_landmarks() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    assert value(x, 5 * x @ rotation - 2, landmarks=20, draws=5, gamma=0.1) < 1e-20


def test_two_rings_are_nearer_than_a_ring_and_a_disc() -> None:
    rng = np.random.default_rng(0)
    one, other, filled = ring(400, rng), ring(400, rng), disc(400, rng)
    chosen = {"landmarks": 24, "draws": 20, "gamma": 0.2}
    assert 5 * value(one, other, **chosen) < value(one, filled, **chosen)


def test_the_standard_error_is_the_spread_over_seeds() -> None:
    rng = np.random.default_rng(0)
    x, y = torch.as_tensor(ring(60, rng)), torch.as_tensor(disc(60, rng))
    scores = [geometry_score(x, y, landmarks=12, draws=20, gamma=0.1, seed=seed) for seed in range(40)]
    spread = np.std([score.value for score in scores], ddof=1)
    assert np.mean([score.standard_error for score in scores]) == pytest.approx(spread, rel=0.35)


def test_groups_of_draws_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = ring(60, rng), disc(60, rng)
    whole = value(x, y, landmarks=12, draws=5, gamma=0.1)
    monkeypatch.setattr("simbench.metrics.kernels.memory.BLOCK", 8 * 60 * 12 * 2)
    assert value(x, y, landmarks=12, draws=5, gamma=0.1) == pytest.approx(whole, rel=1e-9)


def test_without_gudhi_it_is_skipped_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gudhi", None)
    sides = [Representation(torch.randn(70, 3)), Representation(torch.randn(70, 4))]
    (score,) = score_pairs(METRICS.get("geometry_score"), sides, [(0, 1)])
    assert score.status == "skip"
    assert score.reason == 'geometry_score needs gudhi: pip install "simbench-leaderboard[topology]"'


def test_fewer_rows_than_landmarks_and_no_variance_do_not_apply() -> None:
    with pytest.raises(NotApplicable, match="64 landmarks need at least as many different rows, there are 63"):
        geometry_score(torch.randn(63, 2), torch.randn(63, 2))
    with pytest.raises(NotApplicable, match="no variance"):
        geometry_score(torch.ones(70, 2), torch.randn(70, 2))
    collapsed = torch.zeros(70, 2)
    collapsed[0] = 1
    with pytest.raises(NotApplicable, match="4 landmarks need at least as many different rows, there are 2"):
        living_times(collapsed, landmarks=4, draws=2, gamma=0.1, seed=0)
