"""explain and runs: what the page shows, in the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simbench.board.board import Board
from simbench.board.evidence import Evidence
from simbench.board.explanation import explain, failing_columns
from simbench.errors import ExitCode, UnknownNameError
from simbench.registry import METRICS

SUITE = """\
suite: tiny
version: 2
probe: {dataset: digits, split: test, inputs: 60}
models:
  mlp: {architecture: {name: mlp, width: 8, depth: 3}, train: {dataset: digits, epochs: 1}, seeds: [0, 1, 2]}
metrics: [cka]
tests:
  - {id: identity, kind: identity, models: [mlp]}
  - {id: moved, kind: invariance, models: [mlp], transforms: [permutation, orthogonal]}
  - {id: scaled, kind: invariance, models: [mlp], transforms: [isotropic_scaling]}
"""
MINE = '''
import simbench


@simbench.metric("unit_cosine", higher_is_more_similar=True, symmetric=True, invariant_to={"orthogonal"})
def unit_cosine(x, y):
    """Compare units of the same index, which is not what it declares."""
    return (x * y).sum() / (x.norm() * y.norm())
'''
Invoke = Callable[..., Any]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, trains: None) -> Path:
    """A folder with a suite, a metric that fails, and the store of their run."""
    from simbench.run.session import run

    folder = tmp_path_factory.mktemp("explained")
    (folder / "tiny.yaml").write_text(SUITE)
    (folder / "mine.py").write_text(MINE)
    with METRICS.isolated():
        mine = str(folder / "mine.py")
        run(str(folder / "tiny.yaml"), metrics=[mine], store=folder / "store", engine="serial", device="cpu")
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The same metric in another folder: its scores are the same."""
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


@pytest.mark.trains
def test_a_failure_is_explained_with_its_worst_violations_and_layers(invoke: Invoke, ran: Path, mine: Path) -> None:
    store = ("--store", ran / "store")
    done = invoke("explain", ran / "tiny.yaml", mine, "moved", *store)
    assert done.exit_code == 0, done.stderr
    assert "tiny@2: unit_cosine on moved" in done.stdout
    assert "✗ fail: the grade is 0." in done.stdout
    assert "✗ orthogonal" in done.stdout
    assert "1. " in done.stdout
    assert "broken comparisons by layer: " in done.stdout
    (verdict,) = json.loads(invoke("explain", ran / "tiny.yaml", mine, "moved", *store, "--json").stdout)["verdicts"]
    assert (verdict["metric"], verdict["test"], verdict["outcome"]) == ("unit_cosine", "moved", "fail")
    assert verdict["violated"] == verdict["asked"] - round(verdict["grade"] * verdict["asked"])
    margins = [violation["by"] for violation in verdict["violations"]]
    assert margins == sorted(margins, reverse=True)
    assert margins[-1] > 0
    assert set(verdict["layers"]) == {"block1", "block2", "block3"}
    assert all(0 < layer["broken"] <= layer["of"] for layer in verdict["layers"].values())
    assert set(verdict["columns"]) == {"moved/permutation", "moved/orthogonal"}


@pytest.mark.trains
def test_a_column_and_a_recorded_run_are_explained_alike(invoke: Invoke, ran: Path, mine: Path) -> None:
    (run,) = json.loads(invoke("runs", "--store", ran / "store", "--json").stdout)["runs"]
    answers = [
        json.loads(invoke("explain", source, metric, "moved/orthogonal", "--store", ran / "store", "--json").stdout)
        for source, metric in ((ran / "tiny.yaml", mine), (run["id"], "unit_cosine"))
    ]
    assert answers[0] == answers[1]
    assert answers[0]["verdicts"][0]["violations"]


@pytest.mark.trains
def test_what_was_not_scored_is_missing_and_the_exit_code_says_so(invoke: Invoke, ran: Path) -> None:
    done = invoke("explain", ran / "tiny.yaml", "cca", "identity", "--store", ran / "store")
    assert done.exit_code == ExitCode.INCOMPLETE
    assert "missing: " in done.stdout


