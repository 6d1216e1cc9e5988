"""Declarations of a metric: one model, embedded wherever a metric is described.

The decorator takes its arguments from `Declaration`, a `Metric` is one with code attached, and records of bundles,
leaderboards and pages carry it whole. A new property of metrics is a new field here, and reaches all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.dataclasses import dataclass

# A metric compares the activations of hidden layers, or the heads of models (embeddings and unembeddings).
Level = Literal["layers", "head"]
# `heavy`: trains something for every score; such blocks are started first.
Cost = Literal["light", "heavy"]
# How a map into the receiving network is found: least squares on its activations, or training on its task.
MapSearch = Literal["direct", "task"]

# Transforms that a metric may declare itself invariant to, applied to either side on its own.
INVARIANCES = (
    "permutation",
    "orthogonal",
    "isotropic_scaling",
    "translation",
    "diagonal_scaling",
    "invertible_linear",
    "affine",
)
IMPLIED_INVARIANCES = {
    "affine": (
        "invertible_linear",
        "translation",
        "orthogonal",
        "isotropic_scaling",
        "diagonal_scaling",
        "permutation",
    ),
    "invertible_linear": ("orthogonal", "isotropic_scaling", "diagonal_scaling", "permutation"),
    "diagonal_scaling": ("isotropic_scaling",),
    "orthogonal": ("permutation",),
}
# Things that a metric may need besides two matrices.
NEEDS = ("model", "head", "fit", "targets", "sequence")
# Questions that an index is made to answer. Invariance to invertible maps is owed by one that asks for `information`,
# and is a defect of one that is to see `geometry`: so tests name the purposes for which they are owed, and a
# leaderboard ranks within a purpose, never across them.
Purpose = Literal["geometry", "information", "units", "function", "distribution", "neighbourhoods", "dynamics"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
INFINITY = float("inf")


def _require_names_of(valid: tuple[str, ...]) -> BeforeValidator:
    def check(names: Any) -> frozenset[str]:
        given = None if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
        if given is None or not all(isinstance(name, str) and name in valid for name in given):
            raise ValueError(f"takes a set of {', '.join(valid)}; got {names!r}")
        return frozenset(given)

    return BeforeValidator(check)


def _with_infinities(bounds: Any) -> Any:
    """Replace None, by which JSON records an open end, by the infinity that it stands for."""
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        return bounds
    low, high = bounds
    return (-INFINITY if low is None else low, INFINITY if high is None else high)


def _without_infinities(bounds: tuple[float, float]) -> list[float | None]:
    low, high = bounds
    return [low if low > -INFINITY else None, high if high < INFINITY else None]


Range = Annotated[tuple[float, float], BeforeValidator(_with_infinities), PlainSerializer(_without_infinities)]
Invariances = Annotated[
    AbstractSet[str], _require_names_of(INVARIANCES), AfterValidator(frozenset), PlainSerializer(sorted)
]
Purposes = Annotated[AbstractSet[str], _require_names_of(PURPOSES), AfterValidator(frozenset), PlainSerializer(sorted)]
Needs = Annotated[AbstractSet[str], _require_names_of(NEEDS), AfterValidator(frozenset), PlainSerializer(sorted)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Declaration:
    """The properties that the author of a metric states; `check` measures those that can be measured.

    Attributes:
        name: by which suites and commands refer to the metric.
        higher_is_more_similar: False for a distance.
        version: raised when values change; without one, the hash of its code identifies the metric.
        symmetric: whether exchanging the arguments leaves the value.
        value_range: the least and the greatest value; None in JSON stands for an infinite end.
        triangle_inequality: whether d(x, z) ≤ d(x, y) + d(y, z) is claimed of this distance.
        invariant_to: transforms, names in `INVARIANCES`, that leave the value when applied to either side alone.
        pairs_inputs: whether row i of one side is compared with row i of the other. An index that does not pair inputs,
            such as a difference of two statistics, has the same value when the rows of one side are shuffled.
        purposes: questions that the metric is made to answer, names in `PURPOSES`; where none is declared, they follow
            from the rest of the declaration (see `serves`).
        needs: what the metric asks for beside matrices, names in `NEEDS`.
        level: whether hidden layers or heads are compared.
        family: the group of related metrics under which lists show it.
        formula: the definition, in a line.
        reference: paper and equation.
        default: whether suites that ask for the default metrics get it.
        cost: `heavy` if something is trained for every score.
        map: how a stitching metric finds its affine map, if `stitch_in_distribution` can find the same one: `direct` as
            `stitch_direct`, or `task` as `stitch_task`, in as many epochs as the metric's parameter `epochs` says.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    _: KW_ONLY
    higher_is_more_similar: bool
    version: int | None = None
    symmetric: bool = False
    value_range: Range = (-INFINITY, INFINITY)
    triangle_inequality: bool = False
    invariant_to: Invariances = frozenset()
    pairs_inputs: bool = True
    purposes: Purposes = frozenset()
    needs: Needs = frozenset()
    level: Level = "layers"
    family: str = "other"
    formula: str = ""
    reference: str = ""
    default: bool = False
    cost: Cost = "light"
    map: MapSearch | None = None

    @property
    def serves(self) -> tuple[Purpose, ...]:
        """Return the purposes, in the order of `PURPOSES`: those declared, or the one that follows from the rest.

        >>> Declaration("cca", higher_is_more_similar=True, invariant_to={"affine"}).serves
        ('information',)
        >>> Declaration("cka", higher_is_more_similar=True, invariant_to={"orthogonal"}).serves
        ('geometry',)
        """
        purposes = self.purposes or {self._purpose()}
        return tuple(purpose for purpose in PURPOSES if purpose in purposes)

    def _purpose(self) -> Purpose:
        if self.map is not None or "model" in self.needs:
            return "function"
        if self.level == "head":
            return "distribution"
        if "sequence" in self.needs:
            return "dynamics"
        if self.is_invariant_to("invertible_linear"):
            return "information"
        return "geometry" if self.is_invariant_to("orthogonal") else "units"

    def similarity(self, value: float) -> float:
        """Return the value in similarity orientation: distances are negated."""
        return value if self.higher_is_more_similar else -value

    def is_invariant_to(self, transform: str) -> bool:
        """Return whether the declared invariances imply invariance to `transform`."""
        return transform in with_implied(self.invariant_to)


