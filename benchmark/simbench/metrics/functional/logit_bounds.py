"""Two losses, in units of logits, that `logit_distance` bounds from above.

With ũ the centred logits of p(y|x) ∝ exp(f(x)·g(y)) and d² = E‖ũ − ũ′‖²:

* Σᵢ λᵢ (1 − ρᵢ²) ≤ d², λᵢ the variances of ũ′ along its principal axes and ρᵢ the canonical correlations of f and f′,
  both descending: what matters to the logits of one model is correlated with the embedding of the other;
* σ_min(L_J)² E‖f − A_J f′‖² / (M + 1) ≤ d² for every pivot y₀ and set J of M further labels: f is nearly the linear map
  of f′ that equal distributions would imply. Two differences to one pivot have a norm² of at most M + 1 times d².

A small KL divergence guarantees neither.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.functional.logit_distances import PAPER, Count, centred_logits, map_errors
from simbench.metrics.kernels.model_outputs import log_probabilities
from simbench.metrics.kernels.saturation import with_forced
from simbench.metrics.kernels.spectrum import spectrum
from simbench.metrics.metric import Score, metric

if TYPE_CHECKING:
    import torch

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")


@metric(
    "logit_correlation_loss",
    version=2,
    higher_is_more_similar=False,
    symmetric=False,
    value_range=(0.0, math.inf),
    invariant_to={"affine"},
    needs={"head"},
    level="head",
    family="identifiability",
    formula="√(Σᵢ λᵢ (1 − ρᵢ²)), λᵢ variances of ũ′ along its principal axes, ρᵢ canonical correlations of f, f′",
    reference=f"{PAPER}: what its theorem on canonical correlations bounds",
)
def logit_correlation_loss(a: Representation, b: Representation) -> float | Score:
    """Part of model b's logits in directions that model a's embedding is not correlated with. Directed.

    a, b: representations at the head, (inputs, M) and (inputs, M′), with the same labels → a number in [0, ∞), at most
    `logit_distance`; 0 for embeddings that are affine maps of each other. ρᵢ = 0 for directions that a has too few
    dimensions for. A `Score` with the warning `saturated` where there are too few inputs for the dimensions. Raises
    `NotApplicable` without a linear head, or where an embedding does not vary.
    """
    _, ell = log_probabilities(a, b)
    if any(side.model is None or side.model.head() is None for side in (a, b)):
        raise NotApplicable("logits are linear in the embedding only with a linear head")
    sides = spectrum(a.matrix), spectrum(b.matrix)
    source, asked = (side.left for side in sides)
    logits = centred_logits(ell)
    axes = torch.linalg.svdvals(logits - logits.mean(dim=0))[: asked.shape[1]] / math.sqrt(len(logits))
    # √(1 − ρ²) directly: near ρ = 1, the difference would lose its digits
    sines = torch.linalg.svdvals(asked - source @ (source.T @ asked)).flip(0)[: len(axes)]
    return with_forced(float((axes * sines).square().sum().sqrt()), *sides)


@metric(
    "logit_map_loss",
    version=1,
    higher_is_more_similar=False,
    symmetric=False,
    value_range=(0.0, math.inf),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    needs={"head"},
    level="head",
    family="identifiability",
    formula="√(max over y₀, J of σ_min(L_J)² E‖f − A_J f′‖² / (M + 1)), A_J = L_J⁻ᵀ L′_Jᵀ",
    reference=f"{PAPER}: what its theorem on linear maps bounds; the constant is ours",
)
def logit_map_loss(a: Representation, b: Representation, *, seed: int = 0, max_subsets: Count = 256) -> float:
    """Distance, in logits, of model a's embeddings from the maps of b's that equal distributions imply. Directed.

    a, b: representations at the head, (inputs, M) and (inputs, M′), with the same labels → a number in [0, ∞), at most
    `logit_distance`; 0 for equal distributions. As `d_rep`, but each set J of labels counts by how well its
    unembeddings determine f, so that the worst of all is finite. Raises `NotApplicable` without a linear head, or when
    all of a's unembeddings are equal.
    """
    errors = map_errors(a, b, seed=seed, max_subsets=max_subsets)
    return math.sqrt(float((errors.squared * errors.smallest.square()).max()) / (errors.dimension + 1))
