"""Populations of units: what they share is what they say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from simbench.metrics.matching.subspace_match import subspace_match
from simbench.models.synthetic.shared_units import Population, shared_units
from simbench.plan.keys import GENERATOR_VERSION


def population(form: Population, share: float = 0.5, *, seed: int = 0) -> Tensor:
    return shared_units(share=share, form=form, units=20, rows=800, seed=seed).probe


@pytest.mark.parametrize("form", ["permuted", "rotated", "extended", "dead"])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.8, 1.0])
def test_the_share_is_that_of_the_maximum_match(form: Population, share: float) -> None:
    """Wang et al. (2018): of all units of both, those in common; the spans of independent units have nothing to add."""
    assert subspace_match(population("own", 1.0), population(form, share)) == pytest.approx(share)


def test_half_of_the_units_are_the_own_ones_in_another_order() -> None:
    own, permuted = population("own", 1.0), population("permuted")
    found = [int((own == column[:, None]).all(dim=0).sum()) for column in permuted.T]
    assert found == [1] * 10 + [0] * 10
    assert not torch.equal(own[:, :10], permuted[:, :10])


def test_rotated_units_span_what_the_own_ones_span() -> None:
    own, rotated = population("own", 1.0)[:, :10], population("rotated")[:, :10]
    assert torch.linalg.matrix_rank(torch.cat([own, rotated], dim=1)) == 10
    assert float((own.T @ rotated).abs().max()) < 0.99 * float((own.T @ own).abs().max())


def test_an_extended_population_has_all_own_units_and_others() -> None:
    own, extended = population("own", 1.0), population("extended")
    assert extended.shape == (800, 60)
    assert torch.equal(extended[:, :20], own)
    assert float((extended[:, 20:].T @ own).abs().max()) / 800 < 0.25


def test_dead_units_are_zero_on_both_sets_of_inputs() -> None:
    made = shared_units(share=0.25, form="dead", units=20, rows=800)
    for side in (made.probe, made.fit):
        assert side.abs().sum(dim=0).ne(0).tolist() == [True] * 5 + [False] * 15


@pytest.mark.parametrize("form", ["permuted", "rotated", "dead"])
def test_inputs_to_learn_on_are_others_in_the_same_form(form: Population) -> None:
    made, own = (shared_units(share=0.5, form=one, units=20, rows=800) for one in (form, "own"))
    mixing = torch.linalg.lstsq(own.probe[:, :10], made.probe[:, :10]).solution
    torch.testing.assert_close(own.fit[:, :10] @ mixing, made.fit[:, :10])
    assert not torch.equal(made.fit, made.probe)


def test_values_are_those_of_this_version_of_the_generators() -> None:
    """Raise GENERATOR_VERSION when these numbers change."""
    assert GENERATOR_VERSION == 1
    sums = {"permuted": -89.042461, "rotated": -120.967806, "extended": 292.051096, "dead": 31.272111}
    forms: tuple[Population, ...] = ("permuted", "rotated", "extended", "dead")
    assert {form: float(population(form, seed=3).sum()) for form in forms} == pytest.approx(sums)
