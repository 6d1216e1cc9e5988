"""Steps that several metrics take, taken once: the centred matrix, its spectrum, the neighbours, products of pairs.

Inside `sharing()`, a function marked `@shared` is called once for each matrix (and further arguments), and one marked
`@shared_over_pairs` once for each pair; any metric that asks again is given what was found. Outside, and for a matrix
that has been changed in place since, nothing is remembered. A result belongs to all: nobody may change it in place.

What was used longest ago is forgotten first, and all of it at the end of the block.
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
OVERHEAD = 500
"""Bytes that an entry takes beside its tensors, about."""


class Memo:
    """Results by what made them and the identity of what they were made of, within `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._kept: OrderedDict[Hashable, tuple[list[weakref.ref[Any]], Any, int]] = OrderedDict()

    def find(self, name: Hashable, owners: Sequence[Any]) -> tuple[Any] | None:
        """In a 1-tuple, what was kept for these very objects as they are now."""
        key = _key(name, owners)
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return (self._kept[key][1],)

    def keep(self, name: Hashable, owners: Sequence[Any], value: Any) -> None:
        """Keep a result, if there is room for it at all, until the room is needed or one of the objects is gone."""
        key, size = _key(name, owners), OVERHEAD + _bytes(value)
        if size > self._limit:
            return
        refs = [weakref.ref(owner, lambda _: self._forget(key)) for owner in owners]
        self._kept[key] = (refs, value, size)
        self._bytes += size
        while self._bytes > self._limit:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: Hashable) -> None:
        if key in self._kept:
            self._bytes -= self._kept.pop(key)[2]


_memo: ContextVar[Memo | None] = ContextVar("shared_steps", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Metrics scored inside share what they have in common, within half of the memory limit."""
    token = _memo.set(Memo(half_of_limit()))
    try:
        yield
    finally:
        _memo.reset(token)


def shared(step: Callable[Concatenate[X, P], R]) -> Callable[Concatenate[X, P], R]:
    """Mark a function of a matrix (or of what was made of one) whose result several metrics want.

    Further arguments are tensors, by position, or values that can be told apart by their hash.
    """

    @wraps(step)
    def remembered(x: X, /, *rest: P.args, **named: P.kwargs) -> R:
        memo = _memo.get()
        if memo is None:
            return step(x, *rest, **named)
        owners = [x, *(argument for argument in rest if isinstance(argument, torch.Tensor))]
        values = tuple(argument for argument in rest if not isinstance(argument, torch.Tensor))
        name = (step, values, tuple(sorted(named.items())))
        found = memo.find(name, owners)
        if found is None:
            found = (step(x, *rest, **named),)
            memo.keep(name, owners, found[0])
        result: R = found[0]
        return result

    return remembered


def shared_over_pairs(
    step: Callable[[Sequence[Tensor], Sequence[tuple[int, int]]], Tensor],
) -> Callable[[Sequence[Tensor], Sequence[tuple[int, int]]], Tensor]:
    """Mark a function of matrices and pairs of them, (pairs,) numbers, the same for (a, b) and (b, a)."""

    @wraps(step)
    def remembered(matrices: Sequence[Tensor], pairs: Sequence[tuple[int, int]]) -> Tensor:
        memo = _memo.get()
        if memo is None:
            return step(matrices, pairs)
        asked = [tuple(sorted((matrices[a], matrices[b]), key=id)) for a, b in pairs]
        known = [memo.find(step, owners) for owners in asked]
        missing = [k for k, found in enumerate(known) if found is None]
        if missing:
            values = step(matrices, [pairs[k] for k in missing]).tolist()
            for k, value in zip(missing, values, strict=True):
                known[k] = (value,)
                memo.keep(step, asked[k], value)
        return torch.tensor([found[0] for found in known if found is not None], dtype=torch.float64)

    return remembered


def _key(name: Hashable, owners: Sequence[Any]) -> Hashable:
    return (name, *((id(owner), _version(owner)) for owner in owners))


def _version(owner: Any) -> int:
    """How often a tensor was changed in place; tensors made for inference do not count that."""
    return owner._version if isinstance(owner, torch.Tensor) and not owner.is_inference() else 0


def _bytes(value: Any) -> int:
    """The bytes of the tensors in a result; a view keeps all of what it is a view of."""
    if isinstance(value, torch.Tensor):
        return value.untyped_storage().nbytes()
    if dataclasses.is_dataclass(value):
        return sum(_bytes(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, tuple):
        return sum(_bytes(part) for part in value)
    return 0
