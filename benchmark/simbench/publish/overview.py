"""Write the index over the suites that are published in a folder, as Markdown and as a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from simbench.board.board import Board
from simbench.board.document import DOCUMENT, from_document
from simbench.errors import SimbenchError
from simbench.files import write_text
from simbench.publish.markdown import escaped
from simbench.publish.rendering import render

# Most metrics of a first tier that are named.
LEADERS = 12
TITLE = "Similarity indices put to the test"
INTRODUCTION = (
    "Which index of representational similarity can be trusted, and for what? Every suite declares sanity tests; every "
    "metric is scored against all of them. Indices serve different purposes, and stand only among those of their own: "
    "on the first tier of a purpose are those that no other one does better than. Click a grade to see the scores "
    "behind it."
)


@dataclass(frozen=True)
class PublishedSuite:
    """One published suite, or the problem for which its leaderboard cannot be read."""

    folder: str
    title: str
    about: str
    tests: int
    metrics: int
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
        return PublishedSuite(path.parent.name, path.parent.name, "", 0, 0, (), problem=f"cannot be read: {error}")
    return PublishedSuite(
        folder=path.parent.name,
        title=f"{board.suite}@{board.version}",
        about=" ".join(board.about.split()),
        tests=len(board.tests),
        metrics=len(board.rows),
        leaders=_leaders(board),
    )


def _leaders(board: Board) -> tuple[str, ...]:
    """Return a line for the first tier of every purpose, with the tests that each of its metrics passed."""
    passed = {
        entry.row.metric.label: f"{entry.counts.passed} of {len(board.tests) - entry.counts.not_promised}"
        for entry in board.rows
    }
    lines = []
    for purpose, tiers in board.tiers().items():
        if tiers:
            named = [f"{label} ({passed[label]})" for label in tiers[0][:LEADERS]]
            more = len(tiers[0]) - len(named)
            lines.append(f"{purpose}: {', '.join(named)}{f' and {more} more' if more else ''}")
    return tuple(lines)


def _markdown(entries: list[PublishedSuite]) -> str:
    lines = [
        "| suite | tests | metrics | first tier of each purpose (passed of the tests owed) |",
        "| --- | --- | --- | --- |",
    ]
    for entry in entries:
        link = f"[{escaped(entry.title)}]({entry.folder}/README.md)"
        if entry.problem:
            lines.append(f"| {link} | | | {escaped(entry.problem)} |")
            continue
        leaders = "<br>".join(escaped(leader) for leader in entry.leaders) or "–"
        lines.append(f"| {link}<br>{escaped(entry.about)} | {entry.tests} | {entry.metrics} | {leaders} |")
    page = "Open [index.html](index.html) in a browser to explore. Made by `simbench publish`."
    return "\n\n".join([f"# {TITLE}", INTRODUCTION, "\n".join(lines), page]) + "\n"