def range_text(low: float | None, high: float | None) -> str:
    """Return a range as text, None for an infinite end.

    >>> range_text(0.0, None), range_text(-1, 1)
    ('[0, ∞)', '[-1, 1]')
    """
    return f"{'(−∞' if low is None else f'[{low:.4g}'}, {'∞)' if high is None else f'{high:.4g}]'}"


class MetricInfo(BaseModel):
    """A metric as boards and bundles describe it: what it declares, and what follows from its code.

    Attributes:
        label: the name, with the parameters that differ from their defaults.
        identity: name and version, else name and hash of the code.
        interface: how it is written: `matrix` (a function of two matrices), `batched` (prepares, then compares many) or
            `model-based` (continues the network, or reads its head).
        summary: the first line of its docstring.
        origin: the module that defines it, or the file's name for one that no package holds.
        parameters: all of them, defaults included.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str = Field(min_length=1, max_length=200)
    identity: str = Field(min_length=1, max_length=300)
    interface: str
    summary: str
    origin: str
    parameters: dict[str, Any]
    declaration: Declaration


def with_implied(invariances: Iterable[str]) -> frozenset[str]:
    """Return the invariances, and those that follow from them.

    >>> sorted(with_implied(["orthogonal", "translation"]))
    ['orthogonal', 'permutation', 'translation']
    """
    declared = set(invariances)
    return frozenset(declared.union(*(IMPLIED_INVARIANCES.get(name, ()) for name in declared)))
