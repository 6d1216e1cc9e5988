"""Engines: every task ends in exactly one outcome, and nobody pays for somebody else's crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from simbench.errors import SimbenchError
from simbench.run.engines import Engine, Outcome, ProcessEngine, SerialEngine, Task, make_engine, report_progress


def double(x: int) -> int:
    report_progress(1)
    return 2 * x


def fail(message: str) -> None:
    raise ValueError(message)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(marker: Path) -> str:
    if not marker.exists():
        marker.touch()
        die()
    return "second try"


def slow(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def outcomes(engine: Engine, tasks: list[Task]) -> dict[str, Outcome]:
    try:
        ended = list(engine.run(tasks, lambda name, units: None))
    finally:
        engine.close()
    assert len(ended) == len(tasks)
    return {outcome.task.name: outcome for outcome in ended}


@pytest.fixture(params=["serial", pytest.param("processes", marks=pytest.mark.process)])
def engine(request: pytest.FixtureRequest) -> Engine:
    return make_engine(request.param, 2)


def test_every_task_gives_its_value(engine: Engine) -> None:
    found = outcomes(engine, [Task(str(x), double, (x,)) for x in range(5)])
    assert {name: outcome.value for name, outcome in found.items()} == {str(x): 2 * x for x in range(5)}


def test_an_exception_is_a_reason_and_leaves_the_others_alone(engine: Engine) -> None:
    found = outcomes(engine, [Task("bad", fail, ("no such luck",)), Task("good", double, (1,))])
    assert found["bad"].reason == "ValueError: no such luck"
    assert "Traceback" in found["bad"].details
    assert found["good"].value == 2


def test_an_exit_is_a_reason_too(engine: Engine) -> None:
    found = outcomes(engine, [Task("leaving", sys.exit, (0,)), Task("good", double, (1,))])
    assert found["leaving"].reason == "SystemExit: 0"
    assert found["good"].value == 2


def interrupt() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_in_a_task_of_this_process_is_no_outcome() -> None:
    with pytest.raises(KeyboardInterrupt):
        outcomes(SerialEngine(), [Task("interrupted", interrupt, ())])


def test_progress_reaches_the_driver_with_the_tasks_name(engine: Engine) -> None:
    heard: list[tuple[str, float]] = []
    try:
        list(engine.run([Task("a", double, (1,)), Task("b", double, (2,))], lambda *said: heard.append(said)))
        list(engine.run([Task("c", slow, (0.3,))], lambda *said: heard.append(said)))
    finally:
        engine.close()
    assert sorted(heard) == [("a", 1), ("b", 1)]


@pytest.mark.process
def test_only_the_task_that_kills_its_worker_twice_has_failed() -> None:
    tasks = [Task("killer", die, ()), *(Task(str(x), double, (x,)) for x in range(4))]
    found = outcomes(ProcessEngine(2), tasks)
    assert "died twice" in str(found["killer"].reason)
    assert all(found[str(x)].value == 2 * x for x in range(4))


@pytest.mark.process
def test_a_worker_that_dies_once_is_replaced_and_its_task_tried_again(tmp_path: Path) -> None:
    found = outcomes(ProcessEngine(1), [Task("unlucky", die_once, (tmp_path / "died",))])
    assert found["unlucky"].value == "second try"


def test_a_simbench_error_is_told_in_its_own_words() -> None:
    def refuse() -> None:
        raise SimbenchError("give another file")

    assert outcomes(SerialEngine(), [Task("x", refuse, ())])["x"].reason == "give another file"


@pytest.mark.process
def test_functions_defined_in_a_script_or_notebook_travel_by_value() -> None:
    factor = 3
    found = outcomes(ProcessEngine(1), [Task("closure", lambda x: factor * x, (2,))])
    assert found["closure"].value == 6


def test_an_unknown_engine_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(SimbenchError, match='unknown engine "proceses"; did you mean "processes"'):
        make_engine("proceses", 1)


@pytest.mark.process
def test_a_script_without_a_main_guard_is_not_run_again_by_the_workers(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        textwrap.dedent(
            """
            print("started")
            from simbench.run.engines import ProcessEngine, Task
            engine = ProcessEngine(1)
            print([outcome.value for outcome in engine.run([Task("x", lambda: 7, ())], lambda *said: None)])
            engine.close()
            """
        )
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "started\n[7]\n"


@pytest.mark.process
def test_closing_ends_workers_in_the_middle_of_a_task() -> None:
    engine = ProcessEngine(1)
    running = engine.run([Task("long", slow, (60.0,)), Task("never", slow, (60.0,))], lambda *said: None)
    future = engine._submit(Task("probe", os.getpid, ()))
    worker = future.result(timeout=60)[0]
    started = time.monotonic()
    running.close()  # type: ignore[attr-defined]
    engine.close()
    assert time.monotonic() - started < 10
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
