"""Running the command line, in this process and in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.plots.conftest import board, evidence, scores
from typer.testing import CliRunner

from simbench.cli.main import build_app
from simbench.registry import METRICS

# Fixtures of the board that is plotted.
__all__ = ["board", "evidence", "scores"]

METRIC = '''
import simbench


@simbench.metric("{name}", higher_is_more_similar=True, symmetric=True, value_range=(-1, 1){declared})
def {name}(x, y):
    """A metric of the user's own."""
    {body}
'''


@pytest.fixture(autouse=True)
def own_folder_and_registry(tmp_path, monkeypatch):
    """Every test starts in an empty folder and leaves no metric behind."""
    monkeypatch.chdir(tmp_path)
    with METRICS.isolated():
        yield


@pytest.fixture
def invoke():
    """Runs a command in this process."""
    return lambda *arguments: CliRunner().invoke(build_app(), [str(argument) for argument in arguments])


@pytest.fixture
def shell(tmp_path, process):
    """Runs a command in a process of its own."""

    def run(*arguments):
        command = [sys.executable, "-m", "simbench", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ))

    return run


@pytest.fixture
def metric_file(tmp_path):
    """Writes a file with one metric."""

    def write(name, body="return 0.5", declared=""):
        path = tmp_path / f"{name}.py"
        path.write_text(METRIC.format(name=name, body=body, declared=declared))
        return path

    return write
