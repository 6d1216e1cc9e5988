"""The floor: the products and decompositions that a family of metrics cannot do without, alone.

In float64, but for products of all pairs of which nothing is subtracted: these are as exact as inputs in float32.

What makes numbers of them (norms, ranks, assignments) counts where nothing is known to replace it. For products of all
pairs the cheaper of the two ways is taken that `simbench.metrics.kernels.cross_products` describes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, combinations_with_replacement

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Sides = Sequence[Tensor]
HEIGHT = 100


def _cross(sides: Sides) -> list[Tensor]:
    return [a.T @ b for a, b in combinations_with_replacement(sides, 2)]


def _gram_blocks(sides: Sides, work: Callable[[Tensor], Tensor] = lambda block: block) -> None:
    """Blocks of rows of all n × n matrices, on and above the diagonal, and their inner products."""
    for start in range(0, len(sides[0]), HEIGHT):
        blocks = torch.stack([work(x[start : start + HEIGHT] @ x[start:].T) for x in sides]).flatten(1)
        blocks @ blocks.T


def gram(sides: Sides) -> None:
    """⟨K, L⟩ of all pairs."""
    rows, widths, count = len(sides[0]), sum(x.shape[1] for x in sides), len(sides)
    if widths**2 <= rows * (widths + count**2):
        _cross(sides)
    else:
        _gram_blocks(sides)


def nuclear(sides: Sides) -> None:
    """Cross products and the eigenvalues of M Mᵀ; with itself, a matrix has a product whose trace is enough."""
    for a, b in combinations(sides, 2):
        product = (a.T @ b).double()
        torch.linalg.eigvalsh(product @ product.T)


def nuclear_of_rounded(sides: Sides) -> None:
    """The same from float32."""
    nuclear([x.float() for x in sides])


def bases(sides: Sides) -> list[Tensor]:
    """A thin singular value decomposition each."""
    return [torch.linalg.svd(x, full_matrices=False).U for x in sides]


def full_products(sides: Sides) -> None:
    """Bases, cross products and their singular value decompositions."""
    for product in _cross(bases(sides)):
        torch.linalg.svd(product)


def ranked(sides: Sides) -> None:
    """The product of all rows, a sort of what lies above the diagonal, and all inner products of the ranks."""
    ranks = []
    for x in sides:
        square = x @ x.T
        upper = square[torch.ones_like(square, dtype=torch.bool).triu_(1)]
        ranks.append(torch.from_numpy(np.sort(upper.numpy())))
    together = torch.stack(ranks)
    together @ together.T


def triangles(sides: Sides) -> None:
    """The same without the sort."""
    _gram_blocks(sides)


def distances(sides: Sides) -> None:
    """Products of rows, roots, inner products."""
    _gram_blocks(sides, lambda block: block.abs().sqrt_())


def kernels(sides: Sides) -> None:
    """Products of rows, exponentials, inner products."""
    _gram_blocks(sides, lambda block: block.abs().neg_().exp_())


def nearest(sides: Sides) -> None:
    """Products of rows and the ten largest of each."""
    for x in sides:
        for start in range(0, len(x), HEIGHT):
            (x[start : start + HEIGHT] @ x.T).topk(10, dim=1)


def assigned(sides: Sides) -> None:
    """Cross products, and one assignment each."""
    for product in _cross(sides):
        linear_sum_assignment(product.numpy(), maximize=True)


FLOORS: dict[str, Callable[[Sides], object]] = {
    **dict.fromkeys(("cka", "cka_debiased", "cka_angular", "ensd", "cka_dimension_corrected"), gram),
    **dict.fromkeys(
        ("nbs", "procrustes", "procrustes_squared", "procrustes_angular", "procrustes_size_shape"),
        nuclear_of_rounded,
    ),
    "identifiability_svd": nuclear,
    "cca": lambda sides: nuclear(bases(sides)),
    "cca_squared": lambda sides: gram(bases(sides)),
    "linear_regression": lambda sides: gram(bases(sides)),
    "gulp": lambda sides: gram(bases(sides)),
    "pwcca": full_products,
    "rsa": ranked,
    "rsa_pearson": triangles,
    "rsa_whitened_cosine": gram,
    "distance_correlation": distances,
    "rsm_norm_difference": distances,
    "cka_rbf": kernels,
    **dict.fromkeys(("mutual_knn", "knn_jaccard", "rank_similarity"), nearest),
    **dict.fromkeys(("match_bipartite", "soft_matching"), assigned),
}
