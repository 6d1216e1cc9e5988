"""Layouts of arrays: which axis holds the features of `(n, …)`, by comparing sizes, or not at all.

Nothing is guessed: what sizes do not tell is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal, get_args

from simbench.suite.schema import DeclaredLayout as DeclaredLayout

Layout = Literal["vector", "channels_first", "channels_last", "tokens"]
DECLARED_LAYOUTS: tuple[str, ...] = get_args(DeclaredLayout)
# Axes of a sequence of tokens: inputs, tokens, features.
SEQUENCE_AXES = 3
# Axes of images, the most that an array may have whose layout is not declared.
MOST_AXES = 4


def declared_as(declared: DeclaredLayout | None, axes: int) -> Layout | None:
    """Return the layout of an array of so many axes, given what is declared; None if nothing is."""
    if declared is None:
        return None
    if axes < SEQUENCE_AXES:
        return "vector"
    return features_last(axes) if declared == "tokens" else declared


def features_last(axes: int) -> Layout:
    """Return the layout of an array of so many axes whose last one holds the features."""
    return "tokens" if axes == SEQUENCE_AXES else "channels_last"


def positions_form_a_square(shape: tuple[int, ...]) -> tuple[bool, bool]:
    """Return whether positions form a square (or a cube) if features come first, and if they come last.

    >>> positions_form_a_square((50, 8, 6, 6)), positions_form_a_square((50, 6, 6, 8))
    ((True, False), (False, True))
    """
    return tuple(len(shape) > SEQUENCE_AXES and len(set(grid)) == 1 for grid in (shape[2:], shape[1:-1]))  # type: ignore[return-value]


def layouts_of(shapes: Sequence[tuple[int, ...]]) -> list[Layout | None]:
    """Return the layouts of two arrays that are compared; None where sizes do not tell them.

    Two axes make a vector per input. Of all readings of images and volumes, take the one in which most grids of
    positions are square, or equal to each other, if there is only one. Sequences have a single axis of positions, of
    which sizes tell nothing.

    >>> layouts_of([(50, 8, 6, 6), (50, 6, 6, 4)]), layouts_of([(50, 6, 6, 6), (50, 16)])
    (['channels_first', 'channels_last'], [None, 'vector'])
    """
    readings: list[list[tuple[Layout, tuple[int, ...], bool]]] = []
    for shape in shapes:
        square = positions_form_a_square(shape)
        if len(shape) < SEQUENCE_AXES:
            readings.append([("vector", (), False)])
        else:
            readings.append(
                [("channels_first", shape[2:], square[0]), (features_last(len(shape)), shape[1:-1], square[1])]
            )
    evidence = {combined: _evidence(combined) for combined in product(*readings)}
    best = max(evidence.values())
    likely = [combined for combined, points in evidence.items() if points == best]
    return [_agreed([combined[place][0] for combined in likely]) for place in range(len(shapes))]


def _evidence(readings: Sequence[tuple[Layout, tuple[int, ...], bool]]) -> int:
    """Count what speaks for a reading: square grids, and equal ones of two axes or more."""
    grids = [grid for _, grid, _ in readings if len(grid) > 1]
    return sum(square for *_, square in readings) + (len(grids) > 1 and len(set(grids)) == 1)


def _agreed(layouts: Sequence[Layout]) -> Layout | None:
    return layouts[0] if len(set(layouts)) == 1 else None


def undecided(name: str, shape: tuple[int, ...]) -> str:
    """Ask for the layout of an array that sizes do not tell."""
    choices = ", ".join(choice for choice in DECLARED_LAYOUTS if choice != "tokens" or len(shape) == SEQUENCE_AXES)
    return (
        f"{name}: which axis of {shape} holds the features cannot be told from sizes: give its layout ({choices}), "
        "or the spatial rule flatten, which needs none"
    )
