"""Prediction of each unit of Y from a few units of X, by LASSO regression.

With the units standardised on the training rows, C the correlations among the units of X and c those with a unit of Y,

    w = argmin ½ wᵀCw − cᵀw + α‖w‖₁

is found for all units of Y at once by coordinate descent, each step of which is exact: wⱼ becomes the soft threshold at
α of cⱼ − Σ_{k≠j} Cⱼₖwₖ. That is slow where units of X are much alike; so after every sweep the weights move to the
minimum for their present signs, the solution of a linear system; what would change its sign on the way there is left
out (feature-sign search).

A unit that has itself (or its negative) among the sources is predicted with R² = 1 − α², one that correlates by ρ > α
with a single source and with no other with ρ² − α².

Directed: from X to Y. Rows are dealt to folds as for `linear_predictivity`; rows that are positions of one input are
not kept together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.cross_products import grouped
from simbench.metrics.kernels.memory import block_bytes
from simbench.metrics.kernels.prediction import Folds, splits_of_rows
from simbench.metrics.kernels.units import dead_units, living
from simbench.metrics.metric import Pairs, Score, metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Alpha = Annotated[float, Field(gt=0, lt=1)]
ROUNDS = 100
"""Sweeps before a target is given up; random sources, near copies among them, took six at most."""
TOLERANCE = 1e-9
"""Of correlations, by which an optimum may miss its conditions."""
SINGULAR = 1e-12
"""Added to the squared norms of standardised units, so that copies of a unit share its weight."""
BLOCK = 32
"""Coordinates whose steps share a matrix product."""


def lasso(correlations: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return the weights of all targets, (sources, targets), and for which of them they are optimal, (targets,).

    correlations: among the sources, (sources, sources), a row of zeros for what does not vary; targets: of the sources
    with the targets, (sources, targets). Both float64.

    >>> targets = torch.tensor([[0.5, -0.3], [0.05, 0.3]], dtype=torch.float64)
    >>> weights, optimal = lasso(torch.eye(2, dtype=torch.float64), targets, 0.1)
    >>> (weights * 10).round().tolist(), optimal.tolist()
    ([[4.0, -2.0], [0.0, 2.0]], [True, True])
    """
    weights = torch.zeros_like(targets)
    optimal = torch.zeros(targets.shape[1], dtype=torch.bool, device=targets.device)
    for _ in range(ROUNDS):
        left = (~optimal).nonzero().flatten()
        wanted = targets[:, left]
        solved = _completed(correlations, wanted, _swept(correlations, wanted, weights[:, left], alpha), alpha)
        weights[:, left] = solved
        optimal[left] = is_optimal(correlations, wanted, solved, alpha)
        if bool(optimal.all()):
            break
    return weights, optimal


