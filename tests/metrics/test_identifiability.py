"""The identifiability distances: against slow references, on constructed pairs of known similarity, by their bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from tests.metrics.constructions import (
    Model,
    at_head,
    canonical_correlations,
    circle_norm,
    circle_pair,
    equal_embeddings_pair,
    equivalent,
    fg,
    gaussian_model,
    label_pivots,
    llv,
    log_probabilities,
    perturbed_pair,
    pls_svd,
    repelled_pair,
    separately_related_pair,
)

from simbench.errors import NotApplicable
from simbench.metrics import identifiability
from simbench.metrics.cca import cca
from simbench.metrics.functional import kl
from simbench.metrics.identifiability import (
    choose,
    identifiability_fg,
    identifiability_llv,
    identifiability_svd,
    logit_distance_relative,
)
from simbench.metrics.metric import Score
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

HEAD = [identifiability_llv, identifiability_fg, logit_distance_relative]
SERIES = {4: 0.005, 6: 0.004, 10: 0.0025}


def models(seed: int = 0, inputs: int = 200, dimension: int = 3, labels: int = 7) -> tuple[Model, Model]:
    rng = np.random.default_rng(seed)
    return gaussian_model(rng, inputs, dimension, labels), gaussian_model(rng, inputs, dimension, labels)


def steep(seed: int) -> tuple[Model, Model]:
    """So confident that, in spite of λ, differences of σ (seed 0) or τ (seed 4) outweigh all else."""
    (f, g), (f_, g_) = models(seed)
    return (f, 1e6 * g), (f_, 3e6 * g_)


def near(seed: int = 0, size: float = 0.2) -> tuple[Model, Model]:
    rng = np.random.default_rng(seed)
    f, g = gaussian_model(rng, 150, 2, 6)
    return (f, g), (f + size * rng.normal(size=f.shape), g + size * rng.normal(size=g.shape))


def between(metric, pair: tuple[Model, Model], **parameters: int) -> float:
    return metric(at_head(pair[0]), at_head(pair[1]), **parameters)


def mean_correlation(x: np.ndarray, y: np.ndarray) -> float:
    found = cca(torch.tensor(x), torch.tensor(y))
    return float(found.value if isinstance(found, Score) else found)


def agreement(pair: tuple[Model, Model]) -> float:
    first, second = (log_probabilities(model).argmax(axis=1) for model in pair)
    return float(np.mean(first == second))


# --- against the references -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [models(), near(), circle_pair(5, 3.0, per_label=40), perturbed_pair(6, 20, 0.01)])
def test_the_label_pivots_are_the_best_of_all(pair: tuple[Model, Model]) -> None:
    first, second = (log_probabilities(model) for model in pair)
    chosen = choose(*(at_head(model) for model in pair), seed=0, tuples=20)
    pivot, left_out, t1 = label_pivots(first, second)
    assert chosen.t1 == pytest.approx(t1, rel=1e-9)
    assert (chosen.pivot, chosen.labels) == (pivot, sorted(set(range(first.shape[1])) - {pivot, left_out}))


@pytest.mark.parametrize("pair", [models(), near(), perturbed_pair(6, 20, 0.01, per_label=50), steep(0), steep(4)])
def test_llv_equals_its_formula_at_the_chosen_pivots(pair: tuple[Model, Model]) -> None:
    first, second = (log_probabilities(model) for model in pair)
    chosen = choose(*(at_head(model) for model in pair), seed=3, tuples=20)
    pivot, left_out, _ = label_pivots(first, second)
    expected = llv(first, second, pivot, left_out, chosen.inputs)
    assert between(identifiability_llv, pair, seed=3, tuples=20) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("pair", [models(), near(), perturbed_pair(6, 20, 0.01, per_label=50)])
def test_fg_from_log_probabilities_equals_fg_from_embeddings(pair: tuple[Model, Model]) -> None:
    chosen = choose(*(at_head(model) for model in pair), seed=3, tuples=20)
    pivot, left_out, _ = label_pivots(*(log_probabilities(model) for model in pair))
    expected = fg(pair, pivot, left_out, chosen.inputs)
    assert between(identifiability_fg, pair, seed=3, tuples=20) == pytest.approx(expected, rel=1e-7)


def test_relative_logit_distance_equals_its_formula() -> None:
    pair = models()
    u, v = (f @ (g - g.mean(axis=0)).T for f, g in pair)
    squared = np.mean(np.sum((u - v) ** 2, axis=1))
    size = (np.mean(np.sum(u**2, axis=1)) + np.mean(np.sum(v**2, axis=1))) / 2
    assert between(logit_distance_relative, pair) == pytest.approx(np.sqrt(squared / size), rel=1e-9)


@pytest.mark.parametrize("widths", [(5, 5), (4, 9), (1, 3)])
def test_svd_distance_equals_its_formula(widths: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, widths[0]))
    y = x @ rng.normal(size=widths) + rng.normal(size=(60, widths[1])) + 5
    found = float(identifiability_svd(torch.tensor(x), torch.tensor(y)))
    assert found == pytest.approx(pls_svd(x, y), rel=1e-9)


def test_the_input_tuple_is_the_best_of_the_draw_or_else_the_first() -> None:
    first, second = (log_probabilities(model) for model in near(0, 0.1))
    tensors = torch.tensor(first), torch.tensor(second)
    inputs, t2 = identifiability._input_tuple(*tensors, 2, seed=0, tuples=50)
    assert t2 < 1
    assert t2 <= identifiability._input_tuple(*tensors, 2, seed=0, tuples=10)[1]
    assert len(set(inputs)) == 3


def test_without_a_tuple_below_one_the_first_is_taken() -> None:
    first, second = (torch.tensor(log_probabilities(model)) for model in models(1, inputs=30))
    tuples = [identifiability._input_tuple(first, second, 3, seed=0, tuples=count) for count in (1, 2, 3)]
    worst_of_all = min(t2 for _, t2 in tuples)
    assert worst_of_all >= 1
    assert tuples[0] == tuples[1] == tuples[2]


# --- T-A1, T-A2: what must not matter ---------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [*HEAD, kl])
def test_a_model_is_at_distance_zero_from_itself(metric) -> None:
    model = models()[0]
    assert between(metric, (model, model)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("condition", [1, 10, 1e3])
@pytest.mark.parametrize(("dimension", "labels"), [(2, 6), (8, 20), (50, 100)])
def test_equivalent_models_are_at_distance_zero(dimension: int, labels: int, condition: float) -> None:
    rng = np.random.default_rng(0)
    model = gaussian_model(rng, 2000 if labels < 100 else 600, dimension, labels)
    pair = model, equivalent(model, rng, condition)
    distances = [between(metric, pair) for metric in (*HEAD, kl)]
    assert max(abs(distance) for distance in distances) <= 1e-8


def biased() -> tuple[Representation, Representation]:
    """The near pair with biases that differ."""
    first, second = near()
    biases = np.random.default_rng(0).normal(size=(2, 6))
    return at_head(first, biases[0]), at_head(second, biases[1])


@pytest.mark.parametrize("metric", [identifiability_llv, logit_distance_relative])
def test_biases_that_differ_count(metric) -> None:
    assert metric(*biased()) > between(metric, near()) + 1e-3


def test_fg_is_blind_to_biases() -> None:
    assert identifiability_fg(*biased()) == pytest.approx(between(identifiability_fg, near()), abs=1e-12)


def test_svd_distance_of_embeddings_is_not_invariant_to_an_invertible_map() -> None:
    rng = np.random.default_rng(0)
    f = torch.tensor(rng.normal(size=(500, 4)))
    mapped = f @ torch.tensor(rng.normal(size=(4, 4)) + np.eye(4))
    assert float(identifiability_svd(f, mapped)) > 0.02


# --- T-A3: what must matter -------------------------------------------------------------------------------------------


def altered(kind: str, seed: int) -> tuple[Model, Model]:
    rng = np.random.default_rng(seed)
    f, g = gaussian_model(rng, 2000, 3, 8, scale=1.5)
    others = {
        "embedding mapped": (f @ rng.normal(size=(3, 3)).T, g),
        "embedding shifted": (f + np.array([1, -2, 0.5]), g),
        "labels permuted": (f, np.roll(g, 1, axis=0)),
        "temperature": (f, 2 * g),
    }
    return (f, g), others[kind]


KINDS = ["embedding mapped", "embedding shifted", "labels permuted", "temperature"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", [identifiability_llv, logit_distance_relative])
def test_another_distribution_is_at_a_distance(metric, kind: str) -> None:
    assert min(between(metric, altered(kind, seed)) for seed in range(20)) > 0.03


@pytest.mark.parametrize("kind", ["embedding mapped", "labels permuted"])
def test_fg_sees_maps_and_permutations(kind: str) -> None:
    assert min(between(identifiability_fg, altered(kind, seed)) for seed in range(20)) > 0.15


@pytest.mark.parametrize("kind", ["embedding shifted", "temperature"])
def test_fg_is_blind_to_shifts_and_temperature(kind: str) -> None:
    assert max(between(identifiability_fg, altered(kind, seed)) for seed in range(20)) < 1e-9


@pytest.mark.parametrize(("kind", "low", "high"), [("embedding shifted", 0.29, 1.04), ("temperature", 0.04, 0.105)])
def test_llv_lies_in_its_reference_range(kind: str, low: float, high: float) -> None:
    values = [between(identifiability_llv, altered(kind, seed)) for seed in range(20)]
    assert low <= min(values) <= max(values) <= high


# --- T-A4: close in distribution, not similar -------------------------------------------------------------------------


@pytest.mark.parametrize(("labels", "expected"), [(5, 1.00), (7, 1.317), (11, 2.00), (13, 2.35)])
def test_the_circle_pair_is_dissimilar_though_close_in_kl(labels: int, expected: float) -> None:
    pair = circle_pair(labels, circle_norm(labels))
    assert between(kl, pair) < 1e-4
    assert agreement(pair) == 1.0
    assert between(identifiability_llv, pair) == pytest.approx(expected, abs=0.03)
    assert between(identifiability_fg, pair) >= 0.98
    assert between(logit_distance_relative, pair) == pytest.approx(2**0.5, abs=0.01)
    assert mean_correlation(pair[0][0], pair[1][0]) <= 0.01


def test_kl_falls_with_the_norm_and_reaches_1e_4() -> None:
    values = [between(kl, circle_pair(7, norm)) for norm in (2, 5, 10, 15, 20)]
    assert values == sorted(values, reverse=True)
    assert values[-1] <= 1e-4
    assert values[1:] == pytest.approx([0.382, 1.98e-2, 7.6e-4, 2.7e-5], rel=0.05)


def test_llv_does_not_depend_on_the_norm() -> None:
    values = [between(identifiability_llv, circle_pair(7, norm)) for norm in (5, 10, 15, 20)]
    assert max(values) - min(values) <= 0.02


@pytest.mark.parametrize(("dimension", "labels"), [(2, 5), (4, 8), (8, 20)])
def test_the_pair_of_any_dimension_is_dissimilar_though_close_in_kl(dimension: int, labels: int) -> None:
    pair = repelled_pair(dimension, labels, closeness=1e-6)
    assert between(kl, pair) <= 1e-6
    assert mean_correlation(pair[0][0], pair[1][0]) <= 0.8
    assert between(logit_distance_relative, pair) >= 0.8
    assert between(identifiability_llv, pair) >= 0.5


# --- T-A5, T-A6: graded perturbations and the bound -------------------------------------------------------------------


@pytest.mark.parametrize("labels", SERIES)
@pytest.mark.parametrize("metric", HEAD)
def test_distances_grow_with_the_perturbation(metric, labels: int) -> None:
    levels = range(1, 250, 10)
    values = [between(metric, perturbed_pair(labels, level, SERIES[labels])) for level in levels]
    assert spearmanr(list(levels), values).statistic >= 0.99


@pytest.mark.parametrize("labels", SERIES)
def test_fg_of_perturbations_is_bounded_by_llv(labels: int) -> None:
    for level in range(1, 250, 20):
        pair = perturbed_pair(labels, level, SERIES[labels])
        epsilon = between(identifiability_llv, pair)
        assert between(identifiability_fg, pair) <= min(2 * 2 * epsilon, 2 * epsilon**2) + 1e-9


def test_fg_of_random_models_is_bounded_by_llv() -> None:
    for seed in range(30):
        pair = near(seed, size=0.1 * (seed + 1))
        epsilon = between(identifiability_llv, pair)
        assert between(identifiability_fg, pair) <= min(2 * 2 * epsilon, 2 * epsilon**2) + 1e-9


# --- T-A7: axioms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", HEAD)
def test_distances_are_symmetric(metric) -> None:
    for seed in range(30):
        a, b = near(seed)
        assert between(metric, (a, b)) == pytest.approx(between(metric, (b, a)), rel=1e-12)


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


def test_the_absolute_logit_distance_satisfies_the_triangle_inequality() -> None:
    violations = 0
    for probabilities in triples(300):
        sizes = [(ell - ell.mean(dim=1, keepdim=True)).square().sum(dim=1).mean() for ell in probabilities]
        sides = [Representation(torch.zeros(60, 2), model=Fixed(ell), at_head=True) for ell in probabilities]

        def distance(i: int, j: int, sides=sides, sizes=sizes) -> float:
            return logit_distance_relative(sides[i], sides[j]) * float((sizes[i] + sizes[j]) / 2) ** 0.5

        violations += distance(0, 2) > distance(0, 1) + distance(1, 2) + 1e-12
    assert violations == 0


class Fixed:
    """A model that puts out given logits."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits

    def continue_from(self, layer: str, activations: torch.Tensor, inputs: torch.Tensor | None = None) -> torch.Tensor:
        return self.logits

    def head(self) -> None:
        return None


