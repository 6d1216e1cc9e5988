"""Worker processes: the loop that runs tasks in one, and the driver's view of it."""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any, NoReturn

import cloudpickle

from simbench.errors import Stop, described
from simbench.run.execution import Channel, Ending, execute

# Name of the process of a worker.
WORKER = "simbench-worker"
# A worker that was told to end is killed after so many seconds.
SECONDS_TO_END = 2.0
# A worker past its time limit stops by itself where it can; after so many seconds more, it is killed.
SECONDS_TO_STOP = 5.0
# Option of Linux' `prctl`: the signal that a process gets when its parent dies.
PR_SET_PDEATHSIG = 1


def context() -> BaseContext:
    """Return `forkserver` with torch loaded once, or `spawn`: plain fork deadlocks with OpenMP threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["simbench.run.tasks"])
    return made


class Worker:
    """The driver's view of one worker process.

    Attributes:
        process: the process.
        connection: the driver's end of the pipe.
        ready: whether the process has started up and waits for tasks.
        task: the task that it runs, or None.
        parts: the parts of the task that are finished.
        overdue: whether it was killed at a time limit.
    """

    def __init__(self, context: Any) -> None:
        """Start the process."""
        self.connection, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other,), name=WORKER)
        with _main_module_hidden():
            self.process.start()
        other.close()
        self.ready = False
        self.task: Any = None
        self.parts: list[Any] = []
        self.overdue = False
        self._computing: str | None = None
        self._deadline: float | None = None
        self._limit: float | None = None

    def start(self, task: Any) -> None:
        """Send a task; the process may have died in the meantime, which `has_ended` tells."""
        self.task, self.parts = task, []
        payload = cloudpickle.dumps(task)
        with suppress(OSError):
            self.connection.send_bytes(payload)

    def messages(self) -> Iterator[tuple[str, Any]]:
        """Yield what the process has sent."""
        while True:
            try:
                if not self.connection.poll():
                    return
                payload = self.connection.recv_bytes()
            except (EOFError, OSError):
                return
            try:
                kind, value = cloudpickle.loads(payload)
            except Exception as error:  # only results carry objects of somebody else's classes
                kind, value = "ended", Ending(reason=described(error))
            match kind:
                case "ready":
                    self.ready = True
                case "part":
                    self.parts.append(value)
                case "computing":
                    self._computing, self._limit = value
                    self._deadline = None if self._limit is None else time.monotonic() + self._limit + SECONDS_TO_STOP
                case _:
                    yield kind, value
                    continue
            yield kind, value

    def finish(self, ending: Ending) -> Ending:
        """Take the task off the worker; return its end with the finished parts."""
        self.task = self._computing = self._deadline = None
        return replace(ending, parts=tuple(self.parts))

    def has_ended(self) -> bool:
        """Tell whether the process has ended."""
        return not self.process.is_alive()

    def kill_if_overdue(self) -> None:
        """Kill a process that does not stop at its time limit."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            self.overdue = True
            self._deadline = None
            self.kill()

    @property
    def timeout(self) -> Ending:
        """End of a task whose process was killed at its time limit."""
        return Ending(reason=f"no result after {self._limit:g} s", timed_out=True)

    def kill(self) -> None:
        """Kill the process, and all that it has started."""
        if not self.process.is_alive():
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (AttributeError, OSError):  # no process groups on this system, or not yet one of its own
            self.process.kill()

    def cause_of_death(self) -> str:
        """Say how the process ended."""
        self.process.join(timeout=1)
        code = self.process.exitcode
        if code is None:
            return "it no longer answers"
        if code >= 0:
            return f"it exited with code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"it was killed by {name}" + " (out of memory?)" * (name == "SIGKILL")


