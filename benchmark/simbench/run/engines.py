"""Engines: run independent tasks, one after the other or in worker processes, and report each as it ends.

A third party registers an engine of its own with `@engine(...)` and runs each task with `run_task`.

A task that raises has a failed outcome. If a worker dies, its task is tried once more when all others are done, and has
failed if the next worker dies, too; one with finished parts has failed at once, so that only the rest is done again. A
worker that does not stop at a time limit is killed.
"""

from __future__ import annotations

import multiprocessing.connection
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.util import Finalize
from typing import Any, Protocol, TypeVar

import cloudpickle

from simbench.errors import SimbenchError
from simbench.origins import origin_of
from simbench.own_files import OwnFile, pickled_by_reference, receive, sent
from simbench.registry import ENGINES, Registered
from simbench.run import worker as workers
from simbench.run.execution import Channel, Ending, Parts, execute
from simbench.run.execution import report_progress as report_progress
from simbench.run.worker import Worker

POLL_SECONDS = 0.1
# So many workers may die in a row before they can run any task; then none will.
FAILED_STARTS = 3


@dataclass(frozen=True)
class Task:
    """A function and its arguments, to be run anywhere.

    The function may call what `simbench.run.execution` has for tasks, such as `report_progress(units)`.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        """Take along the user's own files to which the task refers, whichever engine sends it to another process."""
        with pickled_by_reference():
            content = cloudpickle.dumps((self.function, self.arguments))
        return _received, (self.name, sent(), content)


def _received(name: str, files: Sequence[tuple[OwnFile, bytes]], content: bytes) -> Task:
    receive(files)
    return Task(name, *cloudpickle.loads(content))


@dataclass(frozen=True)
class Outcome(Ending):
    """End of a task: a value, or a reason (and the traceback, for the log), with the task."""

    task: Task = None  # type: ignore[assignment]

    def __init__(self, task: Task, *ending: Any, **named: Any) -> None:
        """Make the outcome of a task from the parts of its ending."""
        super().__init__(*ending, **named)
        object.__setattr__(self, "task", task)


# Called with a task's name and the units of work just done. It may have a method `computing(name, what)`, which is told
# what the task computes from now on, and None at its end.
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
    parts = Parts()
    channel = Channel(partial(report, task.name), parts, lambda what, limit: _tell(report, task, what))
    return _outcome(task, replace(execute(task.function, task.arguments, channel), parts=tuple(parts.values)))


def _tell(report: Report, task: Task, what: str | None) -> None:
    listen = getattr(report, "computing", None)
    if listen is not None:
        listen(task.name, what)


def _outcome(task: Task, ending: Ending) -> Outcome:
    return Outcome(task, **vars(ending))


@engine("processes")
class ProcessEngine:
    """Engine of worker processes with one torch thread each, started once and kept between calls of `run`."""

    def __init__(self, jobs: int) -> None:
        """Prepare for `jobs` workers; they start with the first tasks."""
        self.jobs = jobs
        self._context = workers.context()
        self._workers: list[Worker] = []
        self._failed_starts = 0
        # Else a driver that ends without `close` would wait for its workers.
        Finalize(self, _end_all, args=(self._workers,), exitpriority=100)

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Outcome]:
        """Run all tasks in the workers; try those whose worker dies once more, one after the other, at the end."""
        waiting, again = deque(tasks), deque[tuple[Task, str]]()
        deaths: dict[int, str] = {}
        try:
            while waiting or again or self._busy():
                self._assign(waiting)
                if again and not waiting and not self._busy():
                    task, cause = again[0]
                    deaths[id(task)] = cause
                    if self._assign(deque([task])):
                        again.popleft()
                self._wait()
                for worker in list(self._workers):
                    task = worker.task
                    ending = self._look_after(worker, report)
                    if ending is not None:
                        _tell(report, task, None)
                        yield _outcome(task, ending)
                    elif worker.has_ended():
                        self._workers.remove(worker)
                        self._bury(worker)
                        if task is None:
                            continue
                        _tell(report, task, None)
                        cause = worker.cause_of_death()
                        if worker.overdue:
                            yield _outcome(task, worker.finish(worker.timeout))
                        elif worker.parts:  # whoever gave the task has its rest done, and not all of it again
                            yield _outcome(task, worker.finish(Ending(reason=f"the worker process died: {cause}")))
                        elif id(task) in deaths:
                            yield _outcome(task, worker.finish(Ending(reason=_died_twice(deaths[id(task)], cause))))
                        else:
                            again.append((task, cause))
        finally:
            self._end(self._busy())

    def close(self) -> None:
        """Stop the workers, also in the middle of a task."""
        self._end(self._workers)

    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.task is not None]

    def _assign(self, waiting: deque[Task]) -> bool:
        """Give tasks to workers that wait for one, and start as many workers as can be used; tell whether any began."""
        idle = [worker for worker in self._workers if worker.task is None]
        for _ in range(min(self.jobs - len(self._workers), len(waiting) - len(idle))):
            self._workers.append(Worker(self._context))
        ready = [worker for worker in idle if worker.ready and not worker.has_ended()]
        for worker in ready:
            if waiting:
                worker.start(waiting.popleft())
        return bool(ready)

    def _wait(self) -> None:
        """Wait until a worker says something or ends, but not for long: workers may be overdue."""
        connections = [worker.connection for worker in self._workers]
        sentinels = [worker.process.sentinel for worker in self._workers]
        multiprocessing.connection.wait([*connections, *sentinels], timeout=POLL_SECONDS)

    def _look_after(self, worker: Worker, report: Report) -> Ending | None:
        """Pass on what a worker reports; return the end of its task, if that has come. Kill it if it is overdue."""
        for kind, value in worker.messages():
            match kind:
                case "ready":
                    self._failed_starts = 0
                case "progress":
                    report(worker.task.name, value)
                case "computing":
                    _tell(report, worker.task, value[0])
                case "ended":
                    return worker.finish(value)
        worker.kill_if_overdue()
        return None

    def _bury(self, worker: Worker) -> None:
        worker.connection.close()
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= FAILED_STARTS:
                raise SimbenchError(f"worker processes do not start: {worker.cause_of_death()}; try --engine serial")

    def _end(self, some: Sequence[Worker]) -> None:
        gone = list(some)
        self._workers[:] = [worker for worker in self._workers if worker not in gone]
        workers.end(gone)


def _end_all(some: list[Worker]) -> None:
    workers.end(some)
    some.clear()


def _died_twice(first: str, second: str) -> str:
    causes = first if first == second else f"{first}, then {second}"
    return f"the worker process died twice on this task: {causes}"


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
