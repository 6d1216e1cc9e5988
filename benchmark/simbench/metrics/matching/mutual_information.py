"""One-to-one matching of units by mutual information, which also sees what correlation does not.

The values of a unit are put into bins: the first holds those equal to the smallest (the zeros of a ReLU), the others
are of equal mass. With I the mutual information of two units in nats, I₀ that after the inputs of the one, with all of
their rows, are exchanged in pairs at random, and H the entropies,

    (I − I₀) / (√(H_x H_y) − I₀)

is 1 for units with the same bins and about 0 for independent ones. The Miller-Madow correction (r − 1)(c − 1) / 2N for
r × c bins and N rows is the same for I, I₀ and the information of a unit with itself, and drops out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from simbench.bounds import WIDEST
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import rows_of_inputs
from simbench.metrics.kernels.cross_products import unordered
from simbench.metrics.kernels.memory import block_bytes
from simbench.metrics.kernels.units import living, warned
from simbench.metrics.matching.correlation import CONVERGENT, INVARIANT_TO, assigned
from simbench.metrics.metric import Pairs, Score, metric, of_representation
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

ROUNDING = 1e-12
"""Of the entropy: a smaller denominator leaves nothing to tell apart."""


@dataclass(frozen=True)
class BinnedUnits:
    """The bin of each row, (rows, living units), the entropies (living units,), and how many units died.

    inputs: of which the rows are positions, as many consecutive ones for each.
    """

    codes: Tensor
    entropies: Tensor
    bins: int
    dead: int
    inputs: int

    def exchanged(self, seed: int) -> Tensor:
        """Return the codes after inputs, with all of their rows, were exchanged in pairs at random."""
        return self.codes[exchanged_rows(len(self.codes), self.inputs, seed).to(self.codes.device)]


def binned(x: Tensor, bins: int, inputs: int | None = None) -> BinnedUnits:
    """Return the living units of `x` in bins; by default a row is an input. Raise `NotApplicable` when all are dead."""
    alive = living(x)
    values = x[:, alive].double().T.contiguous()
    ordered = values.sort(dim=1).values
    below = torch.searchsorted(ordered, values)  # the number of smaller values: ties share a bin
    smallest = (values == ordered[:, :1]).sum(dim=1, keepdim=True)
    upper = 1 + (bins - 1) * (below - smallest) // (len(x) - smallest)
    codes = torch.where(below == 0, 0, upper)
    mass = torch.nn.functional.one_hot(codes, bins).double().mean(dim=1)
    return BinnedUnits(codes.T, -torch.xlogy(mass, mass).sum(dim=1), bins, int((~alive).sum()), inputs or len(x))


def binned_units(representation: Representation, *, bins: int, seed: int) -> BinnedUnits:
    """Return the units in bins, with the entropy of each."""
    return binned(representation.matrix, bins, len(representation.activations))


def information_of_pairs(prepared: Sequence[BinnedUnits], pairs: Pairs, *, bins: int, seed: int) -> list[float | Score]:
    """Return the scores of matching by mutual information of many pairs."""
    unique, back = unordered(pairs)
    values = []
    for a, b in unique:
        gain = scaled_information(prepared[a], prepared[b], seed).cpu().numpy()
        values.append(float(np.clip(assigned(gain) / max(gain.shape), 0, 1)))
    return [warned(values[k], prepared[a], prepared[b]) for (a, b), k in zip(pairs, back, strict=True)]


def scaled_information(a: BinnedUnits, b: BinnedUnits, seed: int) -> Tensor:
    """(I − I₀) / (√(H_x H_y) − I₀) of all units of a with all of b, (units of a, units of b)."""
    information = mutual_information(a, b, b.codes)
    chance = mutual_information(a, b, b.exchanged(seed))
    bound = torch.outer(a.entropies, b.entropies).sqrt()
    room = bound - chance
    enough = room > ROUNDING * bound
    return torch.where(enough, (information - chance) / torch.where(enough, room, 1.0), (information >= bound).double())


def exchanged_rows(rows: int, inputs: int, seed: int) -> Tensor:
    """`exchanges` of inputs, of each of which as many consecutive rows are positions."""
    return rows_of_inputs(exchanges(inputs, seed), rows // inputs)


def exchanges(rows: int, seed: int) -> Tensor:
    """Return a random permutation that is its own inverse, so that it does not matter which side it is applied to."""
    generator = torch.Generator().manual_seed(seed_for(purpose="match_mutual_information", rows=rows, seed=seed))
    order = torch.randperm(rows, generator=generator)
    half = rows // 2
    partner = torch.arange(rows)
    partner[order[:half]], partner[order[half : 2 * half]] = order[half : 2 * half], order[:half]
    return partner


def mutual_information(a: BinnedUnits, b: BinnedUnits, codes: Tensor) -> Tensor:
    """H_x + H_y − H_xy of all units, `codes` being those of b; the joint counts come from one product."""
    rows, bins, right = len(codes), a.bins, codes.shape[1]
    second = _indicators(codes, bins)
    height = max(1, block_bytes() // (8 * bins * bins * right))
    negative = []
    for start in range(0, a.codes.shape[1], height):
        counts = _indicators(a.codes[:, start : start + height], bins).T @ second
        joint = counts.view(-1, bins, right, bins).double()
        negative.append(torch.xlogy(joint, joint).sum(dim=(1, 3)) / rows)
    joint_entropies = float(np.log(rows)) - torch.cat(negative)
    return a.entropies[:, None] + b.entropies - joint_entropies


def _indicators(codes: Tensor, bins: int) -> Tensor:
    """(rows, units · bins): 1 where the row of the unit falls into the bin; counts in float32 are exact."""
    return torch.nn.functional.one_hot(codes, bins).float().flatten(1)


@metric(
    "match_mutual_information",
    version=3,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="matching",
    formula="max_P Σᵢⱼ Pᵢⱼ (Iᵢⱼ − I₀ᵢⱼ) / (√(HᵢHⱼ) − I₀ᵢⱼ) / max(d, d′), P a one-to-one assignment of units",
    reference=f"{CONVERGENT} (alignment by mutual information)",
    prepare=of_representation(binned_units),
    compare_many=information_of_pairs,
)
def match_mutual_information(
    x: Tensor, y: Tensor, *, bins: Annotated[int, Field(ge=2, le=WIDEST)] = 10, seed: Annotated[int, Field(ge=0)] = 0
) -> float | Score:
    """Mean scaled mutual information under the best one-to-one assignment of units.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]. Dead units are left out. The null is that of
    exchanged inputs, here rows; the rows that are positions of one input, in a representation, are exchanged together.
    Raises `NotApplicable` when all units of one side are dead.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 0.0], [2.0, 4.0], [0.0, 2.0], [5.0, 3.0]])
    >>> round(float(match_mutual_information(x, 2 * x[:, [1, 0]] + 1, bins=3)), 9)
    1.0
    """
    return information_of_pairs([binned(x, bins), binned(y, bins)], [(0, 1)], bins=bins, seed=seed)[0]
