"""The documented way of a submission, run as it stands there, gives the published board with one more row."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "submissions.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Submit a metric")[2].partition("\n## ")[0]
COMMANDS = [
    line for block in re.findall(r"```console\n(.*?)```", SECTION, re.DOTALL) for line in block.splitlines() if line
]


def test_the_commands_are_there() -> None:
    verbs = [command.split()[1] for command in COMMANDS]
    assert verbs == ["new", "check", "run", "publish", "verify", "leaderboard", "verify"]


@pytest.mark.trains
@pytest.mark.process
def test_the_documented_commands_give_the_published_board_with_one_more_row(tmp_path: Path, shared_store: Path) -> None:
    shutil.copytree(ROOT / "leaderboard" / "quick", tmp_path / "leaderboard" / "quick")
    before = board(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "simbench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m simbench "$@"\n')
    (tmp_path / "bin" / "simbench").chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SIMBENCH_STORE": str(shared_store)}
    for command in COMMANDS:
        shell = ["bash", "-c", command]
        done = subprocess.run(shell, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    after = board(tmp_path)
    assert set(after) - set(before) == {"my_metric"}
    graded = {label: {test: cell["grade"] for test, cell in row["tests"].items()} for label, row in after.items()}
    assert {label: graded[label] for label in before} == {
        label: {test: cell["grade"] for test, cell in row["tests"].items()} for label, row in before.items()
    }
    assert after["my_metric"]["counts"]["unanswered"] == after["cka"]["counts"]["unanswered"] == 0
    republished = runpy.run_path(str(ROOT / "docs" / "republish.py"))["republish"]
    republished.__globals__["BOARDS"] = tmp_path / "leaderboard"
    republished(tmp_path / "leaderboard" / "quick")
    assert list(board(tmp_path)) == list(after)


def board(folder: Path) -> dict[str, Any]:
    """Return the rows of the published board, by metric."""
    document = json.loads((folder / "leaderboard" / "quick" / "leaderboard.json").read_text(encoding="utf-8"))
    return {row["metric"]: row for row in document["rows"]}
