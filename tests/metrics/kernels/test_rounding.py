"""Rounding errors of columns, and the directions and units that are more than that."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from simbench.metrics.kernels.moments import accumulated
from simbench.metrics.kernels.rounding import above_rounding, rounding_errors, rounding_norms, rounding_of_size
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
    errors = (x.to(dtype).double() - x).square().mean(dim=0).sqrt() / rounding_errors(x.to(dtype))
    margin = 2 if dtype != torch.float32 else 8
    assert bool((errors * margin < 1).all())
    assert bool((errors * margin > 0.5).all())


def test_a_column_adds_its_errors_only_to_directions_that_it_has_part_in() -> None:
    errors = torch.tensor([1e-3, 1.0], dtype=torch.float64)
    right = torch.tensor([[0.6, 0.8], [1.0, 0.0]], dtype=torch.float64)
    reach = math.sqrt(100) + math.sqrt(2)
    assert rounding_norms(errors, right, 100).tolist() == pytest.approx([reach * 0.8, reach * 1e-3], rel=1e-5)
    values = torch.tensor([1.0, 0.5], dtype=torch.float64)
    assert above_rounding(values, right, errors, 100).tolist() == [False, True]


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
