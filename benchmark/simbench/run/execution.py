"""Execution of one task, in a worker or in this process: what it reports, and when it is stopped."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from simbench.errors import NotApplicable, SimbenchError, Stop, is_failure, storable
from simbench.lazy import lazy_import
from simbench.process_state import preserved_state
from simbench.tracebacks import described_at

torch: Any = lazy_import("torch")

# A metric that catches the exception by which it is stopped is given it again after so many seconds.
SECONDS_BETWEEN_ALARMS = 1.0


class TimeLimitReached(Stop):
    """The time limit of a block is over; no `except Exception` of a metric takes it for its own."""


@dataclass(frozen=True)
class Ending:
    """End of a task: a value, or the reason why there is none.

    Attributes:
        value: what the function returned.
        reason: why there is no value.
        details: the traceback, for the log.
        skipped: whether the reason is that the task does not apply here, rather than a failure.
        timed_out: whether the task, or what it computed last, was stopped at its time limit.
        parts: what the function gave to `report_part` until then.
    """

    value: Any = None
    reason: str | None = None
    details: str = ""
    skipped: bool = False
    timed_out: bool = False
    parts: tuple[Any, ...] = ()


@dataclass
class Channel:
    """Receivers of what a task reports: units of work done, finished parts, and what it computes now."""

    progress: Callable[[float], None] = lambda units: None
    part: Callable[[Any], None] = lambda value: None
    computing: Callable[[str | None, float | None], None] = lambda what, limit: None


@dataclass
class Parts:
    """Channel's receiver that keeps finished parts."""

    values: list[Any] = field(default_factory=list)

    def __call__(self, value: Any) -> None:
        """Keep a part."""
        self.values.append(value)


_channel = Channel()


def report_progress(units: float) -> None:
    """Report `units` of work of the current task to the driver; outside a task, do nothing."""
    _channel.progress(units)


def report_part(value: Any) -> None:
    """Hand a finished part of the current task to the driver, which keeps it if the task ends badly later."""
    _channel.part(value)


@contextmanager
def computing(what: str, limit: float | None = None) -> Iterator[None]:
    """Say what is computed in the block; after `limit` seconds, raise `TimeLimitReached` in it.

    The exception reaches Python code in the main thread, on systems with alarms. Code in C is interrupted when it
    returns; a driver of worker processes does not wait for that, and kills the worker.
    """
    _channel.computing(what, limit)
    try:
        with _alarm(limit):
            yield
    finally:
        _channel.computing(None, None)


@contextmanager
def _alarm(seconds: float | None) -> Iterator[None]:
    if seconds is None or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = True

    def ring(*_: object) -> None:
        if armed:
            raise TimeLimitReached(f"no result after {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, SECONDS_BETWEEN_ALARMS)
    try:
        yield
    finally:
        try:  # an alarm may still ring here
            armed = False
        finally:
            signal.setitimer(signal.ITIMER_REAL, left, interval)
            signal.signal(signal.SIGALRM, previous)


def execute(function: Callable[..., Any], arguments: tuple[Any, ...], channel: Channel) -> Ending:
    """Run a function in this process, with one torch thread, and restore what it changes of the process.

    It computes with the settings of a new process, whatever the caller has set: the same numbers everywhere.

    An exception becomes a reason, also `sys.exit` and the like in somebody else's code; Ctrl-C is let through.
    """
    with preserved_state(usual=True), _reporting(channel):
        torch.set_num_threads(1)
        try:
            return Ending(function(*arguments))
        except NotApplicable as reason:
            return Ending(reason=storable(reason), skipped=True)
        except SimbenchError as error:
            return Ending(reason=str(error))
        except TimeLimitReached as limit:
            return Ending(reason=str(limit), timed_out=True)
        except BaseException as error:
            if not is_failure(error):
                raise
            return Ending(reason=described_at(error), details="".join(traceback.format_exception(error)))


@contextmanager
def _reporting(channel: Channel) -> Iterator[None]:
    global _channel
    before, _channel = _channel, channel
    try:
        yield
    finally:
        _channel = before
