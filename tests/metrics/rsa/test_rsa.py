"""Representational similarity analysis: against scipy, by known answers and by properties."""

from __future__ import annotations

import weakref
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from tests.metrics.sides import Array, pair

from simbench.errors import NotApplicable
from simbench.metrics.cka.linear import cka
from simbench.metrics.kernels import distance_matrices as pairwise
from simbench.metrics.kernels.memory import limited_memory
from simbench.metrics.kernels.rdm import patterns, ranks
from simbench.metrics.rsa.rsa import rsa, rsa_cosine, rsa_euclidean, rsa_pearson, rsa_whitened_cosine
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

SHAPES = [(40, 6, 9), (12, 30, 25), (20, 20, 2), (5, 3, 3)]
COMPARATORS = {
    "spearman": lambda d, e: scipy.stats.spearmanr(d, e).statistic,
    "pearson": lambda d, e: scipy.stats.pearsonr(d, e).statistic,
    "cosine": lambda d, e: d @ e / np.sqrt((d @ d) * (e @ e)),
}
IDS = ["rsa", "rsa_pearson", "rsa_cosine", "rsa_euclidean", "rsa_whitened_cosine"]


def value(metric, x: Array, y: Array, **parameters: str) -> float:
    found = metric(torch.as_tensor(x), torch.as_tensor(y), **parameters)
    return float(getattr(found, "value", found))


