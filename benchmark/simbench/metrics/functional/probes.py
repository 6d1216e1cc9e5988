"""Accuracy of a linear probe on a layer: the functional score that Ding et al. hold dissimilarities against."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.functional.outputs import accuracy_of
from simbench.metrics.kernels.differences import differences_of_pairs
from simbench.metrics.kernels.prediction import ridge_penalty
from simbench.metrics.kernels.spectrum import spectrum
from simbench.metrics.metric import metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")


def probe_accuracy(representation: Representation) -> float:
    """Return the accuracy, on the probe inputs, of a linear probe trained on the fit."""
    fit = representation.fit
    if fit is None or fit.targets is None:
        raise NotApplicable("a linear probe needs fitting inputs with targets")
    predicted = ridge_predictions(pooled(fit), fit.targets, pooled(representation))
    return accuracy_of(predicted, representation.targets)


@metric(
    "probe_accuracy_difference",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, 1.0),
    triangle_inequality=True,
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    purposes={"function"},
    needs={"fit", "targets"},
    family="functional",
    formula="|F(X) − F(Y)|, F the accuracy on the probe inputs of a linear probe trained on the fitting inputs",
    reference="Ding, Denain, Steinhardt (2021), Grounding Representation Similarity with Statistical Testing, "
    "probing accuracy as functionality (there with logistic probes of language models)",
    prepare=probe_accuracy,
    compare_many=differences_of_pairs,
)
def probe_accuracy_difference(a: Representation, b: Representation) -> float:
    """The difference in accuracy of two linear probes, each trained on the fitting inputs of its own representation.

    a, b: representations with targets and a fit with targets → a number in [0, 1]. Activations with positions are
    averaged over them, whatever the suite's spatial rule, so that an input has one label and one row. The probe is
    ridge regression to one-hot labels, its penalty by generalised cross-validation: closed form, no seed. Raises
    `NotApplicable` when the fitting inputs have no targets, one label only, or no variance.
    """
    return abs(probe_accuracy(a) - probe_accuracy(b))


def pooled(representation: Representation) -> Tensor:
    """Return the mean over positions, where there are any, (inputs, features)."""
    from simbench.representations.representation import SpatialRule

    return replace(representation, spatial=SpatialRule("pool")).matrix


def ridge_predictions(x: Tensor, targets: Tensor, new: Tensor) -> Tensor:
    """Return the labels (new rows,) that ridge regression from x (rows, features) to one-hot targets (rows,) predicts.

    >>> x = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
    >>> ridge_predictions(x, torch.tensor([3, 3, 7, 7]), torch.tensor([[-1.0], [9.0]])).tolist()
    [3, 7]
    """
    labels, positions = torch.unique(targets.to(x.device), return_inverse=True)
    if len(labels) < 2:
        raise NotApplicable("all fitting inputs of the linear probe have the same label")
    one_hot = torch.nn.functional.one_hot(positions).double()
    share = one_hot.mean(dim=0)
    y = one_hot - share
    side = spectrum(x)
    cross = side.values[:, None] * (side.left.T @ y)
    penalty = ridge_penalty(side.values, cross, float(y.square().sum()), len(y))
    weights = side.right.T @ (cross / (side.values.square() + penalty)[:, None])
    scores = (new.double() - x.double().mean(dim=0)) @ weights + share
    predicted: Tensor = labels[scores.argmax(dim=1)]
    return predicted
