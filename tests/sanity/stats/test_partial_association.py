"""Partial association without each model: equal, to the last bit, to looking at every curve by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from simbench.sanity.stats import partial_association
from simbench.sanity.stats.partial_association import association_given, associations_without_models
from simbench.sanity.stats.rank_statistics import standardised_ranks
from simbench.verdicts.jackknife import leave_models_out
from simbench.verdicts.verdict import Trial


def curves(seed: int, *, sampled: bool = False, ties: int = 9) -> list[Trial]:
    """One curve per layer of each of five models, which have different numbers of layers; in random order."""
    random = np.random.default_rng(seed)
    layers = [(f"net/{model}", layer) for model in range(5) for layer in range(2 + model % 2)]
    pairs = [pair for pair in product(layers, layers) if pair[0] != pair[1]]
    if sampled:
        pairs = [pair for pair in pairs if random.random() < 0.8]
    return [
        Trial("", tuple(dict.fromkeys((a[0], b[0]))), None, float(random.integers(ties)), at=random.normal(),
              line=str(b), given=float(abs(a[1] - b[1])))
        for a, b in (pairs[place] for place in random.permutation(len(pairs)))
    ]  # fmt: skip


def plainly(trials: Sequence[Trial]) -> float:
    """Look at every curve by itself, from the values, with one product of vectors after the other."""
    correlations = []
    for line in dict.fromkeys(trial.line for trial in trials):
        own = [trial for trial in trials if trial.line == line]
        given = standardised_ranks([trial.given or 0.0 for trial in own])
        ranks = [standardised_ranks(values) for values in ([-t.margin for t in own], [t.at or 0.0 for t in own])]
        index, variable = (side - (side @ given) * given for side in ranks)
        index, variable = (side if np.linalg.norm(side) > 1e-12 else np.zeros_like(side) for side in (index, variable))
        if not variable.any():
            return math.nan
        if np.array_equal(index, variable) or np.array_equal(index, -variable):
            correlations.append(1.0 if index[0] == variable[0] else -1.0)
        else:
            lengths = np.linalg.norm(index) * np.linalg.norm(variable)
            correlations.append(float(index @ variable / lengths) if lengths else 0.0)
    return float(np.mean(correlations)) if correlations else math.nan


def to_the_bit(values: dict[str, float]) -> dict[str, str]:
    return {name: repr(value) for name, value in values.items()}


@pytest.mark.parametrize("block", [16, 2**16])
@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_leaving_models_out_is_the_same_to_the_last_bit(
    seed: int, sampled: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_association, "LARGEST_BLOCK", block)
    trials = curves(seed, sampled=sampled, ties=1000)
    assert association_given(trials) == plainly(trials)
    without = associations_without_models(trials)
    assert list(without) == [f"net/{model}" for model in range(5)]
    assert to_the_bit(without) == to_the_bit(leave_models_out(trials, plainly))
    assert to_the_bit(without) == to_the_bit(leave_models_out(trials, association_given))
    assert sampled or len(set(without.values())) == 5


@pytest.mark.parametrize("seed", range(4))
def test_ties_and_constant_curves_are_the_same_to_the_last_bit(seed: int) -> None:
    trials = curves(seed, ties=2)
    assert associations_without_models(trials) == leave_models_out(trials, plainly)
    assert set(associations_without_models(curves(seed, ties=1)).values()) == {0.0}


def test_a_reference_variable_that_is_constant_without_a_model_leaves_nan() -> None:
    trials = [
        Trial("", ("net/0", f"net/{other}"), None, float(other), at=float(other == 3), line="x", given=0.0)
        for other in (1, 2, 3)
    ]
    without = associations_without_models(trials)
    assert math.isnan(without["net/3"])  # at 0 twice
    assert math.isnan(without["net/0"])  # nothing left
    assert without["net/1"] == without["net/2"] == -1.0
