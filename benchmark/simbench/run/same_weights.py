"""Find models of a group whose files hold the same weights in other forms: beside an optimizer, or under other names.

Copies of whole files are found beforehand, in `plan/obtainable.py`; here weights are read, as a run does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from simbench.errors import SimbenchError
from simbench.models.loading import mapped_weights
from simbench.plan.obtainable import network_without_weights
from simbench.registry import ARCHITECTURES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from simbench.references import ModelRef
    from simbench.suite.schema import ModelSpec, Suite

# Numbers at either end of a tensor that tell most networks apart, so that little of their files is read.
ENDS = 8


def same_weights(suite: Suite, group: str) -> tuple[ModelRef, ModelRef] | None:
    """Return the first two models of a group whose files hold the same weights; None if there are none.

    Files that cannot be read, and weights that are in no file, are left to those who load them.
    """
    spec = suite.models.get(group)  # None of generated models, which are no group of the suite
    if spec is None or spec.load is None or len(models := spec.models(group)) < 2:
        return None
    network = network_without_weights(suite, spec)
    if network is None:
        return None
    alike: dict[str, list[ModelRef]] = {}
    for model in models:
        weights = _weights(model, spec, network)
        if weights is None:
            continue
        others = alike.setdefault(_outline(weights), [])
        for other in others:
            same = _weights(other, spec, network)
            if same is not None and all(torch.equal(weights[name], same[name]) for name in weights):
                return other, model
        others.append(model)
    return None


def _weights(model: ModelRef, spec: ModelSpec, network: nn.Module) -> dict[str, Tensor] | None:
    try:
        return mapped_weights(spec.weights(model), ARCHITECTURES.get(spec.network.name), network, spec.load_options)
    except SimbenchError:
        return None


def _outline(weights: Mapping[str, Tensor]) -> str:
    """Return a digest of names, types, shapes and the numbers at both ends of every tensor."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        numbers = weights[name].reshape(-1)
        ends = torch.cat((numbers[:ENDS], numbers[-ENDS:])).tolist()
        digest.update(f"{name} {weights[name].dtype} {tuple(weights[name].shape)} {ends}\n".encode())
    return digest.hexdigest()
