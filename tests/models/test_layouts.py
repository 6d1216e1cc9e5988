"""Layouts, layer by layer: measured where sizes and modules tell them, and otherwise asked for."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from simbench.errors import SimbenchError
from simbench.models.model import Model
from simbench.registry import ARCHITECTURES

IMAGE = (3, 64, 64)
# Layers of torchvision's networks, and of others, with the layouts of what they put out.
TORCHVISION = {
    "resnet18": {
        "conv1": "channels_first",
        "relu": "channels_first",
        "maxpool": "channels_first",
        "layer1": "channels_first",
        "layer4.1": "channels_first",
        "avgpool": "channels_first",
        "fc": "vector",
    },
    "swin_t": {
        "features.0.0": "channels_first",
        "features.0": "channels_last",
        "features.1": "channels_last",
        "features.1.0.attn": "channels_last",
        "features.2": "channels_last",
        "norm": "channels_last",
        "permute": "channels_first",
        "avgpool": "channels_first",
    },
    "convnext_tiny": {
        "features.0": "channels_first",
        "features.1.0": "channels_first",
        "features.1.0.block.2": "channels_last",
        "features.2": "channels_first",
        "avgpool": "channels_first",
    },
    "vit_b_32": {
        "conv_proj": "channels_first",
        "encoder.layers.encoder_layer_0": "tokens",
        "encoder.layers.encoder_layer_0.mlp": "tokens",
        "encoder.ln": "tokens",
    },
    "densenet121": {"features.denseblock1": "channels_first", "features": "channels_first"},
    "shufflenet_v2_x0_5": {"stage2": "channels_first"},
}


def turned(*axes: int) -> nn.Module:
    class Turned(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs.permute(*axes)

    return Turned()


class Mixed(nn.Module):
    """Tokens mixed by a linear map over them, beside what came in."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(width), nn.Linear(tokens, tokens)

    def forward(self, inputs: Tensor) -> Tensor:
        mixed: Tensor = inputs + self.mix(self.norm(inputs).transpose(1, 2)).transpose(1, 2)
        return mixed


