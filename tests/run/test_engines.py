"""Engines: every task ends in exactly one outcome, and nobody pays for somebody else's crash."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from simbench.errors import SimbenchError
from simbench.process_state import preserved_state
from simbench.processes import start_of
from simbench.run.engines import Engine, Outcome, ProcessEngine, SerialEngine, Task, make_engine
from simbench.run.execution import computing, report_part, report_progress


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
    line = fail.__code__.co_firstlineno + 1
    assert found["bad"].reason == f"ValueError: no such luck (test_engines.py:{line})"
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


def begin(then: Callable[[], object]) -> None:
    report_progress(os.getpid())
    then()


def hold_the_interpreter() -> None:
    ctypes.PyDLL(None).sleep(60)


def ignore_every_signal() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


def start_another_process() -> None:
    report_progress(subprocess.Popen(["sleep", "60"]).pid)
    time.sleep(60)


def interrupted_at(count: int, then: Callable[[], object]) -> tuple[list[int], float]:
    """Interrupt the driver at the given report of a task; return what was reported, and the seconds until the end."""
    engine, heard, started = ProcessEngine(1), [], 0.0

    def report(name: str, units: float) -> None:
        nonlocal started
        heard.append(int(units))
        if len(heard) == count:
            started = time.monotonic()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(engine.run([Task("long", begin, (then,)), Task("never", double, (1,))], report))
    engine.close()
    return heard, time.monotonic() - started


@pytest.mark.process
@pytest.mark.parametrize("then", [lambda: time.sleep(60), hold_the_interpreter, ignore_every_signal])
def test_a_worker_ends_in_seconds_whatever_it_does(then: Callable[[], object]) -> None:
    (worker,), seconds = interrupted_at(1, then)
    assert seconds < 10
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


@pytest.mark.process
def test_what_a_killed_metric_has_started_ends_with_it() -> None:
    def ignoring() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        start_another_process()

    (_, other), _ = interrupted_at(2, ignoring)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{other}").exists() and "Z" not in Path(f"/proc/{other}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start_a_copy() -> int:
    """Fork a copy of this process that sleeps, and return its number."""
    copy = os.fork()
    if copy == 0:
        time.sleep(60)
        os._exit(0)
    return copy


def fork_and_die() -> None:
    report_progress(start_a_copy())
    os._exit(3)


def wait_for_the_end_of(process: int) -> None:
    deadline = time.monotonic() + 30
    while start_of(process) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux tells when another process ends")
def test_what_a_task_leaves_behind_ends_with_its_worker() -> None:
    engine = ProcessEngine(1)
    (left,) = [outcome.value for outcome in engine.run([Task("leaving", start_a_copy, ())], lambda *said: None)]
    assert start_of(left) is not None
    engine.close()
    wait_for_the_end_of(left)


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux tells when another process ends")
def test_what_a_task_leaves_behind_ends_when_it_kills_its_worker() -> None:
    heard: list[int] = []
    engine = ProcessEngine(1)
    list(engine.run([Task("leaving", fork_and_die, ())], lambda name, units: heard.append(int(units))))
    engine.close()
    assert len(heard) == 2
    for process in heard:
        wait_for_the_end_of(process)


@pytest.mark.process
def test_a_metric_that_waits_for_its_children_finds_only_its_own() -> None:
    def wait_for_all() -> str:
        try:
            os.wait()
        except ChildProcessError:
            return "none"
        return "some"

    assert outcomes(ProcessEngine(1), [Task("waiting", wait_for_all, ())])["waiting"].value == "none"


@pytest.mark.process
def test_a_copy_of_a_worker_does_not_go_on_with_its_task(tmp_path: Path) -> None:
    def copied() -> None:
        with preserved_state():
            os.fork()
        (tmp_path / str(os.getpid())).touch()
        report_progress(1)

    engine, heard = ProcessEngine(1), []
    (outcome,) = engine.run([Task("copied", copied, ())], lambda name, units: heard.append(units))
    engine.close()
    assert outcome.reason is None
    assert heard == [1]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.process
def test_a_task_that_closes_the_pipe_is_a_death_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    found = outcomes(ProcessEngine(1), [Task("closing", lambda: os.closerange(3, 100), ())])
    assert found["closing"].reason is not None
    assert "died twice" in found["closing"].reason
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.process
def test_closing_ends_workers_in_the_middle_of_a_task() -> None:
    engine = ProcessEngine(1)
    running = engine.run([Task("probe", os.getpid, ()), Task("long", slow, (60.0,))], lambda *said: None)
    worker = next(running).value
    started = time.monotonic()
    running.close()  # type: ignore[attr-defined]
    engine.close()
    assert time.monotonic() - started < 10
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def segfault() -> None:
    faulthandler.disable()  # pytest's would write to a file that is closed
    ctypes.string_at(0)


@pytest.mark.process
@pytest.mark.parametrize(
    ("death", "reason"),
    [
        (lambda: os._exit(3), "it exited with code 3"),
        (segfault, "it was killed by SIGSEGV"),
        (os.abort, "it was killed by SIGABRT"),
        (die, "it was killed by SIGKILL (out of memory?)"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "it was killed by SIGTERM"),
    ],
    ids=["exit", "segfault", "abort", "kill", "terminate"],
)
def test_the_reason_says_how_the_worker_died(death: Callable[[], None], reason: str) -> None:
    found = outcomes(ProcessEngine(2), [Task("dying", death, ()), Task("good", double, (1,))])
    assert found["dying"].reason == f"the worker process died twice on this task: {reason}"
    assert found["good"].value == 2


@pytest.mark.process
def test_a_death_spoils_no_task_of_another_worker(tmp_path: Path) -> None:
    def slow_once(marker: Path) -> int:
        marker.write_text(marker.read_text() + "x" if marker.exists() else "x")
        time.sleep(1)
        return len(marker.read_text())

    found = outcomes(ProcessEngine(2), [Task("dying", die, ()), Task("slow", slow_once, (tmp_path / "runs",))])
    assert found["slow"].value == 1


@pytest.mark.process
def test_a_task_with_finished_parts_is_not_begun_again(tmp_path: Path) -> None:
    def partly(marker: Path) -> None:
        marker.write_text(marker.read_text() + "x" if marker.exists() else "x")
        report_part("first")
        os._exit(3)

    (outcome,) = outcomes(ProcessEngine(1), [Task("partly", partly, (tmp_path / "runs",))]).values()
    assert (outcome.parts, outcome.reason) == (("first",), "the worker process died: it exited with code 3")
    assert (tmp_path / "runs").read_text() == "x"


@pytest.mark.process
def test_a_result_that_cannot_be_sent_is_a_reason() -> None:
    found = outcomes(ProcessEngine(1), [Task("lock", threading.Lock, ()), Task("good", double, (1,))])
    assert "pickle" in str(found["lock"].reason)
    assert found["good"].value == 2


def test_parts_that_were_finished_outlast_a_failure(engine: Engine) -> None:
    def partly() -> None:
        report_part("first")
        report_part("second")
        raise ValueError("no third")

    (outcome,) = outcomes(engine, [Task("partly", partly, ())]).values()
    reason = f"ValueError: no third (test_engines.py:{partly.__code__.co_firstlineno + 3})"
    assert (outcome.parts, outcome.reason) == (("first", "second"), reason)


def test_a_block_past_its_time_limit_is_stopped(engine: Engine) -> None:
    def endless() -> None:
        with computing("the endless one", limit=0.2):
            while True:
                time.sleep(0.01)

    found = outcomes(engine, [Task("endless", endless, ()), Task("good", double, (1,))])
    assert (found["endless"].timed_out, found["endless"].reason) == (True, "no result after 0.2 s")
    assert found["good"].value == 2


def test_a_block_within_its_time_limit_is_left_alone_afterwards(engine: Engine) -> None:
    def quick() -> int:
        with computing("a quick one", limit=0.2):
            pass
        time.sleep(0.4)
        return 1

    assert outcomes(engine, [Task("quick", quick, ())])["quick"].value == 1


@pytest.mark.process
@pytest.mark.parametrize("then", [hold_the_interpreter, ignore_every_signal])
def test_a_worker_that_does_not_stop_at_its_time_limit_is_killed(
    then: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck() -> None:
        report_part("kept")
        with computing("the stuck one", limit=0.2):
            then()

    monkeypatch.setattr("simbench.run.worker.SECONDS_TO_STOP", 0.2)
    found = outcomes(ProcessEngine(1), [Task("stuck", stuck, ()), Task("good", double, (1,))])
    outcome = found["stuck"]
    assert (outcome.timed_out, outcome.reason, outcome.parts) == (True, "no result after 0.2 s", ("kept",))
    assert found["good"].value == 2


def test_the_driver_hears_what_is_computed(engine: Engine) -> None:
    class Listening:
        def __init__(self) -> None:
            self.heard: list[tuple[str, str | None]] = []

        def __call__(self, name: str, units: float) -> None:
            pass

        def computing(self, name: str, what: str | None) -> None:
            self.heard.append((name, what))

    def twofold() -> None:
        for what in ("one", "other"):
            with computing(what):
                pass

    report = Listening()
    try:
        list(engine.run([Task("task", twofold, ())], report))
    finally:
        engine.close()
    said = [what for _, what in report.heard]
    assert said[:4] == ["one", None, "other", None]
    assert set(said[4:]) <= {None}


@pytest.mark.process
def test_workers_that_cannot_start_are_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ProcessEngine(1)
    monkeypatch.setattr("simbench.run.worker.serve", os._exit)
    with pytest.raises(
        SimbenchError, match="worker processes do not start: it exited with code 1; try --engine serial"
    ):
        list(engine.run([Task("x", double, (1,))], lambda *said: None))
    engine.close()
