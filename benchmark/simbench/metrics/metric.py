"""What a metric is: a plain function with metadata, and the three interfaces by which it may be written.

* The easy interface: a function of two matrices `(rows, features)` that returns a number.
* The fast interface: also `prepare(representation)`, once per representation, and `compare_many(prepared, pairs)`,
  which scores a batch of index pairs. The results equal the plain function's.
* The functional interface: `needs={"model"}` or `needs={"head"}`: the function is given two `Representation`s instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

from simbench.errors import SimbenchError
from simbench.parameters import checked_parameters
from simbench.registry import METRICS, Origin, origin_of, source_hash

Status = Literal["ok", "skip", "error"]
Level = Literal["layers", "head"]
Cost = Literal["light", "heavy"]
"""`heavy`: trains something for every score; such blocks are started first."""
Pairs = Sequence[tuple[int, int]]

INVARIANCES = (
    "permutation",
    "orthogonal",
    "isotropic_scaling",
    "translation",
    "invertible_linear",
    "affine",
)
"""Transforms that a metric may declare itself invariant to, applied to either side on its own."""
IMPLIED_INVARIANCES = {
    "affine": ("invertible_linear", "translation", "orthogonal", "isotropic_scaling", "permutation"),
    "invertible_linear": ("orthogonal", "isotropic_scaling", "permutation"),
    "orthogonal": ("permutation",),
}
NEEDS = ("model", "head", "fit", "targets", "sequence")


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


@dataclass(frozen=True)
class Metric:
    """A registered similarity index: its function and everything that lists, docs and the leaderboard say of it."""

    name: str
    function: Callable[..., Any]
    higher_is_more_similar: bool
    version: int | None = None
    symmetric: bool = False
    value_range: tuple[float, float] = (float("-inf"), float("inf"))
    triangle_inequality: bool = False
    """Whether d(x, z) ≤ d(x, y) + d(y, z) is claimed of this distance."""
    invariant_to: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    level: Level = "layers"
    family: str = "other"
    formula: str = ""
    reference: str = ""
    default: bool = False
    cost: Cost = "light"
    prepare: Callable[..., Any] | None = None
    compare_many: Callable[..., Any] | None = None
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

    def similarity(self, value: float) -> float:
        """The value in similarity orientation: distances are negated."""
        return value if self.higher_is_more_similar else -value

    def is_invariant_to(self, transform: str) -> bool:
        """Whether the declared invariances imply invariance to `transform`."""
        implied = {name for declared in self.invariant_to for name in IMPLIED_INVARIANCES.get(declared, ())}
        return transform in self.invariant_to | implied


F = TypeVar("F", bound=Callable[..., Any])
ATTRIBUTE = "__simbench_metric__"


def metric(
    name: str,
    *,
    higher_is_more_similar: bool,
    version: int | None = None,
    symmetric: bool = False,
    value_range: tuple[float, float] = (float("-inf"), float("inf")),
    triangle_inequality: bool = False,
    invariant_to: Collection[str] = (),
    needs: Collection[str] = (),
    level: Level = "layers",
    family: str = "other",
    formula: str = "",
    reference: str = "",
    default: bool = False,
    cost: Cost = "light",
    prepare: Callable[..., Any] | None = None,
    compare_many: Callable[..., Any] | None = None,
) -> Callable[[F], F]:
    """Register a function (or a class with `__call__`, `prepare`, `compare_many`) as a metric; returns it unchanged.

    Keyword-only arguments of the function are the metric's parameters. `prepare` and `compare_many` receive the same
    parameters; `compare_many(prepared, pairs)` returns one value or `Score` per pair of indices into `prepared`.
    """
    _check_declared("invariant_to", invariant_to, INVARIANCES, name)
    _check_declared("needs", needs, NEEDS, name)

    def decorate(component: F) -> F:
        instance: Any = component() if isinstance(component, type) else component
        function = instance.__call__ if isinstance(component, type) else component
        declared = Metric(
            name=name,
            function=function,
            higher_is_more_similar=higher_is_more_similar,
            version=version,
            symmetric=symmetric,
            value_range=value_range,
            triangle_inequality=triangle_inequality,
            invariant_to=frozenset(invariant_to),
            needs=frozenset(needs),
            level=level,
            family=family,
            formula=formula,
            reference=reference,
            default=default,
            cost=cost,
            prepare=prepare or getattr(instance, "prepare", None),
            compare_many=compare_many or getattr(instance, "compare_many", None),
            parameters=checked_parameters(function, {}),
            origin=origin_of(component),
        )
        METRICS.register(name, declared, declared.origin)
        setattr(component, ATTRIBUTE, declared)
        return component

    return decorate


def _check_declared(what: str, given: Collection[str], valid: Collection[str], name: str) -> None:
    unknown = sorted(set(given) - set(valid))
    if isinstance(given, str) or unknown:
        raise SimbenchError(f'metric "{name}": {what} takes a set of {", ".join(valid)}; got {given!r}')
