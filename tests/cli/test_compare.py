"""compare, and run --baseline: a run held against another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simbench.errors import ExitCode
from simbench.registry import METRICS

SUITE = """\
suite: tiny
version: {version}
probe: {{dataset: digits, split: test, inputs: 60, fit: {{split: train, inputs: 120}}}}
models:
  mlp:
    architecture: {{name: mlp, width: 8, depth: 3}}
    train: {{dataset: digits, epochs: 1, learning_rate: 0.01}}
    seeds: [0, 1, 2, 3, 4]
metrics: [cka, procrustes]
tests:
  - {{id: identity, kind: identity, models: [mlp]}}
  - {{id: mixing, kind: invariance, models: [mlp], layers: [block2], transforms: [orthogonal], pass_if: "< 0.1"}}
  - {{id: outputs, kind: output_correlation, models: [mlp]}}
"""
Invoke = Callable[..., Any]
OUTCOMES = ("pass", "fail", "undecided", "partly", "not promised", "skip", "error")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, trains: None) -> Path:
    """A folder with a suite, the store of its run, and the run's document."""
    from simbench.run.session import run

    folder = tmp_path_factory.mktemp("compared")
    (folder / "tiny.yaml").write_text(SUITE.format(version=1))
    with METRICS.isolated():
        result = run(str(folder / "tiny.yaml"), store=folder / "store", engine="serial", device="cpu")
    (folder / "run.json").write_text(json.dumps(result.to_dict()))
    return folder


def tampered(ran: Path, metric: str, test: str, *, grade: float, passed: bool) -> Path:
    """The run's document with another verdict: a baseline that this run does not hold."""
    document = json.loads((ran / "run.json").read_text())
    row = next(row for row in document["rows"] if row["metric"] == metric)
    row["tests"][test] |= {"grade": grade, "passed": passed}
    path = ran / f"baseline-{metric}-{test}.json".replace("/", "-")
    path.write_text(json.dumps(document))
    return path


def test_a_run_against_itself_differs_in_nothing(invoke: Invoke, ran: Path) -> None:
    result = invoke("compare", ran / "run.json", ran / "run.json", "--json")
    assert result.exit_code == ExitCode.OK
    found = json.loads(result.stdout)
    tests = ["identity", "mixing", "mixing/orthogonal", "outputs"]
    tests += [f"outputs/{variable}" for variable in ("accuracy_difference", "jensen_shannon", "disagreement")]
    asked = {(metric, test) for metric in ("cka", "procrustes") for test in tests}
    assert {(one["metric"], one["test"]) for one in found["differences"]} == asked
    assert found["only_in"] == {"first": [], "second": []}
    assert {tuple(one["outcomes"]) for one in found["differences"]} <= {(o, o) for o in OUTCOMES}
    assert any(mark in invoke("compare", ran / "run.json", ran / "run.json").stdout for mark in "✓✗?")
    for one in found["differences"]:
        low, high = one["interval"]
        assert (one["difference"], one["worse"]) == (0.0, False)
        assert low <= 0 <= high


def test_a_run_is_found_by_its_id(invoke: Invoke, ran: Path) -> None:
    run_id = next((ran / "store" / "runs").glob("*.json")).stem
    result = invoke("compare", run_id, ran / "run.json", "--store", ran / "store", "-m", "cka")
    assert result.exit_code == ExitCode.OK
    assert "identity" in result.stdout


def test_a_changed_digit_in_a_stored_run_is_refused(invoke: Invoke, ran: Path, tmp_path: Path) -> None:
    (stored,) = (ran / "store" / "runs").glob("*.json")
    damaged, formatted = tmp_path / "damaged.json", tmp_path / "formatted.json"
    damaged.write_text(stored.read_text().replace('"comparisons": 3', '"comparisons": 4').replace(": 1.0", ": 0.9"))
    assert damaged.read_text() != stored.read_text()
    formatted.write_text(json.dumps(json.loads(stored.read_text())))
    assert invoke("compare", stored, formatted).exit_code == ExitCode.OK
    result = invoke("compare", stored, damaged)
    assert result.exit_code == ExitCode.USAGE
    assert result.stderr == f"error: {damaged}: not the document of a run: fails its checksum\n"


def test_two_metrics_of_one_run(invoke: Invoke, ran: Path) -> None:
    result = invoke("compare", ran / "run.json", ran / "run.json", "-m", "cka", "--against", "procrustes", "--json")
    assert {(one["metric"], one["other"]) for one in json.loads(result.stdout)["differences"]} == {
        ("cka", "procrustes")
    }


