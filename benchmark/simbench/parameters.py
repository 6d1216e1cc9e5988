"""Parameters of a component: named arguments of its function with defaults, declared once and checked strictly."""

from __future__ import annotations

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from simbench.errors import SimbenchError, suggestion


@functools.lru_cache(maxsize=512)
def parameters_model(function: Callable[..., Any]) -> type[BaseModel]:
    """Return a strict pydantic model of the parameters of `function`.

    >>> def svcca(x, y, *, variance: float = 0.99): ...
    >>> parameters_model(svcca)(variance=0.9).variance
    0.9
    """
    declared = declared_parameters(function)
    hints = _type_hints(function, declared)
    fields: dict[str, Any] = {
        name: (hints.get(name, Any), ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in declared.items()
    }
    return create_model(
        f"{getattr(function, '__name__', 'component')}_parameters",
        __config__=ConfigDict(extra="forbid", strict=True, validate_default=True),
        **fields,
    )


def declared_parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the arguments of a function, or of what makes an object of a class, that are parameters, by name.

    These are the keyword-only ones, and others that have a default which a suite could give: a number, a text, a list.

    >>> def lp(x, y, power=2.0, dtype=complex, *, root=True): ...
    >>> list(declared_parameters(lp))
    ['power', 'root']
    """
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
        or (parameter.kind is parameter.POSITIONAL_OR_KEYWORD and _is_plain(parameter.default))
    }


def _is_plain(value: Any) -> bool:
    """Tell whether a suite and a key can hold a value."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(inner) for name, inner in value.items())
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def _type_hints(function: Callable[..., Any], names: Collection[str]) -> dict[str, Any]:
    """Evaluate the annotations of these arguments only: evaluating that of a tensor or a module would import torch."""
    while isinstance(function, functools.partial):
        function = function.func
    # A wrapper that has a signature of its own has annotations of its own: `inspect.signature` stops there, too.
    function = inspect.unwrap(function, stop=lambda wrapper: hasattr(wrapper, "__signature__"))
    annotations = getattr(function, "__annotations__", {})
    chosen = types.SimpleNamespace(__annotations__={name: annotations[name] for name in names if name in annotations})
    return typing.get_type_hints(chosen, globalns=getattr(function, "__globals__", {}), include_extras=True)


def checked_parameters(
    function: Callable[..., Any], given: Mapping[str, Any], *, beside: Collection[str] = ()
) -> dict[str, Any]:
    """Return all parameters of `function`, with defaults filled in.

    Args:
        function: the component.
        given: the parameters by name.
        beside: further names that are checked elsewhere; the message may suggest them.

    Raises:
        ParameterError: a parameter is unknown, missing or of a wrong type; the error names every such parameter.
    """
    model = parameters_model(function)
    try:
        return model(**given).model_dump()
    except ValidationError as error:
        valid = [*model.model_fields, *beside]
        problems = {
            str(problem["loc"][0]) if problem["loc"] else "": (
                f'unknown parameter "{problem["loc"][0]}"{suggestion(str(problem["loc"][0]), valid)}'
                if problem["type"] == "extra_forbidden"
                else f'parameter "{problem["loc"][0]}": {problem["msg"]}'
            )
            for problem in error.errors()
        }
        raise ParameterError(problems) from None


class ParameterError(SimbenchError):
    """All invalid parameters of one component, each with a message."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        """Join the messages; `problems` holds them by parameter."""
        self.problems = dict(problems)
        super().__init__("; ".join(self.problems.values()))
