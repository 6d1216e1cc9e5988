"""Representational dissimilarity matrices: the distances between the rows of one representation, and their ranks.

A row without direction (constant over the units; for the cosine, all zero) correlates with none: its distance from
every other row is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.distance_matrices import RowDistances, above_diagonal

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

Distance = Literal["pearson", "cosine", "euclidean"]
Comparator = Literal["spearman", "pearson", "cosine"]
# Count of numbers ranked at a time: the intermediate values are several times as large.
PORTION = 2**19
# Dissimilarities that differ by less than this share of the largest are ties: their difference is rounding.
SAME = 2.0**-46


@dataclass(frozen=True)
class Patterns:
    """Rows normalised for their distance, (rows, features), float64, and the number of rows without direction."""

    distance: Distance
    rows: Tensor
    without_direction: int = 0

    @property
    def entries(self) -> int:
        """Length of the upper triangle of the RDM."""
        return len(self.rows) * (len(self.rows) - 1) // 2

    def dissimilarities(self) -> Tensor:
        """Return the upper triangle of the RDM, (entries,), in an order that depends on the number of rows only."""
        euclidean = self.distance == "euclidean"
        return above_diagonal(RowDistances(self.rows) if euclidean else self._cosine_distances, len(self.rows))

    def _cosine_distances(self, i: slice, j: slice) -> Tensor:
        """Return 1 − the products of some rows with others, in one pass."""
        return torch.addmm(self.rows.new_ones(1, 1), self.rows[i], self.rows[j].T, alpha=-1)


def patterns(x: Tensor, distance: Distance) -> Patterns:
    """Normalise the rows for the distance. `NotApplicable` when no two rows differ, or none has a direction."""
    centre_columns = centred(x)  # for its check that there is any variance at all
    if distance == "euclidean":
        return Patterns(distance, centre_columns)
    x = x.double()
    if distance == "pearson":
        x = x - x[:, :1]  # first, so that a constant row becomes exactly 0
        x = x - x.mean(dim=1, keepdim=True)
    norms: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    empty = int((norms == 0).sum())
    if empty == len(x):
        raise NotApplicable("no row varies over the units: a correlation distance needs at least two units")
    return Patterns(distance, x / torch.where(norms > 0, norms, 1.0), empty)


def ranks(values: Tensor) -> Tensor:
    """Return twice the rank of every value less twice the mean rank: exact integers; ties have their mean rank.

    Value and position travel in one integer, so that the fastest of sorts will do.

    >>> ranks(torch.tensor([0.3, 0.1, 0.3])).tolist()
    [1, -2, 1]
    """
    count = len(values)
    bits = max(1, (count - 1).bit_length())
    low, high = float(values.min()), float(values.max())
    grid = max((high - low) / 2 ** (62 - bits), SAME * max(abs(low), abs(high)))
    if high - low <= grid:
        raise NotApplicable("all dissimilarities are equal")
    packed = torch.empty(count, dtype=torch.int64, device=values.device)
    for start in range(0, count, PORTION):
        part = (values[start : start + PORTION] - low) / grid
        position = torch.arange(start, start + len(part), device=values.device)
        packed[start : start + len(part)] = part.round_().long().bitwise_left_shift_(bits).bitwise_or_(position)
    del values, part
    ordered = _sorted(packed)
    ranks_found = torch.empty(count, dtype=torch.int32, device=ordered.device)
    # What differs by rounding may lie on either side of a cell's edge; so neighbours tie, where few are by chance.
    reach = int(2 ** (62 - bits) > 2**6 * count)
    start = 0
    while start < count:
        stop = min(start + PORTION, count)
        while (tied := _behind(ordered, stop, bits, reach)) > stop:  # all that are tied with the last
            stop = tied
        _put_ranks(ranks_found, ordered[start:stop], start, bits, reach)
        start = stop
    return ranks_found


def _behind(ordered: Tensor, stop: int, bits: int, reach: int) -> int:
    """Return the end of the values in the cell of the one before `stop`, or within `reach` of it."""
    return int(torch.searchsorted(ordered, ((int(ordered[stop - 1]) >> bits) + 1 + reach) << bits))


def _put_ranks(ranks_found: Tensor, ordered: Tensor, start: int, bits: int, reach: int) -> None:
    """Write the ranks of some packed values, in order, to the positions of the values; `start` values are smaller."""
    value = ordered >> bits
    first = torch.ones_like(value, dtype=torch.bool)
    first[1:] = value[1:] - value[:-1] > reach
    starts = torch.nonzero(first).flatten()
    ends = torch.cat([starts[1:], starts.new_tensor([len(ordered)])])
    # Ranks start + starts + 1 … start + ends, whose mean is start + (starts + ends + 1) / 2.
    twice = (2 * start + starts + ends - len(ranks_found)).to(torch.int32)
    tied = len(starts) < len(ordered)
    ranks_found[ordered & (2**bits - 1)] = torch.repeat_interleave(twice, ends - starts) if tied else twice


def _sorted(integers: Tensor) -> Tensor:
    """Sort in ascending order; numpy's vectorised sort of integers is several times faster than torch's on the CPU."""
    if integers.device.type != "cpu":
        return integers.sort().values
    array = integers.numpy()
    array.sort()
    return torch.from_numpy(array)


def compared(side: Patterns, comparator: Comparator) -> Tensor:
    """Transform the upper triangle for its comparator: the cosine of two such vectors is the value of RSA."""
    if comparator == "spearman":
        return ranks(side.dissimilarities())
    values = side.dissimilarities()
    if comparator == "pearson":
        low, high, mean = *map(float, values.aminmax()), float(values.mean())
        if max(mean - low, high - mean) <= SAME * max(-low, high):
            raise NotApplicable("all dissimilarities are equal")
        return values.sub_(mean)
    if not bool(values.any()):
        raise NotApplicable("all dissimilarities are 0")
    return values