# --- T-A9, T-A10, T-A11: embeddings and unembeddings must be judged together ------------------------------------------


def test_embeddings_and_unembeddings_are_judged_together() -> None:
    pair = separately_related_pair()
    assert mean_correlation(pair[0][0], pair[1][0]) >= 0.999
    assert agreement(pair) == 0
    assert between(identifiability_llv, pair) >= 0.9
    assert between(identifiability_fg, pair) >= 0.5
    assert between(logit_distance_relative, pair) >= 1.4


def test_equal_embeddings_do_not_hide_exchanged_unembeddings() -> None:
    pair = equal_embeddings_pair()
    assert between(kl, pair) < 0.01
    assert between(identifiability_fg, pair) >= 0.25
    assert mean_correlation(pair[0][1], pair[1][1]) == pytest.approx(0.674, abs=0.001)


def bounded_pairs() -> list[tuple[Model, Model]]:
    return [perturbed_pair(6, level, 0.004) for level in (1, 50, 250)] + [near(seed, 0.3) for seed in range(5)]


@pytest.mark.parametrize("pair", bounded_pairs())
def test_the_logit_distance_bounds_the_loss_of_canonical_correlation(pair: tuple[Model, Model]) -> None:
    u, v = (f @ (g - g.mean(axis=0)).T for f, g in pair)
    size = (np.mean(np.sum(u**2, axis=1)) + np.mean(np.sum(v**2, axis=1))) / 2
    squared = between(logit_distance_relative, pair) ** 2 * size
    centred = u - u.mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(centred.T @ centred / len(u))[::-1]
    correlations = canonical_correlations(pair[0][0], pair[1][0])
    assert np.sum(eigenvalues[: len(correlations)] * (1 - correlations**2)) <= squared * (1 + 1e-9)


