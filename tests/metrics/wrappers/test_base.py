"""Wrappers are declared like parameters, and change the name and the keys of the metric that they wrap, only."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import simbench
from simbench.errors import SimbenchError
from simbench.metrics.metric import Metric
from simbench.metrics.resolve import resolve_metrics
from simbench.parameters import ParameterError
from simbench.plan.keys import score_key
from simbench.registry import METRICS

LABELS: list[tuple[str, dict[str, Any], str, str]] = [
    ("cka", {"calibrate": "permutation"}, "cka(calibrate=permutation)", "calibrated(cka@1)@1"),
    ("cka", {"calibrate": {"permutations": 40}}, "cka(calibrate={permutations: 40})", "calibrated(cka@1)@1"),
    (
        "svcca",
        {"variance": 0.9, "bootstrap": "inputs"},
        "svcca(variance=0.9, bootstrap=inputs)",
        "bootstrapped(svcca@2)@2",
    ),
    ("cca", {"minibatch": 256}, "cca(minibatch=256)", "minibatched(cca@2)@1"),
]


def wrapped(name: str, **given: Any) -> Metric:
    return METRICS.get(name).with_parameters(given)


@pytest.mark.parametrize(("name", "given", "label", "identity"), LABELS)
def test_a_wrapped_metric_has_a_label_and_an_identity_of_its_own(
    name: str, given: dict[str, Any], label: str, identity: str
) -> None:
    found = wrapped(name, **given)
    assert (found.name, found.label, found.identity) == (name, label, identity)


@pytest.mark.parametrize(("name", "given", "label", "identity"), LABELS)
def test_the_label_and_the_recorded_parameters_lead_back_to_the_metric(
    name: str, given: dict[str, Any], label: str, identity: str
) -> None:
    (typed,) = resolve_metrics([label])
    recorded = METRICS.get(name).with_parameters(typed.parameters)
    assert (typed.label, typed.parameters) == (label, wrapped(name, **given).parameters)
    assert (recorded.label, recorded.identity, recorded.parameters) == (label, identity, typed.parameters)


def test_the_key_of_a_metric_that_is_not_wrapped_is_as_it_was() -> None:
    plain = wrapped("svcca", variance=0.9)
    assert (plain.identity, plain.parameters) == ("svcca@2", {"variance": 0.9})
    assert plain.label == "svcca(variance=0.9)"


def test_wrapping_and_every_option_change_the_key() -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"calibrate": "permutation"},
        {"calibrate": {"permutations": 200}},
        {"calibrate": {"seed": 1}},
        {"bootstrap": "inputs"},
        {"minibatch": 64},
    ]
    metrics = [wrapped("cka", **given) for given in settings]
    keys = {score_key(one.identity, one.parameters, "a", "b", symmetric=one.symmetric) for one in metrics}
    assert len(keys) == len({one.label for one in metrics}) == len(settings)


def test_parameters_of_a_wrapped_metric_are_set_anew() -> None:
    assert wrapped("svcca", calibrate="permutation").with_parameters({"variance": 0.5}).label == "svcca(variance=0.5)"


def test_a_wrapped_metric_travels_to_workers() -> None:
    found = wrapped("cka", calibrate="permutation")
    there = pickle.loads(pickle.dumps(found))
    x = np.random.default_rng(0).normal(size=(40, 3))
    assert (there.label, there.identity, there.parameters) == (found.label, found.identity, found.parameters)
    assert simbench.score(x, x[:, :1], there) == simbench.score(x, x[:, :1], found)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("cka", {"calibrat": "permutation"}, 'unknown parameter "calibrat"; did you mean "calibrate"?'),
        ("cka", {"calibrate": "rotation"}, "parameter \"calibrate\": Input should be 'permutation'"),
        ("cka", {"calibrate": {"permutatons": 9}}, 'unknown parameter "calibrate.permutatons"; did you mean'),
        (
            "cka",
            {"calibrate": {"permutations": 7}},
            'parameter "calibrate.permutations": Input should be a multiple of 2',
        ),
        ("cka", {"calibrate": {"permutations": 10}}, "10 permutations are too few for a level of 0.95"),
        ("cka", {"calibrate": {1: 2}}, "names of options are strings"),
        ("cka", {"bootstrap": "units"}, "parameter \"bootstrap\": Input should be 'inputs'"),
        ("cka", {"minibatch": 0}, 'parameter "minibatch": Input should be greater than or equal to 1'),
        ("cka", {"minibatch": {}}, 'parameter "minibatch.rows": Field required'),
        ("cka", {"calibrate": "permutation", "minibatch": 8}, '"minibatch" cannot be combined with "calibrate"'),
        ("mutual_knn", {"minibatch": 8}, "mutual_knn is no function of sums over rows; those that are: cca, "),
        ("stitch_task", {"calibrate": "permutation"}, "stitch_task needs more than two matrices (fit, model, targets)"),
        ("stitch_direct_r2", {"bootstrap": "inputs"}, "stitch_direct_r2 learns a map"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_why(name: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        wrapped(name, **given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        wrapped("svcca", varianc=0.9, minibatch="many")
    assert caught.value.problems.keys() == {"varianc", "minibatch"}


def test_a_parameter_of_the_metrics_own_is_no_wrapper() -> None:
    def own(x: Any, y: Any, *, bootstrap: int = 3) -> float:
        return float(bootstrap)

    metric = Metric("own", own, higher_is_more_similar=True).with_parameters({"bootstrap": 5})
    assert (metric.label, metric.parameters) == ("own(bootstrap=5)", {"bootstrap": 5})


def test_any_function_may_be_wrapped_from_a_notebook() -> None:
    def first_columns(x: Any, y: Any) -> float:
        return float(np.corrcoef(x[:, 0], y[:, 0])[0, 1])

    x = np.random.default_rng(0).normal(size=(40, 3))
    metric = Metric("own", first_columns, higher_is_more_similar=True, value_range=(-1, 1))
    assert simbench.score(x, x, metric, calibrate="permutation") == pytest.approx(1)
    with pytest.raises(SimbenchError, match="no function of sums over rows"):
        simbench.score(x, x, metric, minibatch=8)
