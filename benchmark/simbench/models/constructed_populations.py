"""Populations of units that share a known part."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from simbench.models.constructed import Constructed
from simbench.representations.transforms import haar_orthogonal
from simbench.seeds import seed_for

Form = Literal["own", "permuted", "rotated"]


def shared_units(*, share: float, form: Form, units: int = 40, rows: int = 1000, seed: int = 0) -> Constructed:
    """A population of which `share` are units of the population `own` of the same seed, the rest independent.

    The shared units, `round(share · units)` of them, come in another order (`permuted`) or mixed by a Haar orthogonal
    map (`rotated`); `own` is the population itself. All units are standard normal on `rows` inputs: `(rows, units)`,
    float64. A larger share holds the smaller ones' units; no model stands behind it.
    """
    count = round(share * units)
    generator = torch.Generator().manual_seed(seed_for(purpose="shared units", part="form", form=form, seed=seed))
    mixing = {
        "own": lambda: torch.eye(count, dtype=torch.float64),
        "permuted": lambda: torch.eye(count, dtype=torch.float64)[torch.randperm(count, generator=generator)],
        "rotated": lambda: haar_orthogonal(count, generator),
    }[form]()

    def drawn(part: str) -> Tensor:
        own, others = (_normal(rows, units, f"{part} {which}", seed) for which in ("own", "other"))
        return torch.cat([own[:, :count] @ mixing.T, others[:, count:]], dim=1)

    nothing = torch.zeros(rows, dtype=torch.long)
    return Constructed(None, drawn("probe"), nothing, drawn("fit"), nothing)


def _normal(rows: int, units: int, part: str, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed_for(purpose="shared units", part=part, seed=seed))
    return torch.randn(rows, units, generator=generator, dtype=torch.float64)
