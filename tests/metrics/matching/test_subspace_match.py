"""Subspace match: against a sweep of least-squares fits, by known answers of synthetic units, and by properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.metrics.matching.matches import Match, maximum_match, minimal_match, simple_matches

from simbench.errors import NotApplicable
from simbench.metrics.matching.span_residuals import DirectResiduals, GramResiduals, span_residuals, unit_vectors
from simbench.metrics.matching.subspace_match import levels
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

Array = NDArray[np.float64]
EPSILONS = [0.1, 0.15, 0.2, 0.25, 0.3, 0.5]
N, D = 40, 400


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def rotation(size: int, seed: int = 0) -> Array:
    return np.linalg.qr(normal(size, size, seed=seed))[0]


def mixing(size: int, condition: float) -> Array:
    return rotation(size, 1) @ np.diag(np.geomspace(1, 1 / condition, size)) @ rotation(size, 2)


def share(x: Array, y: Array, epsilon: float = 0.25) -> float:
    found = METRICS.get("subspace_match").function(torch.as_tensor(x), torch.as_tensor(y), epsilon=epsilon)
    return float(getattr(found, "value", found))


def area(x: Array, y: Array) -> float:
    found = METRICS.get("subspace_match_auc").function(torch.as_tensor(x), torch.as_tensor(y))
    return float(getattr(found, "value", found))


def residuals(vectors: Array, span: Array) -> Array:
    fitted = span @ np.linalg.lstsq(span, vectors, rcond=None)[0] if span.shape[1] else 0 * vectors
    return np.linalg.norm(vectors - fitted, axis=0) / np.linalg.norm(vectors, axis=0)


def sweep(x: Array, y: Array, epsilon: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The maximum match by least squares, one side after the other, until nothing changes."""
    left = [np.arange(x.shape[1]), np.arange(y.shape[1])]
    while True:
        before = len(left[0]) + len(left[1])
        left[0] = left[0][residuals(x[:, left[0]], y[:, left[1]]) <= epsilon]
        left[1] = left[1][residuals(y[:, left[1]], x[:, left[0]]) <= epsilon]
        if len(left[0]) == 0 or len(left[1]) == 0:
            return (), ()
        if len(left[0]) + len(left[1]) == before:
            return tuple(left[0].tolist()), tuple(left[1].tolist())


def synthetic() -> dict[str, tuple[Array, Array]]:
    x, other, noise = normal(D, N), normal(D, N, seed=1), normal(D, N, seed=2)
    return {
        "permuted": (x, x[:, ::-1] * np.linspace(0.1, 10, N)),
        "rotated": (x, x @ rotation(N)),
        "mixed": (x, x @ mixing(N, 1e3)),
        "independent": (x, other),
        "relu": (np.maximum(x, 0), np.maximum(other, 0)),
        "half": (x, np.concatenate([x[:, :20] @ rotation(20), other[:, :20]], axis=1)),
        "superset": (x, np.concatenate([x, other[:, :16]], axis=1)),
        "noisy": (x, x + 0.2 * noise),
        "noisy rotated": (x, x @ rotation(N) + 0.3 * noise),
        "graded": (x, x + np.geomspace(0.01, 2, N) * noise),
        "duplicated": (np.concatenate([x, x[:, :5]], axis=1), x @ rotation(N) + 0.1 * noise),
    }


@pytest.mark.parametrize("name", synthetic())
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_the_matched_units_are_those_of_a_plain_sweep(name: str, epsilon: float) -> None:
    x, y = synthetic()[name]
    found = maximum_match(torch.tensor(x), torch.tensor(y), epsilon)
    assert (found.x, found.y) == sweep(x, y, epsilon)


def test_a_sum_of_units_is_in_no_match_with_them() -> None:
    x = torch.eye(20, 3, dtype=torch.float64)
    total = torch.eye(20, dtype=torch.float64)[:, 1:6] @ torch.ones(5, 1, dtype=torch.float64)
    assert maximum_match(x, total, 0.1) == Match((), ())
    assert maximum_match(x, x[:, 1:] * 7, 0.1) == Match((1, 2), (0, 1))


