"""Ties and sizes in a search for nearest neighbours."""

from __future__ import annotations

from simbench.bounds import Inputs

# Cosines that differ by less than 1 / GRID are ties: their difference is rounding.
GRID = 2.0**40
# The parameter `k`, the number of neighbours.
Neighbourhood = Inputs