def is_optimal(correlations: Tensor, targets: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """Whether what is left unexplained correlates with each source by α sign(w), or by at most α where w = 0."""
    unexplained = targets - correlations @ weights
    excess = torch.where(weights != 0, (unexplained - alpha * weights.sign()).abs(), unexplained.abs() - alpha)
    return excess.amax(dim=0) <= TOLERANCE


def _swept(correlations: Tensor, targets: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """Return the weights after one step in every coordinate, in order.

    Blocks of coordinates let a matrix product do most of the work; the steps are those of one coordinate at a time.
    """
    weights = weights.clone()
    for start in range(0, len(weights), BLOCK):
        block = slice(start, start + BLOCK)
        gradient = targets[block] - correlations[block] @ weights
        for k, row in enumerate(correlations[block, block]):
            stepped = torch.nn.functional.softshrink(gradient[k] + weights[start + k], alpha)
            gradient.addr_(row, stepped - weights[start + k], alpha=-1)
            weights[start + k] = stepped
    return weights


def _completed(correlations: Tensor, targets: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """Return the weights at the minimum for their signs; those that would change it are left out one by one."""
    weights = weights.clone()
    moving = torch.arange(weights.shape[1], device=weights.device)
    while len(moving):
        weights[:, moving], arrived = _signed_step(correlations, targets[:, moving], weights[:, moving], alpha)
        moving = moving[~arrived]
    return weights


def _signed_step(correlations: Tensor, targets: Tensor, weights: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return the weights moved towards the minimum for their signs until the first becomes 0, and whether none did."""
    goal = torch.zeros_like(weights)
    count = max(1, int((weights != 0).sum(dim=0).max()))
    size = max(1, block_bytes() // (8 * 3 * count**2))
    for start in range(0, weights.shape[1], size):
        chunk = slice(start, start + size)
        used, order = (weights[:, chunk] != 0).T.sort(dim=1, descending=True, stable=True)
        used, order = used[:, :count], order[:, :count]
        system = correlations[order[:, :, None], order[:, None, :]] * (used[:, :, None] & used[:, None, :])
        system += torch.diag_embed(torch.where(used, SINGULAR, 1.0))
        right = (targets[:, chunk] - alpha * weights[:, chunk].sign()).T.gather(1, order) * used
        goal[:, chunk] = goal[:, chunk].T.scatter(1, order, torch.linalg.solve(system, right)).T
    crossing = weights * goal < 0
    share = torch.where(crossing, weights / (weights - goal), 1.0)
    least = share.amin(dim=0)
    moved = torch.where(crossing & (share == least), 0.0, weights + least * (goal - weights))
    return moved, ~crossing.any(dim=0)


@dataclass(frozen=True)
class FoldedUnits:
    """The living units, centred, (rows, units), float64; and how many died.

    means, norms: of the training rows of each fold, (folds, units); the norm is 0 where they do not vary.
    """

    values: Tensor
    means: Tensor
    norms: Tensor
    dead: int

    def standardised(self, fold: int, rows: Tensor) -> Tensor:
        """Return these rows on the scale that gives training rows mean 0 and norm 1; 0 where those do not vary."""
        norm = self.norms[fold]
        return torch.where(norm > 0, (self.values[rows] - self.means[fold]) / torch.where(norm > 0, norm, 1.0), 0.0)


def folded_units(x: Tensor, *, folds: int, seed: int) -> FoldedUnits:
    """Return the living units of `x`, with the mean and the norm of each in the training rows of each fold."""
    alive = living(x)
    values, stored = centred(x)[:, alive], x[:, alive]
    means, norms = [], []
    for _, training in splits_of_rows(len(x), folds, seed):
        mean = values[training].mean(dim=0)
        norm = torch.linalg.vector_norm(values[training] - mean, dim=0)
        means.append(mean)
        norms.append(torch.where(living(stored[training]), norm, 0.0))
    return FoldedUnits(values, torch.stack(means), torch.stack(norms), int((~alive).sum()))


def prediction_of_pairs(
    prepared: Sequence[FoldedUnits], pairs: Pairs, *, alpha: float, folds: int, seed: int
) -> list[Score]:
    """Return the sparse prediction of many directed pairs; those with the same X are solved together."""
    scores: dict[int, Score] = {}
    for positions in grouped(range(len(pairs)), lambda k: pairs[k][0]):
        x = prepared[pairs[positions[0]][0]]
        widest = max(prepared[pairs[k][1]].values.shape[1] for k in positions)
        size = max(1, block_bytes() // (8 * 4 * sum(x.values.shape) * widest))
        for start in range(0, len(positions), size):
            chunk = positions[start : start + size]
            scores.update(zip(chunk, _predictions(x, [prepared[pairs[k][1]] for k in chunk], alpha, seed), strict=True))
    return [scores[position] for position in range(len(pairs))]


def _predictions(x: FoldedUnits, targets: Sequence[FoldedUnits], alpha: float, seed: int) -> list[Score]:
    """Return the score of every target."""
    widths = [y.values.shape[1] for y in targets]
    residual, spread, used = x.values.new_zeros(3, sum(widths))
    optimal = torch.ones(sum(widths), dtype=torch.bool, device=x.values.device)
    for fold, (rows, training) in enumerate(splits_of_rows(len(x.values), len(x.means), seed)):
        sources = x.standardised(fold, training)
        learned = torch.cat([y.standardised(fold, training) for y in targets], dim=1)
        weights, solved = lasso(sources.T @ sources, sources.T @ learned, alpha)
        observed = torch.cat([y.standardised(fold, rows) for y in targets], dim=1)
        scale = torch.cat([y.norms[fold] for y in targets]).square()
        residual += scale * (observed - x.standardised(fold, rows) @ weights).square().sum(dim=0)
        spread += scale * observed.square().sum(dim=0)
        used += (weights != 0).sum(dim=0)
        optimal &= solved
    explained = (1 - residual / spread).clamp(0, 1)
    parts = (torch.split(of_units, widths) for of_units in (explained, used / len(x.means), optimal))
    return [_scored(x, y, *of_target) for y, *of_target in zip(targets, *parts, strict=True)]


def _scored(x: FoldedUnits, y: FoldedUnits, explained: Tensor, used: Tensor, optimal: Tensor) -> Score:
    """Return the mean over the units of one target, with how many units of X the median one of them takes."""
    warnings, unsolved = dead_units(x, y), int((~optimal).sum())
    if unsolved:
        warnings += (f"the LASSO of {unsolved} units is not optimal after {ROUNDS} sweeps",)
    return Score(float(explained.mean()), warnings=warnings, auxiliary={"median_nonzeros": float(used.quantile(0.5))})


@metric(
    "sparse_prediction",
    version=2,
    higher_is_more_similar=True,
    symmetric=False,
    value_range=(0.0, 1.0),
    invariant_to={"permutation", "diagonal_scaling", "translation"},
    family="matching",
    formula="mean over units j of Y of max(0, 1 − Σ(yⱼ − ŷⱼ)² / Σ(yⱼ − ȳⱼ)²) on held-out rows, ŷⱼ = X wⱼ, "
    "wⱼ = argmin ½wᵀC w − cⱼᵀw + α‖w‖₁",
    reference="Li, Yosinski, Clune, Lipson, Hopcroft (2016), Convergent Learning: Do Different Neural Networks Learn "
    "the Same Representations?, the section on sparse, few-to-one mappings",
    cost="heavy",
    prepare=folded_units,
    compare_many=prediction_of_pairs,
)
def sparse_prediction(
    x: Tensor, y: Tensor, *, alpha: Alpha = 0.1, folds: Folds = 5, seed: Annotated[int, Field(ge=0)] = 0
) -> Score:
    """Mean held-out R², over the units of Y, of the LASSO from the units of X. Directed.

    x: (rows, features), y: (rows, other features) → a number in [0, 1], about 1 − α² at most. A unit predicted worse
    than by its mean counts 0. Dead units are left out, and in a fold those that do not vary in its training rows;
    `seed` deals the rows to the folds. Raises `NotApplicable` when all units of one side are dead, in a fold or as a
    whole.
    Auxiliary: how many units of X the prediction of a unit of Y takes, on average over folds; the median over units.

    >>> x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    >>> score = sparse_prediction(x, 7 - 2 * x[:, [2, 0]])
    >>> round(score.value, 6), score.auxiliary
    (0.99, {'median_nonzeros': 1.0})
    """
    return prediction_of_pairs(
        [folded_units(x, folds=folds, seed=seed), folded_units(y, folds=folds, seed=seed)],
        [(0, 1)],
        alpha=alpha,
        folds=folds,
        seed=seed,
    )[0]
