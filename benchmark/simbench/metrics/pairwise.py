"""All pairs of n × n matrices or of long vectors in bounded memory: what the RSA and distance families share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.linear_algebra import centred
from simbench.metrics.metric import Pairs

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

BLOCK = 32 * 2**20
"""Bytes of a block of rows of all matrices: small enough to stay near the processor."""
RESIDENT = 2**30
"""Bytes of the vectors that are held at once."""
NEAR = 1e-5
"""Of the squared norms: below it a squared distance taken from inner products has lost too many digits."""

BlockOf = Callable[[slice, slice], "Tensor"]
"""Rows and columns → that part of a symmetric n × n matrix."""


def tiles(pairs: Pairs, size: int) -> Iterator[tuple[list[int], list[int]]]:
    """The pairs in portions that involve at most `size` (at least 2) items: the items, and the positions of the pairs.

    >>> list(tiles([(0, 1), (2, 2), (1, 2)], 2))
    [([0, 1], [0]), ([0, 2], [1]), ([1, 2], [2])]
    """
    used = sorted({index for pair in pairs for index in pair})
    half = len(used) if len(used) <= size else max(1, size // 2)
    groups = [used[start : start + half] for start in range(0, len(used), half)]
    done: set[int] = set()
    for first, group in enumerate(groups):
        for other in groups[first + (len(groups) > 1) :]:
            items = sorted({*group, *other})
            inside = set(items)
            positions = [k for k, (a, b) in enumerate(pairs) if k not in done and a in inside and b in inside]
            done.update(positions)
            yield items, positions


def cosines_of_vectors(
    make: Callable[[int], Tensor], pairs: Pairs, length: int, *, memory_limit: int = RESIDENT
) -> Tensor:
    """⟨v_a, v_b⟩ / √(⟨v_a, v_a⟩⟨v_b, v_b⟩) for every pair, shape (pairs,), float64; `make(k)` gives v_k, (length,).

    As many vectors as the limit allows are held at once and multiplied with one another in one product.
    """
    found = torch.empty(len(pairs), dtype=torch.float64)
    held: dict[int, Tensor] = {}
    for items, positions in tiles(pairs, max(2, memory_limit // (8 * length))):
        if not positions:
            continue
        held = {index: held[index] if index in held else make(index) for index in items}
        inner = _inner_products([held[index] for index in items])
        slot = {index: k for k, index in enumerate(items)}
        norms = torch.outer(inner.diagonal(), inner.diagonal()).sqrt()
        cosines = (inner / norms).cpu()
        for k in positions:
            found[k] = cosines[slot[pairs[k][0]], slot[pairs[k][1]]]
    return found


def _inner_products(vectors: Sequence[Tensor]) -> Tensor:
    """All inner products, (vectors, vectors), float64, whatever the type of the vectors."""
    size = max(1, BLOCK // (8 * len(vectors)))
    total = torch.zeros(len(vectors), len(vectors), dtype=torch.float64, device=vectors[0].device)
    for start in range(0, len(vectors[0]), size):
        block = torch.stack([vector[start : start + size] for vector in vectors]).double()
        total += block @ block.T
    return total


def symmetric_inner_products(
    matrices: Sequence[BlockOf], rows: int, *, memory_limit: int = BLOCK
) -> tuple[Tensor, Tensor]:
    """⟨S_a, S_b⟩ of symmetric n × n matrices, (matrices, matrices), and their row sums, (matrices, n).

    Only blocks of rows are ever held. Of each, only the diagonal block and what lies to its right are formed; the
    latter counts twice.
    """
    count = len(matrices)
    height = max(1, min(rows, memory_limit // (8 * rows * count)))
    inner, sums = None, None
    for start in range(0, rows, height):
        stop = min(start + height, rows)
        for right, weight in ((slice(start, stop), 1), (slice(stop, rows), 2)):
            block = torch.stack([matrix(slice(start, stop), right) for matrix in matrices])
            if inner is None or sums is None:
                inner, sums = block.new_zeros(count, count), block.new_zeros(count, rows)
            flat = block.reshape(count, -1)
            inner += weight * (flat @ flat.T)
            sums[:, start:stop] += block.sum(dim=2)
            if weight == 2:
                sums[:, stop:] += block.sum(dim=1)
    assert inner is not None
    assert sums is not None
    return inner, sums


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances between the rows of `x` and of `y`, (rows of x, rows of y); float64 and best centred.

    From inner products, which is fast; the few distances that are small beside the norms are taken anew, from
    differences, so that none is only rounding error.
    """
    scale = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)
    squared = torch.addmm(scale, x, y.T, alpha=-2)
    near = torch.nonzero(squared < NEAR * scale)
    for part in torch.split(near, max(1, BLOCK // (16 * x.shape[1]))):
        i, j = part.T
        squared[i, j] = (x[i] - y[j]).square().sum(dim=1)
    return squared.clamp_min_(0).sqrt_()


@dataclass(frozen=True)
class RowDistances:
    """The Euclidean distances between the rows of `x`, block by block; `offset` is taken off all but the diagonal.

    What centres its matrices loses fewer digits when the offset is about the mean distance.
    """

    x: Tensor
    offset: float = 0.0

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.x.shape[0]

    def __call__(self, rows: slice, columns: slice) -> Tensor:
        """A block; exactly 0 on the diagonal."""
        block = distances(self.x[rows], self.x[columns]) - self.offset
        both = range(max(rows.start, columns.start), min(rows.stop, columns.stop))
        if both:
            index = torch.arange(both.start, both.stop, device=block.device)
            block[index - rows.start, index - columns.start] = 0.0
        return block

    def matrix(self) -> Tensor:
        """All of it, (rows, rows)."""
        whole = slice(0, self.rows)
        return self(whole, whole)


def row_distances(x: Tensor, *, near_mean: bool = False) -> RowDistances:
    """The distances between the rows of `x`; with `near_mean`, less about their mean. `NotApplicable` if all are 0."""
    x = centred(x)
    return RowDistances(x, math.sqrt(2 * float(x.square().sum()) / len(x)) if near_mean else 0.0)
