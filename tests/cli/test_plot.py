"""`simbench plot` of a run: its document holds all that is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simbench.board.board import Board
from simbench.board.document import DOCUMENT, evidence_in, to_document
from simbench.board.evidence import Evidence
from simbench.board.scores import ScoreRow
from simbench.bundles.archive import BUNDLE
from simbench.cli import source
from simbench.cli.main import build_app
from simbench.errors import ExitCode, SimbenchError
from simbench.plots.gallery import gallery
from simbench.plots.style import rendered


def plotted(source: str, store: Path) -> tuple[list[Path], str]:
    """The pictures made, and what was said besides."""
    options = ["plot", source, "--store", str(store), "--out", str(store / "figures"), "--format", "svg"]
    told = CliRunner().invoke(build_app(), options)
    assert told.exit_code == 0, told.output
    return sorted((store / "figures").iterdir()), told.stderr


def test_a_run_is_drawn_from_its_document_by_its_id(
    board: Board, scores: list[ScoreRow], evidence: Evidence, tmp_path: Path
) -> None:
    document = json.loads(json.dumps(to_document(board, scores)))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "sanity-1.json").write_text(json.dumps(document), encoding="utf-8")
    pictures, said = plotted("sanity-1", tmp_path)
    expected = gallery(board, evidence)
    assert {path.name for path in pictures} == {f"sanity-{name}.svg" for name in expected}
    drawn = (tmp_path / "figures" / "sanity-heatmaps-correspondence.svg").read_bytes()
    assert drawn == rendered(expected["heatmaps-correspondence"], "svg")
    assert said == ""


def test_an_older_document_without_scores_says_why_there_are_no_heat_maps(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(to_document(board)), encoding="utf-8")
    pictures, said = plotted(str(path), tmp_path)
    assert [one.name for one in pictures if "heatmaps" in one.name] == []
    assert "no heat maps" in said


def test_the_document_of_a_former_run_is_drawn_all_the_same(
    board: Board, scores: list[ScoreRow], evidence: Evidence
) -> None:
    document = json.loads(json.dumps(to_document(board, scores)))
    for block in document["evidence"]["tests"]:
        for metric in block["metrics"].values():
            metric |= {"standard_errors": [], "tiebreaks": [0.5]}
    assert evidence_in(document) == evidence


def test_a_published_folder_is_drawn_from_the_bundle_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = tmp_path / "sanity" / BUNDLE
    bundle.parent.mkdir()
    bundle.touch()
    opened: list[Path] = []
    monkeypatch.setattr(source, "board_and_evidence", opened.append)
    CliRunner().invoke(build_app(), ["plot", str(bundle.parent), "--out", str(tmp_path)])
    assert opened == [bundle]


def test_a_published_folder_without_a_bundle_is_drawn_from_its_document(board: Board, tmp_path: Path) -> None:
    (tmp_path / DOCUMENT).write_text(json.dumps(to_document(board)), encoding="utf-8")
    pictures, said = plotted(str(tmp_path), tmp_path)
    assert "sanity-grades.svg" in {path.name for path in pictures}
    assert "no heat maps" in said


def test_a_published_folder_of_version_1_says_so_and_what_to_do(board: Board, tmp_path: Path) -> None:
    (tmp_path / DOCUMENT).write_text(json.dumps({**to_document(board), "schema_version": 1}), encoding="utf-8")
    result = CliRunner().invoke(build_app(), ["plot", str(tmp_path), "--out", str(tmp_path)])
    assert result.exit_code == ExitCode.USAGE
    said = " ".join(result.stderr.split())
    assert "with schema 1, older than 3; publish it again" in said
    assert said.endswith("which computes nothing where the store has its scores, or ask its author to")


def test_what_is_no_evidence_is_one_clear_line() -> None:
    with pytest.raises(SimbenchError, match="not a leaderboard of simbench: representations"):
        evidence_in({"evidence": {"tests": []}})