@pytest.mark.parametrize("name", ["permuted", "rotated", "mixed"])
@pytest.mark.parametrize("epsilon", [1e-3, *EPSILONS])
def test_the_same_subspace_matches_in_whole(name: str, epsilon: float) -> None:
    assert share(*synthetic()[name], epsilon) == 1
    assert area(*synthetic()[name]) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("rows", [400, 1000])
@pytest.mark.parametrize("relu", [False, True])
def test_independent_units_do_not_match(rows: int, relu: bool) -> None:
    x, y = normal(rows, N), normal(rows, N, seed=1)
    if relu:
        x, y = np.maximum(x, 0), np.maximum(y, 0)
    assert [share(x, y, epsilon) for epsilon in (0.1, 0.2, 0.3)] == [0, 0, 0]


@pytest.mark.parametrize("part", [0.1, 0.25, 0.5, 0.75])
def test_a_shared_part_matches_in_proportion(part: float) -> None:
    shared = int(part * N)
    x, other = normal(D, N), normal(D, N - shared, seed=1)
    y = np.concatenate([x[:, :shared] @ rotation(shared), other], axis=1)
    assert share(x, y) == pytest.approx(part, abs=0.01)


def test_a_superset_counts_its_surplus() -> None:
    assert share(*synthetic()["superset"]) == pytest.approx(80 / 96)


def test_dead_units_are_in_no_match_and_count() -> None:
    x, dead = normal(D, N), normal(D, N)
    dead[:, :4] = 0
    assert share(dead, x) == share(x, dead) == pytest.approx((2 * N - 8) / (2 * N))
    assert share(dead, dead) == area(dead, dead) == pytest.approx(0.9)


@pytest.mark.parametrize("noise", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("turn", [False, True])
def test_a_noisy_copy_switches_on_at_the_expected_epsilon(noise: float, turn: bool) -> None:
    x = normal(1000, N)
    y = (x @ rotation(N) if turn else x) + noise * normal(1000, N, seed=1)
    expected = noise / np.sqrt(1 + noise**2) * np.sqrt(1 - N / 1000)
    assert share(x, y, expected - 0.03) < 0.5 < share(x, y, expected + 0.03)


def test_a_shared_low_rank_space_of_the_reference_test() -> None:
    basis = normal(200, 10)
    x, y = (np.concatenate([basis @ normal(10, 20, seed=k), normal(200, 100, seed=k + 9)], axis=1) for k in (1, 2))
    assert share(x, y, 0.1) == pytest.approx(40 / 240)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), width=st.integers(1, 12), other=st.integers(1, 12))
def test_monotone_nested_symmetric_and_independent_of_order(seed: int, width: int, other: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, width))
    y = x @ rng.normal(size=(width, other)) + rng.exponential(0.3, size=other) * rng.normal(size=(60, other))
    order = rng.permutation(60)
    before: tuple[set[int], set[int]] = (set(), set())
    for epsilon in EPSILONS:
        found = maximum_match(torch.tensor(x), torch.tensor(y), epsilon)
        back = maximum_match(torch.tensor(y[order]), torch.tensor(x[order]), epsilon)
        assert (found.x, found.y) == (back.y, back.x)
        assert before[0] <= {*found.x}
        assert before[1] <= {*found.y}
        before = {*found.x}, {*found.y}


@pytest.mark.parametrize("name", synthetic())
def test_the_levels_are_those_of_a_sweep_over_epsilon(name: str) -> None:
    x, y = synthetic()[name]
    c = levels(span_residuals(unit_vectors(torch.tensor(x)), unit_vectors(torch.tensor(y))))
    for epsilon in np.linspace(0.02, 0.98, 13):
        expected = sweep(x, y, epsilon)
        assert tuple(tuple(torch.nonzero(side <= epsilon).flatten().tolist()) for side in c) == expected


def test_the_area_is_the_integral_of_the_share() -> None:
    x, y = synthetic()["graded"]
    grid = (np.arange(200) + 0.5) / 200
    assert area(x, y) == pytest.approx(np.mean([share(x, y, epsilon) for epsilon in grid]), abs=5e-3)


