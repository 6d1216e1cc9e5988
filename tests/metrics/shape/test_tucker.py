"""Tucker's congruence, and what the Riemannian distance has in common with it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.sides import batched, pair, value

from simbench.metrics.scoring import score_pairs
from simbench.metrics.shape.riemannian import riemannian
from simbench.metrics.shape.tucker import tucker_congruence
from simbench.registry import METRICS
from simbench.representations.representation import Representation
from simbench.testing import check_metric

NAMES = ["tucker_congruence", "riemannian"]
SHAPES = [(40, 6, 6), (40, 6, 9), (40, 9, 6), (12, 30, 25), (20, 1, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_congruence_is_the_mean_cosine_of_columns_after_rotation_onto_the_target(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    width = max(shape[1:])
    first, second = (np.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in (x, y))
    second = second @ scipy.linalg.orthogonal_procrustes(second, first)[0]
    cosines = [
        abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
        for a, b in zip(first.T, second.T, strict=True)
        if np.linalg.norm(a) > 0
    ]
    if shape != (12, 30, 25):  # there is more than one best rotation where y has fewer dimensions than x has rows
        assert value(tucker_congruence, x, y) == pytest.approx(np.mean(cosines), rel=1e-9)
    assert batched("tucker_congruence", x, y) == pytest.approx(value(tucker_congruence, x, y), rel=1e-9)


def test_congruence_is_that_with_the_first_side_as_the_target() -> None:
    x, y = pair(40, 6, 6)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    assert value(tucker_congruence, x, y @ rotation) == pytest.approx(value(tucker_congruence, x, y), rel=1e-9)
    assert value(tucker_congruence, x @ rotation, y) != pytest.approx(value(tucker_congruence, x, y), rel=1e-3)


def test_congruence_leaves_out_dead_units_of_the_target() -> None:
    x, y = pair(40, 5, 6)
    dead = np.column_stack([x, np.zeros(40)])
    assert value(tucker_congruence, dead, y) == pytest.approx(value(tucker_congruence, x, y), rel=1e-9)


def test_congruence_of_orthogonal_subspaces_is_zero_whatever_the_null_space() -> None:
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 6)))[0]
    assert value(tucker_congruence, basis[:, :3], basis[:, 3:]) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(40, 6), (8, 30)])
def test_self_comparisons_are_exact(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    x = torch.randn(*shape, dtype=dtype)
    own = [score_pairs(METRICS.get(name), [Representation(x)], [(0, 0)])[0].value for name in NAMES]
    assert own == pytest.approx([1, 0], abs=1e-9)
    assert [float(tucker_congruence(x, x)), float(riemannian(x, x))] == pytest.approx([1, 0], abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(3, 30), width=st.integers(1, 40), other=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_within_the_declared_range(rows: int, width: int, other: int, seed: int) -> None:
    x, y = pair(rows, width, other, seed)
    assert 0 <= batched("tucker_congruence", x, y) <= 1 + 1e-12
    assert batched("riemannian", x, y) == pytest.approx(batched("riemannian", y, x), rel=1e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [1, 2])
def test_declarations_hold_on_other_inputs_too(name: str, seed: int) -> None:
    assert [finding for finding in check_metric(METRICS.get(name), seed=seed) if not finding.ok] == []