@pytest.mark.parametrize("shape", SHAPES)
def test_rsa_is_the_spearman_correlation_of_pearson_rdms(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    d, e = (pdist(side, "correlation").round(10) for side in (x, y))  # two units: ties that rounding errors hide
    assert value(rsa, x, y) == pytest.approx(COMPARATORS["spearman"](d, e), abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_rsa_pearson_is_the_linear_correlation_of_pearson_rdms(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    d, e = (pdist(side, "correlation") for side in (x, y))
    assert value(rsa_pearson, x, y) == pytest.approx(COMPARATORS["pearson"](d, e), abs=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("comparator", COMPARATORS)
@pytest.mark.parametrize(("metric", "distance"), [(rsa_cosine, "cosine"), (rsa_euclidean, "euclidean")])
def test_other_distances_and_comparators(metric, distance: str, comparator: str, shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    expected = COMPARATORS[comparator](pdist(x, distance), pdist(y, distance))
    assert value(metric, x, y, comparator=comparator) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("distance", ["pearson", "cosine", "euclidean"])
def test_the_whitened_cosine_whitens_by_the_covariance_of_distances(distance: str) -> None:
    x, y = pair(9, 5, 4)
    name = {"pearson": "correlation", "cosine": "cosine", "euclidean": "sqeuclidean"}[distance]
    i, j = np.triu_indices(9, 1)
    contrasts = np.eye(9)[i] - np.eye(9)[j]
    whiten = np.linalg.inv((contrasts @ contrasts.T) ** 2)
    d, e = pdist(x, name), pdist(y, name)
    expected = d @ whiten @ e / np.sqrt((d @ whiten @ d) * (e @ whiten @ e))
    assert value(rsa_whitened_cosine, x, y, distance=distance) == pytest.approx(expected, abs=1e-10)


def test_the_whitened_cosine_of_euclidean_distances_is_cka() -> None:
    x, y = pair(30, 5, 40)
    assert value(rsa_whitened_cosine, x, y) == pytest.approx(value(cka, x, y), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.integers(-4, 4), min_size=2, max_size=40).filter(lambda v: len(set(v)) > 1))
def test_ranks_with_ties_are_scipys(values: list[int]) -> None:
    found = ranks(torch.tensor(values, dtype=torch.float64))
    assert (found.numpy() + len(values) + 1).tolist() == (2 * scipy.stats.rankdata(values)).tolist()


def test_ranks_of_many_values() -> None:
    values = np.random.default_rng(0).normal(size=30_000)
    found = ranks(torch.tensor(values)).numpy()
    assert np.array_equal(found + len(values) + 1, 2 * scipy.stats.rankdata(values))


def test_rounding_errors_do_not_break_ties() -> None:
    values = torch.tensor([1.0, 1.0 + 2e-16, 2.0, 2.0 - 4e-16, 0.5], dtype=torch.float64)
    assert ranks(values).tolist() == [-1, -1, 3, 3, -4]


def test_a_pearson_rdm_is_not_invariant_to_translation_or_rotation() -> None:
    x, y = pair(60, 6, 8)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    assert abs(value(rsa, x + np.arange(6), y) - value(rsa, x, y)) > 1e-3
    assert abs(value(rsa, x @ rotation, y) - value(rsa, x, y)) > 1e-3


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_inputs_give_one(name: str, dtype: torch.dtype) -> None:
    x = torch.randn(70, 12, dtype=dtype, generator=torch.Generator().manual_seed(0)) + 10
    metric = METRICS.get(name)
    scores = score_pairs(metric, [Representation(x)] * 2, [(0, 0), (0, 1)])
    found = [float(metric.function(x, x.clone())), *(score.value for score in scores)]
    assert found == pytest.approx([1, 1, 1], abs=1e-12)


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("limit", [10_000, 2**30])
def test_a_batch_of_mixed_shapes_equals_the_plain_function(name: str, limit: int) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = [(30, 4), (30, 50), (30, 3), (12, 20), (30, 4), (12, 3), (30, 5)]
    sides = [Representation(torch.randn(*shape, generator=generator)) for shape in shapes]
    pairs = [(a, b) for a in range(7) for b in range(7) if shapes[a][0] == shapes[b][0]]
    metric = METRICS.get(name)
    with limited_memory(limit):
        scores = score_pairs(metric, sides, pairs)
    expected = [float(metric.function(sides[a].matrix, sides[b].matrix, **metric.parameters)) for a, b in pairs]
    assert [score.value for score in scores] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", [0, 2, 3, 4, 100])
def test_all_cosines_are_found_however_few_vectors_are_held(size: int) -> None:
    vectors = torch.randn(9, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pairs = [(a, b) for a in range(9) for b in range(9) if (a + b) % 3]
    made: list[weakref.ref[torch.Tensor]] = []
    held = []

    def make(k: int) -> torch.Tensor:
        found = vectors[k].clone()
        made.append(weakref.ref(found))
        held.append(sum(ref() is not None for ref in made))
        return found

    with limited_memory(2 * size * vectors[0].nbytes):
        cosines = pairwise.cosines_of_vectors(make, pairs)
    unit = torch.nn.functional.normalize(vectors)
    assert torch.allclose(cosines, torch.stack([unit[a] @ unit[b] for a, b in pairs]), atol=1e-14)
    assert max(held) <= max(2, size)
    assert size < 9 or len(made) == 9


def test_rows_without_direction_are_at_distance_one_and_counted() -> None:
    x, y = pair(30, 6, 8)
    x[[3, 17]] = 0.1
    d = pdist(np.delete(x, [3, 17], axis=0), "correlation")
    upper = np.ones((30, 30))
    rest = np.ix_(np.delete(np.arange(30), [3, 17]), np.delete(np.arange(30), [3, 17]))
    block = np.zeros((28, 28))
    block[np.triu_indices(28, 1)] = d
    upper[rest] = block
    (score,) = score_pairs(METRICS.get("rsa_pearson"), [Representation(torch.tensor(s)) for s in (x, y)], [(0, 1)])
    expected = scipy.stats.pearsonr(upper[np.triu_indices(30, 1)], pdist(y, "correlation")).statistic
    assert score.value == pytest.approx(expected, abs=1e-10)
    assert score.warnings == ("2 and 0 rows without direction",)


@pytest.mark.parametrize("metric", [rsa, rsa_pearson])
def test_a_single_unit_has_no_correlation_distances(metric) -> None:
    with pytest.raises(NotApplicable, match="at least two units"):
        metric(torch.randn(10, 1), torch.randn(10, 3))


@pytest.mark.parametrize("metric", [rsa, rsa_pearson, rsa_cosine, rsa_euclidean])
def test_equal_dissimilarities_cannot_be_correlated(metric) -> None:
    with pytest.raises(NotApplicable, match="all dissimilarities are equal"):
        metric(torch.eye(10, dtype=torch.float64), torch.randn(10, 3))


@pytest.mark.parametrize("name", IDS)
def test_a_constant_matrix_is_not_applicable(name: str) -> None:
    with pytest.raises(NotApplicable, match="no variance"):
        METRICS.get(name).function(torch.full((10, 3), 0.1), torch.randn(10, 3))


@pytest.mark.parametrize("name", IDS)
@settings(max_examples=20, deadline=None)
@given(rows=st.integers(4, 30), width=st.integers(3, 40), seed=st.integers(0, 10**6), exponent=st.floats(-6, 6))
def test_symmetric_within_its_range_and_free_of_scale(
    name: str, rows: int, width: int, seed: int, exponent: float
) -> None:
    metric, (x, y) = METRICS.get(name), pair(rows, width, 5, seed)
    found = value(metric.function, x, y)
    assert value(metric.function, y, x) == pytest.approx(found, abs=1e-12)
    assert value(metric.function, 10**exponent * x, y) == pytest.approx(found, abs=1e-6)
    assert -1 - 1e-12 <= found <= 1 + 1e-12


@pytest.mark.parametrize("name", IDS)
def test_more_noise_is_less_similar(name: str) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(100, 10)), rng.normal(size=(100, 10))
    values = [value(METRICS.get(name).function, x, x + level * noise) for level in (0, 0.1, 0.3, 1, 3)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("name", IDS)
def test_single_precision_and_memory_layout_do_not_matter(name: str) -> None:
    x, y = pair(50, 12, 8)
    function = METRICS.get(name).function
    single = value(function, np.asfortranarray(x.astype(np.float32)), y.astype(np.float32)[:, :])
    assert single == pytest.approx(value(function, x, y), abs=1e-4)


def test_duplicate_rows_are_at_distance_zero() -> None:
    x = torch.randn(20, 6, dtype=torch.float64) + 1000
    x[7] = x[2]
    assert float(patterns(x, "euclidean").dissimilarities().min()) == 0


@pytest.mark.parametrize("seed", range(12))
def test_ties_are_those_of_exact_arithmetic(seed: int) -> None:
    """Cosines of whole numbers tie often; in floating point such ties differ by rounding."""
    rng = np.random.default_rng(seed)
    sides = [rng.integers(-3, 4, size=(40, width)) for width in (6, 4)]
    expected = []
    for side in sides:
        side[~side.any(axis=1), 0] = 1
        keys = []
        for i, j in combinations(range(40), 2):
            product = int(side[i] @ side[j])
            squared = Fraction(product * abs(product), int(side[i] @ side[i]) * int(side[j] @ side[j]))
            keys.append(-squared)  # 1 - cos falls as the signed square of the cosine grows
        order = {key: place for place, key in enumerate(sorted(set(keys)))}
        expected.append([order[key] for key in keys])
    exact = scipy.stats.spearmanr(*expected).statistic
    found = score_pairs(METRICS.get("rsa_cosine"), [Representation(torch.as_tensor(s)) for s in sides], [(0, 1)])
    assert found[0].value == pytest.approx(exact, abs=1e-12)
    turned = [Representation(torch.as_tensor(s[:, ::-1].copy())) for s in sides]
    assert score_pairs(METRICS.get("rsa_cosine"), turned, [(0, 1)])[0].value == pytest.approx(exact, abs=1e-12)