def end(workers: Sequence[Worker]) -> None:
    """End workers, also in the middle of a task: ask them, and kill those that are left, at a second Ctrl-C at once."""
    try:
        for worker in workers:
            worker.process.terminate()
        deadline = time.monotonic() + SECONDS_TO_END
        left = [worker.process.sentinel for worker in workers]
        while left and (seconds := deadline - time.monotonic()) > 0:
            ended = multiprocessing.connection.wait(left, timeout=seconds)
            left = [sentinel for sentinel in left if sentinel not in ended]
    finally:
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.process.join(timeout=5)
            worker.connection.close()


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


class _Ended(Stop):
    """The driver wants this process to end: what is half-written is removed on the way out."""


_busy = False


def serve(connection: Connection) -> None:
    """Run tasks until the driver hangs up, and end with the driver whatever a task does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the driver handles Ctrl-C
    signal.signal(signal.SIGTERM, _end)
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # so that what a metric starts can be killed with it
    _take_along_what_it_starts()
    _end_with_driver()

    def send(kind: str, value: Any) -> None:
        connection.send_bytes(cloudpickle.dumps((kind, value)))

    channel = Channel(
        progress=lambda units: send("progress", units),
        part=lambda value: send("part", value),
        computing=lambda what, limit: send("computing", (what, limit)),
    )
    send("ready", None)
    with suppress(EOFError, OSError):  # the driver has hung up, or a task has closed the pipe
        while True:
            payload = connection.recv_bytes()
            ending = _run(payload, channel)
            try:
                send("ended", ending)
            except Exception as error:  # a result that cannot be pickled
                if isinstance(error, OSError):
                    raise
                send("ended", Ending(reason=described(error)))


def _run(payload: bytes, channel: Channel) -> Ending:
    global _busy
    _busy = True
    try:
        return execute(lambda: _called(payload), (), channel)
    except _Ended:
        _end_by_sigterm()
    except KeyboardInterrupt as error:  # no Ctrl-C: that is for the driver, and this process ignores it
        return Ending(reason=described(error))
    finally:
        _busy = False


def _called(payload: bytes) -> Any:
    task = cloudpickle.loads(payload)
    return task.function(*task.arguments)


def _end(*_: object) -> None:
    if not _busy:
        _end_by_sigterm()
    raise _Ended


def _end_by_sigterm() -> NoReturn:
    """End this process at once by the signal itself, which tells the driver more than an exit code."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
    os._exit(128 + signal.SIGTERM)  # where the signal is blocked


def _take_along_what_it_starts() -> None:
    """Have the group of this process killed when this process ends, however that happens.

    Else what a metric starts would outlive it. A small process waits for the end, which needs a file descriptor of this
    process (Linux). It is the child of a child that is gone: a metric that waits for its own children finds no other.
    """
    if not hasattr(os, "pidfd_open"):
        return
    group = os.getpid()
    try:
        ended = os.pidfd_open(group)
    except OSError:  # an old kernel
        return
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        os.close(ended)
        return
    try:
        os.setpgrp()
        if os.fork() == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
            os.closerange(0, ended)
            os.closerange(ended + 1, os.sysconf("SC_OPEN_MAX"))
            select.select([ended], [], [])
            os.killpg(group, signal.SIGKILL)
    finally:
        os._exit(0)


def _end_with_driver() -> None:
    """End this process when its driver ends, however that happens and whatever this process does then.

    On Linux the kernel kills it when its parent dies. That is the fork server, which ends when nobody holds its pipe
    any more: so this process lets go of its end. Elsewhere a thread waits for the driver's end; it needs the
    interpreter, which a task may hold.
    """
    driver = multiprocessing.parent_process()
    if driver is None:
        return
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        server: Any = forkserver._forkserver
        if server._forkserver_alive_fd is not None:
            os.close(server._forkserver_alive_fd)
            server._forkserver_alive_fd = None
        if os.getppid() != parent or not driver.is_alive():
            os._exit(1)
    threading.Thread(target=_wait_for_the_end_of, args=(driver,), daemon=True).start()


def _wait_for_the_end_of(driver: Any) -> None:
    driver.join()
    os._exit(1)
