"""Plain networks of named stages, each of which is a cut point: block1 … blockN, embedding, head."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from simbench.errors import SimbenchError

if TYPE_CHECKING:
    from simbench.models.architectures.builtin import Normalisation

EMBEDDING, HEAD = "embedding", "head"
CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
NORMS: dict[int, type[nn.BatchNorm1d] | type[nn.BatchNorm2d]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
POOLS: dict[int, type[nn.AdaptiveAvgPool1d] | type[nn.AdaptiveAvgPool2d]] = {
    1: nn.AdaptiveAvgPool1d,
    2: nn.AdaptiveAvgPool2d,
}


class StagedNetwork(nn.Sequential):
    """A chain of named stages, each of which is a cut point; the last two are the embedding and a linear head."""

    embedding: nn.Sequential
    head: nn.Linear
    # A network that reads tokens reads 0 … `vocabulary` − 1.
    vocabulary: int | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of all stages, in order."""
        return tuple(self._modules)

    def forward_after(self, stage: str, activations: Tensor) -> Tensor:
        """Return the logits from the output of `stage`."""
        for name in self.stages[self.stages.index(stage) + 1 :]:
            activations = self.get_submodule(name)(activations)
        return activations


class BlockNetwork(StagedNetwork):
    """Blocks, embedding, head.

    A block is a linear map (`linear`), a batch norm (`norm`; without it the map has a bias), and a ReLU (`relu`),
    possibly leaky. The embedding averages over positions and may end in a bias-free linear `bottleneck`.
    """

    def __init__(self, blocks: list[nn.Sequential], embedding: nn.Sequential, head: nn.Linear) -> None:
        """Chain the blocks, the embedding and the head."""
        super().__init__(OrderedDict([*named_blocks(blocks), (EMBEDDING, embedding), (HEAD, head)]))

    @property
    def blocks(self) -> list[nn.Sequential]:
        """The blocks, in order."""
        blocks = [self.get_submodule(name) for name in self.stages if name.startswith("block")]
        return [block for block in blocks if isinstance(block, nn.Sequential)]


def named_blocks(blocks: Sequence[nn.Module]) -> list[tuple[str, nn.Module]]:
    """Name the blocks, counting from 1."""
    return [(f"block{number}", block) for number, block in enumerate(blocks, start=1)]


def faster_to_differentiate(network: BlockNetwork) -> BlockNetwork:
    """Return a copy that computes the same, up to rounding, at about a third of the cost of a pass and its gradient.

    Batch norms in eval mode become part of the linear maps before them, convolutions run with the channels last, ReLUs
    work in place.
    """
    faster = copy.deepcopy(network)
    for block in faster.blocks:
        linear, norm = block.get_submodule("linear"), dict(block.named_children()).get("norm")
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            linear = (
                fuse_linear_bn_eval(linear, norm)
                if isinstance(linear, nn.Linear)
                else fuse_conv_bn_eval(cast("nn.Conv2d", linear), norm)
            )
            block.add_module("norm", nn.Identity())
        # In place on a view, autograd would copy the whole tensor: the ReLU comes before the view.
        relu = block.get_submodule("relu")
        assert isinstance(relu, nn.ReLU | nn.LeakyReLU)
        relu.inplace = True
        one_dimensional = isinstance(linear, nn.Conv1d)
        block.add_module("linear", _ChannelsLast(linear, relu) if isinstance(linear, nn.Conv1d) else linear)
        block.add_module("relu", nn.Identity() if one_dimensional else relu)
    return faster.to(memory_format=torch.channels_last).eval().requires_grad_(False)


