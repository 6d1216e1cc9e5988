"""Matching of units: against brute force, the published expectations, and by properties."""

from __future__ import annotations

import sys
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.metrics import mutual_info_score
from tests.metrics.sides import Array, pair

from simbench.errors import NotApplicable
from simbench.metrics.kernels.units import units
from simbench.metrics.matching.mutual_information import binned, exchanges, mutual_information, scaled_information
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation, SpatialRule

SHAPES = [(40, 4, 6), (40, 6, 4), (12, 5, 5), (30, 1, 3)]
CORRELATIONAL = ["match_bipartite", "match_semi", "match_threshold", "soft_matching"]
IDS = [*CORRELATIONAL, "match_mutual_information", "partial_soft_matching"]


def value(name: str, x: Array, y: Array, **parameters: object) -> float:
    metric = METRICS.get(name).with_parameters(parameters)
    found = metric.function(torch.as_tensor(x), torch.as_tensor(y), **metric.parameters)
    return float(getattr(found, "value", found))


def correlations(x: Array, y: Array) -> Array:
    return np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]


def transported(c: Array) -> float:
    """The transport plan as a linear programme."""
    d, e = c.shape
    rows, columns = np.kron(np.eye(d), np.ones(e)), np.kron(np.ones(d), np.eye(e))
    marginals = np.concatenate([np.full(d, 1 / d), np.full(e, 1 / e)])
    return -linprog(-c.ravel(), A_eq=np.concatenate([rows, columns]), b_eq=marginals).fun


def reference(name: str, x: Array, y: Array) -> float:
    c = correlations(x, y)
    if name == "match_semi":
        return float(np.clip(c.max(axis=1).mean(), 0, 1))
    if name == "match_threshold":
        return float((c.max(axis=1) >= 0.5).mean())
    if name == "soft_matching":
        return transported(c)
    c = c if len(c) <= len(c.T) else c.T
    orders = permutations(range(c.shape[1]), len(c))
    return max(0.0, max(sum(c[i, j] for i, j in enumerate(order)) for order in orders) / c.shape[1])


@pytest.mark.parametrize("name", CORRELATIONAL)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_definition(name: str, shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    assert value(name, x, y) == pytest.approx(reference(name, x, y), abs=1e-10)


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_permuted_rescaled_and_shifted_copy_is_the_same(name: str, dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(300, 20)), 0).astype(dtype)
    copy = (x * 2.0 ** rng.integers(-3, 3, size=20) + 4)[:, rng.permutation(20)].astype(dtype)
    assert value(name, x, x) == pytest.approx(1, abs=1e-12)
    assert value(name, x, copy) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["match_bipartite", "match_semi"])
def test_a_sign_flip_matters_unless_signs_are_ignored(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(1000, 64))
    assert value(name, x, -x) < 0.35
    assert value(name, x, -x, absolute=True) == pytest.approx(1)


@pytest.mark.parametrize("name", ["match_bipartite", "match_semi", "soft_matching", "match_mutual_information"])
def test_a_rotation_destroys_the_units(name: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 64))
    assert value(name, x, x @ np.linalg.qr(rng.normal(size=(64, 64)))[0]) < 0.4


def test_independent_units_match_by_chance_as_expected() -> None:
    rng = np.random.default_rng(0)
    for rows, bipartite, semi in ((1000, 0.069, 0.074), (5000, 0.030, 0.033)):
        x, y = rng.normal(size=(2, rows, 64))
        assert value("match_bipartite", x, y) == pytest.approx(bipartite, abs=0.003)
        assert value("match_semi", x, y) == pytest.approx(semi, abs=0.003)
    assert value("match_mutual_information", x, y) < 0.02


@pytest.mark.parametrize("noise", [0.5, 1.0])
def test_a_noisy_copy_correlates_as_expected(noise: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 20))
    found = value("match_bipartite", x, x + noise * rng.normal(size=x.shape))
    assert found == pytest.approx(1 / np.sqrt(1 + noise**2), abs=0.01)


def test_dead_units_are_dropped_or_kept() -> None:
    x = np.random.default_rng(0).normal(size=(500, 64))
    x[:, :16] = 0.1
    assert value("match_bipartite", x, x) == pytest.approx(1)
    assert value("match_bipartite", x, x, dead="keep") == pytest.approx(0.75)
    assert value("match_semi", x, x, dead="keep") == pytest.approx(0.75)
    assert value("match_threshold", x, x, dead="keep") == pytest.approx(0.75)


