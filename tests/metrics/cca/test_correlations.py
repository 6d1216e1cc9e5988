"""The CCA family: against the generalised eigenvalue problem, by known answers and by properties."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.metrics.generators import canonical_correlations

from simbench.errors import NotApplicable
from simbench.metrics.cca.correlations import cca, cca_squared, pwcca, svcca
from simbench.metrics.kernels.spectrum import spectrum
from simbench.metrics.metric import Score
from simbench.metrics.scoring import score_pairs
from simbench.parameters import ParameterError
from simbench.registry import METRICS
from simbench.representations.representation import Representation

Array = NDArray[np.float64]
FAMILY = [cca, cca_squared, svcca, pwcca]
NAMES = ["cca", "cca_squared", "svcca", "pwcca"]


def value(metric, x: Array, y: Array, **parameters: float | str) -> float:
    found = metric(torch.as_tensor(x), torch.as_tensor(y), **parameters)
    return float(found.value if isinstance(found, Score) else found)


def pair(rows: int = 60, width: int = 6, other: int = 9, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width))
    return x, x @ rng.normal(size=(width, other)) + 2 * rng.normal(size=(rows, other)) + 3


def by_eigenvalues(x: Array, y: Array) -> tuple[Array, Array]:
    """Canonical correlations and directions of X from Σxy Σyy⁻¹ Σyx w = ρ² Σxx w; descending, for full rank."""
    xc, yc = x - x.mean(axis=0), y - y.mean(axis=0)
    cross = xc.T @ yc
    squares, directions = scipy.linalg.eigh(cross @ np.linalg.solve(yc.T @ yc, cross.T), xc.T @ xc)
    order = np.argsort(squares)[::-1][: min(x.shape[1], y.shape[1])]
    return np.sqrt(np.clip(squares[order], 0, 1)), directions[:, order]


@pytest.mark.parametrize(("width", "other"), [(6, 9), (9, 6), (1, 4), (5, 5)])
def test_cca_is_the_mean_canonical_correlation(width: int, other: int) -> None:
    x, y = pair(60, width, other)
    assert value(cca, x, y) == pytest.approx(by_eigenvalues(x, y)[0].mean(), rel=1e-7)


@pytest.mark.parametrize(("width", "other"), [(6, 9), (9, 6), (1, 4), (5, 5)])
def test_cca_squared_is_the_mean_squared_canonical_correlation(width: int, other: int) -> None:
    x, y = pair(60, width, other)
    assert value(cca_squared, x, y) == pytest.approx((by_eigenvalues(x, y)[0] ** 2).mean(), rel=1e-7)


@pytest.mark.parametrize(("width", "other"), [(6, 9), (9, 6), (1, 4), (5, 5)])
def test_pwcca_weighs_by_projections_onto_centred_units(width: int, other: int) -> None:
    x, y = pair(60, width, other)
    correlations, directions = by_eigenvalues(x, y)
    xc = x - x.mean(axis=0)
    variates = xc @ directions
    variates /= np.linalg.norm(variates, axis=0)
    weights = [sum(abs(h @ unit) for unit in xc.T) for h in variates.T]
    assert value(pwcca, x, y) == pytest.approx(np.average(correlations, weights=weights), rel=1e-6)


def test_svcca_is_cca_of_the_leading_principal_components() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 8)) * np.geomspace(1, 1e-2, 8)
    y = x @ rng.normal(size=(8, 7)) * np.geomspace(1, 1e-2, 7) + 0.05 * rng.normal(size=(80, 7))
    components = []
    for side in (x, y):
        left, values, _ = np.linalg.svd(side - side.mean(axis=0), full_matrices=False)
        fractions = np.cumsum(values**2) / np.sum(values**2)
        components.append(left[:, : next(k for k, f in enumerate(fractions, 1) if f >= 0.99)])
    assert components[0].shape[1] < 8
    assert value(svcca, x, y) == pytest.approx(canonical_correlations(*components).mean(), rel=1e-9)


@pytest.mark.parametrize(("variance", "kept"), [(0.89, 1), (0.9, 1), (0.91, 2), (0.99, 3), (1.0, 4)])
def test_svcca_keeps_the_fewest_components_that_reach_the_share(variance: float, kept: int) -> None:
    noise = np.random.default_rng(0).normal(size=(50, 8))
    left = np.linalg.qr(noise - noise.mean(axis=0))[0]
    x = left[:, :4] * np.sqrt([0.9000001, 0.08, 0.015, 0.0049999])
    assert value(svcca, x, left[:, [kept - 1]], variance=variance) == pytest.approx(1, abs=1e-7)
    assert value(svcca, x, left[:, [kept]], variance=variance) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("variance", [0.0, 1.5, "most"])
def test_svcca_refuses_a_share_that_is_none(variance: object) -> None:
    with pytest.raises(ParameterError, match="variance"):
        METRICS.get("svcca").with_parameters({"variance": variance})


@pytest.mark.parametrize("metric", FAMILY)
def test_identical_inputs_give_one(metric) -> None:
    x, _ = pair()
    assert value(metric, x, x) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("metric", [cca, cca_squared, pwcca])
def test_nested_subspaces_give_one_by_rank(metric) -> None:
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(100, 20))
    x, y = latent[:, :12] @ rng.normal(size=(12, 30)), latent @ rng.normal(size=(20, 40))
    assert value(metric, x, y) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("metric", FAMILY)
def test_dead_constant_and_duplicated_units_do_not_count(metric) -> None:
    x, y = pair()
    padded = np.column_stack([x, np.zeros(60), np.full(60, 1e4 / 3)])
    assert value(metric, padded, y) == pytest.approx(value(metric, x, y), abs=1e-9)


@pytest.mark.parametrize("metric", [cca, cca_squared])
def test_duplicated_units_do_not_count(metric) -> None:
    x, y = pair()
    assert value(metric, np.column_stack([x, x[:, :3]]), y) == pytest.approx(value(metric, x, y), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [0.0, 100.0, 1e4])
def test_rank_is_found_at_any_offset(dtype: torch.dtype, offset: float) -> None:
    rng = np.random.default_rng(0)
    low = rng.normal(size=(400, 7)) @ rng.normal(size=(7, 40)) + offset
    assert spectrum(torch.tensor(low, dtype=dtype)).rank == 7


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_small_directions_count_as_long_as_they_can_be_resolved(dtype: torch.dtype) -> None:
    left = np.linalg.qr(np.random.default_rng(0).normal(size=(4000, 10)))[0]
    x = left * np.geomspace(1, 1e-4, 10) @ np.linalg.qr(np.random.default_rng(1).normal(size=(10, 10)))[0]
    assert spectrum(torch.tensor(x, dtype=dtype)).rank == 10


@pytest.mark.parametrize("name", NAMES)
def test_fewer_rows_than_features_is_marked_as_saturated(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (Representation(torch.randn(20, width, generator=generator)) for width in (30, 3))
    metric = METRICS.get(name).with_parameters({"variance": 1.0} if name == "svcca" else {})
    (score,) = score_pairs(metric, [x, y], [(0, 1)])
    assert score.warnings == ("saturated: ranks 19 and 3 of 20 rows force 3 of 3 correlations to 1",)
    assert score.value == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("metric", FAMILY)
def test_the_plain_function_marks_saturation_too(metric) -> None:
    found = metric(torch.randn(6, 9, dtype=torch.float64), torch.randn(6, 9, dtype=torch.float64))
    assert isinstance(found, Score)
    assert found.warnings == ("saturated: ranks 5 and 5 of 6 rows force 5 of 5 correlations to 1",)


@pytest.mark.parametrize("name", NAMES)
def test_ranks_that_add_up_to_more_than_the_rows_force_correlations_and_are_told(name: str) -> None:
    """18 + 14 dimensions of 29 have 3 in common; 15 + 14 need have none."""
    metric = METRICS.get(name).with_parameters({"variance": 1.0} if name == "svcca" else {})
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(30, width, generator=generator, dtype=torch.float64) for width in (18, 14))
    correlations = canonical_correlations(x.numpy(), y.numpy())
    assert int((correlations > 1 - 1e-9).sum()) == 3
    full, fitting = (
        score_pairs(metric, [Representation(side) for side in (x[:, :width], y)], [(0, 1)])[0] for width in (18, 15)
    )
    assert full.warnings == ("saturated: ranks 18 and 14 of 30 rows force 3 of 14 correlations to 1",)
    assert fitting.warnings == ()


def test_svcca_of_few_rows_is_told_to_be_forced_though_components_were_cut() -> None:
    x, y = torch.randn(2, 50, 128, generator=torch.Generator().manual_seed(0))
    found = svcca(x, y)
    assert isinstance(found, Score)
    assert found.warnings == ("saturated: ranks 47 and 47 of 50 rows force 45 of 47 correlations to 1",)
    assert 45 / 47 <= float(found.value or 0) < 1


@pytest.mark.parametrize("name", NAMES)
def test_enough_rows_carry_no_warning(name: str) -> None:
    sides = [Representation(torch.tensor(side)) for side in pair()]
    assert score_pairs(METRICS.get(name), sides, [(0, 1)])[0].warnings == ()


@pytest.mark.parametrize("metric", [cca, cca_squared])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), width=st.integers(1, 8), exponent=st.floats(-6, 6), offset=st.floats(-100, 100))
def test_affine_maps_do_not_matter(metric, seed: int, width: int, exponent: float, offset: float) -> None:
    x, y = pair(40, width, 5, seed)
    rng = np.random.default_rng(seed)
    turns = [np.linalg.qr(rng.normal(size=(width, width)))[0] for _ in range(2)]
    mapped = 10**exponent * (x @ turns[0] @ np.diag(np.geomspace(1, 30, width)) @ turns[1] + offset)
    assert value(metric, mapped, y) == pytest.approx(value(metric, x, y), abs=1e-8)
    assert value(metric, y, mapped) == pytest.approx(value(metric, x, y), abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), exponent=st.floats(-6, 6), offset=st.floats(-100, 100))
def test_pwcca_ignores_order_scale_and_offset_of_units(seed: int, exponent: float, offset: float) -> None:
    x, y = pair(40, 6, 5, seed)
    mapped = 10**exponent * (x[:, ::-1] + offset)
    assert value(pwcca, mapped, y) == pytest.approx(value(pwcca, x, y), abs=1e-8)


@pytest.mark.parametrize(("width", "other"), [(6, 9), (9, 6), (5, 5)])
def test_weights_of_the_receiver_are_those_of_all_its_directions(width: int, other: int) -> None:
    """The slow way: the canonical variates of Y, and principal components of the rest of Y, where X has none."""
    x, y = pair(60, width, other)
    centred = y - y.mean(axis=0)
    own, of_y = (np.linalg.qr(side - side.mean(axis=0))[0] for side in (x, y))
    _, correlations, directions = np.linalg.svd(own.T @ of_y)
    variates = (of_y @ directions.T)[:, : len(correlations)]
    rest = np.linalg.svd(centred - variates @ (variates.T @ centred))[0][:, : other - len(correlations)]
    weights = np.abs(np.hstack([variates, rest]).T @ centred).sum(axis=1)
    padded = np.concatenate([correlations, np.zeros(other - len(correlations))])
    expected = np.average(padded, weights=weights)
    assert value(pwcca, x, y, weights="receiver") == pytest.approx(expected, rel=1e-6)
    by_receiver = METRICS.get("pwcca").with_parameters({"weights": "receiver"})
    both = score_pairs(by_receiver, [Representation.from_array(side) for side in (x, y)], [(0, 1), (1, 0)])
    assert [score.value for score in both] == pytest.approx([expected, value(pwcca, y, x, weights="receiver")])


def test_with_weights_of_the_receiver_what_the_sender_lacks_counts_against_it() -> None:
    whole = pair()[1]
    left = whole[:, :2]
    assert value(pwcca, left, whole) == pytest.approx(1.0)
    assert value(pwcca, left, whole, weights="receiver") < 0.8
    assert value(pwcca, whole, left, weights="receiver") == pytest.approx(1.0)


def test_pwcca_is_directed() -> None:
    x, y = pair()
    assert abs(value(pwcca, x, y) - value(pwcca, y, x)) > 1e-3


def test_pwcca_depends_on_a_rotation_of_its_first_argument() -> None:
    x, y = pair(60, 6, 4)
    x = x * np.geomspace(1, 10, 6)
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(6, 6)))[0]
    assert abs(value(pwcca, x @ rotation, y) - value(pwcca, x, y)) > 1e-4


@pytest.mark.parametrize("metric", FAMILY)
def test_integers_and_memory_layout_do_not_matter(metric) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(-5, 5, size=(40, 8)), rng.integers(-5, 5, size=(40, 3))
    strided = torch.tensor(x.astype(float)).T.contiguous().T
    assert value(metric, x, y) == pytest.approx(value(metric, strided, y.astype(float)), abs=1e-12)


@pytest.mark.parametrize("metric", FAMILY)
def test_a_constant_matrix_is_not_applicable(metric) -> None:
    with pytest.raises(NotApplicable, match="no variance"):
        metric(torch.randn(10, 3), torch.full((10, 3), 0.1))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_mixed_ranks_equals_the_plain_function(name: str) -> None:
    rng = np.random.default_rng(3)
    latent = rng.normal(size=(60, 12))
    maps = [rng.normal(size=(12, width)) for width in (5, 9, 9, 20, 1)]
    sides = [Representation(torch.tensor(latent @ m + 0.3 * rng.normal(size=(60, m.shape[1])))) for m in maps]
    sides.append(Representation(torch.tensor(latent[:, :3] @ rng.normal(size=(3, 10)))))
    pairs = [(a, b) for a in range(len(sides)) for b in range(len(sides))]
    metric = METRICS.get(name)
    scores = score_pairs(metric, sides, pairs)
    expected = [float(metric.function(sides[a].matrix, sides[b].matrix)) for a, b in pairs]
    assert [score.value for score in scores] == pytest.approx(expected, abs=1e-9)
