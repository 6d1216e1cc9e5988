"""The identifiability distances: against slow references, and where there is nothing to compare.

What they share with the other distances at the head is in `test_every_head_distance`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.metrics.generators import (
    Model,
    at_head,
    between,
    circle_pair,
    fg,
    gaussian_model,
    gaussian_pair,
    label_pivots,
    llv,
    log_probabilities,
    near_pair,
    perturbed_pair,
    pls_svd,
)

from simbench.errors import NotApplicable
from simbench.metrics.functional import identifiability
from simbench.metrics.functional.identifiability import (
    choose,
    identifiability_fg,
    identifiability_llv,
    identifiability_svd,
)
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation


def steep(seed: int) -> tuple[Model, Model]:
    """So confident that, in spite of λ, differences of σ (seed 0) or τ (seed 4) outweigh all else."""
    (f, g), (f_, g_) = gaussian_pair(seed)
    return (f, 1e6 * g), (f_, 3e6 * g_)


# --- against the references -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [gaussian_pair(), near_pair(), circle_pair(5, 3.0, 40), perturbed_pair(6, 50)])
def test_the_label_pivots_are_the_best_of_all(pair: tuple[Model, Model]) -> None:
    first, second = (log_probabilities(model) for model in pair)
    chosen = choose(*(at_head(model) for model in pair), seed=0, tuples=20)
    pivot, left_out, t1 = label_pivots(first, second)
    assert chosen.t1 == pytest.approx(t1, rel=1e-9)
    assert (chosen.pivot, chosen.labels) == (pivot, sorted(set(range(first.shape[1])) - {pivot, left_out}))


@pytest.mark.parametrize("pair", [gaussian_pair(), near_pair(), perturbed_pair(6, 50, 50), steep(0), steep(4)])
def test_llv_equals_its_formula_at_the_chosen_pivots(pair: tuple[Model, Model]) -> None:
    first, second = (log_probabilities(model) for model in pair)
    chosen = choose(*(at_head(model) for model in pair), seed=3, tuples=20)
    pivot, left_out, _ = label_pivots(first, second)
    expected = llv(first, second, pivot, left_out, chosen.inputs)
    assert between(identifiability_llv, pair, seed=3, tuples=20) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("pair", [gaussian_pair(), near_pair(), perturbed_pair(6, 50, 50)])
def test_fg_from_log_probabilities_equals_fg_from_embeddings(pair: tuple[Model, Model]) -> None:
    chosen = choose(*(at_head(model) for model in pair), seed=3, tuples=20)
    pivot, left_out, _ = label_pivots(*(log_probabilities(model) for model in pair))
    expected = fg(pair, pivot, left_out, chosen.inputs)
    assert between(identifiability_fg, pair, seed=3, tuples=20) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("widths", [(5, 5), (4, 9), (1, 3)])
def test_svd_distance_equals_its_formula(widths: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, widths[0]))
    y = x @ rng.normal(size=widths) + rng.normal(size=(60, widths[1])) + 5
    found = float(identifiability_svd(torch.tensor(x), torch.tensor(y)))
    assert found == pytest.approx(pls_svd(x, y), rel=1e-9)


def test_the_input_tuple_is_the_best_of_the_draw_or_else_the_first() -> None:
    first, second = (log_probabilities(model) for model in near_pair(0, 0.1))
    tensors = torch.tensor(first), torch.tensor(second)
    inputs, t2 = identifiability._input_tuple(*tensors, 2, seed=0, tuples=50)
    assert t2 < 1
    assert t2 <= identifiability._input_tuple(*tensors, 2, seed=0, tuples=10)[1]
    assert len(set(inputs)) == 3


def test_without_a_tuple_below_one_the_first_is_taken() -> None:
    first, second = (torch.tensor(log_probabilities(model)) for model in gaussian_pair(1, inputs=30))
    tuples = [identifiability._input_tuple(first, second, 3, seed=0, tuples=count) for count in (1, 2, 3)]
    worst_of_all = min(t2 for _, t2 in tuples)
    assert worst_of_all >= 1
    assert tuples[0] == tuples[1] == tuples[2]


# --- what must not matter ---------------------------------------------------------------------------------------------


def biased() -> tuple[Representation, Representation]:
    """The near pair with biases that differ."""
    first, second = near_pair()
    biases = np.random.default_rng(0).normal(size=(2, 6))
    return at_head(first, biases[0]), at_head(second, biases[1])


def test_biases_that_differ_count() -> None:
    assert identifiability_llv(*biased()) > between(identifiability_llv, near_pair()) + 1e-3


def test_fg_is_blind_to_biases() -> None:
    assert identifiability_fg(*biased()) == pytest.approx(between(identifiability_fg, near_pair()), abs=1e-12)


def test_svd_distance_of_embeddings_is_not_invariant_to_an_invertible_map() -> None:
    rng = np.random.default_rng(0)
    f = torch.tensor(rng.normal(size=(500, 4)))
    mapped = f @ torch.tensor(rng.normal(size=(4, 4)) + np.eye(4))
    assert float(identifiability_svd(f, mapped)) > 0.02


# --- the triangle inequality ------------------------------------------------------------------------------------------


def triples(count: int) -> list[list[torch.Tensor]]:
    """Log-probabilities of three near models."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        f, g = gaussian_model(rng, 60, 2, 6)
        near_models = [(f + 0.5 * rng.normal(size=f.shape), g + 0.5 * rng.normal(size=g.shape)) for _ in range(3)]
        found.append([torch.tensor(log_probabilities(model)) for model in near_models])
    return found


