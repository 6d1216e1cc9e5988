"""Reparametrisations: other weights of a network that compute the same function.

A reparametrisation is a function of a model, a random generator and keyword parameters. It returns a new model and
leaves the given one as it is. The built-in ones take products in float64 and round once. Importing this module imports
no torch: suites are checked and planned from the names alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.origins import origin_of
from simbench.registry import REPARAMETRISATIONS, Registered

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from simbench.models.architectures.blocks import BlockNetwork
    from simbench.models.model import Model
else:
    torch, nn = lazy_import("torch"), lazy_import("torch.nn")

Changed = Literal["blocks", "embedding"]
# Version of every built-in reparametrisation, which is part of the keys of activations: raise it when one of them gives
# other weights.
REPARAMETRISATION_VERSION = 1
PLAIN_BLOCKS = "networks of plain blocks (mlp, conv1d, conv2d, …)"
# Largest factor by which a unit is rescaled, and largest condition number of a map at the head.
LARGEST_FACTOR = 10.0


@dataclass(frozen=True)
class Reparametrisation(Registered):
    """A registered reparametrisation.

    Attributes:
        changes: what its representations differ in: those of the `blocks`, or the `embedding` that the head reads.
    """

    changes: Changed

    def __call__(self, model: Model, *, seed: int, **parameters: Any) -> Model:
        """Return the model with other weights, which the seed decides."""
        changed: Model = self.function(model, torch.Generator().manual_seed(seed), **parameters)
        return changed


F = TypeVar("F", bound="Callable[..., Model]")


def reparametrisation(name: str, *, changes: Changed, version: int | None = None) -> Callable[[F], F]:
    """Register a function `(model, generator, *, parameters) -> Model` as a reparametrisation; return it unchanged.

    Args:
        name: the name that suites use.
        changes: what its representations differ in: those of the `blocks`, or the `embedding` that the head reads.
        version: raise it when the weights change; without one, the hash of its code stands for it.

    >>> import copy, simbench
    >>> @simbench.reparametrisation("unchanged", changes="blocks", version=1)
    ... def unchanged(model, generator):
    ...     return copy.deepcopy(model)
    >>> REPARAMETRISATIONS.get("unchanged").changes
    'blocks'
    """

    def decorate(function: F) -> F:
        registered = Reparametrisation(name, function, version, origin_of(function), changes)
        REPARAMETRISATIONS.register(name, registered, registered.origin)
        return function

    return decorate


@runtime_checkable
class ResidualNetwork(Protocol):
    """A network whose blocks all add to the same features."""

    def feature_axes(self) -> Iterator[tuple[Tensor, int]]:
        """Yield all weights that write or read these features, each with the axis that the features have in it."""
        ...


@reparametrisation("unit_permutation", changes="blocks", version=REPARAMETRISATION_VERSION)
def unit_permutation(model: Model, generator: torch.Generator) -> Model:
    """Reorder the units (channels) of every block, and the weights that read them accordingly.

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
        order = torch.randperm(_unit_count(block), generator=generator)
        for module in (block.get_submodule("linear"), *_norm(block)):
            for name, tensor in module.state_dict(keep_vars=True).items():
                if name != "num_batches_tracked":
                    tensor.copy_(tensor[order])
        reader.copy_(reader[:, order])
    return model.with_network(network)


@reparametrisation("relu_rescaling", changes="blocks", version=REPARAMETRISATION_VERSION)
def relu_rescaling(model: Model, generator: torch.Generator) -> Model:
    """Scale every unit by a positive factor, log-uniform in [0.1, 10]: the ReLU passes it on, the reader undoes it."""
    network = _copy(model, PLAIN_BLOCKS)
    for block, reader in _blocks_and_readers(network):
        drawn = torch.rand(_unit_count(block), generator=generator, dtype=torch.float64)
        factors = LARGEST_FACTOR ** (2 * drawn - 1)
        # the last affine step before the ReLU: that of the norm, else the block's own map
        scaled = (_norm(block) or [block.get_submodule("linear")])[0]
        for tensor in (scaled.weight, scaled.bias):
            assert isinstance(tensor, torch.Tensor)
            tensor.copy_(tensor.double() * _along(factors, 0, tensor))
        reader.copy_(reader.double() / _along(factors, 1, reader))
    return model.with_network(network)


@reparametrisation("head_linear", changes="embedding", version=REPARAMETRISATION_VERSION)
def head_linear(model: Model, generator: torch.Generator) -> Model:
    """Map the embedding by an invertible A (condition number up to 10): f → A f, W → W A⁻¹ + 1 cᵀ.

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


def _copy(model: Model, known_for: str) -> BlockNetwork:
    """Copy the network; its parameters are frozen, so that they may be changed in place."""
    from simbench.models.architectures.blocks import BlockNetwork

    if not isinstance(model.network, BlockNetwork):
        raise NotApplicable(f"this reparametrisation is known for {known_for} only")
    return copy.deepcopy(model.network)


def _embedding_and_head(network: nn.Module, embedding_layer: str | None) -> tuple[nn.Sequential | nn.Linear, nn.Linear]:
    """Return the module whose output the head reads, and the linear `head` beside it."""
    modules = dict(network.named_modules())
    beside, _, _ = (embedding_layer or "").rpartition(".")
    embedding, head = modules.get(embedding_layer or ""), modules.get(f"{beside}.head" if beside else "head")
    if embedding_layer and isinstance(embedding, nn.Sequential | nn.Linear) and isinstance(head, nn.Linear):
        return embedding, head
    raise NotApplicable(f"this reparametrisation is known for {PLAIN_BLOCKS}, transformers and resnet_bottleneck only")


def _blocks_and_readers(network: BlockNetwork) -> list[tuple[nn.Sequential, Tensor]]:
    """Pair each block with the weight `(outputs, its units, ...)` that reads it."""
    bottleneck = getattr(network.embedding, "bottleneck", None)
    readers = [block.get_submodule("linear") for block in network.blocks[1:]]
    readers.append(network.head if bottleneck is None else bottleneck)
    weights = [reader.weight for reader in readers]
    return [
        (block, weight)
        for block, weight in zip(network.blocks, weights, strict=True)
        if isinstance(weight, torch.Tensor)
    ]


def _norm(block: nn.Sequential) -> list[nn.Module]:
    """Return the block's norm, if it has one, in a list."""
    return [module for name, module in block.named_children() if name == "norm"]


def _unit_count(block: nn.Sequential) -> int:
    weight = block.get_submodule("linear").weight
    assert isinstance(weight, torch.Tensor)
    return len(weight)


def _along(factors: Tensor, axis: int, tensor: Tensor) -> Tensor:
    """Shape the factors so that they multiply this axis."""
    shape = [1] * tensor.ndim
    shape[axis] = len(factors)
    return factors.to(tensor.device).reshape(shape)


def _well_conditioned(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw A and its inverse, float64, with log-uniform singular values whose ratio is at most `LARGEST_FACTOR`."""
    left, right = (
        torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0] for _ in range(2)
    )
    values = LARGEST_FACTOR ** (torch.rand(size, generator=generator, dtype=torch.float64) - 0.5)
    return left * values @ right.T, right / values @ left.T
