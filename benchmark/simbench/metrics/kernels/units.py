"""Units as random variables over the rows: standardised, with dead units left out, and all their correlations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.cross_products import cross_products, unordered
from simbench.metrics.kernels.memoisation import memoised
from simbench.metrics.kernels.rounding import rounding
from simbench.metrics.metric import Pairs, Score

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Array = NDArray[np.float64]
# Dead units are dropped, or kept as units that match nothing.
Dead = Literal["drop", "keep"]
INSTALL = 'pip install "simbench-leaderboard[transport]"'


@dataclass(frozen=True)
class Units:
    """The living units, of mean 0 and norm 1 over the rows, (rows, living units), float64; and a count of the dead."""

    columns: Tensor
    dead: int

    @property
    def alive(self) -> int:
        """Number of living units."""
        return self.columns.shape[1]

    def counted(self, dead: Dead) -> int:
        """Return the number of units that enter a mean over units."""
        return self.alive + (self.dead if dead == "keep" else 0)


def living(x: Tensor) -> Tensor:
    """Tell which units of `x` vary by more than rounding errors, (features,). `NotApplicable` when none does."""
    spread = centred(x).square().mean(dim=0).sqrt()
    alive = spread > rounding(x).errors
    if not bool(alive.any()):
        raise NotApplicable("no variance: all units are dead")
    return alive


@memoised
def units(x: Tensor) -> Units:
    """Standardise the living units of `x`, (rows, features). `NotApplicable` when all are dead."""
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
    """Compute `value(correlations, a, b)` of every pair; the correlations, (units of a, units of b), serve both orders.

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
    """A prepared representation that counts its dead units."""

    @property
    def dead(self) -> int:
        """Number of dead units."""
        ...


def dead_units(a: CountsDead, b: CountsDead) -> tuple[str, ...]:
    """Return the warning that counts the dead units, if there are any."""
    return (f"{a.dead} and {b.dead} dead units",) if a.dead or b.dead else ()


def warned(value: float, a: CountsDead, b: CountsDead) -> float | Score:
    """Return the value, with the warning of dead units if there are any."""
    warnings = dead_units(a, b)
    return Score(value, warnings=warnings) if warnings else value


def transport_library(what: str) -> Any:
    """Import POT; where it is missing, raise `NotApplicable` with what needs it and the line that installs it."""
    try:
        import ot
    except ImportError:
        raise NotApplicable(f"{what} POT: {INSTALL}") from None
    return ot