def test_the_spread_terms_at_a_fixed_pivot_satisfy_the_triangle_inequality() -> None:
    def distance(p: torch.Tensor, q: torch.Tensor) -> float:
        zero = torch.tensor(0.0)
        sides = identifiability._centre(p.T), identifiability._centre(q.T)
        return float(identifiability._spreads(*sides, 0, (zero, zero))[1:].max())

    violations = sum(distance(a, c) > distance(a, b) + distance(b, c) + 1e-12 for a, b, c in triples(300))
    assert violations == 0


# --- degenerate inputs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["identifiability_llv", "identifiability_fg"])
def test_too_few_labels_are_a_skip_that_names_both_numbers(name: str) -> None:
    sides = [at_head(model) for model in gaussian_pair(dimension=6, labels=7)]
    (score,) = score_pairs(METRICS.get(name), sides, [(0, 1)])
    assert (score.status, score.reason) == ("skip", "K ≥ M + 2 labels are needed; here K = 7 and M = 6")


@pytest.mark.parametrize("name", ["identifiability_llv", "identifiability_fg"])
def test_too_few_inputs_are_a_skip(name: str) -> None:
    sides = [at_head(model) for model in gaussian_pair(inputs=4, dimension=4, labels=7)]
    (score,) = score_pairs(METRICS.get(name), sides, [(0, 1)])
    assert (score.status, score.reason) == ("skip", "M + 1 = 5 inputs are needed; there are 4")


@pytest.mark.parametrize("name", ["identifiability_llv", "identifiability_fg"])
def test_different_labels_are_a_skip(name: str) -> None:
    rng = np.random.default_rng(0)
    sides = [at_head(gaussian_model(rng, 50, 2, labels)) for labels in (6, 7)]
    (score,) = score_pairs(METRICS.get(name), sides, [(0, 1)])
    assert (score.status, score.reason) == ("skip", "6 labels against 7")


@pytest.mark.parametrize("name", ["identifiability_llv", "identifiability_fg"])
def test_arrays_without_a_head_are_a_skip(name: str) -> None:
    sides = [Representation(torch.randn(20, 3), layer="arrays") for _ in range(2)]
    (score,) = score_pairs(METRICS.get(name), sides, [(0, 1)])
    assert score.status == "skip"
    assert "head" in (score.reason or "")


