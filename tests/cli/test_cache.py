"""`simbench cache`: sizes, explanations, and pruning that is a dry run unless it is confirmed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.run.conftest import TINY
from typer.testing import CliRunner

import simbench
from simbench.cli.main import build_app
from simbench.registry import METRICS
from simbench.results.inventory import KINDS, inventory
from simbench.results.store import Store
from simbench.run.session import run


def invoke(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(build_app(), ["cache", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def document(*arguments: str) -> dict[str, Any]:
    code, output, _ = invoke(*arguments, "--json")
    assert code == 0
    parsed: dict[str, Any] = json.loads(output)
    assert parsed["schema_version"] == 1
    return parsed


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.replace("epochs: 2, learning_rate", "epochs: 0, learning_rate").replace("stitch_task", "cka"))
    path.write_text(path.read_text().replace("[cka, {name: cka, epochs: 2}]", "[cka]"))
    return path


@pytest.fixture(autouse=True)
def registered_metrics_are_forgotten() -> Iterator[None]:
    with METRICS.isolated():
        yield


@pytest.fixture
def complete(suite: Path, tmp_path: Path, trains: None) -> Path:
    store = tmp_path / "store"
    run(str(suite), store=store, engine="serial", device="cpu")
    return store


def test_sizes_are_those_of_the_files(complete: Path) -> None:
    sizes = document("--store", str(complete))
    assert list(sizes["kinds"]) == list(KINDS)
    files = [path for path in complete.rglob("*") if path.is_file()]
    assert sizes["total"]["bytes"] == sum(path.stat().st_size for path in files)
    assert sizes["kinds"]["models"]["count"] == 2
    code, output, _ = invoke("--store", str(complete))
    assert code == 0
    assert output.splitlines()[0] == str(complete)
    assert [line.split()[0] for line in output.splitlines()[1:]] == [*KINDS, "total"]


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert document("--store", str(tmp_path / "none"))["total"] == {"count": 0, "bytes": 0}
    assert not (tmp_path / "none").exists()


def test_nothing_is_removed_without_yes(suite: Path, complete: Path) -> None:
    before = sorted(complete.rglob("*"))
    wanted = document("--store", str(complete), "--suite", str(suite))["would_remove"]
    assert {entry["kind"] for entry in wanted} == {"models", "activations", "scores"}
    code, output, _ = invoke("--store", str(complete), "--suite", str(suite))
    assert (code, output.splitlines()[-1]) == (0, "nothing is removed yet: --yes removes it")
    assert sorted(complete.rglob("*")) == before


def test_orphans_of_a_suite_are_removed_and_what_it_needs_stays(suite: Path, complete: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(suite.read_text().replace("seeds: [0, 1]", "seeds: [2]"))
    run(str(other), store=complete, engine="serial", device="cpu")
    done = document("--store", str(complete), "--suite", str(suite), "--orphans", "--yes")
    assert sum(entry["kind"] == "models" for entry in done["removed"]) == 1
    again = run(str(suite), store=complete, engine="serial", device="cpu")
    assert (again.work.trained, again.work.scored) == (0, 0)
    assert run(str(other), store=complete, engine="serial", device="cpu").work.trained == 1


def test_by_age(suite: Path, complete: Path) -> None:
    assert document("--store", str(complete), "--older-than", "30d")["would_remove"] == []
    for path in complete.rglob("*"):
        os.utime(path, (1e9, 1e9))
    done = document("--store", str(complete), "--older-than", "30d", "--yes")["removed"]
    assert {entry["kind"] for entry in done} == {"models", "activations", "scores", "provenance"}
    assert {item.kind for item in inventory(Store(complete))} == {"runs"}
    assert run(str(suite), store=complete, engine="serial", device="cpu").complete


def test_a_key_is_explained_as_text_and_as_json(suite: Path, complete: Path) -> None:
    key = next(iter(Store(complete).scores("cka@1")))
    explained = document("--store", str(complete), "--suite", str(suite), "--explain", key)
    assert (explained["key"], explained["kind"]) == (key, "score")
    assert explained["depends_on"]["b"]["probe"]["inputs"]["dataset"]["name"] == "digits"
    assert explained["stored"][0]["status"] == "ok"
    assert f"score {key}: cka" in invoke("--store", str(complete), "--explain", key)[1]
    for folder, kind in (("models", "model"), ("activations", "activations")):
        stored = [item.key for item in inventory(Store(complete)) if item.kind == folder]
        assert document("--store", str(complete), "--explain", stored[0])["kind"] == kind


def test_a_run_under_way_loses_nothing(suite: Path, complete: Path) -> None:
    done: list[dict[str, Any]] = []

    @simbench.metric("pruning", higher_is_more_similar=True, version=1)
    def pruning(x: Any, y: Any) -> float:
        if not done:
            done.append(document("--store", str(complete)))
            done.append(document("--store", str(complete), "--suite", str(suite), "--yes"))
        return float((x * y).mean())

    result = run(str(suite), metrics=[pruning], store=complete, engine="serial", device="cpu")
    assert [run["suite"] for run in done[0]["runs_under_way"]] == ["tiny@1"]
    assert done[1]["removed"] == []
    assert {entry["kind"] for entry in done[1]["in_use"]} == {"models", "activations", "scores"}
    assert result.complete
    assert document("--store", str(complete))["runs_under_way"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--orphans"], "--orphans needs --suite"),
        (["--metric", "cka"], "--metric needs --suite"),
        (["--yes"], "--yes needs what to remove"),
        (["--explain", "abcdef", "--yes"], "--yes needs what to remove"),
        (["--explain", "abcdef", "--older-than", "1d"], "--explain removes nothing"),
        (["--explain", "abcdef"], 'unknown key "abcdef"'),
        (["--older-than", "soon"], "is not an age"),
        (["--kind", "model"], 'did you mean "models"?'),
        (["--suite", "quikc"], 'did you mean "quick"?'),
    ],
)
def test_what_makes_no_sense_is_said(arguments: list[str], message: str, tmp_path: Path) -> None:
    code, output, messages = invoke("--store", str(tmp_path), *arguments)
    assert (code, output) == (2, "")
    assert message in messages
