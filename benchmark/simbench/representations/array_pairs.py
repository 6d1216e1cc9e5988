"""Read two arrays as representations to compare, and say how: which axis holds features, what becomes of positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from torch import Tensor

from simbench.errors import SimbenchError, UnknownNameError
from simbench.representations.layouts import (
    DECLARED_LAYOUTS,
    MOST_AXES,
    SEQUENCE_AXES,
    DeclaredLayout,
    Layout,
    declared_as,
    layouts_of,
    undecided,
)
from simbench.representations.representation import Representation, SpatialMode, SpatialRule

# The rule where none is given: that of suites.
USUAL: SpatialMode = "positions"
RULES: dict[SpatialMode, str] = {
    "positions": "rows are inputs, each read at one position, drawn at random",
    "pool": "rows are inputs, averaged over positions",
    "last": "rows are inputs, each read at its last token",
    "cls": "rows are inputs, each read at its first token",
    "flatten": "rows are inputs, columns are all features at all positions",
    "all": "rows are all positions of all inputs",
}


@dataclass(frozen=True)
class ArrayPair:
    """Two representations of the same inputs, and how they were read.

    Attributes:
        sides: the representations.
        spatial: the rule by which positions became rows or columns; None where neither has positions.
        layouts: that of each side; None where the rule needs none, and it cannot be told.
    """

    sides: tuple[Representation, Representation]
    spatial: SpatialMode | None
    layouts: tuple[Layout | None, ...]

    @property
    def reading(self) -> str:
        """Account of how arrays with positions were read, in one line; empty where there are none."""
        if self.spatial is None:
            return ""
        shapes = (f"{side.layer} {tuple(side.activations.shape)}" for side in self.sides)
        each = (f"{shape} {layout or ''}".strip() for shape, layout in zip(shapes, self.layouts, strict=True))
        return f"{', '.join(each)}; {self.spatial}: {RULES[self.spatial]}"


def read_pair(
    arrays: Sequence[Tensor | Representation],
    names: Sequence[str],
    *,
    spatial: str | None = None,
    layout: str | Sequence[str] | None = None,
    sequences: bool = False,
) -> ArrayPair:
    """Read two arrays as representations without a model.

    Args:
        arrays: `(n, features)`, or with positions; representations stay as they are, but for their spatial rule.
        names: what to call them in messages.
        spatial: one of `RULES`; that of representations, or else `USUAL`, by default.
        layout: `channels_first`, `channels_last` or `tokens`, for both arrays or for each. What is not given is told
            by sizes (`layouts_of`).
        sequences: whether arrays of three axes are tokens, as what compares them needs such.

    Raises:
        SimbenchError: a name is unknown, which axis holds the features cannot be told, or numbers are complex.
        ValueError: one is no array that can be compared.
    """
    mode = _checked(spatial)
    shapes = [tuple(array.activations.shape if isinstance(array, Representation) else array.shape) for array in arrays]
    measured = layouts_of(shapes)
    sides: list[Representation] = []
    layouts: list[Layout | None] = []
    for array, name, declared, by_sizes in zip(arrays, names, declared_layouts(layout), measured, strict=True):
        side, chosen = _read(array, name, mode, declared, by_sizes, sequences=sequences)
        sides.append(side)
        layouts.append(chosen)
    modes = [side.spatial.mode for side in sides if side.activations.ndim >= SEQUENCE_AXES]
    return ArrayPair((sides[0], sides[1]), modes[0] if modes else None, tuple(layouts))


def read_layer(
    array: Tensor | Representation,
    name: str,
    *,
    spatial: str | None = None,
    layout: DeclaredLayout | None = None,
    sequences: bool = False,
) -> Representation:
    """Read one of several arrays that are compared with each other; arguments and errors are those of `read_pair`.

    What is not given of its layout is told by its own sizes alone: it is the same in every comparison.
    """
    shape = tuple(array.activations.shape if isinstance(array, Representation) else array.shape)
    return _read(array, name, _checked(spatial), layout, layouts_of([shape])[0], sequences=sequences)[0]


def _read(
    array: Tensor | Representation,
    name: str,
    mode: SpatialMode | None,
    declared: DeclaredLayout | None,
    by_sizes: Layout | None,
    *,
    sequences: bool,
) -> tuple[Representation, Layout | None]:
    """Return a representation and its layout; None if the rule needs none, and it cannot be told."""
    if isinstance(array, Representation):
        _check_layout(array, name, declared)
        return (array if mode is None else replace(array, spatial=replace(array.spatial, mode=mode))), array.layout
    shape = tuple(array.shape)
    if array.is_complex():
        raise SimbenchError(
            f"{name}: metrics compare real numbers, and these are complex; "
            "give real and imaginary parts as features of their own"
        )
    if sequences and len(shape) == SEQUENCE_AXES:
        by_sizes = "tokens"
    chosen = declared_as(declared, len(shape)) or by_sizes
    if chosen is None and mode != "flatten" and len(shape) <= MOST_AXES:
        raise SimbenchError(undecided(name, shape))
    side = Representation.from_array(array, name, _as_given(chosen, len(shape), declared))
    return replace(side, spatial=SpatialRule(mode or USUAL)), chosen


def _check_layout(given: Representation, name: str, declared: DeclaredLayout | None) -> None:
    """Raise `SimbenchError` if a representation does not say where its features are, or a call contradicts it."""
    axes = given.activations.ndim
    contradicts = declared is not None and (declared == "channels_first") != (given.layout == "channels_first")
    if contradicts and axes >= SEQUENCE_AXES:
        raise SimbenchError(
            f"{name}: a Representation has its layout ({given.layout}): leave out `layout`, or make it with another"
        )
    if axes >= SEQUENCE_AXES and given.layout not in DECLARED_LAYOUTS:
        raise SimbenchError(
            f"{name}: the layout of a Representation of {axes} axes is one of {', '.join(DECLARED_LAYOUTS)}, "
            f'not "{given.layout}"'
        )


def _as_given(chosen: Layout | None, axes: int, declared: DeclaredLayout | None) -> DeclaredLayout | None:
    """Return the layout to give to `from_array`, which refuses more axes than images have unless it is declared."""
    if chosen == "vector" or (axes > MOST_AXES and declared is None):
        return None
    # flattened, columns stay in the order of the array
    return chosen or "channels_last"


def check_options(spatial: str | None, layout: str | Sequence[str] | None) -> None:
    """Raise `SimbenchError` if a spatial rule or a layout is none that `read_pair` takes."""
    _checked(spatial)
    declared_layouts(layout)


def _checked(spatial: str | None) -> SpatialMode | None:
    for mode in get_args(SpatialMode):
        if mode == spatial:
            return mode  # type: ignore[no-any-return]
    if spatial is None:
        return None
    raise UnknownNameError("spatial rule", str(spatial), RULES)


def declared_layouts(layout: str | Sequence[str] | None) -> list[DeclaredLayout | None]:
    """Return the layout of either array, of one for both, or one for each."""
    given = list(layout) if isinstance(layout, list | tuple) else [layout]
    for name in given:
        if name is not None and name not in DECLARED_LAYOUTS:
            raise UnknownNameError("layout", str(name), DECLARED_LAYOUTS)
    if len(given) > 2:
        raise SimbenchError("layout: give one for both arrays, or one for each")
    return (given * 2)[:2] or [None, None]  # type: ignore[return-value]
