"""Metrics in every form that a user may write: parameters, classes, objects, and what is none."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest
import torch
from torch import Tensor

from simbench import SimbenchError, metric
from simbench.metrics.isolation import is_trusted
from simbench.metrics.metric import Metric
from simbench.metrics.resolve import set_parameters
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation


@pytest.fixture(autouse=True)
def _isolated() -> Any:
    with METRICS.isolated():
        yield


def declared(component: Any, **more: Any) -> Metric:
    metric("formed", higher_is_more_similar=True, **more)(component)
    return METRICS.get("formed")


def value(chosen: Metric) -> float | str | None:
    generator = torch.Generator().manual_seed(0)
    sides = [Representation(torch.randn(10, 3, generator=generator)) for _ in range(2)]
    score = score_pairs(chosen, sides, [(0, 1)])[0]
    return score.reason if score.value is None else score.value


def with_default(x: Tensor, y: Tensor, factor: float = 2.0) -> float:
    """Return the factor."""
    return factor


def keyword_only(x: Tensor, y: Tensor, *, factor: float = 2.0) -> float:
    return factor


def any_number(*sides: Tensor, factor: float = 2.0, **others: Any) -> float:
    return factor


class Called:
    """Give the factor.

    At length.
    """

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor

    def __call__(self, x: Tensor, y: Tensor) -> float:
        """Call it."""
        return self.factor


@dataclasses.dataclass
class Data:
    """Give the factor."""

    factor: float = 2.0

    def __call__(self, x: Tensor, y: Tensor) -> float:
        return self.factor


class Batched:
    """Give the factor."""

    def __init__(self, *, factor: float = 2.0) -> None:
        self.factor = factor

    def __call__(self, x: Tensor, y: Tensor) -> float:
        return self.factor

    def prepare(self, x: Tensor) -> float:
        return self.factor

    def compare_many(self, prepared: list[float], pairs: list[tuple[int, int]]) -> list[float]:
        return [(prepared[a] + prepared[b]) / 2 for a, b in pairs]


FORMS = [with_default, keyword_only, any_number, Called, Data, Batched, functools.partial(with_default, factor=2.0)]


@pytest.mark.parametrize("form", FORMS)
def test_arguments_with_defaults_are_parameters(form: Any) -> None:
    made = declared(form)
    assert made.parameters == {"factor": 2.0}
    assert value(made) == 2.0
    other = made.with_parameters({"factor": 3.5})
    assert (other.label, value(other), value(made)) == ("formed(factor=3.5)", 3.5, 2.0)
    with pytest.raises(SimbenchError, match='metric formed: unknown parameter "facto"; did you mean "factor"'):
        set_parameters(made, {"facto": 1.0})
    with pytest.raises(SimbenchError, match='metric formed: parameter "factor": Input should be a valid number'):
        set_parameters(made, {"factor": "much"})


@pytest.mark.parametrize("form", FORMS[:6])
def test_what_a_user_writes_is_not_trusted_and_travels(form: Any) -> None:
    made = declared(form).with_parameters({"factor": 1.5})
    assert not is_trusted(made)
    assert value(cloudpickle.loads(cloudpickle.dumps(made))) == 1.5
    assert value(copy.deepcopy(made)) == 1.5


@pytest.mark.parametrize("form", [with_default, Called, Data, Batched])
def test_the_docstring_of_a_class_is_the_summary(form: Any) -> None:
    assert declared(form).summary == ("Return the factor." if form is with_default else "Give the factor.")


def test_the_docstring_of_a_class_without_parameters_is_its_summary() -> None:
    class Plain:
        """Give one."""

        def __call__(self, x: Tensor, y: Tensor, power: int = 1) -> float:
            """Call it."""
            return 1.0**power

    made = declared(Plain)
    assert (made.summary, dict(made.parameters)) == ("Give one.", {"power": 1})
    assert declared(Plain()).summary == "Give one."


def test_parameters_of_a_class_and_of_its_method_are_one_list() -> None:
    class Both:
        def __init__(self, factor: float = 2.0) -> None:
            self.factor = factor

        def __call__(self, x: Tensor, y: Tensor, power: int = 1) -> float:
            return float(self.factor**power)

    made = declared(Both)
    assert made.parameters == {"power": 1, "factor": 2.0}
    assert value(made.with_parameters({"power": 3})) == 8.0


def test_each_choice_of_parameters_has_one_object_for_all_its_functions() -> None:
    made: list[float] = []

    class Counted(Batched):
        def __init__(self, *, factor: float = 2.0) -> None:
            super().__init__(factor=factor)
            made.append(factor)

    chosen = declared(Counted)
    for factor in (2.0, 3.0, 2.0):
        assert value(chosen.with_parameters({"factor": factor})) == factor
    assert made == [2.0, 3.0]


def test_a_default_that_no_suite_could_give_is_no_parameter() -> None:
    def typed(x: Tensor, y: Tensor, dtype: torch.dtype = torch.float64, limit: float = float("inf")) -> float:
        return float(x.to(dtype).shape[1])

    assert (declared(typed).parameters, value(METRICS.get("formed"))) == ({}, 3.0)


def test_a_batched_metric_is_given_the_parameters_that_it_names() -> None:
    made = declared(with_default, prepare=lambda x: 1.0, compare_many=lambda prepared, pairs: [4.0] * len(pairs))
    assert value(made) == 4.0
    named = declared(with_default, prepare=lambda x, factor: factor, compare_many=lambda p, pairs, factor: [factor])
    assert value(named.with_parameters({"factor": 5.0})) == 5.0


def test_a_frozen_object_is_registered_too() -> None:
    @dataclasses.dataclass(frozen=True)
    class Frozen:
        factor: float = 2.0

        def __call__(self, x: Tensor, y: Tensor) -> float:
            return self.factor

    assert value(declared(Frozen())) == 2.0
    assert value(declared(Frozen).with_parameters({"factor": 3.0})) == 3.0


async def later(x: Tensor, y: Tensor) -> float:
    return 1.0


def one_by_one(x: Tensor, y: Tensor) -> Any:
    yield 1.0


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize(
    ("function", "what"),
    [
        (later, "coroutine"),
        (one_by_one, "generator"),
        (lambda x, y: None, "NoneType"),
        (lambda x, y: x, r"an array of shape \(10, 3\)"),
        (lambda x, y: (0.5, 0.1), "tuple"),
        (lambda x, y: {"value": 0.5}, "dict"),
        (lambda x, y: "0.5", "str"),
        (lambda x, y: True, "bool"),
    ],
)
def test_what_is_no_number_is_an_error_that_says_what_came(function: Callable[..., Any], what: str) -> None:
    import re

    assert re.fullmatch(f"formed returned {what}, not a number", str(value(declared(function))))


def no_default(x: Tensor, y: Tensor, z: float) -> float:
    return z


class NotCallable:
    pass


class NeedsOne(Called):
    def __init__(self, factor: float) -> None:
        super().__init__(factor)


@pytest.mark.parametrize(
    ("component", "what"),
    [
        (no_default, "called with two sides: missing a required argument: 'z'"),
        (lambda x: 1.0, "called with two sides: too many positional arguments"),
        (lambda x, y=None: 1.0, '"y" is one of the two sides, and takes no default'),
        (NotCallable, "it has no __call__"),
        (NeedsOne, "'factor'"),
        (3, "it has no __call__"),
    ],
)
def test_what_cannot_be_a_metric_is_refused_when_it_is_declared(component: Any, what: str) -> None:
    with pytest.raises(SimbenchError, match=f'metric "formed": .*{what}'):
        declared(component)
