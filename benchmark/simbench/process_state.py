"""State of the process that outlives a call: put back what somebody else's code has changed of it."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from simbench.lazy import lazy_import

torch: Any = lazy_import("torch")
np: Any = lazy_import("numpy")
# Signals whose handlers a metric might set, such as an alarm of its own.
HANDLED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name)]


@dataclass(frozen=True)
class Setting:
    """One thing that any code of a process can change for all of it.

    Attributes:
        read: returns its value.
        write: sets it to a value that was read.
        same: tells whether two values that were read are equal.
        needs: the module without which nobody can have changed it.
    """

    read: Callable[[], Any]
    write: Callable[[Any], Any]
    same: Callable[[Any, Any], bool] = lambda before, now: bool(before == now)
    needs: str = "sys"


@contextmanager
def preserved_state() -> Iterator[None]:
    """Restore the state of the process after the block, however it ends."""
    before = [(setting, setting.read()) for setting in SETTINGS if setting.needs in sys.modules]
    try:
        yield
    finally:
        for setting, value in before:
            if not setting.same(value, setting.read()):
                setting.write(value)


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


def _write_filters(filters: list[Any]) -> None:
    warnings.resetwarnings()  # so that the warnings seen so far are forgotten, as after any change of the filters
    warnings.filters[:] = filters  # type: ignore[index]


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in HANDLED]


def _write_handlers(handlers: list[Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in zip(HANDLED, handlers, strict=True):
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _attribute(owner: Any, name: str) -> Setting:
    return Setting(lambda: getattr(owner, name), lambda value: setattr(owner, name, value), lambda a, b: a is b)


def _flags_of_backends() -> list[Any]:
    cuda = torch.backends.cuda.matmul
    cudnn = torch.backends.cudnn
    return [cuda.allow_tf32, cudnn.allow_tf32, cudnn.enabled, cudnn.benchmark, cudnn.deterministic]


def _write_flags_of_backends(flags: list[Any]) -> None:
    cudnn = torch.backends.cudnn
    torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32, cudnn.enabled, cudnn.benchmark, cudnn.deterministic = flags


def _torch_seeds() -> list[Any]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [])]


def _write_torch_seeds(states: list[Any]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state_all(states[1:])


def _same_torch_seeds(before: list[Any], now: list[Any]) -> bool:
    # CUDA that was started in between had no state before.
    return all(bool(torch.equal(first, second)) for first, second in zip(before, now, strict=False))


def _numpy_seeds() -> Any:
    return np.random.get_state(legacy=False)


def _same_numpy_seeds(before: dict[str, Any], now: dict[str, Any]) -> bool:
    own, other = before["state"], now["state"]
    apart = [(name, before[name], now[name]) for name in ("bit_generator", "has_gauss", "gauss")]
    return all(first == second for _, first, second in apart) and all(
        bool(np.array_equal(own[name], other.get(name))) for name in own
    )


def _default_device() -> Any:
    return getattr(torch, "get_default_device", lambda: torch.device("cpu"))()


def _write_default_device(device: Any) -> None:
    # None takes away the mode that slows every call down, which setting the CPU would leave.
    torch.set_default_device(None if device.type == "cpu" else device)


SETTINGS = (
    _attribute(sys, "stdout"),
    _attribute(sys, "stderr"),
    _attribute(sys, "excepthook"),
    Setting(lambda: list(sys.path), lambda value: sys.path.__setitem__(slice(None), value)),
    Setting(sys.getrecursionlimit, sys.setrecursionlimit),
    Setting(_working_directory, _enter),
    Setting(os.environ.copy, _write_environment),
    Setting(lambda: list(warnings.filters), _write_filters),
    _attribute(warnings, "showwarning"),
    Setting(_handlers, _write_handlers),
    Setting(gc.isenabled, lambda enabled: gc.enable() if enabled else gc.disable()),
    Setting(lambda: logging.root.manager.disable, logging.disable),
    Setting(lambda: logging.root.level, logging.root.setLevel),
    Setting(random.getstate, random.setstate),
    Setting(_numpy_seeds, lambda state: np.random.set_state(state), _same_numpy_seeds, "numpy.random"),
    Setting(lambda: np.geterr(), lambda errors: np.seterr(**errors), needs="numpy"),
    Setting(_torch_seeds, _write_torch_seeds, _same_torch_seeds, "torch"),
    Setting(lambda: torch.get_default_dtype(), lambda dtype: torch.set_default_dtype(dtype), needs="torch"),
    Setting(_default_device, _write_default_device, needs="torch"),
    Setting(lambda: torch.is_grad_enabled(), lambda mode: torch.set_grad_enabled(mode), needs="torch"),
    Setting(lambda: torch.get_num_threads(), lambda count: torch.set_num_threads(count), needs="torch"),
    Setting(
        lambda: torch.get_deterministic_debug_mode(),
        lambda mode: torch.set_deterministic_debug_mode(mode),
        needs="torch",
    ),
    Setting(lambda: torch.is_anomaly_enabled(), lambda mode: torch.autograd.set_detect_anomaly(mode), needs="torch"),
    Setting(_flags_of_backends, _write_flags_of_backends, needs="torch"),
)
