"""A component's parameters are its keyword-only arguments, checked strictly."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from simbench.parameters import ParameterError, checked_parameters


def component(x, y, *, variance: Annotated[float, Field(gt=0, le=1)] = 0.99, mode: Literal["a", "b"] = "a", k: int):
    """Takes two positional and three keyword-only arguments."""


def problems(**given):
    with pytest.raises(ParameterError) as caught:
        checked_parameters(component, given)
    return caught.value.problems


def test_defaults_are_filled_in():
    assert checked_parameters(component, {"k": 3}) == {"variance": 0.99, "mode": "a", "k": 3}


def test_positional_arguments_are_no_parameters():
    assert problems(k=1, x=2) == {"x": 'unknown parameter "x"; valid: k, mode, variance'}


def test_an_unknown_parameter_is_answered_with_the_nearest():
    assert problems(k=1, varience=0.9) == {"varience": 'unknown parameter "varience"; did you mean "variance"?'}


def test_a_parameter_without_a_default_has_to_be_given():
    assert "k" in problems()


@pytest.mark.parametrize("given", [{"k": "3"}, {"k": 3.5}, {"k": True}])
def test_no_value_is_converted_to_another_type(given):
    assert "k" in problems(**given)


def test_a_value_outside_its_range_is_refused():
    assert "variance" in problems(k=1, variance=1.5)


def test_every_bad_parameter_is_named():
    assert problems(k="x", variance=-1.0, mode="c", extra=1).keys() == {"k", "variance", "mode", "extra"}


def test_the_message_has_every_problem_on_one_line():
    with pytest.raises(ParameterError) as caught:
        checked_parameters(component, {"extra": 1, "k": "x"})
    message = str(caught.value)
    assert "extra" in message
    assert '"k"' in message
    assert "\n" not in message