@pytest.mark.parametrize("pair", bounded_pairs())
def test_the_logit_distance_bounds_the_best_linear_map(pair: tuple[Model, Model]) -> None:
    (f, g), (f_, g_) = pair
    u, v = f @ (g - g.mean(axis=0)).T, f_ @ (g_ - g_.mean(axis=0)).T
    size = (np.mean(np.sum(u**2, axis=1)) + np.mean(np.sum(v**2, axis=1))) / 2
    squared = between(logit_distance_relative, pair) ** 2 * size
    side, side_ = (g[[1, 2]] - g[0]).T, (g_[[1, 2]] - g_[0]).T
    mapped = f_ @ (np.linalg.inv(side).T @ side_.T).T
    lost = np.mean(np.sum((f - mapped) ** 2, axis=1))
    assert lost <= 3 / np.linalg.svd(side, compute_uv=False)[-1] ** 2 * squared * (1 + 1e-9)


# --- degenerate inputs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["identifiability_llv", "identifiability_fg"])
def test_too_few_labels_are_a_skip_that_names_both_numbers(name: str) -> None:
    sides = [at_head(model) for model in models(dimension=6, labels=7)]
    (score,) = score_pairs(METRICS.get(name), sides, [(0, 1)])
    assert (score.status, score.reason) == ("skip", "K ≥ M + 2 labels are needed; here K = 7 and M = 6")


