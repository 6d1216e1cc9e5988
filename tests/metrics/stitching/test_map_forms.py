"""Forms of maps: their closed forms against slow searches, their parametrisations against their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from torch import Tensor

from simbench.metrics.stitching.map_forms import ANY, LowRank, MapForm, Orthogonal

SHAPES = [(6, 6), (7, 4), (4, 7)]
"""(d₂, d₁)"""


def problem(features: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Centred X `(200, d₁)` and Y `(200, d₂)`, related by a linear map and noise."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(200, width, generator=random, dtype=torch.float64) @ torch.diag(
        torch.linspace(0.3, 2, width).double()
    )
    y = x @ torch.randn(width, features, generator=random, dtype=torch.float64)
    y = y + torch.randn(200, features, generator=random, dtype=torch.float64)
    return x - x.mean(dim=0), y - y.mean(dim=0)


def matched(form: MapForm, x: Tensor, y: Tensor) -> Tensor:
    return form.match(torch.linalg.lstsq(x, y).solution.T, x.T @ y)


def loss(weight: Tensor, x: Tensor, y: Tensor) -> float:
    return float((x @ weight.T - y).square().sum())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_map_of_low_rank_is_found_as_by_alternating_least_squares(shape: tuple[int, int], rank: int) -> None:
    x, y = problem(*shape)
    found = matched(LowRank(rank), x, y)
    assert torch.linalg.matrix_rank(found) == rank
    v = torch.randn(shape[1], rank, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for _ in range(300):  # U given V, then V given U: each step is plain least squares
        u = torch.linalg.lstsq(x @ v, y).solution.T
        v = torch.linalg.lstsq(x, torch.linalg.lstsq(u, y.T).solution.T).solution
    assert loss(found, x, y) == pytest.approx(loss(u @ v.T, x, y), rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_from_the_smaller_width_on_the_rank_restricts_nothing(shape: tuple[int, int]) -> None:
    x, y = problem(*shape)
    for rank in (min(shape), 20):
        torch.testing.assert_close(matched(LowRank(rank), x, y), matched(ANY, x, y))


def test_a_rotation_is_found_as_scipy_finds_it() -> None:
    x, y = problem(6, 6)
    expected, _ = orthogonal_procrustes(x.numpy(), y.numpy())
    np.testing.assert_allclose(matched(Orthogonal(), x, y).numpy(), expected.T, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_orthogonal_map_between_widths_pads_the_narrower_side(shape: tuple[int, int]) -> None:
    x, y = problem(*shape)
    found, size = matched(Orthogonal(), x, y), max(shape)
    padded = [torch.cat([side, side.new_zeros(200, size - side.shape[1])], dim=1) for side in (x, y)]
    whole, _ = orthogonal_procrustes(padded[0].numpy(), padded[1].numpy())
    np.testing.assert_allclose(found.numpy(), whole.T[: shape[0], : shape[1]], atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", [ANY, LowRank(2), Orthogonal()])
def test_training_starts_at_the_start_where_it_is_of_the_form(form: MapForm, shape: tuple[int, int]) -> None:
    starts = torch.stack([matched(form, *problem(*shape, seed)) for seed in range(3)])
    torch.testing.assert_close(form.trainable(starts).weights(), starts, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", [LowRank(2), Orthogonal()])
def test_maps_keep_their_form_while_they_are_trained_and_reach_the_best_of_it(
    form: MapForm, shape: tuple[int, int]
) -> None:
    problems = [problem(*shape, seed) for seed in range(2)]
    best = [matched(form, x, y) for x, y in problems]
    # Near the best one, in the same component of the orthogonal group.
    random = torch.Generator().manual_seed(0)
    start = torch.stack(best) + 0.1 * torch.randn(2, *shape, generator=random, dtype=torch.float64)
    maps = form.trainable(start)
    optimizer = torch.optim.Adam(maps.learned, lr=0.01)
    for _ in range(800):
        optimizer.zero_grad()
        weights = maps.weights()
        # Between widths, ‖XWᵀ‖ depends on W: Procrustes maximises the product instead.
        products = [-(weight @ x.T @ y).trace() for weight, (x, y) in zip(weights, problems, strict=True)]
        squares = [(x @ weight.T - y).square().sum() for weight, (x, y) in zip(weights, problems, strict=True)]
        torch.stack(products if isinstance(form, Orthogonal) else squares).sum().div(200).backward()
        optimizer.step()
    for weight, wanted in zip(maps.weights().detach(), best, strict=True):
        torch.testing.assert_close(weight, wanted, rtol=0, atol=1e-2)
        if isinstance(form, Orthogonal):
            gram = weight @ weight.T if shape[0] <= shape[1] else weight.T @ weight
            torch.testing.assert_close(gram, torch.eye(min(shape)).double(), rtol=0, atol=1e-9)
        else:
            assert torch.linalg.matrix_rank(weight) == 2
