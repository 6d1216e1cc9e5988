"""torchvision's classification models by name: freshly initialised, or with its published weights."""

from __future__ import annotations

import sys
from collections import OrderedDict
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import torch
import torchvision.models
from torch import nn

from simbench.data.images import ImagePreprocess
from simbench.errors import SimbenchError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

# these two put out more than the logits while training, unless told not to
WITH_AUXILIARY_LOGITS = ("googlenet", "inception_v3")


def build(model: str, input_shape: tuple[int, ...], classes: int, *, small_images: bool = False) -> nn.Module:
    """Build a freshly initialised network whose classifier has `classes` outputs.

    Raises:
        UnknownNameError: torchvision has no such classification model.
        SimbenchError: the inputs are no colour images, or `small_images` is asked of another network than a ResNet or
            a VGG.
    """
    _check(model, input_shape)
    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if model in WITH_AUXILIARY_LOGITS:
        options |= {"aux_logits": False, "init_weights": True}
    if model.startswith("vit_"):
        options["image_size"] = input_shape[-1]
    network: nn.Module = torchvision.models.get_model(model, **options)
    if small_images:
        _fit_to_small_images(network, model, classes)
    return network


def with_bottleneck(network: nn.Module, embedding: int) -> nn.Module:
    """Give a ResNet a classifier of two linear maps, `fc.bottleneck` to `embedding` features and `fc.head`."""
    old = network.get_submodule("fc")
    assert isinstance(old, nn.Linear)
    bottleneck = nn.Linear(old.in_features, embedding, bias=False)
    head = nn.Linear(embedding, old.out_features, bias=False)
    network.add_module("fc", nn.Sequential(OrderedDict(bottleneck=bottleneck, head=head)))
    return network


def _fit_to_small_images(network: nn.Module, model: str, classes: int) -> None:
    if isinstance(network, torchvision.models.ResNet):
        network.conv1 = nn.Conv2d(3, network.conv1.out_channels, kernel_size=3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    elif isinstance(network, torchvision.models.VGG):
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        hidden = [nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU()]
        network.classifier = nn.Sequential(*hidden, nn.Linear(512, classes))
    else:
        raise SimbenchError(f"small_images is for ResNets and VGGs; {model} is neither")


def with_published_weights(parameters: Mapping[str, Any], weights: str, input_shape: tuple[int, ...]) -> nn.Module:
    """Return the network with torchvision's weights of this name (`DEFAULT`, `IMAGENET1K_V1`) and their classifier.

    Raises:
        UnknownNameError: torchvision has no such model, or no such weights for it.
        SimbenchError: the weights are not in torch's cache and cannot be downloaded.
    """
    model = parameters["model"]
    if parameters.get("small_images"):
        raise SimbenchError(f"{model}: published weights do not fit a network for small images")
    _check(model, input_shape)
    names = [entry.name for entry in torchvision.models.get_model_weights(model)]
    if weights not in (*names, "DEFAULT"):
        raise UnknownNameError(f"weights of {model}", weights, (*names, "DEFAULT"))
    try:
        # standard output may be a JSON document, and torch announces its downloads there
        with redirect_stdout(sys.stderr):
            network: nn.Module = torchvision.models.get_model(model, weights=weights)
    # no network, or (RuntimeError) a download that fails its checksum
    except (OSError, RuntimeError) as error:
        url = torchvision.models.get_model_weights(model)[weights].url
        raise SimbenchError(
            f"weights {weights} of {model} cannot be downloaded ({error}); "
            f"put {url.rpartition('/')[2]} from {url} into {torch.hub.get_dir()}/checkpoints"
        ) from None
    return network


def transform_of(parameters: Mapping[str, Any], weights: str) -> ImagePreprocess:
    """Return the transform of images that published weights come with: size, crop and normalisation."""
    return ImagePreprocess(torchvision.models.get_model_weights(parameters["model"])[weights].transforms())


def resolved(weights: str, parameters: Mapping[str, Any]) -> str:
    """Return what a name of weights stands for: a release, and the file, whose name has the hash of its content."""
    try:
        entry = torchvision.models.get_model_weights(parameters["model"])[weights]
    except (KeyError, ValueError):  # a run says what there is
        return weights
    return f"{entry.name} {entry.url.rpartition('/')[2]}"


def _check(model: str, input_shape: tuple[int, ...]) -> None:
    names = torchvision.models.list_models(module=torchvision.models)
    if model not in names:
        raise UnknownNameError("torchvision model", model, names)
    if len(input_shape) != 3 or input_shape[0] != 3:
        raise SimbenchError(f"{model} takes inputs of shape (3, height, width); the dataset has {input_shape}")
