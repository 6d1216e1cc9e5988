"""A published folder is checked as a whole: its bundle, and that its tables are what the bundle's scores give."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path

import pytest
from tests.verify.conftest import Made

from simbench.bundles.archive import write_files
from simbench.bundles.contents import parse
from simbench.errors import ExitCode
from simbench.publish.folder import publish, rendered
from simbench.verify.published import published_board
from simbench.verify.verification import verify

OUR_OWN = sorted(path.parent for path in (Path(__file__).parents[2] / "leaderboard").glob("*/bundle.zip"))


@pytest.fixture
def published(made: Made, tmp_path: Path) -> Path:
    """What `simbench publish` writes for the tiny suite."""
    board, scores = published_board(parse(made.files))
    publish(board, tmp_path / "board", scores, csv=True)
    write_files(tmp_path / "board/tiny/bundle.zip", made.files)
    return tmp_path / "board/tiny"


def test_what_is_published_is_what_the_bundle_gives_when_it_is_read(made: Made) -> None:
    board, scores = published_board(parse(made.files))
    assert rendered(made.packed.board, made.packed.scores) == rendered(board, scores)


def test_an_honest_folder_is_regraded(published: Path) -> None:
    report = verify(published)
    assert [str(finding) for step in report.steps for finding in step.findings] == []
    assert report.exit_code == ExitCode.OK


def test_a_grade_changed_in_the_published_json_is_named(published: Path) -> None:
    document = json.loads((published / "leaderboard.json").read_text())
    next(row for row in document["rows"] if row["metric"] == "cka")["tests"]["correspondence"]["grade"] = 0.123
    (published / "leaderboard.json").write_text(json.dumps(document))
    report = verify(published)
    found = {finding.where: finding.claimed for step in report.steps for finding in step.findings}
    assert found["cka.tests[correspondence].grade"] == 0.123
    assert report.exit_code == ExitCode.VERDICT_FAILED


@pytest.mark.parametrize("name", ["index.html", "README.md", "scores.csv", "leaderboard.csv", "scores.parquet"])
def test_any_other_changed_table_is_named(published: Path, name: str) -> None:
    (published / name).write_bytes((published / name).read_bytes() + b" ")
    report = verify(published)
    assert [finding.where for step in report.steps for finding in step.findings] == [name]
    assert report.exit_code == ExitCode.VERDICT_FAILED


def test_a_page_that_another_build_of_zlib_packed_is_the_same_page(published: Path) -> None:
    page = (published / "index.html").read_text()

    def again(element: re.Match[str]) -> str:
        return element[1] + base64.b64encode(zlib.compress(zlib.decompress(base64.b64decode(element[2])), 1)).decode()

    other, parts = re.subn(r'(<script type="application/zlib"[^>]*>)([^<]+)', again, page)
    assert parts > 3
    assert other != page
    (published / "index.html").write_text(other)
    assert verify(published).exit_code == ExitCode.OK


def test_a_file_that_no_board_has_is_named(published: Path) -> None:
    (published / "models").mkdir()
    (published / "models" / "more.csv").write_text("of whatever")
    (published / ".hidden").write_text("of whatever")
    (published / "link.csv").symlink_to(published / "leaderboard.csv")
    report = verify(published)
    assert [str(finding) for step in report.steps for finding in step.findings] == [
        f"document: {name}: is not part of a published board" for name in (".hidden", "link.csv", "models/more.csv")
    ]
    assert report.exit_code == ExitCode.VERDICT_FAILED


def test_a_missing_table_is_named(published: Path) -> None:
    (published / "index.html").unlink()
    report = verify(published)
    (finding,) = [finding for step in report.steps for finding in step.findings]
    assert (finding.where, finding.note) == ("index.html", "is missing from the published folder")


@pytest.mark.slow
@pytest.mark.parametrize("folder", OUR_OWN, ids=lambda folder: folder.name)
def test_what_this_repository_publishes_is_regraded(folder: Path) -> None:
    report = verify(folder)
    assert [str(finding) for step in report.steps for finding in step.findings] == []
    assert report.exit_code == ExitCode.OK
