"""Two small trained networks and their layers: what the tests of stitching stitch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from simbench.metrics.metric import Score
from simbench.metrics.scoring import score_pairs
from simbench.models.architectures.blocks import convolutional_blocks
from simbench.models.model import Model
from simbench.registry import METRICS
from simbench.representations.representation import Representation

CLASSES, LENGTH, WIDTH = 4, 12, 6
FIT, PROBE = 500, 300
LAYERS = ("block1", "block2", "block3")
Make = Callable[..., Representation]


def data(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy waves `(count, 1, 12)` of as many frequencies as there are classes, at a random phase."""
    random = np.random.default_rng(seed)
    targets = random.integers(CLASSES, size=count)
    phase = random.uniform(0, 2 * np.pi, size=(count, 1))
    waves = np.sin(2 * np.pi * (targets[:, None] + 1) * np.arange(LENGTH) / LENGTH + phase)
    noisy = waves + 0.6 * random.normal(size=waves.shape)
    return torch.tensor(noisy[:, None], dtype=torch.float32), torch.tensor(targets)


FIT_DATA, PROBE_DATA = data(FIT, 0), data(PROBE, 1)


@functools.cache
def trained(seed: int) -> Model:
    """A small convolutional network that is clearly better than chance and clearly not perfect."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = convolutional_blocks(
            (1, LENGTH),
            CLASSES,
            axes=1,
            width=WIDTH,
            depth=3,
            kernel_size=3,
            norm="batch",
            downsample_at=[2],
            embedding=None,
        )
        inputs, targets = data(1000, 2)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
        for _ in range(12):
            for batch in torch.randperm(len(targets)).split(100):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
                optimizer.step()
    return Model(network, LAYERS, input_shape=(1, LENGTH))


def rows(representation: Representation) -> NDArray[np.float64]:
    """A row per position."""
    moved = representation.activations.movedim(representation.feature_axis, -1)
    return moved.reshape(-1, moved.shape[-1]).double().numpy()


def fit_of(representation: Representation) -> Representation:
    assert representation.fit is not None
    return representation.fit


def noise_like(representation: Representation, seed: int) -> Representation:
    """The same place with iid noise, on the probe and on the fitting inputs."""
    random = torch.Generator().manual_seed(seed)

    def drawn(one: Representation) -> Representation:
        return one.with_activations(torch.randn(one.activations.shape, generator=random))

    return replace(drawn(representation), fit=drawn(fit_of(representation)))


def layer_of(layer: str, model: int | Model = 0) -> Representation:
    """A layer of one of two trained networks (or of another one), on the probe and on the fitting inputs."""
    network = trained(model) if isinstance(model, int) else model

    def side(inputs: Tensor, targets: Tensor) -> Representation:
        return Representation(
            network.activations(inputs, layer),
            network.layout(layer),
            layer,
            network,
            inputs,
            targets,
            CLASSES,
            at_head=layer == "embedding",
        )

    return replace(side(*PROBE_DATA), fit=side(*FIT_DATA))


def score(name: str, sender: Representation, receiver: Representation, **parameters: float | str) -> Score:
    """As the runner scores one pair."""
    metric = METRICS.get(name).with_parameters(parameters)
    return score_pairs(metric, [sender, receiver], [(0, 1)])[0]


def value(name: str, sender: Representation, receiver: Representation, **parameters: float | str) -> float:
    found = score(name, sender, receiver, **parameters)
    assert found.status == "ok", found.reason
    assert found.value is not None
    return found.value


def accuracy(logits: Tensor) -> float:
    return float((logits.argmax(dim=1) == PROBE_DATA[1]).double().mean())
