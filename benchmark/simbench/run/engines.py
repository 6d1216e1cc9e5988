"""Engines: run independent tasks, one after the other or in worker processes, and report each as it ends.

A third party registers an engine of its own with `@engine(...)` and runs each task with `run_task`.

A task that raises has a failed outcome. If a worker dies, the tasks that were running are tried once more, each in a
process of its own, and only a task whose process dies again has failed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.context import BaseContext
from typing import Any, Protocol, TypeVar

import cloudpickle

from simbench.errors import NotApplicable, SimbenchError
from simbench.process_state import preserved_state
from simbench.registry import ENGINES, Registered, origin_of

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Task:
    """A function and its arguments, to be run anywhere. The function may call `report_progress(units)`."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """End of a task: a value, or a reason (and the traceback, for the log).

    Attributes:
        task: the task.
        value: what its function returned.
        reason: why there is no value.
        details: the traceback, for the log.
        skipped: whether the reason is that the task does not apply here, rather than a failure.
    """

    task: Task
    value: Any = None
    reason: str | None = None
    details: str = ""
    skipped: bool = False


# Called with a task's name and the units of work just done.
Report = Callable[[str, float], None]


class Engine(Protocol):
    """An executor of tasks."""

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Outcome]:
        """Run all tasks; yield their outcomes in the order in which they end."""
        ...

    def close(self) -> None:
        """Stop all tasks that still run."""
        ...


F = TypeVar("F", bound=Callable[[int], Engine])


def engine(name: str) -> Callable[[F], F]:
    """Register a class or function `(jobs) -> Engine` as an engine; return it unchanged.

    An engine changes no result, so it has no version and is part of no key.
    """

    def decorate(factory: F) -> F:
        registered = Registered(name, factory, None, origin_of(factory))
        ENGINES.register(name, registered, registered.origin)
        return factory

    return decorate


def make_engine(name: str, jobs: int) -> Engine:
    """Make the engine called `name`, with up to `jobs` workers."""
    made: Engine = ENGINES.get(name).function(jobs)
    return made


def default_jobs() -> int:
    """Return one worker per core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_task(task: Task, report: Report) -> Outcome:
    """Run a task in this process, with one torch thread; an exception becomes a failed outcome."""
    with preserved_state(), steady_arithmetic(), _reporting(partial(report, task.name)):
        ended = _attempt(task.function, task.arguments)
    return Outcome(task, *ended)


@engine("processes")
class ProcessEngine:
    """Engine of worker processes with one torch thread each, started once and kept between calls of `run`."""

    def __init__(self, jobs: int) -> None:
        """Prepare for `jobs` workers; they start with the first task."""
        self.jobs = jobs
        self._context = _context()
        self._pool: ProcessPoolExecutor | None = None
        self._queue: Any = None

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Outcome]:
        """Run all tasks in the pool; try those again, each alone, that were running when a worker died."""
        waiting = list(tasks)
        under_way: dict[Future[Any], Task] = {}
        suspects: list[Task] = []
        while waiting or under_way:
            while waiting and len(under_way) < self.jobs:
                task = waiting.pop(0)
                try:
                    under_way[self._submit(task)] = task
                except BrokenProcessPool:
                    waiting.insert(0, task)
                    if not under_way:
                        self._stop()
                    break
            done, _ = wait(under_way, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            self._drain(report)
            broken = False
            for future in done:
                task = under_way.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    suspects.append(task)
                    broken = True
                else:
                    yield _outcome(task, future)
            if broken:
                suspects.extend(under_way.values())
                under_way.clear()
                self._stop()
        for task in suspects:
            yield self._alone(task, report)

    def close(self) -> None:
        """Stop the workers, also in the middle of a task."""
        self._stop()

    def _submit(self, task: Task) -> Future[Any]:
        payload = cloudpickle.dumps((task.name, task.function, task.arguments))
        if self._pool is None:
            self._queue = self._context.SimpleQueue()
            self._pool = ProcessPoolExecutor(
                self.jobs, mp_context=self._context, initializer=_start_worker, initargs=(self._queue,)
            )
        with _main_module_hidden():
            return self._pool.submit(_execute, payload)

    def _alone(self, task: Task, report: Report) -> Outcome:
        """Try a task a second and last time, in a pool of one, so that no other task can be to blame."""
        single = ProcessEngine(1)
        try:
            future = single._submit(task)
            while not future.done():
                wait([future], timeout=POLL_SECONDS)
                single._drain(report)
            if isinstance(future.exception(), BrokenProcessPool):
                return Outcome(task, reason="the worker process died twice on this task (out of memory?)")
            return _outcome(task, future)
        finally:
            single.close()

    def _drain(self, report: Report) -> None:
        while self._queue is not None and not self._queue.empty():
            report(*self._queue.get())

    def _stop(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        workers = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(timeout=5)


@engine("serial")
class SerialEngine:
    """One task after the other in this process, with one torch thread; for debugging."""

    def __init__(self, jobs: int = 1) -> None:
        """Ignore `jobs`: this process is the only worker."""

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Outcome]:
        """Run all tasks in this process."""
        for task in tasks:
            yield run_task(task, report)

    def close(self) -> None:
        """Do nothing: no task is under way."""


def _outcome(task: Task, future: Future[Any]) -> Outcome:
    error = future.exception()
    if error is not None:
        return Outcome(task, reason=f"{type(error).__name__}: {error}")
    return Outcome(task, *future.result())


def _context() -> BaseContext:
    """Return `forkserver` with torch loaded once, or `spawn`: plain fork deadlocks with OpenMP threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["simbench.run.tasks"])
    return context


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Prevent new processes from importing the user's script: tasks are pickled by value and need no `__main__`."""
    main = sys.modules["__main__"]
    saved: dict[str, Any] = {
        name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__
    }
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(saved)


# --- in the worker ----------------------------------------------------------------------------------------------------

_send: Callable[[float], None] | None = None


def report_progress(units: float) -> None:
    """Report `units` of work of the current task to the driver; outside a task, do nothing."""
    if _send is not None:
        _send(units)


def _start_worker(queue: Any) -> None:
    """Set up a worker: only the driver handles Ctrl-C, and the worker ends with its driver."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _queue
    _queue = queue
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


_queue: Any = None
# (value, reason, details, skipped)
Ended = tuple[Any, str | None, str, bool]


def _die_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _execute(payload: bytes) -> Ended:
    name, function, arguments = cloudpickle.loads(payload)
    with preserved_state(), steady_arithmetic(), _reporting(lambda units: _queue.put((name, units))):
        return _attempt(function, arguments)


@contextmanager
def steady_arithmetic() -> Iterator[None]:
    """Use one torch thread, and no TF32 on a GPU: the same numbers whoever else uses the machine."""
    import torch

    before = torch.get_num_threads(), torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before[1:]


@contextmanager
def _reporting(send: Callable[[float], None]) -> Iterator[None]:
    global _send
    before, _send = _send, send
    try:
        yield
    finally:
        _send = before


def _attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Ended:
    """Turn an exception into a reason, also `sys.exit` in somebody else's code; let Ctrl-C through."""
    try:
        return function(*arguments), None, "", False
    except NotApplicable as reason:
        return None, str(reason), "", True
    except SimbenchError as error:
        return None, str(error), "", False
    except (Exception, SystemExit) as error:
        return None, f"{type(error).__name__}: {error}".splitlines()[0], traceback.format_exc(), False
