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
        spatial: `positions`, `pool`, `flatten` or `all`; that of representations, or else `USUAL`, by default.
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
    for place, (array, name, declared) in enumerate(zip(arrays, names, _declared(layout), strict=True)):
        if isinstance(array, Representation):
            _check_layout(array, name, declared)
            sides.append(array if mode is None else replace(array, spatial=replace(array.spatial, mode=mode)))
            layouts.append(array.layout)
            continue
        if array.is_complex():
            raise SimbenchError(
                f"{name}: metrics compare real numbers, and these are complex; "
                "give real and imaginary parts as features of their own"
            )
        is_sequence = sequences and len(shapes[place]) == SEQUENCE_AXES
        by_sizes: Layout | None = "tokens" if is_sequence else measured[place]
        chosen = declared_as(declared, len(shapes[place])) or by_sizes
        if chosen is None and mode != "flatten" and len(shapes[place]) <= MOST_AXES:
            raise SimbenchError(undecided(name, shapes[place]))
        side = Representation.from_array(array, name, _as_given(chosen, len(shapes[place]), declared))
        sides.append(replace(side, spatial=SpatialRule(mode or USUAL)))
        layouts.append(chosen)
    modes = [side.spatial.mode for side in sides if side.activations.ndim >= SEQUENCE_AXES]
    return ArrayPair((sides[0], sides[1]), modes[0] if modes else None, tuple(layouts))


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
    _declared(layout)


def _checked(spatial: str | None) -> SpatialMode | None:
    for mode in get_args(SpatialMode):
        if mode == spatial:
            return mode  # type: ignore[no-any-return]
    if spatial is None:
        return None
    raise UnknownNameError("spatial rule", str(spatial), RULES)


def _declared(layout: str | Sequence[str] | None) -> list[DeclaredLayout | None]:
    """Return the layout of either array, of one for both, or one for each."""
    given = list(layout) if isinstance(layout, list | tuple) else [layout]
    for name in given:
        if name is not None and name not in DECLARED_LAYOUTS:
            raise UnknownNameError("layout", str(name), DECLARED_LAYOUTS)
    if len(given) > 2:
        raise SimbenchError("layout: give one for both arrays, or one for each")
    return (given * 2)[:2] or [None, None]  # type: ignore[return-value]