def test_a_difference_of_correlations_has_an_interval_around_it(invoke: Invoke, ran: Path) -> None:
    result = invoke("compare", ran / "run.json", ran / "run.json", "-m", "cka", "--against", "procrustes", "--json")
    (found,) = [one for one in json.loads(result.stdout)["differences"] if one["test"] == "outputs"]
    assert found["difference"] == pytest.approx(found["second"] - found["first"])
    low, high = found["interval"]
    assert -1 <= low <= found["difference"] <= high <= 1
    assert low < high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "run.json"], 'no run "nothing"'),
        (["run.json", "tiny.yaml"], "not the document of a run"),
        (["run.json", "run.json", "-m", "ckaa"], 'did you mean "cka"'),
        (["run.json", "run.json", "--against", "cka"], "--against needs --metric"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    invoke: Invoke, ran: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(ran)
    result = invoke("compare", *arguments)
    assert result.exit_code == ExitCode.USAGE
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def changed(ran: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """The run's document with something else in it."""
    document = json.loads((ran / "run.json").read_text())
    change(document)
    (ran / name).write_text(json.dumps(document))
    return ran / name


def test_what_only_one_run_has_is_said(invoke: Invoke, ran: Path) -> None:
    fewer = changed(ran, "fewer.json", lambda document: document["rows"].pop(0))
    gone = json.loads((ran / "run.json").read_text())["rows"][0]["metric"]
    assert f"only in the first: {gone}" in invoke("compare", ran / "run.json", fewer).stdout
    assert json.loads(invoke("compare", fewer, ran / "run.json", "--json").stdout)["only_in"] == {
        "first": [],
        "second": [gone],
    }


def test_a_test_that_passes_otherwise_is_another_test(invoke: Invoke, ran: Path) -> None:
    def lower(document: dict[str, Any]) -> None:
        document["columns"][0]["pass_if"] = ">= 0"

    result = invoke("compare", ran / "run.json", changed(ran, "lower.json", lower))
    assert result.exit_code == ExitCode.USAGE
    assert "pass_if is '>= 0.95' in one and '>= 0' in the other; a suite that changes needs another" in result.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document["rows"][0]["tests"].pop("mixing"), "has no entry for mixing"),
        (lambda document: document["rows"].clear(), "has no metrics"),
        (lambda document: document["columns"][0].update(pass_if=">= 0"), "pass_if is '>= 0' in one and '>= 0.95' in"),
    ],
)
def test_a_damaged_baseline_is_refused_before_anything_runs(
    invoke: Invoke, ran: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    damaged = changed(ran, "damaged.json", change)
    result = invoke("run", ran / "tiny.yaml", "--store", ran / "untouched", "--baseline", damaged)
    assert result.exit_code == ExitCode.USAGE
    assert message in result.stderr
    assert not (ran / "untouched").exists()


def held_against(invoke: Invoke, ran: Path, baseline: Path) -> Any:
    return invoke(
        *("run", ran / "tiny.yaml", "--store", ran / "store", "--engine", "serial", "--device", "cpu"),
        *("--fail-on", "worse", "--baseline", baseline),
    )


def test_a_run_holds_its_own_baseline(invoke: Invoke, ran: Path) -> None:
    assert held_against(invoke, ran, ran / "run.json").exit_code == ExitCode.OK


def test_a_run_that_lost_a_pass_fails_and_says_which(invoke: Invoke, ran: Path) -> None:
    result = held_against(invoke, ran, tampered(ran, "cka", "mixing", grade=0.0, passed=True))
    assert result.exit_code == ExitCode.VERDICT_FAILED
    assert "worse: cka, mixing: passed with 0 in the baseline, now" in result.stderr


def test_a_run_that_lost_a_column_of_a_test_that_failed_anyway_is_worse(invoke: Invoke, ran: Path) -> None:
    column = tampered(ran, "cka", "mixing/orthogonal", grade=0.0, passed=True)
    result = held_against(invoke, ran, column)
    assert result.exit_code == ExitCode.VERDICT_FAILED
    assert "worse: cka, mixing/orthogonal: passed with 0 in the baseline, now" in result.stderr
    assert "worse: cka, mixing:" not in result.stderr


def test_a_run_that_fails_says_what(invoke: Invoke, ran: Path) -> None:
    stored = ("run", ran / "tiny.yaml", "--store", ran / "store", "--engine", "serial", "--device", "cpu")
    result = invoke(*stored, "--fail-on", "fail")
    assert result.exit_code == ExitCode.VERDICT_FAILED
    assert "failed: cka: mixing" in result.stderr


def test_only_the_metrics_given_are_scored_where_the_suites_are_not_wanted(invoke: Invoke, ran: Path) -> None:
    stored = ("run", ran / "tiny.yaml", "--store", ran / "store", "--engine", "serial", "--device", "cpu")
    result = invoke(*stored, "--no-suite-metrics", "-m", "cca", "--only", "identity", "--fail-on", "fail", "--json")
    assert result.exit_code == ExitCode.OK, result.stderr
    assert [row["metric"] for row in json.loads(result.stdout)["rows"]] == ["cca"]
    nothing = invoke(*stored, "--no-suite-metrics")
    assert (nothing.exit_code, nothing.stdout) == (ExitCode.USAGE, "")
    assert "nothing to score: give one by --metric" in nothing.stderr


def test_a_run_that_gained_a_pass_holds(invoke: Invoke, ran: Path) -> None:
    assert held_against(invoke, ran, tampered(ran, "cka", "identity", grade=0.1, passed=False)).exit_code == ExitCode.OK


def test_a_baseline_of_another_suite_is_refused_before_anything_runs(invoke: Invoke, ran: Path) -> None:
    (ran / "other.yaml").write_text(SUITE.format(version=2))
    result = invoke("run", ran / "other.yaml", "--store", ran / "new", "--baseline", ran / "run.json")
    assert result.exit_code == ExitCode.USAGE
    assert "tiny@1, not of tiny@2" in result.stderr
    assert not (ran / "new").exists()


def test_worse_needs_a_baseline(invoke: Invoke, ran: Path) -> None:
    result = invoke("run", ran / "tiny.yaml", "--fail-on", "worse")
    assert result.exit_code == ExitCode.USAGE
    assert "--baseline FILE" in result.stderr
