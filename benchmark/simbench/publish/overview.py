"""Write the index over the suites that are published in a folder, as Markdown and as a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from simbench.board.board import Board
from simbench.board.cells import rank_text
from simbench.board.document import DOCUMENT, from_document
from simbench.board.intervals import FEWEST_TESTS
from simbench.errors import SimbenchError
from simbench.files import write_text
from simbench.publish.markdown import escaped
from simbench.publish.rendering import render

LEADERS = 3
TITLE = "Similarity indices put to the test"
INTRODUCTION = (
    "Which index of representational similarity can be trusted, and for what? Every suite declares sanity tests; every "
    "metric is scored against all of them. Click a grade to see the scores behind it. Of fewer than "
    f"{FEWEST_TESTS} tests the order is a hint: mean ranks have no intervals then."
)


@dataclass(frozen=True)
class PublishedSuite:
    """One published suite, or the problem for which its leaderboard cannot be read."""

    folder: str
    title: str
    about: str
    tests: int
    ranked: int
    partial: int
    leaders: tuple[str, ...]
    problem: str = ""


def publish_overview(folder: Path) -> list[Path]:
    """Write `README.md` and `index.html` over all suites in `folder`."""
    entries = [_entry(path) for path in sorted(folder.glob(f"*/{DOCUMENT}"))]
    page = render("overview.html.j2", title=TITLE, introduction=INTRODUCTION, entries=entries)
    texts = {"README.md": _markdown(entries), "index.html": page}
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _entry(path: Path) -> PublishedSuite:
    try:
        document = json.loads(path.read_bytes())
        if not isinstance(document, dict):
            raise SimbenchError("it holds no object")
        board = from_document(document)
    except (SimbenchError, OSError, ValueError, RecursionError) as error:
        return PublishedSuite(path.parent.name, path.parent.name, "", 0, 0, 0, (), problem=f"cannot be read: {error}")
    ranked = [row for row in board.rows if row.mean_rank is not None]
    return PublishedSuite(
        folder=path.parent.name,
        title=f"{board.suite}@{board.version}",
        about=" ".join(board.about.split()),
        tests=len(board.tests),
        ranked=len(ranked),
        partial=len(board.rows) - len(ranked),
        leaders=_leaders(board),
    )


def _leaders(board: Board) -> tuple[str, ...]:
    """Return the first ranked metrics, with mean rank and tests passed."""
    return tuple(
        f"{row.row.metric.label} (mean rank {rank_text(row.mean_rank)}, passes {row.passed} of {row.tests})"
        for row in board.rows[:LEADERS]
        if row.mean_rank is not None
    )


def _markdown(entries: list[PublishedSuite]) -> str:
    lines = ["| suite | tests | metrics | first by mean rank |", "| --- | --- | --- | --- |"]
    for entry in entries:
        link = f"[{escaped(entry.title)}]({entry.folder}/README.md)"
        if entry.problem:
            lines.append(f"| {link} | | | {escaped(entry.problem)} |")
            continue
        metrics = f"{entry.ranked} ranked" + (f", {entry.partial} graded in part" if entry.partial else "")
        leaders = "<br>".join(escaped(leader) for leader in entry.leaders) or "–"
        lines.append(f"| {link}<br>{escaped(entry.about)} | {entry.tests} | {metrics} | {leaders} |")
    page = "Open [index.html](index.html) in a browser to explore. Made by `simbench publish`."
    return "\n\n".join([f"# {TITLE}", INTRODUCTION, "\n".join(lines), page]) + "\n"
