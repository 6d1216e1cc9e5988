"""Functional baselines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.constructions import at_head, circle_pair, equivalent, gaussian_model, log_probabilities

from simbench.errors import NotApplicable
from simbench.metrics.functional import kl
from simbench.representations.representation import Representation
from simbench.testing.inputs import LinearReadout


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


def test_different_labels_are_not_applicable() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(NotApplicable, match="5 labels against 6"):
        kl(at_head(gaussian_model(rng, 20, 3, 5)), at_head(gaussian_model(rng, 20, 3, 6)))
