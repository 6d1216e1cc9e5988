"""Base of the wrappers: a metric that is made of another one, under a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from simbench.errors import SimbenchError
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import rows_of_inputs
from simbench.metrics.metric import Metric, Pairs, of_representation
from simbench.origins import origin_of
from simbench.parameters import ParameterError, checked_parameters, parameters_model
from simbench.registry import WRAPPERS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.metrics.metric import Score
    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class Wrapper:
    """The two interfaces of a metric that turns the scores of another one, `metric`, into others."""

    metric: Metric

    def prepare(self, representation: Representation, **_: Any) -> Any:
        """Return what is compared: by default the representation, which the metric prepares when it scores."""
        return representation

    def compare_many(self, prepared: Sequence[Any], pairs: Pairs, **_: Any) -> Sequence[Score | float]:
        """Score many pairs."""
        raise NotImplementedError

    def __call__(self, x: Tensor | Representation, y: Tensor | Representation, **_: Any) -> Score | float:
        """Score one pair."""
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
        """Return all options, defaults filled in; raise `ParameterError` under the wrapper's name for bad ones."""
        if isinstance(given, Mapping) and not all(isinstance(key, str) for key in given):
            raise ParameterError({self.name: f'parameter "{self.name}": the names of options are strings'})
        try:
            return checked_parameters(self.function, given if isinstance(given, Mapping) else {self.short: given})
        except ParameterError as error:
            named = {option: f"{self.name}.{option}" for option in error.problems}
            if not isinstance(given, Mapping):
                named[self.short] = self.name
            messages = (text.replace(f'"{key}"', f'"{named[key]}"', 1) for key, text in error.problems.items())
            raise ParameterError({self.name: "; ".join(messages)}) from None

    def setting(self, options: Mapping[str, Any]) -> str:
        """Write the options as on the command line, without defaults: `calibrate={permutations: 200}`."""
        declared = parameters_model(self.function).model_fields
        changed = {key: value for key, value in options.items() if value != declared[key].default}
        if changed.keys() <= {self.short}:
            return f"{self.name}={options[self.short]}"
        return f"{self.name}={{{', '.join(f'{key}: {value}' for key, value in changed.items())}}}"


W = TypeVar("W", bound=Callable[..., "WrappedMetric"])


def wrapper(name: str, *, short: str) -> Callable[[W], W]:
    """Register a function `(metric, setting, *, options) → WrappedMetric` as a wrapper; return it unchanged.

    Args:
        name: the parameter of metrics by which suites ask for it.
        short: the option that is meant where that parameter has one value and no options.

    >>> import simbench
    >>> @simbench.wrapper("plainly", short="how")
    ... def plainly(metric, setting, *, how: str):
    ...     return metric
    >>> WRAPPERS.get("plainly").setting({"how": "as it is"})
    'plainly=as it is'
    """

    def decorate(function: W) -> W:
        WRAPPERS.register(name, WrapperKind(name, function, short), origin_of(function))
        return function

    return decorate


@dataclass(frozen=True)
class WrappedMetric(Metric):
    """A wrapped metric; its parameters are those of the metric inside and the wrapper's options.

    Attributes:
        inner: the metric inside.
        verb: past participle of what the wrapper does, with its version: `calibrated@1`.
        setting: the wrapper's option as it is declared: `calibrate=permutation`.
    """

    inner: Metric = field(kw_only=True)
    verb: str = field(kw_only=True)
    setting: str = field(kw_only=True)

    @cached_property
    def label(self) -> str:
        """Label of the metric inside, with the setting: `svcca(variance=0.9, calibrate=permutation)`."""
        inner = self.inner.label
        return f"{inner[:-1]}, {self.setting})" if inner.endswith(")") else f"{inner}({self.setting})"

    @cached_property
    def identity(self) -> str:
        """Name and version of the wrapper and of the metric inside: `calibrated(cka@1)@1`."""
        name, _, version = self.verb.partition("@")
        return f"{name}({self.inner.identity})@{version}"

    @property
    def summary(self) -> str:
        """Summary of the metric inside, behind what the wrapper does."""
        return f"{self.verb.partition('@')[0].capitalize()}: {self.inner.summary}"

    def with_parameters(self, given: Mapping[str, Any]) -> Metric:
        """Return the metric inside with other parameters, wrapped only if they say so."""
        return self.inner.with_parameters(given)


def wrapped(wrapper: Wrapper, verb: str, setting: str, options: Mapping[str, Any], **changes: Any) -> WrappedMetric:
    """Make the wrapped metric; `changes` are the parts of the declaration that are not those of the metric inside."""
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
    """Return a matrix as a representation, and a representation as it is."""
    from simbench.representations.representation import Representation

    return side if isinstance(side, Representation) else Representation(side)


def with_inputs(representation: Representation, inputs: Tensor) -> Representation:
    """Select some inputs, in some order, of a representation compared by its matrix: each with all of its rows."""
    from simbench.representations.representation import Representation, SpatialRule

    chosen = representation.matrix[matrix_rows(representation, inputs)]
    if len(chosen) == len(inputs):
        return Representation(chosen, layer=representation.layer)
    positions = chosen.reshape(len(inputs), -1, chosen.shape[1]).movedim(2, 1)
    return Representation(positions, "channels_first", representation.layer, spatial=SpatialRule("all"))


def matrix_rows(representation: Representation, inputs: Tensor) -> Tensor:
    """Return the rows of the matrix that belong to these inputs: an input may have several, one for each position."""
    per_input = len(representation.matrix) // len(representation.activations)
    return rows_of_inputs(inputs, per_input).to(representation.matrix.device)
