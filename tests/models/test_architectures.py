"""Architectures: names without building, and networks that are as their names say."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from simbench.errors import SimbenchError, UnknownNameError
from simbench.models.architecture import architecture
from simbench.models.blocks import BlockNetwork
from simbench.parameters import ParameterError
from simbench.registry import ARCHITECTURES

INPUTS = {"mlp": (1, 8, 8), "conv1d": (1, 40), "conv2d": (1, 8, 8), "vit": (1, 8, 8)}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {}),
    ("mlp", {"norm": "none", "embedding": 4}),
    ("conv1d", {"depth": 3}),
    ("conv1d", {"depth": 3, "norm": "none", "embedding": 2, "downsample_at": [2]}),
    ("conv2d", {"depth": 3, "kernel_size": 5}),
    ("conv2d", {"depth": 3, "embedding": 4, "downsample_at": [1, 3]}),
    ("vit", {"depth": 2, "width": 16, "heads": 2}),
]


def build(name: str, parameters: dict[str, Any]) -> nn.Module:
    return ARCHITECTURES.get(name).build(INPUTS[name], 10, **parameters)


def test_naming_layers_imports_no_torch() -> None:
    naming = (
        "import sys; from simbench.registry import ARCHITECTURES;"
        "[(a.layers(), a.embedding_layer(), a.identity) for n, a in ARCHITECTURES if n != 'torchvision'];"
        "print([name for name in ('torch', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", naming], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_every_architecture_says_what_it_is(name: str) -> None:
    assert ARCHITECTURES.get(name).summary.endswith(".")


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_the_network_has_the_layers_that_are_named_without_it(name: str, parameters: dict[str, Any]) -> None:
    named = ARCHITECTURES.get(name).layers(**parameters)
    assert named
    assert set(named) <= {module for module, _ in build(name, parameters).named_modules()}


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_a_network_puts_out_one_logit_per_class(name: str, parameters: dict[str, Any]) -> None:
    assert build(name, parameters)(torch.zeros(2, *INPUTS[name])).shape == (2, 10)


def test_there_is_one_layer_per_block() -> None:
    assert ARCHITECTURES.get("conv1d").layers(depth=2) == ("block1", "block2")


def test_lengths_stay_but_at_the_blocks_to_downsample() -> None:
    network = build("conv1d", {"depth": 3, "downsample_at": [2]})
    assert isinstance(network, BlockNetwork)
    lengths, activations = [], torch.zeros(2, 1, 40)
    for block in network.blocks:
        activations = block(activations)
        lengths.append(activations.shape[-1])
    assert lengths == [40, 20, 20]


@pytest.mark.parametrize(("parameters", "size"), [({}, 24), ({"embedding": 4}, 4)])
def test_the_embedding_has_the_bottlenecks_size(parameters: dict[str, Any], size: int) -> None:
    network = build("conv1d", parameters)
    assert isinstance(network, BlockNetwork)
    assert network.head.in_features == size


def test_a_bottleneck_has_no_bias() -> None:
    assert "embedding.bottleneck.bias" not in build("mlp", {"embedding": 4}).state_dict()


def test_torchvision_names_no_layers() -> None:
    assert ARCHITECTURES.get("torchvision").layers(model="resnet18") is None


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("conv1d", {"widht": 3}, 'unknown parameter "widht"; did you mean "width"'),
        ("conv1d", {"width": 0}, "greater than 0"),
        ("mlp", {"norm": "layer"}, 'parameter "norm"'),
    ],
)
def test_bad_parameters_are_told(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        build(name, parameters)


@pytest.mark.parametrize(
    ("name", "shape", "parameters", "message"),
    [
        ("conv1d", (1, 8, 8), {}, r"takes inputs of shape \(channels, length\); the dataset has \(1, 8, 8\)"),
        ("conv2d", (1, 40), {}, r"takes inputs of shape \(channels, height, width\)"),
        ("conv1d", (1, 40), {"kernel_size": 4}, "must be odd"),
        ("conv1d", (1, 40), {"downsample_at": [9]}, "block 9; there are blocks 1 to 7"),
        ("vit", (1, 9, 9), {}, "square images that patches of 4×4 tile"),
        ("vit", (1, 8, 8), {"width": 10}, "not a multiple of heads"),
        ("torchvision", (1, 8, 8), {"model": "resnet18"}, r"takes inputs of shape \(3, height, width\)"),
        ("torchvision", (3, 32, 32), {"model": "squeezenet1_1", "small_images": True}, "small_images is for ResNets"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(
    name: str, shape: tuple[int, ...], parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(SimbenchError, match=message):
        ARCHITECTURES.get(name).build(shape, 10, **parameters)


def test_an_unknown_torchvision_model_is_told_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match='did you mean "resnet18"'):
        ARCHITECTURES.get("torchvision").build((3, 32, 32), 10, model="resnet19x")


def test_the_classifier_of_a_torchvision_model_has_the_datasets_classes() -> None:
    network = ARCHITECTURES.get("torchvision").build((3, 64, 64), 7, model="squeezenet1_1").eval()
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


def test_the_stem_for_small_images_keeps_their_size() -> None:
    network = ARCHITECTURES.get("torchvision").build((3, 32, 32), 10, model="resnet18", small_images=True)
    stem = nn.Sequential(network.get_submodule("conv1"), network.get_submodule("maxpool"))
    assert stem(torch.zeros(1, 3, 32, 32)).shape[-2:] == (32, 32)


def test_an_architecture_of_ones_own_needs_no_version() -> None:
    with ARCHITECTURES.isolated():

        @architecture("mine", layers=lambda *, width: ["0"])
        def mine(input_shape: tuple[int, ...], classes: int, *, width: int = 3) -> nn.Module:
            """Mine."""
            return nn.Sequential(nn.Linear(input_shape[0], width), nn.Linear(width, classes))

        declared = ARCHITECTURES.get("mine")
    assert declared.identity.startswith("mine@source-")
    assert declared.layers() == ("0",)
