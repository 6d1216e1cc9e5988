"""An architecture, a loader, a reparametrisation and a generator of synthetic models of somebody else's."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict

import numpy as np

from simbench.lazy import lazy_import
from simbench.models.architecture import architecture
from simbench.models.loading import loader, with_weights
from simbench.models.reparametrise import reparametrisation
from simbench.models.synthetic.base import Synthetic, UnembeddingModel, generator

torch, nn = lazy_import("torch"), lazy_import("torch.nn")


@architecture("good_plugin/perceptron", version=1, layers=lambda **_: ["hidden"], embedding_layer="activation")
def perceptron(input_shape, classes, *, width: int = 6):
    """One hidden layer of ReLUs."""
    layers = {"flatten": nn.Flatten(), "hidden": nn.Linear(math.prod(input_shape), width), "activation": nn.ReLU()}
    return nn.Sequential(OrderedDict(layers, head=nn.Linear(width, classes)))


@loader("good_plugin/npz", suffixes={".npz"}, version=1)
def load_npz(load, architecture, parameters, input_shape, classes):
    """Load a state dict from the arrays of a `.npz` file."""
    with np.load(load, allow_pickle=False) as arrays:
        weights = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return with_weights(weights, load, architecture, parameters, input_shape, classes)


@reparametrisation("good_plugin/reversed_units", changes="blocks", version=1)
def reversed_units(model, random):
    """Reverse the order of the hidden units."""
    network = copy.deepcopy(model.network)
    for parameter, axis in ((network.hidden.weight, 0), (network.hidden.bias, 0), (network.head.weight, 1)):
        parameter.copy_(parameter.flip(axis))
    return model.with_network(network)


@generator("good_plugin/mirrored", version=1, pair="mirrored")
def mirrored(*, mirrored: bool, inputs: int = 60, seed: int = 0) -> Synthetic:
    """Make one of two models that differ in the sign of what no output depends on."""

    def draw(part):
        random = torch.Generator().manual_seed(2 * seed + part)
        embeddings = torch.randn(inputs, 2, generator=random, dtype=torch.float64)
        return embeddings * torch.tensor([1.0, -1.0 if mirrored else 1.0], dtype=torch.float64)

    targets = torch.arange(inputs) % 2
    unembedding = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    return Synthetic(UnembeddingModel(unembedding), draw(0), targets, draw(1), targets)
