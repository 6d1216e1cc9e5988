"""Procrustes distance and normalised Bures similarity, and the nuclear norms below them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.metrics.sides import Array, pair

from simbench.errors import NotApplicable
from simbench.metrics.scoring import score_pairs
from simbench.metrics.shape.procrustes import nbs, procrustes
from simbench.registry import METRICS
from simbench.representations.representation import Representation

BOTH = [nbs, procrustes]
SHAPES = [(40, 6, 6), (40, 6, 9), (40, 9, 6), (12, 30, 25), (20, 1, 3)]


def value(metric, x: Array, y: Array) -> float:
    return float(metric(torch.as_tensor(x), torch.as_tensor(y)))


def aligned(x: Array, y: Array) -> tuple[Array, Array]:
    """Centred, of norm 1, padded to one width, y rotated onto x."""
    width = max(x.shape[1], y.shape[1])
    sides = []
    for side in (x, y):
        side = side - side.mean(axis=0)
        sides.append(np.pad(side / np.linalg.norm(side), ((0, 0), (0, width - side.shape[1]))))
    rotation, _ = scipy.linalg.orthogonal_procrustes(sides[1], sides[0])
    return sides[0], sides[1] @ rotation


@pytest.mark.parametrize("shape", SHAPES)
def test_procrustes_is_what_the_best_rotation_leaves(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    first, second = aligned(x, y)
    assert value(procrustes, x, y) == pytest.approx(np.linalg.norm(first - second), rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_nbs_is_the_cosine_after_the_best_rotation(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    first, second = aligned(x, y)
    assert value(nbs, x, y) == pytest.approx(np.sum(first * second), rel=1e-9)


def root_of(k: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the square root of a positive semidefinite matrix; scipy's `sqrtm` loses digits where it is singular."""
    values, vectors = np.linalg.eigh((k + k.T) / 2)
    root: NDArray[np.float64] = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root


@pytest.mark.parametrize("shape", SHAPES)
def test_nbs_is_the_fidelity_of_the_gram_matrices(shape: tuple[int, int, int]) -> None:
    x, y = (side - side.mean(axis=0) for side in pair(*shape))
    root = root_of(x @ x.T)
    fidelity = np.trace(root_of(root @ (y @ y.T) @ root))
    assert value(nbs, x, y) == pytest.approx(fidelity / (np.linalg.norm(x) * np.linalg.norm(y)), abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_two_are_one_quantity(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    assert value(procrustes, x, y) ** 2 == pytest.approx(2 - 2 * value(nbs, x, y), abs=1e-12)


def test_single_units_give_their_absolute_correlation() -> None:
    x, y = pair(30, 1, 1)
    assert value(nbs, x, -y) == pytest.approx(abs(np.corrcoef(x[:, 0], y[:, 0])[0, 1]), rel=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(40, 6), (8, 30)])
def test_the_distance_from_oneself_is_zero(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    assert float(procrustes(x, x)) < 1e-12


def test_the_distance_from_oneself_is_zero_in_a_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    sides = [Representation(torch.randn(40, 6, generator=generator)) for _ in range(3)]
    scores = score_pairs(METRICS.get("procrustes"), sides, [(k, k) for k in range(3)])
    assert max(score.value for score in scores) < 1e-12


def test_the_distance_from_oneself_is_small_for_a_steep_spectrum() -> None:
    x = np.random.default_rng(0).normal(size=(100, 30)) * np.geomspace(1, 1e-12, 30)
    assert value(procrustes, x, x) < 1e-7


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9])
def test_small_distances_keep_their_digits(size: float) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(100, 5)), rng.normal(size=(100, 5))
    exact = value(procrustes, x, x + 1e-2 * noise) / 1e-2
    assert value(procrustes, x, x + size * noise) / size == pytest.approx(exact, rel=0.02)


def test_small_distances_keep_their_digits_in_a_batch() -> None:
    rng = np.random.default_rng(0)
    x, noise = (torch.tensor(rng.normal(size=(100, 5))) for _ in range(2))
    sides = [Representation(x), *(Representation(x + size * noise) for size in (1e-3, 1e-6, 1e-9))]
    scores = score_pairs(METRICS.get("procrustes"), sides, [(0, k) for k in (1, 2, 3)])
    expected = [float(procrustes(x, side.matrix)) for side in sides[1:]]
    assert [score.value for score in scores] == pytest.approx(expected, rel=1e-6)