class Last(nn.Module):
    """Mean over all axes of positions, then a linear map; `axis` holds the features."""

    def __init__(self, features: int, axis: int) -> None:
        super().__init__()
        self.axis, self.out = axis, nn.Linear(features, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.out(inputs.movedim(self.axis, 1).flatten(2).mean(2))
        return logits


def chain(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules)


@pytest.mark.parametrize("name", TORCHVISION)
def test_layers_of_published_architectures(name: str) -> None:
    architecture, parameters = ARCHITECTURES.get("torchvision"), {"model": name}
    layers = TORCHVISION[name]
    model = Model.of(architecture.build(IMAGE, 10, **parameters), architecture, parameters, IMAGE, list(layers))
    assert {layer: model.layout(layer) for layer in layers} == layers


# Inputs, network, layer, layout.
OWN: dict[str, tuple[Callable[[], Tensor], Callable[[], nn.Module], str, str]] = {
    "convolution over a signal": (
        lambda: torch.randn(4, 2, 20),
        lambda: chain(nn.Conv1d(2, 6, 3), nn.ReLU(), Last(6, 1)),
        "1",
        "channels_first",
    ),
    "as many channels as positions": (
        lambda: torch.randn(4, 1, 8, 8),
        lambda: chain(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), Last(8, 1)),
        "1",
        "channels_first",
    ),
    "channels last, as many as positions": (
        lambda: torch.randn(4, 8, 8, 3),
        lambda: chain(nn.Linear(3, 8), nn.GELU(), Last(8, 3)),
        "1",
        "channels_last",
    ),
    "volume": (
        lambda: torch.randn(4, 1, 5, 6, 7),
        lambda: chain(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), Last(4, 1)),
        "1",
        "channels_first",
    ),
    "signal turned into tokens": (
        lambda: torch.randn(4, 2, 20),
        lambda: chain(nn.Conv1d(2, 6, 3), turned(0, 2, 1), Last(6, 2)),
        "1",
        "tokens",
    ),
    "recurrent features of a signal": (
        lambda: torch.randn(4, 20, 2),
        lambda: chain(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 20), nn.Tanh(), Last(20, 2)),
        "3",
        "tokens",
    ),
    "no module tells, but another size does": (
        lambda: torch.randn(4, 3, 10, 12),
        lambda: chain(nn.Identity(), Last(3, 1)),
        "0",
        "channels_first",
    ),
    "no module tells, but squares do": (
        lambda: torch.randn(4, 6, 6, 3),
        lambda: chain(nn.Identity(), nn.Flatten(), nn.Linear(108, 3)),
        "0",
        "channels_last",
    ),
    "tokens": (
        lambda: torch.randint(9, (4, 8)),
        lambda: chain(nn.Embedding(9, 8), nn.Tanh(), Last(8, 2)),
        "1",
        "tokens",
    ),
    "turned, as many channels as positions": (
        lambda: torch.randn(4, 3, 8, 8),
        lambda: chain(nn.Conv2d(3, 8, 1), turned(0, 2, 3, 1), Last(8, 3)),
        "1",
        "channels_last",
    ),
    "turned in a network that reads one size, as many channels as positions": (
        lambda: torch.randn(4, 3, 8, 8),
        lambda: chain(nn.Conv2d(3, 8, 1), turned(0, 2, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 3)),
        "2",
        "channels_last",
    ),
    "normalised and turned back": (
        lambda: torch.randn(4, 8, 8, 8),
        lambda: chain(turned(0, 2, 3, 1), nn.LayerNorm(8), turned(0, 3, 1, 2), nn.Flatten(), nn.Linear(512, 3)),
        "2",
        "channels_first",
    ),
    "features that a module divides": (
        lambda: torch.randn(4, 3, 8, 8),
        lambda: chain(nn.Conv2d(3, 16, 1), nn.PixelShuffle(2), nn.ReLU(), Last(4, 1)),
        "2",
        "channels_first",
    ),
    "embeddings turned, as many as positions": (
        lambda: torch.randint(9, (4, 8)),
        lambda: chain(nn.Embedding(9, 8), turned(0, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3)),
        "2",
        "channels_first",
    ),
    "tokens mixed, then mapped": (
        lambda: torch.randn(4, 6, 8),
        lambda: chain(Mixed(6, 8), nn.Linear(8, 8), nn.ReLU(), Last(8, 2)),
        "2",
        "tokens",
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_layers_of_other_networks(name: str) -> None:
    inputs, network, layer, layout = OWN[name]
    model = Model(network())
    model.see(inputs())
    model.activations(inputs(), layer)
    assert model.layout(layer) == layout


@pytest.mark.parametrize(
    ("inputs", "network"),
    [
        (torch.randn(4, 6, 6, 6), chain(nn.Identity(), nn.Flatten(), nn.Linear(216, 3))),
        (torch.randn(4, 5, 7), chain(nn.Identity(), nn.Flatten(), nn.Linear(35, 3))),
        (torch.randn(4, 4, 5, 6), chain(nn.Identity(), nn.Flatten(), nn.Linear(120, 3))),
        (torch.randn(4, 5, 7), chain(nn.Identity(), nn.Flatten(), nn.AdaptiveAvgPool1d(3))),
        (torch.randn(4, 4, 5, 6), chain(nn.Identity(), nn.Flatten(), nn.AdaptiveAvgPool1d(3))),
        (torch.randn(4, 8, 8), chain(Mixed(8, 8), nn.Flatten(), nn.Linear(64, 3))),
    ],
)
def test_what_cannot_be_told_is_asked_for(inputs: Tensor, network: nn.Module) -> None:
    model = Model(network)
    model.activations(inputs, "0")
    with pytest.raises(
        SimbenchError, match=r'layer "0": which of the . axes .* say it by `layout: {"0": …}`'
    ) as raised:
        model.layout("0")
    assert "\n" not in str(raised.value)
    model = Model(network, layouts={"0": "channels_last"})
    model.activations(inputs, "0")
    assert model.layout("0") == "channels_last"


def test_the_usual_layout_of_an_architecture_stands_where_nothing_tells() -> None:
    model = Model(chain(nn.Identity(), nn.Flatten(), nn.Linear(35, 3)))
    model.activations(torch.randn(4, 5, 7), "0")
    model.usual_layout = "tokens"
    assert model.with_network(model.network).usual_layout == "tokens"
    assert model.layout("0") == "tokens"
