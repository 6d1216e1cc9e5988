"""Writes a leaderboard as Markdown, JSON, CSV, Parquet and a page. The same board and scores give the same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simbench.board.board import Board
from simbench.board.document import to_document
from simbench.board.scores import ScoreRow
from simbench.errors import SimbenchError
from simbench.files import replacing
from simbench.publish.csv_table import to_csv
from simbench.publish.html import to_html
from simbench.publish.markdown import to_markdown
from simbench.publish.overview import publish_overview
from simbench.publish.tables import scores_csv, scores_parquet


def publish(board: Board, folder: Path, scores: Sequence[ScoreRow] = ()) -> list[Path]:
    """Write `folder/<suite>/` and the overview of all suites in `folder`, each file atomically; gives the paths."""
    if not re.fullmatch(r"[\w.-]*\w[\w.-]*", board.suite):
        raise SimbenchError(f'"{board.suite}" is no name for a folder; a suite has letters, digits, ".", "_" and "-"')
    written: list[Path] = []
    for name, content in rendered(board, scores).items():
        path = folder / board.suite / name
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        written.append(path)
    return [*written, *publish_overview(folder)]


def rendered(board: Board, scores: Sequence[ScoreRow] = ()) -> Mapping[str, bytes]:
    """Every published file, by name. All are rendered before any is written."""
    document = to_document(board, scores)
    texts = {
        "README.md": to_markdown(board),
        "leaderboard.json": document_text(document),
        "leaderboard.csv": to_csv(board),
        "scores.csv": scores_csv(scores),
        "index.html": to_html(board, document),
    }
    files = {name: text.encode() for name, text in texts.items()}
    return {**files, "scores.parquet": scores_parquet(scores)}


def document_text(document: Mapping[str, Any]) -> str:
    """JSON that a reader can scroll through: indented, but for the evidence, which has a line per test."""
    head = {name: value for name, value in document.items() if name != "evidence"}
    text = json.dumps(head, indent=2, ensure_ascii=False, allow_nan=False)
    evidence = document.get("evidence")
    if evidence is None:
        return f"{text}\n"
    places = _compact(evidence["representations"])
    tests = ",\n".join(f"      {_compact(test)}" for test in evidence["tests"])
    return (
        f'{text[:-2]},\n  "evidence": {{\n    "representations": {places},\n    "tests": [\n{tests}\n    ]\n  }}\n}}\n'
    )


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