def test_the_triangle_inequality_holds() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(20, 4))
    violations = 0
    for _ in range(300):
        a, c = base + rng.normal(size=(20, 4)), base + rng.normal(size=(20, 4))
        b = (a + c) / 2 if rng.random() < 0.5 else base + rng.normal(size=(20, 4))
        violations += value(procrustes, a, c) > value(procrustes, a, b) + value(procrustes, b, c) + 1e-9
    assert violations == 0


@pytest.mark.parametrize("metric", BOTH)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), exponent=st.floats(-6, 6), offset=st.floats(-1e3, 1e3))
def test_rotation_scale_and_translation_do_not_matter(metric, seed: int, exponent: float, offset: float) -> None:
    x, y = pair(25, 6, 4, seed)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
    assert value(metric, 10**exponent * (x @ rotation + offset), y) == pytest.approx(value(metric, x, y), rel=1e-7)


@pytest.mark.parametrize("metric", BOTH)
@settings(max_examples=40, deadline=None)
@given(rows=st.integers(3, 30), width=st.integers(1, 40), other=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_symmetric_and_within_its_range(metric, rows: int, width: int, other: int, seed: int) -> None:
    x, y = pair(rows, width, other, seed)
    forwards = value(metric, x, y)
    assert forwards == pytest.approx(value(metric, y, x), abs=1e-10)
    assert 0 <= forwards <= (1 if metric is nbs else 2**0.5) + 1e-12


@pytest.mark.parametrize("metric", BOTH)
def test_integers_memory_layout_and_dead_units_do_not_matter(metric) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(-5, 5, size=(40, 8)), rng.integers(-5, 5, size=(40, 3))
    padded = np.asfortranarray(np.column_stack([x, np.full(40, 0.1)]).astype(float))
    assert value(metric, x, y) == pytest.approx(value(metric, padded, y), abs=1e-10)


@pytest.mark.parametrize("metric", BOTH)
def test_a_constant_matrix_is_not_applicable(metric) -> None:
    with pytest.raises(NotApplicable, match="no variance"):
        metric(torch.randn(10, 3), torch.full((10, 3), 0.1))


@pytest.mark.parametrize("name", ["nbs", "procrustes"])
@pytest.mark.parametrize(("rows", "width"), [(500, 80), (5000, 64), (5000, 4)])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_products_of_what_was_stored_in_single_precision_are_exact_enough(
    name: str, rows: int, width: int, offset: float
) -> None:
    """Layers of a ReLU network, low rank and a steep spectrum among them; the plain function is in double precision."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(rows, width, generator=generator)
    layers = [first, (first @ torch.randn(width, width, generator=generator)).relu()]
    layers += [first[:, :3] @ torch.randn(3, width, generator=generator), first * torch.logspace(0, -6, width)]
    layers.append(layers[1] + 0.2 * torch.randn(rows, width, generator=generator))
    layers.append(layers[1][:, : width // 2])
    sides, metric = [Representation(layer + offset) for layer in layers], METRICS.get(name)
    sides.append(Representation(layers[4].double() + offset))
    pairs = [(a, b) for a in range(len(sides)) for b in range(len(sides))]
    expected = [float(metric.function(sides[a].matrix, sides[b].matrix)) for a, b in pairs]
    assert [score.value for score in score_pairs(metric, sides, pairs)] == pytest.approx(expected, abs=3e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_is_exactly_like_itself_whatever_its_precision(dtype: torch.dtype) -> None:
    sides = [Representation(torch.randn(200, 80, dtype=torch.float64).to(dtype)) for _ in range(2)]
    for name, own in (("nbs", 1.0), ("procrustes", 0.0)):
        scores = score_pairs(METRICS.get(name), sides, [(0, 0), (0, 1), (1, 1)])
        assert (scores[0].value, scores[2].value) == (own, own)
        assert scores[1].value not in (own, None)
