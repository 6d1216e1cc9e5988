"""Other weights, same function: the reparametrisations of a network of plain blocks and of a transformer.

Each returns a new model and leaves the given one as it is. Products are taken in float64 and rounded once.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from simbench.errors import NotApplicable
from simbench.models.architectures.blocks import BlockNetwork
from simbench.models.model import Model

Reparametrisation = Callable[[Model, torch.Generator], Model]
PLAIN_BLOCKS = "networks of plain blocks (mlp, conv1d, conv2d, …)"
LARGEST_FACTOR = 10.0
"""Of the rescaling of a unit; and of the condition number at the head."""


@runtime_checkable
class ResidualNetwork(Protocol):
    """A network all of whose blocks add to the same features."""

    def feature_axes(self) -> Iterator[tuple[Tensor, int]]:
        """All weights that write or read these features, with the axis of these."""
        ...


def unit_permutation(model: Model, generator: torch.Generator) -> Model:
    """Reorder the units (channels) of every block, and let what reads them undo it.

    All blocks of a transformer add to the same features: these have one order everywhere.
    """
    if isinstance(model.network, ResidualNetwork):
        transformer = copy.deepcopy(model.network)
        axes = list(transformer.feature_axes())
        order = torch.randperm(axes[0][0].shape[axes[0][1]], generator=generator)
        for tensor, axis in axes:
            tensor.copy_(tensor.index_select(axis, order.to(tensor.device)))
        return model.with_network(transformer)
    network = _copy(model, f"{PLAIN_BLOCKS} and transformers")
    for block, reader in _blocks_and_readers(network):
        order = torch.randperm(_units(block), generator=generator)
        for module in (block.get_submodule("linear"), *_norm(block)):
            for name, tensor in module.state_dict(keep_vars=True).items():
                if name != "num_batches_tracked":
                    tensor.copy_(tensor[order])
        reader.copy_(reader[:, order])
    return model.with_network(network)


def relu_rescaling(model: Model, generator: torch.Generator) -> Model:
    """Scale every unit by a positive factor, log-uniform in [0.1, 10]: the ReLU passes it on, the reader undoes it."""
    network = _copy(model, PLAIN_BLOCKS)
    for block, reader in _blocks_and_readers(network):
        drawn = torch.rand(_units(block), generator=generator, dtype=torch.float64)
        factors = LARGEST_FACTOR ** (2 * drawn - 1)
        # the last affine step before the ReLU: that of the norm, else the block's own map
        scaled = (_norm(block) or [block.get_submodule("linear")])[0]
        for tensor in (scaled.weight, scaled.bias):
            assert isinstance(tensor, Tensor)
            tensor.copy_(tensor.double() * _along(factors, 0, tensor))
        reader.copy_(reader.double() / _along(factors, 1, reader))
    return model.with_network(network)


def head_linear(model: Model, generator: torch.Generator) -> Model:
    """f → A f, W → W A⁻¹ + 1 cᵀ: an invertible map of the embedding (condition number up to 10), undone by the head.

    The shift c, common to all unembeddings, changes the logits of an input by one constant, which the softmax removes.
    These are all the maps that leave the distribution as it is, by the identifiability theorem of Roeder et al. (2021).
    """
    network = copy.deepcopy(model.network)
    embedding, head = _embedding_and_head(network, model.embedding_layer)
    features = head.in_features
    mix, unmix = _well_conditioned(features, generator)
    bottleneck = embedding if isinstance(embedding, nn.Linear) else getattr(embedding, "bottleneck", None)
    if bottleneck is None:
        # the embedding has no linear map of its own into which A could go
        added = nn.Linear(features, features, bias=False, device=head.weight.device, dtype=head.weight.dtype)
        added.requires_grad_(False).weight.copy_(mix)
        embedding.add_module("bottleneck", added)
    else:
        bottleneck.weight.copy_(mix @ bottleneck.weight.double().cpu())
    unembedding = head.weight.double().cpu() @ unmix
    length = unembedding.norm(dim=1).mean() / math.sqrt(features)
    shift = length * torch.randn(features, generator=generator, dtype=torch.float64)
    head.weight.copy_(unembedding + shift)
    return model.with_network(network)


REPARAMETRISATIONS: dict[str, Reparametrisation] = {
    "unit_permutation": unit_permutation,
    "relu_rescaling": relu_rescaling,
    "head_linear": head_linear,
}
"""By name. The first two change the blocks, the last one changes the embedding."""


def _copy(model: Model, known_for: str) -> BlockNetwork:
    """The network's own copy; parameters are frozen, so that they may be changed in place."""
    if not isinstance(model.network, BlockNetwork):
        raise NotApplicable(f"this reparametrisation is known for {known_for} only")
    return copy.deepcopy(model.network)


def _embedding_and_head(network: nn.Module, embedding_layer: str | None) -> tuple[nn.Sequential | nn.Linear, nn.Linear]:
    """The module whose output the head reads, and the linear `head`, which stands beside it."""
    modules = dict(network.named_modules())
    beside, _, _ = (embedding_layer or "").rpartition(".")
    embedding, head = modules.get(embedding_layer or ""), modules.get(f"{beside}.head" if beside else "head")
    if embedding_layer and isinstance(embedding, nn.Sequential | nn.Linear) and isinstance(head, nn.Linear):
        return embedding, head
    raise NotApplicable(f"this reparametrisation is known for {PLAIN_BLOCKS}, transformers and resnet_bottleneck only")


def _blocks_and_readers(network: BlockNetwork) -> list[tuple[nn.Sequential, Tensor]]:
    """Each block with the weight `(outputs, its units, ...)` that reads it."""
    bottleneck = getattr(network.embedding, "bottleneck", None)
    readers = [block.get_submodule("linear") for block in network.blocks[1:]]
    readers.append(network.head if bottleneck is None else bottleneck)
    weights = [reader.weight for reader in readers]
    return [
        (block, weight) for block, weight in zip(network.blocks, weights, strict=True) if isinstance(weight, Tensor)
    ]


def _norm(block: nn.Sequential) -> list[nn.Module]:
    """The block's norm, if it has one."""
    return [module for name, module in block.named_children() if name == "norm"]


def _units(block: nn.Sequential) -> int:
    weight = block.get_submodule("linear").weight
    assert isinstance(weight, Tensor)
    return len(weight)


def _along(factors: Tensor, axis: int, tensor: Tensor) -> Tensor:
    """The factors shaped so that they multiply this axis."""
    shape = [1] * tensor.ndim
    shape[axis] = len(factors)
    return factors.to(tensor.device).reshape(shape)


def _well_conditioned(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A and its inverse, float64, with log-uniform singular values whose ratio is at most `LARGEST_FACTOR`."""
    left, right = (
        torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0] for _ in range(2)
    )
    values = LARGEST_FACTOR ** (torch.rand(size, generator=generator, dtype=torch.float64) - 0.5)
    return left * values @ right.T, right / values @ left.T
