"""Standing of the metrics, purpose by purpose: tiers from the top, with the verdicts of every metric."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simbench.board.board import Board, BoardRow
from simbench.board.cells import other_tiers
from simbench.declaration import Purpose
from simbench.plots.style import GREY, INK, LIGHT, LOOKS, VERMILLION, WORDS, new_figure, shortened

ROW = 0.2
# Verdicts in the order of a bar, with face and hatching: what is solid, passed; what is hollow, did not.
PARTS = (
    ("passed", "pass", LOOKS["pass"]["color"], ""),
    ("undecided", "undecided", "white", "...."),
    ("failed", "fail", "white", "//////"),
)
HEADING = 1.0


def standing(board: Board) -> Figure:
    """Draw a bar of tests passed, undecided and failed per metric, by purpose and tier; unplaced metrics come last."""
    lines = _lines(board)
    figure = new_figure(5.6, ROW * (len(lines) + 1) + 1.1)
    axes = figure.subplots()
    heights = []
    for height, line in enumerate(lines):
        if isinstance(line, str):
            axes.text(0, height, line, fontweight="bold", va="center", fontsize=7.5)
        else:
            heights.append(height)
            _bar(axes, height, line)
    _tiers(axes, lines, len(board.tests))
    entries = [line for line in lines if not isinstance(line, str)]
    axes.set_yticks(heights, [shortened(entry.row.metric.label, 34) for entry in entries])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(lines) - 0.4, -0.7)
    axes.set_xlim(0, len(board.tests) * 1.32 + 1)
    axes.set_xticks([number for number in axes.get_xticks() if number == int(number) and number <= len(board.tests)])
    axes.set_xlabel("tests; × a broken promise")
    figure.suptitle(f"{board.suite}@{board.version}: standing within each purpose", fontsize=9, fontweight="bold")
    _legend(figure)
    return figure


def _lines(board: Board) -> list[Purpose | BoardRow]:
    """Return headings and rows from the top."""
    lines: list[Purpose | BoardRow] = []
    for purpose, entries in board.by_purpose().items():
        lines += [purpose, *entries]
    return lines


def _bar(axes: Axes, height: int, entry: BoardRow) -> None:
    left = 0
    for field, state, face, hatch in PARTS:
        number = getattr(entry.counts, field)
        if not number:
            continue
        axes.barh(
            height, number, left=left, height=0.62, facecolor=face, edgecolor=LOOKS[state]["color"], hatch=hatch,
            linewidth=0.7, zorder=2,
        )  # fmt: skip
        left += number
    broken = len(entry.counts.broken_promises)
    if broken:
        axes.text(left + 0.1, height, f"× {broken}", va="center", fontsize=6.5, color=VERMILLION)


def _tiers(axes: Axes, lines: list[Purpose | BoardRow], tests: int) -> None:
    """Mark off the tiers by rules, and name each beside its first metric."""
    before: str | None = None
    for height, line in enumerate(lines):
        if isinstance(line, str):
            before = None
            axes.axhline(height - 0.5, color=GREY, linewidth=0.8, zorder=0)
            continue
        tier = line.main_standing.tier
        name = "not placed" if tier is None else f"tier {tier}"
        if name != before:
            axes.axhline(height - 0.5, color=LIGHT, linewidth=0.8, zorder=0)
        others = other_tiers(line)
        said = ", ".join(filter(None, [name if name != before else "", others]))
        colour = GREY if tier is None else INK
        axes.text(tests * 1.06 + 0.4, height, said, va="center", fontsize=6.5, color=colour)
        before = name


def _legend(figure: Figure) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=face, edgecolor=LOOKS[state]["color"], hatch=hatch, label=WORDS[state])
        for _, state, face, hatch in PARTS
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.5)
