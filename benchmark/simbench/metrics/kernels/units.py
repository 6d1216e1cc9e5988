"""Units as random variables over the rows: standardised, the dead ones known, and all their correlations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.linear_algebra import centred, cross_products, unordered
from simbench.metrics.kernels.memoisation import memoised
from simbench.metrics.metric import Pairs, Score

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Array = NDArray[np.float64]
Dead = Literal["drop", "keep"]
"""Dead units are left out of everything, or kept as units that match nothing."""
DEAD = 8.0
"""Times the rounding error of its mean: a unit that varies by less than that is dead."""
INSTALL = 'pip install "simbench-leaderboard[transport]"'


@dataclass(frozen=True)
class Units:
    """The living units, each with mean 0 and norm 1 over the rows, (rows, living units), float64; and how many died."""

    columns: Tensor
    dead: int

    @property
    def alive(self) -> int:
        """The number of living units."""
        return self.columns.shape[1]

    def counted(self, dead: Dead) -> int:
        """The number of units that count."""
        return self.alive + (self.dead if dead == "keep" else 0)


def living(x: Tensor) -> Tensor:
    """Which units of `x` vary by more than rounding errors, (features,). `NotApplicable` when none does."""
    spread = centred(x).square().mean(dim=0).sqrt()
    epsilon = torch.finfo(x.dtype if x.is_floating_point() else torch.float64).eps
    alive = spread > DEAD * epsilon * x.double().mean(dim=0).abs()
    if not bool(alive.any()):
        raise NotApplicable("no variance: all units are dead")
    return alive


@memoised
def units(x: Tensor) -> Units:
    """The units of `x`, (rows, features). `NotApplicable` when all are dead."""
    alive = living(x)
    columns = centred(x)[:, alive]
    norms: Tensor = torch.linalg.vector_norm(columns, dim=0)
    return Units(columns / norms, int((~alive).sum()))


def matched(
    value: Callable[[Array, Units, Units], float],
    prepared: Sequence[Units],
    pairs: Pairs,
    *,
    absolute: bool = False,
    directed: bool = False,
) -> list[float | Score]:
    """`value(correlations, a, b)` of every pair; the correlations, (units of a, units of b), serve both orders.

    `absolute`: the correlations lose their sign. `directed`: so that the value depends on the order.
    """
    unique, _ = unordered(pairs)
    asked = set(pairs)
    values: dict[tuple[int, int], float] = {}
    for positions, products in cross_products([side.columns for side in prepared], unique):
        signed = products.clamp(-1, 1).cpu().numpy()
        for k, product in zip(positions, np.abs(signed) if absolute else signed, strict=True):
            a, b = unique[k]
            if not directed or (a, b) in asked:
                values[a, b] = value(product, prepared[a], prepared[b])
            if directed and (b, a) in asked:
                values[b, a] = value(product.T, prepared[b], prepared[a])
    keys = pairs if directed else [(min(pair), max(pair)) for pair in pairs]
    return [warned(values[a, b], prepared[i], prepared[j]) for (a, b), (i, j) in zip(keys, pairs, strict=True)]


class CountsDead(Protocol):
    """What knows how many of its units are dead."""

    @property
    def dead(self) -> int:
        """That number."""
        ...


def dead_units(a: CountsDead, b: CountsDead) -> tuple[str, ...]:
    """The warning that counts the dead units, if there are any."""
    return (f"{a.dead} and {b.dead} dead units",) if a.dead or b.dead else ()


def warned(value: float, a: CountsDead, b: CountsDead) -> float | Score:
    """The value, with that warning."""
    warnings = dead_units(a, b)
    return Score(value, warnings=warnings) if warnings else value


def transport_library(what: str) -> Any:
    """POT; where it is missing, `NotApplicable` with what would need it and the line that installs it."""
    try:
        import ot
    except ImportError:
        raise NotApplicable(f"{what} POT: {INSTALL}") from None
    return ot
