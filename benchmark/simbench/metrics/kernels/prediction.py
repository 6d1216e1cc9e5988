"""Held-out prediction of one matrix from another: folds, the ridge penalty, correlations of predicted units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.lazy import lazy_import
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


# Candidate ridge penalties, 1e-14 to 1e2 in half decades, relative to the largest squared singular value of X: one unit
# with numbers of a million times the others leaves those something to say.
PENALTIES = tuple(10.0 ** (exponent / 2) for exponent in range(-28, 5))
Folds = Annotated[int, Field(ge=2, le=10_000)]


def splits_of_rows(rows: int, folds: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the rows of each fold, dealt at random, and all other rows."""
    generator = torch.Generator().manual_seed(seed_for(purpose="folds", rows=rows, seed=seed))
    order = torch.randperm(rows, generator=generator)
    for fold in torch.tensor_split(order, min(folds, rows)):
        training = torch.ones(rows, dtype=torch.bool)
        training[fold] = False
        yield fold, training.nonzero().flatten()


def ridge_penalty(values: Tensor, cross: Tensor, variance: float, count: int) -> float:
    """Return the penalty that generalised cross-validation chooses.

    It is the candidate with the least residual sum of squares per squared residual degree of freedom.

    X = U diag(values) Vᵀ and Y are centred and have `count` rows, cross = VᵀXᵀY, variance = ‖Y‖².
    """
    if len(values) == 0:
        return 1.0
    squares = values.square()
    explained = cross.square().sum(dim=1) / squares
    penalties = squares[0] * torch.tensor(PENALTIES, dtype=torch.float64, device=squares.device)
    shrinkage = penalties[:, None] / (squares + penalties[:, None])
    free = count - 1 - len(squares)
    outside = max(variance - float(explained.sum()), 0.0) if free > 0 else 0.0
    criterion = (outside + shrinkage.square() @ explained) / (free + shrinkage.sum(dim=1)).square()
    return float(penalties[criterion.argmin()])


def median_correlation(predicted: Tensor, observed: Tensor) -> float:
    """Return the median correlation over the units that vary; a constant prediction correlates with nothing."""
    predicted, observed = (side - side.mean(dim=0) for side in (predicted, observed))
    scale = torch.linalg.vector_norm(observed, dim=0)
    varies = scale > len(observed) * torch.finfo(torch.float64).eps * scale.amax()
    norms = torch.linalg.vector_norm(predicted, dim=0) * scale
    products = (predicted * observed).sum(dim=0)
    correlations = torch.where(norms > 0, products / norms, torch.zeros_like(norms))[varies]
    return float(correlations.quantile(0.5)) if len(correlations) else 0.0
