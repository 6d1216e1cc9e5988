"""Ties and sizes in a search for nearest neighbours."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

# Cosines that differ by less than 1 / GRID are ties: their difference is rounding.
GRID = 2.0**40
# The parameter `k`, the number of neighbours.
Neighbourhood = Annotated[int, Field(ge=1)]
