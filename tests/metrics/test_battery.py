"""What every metric should survive: types and memory layouts, scales, offsets, degenerate inputs, noise."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from simbench.metrics.metric import Score
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

ON_MATRICES = [name for name, metric in METRICS if not metric.needs]
every_metric = pytest.mark.parametrize("name", ON_MATRICES)
ROWS, WIDTH, OTHER = 70, 6, 5


def drawn(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two representations that have something in common, float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS, WIDTH, generator=generator, dtype=torch.float64)
    mixing = torch.randn(WIDTH, OTHER, generator=generator, dtype=torch.float64)
    return x, x @ mixing + torch.randn(ROWS, OTHER, generator=generator, dtype=torch.float64)


def scored(name: str, *pairs: tuple[Tensor, Tensor]) -> list[Score]:
    sides = [Representation(side) for pair in pairs for side in pair]
    return score_pairs(METRICS.get(name), sides, [(2 * k, 2 * k + 1) for k in range(len(pairs))])


def values(name: str, *pairs: tuple[Tensor, Tensor]) -> list[float]:
    found = scored(name, *pairs)
    assert [one.reason for one in found] == [None] * len(pairs)
    return [one.value for one in found if one.value is not None]


@every_metric
def test_types_and_memory_layouts_do_not_matter(name: str) -> None:
    x, y = ((8 * side).round() for side in drawn())
    spread_out = torch.zeros(2 * ROWS, 3 * WIDTH, dtype=torch.float64)
    spread_out[::2, ::3] = x
    others = [(x.to(dtype), y.to(dtype)) for dtype in (torch.float32, torch.int64, torch.int16)]
    others += [(x.T.contiguous().T, y), (spread_out[::2, ::3], y), (torch.from_numpy(np.asfortranarray(x.numpy())), y)]
    first, *rest = values(name, (x, y), *others)
    assert rest == pytest.approx([first] * len(rest), rel=1e-4, abs=1e-6)
    # What is stored with three digits may have a lower rank than the same numbers stored with more.
    halves = values(name, *((x.to(dtype), y.to(dtype)) for dtype in (torch.float16, torch.bfloat16)))
    assert halves == pytest.approx([first] * 2, rel=1e-2)


@every_metric
@pytest.mark.parametrize("factor", [1e-55, 1e-6, 1e6, 1e55])
def test_what_does_not_depend_on_scale_does_not_at_any_scale(name: str, factor: float) -> None:
    if "isotropic_scaling" not in METRICS.get(name).invariant_to:
        pytest.skip("depends on scale, by definition")
    x, y = drawn()
    first, *rest = values(name, (x, y), (factor * x, y), (x, factor * y), (factor * x, factor * y))
    assert rest == pytest.approx([first] * 3, rel=1e-6, abs=1e-9)


@every_metric
@pytest.mark.parametrize("offset", [1e2, 1e4])
def test_an_offset_costs_no_more_than_the_digits_that_storing_it_does(name: str, offset: float) -> None:
    x, y = drawn()
    stored = [(side + offset).float() for side in (x, y)]
    kept = [side.double() for side in stored]
    if "translation" in METRICS.get(name).invariant_to:
        kept = [side - offset for side in kept]
    exact, found = values(name, (kept[0], kept[1]), (stored[0], stored[1]))
    assert found == pytest.approx(exact, rel=1e-4, abs=1e-4)


@every_metric
def test_a_batch_of_mixed_shapes_equals_the_plain_function(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = [(30, 4), (30, 50), (30, 4), (30, 1), (12, 20), (12, 3)]
    sides = [Representation(torch.randn(*shape, generator=generator, dtype=torch.float64)) for shape in shapes]
    pairs = [(a, b) for a in range(6) for b in range(6) if shapes[a][0] == shapes[b][0]]
    metric = METRICS.get(name)
    plain = replace(metric, prepare=None, compare_many=None)
    for (a, b), found in zip(pairs, score_pairs(metric, sides, pairs), strict=True):
        (expected,) = score_pairs(plain, [sides[a], sides[b]], [(0, 1)])
        assert (found.status, found.reason, found.warnings) == (expected.status, expected.reason, expected.warnings)
        if expected.value is not None:
            assert found.value == pytest.approx(expected.value, rel=1e-7, abs=1e-8)


DEGENERATE = {
    "one feature": lambda x: x[:, :1],
    "a constant feature": lambda x: torch.cat([x, torch.full_like(x[:, :1], 3.0)], dim=1),
    "equal features": lambda x: x[:, [0, 0, 1, 1]],
    "equal rows": lambda x: x[torch.arange(len(x)) // 4],
    "rank 1": lambda x: x[:, :1] * torch.tensor([[1.0, 2.0, -3.0]]),
    "two kinds of rows": lambda x: (torch.arange(len(x)) % 2)[:, None] * torch.ones(1, 3, dtype=x.dtype),
    "one row stands out": lambda x: torch.nn.functional.one_hot(torch.zeros(1, dtype=torch.long), len(x)).T.to(x.dtype),
}


@every_metric
@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_inputs_are_a_finite_number_or_a_reason(name: str, kind: str) -> None:
    x, y = drawn()
    flat = DEGENERATE[kind](x)
    for found in scored(name, (flat, y), (y, flat), (flat, flat)):
        if found.status == "ok":
            assert found.value is not None
            assert math.isfinite(found.value)
            assert not any("outside the declared range" in warning for warning in found.warnings)
        else:
            assert found.value is None
            assert found.reason


NOT_MONOTONE = {
    "cka_dimension_corrected": "has no value where a side's units have nothing in common, as here",
    "spectral_clusters": "six units are too few for clusters beyond chance",
    "uniformity_difference": "compares one number of either side",
    "imd": "compares the shape of either side's cloud of rows",
}
"""Why the mean similarity of these may rise with noise."""


@every_metric
def test_more_noise_is_less_similar(name: str) -> None:
    if name in NOT_MONOTONE:
        pytest.skip(NOT_MONOTONE[name])
    metric, levels = METRICS.get(name), (0.0, 0.3, 1.0, 3.0)
    means = []
    for level in levels:
        pairs = []
        for seed in range(6):
            x, _ = drawn(seed)
            noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(100 + seed), dtype=torch.float64)
            pairs.append((x, x + level * noise))
        means.append(np.mean([metric.similarity(value) for value in values(name, *pairs)]))
    assert means[0] > means[-1]
    assert all(later <= earlier + 0.05 * (means[0] - means[-1]) for earlier, later in pairwise(means))