@pytest.mark.parametrize("name", IDS)
def test_dead_units_are_counted(name: str) -> None:
    x, y = pair(40, 6, 6)
    x[:, [1, 4]] = -7.3
    (score,) = score_pairs(METRICS.get(name), [Representation(torch.tensor(side)) for side in (x, y)], [(0, 1)])
    assert score.warnings == ("2 and 0 dead units",)


def test_a_unit_that_varies_by_rounding_errors_is_dead() -> None:
    x = torch.randn(100, 3)
    x[:, 0] = 0.1 + 1e-8 * torch.randn(100)
    x[:, 1] *= 1e-20
    assert (units(x).alive, units(x).dead) == (2, 1)


@pytest.mark.parametrize("name", IDS)
def test_only_dead_units_are_not_applicable(name: str) -> None:
    with pytest.raises(NotApplicable, match="no variance"):
        METRICS.get(name).function(torch.full((10, 3), 0.1), torch.randn(10, 3))


def test_a_missing_transport_library_is_a_reason_that_says_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ot", None)
    x, y = (Representation(torch.randn(20, width)) for width in (4, 6))
    scores = score_pairs(METRICS.get("soft_matching"), [x, y], [(0, 1), (0, 0)])
    assert [score.status for score in scores] == ["skip", "ok"]
    assert 'pip install "simbench-leaderboard[transport]"' in str(scores[0].reason)
    (score,) = score_pairs(METRICS.get("partial_soft_matching"), [x, y], [(0, 0)])
    assert score.status == "skip"
    assert 'pip install "simbench-leaderboard[transport]"' in str(score.reason)


def test_mutual_information_is_that_of_the_bins() -> None:
    x, y = pair(200, 3, 4)
    a, b = (binned(torch.tensor(np.maximum(side, 0)), 10) for side in (x, y))
    found = mutual_information(a, b, b.codes)
    expected = [[mutual_info_score(i, j) for j in b.codes.T.numpy()] for i in a.codes.T.numpy()]
    assert found.numpy() == pytest.approx(np.array(expected), abs=1e-10)


@pytest.mark.parametrize("shape", [(200, 3, 4), (150, 5, 5)])
def test_the_match_by_information_is_the_best_assignment_of_information_beyond_chance(
    shape: tuple[int, int, int],
) -> None:
    x, y = pair(*shape)
    a, b = (binned(torch.tensor(side), 10).codes.T.numpy() for side in (x, y))
    exchanged = b[:, exchanges(shape[0], 0).numpy()]
    gain = np.empty((len(a), len(b)))
    for i, j in np.ndindex(gain.shape):
        chance = mutual_info_score(a[i], exchanged[j])
        most = np.sqrt(mutual_info_score(a[i], a[i]) * mutual_info_score(b[j], b[j]))
        gain[i, j] = (mutual_info_score(a[i], b[j]) - chance) / (most - chance)
    orders = permutations(range(gain.shape[1]), len(gain))
    best = max(sum(gain[i, j] for i, j in enumerate(order)) for order in orders) / max(gain.shape)
    assert value("match_mutual_information", x, y) == pytest.approx(max(best, 0.0), abs=1e-9)


def test_the_first_bin_holds_the_zeros_and_the_others_are_of_equal_mass() -> None:
    x = np.maximum(np.random.default_rng(0).normal(size=(2000, 1)), 0)
    codes = binned(torch.tensor(x), 10).codes[:, 0].numpy()
    assert np.array_equal(codes == 0, x[:, 0] == 0)
    positive = np.bincount(codes, minlength=10)[1:]
    assert positive.max() - positive.min() <= 1


def test_the_null_exchanges_rows_in_pairs() -> None:
    for rows in (10, 11):
        order = exchanges(rows, 0)
        assert torch.equal(order[order], torch.arange(rows))
        assert int((order == torch.arange(rows)).sum()) == rows % 2


def test_the_null_exchanges_inputs_with_all_of_their_positions() -> None:
    rows = torch.arange(11 * 3, dtype=torch.float64)[:, None]
    codes = binned(rows, 33, inputs=11)
    after = codes.exchanged(0).view(11, 3) // 3
    assert torch.equal(after, exchanges(11, 0)[:, None].expand(11, 3))


