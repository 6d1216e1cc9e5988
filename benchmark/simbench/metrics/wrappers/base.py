"""What the wrappers have in common: a metric made of another one, which answers for it under a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from simbench.errors import SimbenchError
from simbench.lazy import lazy_import
from simbench.metrics.kernels.linear_algebra import rows_of_inputs
from simbench.metrics.metric import Metric, Pairs, of_representation
from simbench.parameters import ParameterError, checked_parameters, parameters_model
from simbench.registry import WRAPPERS, origin_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.metrics.metric import Score
    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class Wrapper:
    """How a metric's scores are turned into others: the two interfaces of the metric that is made of it."""

    metric: Metric

    def prepare(self, representation: Representation, **_: Any) -> Any:
        """What is compared: by default representations, each prepared by the metric when its scores are taken."""
        return representation

    def compare_many(self, prepared: Sequence[Any], pairs: Pairs, **_: Any) -> Sequence[Score | float]:
        """The scores of many pairs."""
        raise NotImplementedError

    def __call__(self, x: Tensor | Representation, y: Tensor | Representation, **_: Any) -> Score | float:
        """The score of one pair."""
        prepared = [self.prepare(as_representation(side)) for side in (x, y)]
        return self.compare_many(prepared, [(0, 1)])[0]


@dataclass(frozen=True)
class WrapperKind:
    """A registered wrapper: its name, and the function that wraps a metric.

    Attributes:
        name: the key under which a suite declares it.
        function: `(metric, setting, *, options) → WrappedMetric`; its keyword-only arguments are the options.
        short: the option that a plain value in place of a mapping means.
    """

    name: str
    function: Callable[..., WrappedMetric]
    short: str

    def wrap(self, metric: Metric, given: Any) -> Metric:
        """Wrap a metric; raise `ParameterError` for options that do not fit, or a metric that cannot be wrapped."""
        options = self.options(given)
        try:
            return self.function(metric, self.setting(options), **options)
        except SimbenchError as refusal:
            raise ParameterError({self.name: f'parameter "{self.name}": {refusal}'}) from None

    def options(self, given: Any) -> dict[str, Any]:
        """All options, defaults filled in; `ParameterError` under the wrapper's name, with all that is wrong."""
        if isinstance(given, Mapping) and not all(isinstance(key, str) for key in given):
            raise ParameterError({self.name: f'parameter "{self.name}": the names of options are strings'})
        try:
            return checked_parameters(self.function, given if isinstance(given, Mapping) else {self.short: given})
        except ParameterError as error:
            named = {option: f"{self.name}.{option}" for option in error.problems}
            if not isinstance(given, Mapping):
                named[self.short] = self.name
            told = (text.replace(f'"{key}"', f'"{named[key]}"', 1) for key, text in error.problems.items())
            raise ParameterError({self.name: "; ".join(told)}) from None

    def setting(self, options: Mapping[str, Any]) -> str:
        """As it may be declared on the command line, without defaults: `calibrate={permutations: 200}`."""
        known = parameters_model(self.function).model_fields
        changed = {key: value for key, value in options.items() if value != known[key].default}
        if changed.keys() <= {self.short}:
            return f"{self.name}={options[self.short]}"
        return f"{self.name}={{{', '.join(f'{key}: {value}' for key, value in changed.items())}}}"


W = TypeVar("W", bound=Callable[..., "WrappedMetric"])


def wrapper(name: str, *, short: str) -> Callable[[W], W]:
    """Register a function `(metric, setting, *, options) → WrappedMetric` as a wrapper; return it unchanged."""

    def decorate(function: W) -> W:
        WRAPPERS.register(name, WrapperKind(name, function, short), origin_of(function))
        return function

    return decorate


@dataclass(frozen=True)
class WrappedMetric(Metric):
    """A metric that is another one, `inner`, wrapped; its parameters are those of `inner` and the wrapper's options."""

    inner: Metric = field(kw_only=True)
    verb: str = field(kw_only=True)
    """What was done to it, with the version of that: `calibrated@1`."""
    setting: str = field(kw_only=True)
    """As it is declared: `calibrate=permutation`."""

    @cached_property
    def label(self) -> str:
        """That of the wrapped metric and the setting: `svcca(variance=0.9, calibrate=permutation)`."""
        inner = self.inner.label
        return f"{inner[:-1]}, {self.setting})" if inner.endswith(")") else f"{inner}({self.setting})"

    @cached_property
    def identity(self) -> str:
        """Both versions count: `calibrated(cka@1)@1`."""
        name, _, version = self.verb.partition("@")
        return f"{name}({self.inner.identity})@{version}"

    @property
    def summary(self) -> str:
        """What was done, and what it was done to."""
        return f"{self.verb.partition('@')[0].capitalize()}: {self.inner.summary}"

    def with_parameters(self, given: Mapping[str, Any]) -> Metric:
        """The inner metric with other parameters, and wrapped only if they say so."""
        return self.inner.with_parameters(given)


def wrapped(wrapper: Wrapper, verb: str, setting: str, options: Mapping[str, Any], **changes: Any) -> WrappedMetric:
    """The metric that a wrapper makes of its own; `changes` is what no longer holds of the declaration."""
    inner = wrapper.metric
    declared = {part.name: getattr(inner, part.name) for part in fields(Metric)}
    interfaces = {
        "function": wrapper,
        "prepare": of_representation(wrapper.prepare),
        "compare_many": wrapper.compare_many,
        "from_sums": None,
    }
    parameters = {**inner.parameters, **options}
    return WrappedMetric(
        **{**declared, **interfaces, "default": False, "parameters": parameters, **changes},
        inner=inner,
        verb=verb,
        setting=setting,
    )


def as_representation(side: Tensor | Representation) -> Representation:
    """A matrix as a representation."""
    from simbench.representations.representation import Representation

    return side if isinstance(side, Representation) else Representation(side)


def with_inputs(representation: Representation, inputs: Tensor) -> Representation:
    """Some inputs, in some order, of a representation that is compared by its matrix: each with all of its rows."""
    from simbench.representations.representation import Representation, SpatialRule

    chosen = representation.matrix[matrix_rows(representation, inputs)]
    if len(chosen) == len(inputs):
        return Representation(chosen, layer=representation.layer)
    positions = chosen.reshape(len(inputs), -1, chosen.shape[1]).movedim(2, 1)
    return Representation(positions, "channels_first", representation.layer, spatial=SpatialRule("all"))


def matrix_rows(representation: Representation, inputs: Tensor) -> Tensor:
    """The rows of the matrix that belong to these inputs: an input may have several, one for each position."""
    per_input = len(representation.matrix) // len(representation.activations)
    return rows_of_inputs(inputs, per_input).to(representation.matrix.device)
