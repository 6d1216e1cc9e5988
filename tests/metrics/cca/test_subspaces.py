"""Principal angles and eigenspace overlap, and what GULP and decoding similarity have in common with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.sides import Array, batched, pair, value

from simbench.metrics.cca.subspaces import eigenspace_overlap, subspace_angles
from simbench.metrics.regression.gulp import gulp
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation
from simbench.testing import check_metric

NAMES = ["gulp", "decoding_similarity", "subspace_angles", "eigenspace_overlap"]
SHAPES = [(40, 6, 6), (40, 6, 9), (40, 9, 6), (20, 1, 3)]


def redundant(x: Array) -> Array:
    """The same column space in more columns: a duplicate, a sum and a constant."""
    return np.column_stack([x, x[:, 0], x.sum(axis=1), np.full(len(x), 0.1)])


@pytest.mark.parametrize("name", NAMES[:3])
def test_redundant_columns_do_not_count(name: str) -> None:
    x, y = pair(40, 5, 7)
    ridge = {"ridge": 0.0} if name == "decoding_similarity" else {}
    expected = value(METRICS.get(name).function, x, y, **ridge)
    assert value(METRICS.get(name).function, redundant(x), redundant(y), **ridge) == pytest.approx(expected, abs=1e-9)


def test_redundant_columns_do_not_count_for_the_uncentred_space() -> None:
    x, y = pair(40, 5, 7)
    more = np.column_stack([x, x[:, 0], x.sum(axis=1), np.zeros(40)])
    assert value(eigenspace_overlap, more, y) == pytest.approx(value(eigenspace_overlap, x, y), abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_principal_angles_are_those_of_scipy(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    angles = scipy.linalg.subspace_angles(x - x.mean(axis=0), y - y.mean(axis=0))
    angles = np.concatenate([angles, np.full(abs(shape[1] - shape[2]), np.pi / 2)])
    for summary, expected in [
        ("geodesic", np.linalg.norm(angles)),
        ("projection", np.linalg.norm(np.sin(angles))),
        ("largest", angles.max()),
    ]:
        assert value(subspace_angles, x, y, summary=summary) == pytest.approx(expected, rel=1e-9)
        assert batched("subspace_angles", x, y, summary=summary) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("size", [1e-2, 1e-5, 1e-8])
@pytest.mark.parametrize("name", ["gulp", "subspace_angles"])
def test_small_distances_keep_their_digits(name: str, size: float) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(100, 5)), rng.normal(size=(100, 5))
    exact = value(METRICS.get(name).function, x, x + 1e-3 * noise) / 1e-3
    assert value(METRICS.get(name).function, x, x + size * noise) / size == pytest.approx(exact, rel=0.02)
    assert batched(name, x, x + size * noise) / size == pytest.approx(exact, rel=0.02)


def test_the_projection_distance_is_that_of_the_projections() -> None:
    x, y = pair(40, 6, 6)
    projections = [np.linalg.qr(side - side.mean(axis=0))[0] for side in (x, y)]
    difference = projections[0] @ projections[0].T - projections[1] @ projections[1].T
    expected = np.linalg.norm(difference) / math.sqrt(2)
    assert value(subspace_angles, x, y, summary="projection") == pytest.approx(expected, rel=1e-10)
    assert value(gulp, x, y) == pytest.approx(expected * math.sqrt(2), rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_eigenspace_overlap_is_that_of_uncentred_bases(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    left = [np.linalg.svd(side, full_matrices=False)[0] for side in (x, y)]
    expected = ((left[0].T @ left[1]) ** 2).sum() / max(shape[1:])
    assert value(eigenspace_overlap, x, y) == pytest.approx(expected, rel=1e-10)


def test_a_rank_deficient_copy_overlaps_by_the_ratio_of_ranks_not_of_widths() -> None:
    x = np.random.default_rng(0).normal(size=(50, 4))
    wide = x @ np.random.default_rng(1).normal(size=(4, 20))
    assert value(eigenspace_overlap, x, wide) == pytest.approx(1, abs=1e-10)


def test_nested_subspaces_are_as_far_apart_as_their_dimensions() -> None:
    x = np.random.default_rng(0).normal(size=(50, 6))
    assert value(gulp, x, x[:, :2]) == pytest.approx(2, abs=1e-9)
    assert value(subspace_angles, x, x[:, :2]) == pytest.approx(math.pi, abs=1e-7)
    assert value(eigenspace_overlap, x, x[:, :2]) == pytest.approx(1 / 3, abs=1e-10)


@pytest.mark.parametrize("parameters", [{}, {"ridge": 0.1}])
def test_gulp_satisfies_the_triangle_inequality_and_its_square_does_not(parameters: dict[str, float]) -> None:
    assert _violations(gulp, **parameters) == 0
    assert _violations(gulp, squared=True, **parameters) > 0


@pytest.mark.parametrize("summary", ["geodesic", "projection", "largest"])
def test_principal_angles_satisfy_the_triangle_inequality_also_between_unequal_ranks(summary: str) -> None:
    assert _violations(subspace_angles, summary=summary) == 0


def _violations(distance, **parameters) -> int:
    rng = np.random.default_rng(0)
    base, violations = rng.normal(size=(20, 4)), 0
    for _ in range(300):
        a, c = base[:, : rng.integers(1, 5)], base + 0.5 * rng.normal(size=(20, 4))
        b = c.copy()
        b[:, 0] += base[:, 0] * rng.random()
        ab, bc, ac = (value(distance, *sides, **parameters) for sides in ((a, b), (b, c), (a, c)))
        violations += ac > ab + bc + 1e-9
        violations += bc > ab + ac + 1e-9
    return violations


@pytest.mark.parametrize("name", ["gulp", "subspace_angles"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(40, 6), (8, 30)])
def test_the_distance_from_oneself_is_zero(name: str, dtype: torch.dtype, shape: tuple[int, int]) -> None:
    x = torch.randn(*shape, dtype=dtype)
    assert value(METRICS.get(name).function, x, x) < 1e-12
    assert score_pairs(METRICS.get(name), [Representation(x)], [(0, 0)])[0].value < 1e-12


def test_what_is_forced_by_too_few_rows_says_so() -> None:
    x, y = torch.randn(8, 6), torch.randn(8, 3)  # neither fills the space, and yet they have to intersect
    for name in NAMES:
        parameters = {"ridge": 0.0} if name == "decoding_similarity" else {}
        (score,) = score_pairs(
            METRICS.get(name).with_parameters(parameters), [Representation(x), Representation(y)], [(0, 1)]
        )
        forced = 1 if name == "eigenspace_overlap" else 2  # which keeps the mean: one more dimension
        assert score.warnings == (f"saturated: ranks 6 and 3 of 8 rows force {forced} of 3 correlations to 1",)
    assert isinstance(gulp(x, y, ridge=0.1), float)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(3, 30), width=st.integers(1, 40), other=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_symmetric_and_within_the_declared_range(rows: int, width: int, other: int, seed: int) -> None:
    x, y = pair(rows, width, other, seed)
    for name in NAMES:
        metric = METRICS.get(name)
        forwards = value(metric.function, x, y)
        low, high = metric.value_range
        assert forwards == pytest.approx(value(metric.function, y, x), abs=1e-9)
        assert low - 1e-12 <= forwards <= high + 1e-12


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [1, 2])
def test_declarations_hold_on_other_inputs_too(name: str, seed: int) -> None:
    assert [finding for finding in check_metric(METRICS.get(name), seed=seed) if not finding.ok] == []