@pytest.mark.parametrize("name", ["identifiability_llv", "identifiability_fg"])
def test_too_few_inputs_are_a_skip(name: str) -> None:
    sides = [at_head(model) for model in models(inputs=4, dimension=4, labels=7)]
    (score,) = score_pairs(METRICS.get(name), sides, [(0, 1)])
    assert (score.status, score.reason) == ("skip", "M + 1 = 5 inputs are needed; there are 4")


@pytest.mark.parametrize("name", ["identifiability_llv", "identifiability_fg", "logit_distance_relative", "kl"])
def test_different_labels_are_a_skip(name: str) -> None:
    rng = np.random.default_rng(0)
    sides = [at_head(gaussian_model(rng, 50, 2, labels)) for labels in (6, 7)]
    (score,) = score_pairs(METRICS.get(name), sides, [(0, 1)])
    assert (score.status, score.reason) == ("skip", "6 labels against 7")


@pytest.mark.parametrize("name", ["identifiability_llv", "identifiability_fg", "logit_distance_relative", "kl"])
def test_arrays_without_a_head_are_a_skip(name: str) -> None:
    sides = [Representation(torch.randn(20, 3), layer="arrays") for _ in range(2)]
    (score,) = score_pairs(METRICS.get(name), sides, [(0, 1)])
    assert score.status == "skip"
    assert "head" in (score.reason or "")


