"""Write a leaderboard as Markdown, JSON, CSV, Parquet and a page. The same board and scores give the same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simbench.board.board import Board
from simbench.board.document import DOCUMENT, to_document
from simbench.board.scores import ScoreRow
from simbench.errors import SimbenchError
from simbench.files import replacing
from simbench.publish.markdown import to_markdown
from simbench.publish.overview import publish_overview
from simbench.publish.page import to_html
from simbench.publish.tables import SCORES_CSV, SCORES_PARQUET, grades_csv, scores_csv, scores_parquet
from simbench.visible import visible_json

# How many levels of a document are indented: the document, its rows, each row, the verdicts of a row.
INDENTED = 4


def publish(board: Board, folder: Path, scores: Sequence[ScoreRow] = (), *, csv: bool = False) -> list[Path]:
    """Write `folder/<suite>/` and the overview of all suites in `folder`, each file atomically; return the paths.

    Args:
        board: the leaderboard.
        folder: of all suites.
        scores: the scores behind it.
        csv: whether the scores are written as CSV as well, which is far larger than Parquet.
    """
    if not re.fullmatch(r"[\w.-]*\w[\w.-]*", board.suite):
        raise SimbenchError(f'"{board.suite}" is no name for a folder; a suite has letters, digits, ".", "_" and "-"')
    written: list[Path] = []
    for name, content in rendered(board, scores, csv=csv).items():
        path = folder / board.suite / name
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        written.append(path)
    return [*written, *publish_overview(folder)]


def rendered(board: Board, scores: Sequence[ScoreRow] = (), *, csv: bool = False) -> Mapping[str, bytes]:
    """Render every published file, by name, before any is written."""
    texts = {
        "README.md": to_markdown(board),
        DOCUMENT: document_text(to_document(board)),
        "leaderboard.csv": grades_csv(board),
        "index.html": to_html(board, scores),
    }
    if csv:
        texts[SCORES_CSV] = scores_csv(scores)
    files = {name: text.encode() for name, text in texts.items()}
    return {**files, SCORES_PARQUET: scores_parquet(scores)}


def document_text(document: Mapping[str, Any]) -> str:
    """Return JSON that a reader can scroll through: indented, with a line for each verdict."""
    return f"{_indented(document)}\n"


def _indented(value: Any, depth: int = 0) -> str:
    if depth == INDENTED or not value or not isinstance(value, dict | list):
        return _text(value)
    margin = "  " * depth
    if isinstance(value, dict):
        lines, start, end = [f"{_text(name)}: {_indented(inner, depth + 1)}" for name, inner in value.items()], "{", "}"
    else:
        lines, start, end = [_indented(inner, depth + 1) for inner in value], "[", "]"
    return f"{start}\n{margin}  " + f",\n{margin}  ".join(lines) + f"\n{margin}{end}"


def _text(value: Any) -> str:
    return visible_json(json.dumps(value, ensure_ascii=False, allow_nan=False))
