"""Read a board from a run (its id or its JSON file), a published folder or a bundle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simbench.errors import SimbenchError

if TYPE_CHECKING:
    from simbench.board.board import Board
    from simbench.board.evidence import Evidence


def recorded_board(source: str, store: Path | None = None) -> Board:
    """Return the board of a run or of a published leaderboard, or the one that follows from a bundle's scores.

    Raises:
        SimbenchError: the source is none of these.
    """
    recorded = board_and_evidence(place_of(source, store))
    if recorded is None:
        raise SimbenchError(
            f'no run "{source}": give the id of a run in the store, its JSON file, a published folder or a bundle'
        )
    return recorded[0]


def board_and_evidence(path: Path) -> tuple[Board, Evidence | None] | None:
    """Return the board that stands at a path, and the scores behind it if there are any; None where nothing is.

    Of a bundle, it is the board that follows from its scores, whatever board the bundle claims.
    """
    from simbench.board.document import DOCUMENT, evidence_in
    from simbench.board.evidence import evidence_of
    from simbench.bundles.archive import MANIFEST

    if path.suffix == ".zip" or os.path.isfile(path / MANIFEST):
        from simbench.verify.published import published_board
        from simbench.verify.verification import open_bundle

        board, scores = published_board(open_bundle(path))
        return board, evidence_of(board, scores)
    path = path / DOCUMENT if os.path.isdir(path) else path
    if not os.path.isfile(path):
        return None
    board, document = board_and_document(path)
    return board, evidence_in(document)


def place_of(source: str, store: Path | None = None) -> Path:
    """Return the JSON file of the run in the store that has this id, or else the source as a path."""
    from simbench.results.store import Store

    run = Store(store).root / "runs" / f"{source}.json"
    return run if os.path.isfile(run) else Path(source)


def board_and_document(path: Path) -> tuple[Board, dict[str, Any]]:
    """Read the JSON document of a run or of a published leaderboard; raise `SimbenchError` if the file is none."""
    from simbench.board.document import from_document
    from simbench.results.sealed import is_sealed, unseal

    try:
        raw = path.read_bytes()
        document = json.loads(unseal(raw) if is_sealed(raw) else raw)
        if not isinstance(document, dict):
            raise SimbenchError(f"{path}: not the document of a run: it holds no object")
        document.pop("sha256", None)  # of a document of the store that was formatted anew
        return from_document(document), document
    except (ValueError, RecursionError) as error:
        raise SimbenchError(f"{path}: not the document of a run: {error}") from None
