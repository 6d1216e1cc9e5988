"""Predictivity by partial least squares, as in Brain-Score.

In each fold, X̃ and Ỹ are centred on the training rows. Component by component, PLS takes the direction w of X̃ whose
covariance with Ỹ is largest, the leading left singular vector of X̃ᵀỸ, regresses both sides on the scores t = X̃w, and
goes on with what is left. The plain function leaves that to scikit-learn.

The batched interface never deflates the data. With S = X̃ᵀX̃ and C = X̃ᵀỸ, which for all folds are sums of blocks of rows,
the scores of the undeflated X̃ have coefficients r = w − Σⱼ (pⱼᵀw) rⱼ and squared norm rᵀSr, loadings p = Sr/rᵀSr and
q = Cᵀr/rᵀSr, and C loses (rᵀSr) p qᵀ (Dayal and MacGregor, 1997). The prediction is X̃ Σ r qᵀ.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simbench.bounds import Width
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred, same_gram
from simbench.metrics.kernels.cross_products import grouped
from simbench.metrics.kernels.prediction import Folds, median_correlation, splits_of_rows
from simbench.metrics.metric import Pairs, metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Components = Width
DENSE = 96
"""Up to this width all eigenvectors are found as fast as the leading one alone."""


@dataclass(frozen=True)
class Sides:
    """A representation as the source of predictions, at most as wide as it is long, and as their target."""

    design: Tensor
    target: Tensor


def sides(x: Tensor, *, components: int, folds: int, seed: int) -> Sides:
    """Return the centred matrix, as regressor and as target."""
    x = centred(x)
    return Sides(same_gram(x), x)


def pls_of_pairs(prepared: Sequence[Sides], pairs: Pairs, *, components: int, folds: int, seed: int) -> list[float]:
    """Return the PLS predictivity of many directed pairs; what depends on the left side only is made once for it."""
    values = [0.0] * len(pairs)
    for positions in grouped(range(len(pairs)), lambda k: pairs[k][0]):
        x = prepared[pairs[positions[0]][0]].design
        splits = list(splits_of_rows(len(x), folds, seed))
        for rows, training in splits:
            mean = x[training].mean(dim=0)
            train, test = x[training] - mean, x[rows] - mean
            covariance = train.T @ train
            for k in positions:
                y = prepared[pairs[k][1]].target
                y_train = y[training] - y[training].mean(dim=0)
                coefficients = _coefficients(covariance, train.T @ y_train, components)
                values[k] += median_correlation(test @ coefficients, y[rows]) / len(splits)
    return values


@metric(
    "pls_predictivity",
    version=1,
    higher_is_more_similar=True,
    symmetric=False,
    value_range=(-1.0, 1.0),
    invariant_to={"permutation", "isotropic_scaling", "translation"},
    purposes={"geometry"},
    family="regression",
    formula="mean over folds of the median over units of the correlation of Y_f with its prediction by PLS regression",
    reference="Schrimpf et al. (2018), Brain-Score, neural predictivity (PLS regression, 25 components)",
    cost="heavy",
    prepare=sides,
    compare_many=pls_of_pairs,
)
def pls_predictivity(x: Tensor, y: Tensor, *, components: Components = 25, folds: Folds = 10, seed: int = 0) -> float:
    """Prediction of held-out rows of Y by partial least squares from X: median correlation over units. Directed.

    x: (rows, features), y: (rows, other features) → a number in [-1, 1], invariant to rotations of x. Of `components`
    no more are taken than the training rows of X have dimensions. `seed` deals the rows to the folds. Raises
    `NotApplicable` without variance.

    >>> x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    >>> round(pls_predictivity(x, x @ torch.ones(3, 2) + 1), 6)
    1.0
    """
    from sklearn.cross_decomposition import PLSRegression

    x, y = same_gram(centred(x)).cpu(), centred(y).cpu()
    correlations = []
    for rows, training in splits_of_rows(len(x), folds, seed):
        rank = int(torch.linalg.matrix_rank(x[training] - x[training].mean(dim=0)))
        model: Any = PLSRegression(n_components=max(1, min(components, rank)), scale=False)
        model.algorithm = "svd"  # exact leading vectors; power iterations stop at an absolute tolerance
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # targets that are fitted before the last component
            model.fit(x[training].numpy(), y[training].numpy())
        predicted = torch.as_tensor(model.predict(x[rows].numpy())).reshape(len(rows), -1)
        correlations.append(median_correlation(predicted, y[rows]))
    return sum(correlations) / len(correlations)


def _coefficients(covariance: Tensor, cross: Tensor, components: int) -> Tensor:
    """Return the PLS regression coefficients, (features, units), from X̃ᵀX̃ and X̃ᵀỸ."""
    directions: list[Tensor] = []
    loadings: list[Tensor] = []
    weights: list[Tensor] = []
    precision = len(covariance) * torch.finfo(torch.float64).eps
    start, scale = float(torch.linalg.matrix_norm(cross)), float(covariance.trace())
    for _ in range(min(components, len(covariance))):
        if float(torch.linalg.matrix_norm(cross)) <= precision * start:
            break
        w = _leading_left_vector(cross)
        r = w.clone()
        for p, earlier in zip(loadings, directions, strict=True):
            r -= (p @ w) * earlier
        image = covariance @ r
        squared = float(r @ image)
        if squared <= precision * scale:
            break
        directions.append(r)
        loadings.append(image / squared)
        weights.append(cross.T @ r / squared)
        cross = cross - squared * torch.outer(loadings[-1], weights[-1])
    if not directions:
        return torch.zeros_like(cross)
    return torch.stack(directions, dim=1) @ torch.stack(weights)


def _leading_left_vector(matrix: Tensor) -> Tensor:
    """Return the left singular vector that belongs to the largest singular value."""
    if min(matrix.shape) <= DENSE:
        left: Tensor = torch.linalg.svd(matrix, full_matrices=False).U
        return left[:, 0]
    from scipy.sparse.linalg import eigsh

    square = (matrix @ matrix.T).cpu().numpy()
    _, vectors = eigsh(square, k=1, v0=square[:, square.diagonal().argmax()])  # a start of its own would be random
    return torch.as_tensor(vectors[:, 0]).to(matrix)
