"""The built-in architectures. Their bodies import torch; this module does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

import simbench.models.own_networks  # noqa: F401 - takes architectures that are named by their place in code
from simbench.bounds import DEEPEST_NETWORK, Depth, KernelSize, Width
from simbench.models.architecture import architecture

if TYPE_CHECKING:
    from torch import nn

    from simbench.representations.layouts import DeclaredLayout

Normalisation = Literal["batch", "none"]


def _block_names(*, depth: int, **_: Any) -> list[str]:
    """Name the blocks; the embedding is named apart, as it is their last output, pooled."""
    return [f"block{number}" for number in range(1, depth + 1)]


@architecture("mlp", version=1, layers=_block_names, embedding_layer="embedding")
def mlp(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    width: Width = 128,
    depth: Depth = 3,
    norm: Normalisation = "batch",
    embedding: Width | None = None,
) -> nn.Module:
    """Fully connected blocks: linear, norm, ReLU; then a linear head, after a bottleneck if `embedding` is given."""
    from simbench.models.architectures.blocks import linear_blocks

    return linear_blocks(input_shape, classes, width=width, depth=depth, norm=norm, embedding=embedding)


@architecture("inner_product_mlp", version=1, layers=_block_names, embedding_layer="embedding")
def inner_product_mlp(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    width: Width = 64,
    depth: Depth = 3,
    embedding: Width = 2,
    slope: Annotated[float, Field(ge=0)] = 0.01,
) -> nn.Module:
    """p(y|x) ∝ exp(f(x)·g(y)): f has fully connected blocks with leaky ReLUs and a bottleneck; g(y) are free vectors.

    As in Nielsen et al. (2025), but that their g is itself an MLP, of the labels: for a finite number of labels the
    family is the same.
    """
    from simbench.models.architectures.blocks import linear_blocks

    return linear_blocks(
        input_shape,
        classes,
        width=width,
        depth=depth,
        norm="none",
        embedding=embedding,
        slope=slope,
        head_bias=False,
    )


@architecture("two_tower_mlp", version=1, layers=_block_names, embedding_layer="embedding")
def two_tower_mlp(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    width: Width = 64,
    depth: Depth = 3,
    embedding: Width = 2,
    slope: Annotated[float, Field(ge=0)] = 0.01,
) -> nn.Module:
    """p(y|x) ∝ exp(f(x)·g(y)) as in Nielsen et al. (2025): f an MLP of the inputs, g an MLP of the labels.

    The family is that of `inner_product_mlp`; what is learned is not. There the unembeddings start as random vectors,
    which decide in what order the labels lie; here they start close to each other, and wide models learn one order.
    """
    from simbench.models.architectures.two_towers import two_towers

    return two_towers(input_shape, classes, width=width, depth=depth, embedding=embedding, slope=slope)


@architecture("conv1d", version=1, layers=_block_names, embedding_layer="embedding", layout="channels_first")
def conv1d(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    width: Width = 24,
    depth: Depth = 7,
    kernel_size: KernelSize = 3,
    norm: Normalisation = "batch",
    downsample_at: Annotated[list[int], Field(max_length=DEEPEST_NETWORK)] = [],  # noqa: B006 - never changed, and a suite writes a list
    embedding: Width | None = None,
) -> nn.Module:
    """Convolutional blocks over a sequence, mean over positions, a bottleneck if `embedding` is given, linear head."""
    from simbench.models.architectures.blocks import convolutional_blocks

    return convolutional_blocks(
        input_shape,
        classes,
        axes=1,
        width=width,
        depth=depth,
        kernel_size=kernel_size,
        norm=norm,
        downsample_at=downsample_at,
        embedding=embedding,
    )


@architecture("conv2d", version=1, layers=_block_names, embedding_layer="embedding", layout="channels_first")
def conv2d(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    width: Width = 24,
    depth: Depth = 5,
    kernel_size: KernelSize = 3,
    norm: Normalisation = "batch",
    downsample_at: Annotated[list[int], Field(max_length=DEEPEST_NETWORK)] = [],  # noqa: B006 - never changed, and a suite writes a list
    embedding: Width | None = None,
) -> nn.Module:
    """Convolutional blocks over an image, mean over positions, a bottleneck if `embedding` is given, linear head."""
    from simbench.models.architectures.blocks import convolutional_blocks

    return convolutional_blocks(
        input_shape,
        classes,
        axes=2,
        width=width,
        depth=depth,
        kernel_size=kernel_size,
        norm=norm,
        downsample_at=downsample_at,
        embedding=embedding,
    )


def _encoder_names(*, depth: int, **_: Any) -> list[str]:
    return [f"encoder.layers.encoder_layer_{number}" for number in range(depth)]


@architecture("vit", version=1, layers=_encoder_names, embedding_layer="heads.embedding", layout="tokens")
def vit(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    patch: KernelSize = 4,
    width: Width = 64,
    depth: Depth = 4,
    heads: Width = 4,
) -> nn.Module:
    """Vision transformer (torchvision's) for square images of any size; the defaults suit images of 8×8 to 32×32.

    Its embedding is what the head reads: the last output of the class token, normalised.
    """
    from simbench.models.architectures.vision_transformer import small_vision_transformer

    return small_vision_transformer(input_shape, classes, patch=patch, width=width, depth=depth, heads=heads)


@architecture("causal_transformer", version=1, layers=_block_names, embedding_layer="embedding", layout="tokens")
def causal_transformer(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    width: Width = 32,
    depth: Depth = 2,
    heads: Width = 4,
) -> nn.Module:
    """Causal transformer (pre-norm) that reads a sequence of tokens and predicts the next; head without a bias."""
    from simbench.models.architectures.transformer import causal_transformer_network

    return causal_transformer_network(input_shape, classes, width=width, depth=depth, heads=heads)


def _image_layout(*, model: str, **_: Any) -> DeclaredLayout | None:
    """Return the layout of activations: that of tokens for Swin transformers, which keep channels last, else none."""
    return "tokens" if model.startswith("swin") else None


@architecture("torchvision", version=1, layout=_image_layout)
def torchvision(input_shape: tuple[int, ...], classes: int, *, model: str, small_images: bool = False) -> nn.Module:
    """Any classification model of torchvision, by its name (`model: resnet18`); suites list its layers.

    `small_images` makes the usual networks for images of 32×32: a ResNet begins with a 3×3 convolution and no pooling,
    a VGG ends with two hidden layers of 512 units.
    """
    from simbench.models.architectures.torchvision_models import build

    return build(model, input_shape, classes, small_images=small_images)


def _stage_names(**_: Any) -> list[str]:
    return [*(f"layer{number}" for number in range(1, 5)), "fc.bottleneck"]


@architecture("resnet_bottleneck", version=1, layers=_stage_names, embedding_layer="fc.bottleneck")
def resnet_bottleneck(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    model: Literal["resnet18", "resnet34", "resnet50"] = "resnet18",
    embedding: Width = 2,
    small_images: bool = True,
) -> nn.Module:
    """ResNet of torchvision with a bottleneck and a head without a bias: p(y|x) ∝ exp(f(x)·g(y)).

    As in Nielsen et al. (2025), but that their g is itself an MLP, of the labels.
    """
    from simbench.models.architectures.torchvision_models import build, with_bottleneck

    return with_bottleneck(build(model, input_shape, classes, small_images=small_images), embedding)
