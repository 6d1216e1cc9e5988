"""Settings of the interpreter, the operating system and NumPy."""

from __future__ import annotations

import gc
import locale
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from typing import Any

from simbench.files import umask
from simbench.lazy import lazy_import
from simbench.process_state.setting import Setting, attribute

np: Any = lazy_import("numpy")
# Signals whose handlers a metric might set, such as an alarm of its own.
HANDLED = [
    getattr(signal, name)
    for name in (
        *("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGCHLD", "SIGALRM", "SIGVTALRM", "SIGPROF"),
        *("SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGXFSZ"),
    )
    if hasattr(signal, name)
]
TIMERS = [getattr(signal, name) for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF") if hasattr(signal, name)]
# Seconds between two readings of the end of one timer, at most, on a machine that does much else.
TOLERANCE = 0.1
# Seconds after which a timer rings that ought to have rung: 0 would stop it.
SHORTEST_TIMER = 1e-6


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it has been deleted
        return None


def _enter(folder: str | None) -> None:
    with suppress(OSError):  # a folder that is gone cannot be entered again
        if folder is not None:
            os.chdir(folder)


def _write_environment(variables: dict[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)
    if hasattr(time, "tzset"):  # the time zone is one of them
        time.tzset()


def _write_filters(filters: list[Any]) -> None:
    warnings.resetwarnings()  # so that the warnings seen so far are forgotten, as after any change of the filters
    warnings.filters[:] = filters  # type: ignore[index]


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in HANDLED]


def _write_handlers(handlers: list[Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in zip(HANDLED, handlers, strict=True):
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _blocked_signals() -> Any:
    return signal.pthread_sigmask(signal.SIG_BLOCK, ()) if hasattr(signal, "pthread_sigmask") else None


def _block_signals(blocked: Any) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _timers() -> list[tuple[float, float]]:
    """Return (end, interval) of each timer; the end is 0 where it does not run.

    Of timers of processor time, whose end is not known beforehand, it is the time that is left.
    """
    now = time.monotonic()
    running = [signal.getitimer(timer) for timer in TIMERS]
    return [
        (now + left if left and timer == signal.ITIMER_REAL else left, interval)
        for timer, (left, interval) in zip(TIMERS, running, strict=True)
    ]


def _same_timers(before: list[tuple[float, float]], now: list[tuple[float, float]]) -> bool:
    """Tell whether the timers are those of before, each of which may have rung in between."""
    return all(map(_is_same_timer, TIMERS, before, now))


def _is_same_timer(timer: int, before: tuple[float, float], now: tuple[float, float]) -> bool:
    (end, interval), (new_end, new_interval) = before, now
    if not new_end:  # it does not run, or rang once
        return not end or (not interval and (timer != signal.ITIMER_REAL or end <= time.monotonic()))
    if not end or interval != new_interval:
        return False
    return timer != signal.ITIMER_REAL or _rings_together(end, new_end, interval)


def _rings_together(end: float, new_end: float, interval: float) -> bool:
    later = new_end - end
    if interval and later > 0:
        later = min(later % interval, interval - later % interval)
    return abs(later) < TOLERANCE


def _write_timers(timers: list[tuple[float, float]]) -> None:
    now = time.monotonic()
    for timer, (end, interval) in zip(TIMERS, timers, strict=True):
        left = end - now if end and timer == signal.ITIMER_REAL else end
        signal.setitimer(timer, max(left, SHORTEST_TIMER) if end else 0.0, interval)


def _limits() -> list[Any]:
    """Return the limits of this process that it may raise again itself: those of files, of memory, of time."""
    try:
        import resource
    except ImportError:  # not a Unix
        return []
    names = ("RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CPU")
    return [(number, resource.getrlimit(number)) for name in names if (number := getattr(resource, name, None))]


def _write_limits(limits: list[Any]) -> None:
    import resource

    for number, (soft, hard) in limits:
        with suppress(ValueError, OSError):  # a hard limit, once lowered, stays
            resource.setrlimit(number, (soft, hard))


def _numpy_seeds() -> Any:
    return np.random.get_state(legacy=False)


def _same_numpy_seeds(before: dict[str, Any], now: dict[str, Any]) -> bool:
    own, other = before["state"], now["state"]
    apart = [(name, before[name], now[name]) for name in ("bit_generator", "has_gauss", "gauss")]
    return all(first == second for _, first, second in apart) and all(
        bool(np.array_equal(own[name], other.get(name))) for name in own
    )


def _stream(name: str, descriptor: int) -> Setting:
    """Return the setting that is a standard stream; one that was closed is opened again on its descriptor."""

    def write(stream: Any) -> None:
        if getattr(stream, "closed", False):
            with suppress(OSError):
                stream = os.fdopen(descriptor, "w", encoding=stream.encoding, errors=stream.errors, closefd=False)
        setattr(sys, name, stream)

    return Setting(
        lambda: getattr(sys, name), write, lambda before, now: before is now and not getattr(now, "closed", False)
    )


PYTHON_SETTINGS = (
    _stream("stdout", 1),
    _stream("stderr", 2),
    attribute(sys, "stdin"),
    *(attribute(sys, name, may_last=True) for name in ("excepthook", "displayhook", "unraisablehook")),
    attribute(threading, "excepthook", may_last=True),
    Setting(sys.gettrace, sys.settrace, lambda before, now: before is now),
    Setting(sys.getprofile, sys.setprofile, lambda before, now: before is now),
    Setting(lambda: list(sys.path), lambda value: sys.path.__setitem__(slice(None), value), may_last=True),
    Setting(lambda: list(sys.argv), lambda value: sys.argv.__setitem__(slice(None), value)),
    Setting(sys.getrecursionlimit, sys.setrecursionlimit, may_last=True),
    Setting(sys.getswitchinterval, sys.setswitchinterval),
    Setting(_working_directory, _enter),
    Setting(umask, os.umask),
    Setting(_limits, _write_limits),
    Setting(os.environ.copy, _write_environment, may_last=True),
    Setting(lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
    Setting(lambda: list(warnings.filters), _write_filters, may_last=True),
    attribute(warnings, "showwarning", may_last=True),
    attribute(warnings, "formatwarning", may_last=True),
    Setting(_handlers, _write_handlers),
    Setting(_blocked_signals, _block_signals),
    Setting(_timers, _write_timers, _same_timers),
    Setting(gc.isenabled, lambda enabled: gc.enable() if enabled else gc.disable()),
    Setting(gc.get_threshold, lambda thresholds: gc.set_threshold(*thresholds)),
    Setting(lambda: logging.root.manager.disable, logging.disable),
    Setting(lambda: logging.root.level, logging.root.setLevel, may_last=True),
    Setting(random.getstate, random.setstate),
    Setting(_numpy_seeds, lambda state: np.random.set_state(state), _same_numpy_seeds, "numpy.random"),
    Setting(
        lambda: np.geterr(),
        lambda errors: np.seterr(**errors),
        needs="numpy",
        usual=lambda _: {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"},
    ),
    Setting(lambda: np.geterrcall(), lambda called: np.seterrcall(called), lambda a, b: a is b, needs="numpy"),
)