@pytest.mark.parametrize("metric", [identifiability_llv, identifiability_fg])
def test_widths_may_differ(metric) -> None:
    (f, g), _ = near()
    wider = np.column_stack([f, np.zeros(len(f))]), np.column_stack([g, np.ones(len(g))])
    assert between(metric, ((f, g), wider)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("metric", [identifiability_llv, identifiability_fg])
def test_labels_that_share_an_unembedding_do_not_divide_by_zero(metric) -> None:
    (f, g), (f_, g_) = near()
    doubled, doubled_ = (np.vstack([side, side[:1]]) for side in (g, g_))
    assert 0 < between(metric, ((f, doubled), (f_, doubled_))) < 2


def test_a_pivot_that_shares_its_unembedding_is_avoided() -> None:
    pivots = []
    for seed in range(30):
        (f, g), (f_, g_) = near(seed)
        doubled, doubled_ = (np.vstack([side, side[:1]]) for side in (g, g_))
        pivots.append(choose(at_head((f, doubled)), at_head((f_, doubled_)), seed=0, tuples=20).pivot)
    assert {0, 6}.isdisjoint(pivots)


@pytest.mark.parametrize("metric", [identifiability_llv, identifiability_fg])
def test_inputs_that_come_twice_do_not_divide_by_zero(metric) -> None:
    (f, g), (f_, g_) = near()
    twice = np.arange(len(f)) // 2
    assert 0 < between(metric, ((f[twice], g), (f_[twice], g_))) < 2


def test_indistinguishable_labels_are_not_applicable() -> None:
    f = np.random.default_rng(0).normal(size=(50, 2))
    same = np.ones((6, 2))
    with pytest.raises(NotApplicable, match="distinguishable"):
        between(identifiability_llv, ((f, same), (f, same)))


def test_two_uniform_models_have_no_relative_logit_distance() -> None:
    f = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(NotApplicable, match="equal probabilities"):
        between(logit_distance_relative, ((f, np.zeros((6, 2))), (f, np.zeros((6, 2)))))


def test_more_subsets_give_a_larger_embedding_distance() -> None:
    pair = models(dimension=3, labels=10)
    few, more, exact = (between(identifiability_fg, pair, max_subsets=limit) for limit in (1, 10, 10**6))
    assert few <= exact
    assert more <= exact
    assert exact > 0.5


def test_the_seed_decides_the_draw_of_inputs() -> None:
    a, b = (at_head(model) for model in near())
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
