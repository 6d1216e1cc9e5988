"""Independent data: what any index is to call unrelated, whatever its size."""

from __future__ import annotations

import torch
from torch import Tensor

from simbench.models.synthetic.permuted_clusters import Synthetic
from simbench.seeds import seed_for


def independent_gaussian(*, features: int, rows: int, seed: int = 0) -> Synthetic:
    """A matrix of independent standard normal numbers, `(rows, features)`; no model stands behind it.

    Two seeds give independent matrices; more rows of one seed begin with the fewer.
    """

    def drawn(part: str) -> Tensor:
        generator = torch.Generator().manual_seed(seed_for(purpose="independent gaussian", part=part, seed=seed))
        return torch.randn(rows, features, generator=generator, dtype=torch.float64)

    nothing = torch.zeros(rows, dtype=torch.long)
    return Synthetic(None, drawn("probe"), nothing, drawn("fit"), nothing)
