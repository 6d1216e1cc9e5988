"""Functional baselines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.generators import (
    at_head,
    between,
    circle_pair,
    equivalent,
    gaussian_model,
    gaussian_pair,
    log_probabilities,
    near_pair,
)

from simbench.errors import NotApplicable
from simbench.metrics.functional.outputs import accuracy_difference, disagreement, jensen_shannon, kl
from simbench.metrics.scoring import score_pairs
from simbench.models.architectures.blocks import EMBEDDING
from simbench.models.model import Model
from simbench.registry import ARCHITECTURES, METRICS, TRANSFORMS
from simbench.representations.representation import Representation
from simbench.testing.inputs import LinearReadout

REFERENCE_VARIABLES = ["jensen_shannon", "disagreement", "accuracy_difference"]


def test_kl_equals_its_formula() -> None:
    rng = np.random.default_rng(0)
    a, b = gaussian_model(rng, 40, 3, 5), gaussian_model(rng, 40, 3, 5)
    p, q = log_probabilities(a), log_probabilities(b)
    expected = np.mean([sum(np.exp(p[x, y]) * (p[x, y] - q[x, y]) for y in range(5)) for x in range(40)])
    assert kl(at_head(a), at_head(b)) == pytest.approx(expected, rel=1e-10)


def test_kl_of_two_coins_by_hand() -> None:
    inputs = torch.zeros(3, 1, dtype=torch.float64)
    fair = LinearReadout(torch.zeros(2, 1, dtype=torch.float64), torch.tensor([0.5, 0.5]).double().log())
    loaded = LinearReadout(torch.zeros(2, 1, dtype=torch.float64), torch.tensor([0.25, 0.75]).double().log())
    a, b = (Representation(inputs, model=model, at_head=True) for model in (fair, loaded))
    assert kl(a, b) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))


def test_kl_is_directed() -> None:
    rng = np.random.default_rng(0)
    a, b = (at_head(gaussian_model(rng, 40, 3, 5)) for _ in range(2))
    assert abs(kl(a, b) - kl(b, a)) > 1e-2


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 30))
def test_kl_is_not_negative_and_zero_for_equivalent_models(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = gaussian_model(rng, 20, 3, 5, scale), gaussian_model(rng, 20, 3, 5, scale)
    assert kl(at_head(a), at_head(b)) >= 0
    assert kl(at_head(a), at_head(equivalent(a, rng, 10))) == pytest.approx(0, abs=1e-9)


def test_kl_keeps_the_digits_of_tiny_values() -> None:
    a, b = circle_pair(7, 40)
    assert kl(at_head(a), at_head(b)) == pytest.approx(3.7e-11, rel=0.05)


def test_kl_survives_probabilities_that_underflow() -> None:
    rng = np.random.default_rng(0)
    a, b = gaussian_model(rng, 20, 3, 5, 1e4), gaussian_model(rng, 20, 3, 5, 1e4)
    assert np.isfinite(kl(at_head(a), at_head(b)))


@pytest.mark.parametrize("metric", [kl, jensen_shannon, disagreement])
def test_different_labels_are_not_applicable(metric) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(NotApplicable, match="5 labels against 6"):
        metric(at_head(gaussian_model(rng, 20, 3, 5)), at_head(gaussian_model(rng, 20, 3, 6)))


# --- Jensen-Shannon divergence ----------------------------------------------------------------------------------------


def fixed(*logits: list[float]) -> Representation:
    """One input per list of logits."""
    tensor = torch.tensor(logits, dtype=torch.float64)
    return Representation(tensor, layer="logits", model=LinearReadout(torch.eye(tensor.shape[1]), torch.zeros(1)))


@pytest.mark.parametrize("scale", [0.01, 1.0, 5.0])
def test_jensen_shannon_equals_its_formula(scale: float) -> None:
    rng = np.random.default_rng(0)
    a, b = gaussian_model(rng, 40, 3, 5, scale), gaussian_model(rng, 40, 3, 5, scale)
    p, q = (np.exp(log_probabilities(model)) for model in (a, b))
    m = (p + q) / 2
    expected = np.mean(np.sum(p * np.log(p / m) + q * np.log(q / m), axis=1)) / 2
    assert jensen_shannon(at_head(a), at_head(b)) == pytest.approx(expected, rel=1e-9)


def test_jensen_shannon_of_a_fair_and_a_certain_coin_by_hand() -> None:
    fair, certain = fixed([0, 0], [0, 0]), fixed([1e4, 0], [0, 1e4])
    # m = (¾, ¼): ½ KL(fair ‖ m) = ¼ (log ⅔ + log 2), ½ KL(certain ‖ m) = ½ log 4/3
    assert jensen_shannon(fair, certain) == pytest.approx((np.log(2 / 3) + np.log(2)) / 4 + np.log(4 / 3) / 2)


def test_certain_models_that_never_agree_are_ln_2_apart() -> None:
    assert jensen_shannon(fixed([1e4, 0], [0, 1e4]), fixed([0, 1e4], [1e4, 0])) == pytest.approx(np.log(2), rel=1e-14)


def test_jensen_shannon_keeps_the_digits_of_tiny_values() -> None:
    """JSD → δ²/8 · Var for log-odds that differ by δ: here ¼ of a fair coin's variance."""
    delta = 1e-9
    assert jensen_shannon(fixed([0, 0], [0, 0]), fixed([delta, 0], [delta, 0])) == pytest.approx(
        delta**2 / 32, rel=1e-5
    )


