"""Memoisation of the steps that several metrics take: the centred matrix, its spectrum, products of pairs.

Inside `memoising()`, a function decorated with `@memoised` is called once for each matrix (and further arguments), and
one decorated with `@memoised_over_pairs` once for each pair; every later call is given the first result. Outside, and
for a matrix that has been changed in place since, nothing is memoised. A result belongs to all callers: nobody may
change it in place, and code from elsewhere is called `not_memoising()`.

The least recently used results are dropped first, and all of them at the end of the block.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from simbench.lazy import lazy_import
from simbench.metrics.kernels.memory import half_of_limit

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

P = ParamSpec("P")
X = TypeVar("X")
R = TypeVar("R")
# About as many bytes as an entry takes beside its tensors.
OVERHEAD = 500


class Memo:
    """Results, by function and identity of its arguments, within a limit of bytes."""

    def __init__(self, limit: int) -> None:
        """Start without results; keep `limit` bytes of them at most."""
        self._limit = limit
        self._bytes = 0
        self._kept: OrderedDict[Hashable, tuple[list[weakref.ref[Any]], Any, int, list[int]]] = OrderedDict()

    def find(self, name: Hashable, owners: Sequence[Any]) -> tuple[Any] | None:
        """Return, in a 1-tuple, the result for these very objects as they are now; None if there is none.

        A result that somebody changed in place is none.
        """
        key = _key(name, owners)
        if key not in self._kept:
            return None
        if [times_changed(tensor) for tensor in _tensors(self._kept[key][1])] != self._kept[key][3]:
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return (self._kept[key][1],)

    def keep(self, name: Hashable, owners: Sequence[Any], value: Any) -> None:
        """Keep a result, if it fits at all, until its room is needed or one of the objects is gone."""
        key, size = _key(name, owners), OVERHEAD + _bytes(value)
        if size > self._limit:
            return
        refs = [weakref.ref(owner, lambda _: self._forget(key)) for owner in owners]
        self._kept[key] = (refs, value, size, [times_changed(tensor) for tensor in _tensors(value)])
        self._bytes += size
        while self._bytes > self._limit:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: Hashable) -> None:
        if key in self._kept:
            self._bytes -= self._kept.pop(key)[2]


_memo: ContextVar[Memo | None] = ContextVar("memoised_steps", default=None)


@contextmanager
def memoising() -> Iterator[None]:
    """Memoise, inside the block, the steps that metrics have in common, within half of the memory limit."""
    token = _memo.set(Memo(half_of_limit()))
    try:
        yield
    finally:
        _memo.reset(token)


@contextmanager
def not_memoising() -> Iterator[None]:
    """Memoise nothing inside the block: for code that might change a result in place, which belongs to all callers."""
    token = _memo.set(None)
    try:
        yield
    finally:
        _memo.reset(token)


def memoised(step: Callable[Concatenate[X, P], R]) -> Callable[Concatenate[X, P], R]:
    """Memoise a function of a matrix (or of something made of one) whose result several metrics want.

    Further arguments are tensors, by position, or values that can be told apart by their hash.
    """

    @wraps(step)
    def memoised_step(x: X, /, *rest: P.args, **named: P.kwargs) -> R:
        memo = _memo.get()
        if memo is None:
            return step(x, *rest, **named)
        owners = [x, *(argument for argument in rest if isinstance(argument, torch.Tensor))]
        values = tuple(argument for argument in rest if not isinstance(argument, torch.Tensor))
        name = (step, values, tuple(sorted(named.items())))
        entry = memo.find(name, owners)
        if entry is None:
            entry = (step(x, *rest, **named),)
            memo.keep(name, owners, entry[0])
        result: R = entry[0]
        return result

    return memoised_step


def memoised_over_pairs(
    step: Callable[[Sequence[Tensor], Sequence[tuple[int, int]]], Tensor],
) -> Callable[[Sequence[Tensor], Sequence[tuple[int, int]]], Tensor]:
    """Memoise a function of matrices and pairs of them that gives (pairs,) numbers, equal for (a, b) and (b, a)."""

    @wraps(step)
    def memoised_step(matrices: Sequence[Tensor], pairs: Sequence[tuple[int, int]]) -> Tensor:
        memo = _memo.get()
        if memo is None:
            return step(matrices, pairs)
        asked = [tuple(sorted((matrices[a], matrices[b]), key=id)) for a, b in pairs]
        entries = [memo.find(step, owners) for owners in asked]
        missing = [k for k, entry in enumerate(entries) if entry is None]
        if missing:
            values = step(matrices, [pairs[k] for k in missing]).tolist()
            for k, value in zip(missing, values, strict=True):
                entries[k] = (value,)
                memo.keep(step, asked[k], value)
        return torch.tensor([entry[0] for entry in entries if entry is not None], dtype=torch.float64)

    return memoised_step


def _key(name: Hashable, owners: Sequence[Any]) -> Hashable:
    return (name, *((id(owner), times_changed(owner)) for owner in owners))


def times_changed(owner: Any) -> int:
    """Return how often a tensor was changed in place; tensors made for inference do not count that."""
    return owner._version if isinstance(owner, torch.Tensor) and not owner.is_inference() else 0


def _bytes(value: Any) -> int:
    """Return the bytes of the tensors in a result; a view keeps all of the tensor that it is a view of."""
    return sum(tensor.untyped_storage().nbytes() for tensor in _tensors(value))


def _tensors(value: Any) -> list[Tensor]:
    """Return the tensors in a result."""
    if isinstance(value, torch.Tensor):
        return [value]
    if dataclasses.is_dataclass(value):
        return [tensor for field in dataclasses.fields(value) for tensor in _tensors(getattr(value, field.name))]
    if isinstance(value, tuple):
        return [tensor for part in value for tensor in _tensors(part)]
    return []
