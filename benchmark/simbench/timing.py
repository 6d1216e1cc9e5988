"""Time a computation without the imports in it, which each process executes only once."""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Elapsed:
    """Duration of a block in seconds; 0 until the block ends."""

    seconds: float = 0.0


@contextmanager
def without_imports() -> Iterator[Elapsed]:
    """Measure the wall-clock seconds of the block, less those that its import statements took.

    Otherwise a metric that imports scipy or numba in its function would be charged seconds for its first pair in each
    worker, and the next metric nothing. Code that `importlib.import_module` executes is counted; the import statements
    in that code are not.

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