def test_jensen_shannon_falls_along_the_circle_pairs() -> None:
    values = [between(jensen_shannon, circle_pair(7, rho)) for rho in (2, 5, 10, 15, 20, 40)]
    assert values == sorted(values, reverse=True)
    assert 0 < values[-1] < 1e-12


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 1e4))
def test_jensen_shannon_is_bounded_symmetric_and_below_half_the_sum_of_kl(seed: int, scale: float) -> None:
    """By convexity JSD ≤ ¼ (KL(p ‖ q) + KL(q ‖ p))."""
    rng = np.random.default_rng(seed)
    a, b = (at_head(gaussian_model(rng, 20, 3, 5, scale)) for _ in range(2))
    value = jensen_shannon(a, b)
    assert 0 <= value <= np.log(2) * (1 + 1e-12)
    assert value == jensen_shannon(b, a)
    assert value <= (kl(a, b) + kl(b, a)) / 4 * (1 + 1e-9)


# --- disagreement and accuracy ----------------------------------------------------------------------------------------


def test_disagreement_counts_the_inputs_with_other_labels() -> None:
    a = fixed([1, 0, 0], [0, 1, 0], [0, 0, 1], [5, 1, 0])
    b = fixed([9, 0, 0], [1, 0, 0], [0, 0, 2], [0, 1, 0])
    assert disagreement(a, b) == 0.5


def test_disagreement_equals_its_formula() -> None:
    pair = gaussian_pair()
    first, second = (log_probabilities(model).argmax(axis=1) for model in pair)
    assert between(disagreement, pair) == pytest.approx(np.mean(first != second), rel=1e-12)
    assert 0.3 < between(disagreement, pair) < 1


def test_accuracy_difference_by_hand() -> None:
    targets = torch.tensor([0, 1, 2, 1])
    a = replace(fixed([1, 0, 0], [0, 1, 0], [0, 0, 1], [5, 1, 0]), targets=targets)
    b = replace(fixed([9, 0, 0], [1, 0, 0], [2, 0, 0], [3, 1, 0]), targets=targets)
    assert accuracy_difference(a, b) == 0.75 - 0.25


def test_models_with_other_numbers_of_labels_have_accuracies_to_compare() -> None:
    targets = torch.tensor([0, 1, 0])
    a = replace(fixed([1, 0], [0, 1], [1, 0]), targets=targets)
    b = replace(fixed([0, 0, 1], [0, 1, 0], [0, 1, 0]), targets=targets)
    assert accuracy_difference(a, b) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", REFERENCE_VARIABLES)
def test_logits_that_are_not_finite_are_an_error(name: str) -> None:
    def side(last: float) -> Representation:
        readout = LinearReadout(torch.eye(2), torch.tensor([0.0, last]))
        return Representation(torch.randn(4, 2), layer="out", model=readout, targets=torch.zeros(4, dtype=torch.long))

    (score,) = score_pairs(METRICS.get(name), [side(0.0), side(float("nan"))], [(0, 1)])
    assert score.status == "error"


# --- from any layer ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def layers() -> list[Representation]:
    """Two untrained networks, each at a convolution and at the layer that the head reads."""
    architecture = ARCHITECTURES.get("conv1d")
    parameters = architecture.checked({"width": 6, "depth": 3})
    inputs, targets = torch.randn(50, 1, 40, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 10
    found = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = architecture.build((1, 40), 10, **parameters)
        model = Model.of(network, architecture, parameters, (1, 40))
        for layer in (model.layers()[0], EMBEDDING):
            found.append(
                Representation(
                    model.activations(inputs, layer),
                    layout=model.layout(layer),
                    layer=layer,
                    model=model,
                    inputs=inputs,
                    targets=targets,
                    at_head=layer == EMBEDDING,
                )
            )
    return found


@pytest.mark.parametrize("name", REFERENCE_VARIABLES)
def test_the_value_is_the_same_from_all_layers_of_two_models(name: str, layers: list[Representation]) -> None:
    scores = score_pairs(METRICS.get(name), layers, [(0, 2), (0, 3), (1, 2), (1, 3)])
    assert [score.status for score in scores] == ["ok"] * 4
    assert len({score.value for score in scores}) == 1
    assert name == "accuracy_difference" or scores[0].value > 0


@pytest.mark.parametrize("name", REFERENCE_VARIABLES)
def test_a_function_preserving_map_of_a_layer_does_not_matter(name: str, layers: list[Representation]) -> None:
    mapped = TRANSFORMS.get("affine")(layers[0], seed=0)
    plain, other = score_pairs(METRICS.get(name), [layers[0], layers[2], mapped], [(0, 1), (2, 1)])
    assert other.value == pytest.approx(plain.value, abs=1e-6)


@pytest.mark.parametrize("name", REFERENCE_VARIABLES)
def test_arrays_have_no_outputs(name: str) -> None:
    sides = [Representation(torch.randn(20, 3), layer="arrays") for _ in range(2)]
    (score,) = score_pairs(METRICS.get(name), sides, [(0, 1)])
    assert (score.status, score.reason) == ("skip", f"{name} needs a model; arrays has none")


def test_without_targets_there_is_no_accuracy() -> None:
    sides = [at_head(model) for model in near_pair()]
    (score,) = score_pairs(METRICS.get("accuracy_difference"), sides, [(0, 1)])
    assert (score.status, score.reason) == ("skip", "accuracy_difference needs a targets; embedding has none")
