"""How many bytes the metrics may hold at once: every kernel over pairs, or over pairs of rows, streams within it.

The limit is for what a kernel makes on its way to its values. Representations and what a metric prepares of each, which
is about as large as they are, come on top. Half of the limit is for kernels, half for what metrics share
(`simbench.metrics.kernels.memoisation`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

DEFAULT = 2 * 2**30
BLOCK = 32 * 2**20
"""Bytes of what is made and looked at in one go: as much as stays near the processor. More is slower, not faster."""

_limit: ContextVar[int] = ContextVar("memory_limit", default=DEFAULT)


@contextmanager
def limited_memory(limit: int) -> Iterator[None]:
    """Metrics scored inside hold about `limit` bytes at most."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


def half_of_limit() -> int:
    """What either of the two may use now."""
    return _limit.get() // 2


def working_bytes(at_most: int) -> int:
    """The bytes that a kernel may hold which gains nothing beyond `at_most`, such as the size of a cache.

    >>> with limited_memory(1000):
    ...     working_bytes(2000), working_bytes(100)
    (500, 100)
    """
    return min(at_most, half_of_limit())


def block_bytes() -> int:
    """The bytes of a block of rows, or of a batch of products."""
    return working_bytes(BLOCK)
