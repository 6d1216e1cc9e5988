"""What holds for every suite file that ships."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simbench.suite.load import bundled_suites, load_suite

BUNDLED = pytest.mark.parametrize("path", bundled_suites().values(), ids=bundled_suites())


@BUNDLED
def test_it_is_short_and_tells_editors_its_schema(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 60
    assert lines[0] == "# yaml-language-server: $schema=./suite.schema.json"


@BUNDLED
def test_it_is_valid_and_says_what_it_is_about(path: Path) -> None:
    suite = load_suite(path.stem)
    assert suite.suite == path.stem
    assert suite.about


@pytest.mark.process
def test_the_schema_beside_them_is_what_the_command_prints() -> None:
    """In a process of its own: other tests register kinds."""
    printed = subprocess.run([sys.executable, "-m", "simbench", "suite", "schema"], capture_output=True, check=True)
    kept = Path(__file__).parents[2] / "suites/suite.schema.json"
    assert json.loads(kept.read_text()) == json.loads(printed.stdout), (
        "simbench suite schema > suites/suite.schema.json"
    )
