"""Style of all figures: fonts, colours that are distinct to the colour-blind and in greyscale, repeatable bytes."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simbench.board.cells import state
from simbench.verdicts.verdict import Verdict

Format = Literal["png", "svg", "pdf"]
Draw = Callable[[], Figure]

# Okabe and Ito's colours, which are distinct to the colour-blind, too. Shapes and hatching mean the same.
BLUE, VERMILLION, ORANGE, GREY, LIGHT, INK = "#0072B2", "#D55E00", "#E69F00", "#767676", "#D9D9D9", "#1A1A1A"
# Markers of a graded cell by its state.
LOOKS = {
    "pass": {"color": BLUE, "marker": "o", "markerfacecolor": BLUE},
    "fail": {"color": VERMILLION, "marker": "D", "markerfacecolor": "white"},
    "undecided": {"color": ORANGE, "marker": "^", "markerfacecolor": "white"},
    "partly": {"color": ORANGE, "marker": "s", "markerfacecolor": "white"},
    "not promised": {"color": GREY, "marker": ".", "markerfacecolor": GREY},
}
WORDS = {
    "pass": "pass",
    "fail": "fail",
    "undecided": "undecided",
    "partly": "not all of it could be compared",
    "not promised": "not promised",
}
LARGEST_TITLE = 60

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs, and bytes, on every machine
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "svg.fonttype": "path",
    "svg.hashsalt": "simbench",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a dollar sign in a label is no mathematics
    "savefig.dpi": 200,
}
# Without dates and versions, the same board gives the same bytes.
METADATA: dict[Format, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@contextmanager
def house_style() -> Iterator[None]:
    """Reset matplotlib to its defaults and apply `RC` within the block."""
    with matplotlib.rc_context(), style.context(["default", RC]):
        yield


def rendered(draw: Draw, form: Format) -> bytes:
    """Return the bytes of a figure."""
    with house_style():
        buffer = io.BytesIO()
        draw().savefig(buffer, format=form, metadata=METADATA[form])
        return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, which belongs to no window."""
    return Figure(figsize=(width, height), layout="constrained")


def looks(verdict: Verdict) -> dict[str, Any]:
    """Return the markers of a graded verdict."""
    return dict(LOOKS[state(verdict)])


def legend_of_states(figure: Figure, axes: Axes, states: set[str]) -> None:
    """Draw the legend of the markers in use, at the bottom."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="none", markersize=4, label=WORDS[name], **LOOKS[name])  # type: ignore[arg-type]
        for name in WORDS
        if name in states
    ]
    handles.append(Line2D([], [], color=GREY, linewidth=1.2, label="95 % interval over models"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.4)


def shortened(text: str, length: int = LARGEST_TITLE) -> str:
    """Return the text, shortened to a length.

    >>> shortened("a rather long name", 9)
    'a rather…'
    """
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def wrapped(text: str, width: int) -> str:
    r"""Return the text in lines of at most `width` characters.

    >>> wrapped("one two three", 8)
    'one two\nthree'
    """
    return "\n".join(textwrap.wrap(text, width))
