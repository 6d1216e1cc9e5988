"""Products of many pairs of matrices at once, their norms, and distances between Gram matrices.

Matrices come in centred; sums are float64.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.kernels.memoisation import memoised, memoised_over_pairs
from simbench.metrics.kernels.memory import block_bytes, half_of_limit
from simbench.metrics.metric import Pairs

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

# Number of features from which on products may be taken in float32.
WIDE = 64


@memoised
def for_products(x: Tensor, stored: torch.dtype) -> Tensor:
    """Return the centred `x` in the precision of products of all pairs: float32 if it was `stored` so, and is wide.

    Rounding it again changes a number by no more than storing it did, and the products, which cost most, take less than
    half the time (on most GPUs, far less). Sums of many rows in float32 lose digits that only the mean over many
    features has again: with 64 and more, nuclear norms were off by 1e-7 at most for 500 to 50,000 rows; with 4 by 1e-4.
    """
    single = stored.is_floating_point and torch.finfo(stored).bits <= 32 and x.shape[1] >= WIDE
    return x.float() if single else x


@memoised_over_pairs
def squared_cross_norms(matrices: Sequence[Tensor], pairs: Pairs) -> Tensor:
    """Compute ‖X_aᵀX_b‖² = ⟨X_a X_aᵀ, X_b X_bᵀ⟩ of every pair, shape (pairs,); the matrices have shapes (rows, dᵢ).

    The left form costs rows · d_a · d_b per pair, the right one rows² per pair and rows² · d once per matrix. The
    cheaper is taken for each group of matrices with equally many rows.
    """
    unique, back = unordered(pairs)
    values = torch.empty(len(unique), dtype=torch.float64)
    for positions in grouped(range(len(unique)), lambda k: matrices[unique[k][0]].shape[0]):
        group = [unique[k] for k in positions]
        used = sorted({index for pair in group for index in pair})
        rows, widths = matrices[used[0]].shape[0], {index: matrices[index].shape[1] for index in used}
        by_features = rows * sum(widths[a] * widths[b] for a, b in group)
        by_rows = rows**2 * (sum(widths.values()) + len(used) ** 2) / 2
        if by_features <= by_rows:
            chosen = _feature_inner_products(matrices, group)
        else:
            inner = _gram_inner_products([matrices[index] for index in used])
            slot = {index: k for k, index in enumerate(used)}
            chosen = inner[[slot[a] for a, _ in group], [slot[b] for _, b in group]]
        values[positions] = chosen.cpu()
    return values[back]


def _feature_inner_products(matrices: Sequence[Tensor], pairs: Pairs) -> Tensor:
    """Compute ‖X_aᵀX_b‖² of every pair, shape (pairs,), by one product per left side and block of right sides."""
    values = torch.empty(len(pairs), dtype=torch.float64, device=matrices[pairs[0][0]].device)
    for positions in grouped(range(len(pairs)), lambda k: pairs[k][0]):
        left = matrices[pairs[positions[0]][0]].T
        widest = max(matrices[pairs[k][1]].shape[1] for k in positions)
        size = max(1, block_bytes() // (8 * max(2 * left.shape[0], left.shape[1]) * widest))
        for start in range(0, len(positions), size):
            chunk = positions[start : start + size]
            rights = [matrices[pairs[k][1]] for k in chunk]
            widths = [right.shape[1] for right in rights]
            columns = (left @ torch.cat(rights, dim=1)).square().sum(dim=0)
            values[chunk] = torch.stack([part.sum() for part in torch.split(columns, widths)])
    return values


def _gram_inner_products(matrices: Sequence[Tensor]) -> Tensor:
    """Compute all ⟨X_a X_aᵀ, X_b X_bᵀ⟩, shape (matrices, matrices), streaming over blocks of Gram rows.

    A Gram matrix is symmetric: of each block of rows only the diagonal block and what lies to its right are formed, and
    the latter counts twice. A block is written and read once, so it had better stay in the cache: smaller is faster.
    """
    rows, count = matrices[0].shape[0], len(matrices)
    height = max(1, min(rows, block_bytes() // (8 * rows * count)))
    total = matrices[0].new_zeros(count, count)
    buffer = matrices[0].new_empty(count * height * rows)
    for start in range(0, rows, height):
        stop = min(start + height, rows)
        for right, weight in ((slice(start, stop), 1), (slice(stop, rows), 2)):
            shape = (count, stop - start, right.stop - right.start)
            block = buffer[: math.prod(shape)].view(shape)
            for gram, x in zip(block, matrices, strict=True):
                torch.mm(x[start:stop], x[right].T, out=gram)
            flat = block.view(count, -1)
            total += weight * (flat @ flat.T)
    return total


@memoised_over_pairs
def nuclear_cross_norms(matrices: Sequence[Tensor], pairs: Pairs) -> Tensor:
    """Compute ‖X_aᵀX_b‖∗ of every pair, shape (pairs,); the matrices have shapes (rows, dᵢ) and any precision.

    The value for a matrix with itself is the trace of XᵀX, ‖X‖².
    """
    unique, back = unordered(pairs)
    values = torch.empty(len(unique), dtype=torch.float64)
    for k, (a, b) in enumerate(unique):
        if a == b:
            values[k] = matrices[a].double().square().sum()
    others = [k for k, (a, b) in enumerate(unique) if a != b]
    for positions, products in cross_products(matrices, [unique[k] for k in others]):
        values[[others[k] for k in positions]] = nuclear_norms(products).cpu()
    return values[back]


def cross_products(matrices: Sequence[Tensor], pairs: Pairs) -> Iterator[tuple[list[int], Tensor]]:
    """Yield batches of X_aᵀX_b of one shape, each with the positions of its pairs."""

    def shape(k: int) -> tuple[int, int]:
        return matrices[pairs[k][0]].shape[1], matrices[pairs[k][1]].shape[1]

    for positions in grouped(range(len(pairs)), shape):
        wide, high = shape(positions[0])
        # Other metrics may want the same products; more than there is room for would only drive out other things.
        multiply = _memoised_product if 8 * wide * high * len(positions) <= half_of_limit() // 4 else _product
        # The products, and what a decomposition adds to them.
        size = max(1, block_bytes() // (4 * 8 * wide * high))
        for start in range(0, len(positions), size):
            chunk = positions[start : start + size]
            yield chunk, torch.stack([multiply(matrices[pairs[k][0]], matrices[pairs[k][1]]) for k in chunk])


def _product(x: Tensor, y: Tensor) -> Tensor:
    """Return xᵀy in float64, taken in the precision of x and y."""
    if x.dtype != y.dtype:
        x, y = x.double(), y.double()
    return (x.T @ y).double()


_memoised_product = memoised(_product)


def nuclear_norms(products: Tensor, *, tolerance: float = 1e-7) -> Tensor:
    """Compute the sums of singular values of a batch of matrices (b, r, s), shape (b,), to a relative `tolerance`.

    The roots of the eigenvalues of M Mᵀ are up to twice as fast as singular values, but squaring halves the digits: an
    eigenvalue λ is known to about δ = 2ε · λ₁ only, hence its root to min(√δ, δ / 2√λ). Matrices for which these
    errors, added up, exceed the tolerance get a singular value decomposition. (Among Gaussian, geometric, power-law and
    stepped spectra of 8 to 512 values the true error was never more than .9 of that sum, mostly far less.)
    """
    if products.shape[1] > products.shape[2]:
        products = products.mT
    eigenvalues: Tensor = torch.linalg.eigvalsh(products @ products.mT).clamp_min(0)
    roots = eigenvalues.sqrt()
    error = 2 * torch.finfo(torch.float64).eps * eigenvalues.amax(dim=1, keepdim=True)
    sums = roots.sum(dim=1)
    doubtful = torch.minimum(error.sqrt(), error / (2 * roots)).nan_to_num(0.0).sum(dim=1) > tolerance * sums
    if bool(doubtful.any()):
        sums[doubtful] = torch.linalg.svdvals(products[doubtful]).sum(dim=1)
    return sums


def gram_distance(x: Tensor, y: Tensor) -> Tensor:
    """Compute ‖x xᵀ − y yᵀ‖ from the difference itself, which is exact for nearly equal Gram matrices, too.

    The QR decomposition of [x y] gives coordinates in which both Gram matrices are no larger than they need to be.

    >>> x = torch.tensor([[3.0], [4.0]], dtype=torch.float64)
    >>> float(gram_distance(x, -x)), round(float(gram_distance(x, 0 * x)), 9)
    (0.0, 25.0)
    """
    r = torch.linalg.qr(torch.cat([x, y], dim=1), mode="r").R
    a, b = r[:, : x.shape[1]], r[:, x.shape[1] :]
    norm: Tensor = torch.linalg.matrix_norm(a @ a.T - b @ b.T)
    return norm


def angle_of_chord(chord: Tensor) -> Tensor:
    """Return the angle between two unit vectors that are `chord` apart: arccos of their product loses small angles."""
    return 2 * torch.asin((chord / 2).clamp(max=1))


def unordered(pairs: Pairs) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the distinct unordered pairs, and the position of each of `pairs` among them: for symmetric metrics.

    >>> unordered([(0, 1), (1, 0), (1, 1)])
    ([(0, 1), (1, 1)], [0, 0, 1])
    """
    position: dict[tuple[int, int], int] = {}
    back = [position.setdefault((min(pair), max(pair)), len(position)) for pair in pairs]
    return list(position), back


def grouped(positions: range, key: Callable[[int], Hashable]) -> Iterator[list[int]]:
    """Yield the positions in lists of equal `key`, in order of first appearance."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for position in positions:
        groups[key(position)].append(position)
    yield from groups.values()
