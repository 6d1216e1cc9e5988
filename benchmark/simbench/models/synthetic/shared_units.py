"""Populations of units that share a known part with another one."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from simbench.models.synthetic.permuted_clusters import Synthetic
from simbench.representations.transforms import haar_orthogonal
from simbench.seeds import seed_for

Form = Literal["own", "permuted", "rotated", "extended", "dead"]


def shared_units(*, share: float, form: Form, units: int = 40, rows: int = 1000, seed: int = 0) -> Synthetic:
    """A population of which a part is the population `own` of the same seed, which has `units` units, or a part of it.

    Of the units of both populations together, `share` belong to what they have in common:

    * `permuted`, `rotated`: `round(share · units)` units of `own` in another order, or mixed by a Haar orthogonal map;
      the rest is independent;
    * `dead`: as many units of `own` as they are; the rest is 0 on all inputs;
    * `extended`: all units of `own`, and `round(2 · units · (1 / share − 1))` independent ones.

    Living units are standard normal on `rows` inputs: `(rows, units)`, float64. A larger share has all that a smaller
    one has in common; no model stands behind it.
    """
    count = units if form == "extended" else round(share * units)
    rest = round(2 * units * (1 / share - 1)) if form == "extended" else units - count
    generator = torch.Generator().manual_seed(seed_for(purpose="shared units", part="form", form=form, seed=seed))
    mixing = torch.eye(count, dtype=torch.float64)
    if form == "permuted":
        mixing = mixing[torch.randperm(count, generator=generator)]
    elif form == "rotated":
        mixing = haar_orthogonal(count, generator)

    def drawn(part: str) -> Tensor:
        own = _normal(rows, units, f"{part} own", seed)[:, :count] @ mixing.T
        others = _normal(rows, max(units, rest), f"{part} other", seed)[:, -rest:] if rest else own[:, :0]
        return torch.cat([own, torch.zeros_like(others) if form == "dead" else others], dim=1)

    nothing = torch.zeros(rows, dtype=torch.long)
    return Synthetic(None, drawn("probe"), nothing, drawn("fit"), nothing)


def _normal(rows: int, units: int, part: str, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed_for(purpose="shared units", part=part, seed=seed))
    return torch.randn(rows, units, generator=generator, dtype=torch.float64)