def test_downdated_residuals_are_those_of_a_new_decomposition() -> None:
    a, b = (unit_vectors(torch.tensor(side)) for side in synthetic()["graded"])
    gram, direct = GramResiduals(a, b), DirectResiduals(a, b)
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        for fast, slow, left in zip(gram.residuals, direct.residuals, gram.left, strict=True):
            assert torch.allclose(fast[left], slow[left], atol=1e-10)
        lost = [torch.rand(len(left), generator=generator) < 0.2 for left in gram.left]
        gram.remove(*lost)
        direct.remove(*lost)


@pytest.mark.parametrize("condition", [1e3, 1e5, 1e6])
def test_ill_conditioned_mixtures_still_match(condition: float) -> None:
    x = normal(D, N)
    assert share(x, x @ mixing(N, condition), 1e-3) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("metric", ["subspace_match", "subspace_match_auc"])
def test_self_comparison_is_exact(metric: str, dtype: torch.dtype) -> None:
    x = torch.randn(200, 12, generator=torch.Generator().manual_seed(0), dtype=dtype).relu()
    wide = torch.randn(10, 12, generator=torch.Generator().manual_seed(1), dtype=dtype)
    doubled = torch.cat([x, x[:, :3]], dim=1)
    sides = [Representation(side) for side in (x, doubled, wide)]
    scores = score_pairs(METRICS.get(metric), sides, [(k, k) for k in range(3)])
    assert [score.value for score in scores] == [1, 1, 1]


@pytest.mark.parametrize("metric", ["subspace_match", "subspace_match_auc"])
def test_too_few_rows_match_everything_and_are_warned_of(metric: str) -> None:
    x, y = (Representation(torch.tensor(normal(30, 40, seed=seed))) for seed in (0, 1))
    (score,) = score_pairs(METRICS.get(metric), [x, y], [(0, 1)])
    assert score.value == 1
    assert score.warnings == ("only 30 rows for 40 units",)


@pytest.mark.parametrize("metric", ["subspace_match", "subspace_match_auc"])
def test_a_batch_of_mixed_shapes_equals_the_plain_function(metric: str) -> None:
    shapes = [(80, 4), (80, 9), (80, 1), (12, 20), (12, 3), (80, 4)]
    sides = [Representation(torch.tensor(normal(*shape, seed=k))) for k, shape in enumerate(shapes)]
    pairs = [(a, b) for a in range(6) for b in range(6) if shapes[a][0] == shapes[b][0]]
    found = score_pairs(METRICS.get(metric), sides, pairs)
    plain = share if metric == "subspace_match" else area
    expected = [plain(sides[a].matrix.numpy(), sides[b].matrix.numpy()) for a, b in pairs]
    assert [score.value for score in found] == pytest.approx(expected, abs=1e-12)


def blocks() -> tuple[torch.Tensor, torch.Tensor]:
    x = normal(200, 12)
    y = np.concatenate([x[:, k : k + 4] @ rotation(4, k) for k in range(0, 12, 4)], axis=1)
    return torch.tensor(x), torch.tensor(y)


@pytest.mark.parametrize("side", ["x", "y"])
def test_the_minimal_match_of_a_unit_is_its_block(side: str) -> None:
    found = minimal_match(*blocks(), 5, 0.1, side=side)
    assert found is not None
    assert (found.x, found.y) == ((4, 5, 6, 7), (4, 5, 6, 7))


def test_the_simple_matches_are_the_blocks() -> None:
    found = simple_matches(*blocks(), 0.1)
    assert sorted(match.x for match in found) == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)]
    assert all(match.x == match.y for match in found)


def test_a_unit_in_no_match_has_no_minimal_match() -> None:
    x, y = synthetic()["independent"]
    assert minimal_match(torch.tensor(x), torch.tensor(y), 0, 0.1) is None


@pytest.mark.parametrize("metric", ["subspace_match", "subspace_match_auc"])
def test_a_constant_matrix_is_not_applicable(metric: str) -> None:
    with pytest.raises(NotApplicable, match="no variance"):
        METRICS.get(metric).function(torch.full((10, 3), 0.1), torch.randn(10, 3))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_extreme_scales_do_not_matter(scale: float) -> None:
    x, y = synthetic()["noisy"]
    assert share(scale * x, y) == share(x, y)
