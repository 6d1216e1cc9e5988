"""Values that generators of synthetic models take, and suites may therefore ask for."""

from __future__ import annotations

from typing import Literal

# Forms of a population that has units in common with another one, which is called `own`.
OtherPopulation = Literal["permuted", "rotated", "extended", "dead"]
# Numbers of classes for which π(k) = 2k + 5 leaves no linear relation, so that canonical correlations vanish: 1, 2 and
# 3 are coprime to each of them.
PermutedClasses = Literal[5, 7, 11, 13]
# Numbers of classes for which the paper says how large the noise of a level is.
PerturbedClasses = Literal[4, 5, 6, 10, 18]