@pytest.mark.parametrize("metric", [identifiability_llv, identifiability_fg])
def test_widths_may_differ(metric) -> None:
    (f, g), _ = near_pair()
    wider = np.column_stack([f, np.zeros(len(f))]), np.column_stack([g, np.ones(len(g))])
    assert between(metric, ((f, g), wider)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("metric", [identifiability_llv, identifiability_fg])
def test_labels_that_share_an_unembedding_do_not_divide_by_zero(metric) -> None:
    (f, g), (f_, g_) = near_pair()
    doubled, doubled_ = (np.vstack([side, side[:1]]) for side in (g, g_))
    assert 0 < between(metric, ((f, doubled), (f_, doubled_))) < 2


def test_a_pivot_that_shares_its_unembedding_is_avoided() -> None:
    pivots = []
    for seed in range(30):
        (f, g), (f_, g_) = near_pair(seed)
        doubled, doubled_ = (np.vstack([side, side[:1]]) for side in (g, g_))
        pivots.append(choose(at_head((f, doubled)), at_head((f_, doubled_)), seed=0, tuples=20).pivot)
    assert {0, 6}.isdisjoint(pivots)


@pytest.mark.parametrize("metric", [identifiability_llv, identifiability_fg])
def test_inputs_that_come_twice_do_not_divide_by_zero(metric) -> None:
    (f, g), (f_, g_) = near_pair()
    twice = np.arange(len(f)) // 2
    assert 0 < between(metric, ((f[twice], g), (f_[twice], g_))) < 2


def test_indistinguishable_labels_are_not_applicable() -> None:
    f = np.random.default_rng(0).normal(size=(50, 2))
    same = np.ones((6, 2))
    with pytest.raises(NotApplicable, match="distinguishable"):
        between(identifiability_llv, ((f, same), (f, same)))


def test_more_subsets_give_a_larger_embedding_distance() -> None:
    pair = gaussian_pair(dimension=3, labels=10)
    few, more, exact = (between(identifiability_fg, pair, max_subsets=limit) for limit in (1, 10, 10**6))
    assert few <= exact
    assert more <= exact
    assert exact > 0.5


def test_the_seed_decides_the_draw_of_inputs() -> None:
    a, b = (at_head(model) for model in near_pair())
    draws = [choose(a, b, seed=seed, tuples=5).inputs for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


# --- the SVD distance as a matrix metric ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_svd_distance_from_oneself_is_zero_with_dead_units(dtype: torch.dtype) -> None:
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=dtype)
    x[:, 2], x[:, 4] = 0.0, 0.1
    assert float(identifiability_svd(x, x)) == pytest.approx(0, abs=1e-12)


def test_svd_distance_ignores_scale_sign_and_offset_of_each_unit() -> None:
    rng = np.random.default_rng(0)
    x, y = torch.tensor(rng.normal(size=(50, 6))), torch.tensor(rng.normal(size=(50, 4)))
    mapped = x * torch.tensor([1e-6, -2.0, 3.0, 1e6, -1.0, 0.5]) + 100
    assert float(identifiability_svd(mapped, y)) == pytest.approx(float(identifiability_svd(x, y)), abs=1e-9)


@pytest.mark.parametrize(("rows", "width", "expected"), [(2000, 2, 0.026), (2000, 10, 0.059), (2000, 50, 0.134)])
def test_independent_data_has_the_known_chance_level(rows: int, width: int, expected: float) -> None:
    rng = np.random.default_rng(0)
    draws = [
        1 - float(identifiability_svd(*(torch.tensor(rng.normal(size=(rows, width))) for _ in range(2))))
        for _ in range(20)
    ]
    assert np.mean(draws) == pytest.approx(expected, rel=0.15)


def test_a_constant_matrix_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="no variance"):
        identifiability_svd(torch.ones(10, 2), torch.randn(10, 2))
