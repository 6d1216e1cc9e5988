"""Metrics: a plain function with a declaration, and the three interfaces by which it may be written.

* The matrix interface: a function of two matrices `(rows, features)` that returns a number.
* The batched interface: also `prepare(matrix)`, once per representation, and `compare_many(prepared, pairs)`, which
  scores a batch of index pairs. The results equal the plain function's.
* The model-based interface: `needs={"model"}` or `needs={"head"}`: the function is given two `Representation`s instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from functools import cached_property
from inspect import signature
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from pydantic import ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from simbench.declaration import Declaration, MetricInfo
from simbench.errors import SimbenchError
from simbench.metrics.classes import method_of
from simbench.origins import Origin, origin_of, source_hash
from simbench.parameters import ParameterError, checked_parameters, declared_parameters, parameters_model
from simbench.registry import METRICS, WRAPPERS
from simbench.results.record import ScoreStatus

if TYPE_CHECKING:
    from simbench.representations.representation import Representation

Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Score:
    """The value of one metric on one comparison, or the reason why there is none.

    `tiebreak` (larger is more similar) orders equal values; `standard_error` is that of `value`; `auxiliary` are other
    numbers that came with it, such as a p-value.
    """

    value: float | None
    status: ScoreStatus = "ok"
    reason: str | None = None
    standard_error: float | None = None
    tiebreak: float | None = None
    warnings: tuple[str, ...] = ()
    auxiliary: Mapping[str, float] = field(default_factory=dict, hash=False)

    @classmethod
    def skip(cls, reason: str) -> Score:
        """Say that the metric does not apply here, for this reason."""
        return cls(None, "skip", reason)

    @classmethod
    def error(cls, reason: str) -> Score:
        """Say that there should have been a value and is none, for this reason."""
        return cls(None, "error", reason)

    @classmethod
    def timeout(cls, reason: str) -> Score:
        """Say that the metric was stopped before it had a value, for this reason."""
        return cls(None, "timeout", reason)


@dataclass(frozen=True)
class Preparation:
    """A function that prepares one side of a comparison, and what is known of it.

    Attributes:
        function: the function.
        rowwise: whether it turns permuted rows into permuted rows of the same, `f(x[i]) = f(x)[i]`.
        of_representation: whether it is given the representation instead of its matrix.
    """

    function: Callable[..., Any]
    rowwise: bool = False
    of_representation: bool = False

    def __call__(self, side: Any, **parameters: Any) -> Any:
        """Prepare one side."""
        return self.function(side, **parameters)


def rowwise(function: Callable[..., Any]) -> Preparation:
    """Declare that permuted rows are prepared by permuting what was prepared, which is indexed by rows.

    Wrappers then prepare permuted copies by indexing.
    """
    return Preparation(function, rowwise=True)


def of_representation(function: Callable[..., Any]) -> Preparation:
    """Declare that a metric of two matrices prepares representations.

    It is for what a matrix does not say, such as how many of its rows are positions of one input.
    """
    return Preparation(function, of_representation=True)


@pydantic_dataclass(frozen=True, kw_only=True)
class MetricSource(Declaration):
    """The arguments of the decorator: what a metric declares, and the functions beside the plain one.

    Attributes:
        prepare: turns a matrix (a representation, for a metric with `needs`) into what `compare_many` compares, once
            per representation. It is given those of the metric's parameters that it names. `rowwise(prepare)` declares
            that permuted rows are prepared by permuting what was prepared; `of_representation(prepare)` that the
            preparation of a metric of two matrices reads more of the representation than its matrix.
        compare_many: scores a batch of pairs of indices into what was prepared.
        from_sums: scores two matrices from sums over their rows, `(function, moments, parameters) → score`; see
            `kernels.moments`, which has those of metrics of products and of metrics of column spaces.
        input_counts: parameters that count inputs, such as a number of neighbours: on a part of the inputs they are
            the same share of them.
    """

    prepare: Callable[..., Any] | None = None
    compare_many: Callable[..., Any] | None = None
    from_sums: Callable[..., Any] | None = None
    input_counts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metric(MetricSource):
    """A registered similarity index: its functions and everything that lists, docs and the leaderboard say of it."""

    function: Callable[..., Any]
    _: KW_ONLY
    parameters: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = field(default_factory=lambda: Origin("", "", 0))

    @cached_property
    def label(self) -> str:
        """Name, with the parameters that differ from their defaults: `svcca(variance=0.9)`."""
        defaults = checked_parameters(self.function, {})
        changed = [f"{key}={value}" for key, value in self.parameters.items() if defaults.get(key) != value]
        return f"{self.name}({', '.join(changed)})" if changed else self.name

    @cached_property
    def identity(self) -> str:
        """Name and version, else name and the hash of its code: on which a score's key depends."""
        return f"{self.name}@{self.version if self.version is not None else source_hash(self.function)}"

    @property
    def declaration(self) -> Declaration:
        """Declaration of the metric, without its functions."""
        return Declaration(**{part.name: getattr(self, part.name) for part in fields(Declaration)})

    @property
    def info(self) -> MetricInfo:
        """Description of the metric in boards and bundles."""
        return MetricInfo(
            label=self.label,
            identity=self.identity,
            interface=self.interface,
            summary=self.summary,
            origin=self.origin.public_name,
            parameters=dict(self.parameters),
            declaration=self.declaration,
        )

    @property
    def takes_representations(self) -> bool:
        """Whether the plain function is given representations rather than matrices."""
        return bool(self.needs)

    @property
    def prepares_rows(self) -> bool:
        """Whether permuted rows are prepared by permuting what was prepared."""
        return isinstance(self.prepare, Preparation) and self.prepare.rowwise

    @cached_property
    def _parameters_of_prepare(self) -> dict[str, Any]:
        assert self.prepare is not None
        return self._named_by(self.prepare.function if isinstance(self.prepare, Preparation) else self.prepare)

    @cached_property
    def parameters_of_comparison(self) -> dict[str, Any]:
        """Those of the parameters that `compare_many` names."""
        assert self.compare_many is not None
        return self._named_by(self.compare_many)

    def _named_by(self, function: Callable[..., Any]) -> dict[str, Any]:
        accepted = signature(function).parameters.values()
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted):
            return dict(self.parameters)
        names = {parameter.name for parameter in accepted}
        return {name: value for name, value in self.parameters.items() if name in names}

    @property
    def prepares_representations(self) -> bool:
        """Whether `prepare` is given representations rather than matrices."""
        return self.takes_representations or (isinstance(self.prepare, Preparation) and self.prepare.of_representation)

    def prepared(self, representation: Representation) -> Any:
        """Prepare one side for `compare_many`; for metrics that have both."""
        return self.prepare_side(representation if self.prepares_representations else representation.matrix)

    def prepare_side(self, side: Any) -> Any:
        """Prepare a matrix, or a representation, whichever `prepare` is given."""
        assert self.prepare is not None
        return self.prepare(side, **self._parameters_of_prepare)

    @property
    def interface(self) -> str:
        """Interface for which the metric is written: `matrix`, `batched` or `model-based`."""
        if self.needs & {"model", "head"}:
            return "model-based"
        return "batched" if self.compare_many is not None else "matrix"

    @property
    def summary(self) -> str:
        """First line of the docstring of the function or class."""
        return self.doc.partition("\n")[0]

    @property
    def doc(self) -> str:
        """Docstring of the function; of a method of an object, that of its class."""
        owner = getattr(self.function, "__self__", None)
        return (inspect.getdoc(type(owner)) if owner is not None else None) or inspect.getdoc(self.function) or ""

    def with_parameters(self, given: Mapping[str, Any]) -> Metric:
        """Set some parameters, or wrap the metric; `ParameterError` names every parameter that it does not have."""
        own = parameters_model(self.function).model_fields
        wrapping = {name: value for name, value in given.items() if name in WRAPPERS and name not in own}
        plain = {name: value for name, value in given.items() if name not in wrapping}
        problems: dict[str, str] = {}
        made = self
        try:
            made = replace(self, parameters=checked_parameters(self.function, plain, beside=WRAPPERS.names()))
        except ParameterError as error:
            problems.update(error.problems)
        if wrapping:
            first, *others = wrapping
            problems.update({name: f'"{name}" cannot be combined with "{first}"' for name in others})
            try:
                made = WRAPPERS.get(first).wrap(made, wrapping[first])
            except ParameterError as error:
                problems.update(error.problems)
        if problems:
            raise ParameterError(problems)
        return made


