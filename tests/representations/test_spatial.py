"""Rows made of a part of the inputs at a time are those made of all at once, bit for bit."""

from __future__ import annotations

import pytest
import torch

from simbench.representations.layouts import Layout
from simbench.representations.representation import Representation
from simbench.representations.spatial import Part, SpatialRule, rows_of, rows_per_input

INPUTS = 41
SHAPES: list[tuple[Layout, tuple[int, ...]]] = [
    ("channels_first", (INPUTS, 7, 5, 6)),
    ("channels_first", (INPUTS, 64, 28, 28)),
    ("channels_first", (INPUTS, 1, 12, 12)),
    ("channels_first", (INPUTS, 33, 1, 1)),
    ("channels_first", (INPUTS, 9, 31)),
    ("channels_first", (INPUTS, 5, 4, 3, 2)),
    ("channels_last", (INPUTS, 6, 5, 7)),
    ("channels_last", (INPUTS, 13, 13, 130)),
    ("tokens", (INPUTS, 11, 70)),
    ("vector", (INPUTS, 19)),
]
RULES = [SpatialRule("pool"), SpatialRule("positions"), SpatialRule("positions", 5 * INPUTS + 3)]
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(("layout", "shape"), SHAPES, ids=str)
@pytest.mark.parametrize("size", [1, 2, 7, 40, INPUTS])
def test_rows_do_not_depend_on_the_parts(
    size: int, layout: Layout, shape: tuple[int, ...], rule: SpatialRule, dtype: torch.dtype
) -> None:
    activations = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    whole = Representation(activations, layout, spatial=rule).matrix
    parts = [
        rows_of(activations[start : start + size].contiguous(), layout, rule, Part(start, INPUTS))
        for start in range(0, INPUTS, size)
    ]
    assert torch.equal(torch.cat(parts), whole)
    assert len(whole) == INPUTS * (1 if len(shape) == 2 else rows_per_input(rule, INPUTS))


def test_a_map_in_another_order_of_memory_gives_the_same_rows_once_it_is_contiguous() -> None:
    activations = torch.randn(8, 16, 5, 5).to(memory_format=torch.channels_last)
    rule = SpatialRule("pool")
    assert torch.equal(
        rows_of(activations[:3].contiguous(), "channels_first", rule),
        rows_of(activations.contiguous(), "channels_first", rule)[:3],
    )
