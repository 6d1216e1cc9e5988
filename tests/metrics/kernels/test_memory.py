"""The memory limit: measured by the operating system, because the allocations of torch are hidden from Python."""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from simbench.metrics.kernels.memoisation import memoising
from simbench.metrics.kernels.memory import DEFAULT, half_of_limit, limited_memory
from simbench.metrics.metric import Metric
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

ROWS = 8000
SQUARE = 8 * ROWS**2
"""Bytes of one n × n matrix: 488 MiB."""
LIMIT = SQUARE // 2
STREAMING = [
    "cka",
    "cka_rbf",
    "distance_correlation",
    "rsm_norm_difference",
    "energy_distance",
    "uniformity_difference",
    "mutual_knn",
    "second_order_cosine",
    "cknna",
    "riemannian",
]
TRIANGLES = ["rsa", "rsa_pearson"]
"""RSA compares whole upper triangles: two at least, and what ranking or forming one takes."""


class Peak:
    """The most bytes that this process held in a block, beyond what it held before."""

    growth: int


@contextmanager
def measured() -> Iterator[Peak]:
    """Linux keeps a process's largest resident size, and starts anew when 5 is written here.

    Memory that earlier tests left behind is given back first: were it freed or used again within the block, the block
    would seem to need less.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        pytest.skip(f"the largest resident size cannot be reset here: {error}")
    gc.disable()
    peak, before = Peak(), _status("VmRSS")
    try:
        yield peak
    finally:
        gc.enable()
    peak.growth = _status("VmHWM") - before


def _status(field: str) -> int:
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])


def growth(metric: Metric, rows: int, count: int) -> int:
    """Bytes that scoring all pairs takes under the limit."""
    generator = torch.Generator().manual_seed(0)
    sides = [Representation(torch.randn(rows, 6, generator=generator)) for _ in range(count)]
    pairs = [(a, b) for a in range(count) for b in range(a)]
    with measured() as peak, limited_memory(LIMIT), memoising():
        scores = score_pairs(metric, sides, pairs)
    assert [score.status for score in scores] == ["ok"] * len(pairs)
    return peak.growth


def test_the_measurement_sees_what_torch_allocates() -> None:
    garbage = [torch.ones(128 * 2**20, dtype=torch.uint8)]
    garbage.append(garbage)  # which a collection within the block would free
    del garbage
    with measured() as peak:
        torch.ones(64 * 2**20, dtype=torch.uint8)
    assert 60 * 2**20 < peak.growth < 100 * 2**20


@pytest.mark.slow
@pytest.mark.parametrize("name", STREAMING)
def test_a_streaming_metric_stays_within_the_limit(name: str) -> None:
    growth(METRICS.get(name), 100, 2)  # imports come first
    assert growth(METRICS.get(name), ROWS, 2) < LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIANGLES)
def test_rsa_holds_few_triangles_however_many_representations(name: str) -> None:
    growth(METRICS.get(name), 100, 2)
    assert growth(METRICS.get(name), 5000, 3) < 2 * (8 * 5000**2)


def test_a_limit_ends_with_its_block() -> None:
    with limited_memory(100):
        with limited_memory(10):
            assert half_of_limit() == 5
        assert half_of_limit() == 50
    assert half_of_limit() == DEFAULT // 2
