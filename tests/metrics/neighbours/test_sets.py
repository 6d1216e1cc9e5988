"""Nearest-neighbour indices: against loops over rows and sets, by known answers and by properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simbench.errors import NotApplicable
from simbench.metrics.kernels.hsic import NonPositiveSelfHSICError
from simbench.metrics.kernels.memory import limited_memory
from simbench.metrics.neighbours.sets import neighbours
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

Array = NDArray[np.float64]
SHAPES = [(40, 6, 9), (14, 30, 25), (20, 20, 2)]
IDS = ["mutual_knn", "knn_jaccard", "rank_similarity", "second_order_cosine", "cknna"]


def pair(rows: int, width: int, other: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width))
    return x, x @ rng.normal(size=(width, other)) + rng.normal(size=(rows, other)) + 0.5


def value(name: str, x: Array, y: Array, k: int = 10) -> float:
    found = METRICS.get(name).function(torch.as_tensor(x), torch.as_tensor(y), k=k)
    return float(getattr(found, "value", found))


def cosines(x: Array) -> Array:
    z = x / np.linalg.norm(x, axis=1, keepdims=True)
    return z @ z.T


def nearest(x: Array, k: int) -> list[list[int]]:
    s = cosines(x)
    return [sorted((j for j in range(len(x)) if j != i), key=lambda j: -s[i, j])[:k] for i in range(len(x))]


def reference(name: str, x: Array, y: Array, k: int) -> float:
    if name == "cknna":
        return cknna_reference(x, y, k)
    s, t = cosines(x), cosines(y)
    terms = []
    for i, (first, second) in enumerate(zip(nearest(x, k), nearest(y, k), strict=True)):
        common, either = set(first) & set(second), sorted(set(first) | set(second))
        if name == "mutual_knn":
            terms.append(len(common) / k)
        elif name == "knn_jaccard":
            terms.append(len(common) / len(either))
        elif name == "second_order_cosine":
            u, v = s[i, either], t[i, either]
            terms.append(u @ v / (np.linalg.norm(u) * np.linalg.norm(v)))
        else:
            ranks = [(first.index(j) + 1, second.index(j) + 1) for j in common]
            best = sum(1 / m for m in range(1, len(common) + 1))
            terms.append(sum(2 / ((1 + abs(r - q)) * (r + q)) for r, q in ranks) / best if common else 0)
    return float(np.mean(terms))


def cknna_reference(x: Array, y: Array, k: int) -> float:
    masks = []
    for side in (x, y):
        mask = np.zeros((len(x), len(x)))
        for i, near in enumerate(nearest(side, k)):
            mask[i, near] = 1
        masks.append(mask)
    s, t, both = cosines(x), cosines(y), masks[0] * masks[1]
    own = hsic1(masks[0] * s, masks[0] * s) * hsic1(masks[1] * t, masks[1] * t)
    return hsic1(both * s, both * t) / np.sqrt(own)


def hsic1(k: Array, l: Array) -> float:  # noqa: E741 - as in the formula
    n, one = len(k), np.ones(len(k))
    both = (one @ k @ l @ one + one @ l @ k @ one) / 2
    terms = np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * both
    return float(terms / (n * (n - 3)))


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("k", [3, 10])
def test_equals_the_definition(name: str, shape: tuple[int, int, int], k: int) -> None:
    x, y = pair(*shape)
    assert value(name, x, y, k) == pytest.approx(reference(name, x, y, k), rel=1e-10)


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("limit", [1, 5_000, 2**25])
def test_a_batch_in_blocks_equals_the_plain_function(name: str, limit: int) -> None:
    generator = torch.Generator().manual_seed(3)
    sides = [Representation(torch.randn(30, width, generator=generator)) for width in (4, 50, 2, 4)]
    metric = METRICS.get(name)
    pairs = [(a, b) for a in range(4) for b in range(4)]
    expected = [float(metric.function(sides[a].matrix, sides[b].matrix)) for a, b in pairs]
    with limited_memory(limit):
        scores = score_pairs(metric, sides, pairs)
    assert [score.value for score in scores] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_inputs_give_one_even_with_duplicate_rows(name: str, dtype: torch.dtype) -> None:
    x = torch.randn(40, 6, dtype=dtype, generator=torch.Generator().manual_seed(0))
    x[20:30] = x[:10]
    x[35:] = x[3]
    scores = score_pairs(METRICS.get(name), [Representation(x)] * 2, [(0, 0), (0, 1)])
    found = [value(name, x.numpy(), x.numpy()), *(score.value for score in scores)]
    assert found == pytest.approx([1, 1, 1], abs=1e-12)


def test_a_row_is_never_its_own_neighbour_but_its_duplicate_is() -> None:
    x = torch.randn(30, 5, dtype=torch.float64)
    x[17] = 3 * x[4]
    found = neighbours(x, 10).indices
    assert not bool((found == torch.arange(30)[:, None]).any())
    assert int(found[17, 0]) == 4
    assert int(found[4, 0]) == 17


@pytest.mark.parametrize("name", IDS)
def test_duplicate_rows_do_not_make_the_value_depend_on_rounding(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(60, 7))
    x[30:] = x[np.random.default_rng(1).integers(0, 30, size=30)]
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(7, 7)))[0]
    assert value(name, x, 3 * x @ rotation) == pytest.approx(1, abs=1e-10)


def test_of_equally_near_rows_the_first_are_taken() -> None:
    found = neighbours(torch.eye(8, dtype=torch.float64), 3).indices
    assert found[:5].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2]]


def test_neighbours_come_nearest_first() -> None:
    found = neighbours(torch.randn(50, 5), 9)
    assert bool((found.cosines.diff(dim=1) <= 0).all())


def test_mutual_knn_of_unrelated_rows_is_at_chance() -> None:
    rng = np.random.default_rng(0)
    assert value("mutual_knn", rng.normal(size=(400, 30)), rng.normal(size=(400, 30))) == pytest.approx(
        10 / 399, abs=0.01
    )


def test_neighbours_are_found_without_centring() -> None:
    x, y = pair(200, 6, 8)
    assert abs(value("mutual_knn", x + 5, y) - value("mutual_knn", x, y)) > 0.01


def test_cknna_does_not_depend_on_the_scale() -> None:
    x, y = pair(60, 6, 8)
    assert value("cknna", 1e-5 * x, 1e5 * y) == pytest.approx(value("cknna", x, y), rel=1e-9)


def test_a_self_term_that_is_not_positive_is_a_named_error() -> None:
    metric = METRICS.get("cknna")
    with pytest.raises(NonPositiveSelfHSICError, match="not positive"):
        metric.function(torch.eye(12), torch.randn(12, 4))


@pytest.mark.parametrize("name", ["mutual_knn", "second_order_cosine"])
def test_all_zero_rows_are_counted(name: str) -> None:
    x, y = pair(30, 6, 8)
    x[[2, 9]] = 0
    (score,) = score_pairs(METRICS.get(name), [Representation(torch.tensor(side)) for side in (x, y)], [(0, 1)])
    assert score.status == "ok"
    assert score.warnings[0] == "2 and 0 all-zero rows"


@pytest.mark.parametrize("name", IDS)
def test_ties_at_the_last_neighbour_are_counted(name: str) -> None:
    """Of unrelated signs the neighbours are the first rows of the same sign, on both sides: no value of theirs."""
    rng = np.random.default_rng(0)
    signs, others = rng.choice([-1.0, 1.0], size=(2, 200, 1))
    x, _ = pair(200, 6, 8)
    sides = [Representation(torch.tensor(side)) for side in (signs, others, x)]
    scores = score_pairs(METRICS.get(name), sides, [(0, 1), (0, 2), (2, 2)])
    assert [score.warnings for score in scores] == [
        ("200 and 200 rows with ties at the k-th neighbour",),
        ("200 and 0 rows with ties at the k-th neighbour",),
        (),
    ]
    if name == "mutual_knn":
        assert scores[0].value > 0.3


def test_only_ties_between_the_last_neighbour_and_the_next_count() -> None:
    """Of three copies of each row, two are the nearest: a third neighbour is a matter of which comes first."""
    x = torch.randn(10, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).repeat(3, 1)
    assert [neighbours(x, k).tied for k in (1, 2, 3, 5)] == [30, 0, 30, 0]


@pytest.mark.parametrize("name", IDS)
def test_too_few_rows_are_not_applicable(name: str) -> None:
    with pytest.raises(NotApplicable, match="10 nearest neighbours need at least 12 rows, there are 11"):
        METRICS.get(name).function(torch.randn(11, 3), torch.randn(11, 3))


@pytest.mark.parametrize("name", IDS)
def test_a_constant_matrix_is_not_applicable(name: str) -> None:
    with pytest.raises(NotApplicable, match="no variance"):
        METRICS.get(name).function(torch.full((20, 3), 0.1), torch.randn(20, 3))


@pytest.mark.parametrize("name", IDS)
@settings(max_examples=15, deadline=None)
@given(rows=st.integers(12, 40), width=st.integers(2, 40), other=st.integers(2, 40), seed=st.integers(0, 10**6))
def test_symmetric_and_within_its_range(name: str, rows: int, width: int, other: int, seed: int) -> None:
    x, y = pair(rows, width, other, seed)
    try:
        found = value(name, x, y)
    except NonPositiveSelfHSICError:
        return
    low, high = METRICS.get(name).value_range
    assert value(name, y, x) == pytest.approx(found, abs=1e-12)
    assert low - 1e-12 <= found <= high + 1e-12


@pytest.mark.parametrize("name", IDS)
def test_more_noise_is_less_similar(name: str) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(200, 10)), rng.normal(size=(200, 10))
    values = [value(name, x, x + level * noise) for level in (0, 0.1, 0.3, 1, 3)]
    assert values == sorted(values, reverse=True)
