"""Populations of units that have a known part in common with another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from simbench.lazy import lazy_import
from simbench.models.synthetic.base import GENERATOR_VERSION, Synthetic, generator
from simbench.representations.transforms import haar_orthogonal
from simbench.sanity.generated_models import OtherPopulation
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

Population = Literal["own", OtherPopulation]


@generator("shared_units", version=GENERATOR_VERSION)
def shared_units(*, share: float, form: Population, units: int = 40, rows: int = 1000, seed: int = 0) -> Synthetic:
    """Make a population that has units in common with the population `own` of the same seed, which has `units` units.

    They have in common the share `share` of the units of both populations together. The forms:

    * `permuted`, `rotated`: `round(share · units)` units of `own` in another order, or mixed by a Haar orthogonal map;
      the rest is independent;
    * `dead`: as many units of `own` as they are; the rest is 0 on all inputs;
    * `extended`: all units of `own`, and `round(2 · units · (1 / share − 1))` independent ones.

    Living units are standard normal on `rows` inputs: `(rows, units)`, float64. A larger share has all that a smaller
    one has in common. There is no model.
    """
    count = units if form == "extended" else round(share * units)
    rest = round(2 * units * (1 / share - 1)) if form == "extended" else units - count
    random = torch.Generator().manual_seed(seed_for(purpose="shared units", part="form", form=form, seed=seed))
    mixing = torch.eye(count, dtype=torch.float64)
    if form == "permuted":
        mixing = mixing[torch.randperm(count, generator=random)]
    elif form == "rotated":
        mixing = haar_orthogonal(count, random)

    def draw(part: str) -> Tensor:
        own = _normal(rows, units, f"{part} own", seed)[:, :count] @ mixing.T
        others = _normal(rows, max(units, rest), f"{part} other", seed)[:, -rest:] if rest else own[:, :0]
        return torch.cat([own, torch.zeros_like(others) if form == "dead" else others], dim=1)

    return Synthetic.without_model(draw("probe"), draw("fit"))


def _normal(rows: int, units: int, part: str, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed_for(purpose="shared units", part=part, seed=seed))
    return torch.randn(rows, units, generator=random, dtype=torch.float64)
