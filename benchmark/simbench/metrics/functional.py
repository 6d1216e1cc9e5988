"""Functional baselines: what two models put out, whatever they represent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.metrics.metric import metric

if TYPE_CHECKING:
    from simbench.representations.representation import Representation


@metric(
    "kl",
    version=1,
    higher_is_more_similar=False,
    symmetric=False,
    value_range=(0.0, math.inf),
    invariant_to={"affine"},
    needs={"head"},
    level="head",
    family="functional",
    formula="meanₓ Σ_y p(y|x) (log p(y|x) − log p′(y|x))",
    reference="Kullback, Leibler (1951), On Information and Sufficiency, Eq. 2.2",
    default=True,
)
def kl(a: Representation, b: Representation) -> float:
    """Kullback-Leibler divergence of model b from model a, KL(a ‖ b), averaged over the inputs. Directed.

    a, b: representations at the head with the same labels → a number in [0, ∞), 0 for equal distributions.
    A function-preserving map at the head leaves it as it is. Raises `NotApplicable` for different numbers of labels.
    """
    first, second = a.log_probabilities, b.log_probabilities
    if first.shape[1] != second.shape[1]:
        raise NotApplicable(f"{first.shape[1]} labels against {second.shape[1]}")
    return float((first.exp() * (first - second)).sum(dim=1).mean())
