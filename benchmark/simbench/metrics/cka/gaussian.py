"""CKA with a Gaussian kernel.

    k(x, x′) = exp(−‖x − x′‖² / 2σ²),  σ = fraction · median of the distances ‖xᵢ − xⱼ‖ over pairs of rows i < j,

with a σ of its own for each representation: a fixed one would mean nothing without knowing the scale of the data. The
kernel matrices are centred, K̃ = HKH, and compared by the biased HSIC: cka = ⟨K̃, L̃⟩ / (‖K̃‖‖L̃‖).

A kernel matrix is as large as the square of the rows. None is kept: blocks of rows of all kernels are made, compared,
and forgotten. What centring removes is mostly gone before, so that no digits are lost to it: with q = ‖x − x′‖²/2σ² and
the median m of the q, blocks are of e^(q₀ − q) − 1, q₀ = min(m, 30), which is k up to a factor and a constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.lazy import lazy_import
from simbench.metrics.cka.linear import INVARIANT_TO
from simbench.metrics.kernels.centring import centred, same_gram
from simbench.metrics.kernels.cross_products import grouped
from simbench.metrics.kernels.distance_matrices import doubly_centred, middle_above_diagonal, symmetric_inner_products
from simbench.metrics.metric import Pairs, metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Fraction = Annotated[float, Field(gt=0)]
LARGEST = 30.0
"""Of q₀: a kernel is near enough to 0 there, and e^q₀ far enough from overflow."""


@dataclass(frozen=True)
class GaussianKernel:
    """The kernel matrix up to a factor and a constant, block by block, from the rows divided by √2 σ."""

    scaled: Tensor
    squares: Tensor
    typical: float

    def __call__(self, rows: slice, columns: slice) -> Tensor:
        """e^(q₀ − q) − 1; a block on the diagonal begins with it."""
        block = _SquaredDistances(self.scaled, self.squares)(rows, columns)
        if rows.start == columns.start:
            block.diagonal().zero_()  # the distance of a row from itself, without its rounding error
        return torch.expm1(block.neg_().add_(self.typical), out=block)


def rbf_cka_of_pairs(prepared: Sequence[GaussianKernel], pairs: Pairs, *, fraction: float) -> Tensor:
    """CKA of many pairs of kernels, shape (pairs,)."""
    values = torch.empty(len(pairs), dtype=torch.float64)
    for positions in grouped(range(len(pairs)), lambda k: len(prepared[pairs[k][0]].scaled)):
        used = sorted({index for k in positions for index in pairs[k]})
        slot = {index: k for k, index in enumerate(used)}
        rows = len(prepared[used[0]].scaled)
        hsic = doubly_centred(*symmetric_inner_products([prepared[index] for index in used], rows)).cpu()
        norms = hsic.diagonal().sqrt()
        cosines = hsic / (norms[:, None] * norms)
        values[positions] = cosines[[slot[pairs[k][0]] for k in positions], [slot[pairs[k][1]] for k in positions]]
    return values


def gaussian_kernel(x: Tensor, *, fraction: float) -> GaussianKernel:
    """Return the Gaussian kernel of the rows of `x` whose width is `fraction` of their median distance."""
    x = same_gram(centred(x))
    squares = x.square().sum(dim=1)
    width = fraction * _median(middle_above_diagonal(_SquaredDistances(x, squares), len(x)))
    return GaussianKernel(x / (2**0.5 * width), squares / (2 * width**2), min(1 / (2 * fraction**2), LARGEST))


@metric(
    "cka_rbf",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="CKA",
    formula="⟨HKH, HLH⟩ / (‖HKH‖ ‖HLH‖), k(x, x′) = exp(−‖x − x′‖²/2σ²), σ = fraction · median over i < j of ‖xᵢ − xⱼ‖",
    reference="Kornblith, Norouzi, Lee, Hinton (2019), Similarity of Neural Network Representations Revisited, "
    "Section 3 (RBF kernel)",
    prepare=gaussian_kernel,
    compare_many=rbf_cka_of_pairs,
)
def cka_rbf(x: Tensor, y: Tensor, *, fraction: Fraction = 0.5) -> Tensor:
    """CKA with a Gaussian kernel whose width is `fraction` of the median distance between rows.

    x: (rows, features), y: (rows, other features) → a scalar in [0, 1], near linear CKA for a large `fraction`. Where
    more than half of the distances are 0 there is no width: `ValueError`. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [2.0, 2.0]])
    >>> round(float(cka_rbf(x, 5 * x[:, [1, 0]] - 2)), 9)
    1.0
    """
    kernels = []
    for side in (centred(x), centred(y)):
        ordered = torch.nn.functional.pdist(side).square().sort().values.tolist()
        width = fraction * _median((ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]))
        square = torch.cdist(side, side, compute_mode="donot_use_mm_for_euclid_dist").square()
        kernel = torch.exp(-square / (2 * width**2))
        kernels.append(kernel - kernel.mean(dim=0) - kernel.mean(dim=1, keepdim=True) + kernel.mean())
    k, l = kernels  # noqa: E741 - as in the formula
    value: Tensor = (k * l).sum() / (torch.linalg.matrix_norm(k) * torch.linalg.matrix_norm(l))
    return value


@dataclass(frozen=True)
class _SquaredDistances:
    x: Tensor
    squares: Tensor

    def __call__(self, rows: slice, columns: slice) -> Tensor:
        """‖xᵢ − xⱼ‖², at least 0."""
        both = self.squares[rows, None] + self.squares[columns]
        return both.addmm_(self.x[rows], self.x[columns].T, alpha=-2).clamp_(min=0)


def _median(middle: tuple[float, float]) -> float:
    """Return the median of distances from the two squared ones in the middle."""
    median = (math.sqrt(middle[0]) + math.sqrt(middle[1])) / 2
    if median <= 0:
        raise ValueError("the median distance between rows is 0, so that the Gaussian kernel has no width")
    return median
