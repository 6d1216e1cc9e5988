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
from typer.testing import CliRunner

from simbench.cli.main import build_app
from simbench.registry import METRICS

pytestmark = pytest.mark.process

# Environment variables: seconds that the slow metric sleeps; a mark by which the processes of a store are found.
SECONDS = "SIMBENCH_TEST_SECONDS"
MARK = "SIMBENCH_TEST_MARK"
SLOW_METRIC = f"""\
import os, time
import simbench

@simbench.metric("sleepy", version=1, higher_is_more_similar=True, needs={{"fit"}}, cost="heavy")
def sleepy(a, b):
    time.sleep(float(os.environ.get("{SECONDS}", "0")))
    return float((a.matrix * b.matrix).mean())
"""


@pytest.fixture
def sleepy(tmp_path: Path) -> Path:
    path = tmp_path / "sleepy.py"
    path.write_text(SLOW_METRIC)
    return path


def arguments(tiny: Path, store: Path, metric: Path) -> list[str]:
    return ["run", str(tiny), "--metric", str(metric), "--store", str(store), "--only", "identity"]


def start(tiny: Path, store: Path, metric: Path) -> subprocess.Popen[str]:
    """Start a run in processes of its own, whose metric is slow."""
    return subprocess.Popen(
        [sys.executable, "-m", "simbench.cli.main", *arguments(tiny, store, metric), "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "COLUMNS": "200", SECONDS: "0.25", MARK: str(store)},
    )


STUCK_METRIC = f"""\
import ctypes, os, signal, time
import simbench

@simbench.metric("stuck", version=1, higher_is_more_similar=True)
def stuck(x, y):
    if not os.environ.get("{SECONDS}"):
        return 0.5
    open(os.environ["{MARK}"] + ".began", "w").close()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        ctypes.PyDLL(None).sleep(600)  # holds the interpreter
"""


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    path = tmp_path / "stuck.py"
    path.write_text(STUCK_METRIC)
    return path


def start_until_stuck(tiny: Path, store: Path, metric: Path) -> subprocess.Popen[str]:
    """Start a run, and wait until its metric holds the interpreter of a worker, for good."""
    process = start(tiny, store, metric)
    deadline = time.monotonic() + 120
    while not Path(f"{store}.began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def in_this_process(tiny: Path, store: Path, metric: Path) -> tuple[str, str]:
    """Run to the end, with nothing slow; return the table and the messages."""
    for name in [name for name in sys.modules if name.startswith("simbench_file_")]:
        del sys.modules[name]  # the file is read again, as by another process
    with METRICS.isolated():
        done = CliRunner().invoke(build_app(), [*arguments(tiny, store, metric), "--engine", "serial"])
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def wait_for_blocks(store: Path, count: int, metric: str = "sleepy@1") -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = len(list((store / "scores" / metric).glob("*.json"))) if (store / "scores" / metric).is_dir() else 0
        if found >= count:
            return found
        time.sleep(0.05)
    raise TimeoutError(f"no {count} blocks of {metric} in {store}")


def processes_of(store: Path) -> list[int]:
    """Return the processes that carry the mark of this store in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"{MARK}={store}".encode() in environment:
                found.append(int(entry.name))
    return found


def wait_for_the_end_of_all(store: Path) -> None:
    deadline = time.monotonic() + 20
    while processes_of(store) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(store) == []


def finish(tiny: Path, store: Path, metric: Path) -> tuple[int, int]:
    """Run to the end; return (new scores, cached scores)."""
    _, messages = in_this_process(tiny, store, metric)
    match = re.search(r"took (\d+) scores \((\d+) cached\)", messages)
    assert match is not None, messages
    return int(match[1]), int(match[2])


def count_scores(tiny: Path, store: Path, metric: Path) -> int:
    """Return the number of all scores of the run, once nothing is left to do."""
    _, messages = in_this_process(tiny, store, metric)
    match = re.search(r"nothing to do: \d+ models and (\d+) scores were in the store", messages)
    assert match is not None, messages
    return int(match[1])


def test_kill_9_loses_at_most_the_blocks_under_way(tiny: Path, store: Path, sleepy: Path) -> None:
    process = start(tiny, store, sleepy)
    wait_for_blocks(store, 2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for_the_end_of_all(store)  # what the orphaned workers had under way
    stored = len(list((store / "scores" / "sleepy@1").glob("*.json")))
    new, cached = finish(tiny, store, sleepy)
    assert stored >= 2
    assert cached >= 3 * stored  # a block of this suite holds the three senders of one receiving layer
    assert new + cached == count_scores(tiny, store, sleepy)


def test_no_worker_outlives_a_killed_driver(tiny: Path, store: Path, sleepy: Path) -> None:
    process = start(tiny, store, sleepy)
    wait_for_blocks(store, 1)
    assert len(processes_of(store)) > 1
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for_the_end_of_all(store)


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


def test_no_stuck_worker_outlives_a_killed_driver(tiny: Path, store: Path, stuck: Path) -> None:
    process = start_until_stuck(tiny, store, stuck)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for_the_end_of_all(store)


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_ends_a_stuck_run(tiny: Path, store: Path, stuck: Path, times: int) -> None:
    process = start_until_stuck(tiny, store, stuck)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
    # a few seconds on a quiet machine; what is stuck would never end
    _, messages = process.communicate(timeout=120)
    assert (process.returncode, "interrupted" in messages, "Traceback" in messages) == (130, True, False), messages
    wait_for_the_end_of_all(store)
    assert [path for path in store.rglob("*") if path.name.endswith(".tmp")] == []


def test_two_runs_may_share_a_store_at_the_same_time(tiny: Path, store: Path, sleepy: Path) -> None:
    both = [start(tiny, store, sleepy) for _ in range(2)]
    for process in both:
        _, messages = process.communicate(timeout=300)
        assert process.returncode == 0, messages
    assert count_scores(tiny, store, sleepy) > 0


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
    table, _ = in_this_process(tiny, store, mine)
    assert "mean_cosine" in table
    assert "cka" in table
