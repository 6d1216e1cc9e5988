"""Products of all pairs of n × n matrices, or of long vectors, in bounded memory; distances between rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.memory import block_bytes, working_bytes
from simbench.metrics.metric import Pairs

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

# Bytes of the vectors that are in memory at once.
RESIDENT = 2**30
# Rows of a symmetric matrix that are read together.
STRIPE = 256
# Share of the squared norms below which a squared distance from inner products has lost too many digits.
NEAR = 1e-5

# Maps rows and columns to that block of an n × n matrix; kernels that read a triangle take the matrix for symmetric.
BlockOf = Callable[[slice, slice], "Tensor"]


def cosines_of_vectors(make: Callable[[int], Tensor], pairs: Pairs) -> Tensor:
    """Compute ⟨v_a, v_b⟩ / √(⟨v_a, v_a⟩⟨v_b, v_b⟩) of every pair, (pairs,), float64; `make(k)` gives v_k, (length,).

    As many vectors as the limit allows, but for one, are held; the others visit them one by one, and the next are held.
    At least two are in memory at a time.
    """
    partners: dict[int, set[int]] = defaultdict(set)
    for a, b in pairs:
        partners[a].add(b)
        partners[b].add(a)
    waiting = sorted(partners)
    inner: dict[tuple[int, int], float] = {}
    while waiting:
        matrices = {waiting[0]: make(waiting[0])}
        room = working_bytes(RESIDENT) // matrices[waiting[0]].nbytes
        matrices |= {k: make(k) for k in waiting[1 : room if room >= len(waiting) else max(1, room - 1)]}
        waiting = waiting[len(matrices) :]
        vectors = list(matrices.values())
        for a, row in zip(matrices, _inner_products(vectors, vectors), strict=True):
            inner |= {(a, b): value for b, value in zip(matrices, row, strict=True)}
        for visitor in waiting:
            if partners[visitor] & matrices.keys():
                (row,) = _inner_products([make(visitor)], vectors)
                inner |= {(k, visitor): value for k, value in zip(matrices, row, strict=True)}
        del vectors, matrices  # before the next are made
    cosines = [inner[min(a, b), max(a, b)] / math.sqrt(inner[a, a] * inner[b, b]) for a, b in pairs]
    return torch.tensor(cosines, dtype=torch.float64)


def _inner_products(vectors: Sequence[Tensor], others: Sequence[Tensor]) -> list[list[float]]:
    """Compute ⟨v, w⟩ of all vectors and others, in float64, whatever the type of the vectors."""
    size = min(len(vectors[0]), max(1, block_bytes() // (8 * len({*map(id, vectors), *map(id, others)}))))
    total = torch.zeros(len(vectors), len(others), dtype=torch.float64, device=vectors[0].device)
    # filled again and again: fresh memory for every block costs more than the products
    columns = total.new_empty(len(others), size)
    rows = columns if vectors is others else total.new_empty(len(vectors), size)
    for start in range(0, len(vectors[0]), size):
        right = _filled(columns, others, start)
        left = right if rows is columns else _filled(rows, vectors, start)
        total += left @ right.T
    sums: list[list[float]] = total.tolist()
    return sums


def _filled(block: Tensor, vectors: Sequence[Tensor], start: int) -> Tensor:
    """Copy the part of all vectors from `start` on into the block, as much as it holds and in its type."""
    for row, vector in zip(block, vectors, strict=True):
        part = vector[start : start + len(row)]
        row[: len(part)] = part
    return block[:, : len(part)]


def symmetric_inner_products(matrices: Sequence[BlockOf], rows: int) -> tuple[Tensor, Tensor]:
    """Compute ⟨S_a, S_b⟩ of symmetric n × n matrices, (matrices, matrices), and their row sums, (matrices, n).

    Only blocks of rows are in memory. Of each block, only the diagonal block and what lies to its right are formed; the
    latter counts twice.
    """
    count = len(matrices)
    height = max(1, min(rows, block_bytes() // (8 * rows * count)))
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


def doubly_centred(inner: Tensor, sums: Tensor) -> Tensor:
    """Compute ⟨HS_aH, HS_bH⟩ from the ⟨S_a, S_b⟩ of symmetric matrices, (matrices, matrices), and row sums, (…, n)."""
    n, totals = sums.shape[1], sums.sum(dim=1)
    return inner - 2 / n * (sums @ sums.T) + torch.outer(totals, totals) / n**2


def parts_above_diagonal(matrix: BlockOf, rows: int) -> Iterator[Tensor]:
    """Yield the entries above the diagonal of a symmetric n × n matrix in flat portions, in an order set by n."""
    for start in range(0, rows, STRIPE):
        stop = min(start + STRIPE, rows)
        block = matrix(slice(start, stop), slice(start, rows))
        corner = block[:, : stop - start]
        yield corner[torch.ones_like(corner, dtype=torch.bool).triu_(1)]
        yield block[:, stop - start :].flatten()


def above_diagonal(matrix: BlockOf, rows: int) -> Tensor:
    """Return the entries above the diagonal as one vector, (n(n − 1)/2,), in the order of `parts_above_diagonal`."""
    parts = parts_above_diagonal(matrix, rows)
    first = next(parts)
    triangle = first.new_empty(rows * (rows - 1) // 2)
    position = 0
    for part in chain([first], parts):
        triangle[position : position + len(part)] = part
        position += len(part)
    return triangle


def middle_above_diagonal(matrix: BlockOf, rows: int) -> tuple[float, float]:
    """Return the two middle ones of the numbers above the diagonal, all ≥ 0; twice the same where their count is odd.

    The larger of two such numbers has the larger bits. As long as those that begin with the same bits as the lower one
    of the middle are too many for the memory limit, they are counted by their next 16 bits, in one more pass.
    """
    count = rows * (rows - 1) // 2
    lower, upper = (count - 1) // 2, count // 2
    start, length, below, inside = 0, 0, 0, count  # the first bits, and how many numbers lie below and begin with them
    while inside > working_bytes(RESIDENT) // 32 and length < 64:
        counts = np.zeros(2**16, dtype=np.int64)
        for part in parts_above_diagonal(matrix, rows):
            counts += np.bincount(_bits(part, start, length, length + 16), minlength=2**16)
        digit = int(np.searchsorted(below + counts.cumsum(), lower, side="right"))
        below, inside = below + int(counts[:digit].sum()), int(counts[digit])
        start, length = start << 16 | digit, length + 16
    kept, next_larger = [], math.inf
    for part in parts_above_diagonal(matrix, rows):
        if length > 0:
            beginning = part.view(torch.int64) >> (64 - length)
            larger = part[beginning > start]
            next_larger = min(next_larger, float(larger.min())) if len(larger) else next_larger
            part = part[beginning == start]
        kept.append(part.cpu().numpy())
    candidates = np.concatenate(kept)
    places = sorted({lower - below, min(upper - below, inside - 1)})
    candidates.partition(places)
    return float(candidates[places[0]]), float(candidates[places[-1]]) if upper - below < inside else next_larger


def _bits(numbers: Tensor, start: int, length: int, end: int) -> NDArray[np.int64]:
    """Return bits `length` to `end` of the numbers whose first `length` bits are `start`."""
    bits = numbers.view(torch.int64)
    if length > 0:
        bits = bits[bits >> (64 - length) == start]
    counts: NDArray[np.int64] = (bits >> (64 - end) & (2 ** (end - length) - 1)).cpu().numpy()
    return counts


def mean_of(matrix: BlockOf, rows: int, columns: int) -> float:
    """Compute the mean of all entries of a matrix that is made block by block."""
    height = max(1, block_bytes() // (4 * 8 * columns))  # a block, and what it is made from
    total = 0.0
    for start in range(0, rows, height):
        total += float(matrix(slice(start, min(start + height, rows)), slice(0, columns)).sum())
    return total / (rows * columns)


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Compute Euclidean distances between the rows of `x` and of `y`, (rows of x, rows of y); float64, best centred.

    From inner products, which is fast; the few distances that are small beside the norms are taken anew, from
    differences, so that none is only rounding error.
    """
    scale = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)
    squared = torch.addmm(scale, x, y.T, alpha=-2)
    near = torch.nonzero(squared < NEAR * scale)
    for part in torch.split(near, max(1, block_bytes() // (16 * x.shape[1]))):
        i, j = part.T
        squared[i, j] = (x[i] - y[j]).square().sum(dim=1)
    return squared.clamp_min_(0).sqrt_()


@dataclass(frozen=True)
class RowDistances:
    """The Euclidean distances between the rows of `x`, block by block; `offset` is taken off all but the diagonal.

    A kernel that centres the matrix loses fewer digits when the offset is about the mean distance.
    """

    x: Tensor
    offset: float = 0.0

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.x.shape[0]

    def __call__(self, rows: slice, columns: slice) -> Tensor:
        """Return a block; exactly 0 on the diagonal."""
        block = distances(self.x[rows], self.x[columns]) - self.offset
        both = range(max(rows.start, columns.start), min(rows.stop, columns.stop))
        if both:
            index = torch.arange(both.start, both.stop, device=block.device)
            block[index - rows.start, index - columns.start] = 0.0
        return block

    def mean(self) -> float:
        """Compute the mean of all entries."""
        return mean_of(self, self.rows, self.rows)

    def matrix(self) -> Tensor:
        """Return the whole matrix, (rows, rows)."""
        whole = slice(0, self.rows)
        return self(whole, whole)


def row_distances(x: Tensor, *, near_mean: bool = False) -> RowDistances:
    """Return the distances between the rows of `x`; with `near_mean`, less about their mean.

    Raises `NotApplicable` if all of them are 0.
    """
    x = centred(x)
    return RowDistances(x, math.sqrt(2 * float(x.square().sum()) / len(x)) if near_mean else 0.0)
