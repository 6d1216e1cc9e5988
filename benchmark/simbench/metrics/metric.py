"""What a metric is: a plain function with metadata, and the three interfaces by which it may be written.

* The easy interface: a function of two matrices `(rows, features)` that returns a number.
* The fast interface: also `prepare(representation)`, once per representation, and `compare_many(prepared, pairs)`,
  which scores a batch of index pairs. The results equal the plain function's.
* The functional interface: `needs={"model"}` or `needs={"head"}`: the function is given two `Representation`s instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import cached_property
from inspect import signature
from typing import Any, Literal, ParamSpec, TypeVar

from pydantic import ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from simbench.declaration import Declaration, MetricInfo
from simbench.errors import SimbenchError
from simbench.parameters import checked_parameters
from simbench.registry import METRICS, Origin, origin_of, source_hash

Status = Literal["ok", "skip", "error"]
Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Score:
    """The value of one metric on one comparison, or the reason why there is none.

    `tiebreak` (larger is more similar) orders equal values; `standard_error` is that of `value`; `auxiliary` are other
    numbers that came with it, such as a p-value.
    """

    value: float | None
    status: Status = "ok"
    reason: str | None = None
    standard_error: float | None = None
    tiebreak: float | None = None
    warnings: tuple[str, ...] = ()
    auxiliary: Mapping[str, float] = field(default_factory=dict, hash=False)

    @classmethod
    def skip(cls, reason: str) -> Score:
        """Not applicable here, for this reason."""
        return cls(None, "skip", reason)

    @classmethod
    def error(cls, reason: str) -> Score:
        """Should have had a value and has none, for this reason."""
        return cls(None, "error", reason)


@pydantic_dataclass(frozen=True, kw_only=True)
class MetricSource(Declaration):
    """The arguments of the decorator: what a metric declares, and the functions beside the plain one.

    Attributes:
        prepare: turns a representation into what `compare_many` compares, once per representation.
        compare_many: scores a batch of pairs of indices into what was prepared.
    """

    prepare: Callable[..., Any] | None = None
    compare_many: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Metric(MetricSource):
    """A registered similarity index: its function and everything that lists, docs and the leaderboard say of it."""

    function: Callable[..., Any]
    _: KW_ONLY
    parameters: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = field(default_factory=lambda: Origin("", "", 0))

    @cached_property
    def label(self) -> str:
        """The name, with the parameters that differ from their defaults: `svcca(variance=0.9)`."""
        defaults = checked_parameters(self.function, {})
        changed = [f"{key}={value}" for key, value in self.parameters.items() if defaults.get(key) != value]
        return f"{self.name}({', '.join(changed)})" if changed else self.name

    @cached_property
    def identity(self) -> str:
        """Name and version, else name and the hash of the source: what a score's key depends on."""
        return f"{self.name}@{self.version if self.version is not None else source_hash(self.function)}"

    @property
    def declaration(self) -> Declaration:
        """What it declares, without the code."""
        return Declaration(**{part.name: getattr(self, part.name) for part in fields(Declaration)})

    @property
    def info(self) -> MetricInfo:
        """How boards and bundles describe it."""
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
    def interface(self) -> str:
        """By which of the three interfaces it was written: easy, fast or functional."""
        if self.needs & {"model", "head"}:
            return "functional"
        return "fast" if self.compare_many is not None else "easy"

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def with_parameters(self, given: Mapping[str, Any]) -> Metric:
        """This metric with some parameters set, or wrapped; `ParameterError` names those it does not have."""
        from simbench.metrics.wrappers import declarations as wrappers  # which are metrics, too

        return wrappers.with_parameters(self, given)


F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
ATTRIBUTE = "__simbench_metric__"


def _decorator(source: Callable[P, MetricSource]) -> Callable[P, Callable[[F], F]]:
    """Make `metric`, which takes the arguments of `MetricSource`, so that they are written once."""

    def metric(*arguments: P.args, **declared: P.kwargs) -> Callable[[F], F]:
        """Register a function (or a class with `__call__`, `prepare`, `compare_many`) as a metric; return it unchanged.

        Keyword-only arguments of the function are the metric's parameters. `prepare` and `compare_many` receive the
        same parameters; `compare_many(prepared, pairs)` returns one value or `Score` per pair of indices into
        `prepared`. The arguments are the fields of `Declaration`, and `prepare` and `compare_many`.
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
    instance: Any = component() if isinstance(component, type) else component
    function = instance.__call__ if isinstance(component, type) else component
    declared = {part.name: getattr(source, part.name) for part in fields(MetricSource)}
    for interface in ("prepare", "compare_many"):
        declared[interface] = declared[interface] or getattr(instance, interface, None)
    made = Metric(
        **declared, function=function, parameters=checked_parameters(function, {}), origin=origin_of(component)
    )
    METRICS.register(made.name, made, made.origin)
    setattr(component, ATTRIBUTE, made)
    return component


def _in_words(error: ValidationError, name: object) -> str:
    problems = [f"{part['loc'][0]}: {part['msg'].removeprefix('Value error, ')}" for part in error.errors()]
    return f'metric "{name}": {"; ".join(problems)}'