F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
ATTRIBUTE = "__simbench_metric__"


def _decorator(source: Callable[P, MetricSource]) -> Callable[P, Callable[[F], F]]:
    """Make `metric`, which takes the arguments of `MetricSource`, so that they are written once."""

    def metric(*arguments: P.args, **declared: P.kwargs) -> Callable[[F], F]:
        """Register a function (or a class with `__call__`, `prepare`, `compare_many`) as a metric; return it unchanged.

        Arguments of the function, or of the class's `__init__`, that have a default are the metric's parameters.
        `prepare` and `compare_many` receive those that they name; `compare_many(prepared, pairs)` returns one value or
        `Score` per pair of indices into `prepared`. The arguments of the decorator are the fields of `Declaration`, and
        `prepare` and `compare_many`.

        >>> import torch
        >>> @metric("overlap", higher_is_more_similar=True, symmetric=True)
        ... def overlap(x, y, power=2.0):
        ...     return (x * y).sum().abs() ** power
        >>> METRICS.get("overlap").with_parameters({"power": 3.0}).label
        'overlap(power=3.0)'
        """
        try:
            made = source(*arguments, **declared)
        except ValidationError as error:
            raise SimbenchError(_in_words(error, arguments[0] if arguments else declared.get("name"))) from None
        return lambda component: _registered(component, made)

    metric.__dict__["__signature__"] = signature(MetricSource)
    return metric


