"""Functional baselines: what two models put out, whatever they represent.

`kl` is an index at the head. The others are reference variables: tests correlate the similarity of two models with
them. They follow each model from any layer to its outputs, so that they have a value wherever layers are compared, and
that value is the same for all layers of the same two models.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.differences import differences_of_pairs
from simbench.metrics.kernels.model_outputs import log_probabilities, predictions
from simbench.metrics.metric import metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

SATURATED = 30.0
"""Beyond this half log-ratio a summand of the Jensen-Shannon divergence is m ln 2 to the last digit."""


@metric(
    "kl",
    version=1,
    higher_is_more_similar=False,
    symmetric=False,
    value_range=(0.0, math.inf),
    invariant_to={"affine"},
    purposes={"function"},
    needs={"head"},
    level="head",
    family="functional",
    formula="meanₓ Σ_y p(y|x) (log p(y|x) − log p′(y|x))",
    reference="Kullback, Leibler (1951), On Information and Sufficiency, Section 2",
    default=True,
)
def kl(a: Representation, b: Representation) -> float:
    """Kullback-Leibler divergence of model b from model a, KL(a ‖ b), averaged over the inputs. Directed.

    a, b: representations at the head with the same labels → a number in [0, ∞), 0 for equal distributions.
    A function-preserving map at the head leaves it as it is. Raises `NotApplicable` for different numbers of labels.
    """
    first, second = log_probabilities(a, b)
    return float((first.exp() * (first - second)).sum(dim=1).mean())


@metric(
    "jensen_shannon",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, math.log(2)),
    invariant_to={"affine"},
    needs={"model"},
    family="functional",
    formula="meanₓ ½ KL(p ‖ m) + ½ KL(p′ ‖ m), m = ½ (p + p′)",
    reference="Lin (1991), Divergence Measures Based on the Shannon Entropy, the section on the "
    "Jensen-Shannon divergence",
)
def jensen_shannon(a: Representation, b: Representation) -> float:
    """Jensen-Shannon divergence of the output distributions in nats, averaged over the inputs.

    a, b: representations of any layers whose models have the same labels → a number in [0, ln 2], 0 for equal
    distributions. Raises `NotApplicable` for different numbers of labels.

    With δ = ½ (log p − log p′) the summands are m (δ tanh δ − log cosh δ): none is negative and all keep their digits,
    where the two divergences of the definition lose them to each other.
    """
    first, second = log_probabilities(a, b)
    half = ((first - second).abs() / 2).clamp(max=SATURATED)
    log_cosh = torch.log1p(2 * torch.sinh(half / 2).square())
    summands = (first.exp() + second.exp()) / 2 * (half * torch.tanh(half) - log_cosh)
    return float(summands.sum(dim=1).mean())


@metric(
    "disagreement",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, 1.0),
    triangle_inequality=True,
    invariant_to={"affine"},
    needs={"model"},
    family="functional",
    formula="meanₓ [argmax_y p(y|x) ≠ argmax_y p′(y|x)]",
    reference="Madani, Pennock, Flake (2004), Co-Validation: Using Model Disagreement on Unlabeled Data to Validate "
    "Classification Algorithms",
)
def disagreement(a: Representation, b: Representation) -> float:
    """The share of inputs for which the models predict different labels.

    a, b: representations of any layers whose models have the same labels → a number in [0, 1]. Raises `NotApplicable`
    for different numbers of labels, `ValueError` for logits that are not finite.
    """
    log_probabilities(a, b)
    return float((predictions(a) != predictions(b)).double().mean())


def model_accuracy(representation: Representation) -> float:
    """Return the accuracy of a model: the share of inputs whose target is the model's predicted label."""
    assert representation.targets is not None
    return accuracy_of(predictions(representation), representation.targets)


def accuracy_of(predicted: Tensor, targets: Tensor | None) -> float:
    """Return the share of labels that are predicted, both (inputs,); raise `NotApplicable` without targets."""
    if targets is None:
        raise NotApplicable("accuracy needs targets")
    return float((predicted == targets.to(predicted.device)).double().mean())


@metric(
    "accuracy_difference",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, 1.0),
    triangle_inequality=True,
    invariant_to={"affine"},
    needs={"model", "targets"},
    family="functional",
    formula="|meanₓ [argmax_y p(y|x) = t(x)] − meanₓ [argmax_y p′(y|x) = t(x)]|, t the targets",
    reference="Klabunde et al. (2025), ReSi: A Comprehensive Benchmark for Representational Similarity Measures, "
    "Test 1 (correlation to accuracy difference)",
    prepare=model_accuracy,
    compare_many=differences_of_pairs,
)
def accuracy_difference(a: Representation, b: Representation) -> float:
    """The difference of the models' accuracies on the probe inputs.

    a, b: representations of any layers, with targets → a number in [0, 1]. The models need not have the same labels.
    Raises `ValueError` for logits that are not finite.
    """
    return abs(model_accuracy(a) - model_accuracy(b))
