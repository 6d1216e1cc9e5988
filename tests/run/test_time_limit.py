"""A metric that hangs is stopped at the time limit: its scores are timeouts, and all others are what they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from simbench.cli.main import build_app
from simbench.grading import stored_records
from simbench.publish.markdown import to_markdown
from simbench.registry import METRICS
from simbench.results.record import ScoreRecord
from simbench.results.store import Store
from simbench.run.events import Computing, Event, Warned
from simbench.run.materials import TIME_LIMIT
from simbench.run.session import RunResult, prepare, run

# Seconds, many more than a metric that does not hang takes.
LIMIT = 4.0
# Hangs in Python code, or in C code that holds the interpreter, as the file beside it says.
HANGING = """\
import ctypes, pathlib, time
import simbench

@simbench.metric("hanging", version=1, higher_is_more_similar=True, family="CKA")
def hanging(x, y):
    how = pathlib.Path(__file__).with_suffix(".txt").read_text()
    while how == "python":
        try:
            time.sleep(0.01)
        except Exception:
            pass
    if how == "c":
        ctypes.PyDLL(None).sleep(600)
    return 0.5
"""


@pytest.fixture
def hanging(tmp_path: Path) -> Path:
    path = tmp_path / "hanging.py"
    path.write_text(HANGING)
    hang(path, "")
    return path


def hang(metric: Path, how: str) -> None:
    """Let the metric hang from now on, in all processes; not at all if `how` is empty."""
    metric.with_suffix(".txt").write_text(how)


def run_with(tiny: Path, metric: Path, store: Path, **options: Any) -> tuple[RunResult, dict[str, list[ScoreRecord]]]:
    for name in [name for name in sys.modules if name.startswith("simbench_file_")]:
        del sys.modules[name]  # the file is read again, as by another process
    with METRICS.isolated():
        result = run(
            str(tiny),
            metrics=["cka", str(metric), "cka_debiased"],
            suite_metrics=False,
            store=store,
            only=["identity"],
            **options,
        )
        kept = stored_records(
            prepare(str(tiny), ["cka", str(metric), "cka_debiased"], ["identity"], suite_metrics=False), Store(store)
        )
    return result, {label: list(records.values()) for label, records in kept.items()}


def values(records: dict[str, list[ScoreRecord]]) -> dict[str, list[float | None]]:
    return {label: [record.value for record in found] for label, found in records.items()}


@pytest.mark.parametrize(
    ("engine", "how"),
    [
        ("serial", "python"),
        pytest.param("processes", "python", marks=pytest.mark.process),
        pytest.param("processes", "c", marks=pytest.mark.process),
    ],
)
def test_a_hanging_metric_has_timeouts_and_is_tried_again(
    tiny: Path, store: Path, hanging: Path, monkeypatch: pytest.MonkeyPatch, engine: str, how: str
) -> None:
    _, before = run_with(tiny, hanging, store, engine="serial")  # so that nothing but the scores is left to do
    hang(hanging, how)
    monkeypatch.setattr("simbench.run.worker.SECONDS_TO_STOP", 0.5)
    events: list[Event] = []
    options: dict[str, Any] = {"engine": engine, "jobs": 1, "force": True}
    _, after = run_with(tiny, hanging, store, time_limit=LIMIT, listener=events.append, **options)
    # a value that was stored before counts, as after an error
    assert values(after) == values(before)
    warned = [event.message for event in events if isinstance(event, Warned)]
    limit = "stopped at the limit of 4 s; --time-limit SECONDS gives it longer"
    assert len(warned) == 1
    assert warned[0].startswith("hanging, ")
    assert warned[0].endswith(limit)
    assert any(isinstance(event, Computing) and str(event.what).startswith("hanging, ") for event in events)


def test_the_status_reaches_every_form_of_the_board(tiny: Path, store: Path, hanging: Path) -> None:
    hang(hanging, "python")
    result, records = run_with(tiny, hanging, store, engine="serial", time_limit=LIMIT)
    assert {record.status for record in records["hanging"]} == {"timeout"}
    assert not any(record.settled for record in records["hanging"])
    (reason,) = {record.reason for record in records["hanging"]}
    assert str(reason).startswith("hanging, ")
    assert {record.status for label in ("cka", "cka_debiased") for record in records[label]} == {"ok"}
    assert not result.complete
    assert int(result.exit_code()) == 3
    verdict = next(r.row.verdicts["identity"] for r in result.board.rows if r.row.metric.label == "hanging")
    assert (verdict.status, verdict.grade, verdict.passed) == ("timeout", None, None)
    assert str(verdict.reason).startswith(
        "12 of 12 timeout: mlp/0 block1: hanging, 22 scores: stopped at the limit of 4 s"
    )
    document = json.dumps(result.to_dict())
    page = result._repr_html_()
    for form in (document, page, to_markdown(result.board)):
        assert "timeout" in form
    arguments = [
        "run",
        str(tiny),
        "--metric",
        str(hanging),
        "--store",
        str(store),
        "--only",
        "identity",
        "--no-suite-metrics",
    ]
    for name in [name for name in sys.modules if name.startswith("simbench_file_")]:
        del sys.modules[name]  # the file is read again, as by another process
    with METRICS.isolated():
        shown = CliRunner().invoke(
            build_app(), [*arguments, "--store", str(store), "--engine", "serial", "--time-limit", str(LIMIT)]
        )
    assert shown.exit_code == 3
    assert "timeout" in shown.stdout
    assert "hanging" in shown.stderr
    hang(hanging, "")
    again, records = run_with(tiny, hanging, store, engine="serial")
    assert (again.work.scored, again.complete) == (len(records["hanging"]), True)
    assert {record.value for record in records["hanging"]} == {0.5}


@pytest.mark.parametrize("given", ["0", "-1", "soon"])
def test_a_limit_that_is_no_time_is_refused(given: str) -> None:
    shown = CliRunner().invoke(build_app(), ["run", "quick", "--time-limit", given])
    assert shown.exit_code == 2
    assert "--time-limit" in shown.output


def test_the_limit_is_far_beyond_the_longest_block_of_a_built_in_metric() -> None:
    """The longest of a published board: `cka(calibrate=permutation)`, all of whose scores are one block."""
    boards = Path(__file__).parents[2].joinpath("leaderboard").glob("*/leaderboard.json")
    longest = max(
        row["seconds"]
        for board in boards
        for row in json.loads(board.read_text())["rows"]
        if row["declaration"]["cost"] != "heavy"
    )
    assert 10 * longest < TIME_LIMIT