metric = _decorator(MetricSource)


def _registered(component: F, source: MetricSource) -> F:
    declared = {part.name: getattr(source, part.name) for part in fields(MetricSource)}
    _require_metric(component, source.name)
    for interface in ("prepare", "compare_many"):
        declared[interface] = declared[interface] or method_of(component, interface)
    function = method_of(component, "__call__") or component
    try:
        parameters = checked_parameters(function, {})
    except ParameterError as error:
        raise SimbenchError(f'metric "{source.name}": {error}; give it a default') from None
    _require_two_sides(function, source.name)
    made = Metric(**declared, function=function, parameters=parameters, origin=origin_of(component))
    if made.version is None:
        source_hash(function)  # of the file as it is now, before anybody edits it
    METRICS.register(made.name, made, made.origin)
    # Not setattr: an object may be frozen.
    (type if isinstance(component, type) else object).__setattr__(component, ATTRIBUTE, made)
    return component


def _require_metric(component: Any, name: str) -> None:
    """Raise `SimbenchError` for what cannot be called, and for a class that cannot be made without arguments."""
    if (
        not any("__call__" in vars(each) for each in component.__mro__)
        if isinstance(component, type)
        else not callable(component)
    ):
        raise SimbenchError(f'metric "{name}": it has no __call__, by which two sides are compared')
    if isinstance(component, type):
        try:
            signature(component).bind()
        except TypeError as error:
            raise SimbenchError(f'metric "{name}": __init__ is called without arguments: {error}') from None


def _require_two_sides(function: Callable[..., Any], name: str) -> None:
    """Raise `SimbenchError` for a function that cannot be called with two sides."""
    try:
        arguments = signature(function).bind(None, None).arguments
    except TypeError as error:
        raise SimbenchError(f'metric "{name}": the function is called with two sides: {error}') from None
    except ValueError:  # of code that is not written in Python
        return
    parameters = declared_parameters(function)
    if taken := [argument for argument in arguments if argument in parameters]:
        raise SimbenchError(f'metric "{name}": "{taken[0]}" is one of the two sides, and takes no default')


def _in_words(error: ValidationError, name: object) -> str:
    problems = [f"{part['loc'][0]}: {part['msg'].removeprefix('Value error, ')}" for part in error.errors()]
    return f'metric "{name}": {"; ".join(problems)}'