@pytest.mark.trains
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("tiny.yaml", "ckb", "identity"), 'unknown metric "ckb"; did you mean "cka"?'),
        (("tiny.yaml", "cka", "identiy"), 'unknown test "identiy"; did you mean "identity"?'),
        (("tiny.yaml", "cka", "moved/ortho"), 'unknown test of tiny "moved/ortho"; did you mean "moved/orthogonal"?'),
        (("tiny", "cka", "identity"), 'no suite or run "tiny"'),
    ],
)
def test_a_wrong_name_is_one_line(
    invoke: Invoke, ran: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], problem: str
) -> None:
    monkeypatch.chdir(ran)
    done = invoke("explain", *arguments, "--store", ran / "store")
    assert done.exit_code == ExitCode.USAGE
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.trains
def test_runs_are_listed_with_their_verdicts(invoke: Invoke, ran: Path) -> None:
    document = json.loads(invoke("runs", "tiny", "--store", ran / "store", "--json").stdout)
    (run,) = document["runs"]
    assert (run["suite"], run["version"], run["metrics"]) == ("tiny", 2, ["cka", "unit_cosine"])
    assert run["time"].endswith("+00:00")
    assert sum(run["verdicts"].values()) == len(run["metrics"]) * len(run["tests"])
    assert run["verdicts"]["not promised"] == 1  # unit_cosine, scaled: its grade is perfect, and counts nowhere
    shown = invoke("runs", "--store", ran / "store").stdout
    assert run["id"] in shown
    assert "tiny@2" in shown
    assert " 1·" in shown
    assert invoke("runs", "sanity", "--store", ran / "store").stdout.startswith("no runs of sanity in ")


def test_a_damaged_run_is_a_warning_and_hides_no_other(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "store" / "runs").mkdir(parents=True)
    (tmp_path / "store" / "runs" / "x-20260101T000000-abcdef.json").write_text("{")
    done = invoke("runs", "--store", tmp_path / "store")
    assert done.exit_code == 0
    assert "x-20260101T000000-abcdef.json" in done.stderr
    assert done.stdout.startswith("no runs in ")


@pytest.mark.trains
def test_run_names_the_columns_that_fail(invoke: Invoke, ran: Path, mine: Path) -> None:
    again = ("--store", ran / "store", "--engine", "serial", "--device", "cpu")
    done = invoke("run", ran / "tiny.yaml", "-m", mine, *again)
    lines = [line for line in done.stdout.splitlines() if line.startswith("fails ")]
    assert [line.split()[1:3] for line in lines] == [["unit_cosine", "moved:"]]
    assert "orthogonal ✗ 0." in lines[0]


def test_an_explanation_of_a_board_made_by_hand(board: Board, evidence: Evidence) -> None:
    broken = explain(board, evidence, "confused", "identity")
    assert (broken.violated, broken.asked) == (1, 1)
    assert [(violation.where, violation.by) for violation in broken.violations] == [
        ("cnn/0 block1 → cnn/0 block2", pytest.approx(0.1))
    ]
    assert {layer: number for layer, (number, _) in broken.layers.items()} == {"block1": 1, "block2": 1}
    with pytest.raises(UnknownNameError, match='unknown metric of this board "confusd"; did you mean "confused"'):
        explain(board, evidence, "confusd", "identity")
    skipped = explain(board, evidence, "headed", "correspondence").to_dict()
    assert (skipped["in_words"], skipped["violations"]) == ("skip: does not apply", [])


def test_failing_columns_are_those_that_are_owed(board: Board) -> None:
    assert sorted(failing_columns(board)) == [
        ("confused", "invariance", ["invertible_linear ✗ 0.000"]),
        ("far", "invariance", ["invertible_linear ✗ 0.400"]),
    ]
