"""Independent data, which every index should call unrelated, whatever its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.models.synthetic.base import GENERATOR_VERSION, Synthetic, generator
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


@generator("independent_gaussian", version=GENERATOR_VERSION)
def independent_gaussian(*, features: int, rows: int, seed: int = 0) -> Synthetic:
    """Draw a matrix of independent standard normal numbers, `(rows, features)`, without a model.

    Two seeds give independent matrices; more rows of one seed begin with the fewer.
    """

    def draw(part: str) -> Tensor:
        random = torch.Generator().manual_seed(seed_for(purpose="independent gaussian", part=part, seed=seed))
        return torch.randn(rows, features, generator=random, dtype=torch.float64)

    return Synthetic.without_model(draw("probe"), draw("fit"))
