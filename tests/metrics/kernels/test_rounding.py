"""Rounding errors of columns, and the directions and units that are more than that."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from simbench.metrics.kernels.moments import accumulated
from simbench.metrics.kernels.rounding import Rounding, rounding, rounding_of_size
from simbench.metrics.kernels.spectrum import spectrum
from simbench.metrics.kernels.units import living

TYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def network_layer(rows: int, rank: int, width: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Return a layer of a rank below its width, computed in `dtype`: the hidden layer has sums of 1,024 terms."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.relu(torch.randn(rows, 1024, generator=generator)).to(dtype)
    down = (torch.randn(1024, rank, generator=generator) / 32).to(dtype)
    up = (torch.randn(rank, width, generator=generator) / math.sqrt(rank)).to(dtype)
    return hidden @ down @ up + torch.randn(width, generator=generator).to(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("rank", "width"), [(5, 64), (60, 64), (200, 300)])
@pytest.mark.parametrize("rows", [400, pytest.param(20_000, marks=pytest.mark.slow)])
def test_the_rank_of_a_layer_is_found_though_it_was_computed_in_few_digits(
    rows: int, rank: int, width: int, dtype: torch.dtype
) -> None:
    assert spectrum(network_layer(rows, rank, width, dtype)).rank == rank


@pytest.mark.parametrize("dtype", TYPES[1:])
def test_storing_numbers_adds_errors_of_the_size_that_is_reckoned_with(dtype: torch.dtype) -> None:
    x = torch.randn(20_000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + torch.arange(4) * 10
    errors = (x.to(dtype).double() - x).square().mean(dim=0).sqrt() / rounding(x.to(dtype)).errors
    margin = 3 if dtype != torch.float32 else 16
    assert bool((errors * margin < 1).all())
    assert bool((errors * margin > 0.5).all())


def test_a_column_adds_its_errors_only_to_directions_that_it_has_part_in() -> None:
    errors = Rounding(torch.tensor([1e-3, 1.0], dtype=torch.float64), rows=100, heaviest=1.0)
    right = torch.tensor([[0.6, 0.8], [1.0, 0.0]], dtype=torch.float64)
    reach = math.sqrt(100) + math.sqrt(2)
    assert errors.norms(right).tolist() == pytest.approx([reach * 0.8, reach * 1e-3], rel=1e-5)
    values = torch.tensor([1.0, 0.5], dtype=torch.float64)
    assert errors.exceeded_by(values, right).tolist() == [False, True]


@pytest.mark.parametrize("dtype", TYPES[1:])
def test_columns_that_do_not_vary_change_nothing(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    widths = torch.cat([torch.ones(11), torch.tensor([0.05])])
    x = ((torch.randn(100, 12, generator=generator) * widths) + 3).to(dtype)
    dead = torch.cat([x, torch.zeros(100, 1000, dtype=dtype), torch.full((100, 1000), 7.0, dtype=dtype)], dim=1)
    assert spectrum(dead).rank == spectrum(x).rank == 12


@pytest.mark.parametrize("dtype", TYPES[1:])
def test_rows_of_much_larger_numbers_bring_their_errors_along(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 5, generator=generator, dtype=torch.float64)
    x = x @ torch.randn(5, 128, generator=generator, dtype=torch.float64)
    x[:20] *= 100
    assert spectrum(x.to(dtype)).rank == 5


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int64])
def test_whole_numbers_may_be_the_smallest_of_their_type(dtype: torch.dtype) -> None:
    x = torch.tensor([[1, 0], [0, 1], [0, 0], [1, 1]], dtype=torch.int64)
    smallest = torch.iinfo(dtype).min if dtype != torch.bool else 1
    assert spectrum((x * smallest).to(dtype)).rank == 2


def test_a_narrow_column_beside_a_wide_one_keeps_its_direction() -> None:
    generator = torch.Generator().manual_seed(0)
    for dtype in TYPES[1:3]:
        x = torch.randn(500, 3, generator=generator) * torch.tensor([1e4, 1.0, 1e-2])
        assert spectrum(x.to(dtype)).rank == 3


@pytest.mark.parametrize("rows", [20, 2000, 100_000])
def test_a_dead_unit_is_one_that_varies_by_rounding_alone_however_many_rows(rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 2, generator=generator) * torch.tensor([1.0, 1e-3]) + 100
    assert living(x.to(torch.bfloat16)).tolist() == [True, False]
    assert living(x).tolist() == [True, True]


@pytest.mark.parametrize("dtype", TYPES[2:])
def test_residual_blocks_in_half_precision_keep_the_rank(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    stream, writer = torch.zeros(1000, 64, dtype=dtype), torch.randn(16, 64, generator=generator).to(dtype)
    for _ in range(24):
        stream = stream + (torch.randn(1000, 16, generator=generator).to(dtype) @ writer)
    assert spectrum(stream).rank == 16


@pytest.mark.parametrize("dtype", TYPES)
def test_sums_over_rows_leave_out_the_same_directions(dtype: torch.dtype) -> None:
    x, y = network_layer(300, 5, 16, dtype), network_layer(300, 7, 12, dtype, seed=1)
    moments = accumulated(x, y, 50)
    for side, stored in enumerate((x, y)):
        values = torch.linalg.svdvals(moments.condensed(side, spanning=True))
        kept = spectrum(stored).values
        assert values[: len(kept)].tolist() == pytest.approx(kept.tolist(), rel=1e-9)
        assert float(values[len(kept) :].sum()) < 1e-9 * float(values[0])


def test_whole_numbers_are_exact() -> None:
    size = torch.tensor([3.0], dtype=torch.float64)
    assert rounding_of_size(size, torch.int8) == rounding_of_size(size, torch.float64)


def test_numbers_near_the_smallest_of_their_type_have_errors_of_its_size() -> None:
    """Half precision of 1e-6 has two digits at most: its neighbours are 6e-8 apart, like those of 0."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(500, 3, generator=generator, dtype=torch.float64)
    x = (5e-6 * latents @ torch.randn(3, 20, generator=generator, dtype=torch.float64)).to(torch.float16)
    assert spectrum(x).rank == 3
