"""Prediction of the units of Y from X by linear regression, in sample and on held-out rows.

* `linear_regression`: the in-sample R² of least squares, ‖Q_xᵀỸ‖²/‖Ỹ‖² with an orthonormal basis Q_x of X̃;
* `linear_predictivity`: ridge regression on all folds of rows but one, scored on that one, in turn.

Both are directed: from X to Y. In each fold both sides are centred by the means of the *training* rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.cross_products import squared_cross_norms
from simbench.metrics.kernels.moments import from_spans
from simbench.metrics.kernels.prediction import Folds, median_correlation, ridge_penalty, splits_of_rows
from simbench.metrics.kernels.saturation import SATURATED
from simbench.metrics.kernels.spectrum import Spectrum, spectrum
from simbench.metrics.metric import Pairs, Score, metric, rowwise

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Measure = Literal["r2", "pearson"]


def linear_regression_of_pairs(prepared: Sequence[Spectrum], pairs: Pairs) -> list[float | Score]:
    """Return the in-sample R² of many directed pairs of spectra."""
    count = len(prepared)
    matrices = [side.left for side in prepared] + [side.coordinates for side in prepared]
    explained = squared_cross_norms(matrices, [(a, count + b) for a, b in pairs]).tolist()
    return [
        _explained(part / float(prepared[b].values.square().sum()), prepared[a])
        for (a, b), part in zip(pairs, explained, strict=True)
    ]


@metric(
    "linear_regression",
    version=2,
    higher_is_more_similar=True,
    symmetric=False,
    value_range=(0.0, 1.0),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    family="regression",
    formula="‖Q_xᵀỸ‖² / ‖Ỹ‖²",
    reference="Kornblith, Norouzi, Lee, Hinton (2019), Similarity of Neural Network Representations Revisited, Table 1",
    prepare=rowwise(spectrum),
    compare_many=linear_regression_of_pairs,
    from_sums=from_spans,
)
def linear_regression(x: Tensor, y: Tensor) -> float | Score:
    """The share of Y's variance that least squares from X explains in sample. Directed.

    x: (rows, features), y: (rows, other features) → a number in [0, 1], invariant to affine maps of x; a `Score` with
    the warning `saturated` where x fits anything. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [2.0, 2.0]])
    >>> round(linear_regression(x, x[:, :1]), 9), linear_regression(x[:, :1], x) < 0.9
    (1.0, True)
    """
    return linear_regression_of_pairs([spectrum(x), spectrum(y)], [(0, 1)])[0]


def _explained(share: float, source: Spectrum) -> float | Score:
    """Return the share that is explained, with a warning where the source's basis fills the centred sample space."""
    rows = len(source.left)
    warning = f"{SATURATED}: rank {source.rank} of {rows} rows fits anything"
    return Score(share, warnings=(warning,)) if source.rank >= rows - 1 else share


@dataclass(frozen=True)
class Fold:
    """One fold: its rows, and what the other rows, the training rows, say of X.

    `mean` (features,), `right` (features, r) and `values` (r,) are the mean and the singular value decomposition of the
    centred training rows; `coordinates` (fold's rows, r) are the fold's rows in that basis.
    """

    rows: Tensor
    mean: Tensor
    right: Tensor
    values: Tensor
    coordinates: Tensor


@dataclass(frozen=True)
class Folded:
    """A representation as a source of predictions (`design`, `splits`) and as their target, (rows, units)."""

    design: Tensor
    splits: tuple[Fold, ...]
    target: Tensor


def predictivity_of_pairs(
    prepared: Sequence[Folded], pairs: Pairs, *, folds: int, measure: Measure, seed: int
) -> list[float]:
    """Return the cross-validated ridge predictivity of many directed pairs."""
    return [_predictivity(prepared[a], prepared[b].target, measure) for a, b in pairs]


def folded(x: Tensor, *, folds: int, measure: Measure, seed: int) -> Folded:
    """Return the centred matrix as regressor, a singular value decomposition of each fold, and as target."""
    design = spectrum(x).coordinates  # without directions that are only rounding
    splits = []
    for rows, training in splits_of_rows(len(design), folds, seed):
        mean = design[training].mean(dim=0)
        _, values, right = torch.linalg.svd(design[training] - mean, full_matrices=False)
        # Below the root of the machine precision a direction is out of reach of the smallest penalty.
        right = right[values > torch.finfo(torch.float64).eps ** 0.5 * values[:1]].T
        splits.append(Fold(rows, mean, right, values[: right.shape[1]], (design[rows] - mean) @ right))
    return Folded(design, tuple(splits), design if measure == "r2" else centred(x))


@metric(
    "linear_predictivity",
    version=2,
    higher_is_more_similar=True,
    symmetric=False,
    value_range=(float("-inf"), 1.0),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    family="regression",
    formula="1 − Σ‖Y_f − Ŷ_f‖² / Σ‖Y_f − ȳ_{−f}‖² over folds f, Ŷ_f by ridge regression on the other folds, its "
    "penalty by generalised cross-validation",
    reference="Schrimpf et al. (2018), Brain-Score (linear predictivity); Golub, Heath, Wahba (1979), "
    "Generalized Cross-Validation as a Method for Choosing a Good Ridge Parameter",
    prepare=folded,
    compare_many=predictivity_of_pairs,
)
def linear_predictivity(x: Tensor, y: Tensor, *, folds: Folds = 5, measure: Measure = "r2", seed: int = 0) -> float:
    """Quality of the prediction of held-out rows of Y by ridge regression from X. Directed.

    x: (rows, features), y: (rows, other features) → with `measure` r2 a number ≤ 1, 0 for what predicts the mean and
    below for what is worse; with pearson the median over units of the correlation in the fold, averaged over folds.
    `seed` deals the rows to the folds. Raises `NotApplicable` without variance.

    >>> x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    >>> round(linear_predictivity(x, x @ torch.ones(3, 2) + 1), 6)
    1.0
    """
    return _predictivity(folded(x, folds=folds, measure=measure, seed=seed), _target(x=y, measure=measure), measure)


def _target(x: Tensor, measure: Measure) -> Tensor:
    """Return the units, for a correlation, or what has their Gram matrix, on which R² depends alone."""
    return spectrum(x).coordinates if measure == "r2" else centred(x)


def _predictivity(x: Folded, y: Tensor, measure: Measure) -> float:
    inner = [x.design[fold.rows].T @ y[fold.rows] for fold in x.splits]
    total, sums = torch.stack(inner).sum(dim=0), y.sum(dim=0)
    residual, spread, correlations = 0.0, 0.0, []
    for fold, own in zip(x.splits, inner, strict=True):
        held_out = y[fold.rows]
        count = len(y) - len(held_out)
        mean = (sums - held_out.sum(dim=0)) / count
        cross = fold.right.T @ (total - own - count * torch.outer(fold.mean, mean))
        held_out = held_out - mean
        variance = float((y - mean).square().sum() - held_out.square().sum())
        predicted = fold.coordinates @ (
            cross / (fold.values.square() + ridge_penalty(fold.values, cross, variance, count))[:, None]
        )
        residual += float((held_out - predicted).square().sum())
        spread += float(held_out.square().sum())
        if measure == "pearson":
            correlations.append(median_correlation(predicted, held_out))
    return sum(correlations) / len(correlations) if correlations else 1 - residual / spread
