"""Writes a leaderboard as Markdown, JSON, CSV and a page. The same board gives the same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from simbench.errors import SimbenchError
from simbench.files import write_text
from simbench.leaderboard.board import Board
from simbench.leaderboard.csv import to_csv
from simbench.leaderboard.document import to_document
from simbench.leaderboard.html import to_html
from simbench.leaderboard.markdown import to_markdown


def publish(board: Board, folder: Path) -> list[Path]:
    """Write `folder/<suite>/`, each file atomically; gives the paths."""
    if not re.fullmatch(r"[\w.-]*\w[\w.-]*", board.suite):
        raise SimbenchError(f'"{board.suite}" is no name for a folder; a suite has letters, digits, ".", "_" and "-"')
    written: list[Path] = []
    for name, text in rendered(board).items():
        path = folder / board.suite / name
        write_text(path, text)
        written.append(path)
    return written


def rendered(board: Board) -> Mapping[str, str]:
    """Every published file's text, by name. All are rendered before any is written."""
    document = json.dumps(to_document(board), indent=2, ensure_ascii=False, allow_nan=False)
    return {
        "README.md": to_markdown(board),
        "leaderboard.json": f"{document}\n",
        "leaderboard.csv": to_csv(board),
        "index.html": to_html(board),
    }