class _ChannelsLast(nn.Module):
    """A convolution over a sequence, as one over an image of height 1 (which has a channels-last kernel), and ReLU."""

    def __init__(self, convolution: nn.Conv1d, relu: nn.ReLU | nn.LeakyReLU) -> None:
        super().__init__()
        self.relu = relu
        (width,), (stride,), padding = convolution.kernel_size, convolution.stride, convolution.padding[0]
        self.flat = nn.Conv2d(
            convolution.in_channels,
            convolution.out_channels,
            (1, width),
            (1, stride),
            (0, int(padding)),
            bias=convolution.bias is not None,
        )
        self.flat.weight = nn.Parameter(convolution.weight[:, :, None])
        if convolution.bias is not None:
            self.flat.bias = nn.Parameter(convolution.bias)

    def forward(self, activations: Tensor) -> Tensor:
        """`(n, channels, length)`, in any memory format."""
        flat: Tensor = self.relu(self.flat(activations.unsqueeze(2).contiguous(memory_format=torch.channels_last)))
        return flat.squeeze(2)


def linear_blocks(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    width: int,
    depth: int,
    norm: Normalisation,
    embedding: int | None,
    slope: float = 0.0,
    head_bias: bool = True,
) -> BlockNetwork:
    """Fully connected blocks on flattened inputs; `slope` is that of a leaky ReLU below 0."""
    features, blocks = 1, []
    for size in input_shape:
        features *= size
    for number in range(depth):
        block: OrderedDict[str, nn.Module] = OrderedDict()
        if number == 0:
            block["flatten"] = nn.Flatten()
        block["linear"] = nn.Linear(features, width, bias=norm == "none")
        if norm == "batch":
            block["norm"] = nn.BatchNorm1d(width)
        block["relu"] = nn.LeakyReLU(slope) if slope else nn.ReLU()
        blocks.append(nn.Sequential(block))
        features = width
    return _with_head(blocks, OrderedDict(), width, embedding, classes, head_bias)


def convolutional_blocks(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    axes: int,
    width: int,
    depth: int,
    kernel_size: int,
    norm: Normalisation,
    downsample_at: Collection[int],
    embedding: int | None,
) -> BlockNetwork:
    """Convolutional blocks over one or two spatial axes; the size stays but at the blocks of `downsample_at` (from 1).

    Raises:
        SimbenchError: the inputs have another number of axes, the kernel is even, or there is no such block to
            downsample.
    """
    if len(input_shape) != axes + 1:
        shape = {1: "(channels, length)", 2: "(channels, height, width)"}[axes]
        raise SimbenchError(f"conv{axes}d takes inputs of shape {shape}; the dataset has {input_shape}")
    if kernel_size % 2 == 0:
        raise SimbenchError(f"conv{axes}d: kernel_size must be odd, so that sizes stay; got {kernel_size}")
    outside = sorted(set(downsample_at) - set(range(1, depth + 1)))
    if outside:
        raise SimbenchError(f"conv{axes}d: downsample_at names block {outside[0]}; there are blocks 1 to {depth}")
    channels, blocks = input_shape[0], []
    for number in range(1, depth + 1):
        block: OrderedDict[str, nn.Module] = OrderedDict()
        block["linear"] = CONVOLUTIONS[axes](
            channels,
            width,
            kernel_size,
            stride=2 if number in downsample_at else 1,
            padding=kernel_size // 2,
            bias=norm == "none",
        )
        if norm == "batch":
            block["norm"] = NORMS[axes](width)
        block["relu"] = nn.ReLU()
        blocks.append(nn.Sequential(block))
        channels = width
    pooled: OrderedDict[str, nn.Module] = OrderedDict(pool=POOLS[axes](1), flatten=nn.Flatten())
    return _with_head(blocks, pooled, width, embedding, classes)


def _with_head(
    blocks: list[nn.Sequential],
    pooled: OrderedDict[str, nn.Module],
    width: int,
    embedding: int | None,
    classes: int,
    bias: bool = True,
) -> BlockNetwork:
    if embedding is not None:
        pooled["bottleneck"] = nn.Linear(width, embedding, bias=False)
    return BlockNetwork(blocks, nn.Sequential(pooled), nn.Linear(embedding or width, classes, bias))