def test_the_null_of_inputs_with_one_row_is_that_of_rows() -> None:
    """The value that version 1 gave."""
    x, y = (torch.tensor(side) for side in pair(150, 5, 6))
    (found,) = score_pairs(METRICS.get("match_mutual_information"), [Representation(x), Representation(y)], [(0, 1)])
    assert found.value == value("match_mutual_information", x.numpy(), y.numpy())
    assert found.value == pytest.approx(0.129787877716, abs=1e-11)


def test_independent_networks_share_no_information_by_their_positions() -> None:
    """Positions of one input are alike: 20 inputs share information by chance that 2000 independent rows would not."""
    rng = np.random.default_rng(0)
    values, by_rows = [], []
    for _ in range(4):
        maps = [rng.normal(size=(20, 8, 1)) + 0.1 * rng.normal(size=(20, 8, 100)) for _ in range(2)]
        rule = SpatialRule("positions", rows=2000)
        sides = [Representation(torch.tensor(one), "channels_first", spatial=rule) for one in maps]
        (found,) = score_pairs(METRICS.get("match_mutual_information"), sides, [(0, 1)])
        values.append(found.value)
        by_rows.append(value("match_mutual_information", *(side.matrix.numpy() for side in sides)))
    assert np.mean(values) < 0.1
    assert np.mean(by_rows) > 0.25


def test_scaled_information_is_one_for_itself_and_zero_by_chance() -> None:
    rng = np.random.default_rng(0)
    x = binned(torch.tensor(rng.normal(size=(500, 8))), 10)
    y = binned(torch.tensor(rng.normal(size=(500, 8))), 10)
    assert torch.allclose(scaled_information(x, x, 0).diagonal(), torch.ones(8, dtype=torch.float64))
    assert float(scaled_information(x, y, 0).mean().abs()) < 0.01


def test_mutual_information_sees_what_correlation_does_not() -> None:
    x = np.random.default_rng(0).normal(size=(2000, 4))
    assert value("match_bipartite", x, x**2) < 0.1
    assert value("match_mutual_information", x, x**2) > 0.3


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(3, 30), width=st.integers(1, 12), other=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_ranges_symmetries_and_the_order_of_the_two_matchings(rows: int, width: int, other: int, seed: int) -> None:
    x, y = pair(rows, width, other, seed)
    for name in IDS:
        metric, found = METRICS.get(name), value(name, x, y)
        assert metric.value_range[0] - 1e-9 <= found <= metric.value_range[1] + 1e-9
        if metric.symmetric:
            assert value(name, y, x) == pytest.approx(found, abs=1e-9)
    if width == other:
        assert value("match_semi", x, y) >= value("match_bipartite", x, y) - 1e-12


def partly_transported(c: Array, mass: float) -> float:
    """Partial transport as a linear programme: marginals are upper bounds, the total is given."""
    d, e = c.shape
    rows, columns = np.kron(np.eye(d), np.ones(e)), np.kron(np.ones(d), np.eye(e))
    bounds = np.concatenate([np.full(d, 1 / d), np.full(e, 1 / e)])
    total = np.ones((1, d * e))
    found = linprog(-c.ravel(), A_ub=np.concatenate([rows, columns]), b_ub=bounds, A_eq=total, b_eq=[mass])
    return -found.fun / mass


@pytest.mark.parametrize("shape", [*SHAPES, (20, 1, 1)])
@pytest.mark.parametrize("mass", [0.05, 0.5, 0.9, 0.999])
def test_partial_soft_matching_is_the_linear_programme(shape: tuple[int, int, int], mass: float) -> None:
    x, y = pair(*shape)
    expected = partly_transported(correlations(x, y).reshape(shape[1], shape[2]), mass)
    assert value("partial_soft_matching", x, y, mass=mass) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_partial_soft_matching_of_all_mass_is_soft_matching(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    whole = value("soft_matching", x, y)
    assert value("partial_soft_matching", x, y, mass=1.0) == whole
    falling = [value("partial_soft_matching", x, y, mass=mass) for mass in (0.1, 0.4, 0.7, 0.99, 1.0)]
    assert falling == sorted(falling, reverse=True)


def test_outliers_stay_without_partner() -> None:
    x, _ = pair(60, 9, 1)
    rng = np.random.default_rng(5)
    y = np.concatenate([x[:, ::-1], rng.normal(size=(60, 1))], axis=1)  # nine counterparts and a stranger
    assert value("partial_soft_matching", x, y, mass=0.9) == pytest.approx(1, abs=1e-12)
    assert value("soft_matching", x, y) < 0.95
