"""Killed or interrupted, a run loses at most what was under way, leaves no process behind, and can go on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SLOW_METRIC = """\
import time
import simbench

@simbench.metric("sleepy", version=1, higher_is_more_similar=True, needs={"fit"}, cost="heavy")
def sleepy(a, b):
    time.sleep(0.25)
    return float((a.matrix * b.matrix).mean())
"""


@pytest.fixture
def sleepy(tmp_path: Path) -> Path:
    path = tmp_path / "sleepy.py"
    path.write_text(SLOW_METRIC)
    return path


def start(tiny: Path, store: Path, metric: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "simbench.cli.main", "run", str(tiny), "--metric", str(metric)]
    return subprocess.Popen(
        [*command, "--store", str(store), "--only", "identity", "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def wait_for_blocks(store: Path, count: int, metric: str = "sleepy@1") -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = len(list((store / "scores" / metric).glob("*.json"))) if (store / "scores" / metric).is_dir() else 0
        if found >= count:
            return found
        time.sleep(0.05)
    raise TimeoutError(f"no {count} blocks of {metric} in {store}")


def processes_of(store: Path) -> list[int]:
    """Processes whose command line or open files mention the store's driver session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(store).encode() in environment:
                found.append(int(entry.name))
    return found


def finish(tiny: Path, store: Path, metric: Path) -> tuple[int, int]:
    """Run to the end; returns (new scores, cached scores)."""
    process = start(tiny, store, metric)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 0, messages
    match = re.search(r"took (\d+) scores \((\d+) cached\)", messages)
    assert match is not None, messages
    return int(match[1]), int(match[2])


def test_kill_9_loses_at_most_the_blocks_under_way(tiny: Path, store: Path, sleepy: Path) -> None:
    process = start(tiny, store, sleepy)
    wait_for_blocks(store, 2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    time.sleep(1.5)  # what the orphaned workers had under way
    stored = len(list((store / "scores" / "sleepy@1").glob("*.json")))
    new, cached = finish(tiny, store, sleepy)
    assert stored >= 2
    assert cached >= 3 * stored  # a block of this suite holds the three senders of one receiving layer
    assert new + cached == finish_counts(tiny, store, sleepy)


def finish_counts(tiny: Path, store: Path, metric: Path) -> int:
    """All scores of the run, once nothing is left to do."""
    process = start(tiny, store, metric)
    _, messages = process.communicate(timeout=300)
    match = re.search(r"nothing to do: \d+ models and (\d+) scores were in the store", messages)
    assert match is not None, messages
    return int(match[1])


def test_no_worker_outlives_a_killed_driver(
    tiny: Path, store: Path, sleepy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMBENCH_TEST_MARK", str(store))
    process = start(tiny, store, sleepy)
    wait_for_blocks(store, 1)
    assert len(processes_of(store)) > 1
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 20
    mine = os.getpid()
    while [pid for pid in processes_of(store) if pid != mine] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in processes_of(store) if pid != mine] == []


def test_ctrl_c_stops_at_once_says_so_and_loses_nothing_stored(tiny: Path, store: Path, sleepy: Path) -> None:
    process = start(tiny, store, sleepy)
    wait_for_blocks(store, 2)
    os.killpg(process.pid, signal.SIGINT)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in messages
    assert "Traceback" not in messages
    _, cached = finish(tiny, store, sleepy)
    assert cached >= 6


def test_two_runs_may_share_a_store_at_the_same_time(tiny: Path, store: Path, sleepy: Path) -> None:
    both = [start(tiny, store, sleepy) for _ in range(2)]
    for process in both:
        _, messages = process.communicate(timeout=300)
        assert process.returncode == 0, messages
    assert finish_counts(tiny, store, sleepy) > 0


def test_a_ten_line_metric_appears_on_the_leaderboard(tiny: Path, store: Path, tmp_path: Path) -> None:
    mine = tmp_path / "my_metric.py"
    mine.write_text(
        textwrap.dedent(
            '''
            import simbench

            @simbench.metric("mean_cosine", higher_is_more_similar=True, symmetric=True)
            def mean_cosine(x, y):
                """Mean cosine of the rows' inner products."""
                a, b = x @ x.T, y @ y.T
                return (a * b).sum() / (a.norm() * b.norm())
            '''
        )
    )
    process = start(tiny, store, mine)
    table, messages = process.communicate(timeout=300)
    assert process.returncode == 0, messages
    assert "mean_cosine" in table
    assert "cka" in table
