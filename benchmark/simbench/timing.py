"""Time a computation without the imports in it: a process pays for them once, whoever comes first."""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Elapsed:
    """Seconds that a block took; 0 until it ends."""

    seconds: float = 0.0


@contextmanager
def without_imports() -> Iterator[Elapsed]:
    """Wall-clock seconds of the block, less those that its import statements took.

    A metric that reads scipy or numba inside its function would else owe seconds for its first pair in each worker, and
    a metric that comes later nothing. What `importlib.import_module` itself executes is counted; what that imports in
    its turn is not.

    >>> with without_imports() as elapsed:
    ...     import json
    >>> 0 <= elapsed.seconds < 0.5
    True
    """
    plain = builtins.__import__
    importing, spent = False, 0.0

    def timed(*arguments: Any, **named: Any) -> Any:
        nonlocal importing, spent
        if importing:  # an import within an import is part of its time
            return plain(*arguments, **named)
        importing, started = True, time.perf_counter()
        try:
            return plain(*arguments, **named)
        finally:
            importing = False
            spent += time.perf_counter() - started

    elapsed = Elapsed()
    builtins.__import__ = timed
    started = time.perf_counter()
    try:
        yield elapsed
    finally:
        elapsed.seconds = time.perf_counter() - started - spent
        if builtins.__import__ is timed:  # else somebody else's hook came on top and still calls this one
            builtins.__import__ = plain
