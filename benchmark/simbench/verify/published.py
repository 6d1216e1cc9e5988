"""Check a published leaderboard: its tables must follow from the scores of the bundle beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from simbench.board.board import Board
from simbench.board.document import DOCUMENT, to_document
from simbench.board.scores import ScoreRow
from simbench.bundles.archive import BUNDLE, MANIFEST, BadBundleError
from simbench.bundles.contents import Contents, parse_json
from simbench.bundles.pack import recorded_plan, regraded
from simbench.errors import SimbenchError, UnknownNameError
from simbench.grading import score_table
from simbench.publish.folder import rendered
from simbench.publish.rendering import unpacked
from simbench.publish.tables import SCORES_CSV
from simbench.verify.regrade import checked_records, differences
from simbench.verify.report import Discrepancy

LARGEST_FILE = 64 * 2**20


def bundle_in(path: Path) -> Path | None:
    """Return the bundle in a published folder; None for a path that is a bundle itself."""
    inside = path / BUNDLE
    return inside if inside.is_file() and not (path / MANIFEST).exists() else None


def standing_rows(folder: Path) -> list[str]:
    """Return the metrics on the board that a folder holds, of whatever schema; none where it holds no board.

    Raises:
        BadBundleError: its document is no leaderboard.
    """
    path = folder / DOCUMENT
    if not path.is_file():
        return []
    document = parse_json(str(path), path.read_bytes())
    rows = document.get("rows") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("metric"), str) for row in rows
    ):
        raise BadBundleError(f"{path}: not a leaderboard; move it away, or write elsewhere with --out")
    return [row["metric"] for row in rows]


def refuse_loss(rows: Collection[str], standing: Collection[str], drop: Collection[str], advice: str) -> None:
    """Raise an error if a board lacks rows of the one that it takes the place of, but for those to drop.

    Raises:
        SimbenchError: rows would be lost; names them and gives the advice.
        UnknownNameError: a row to drop was never there.
    """
    for label in drop:
        if label not in {*rows, *standing}:
            raise UnknownNameError("row", label, {*rows, *standing})
    lost = [label for label in standing if label not in {*rows, *drop}]
    if lost:
        raise SimbenchError(
            f"{len(lost)} rows of the board that stands there would be lost: {', '.join(lost)}; {advice}, "
            "or name each with --drop"
        )


def published_board(contents: Contents) -> tuple[Board, list[ScoreRow]]:
    """Return the board that follows from a bundle's scores, and the scores; both are free of paths and published."""
    plan = recorded_plan(contents.suite, contents.metrics)
    records, _ = checked_records(contents, plan)
    return regraded(plan, records, contents.provenance, contents.stated), score_table(plan, records)


def check_published(folder: Path, contents: Contents) -> list[Discrepancy]:
    """Compare a published folder with what its bundle's scores give; every file is rendered again.

    Raises:
        BadBundleError: a published file is too large to be read.
    """
    board, scores = published_board(contents)
    expected = rendered(board, scores, csv=(folder / SCORES_CSV).is_file())
    findings = [*_unlike(folder, expected), *_extra(folder, {*expected, BUNDLE})]
    if any(finding.where == DOCUMENT and not finding.note.startswith("is missing") for finding in findings):
        claimed = parse_json(DOCUMENT, (folder / DOCUMENT).read_bytes())
        if isinstance(claimed, dict) and isinstance(claimed.get("rows"), list):
            findings = [*differences(claimed, to_document(board)), *findings]
    return findings


def _unlike(folder: Path, expected: Mapping[str, bytes]) -> Iterator[Discrepancy]:
    for name, content in expected.items():
        path = folder / name
        if not path.is_file():
            yield Discrepancy("document", name, note="is missing from the published folder")
        elif path.stat().st_size > LARGEST_FILE:
            raise BadBundleError(f"{name}: larger than {LARGEST_FILE // 2**20} MB")
        elif not _same(path, content):
            yield Discrepancy(
                "document", name, note="is not what the bundle's scores give (or another version wrote it)"
            )


def _extra(folder: Path, expected: Collection[str]) -> Iterator[Discrepancy]:
    """Name every file that no published board has."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in expected and (path.is_symlink() or not path.is_dir()):
            yield Discrepancy("document", name, note="is not part of a published board")


def _same(path: Path, content: bytes) -> bool:
    published = path.read_bytes()
    return published == content or (path.suffix == ".html" and unpacked(published) == unpacked(content))
