"""Metrics written as classes: the arguments of `__init__` are parameters, and each choice of them has one object."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from simbench.parameters import declared_parameters

# Not as an attribute of an object, of which a subclass may have another one.
INIT = "__init__"
# Objects by their class and parameters, so that all functions of a metric share one.
_objects: WeakKeyDictionary[type, dict[str, Any]] = WeakKeyDictionary()


class OfClass:
    """Function of a metric that is a class: makes the object for the parameters of `__init__`, and calls its method."""

    def __init__(self, defined: type, method: str) -> None:
        """Take a class and the name of one of its methods."""
        self.defined, self.method = defined, method

    @property
    def __name__(self) -> str:
        """Name of the class."""
        return self.defined.__name__

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        """Docstring of the class."""
        return self.defined.__doc__

    @property
    def __signature__(self) -> inspect.Signature:
        """Arguments of the method, with those of `__init__` that are parameters."""
        own = inspect.signature(getattr(self.defined, self.method))
        sides = list(own.parameters.values())[1:]
        made_of = [
            parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in declared_parameters(self.defined).values()
        ]
        ends = [parameter for parameter in sides if parameter.kind is parameter.VAR_KEYWORD]
        return inspect.Signature([*(side for side in sides if side not in ends), *made_of, *ends])

    @property
    def __annotations__(self) -> dict[str, Any]:  # type: ignore[override]
        """Annotations of the method and of `__init__`."""
        return {**_annotations(getattr(self.defined, self.method)), **_annotations(getattr(self.defined, INIT))}

    @property
    def __globals__(self) -> dict[str, Any]:
        """Names in which the annotations are read."""
        there: dict[str, Any] = getattr(getattr(self.defined, self.method), "__globals__", {})
        return there

    def __call__(self, *sides: Any, **parameters: Any) -> Any:
        """Call the method of the object that these parameters make."""
        names = declared_parameters(self.defined)
        made_of = {name: value for name, value in parameters.items() if name in names}
        rest = {name: value for name, value in parameters.items() if name not in names}
        return getattr(_object(self.defined, made_of), self.method)(*sides, **rest)

    def __eq__(self, other: object) -> bool:
        """Tell whether it is the same method of the same class."""
        return isinstance(other, OfClass) and (self.defined, self.method) == (other.defined, other.method)

    def __hash__(self) -> int:
        """Hash the class and the name of the method."""
        return hash((self.defined, self.method))


def method_of(component: Any, name: str) -> Any:
    """Return a method of a class or of an object that is called as a function is; None if there is none.

    Of a class without parameters there is one object, made here.
    """
    if isinstance(component, type):
        if not any(name in vars(each) for each in component.__mro__):
            return None
        return OfClass(component, name) if declared_parameters(component) else getattr(_object(component, {}), name)
    if name == "__call__" and (inspect.isroutine(component) or isinstance(component, functools.partial)):
        return None
    return getattr(component, name, None)


def _annotations(function: Any) -> Mapping[str, Any]:
    return getattr(function, "__annotations__", {})


def _object(defined: type, parameters: Mapping[str, Any]) -> Any:
    made = _objects.setdefault(defined, {})
    key = json.dumps(parameters, sort_keys=True, default=repr)
    if key not in made:
        made[key] = defined(**parameters)
    return made[key]
