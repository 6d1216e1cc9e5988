"""Limit of memory within which every kernel over pairs, or over pairs of rows, streams.

The limit is for the intermediate values of kernels. Representations, and the results of `prepare`, which are about as
large, come on top. Half of the limit is for kernels, half for the steps that are memoised
(`simbench.metrics.kernels.memoisation`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

DEFAULT = 2 * 2**30
# Bytes of a block that is made and read in one go: as much as stays in the cache. More is slower, not faster.
BLOCK = 32 * 2**20

_limit: ContextVar[int] = ContextVar("memory_limit", default=DEFAULT)


@contextmanager
def limited_memory(limit: int) -> Iterator[None]:
    """Hold metrics that are scored inside the block to about `limit` bytes."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


def half_of_limit() -> int:
    """Return the bytes that kernels, or memoised steps, may use now."""
    return _limit.get() // 2


def working_bytes(at_most: int) -> int:
    """Return the bytes that a kernel may hold, given that it gains nothing beyond `at_most`.

    >>> with limited_memory(1000):
    ...     working_bytes(2000), working_bytes(100)
    (500, 100)
    """
    return min(at_most, half_of_limit())


def block_bytes() -> int:
    """Return the bytes of a block of rows, or of a batch of products."""
    return working_bytes(BLOCK)
