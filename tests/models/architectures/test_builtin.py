"""Architectures: names without building, and networks that are as their names say."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from simbench.errors import SimbenchError, UnknownNameError
from simbench.models.architecture import architecture
from simbench.models.architectures.blocks import BlockNetwork, faster_to_differentiate
from simbench.models.model import Model
from simbench.parameters import ParameterError
from simbench.registry import ARCHITECTURES

INPUTS = {
    "mlp": (1, 8, 8),
    "conv1d": (1, 40),
    "conv2d": (1, 8, 8),
    "vit": (1, 8, 8),
    "inner_product_mlp": (2,),
    "two_tower_mlp": (2,),
    "causal_transformer": (6,),
}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {}),
    ("mlp", {"norm": "none", "embedding": 4}),
    ("conv1d", {"depth": 3}),
    ("conv1d", {"depth": 3, "norm": "none", "embedding": 2, "downsample_at": [2]}),
    ("conv2d", {"depth": 3, "kernel_size": 5}),
    ("conv2d", {"depth": 3, "embedding": 4, "downsample_at": [1, 3]}),
    ("vit", {"depth": 2, "width": 16, "heads": 2}),
    ("inner_product_mlp", {"width": 8, "depth": 2, "embedding": 3}),
    ("two_tower_mlp", {"width": 8, "depth": 2, "embedding": 3}),
    ("causal_transformer", {"depth": 3, "width": 16, "heads": 2}),
]


def build(name: str, parameters: dict[str, Any]) -> nn.Module:
    return ARCHITECTURES.get(name).build(INPUTS[name], 10, **parameters)


@pytest.mark.process
def test_naming_layers_imports_no_torch() -> None:
    naming = (
        "import sys; from simbench.registry import ARCHITECTURES;"
        # those of other packages ask for the name of a model
        "own = [a for n, a in ARCHITECTURES if n not in ('open_clip', 'timm', 'torchvision', 'transformers')];"
        "[(a.layers(), a.embedding_layer(), a.identity) for a in own];"
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


def test_an_inner_product_mlp_is_the_recipes_network() -> None:
    """f: 2 → w → w → w → 2 with leaky ReLUs (0.01) and no bias at the end; one free vector per label."""
    network = build("inner_product_mlp", {"width": 16})
    shapes = {name: tuple(weights.shape) for name, weights in network.named_parameters()}
    assert shapes == {
        **{f"block{number}.linear.weight": (16, 2 if number == 1 else 16) for number in (1, 2, 3)},
        **{f"block{number}.linear.bias": (16,) for number in (1, 2, 3)},
        "embedding.bottleneck.weight": (2, 16),
        "head.weight": (10, 2),
    }
    leaky = network.get_submodule("block2.relu")
    assert leaky(torch.tensor([-1.0, 1.0])).tolist() == pytest.approx([-0.01, 1.0])


def test_the_head_of_a_two_tower_mlp_is_a_network_of_the_labels_while_it_trains() -> None:
    """g: K − 1 → w → w → w → 2, fed with one-hot labels of which the last number is cut off."""
    network = build("two_tower_mlp", {"width": 16})
    shapes = {name: tuple(weights.shape) for name, weights in network.named_parameters() if name.startswith("head.")}
    assert shapes == {
        "head.weight": (10, 2),
        **{f"head.tower.{2 * number}.weight": (16, 9 if number == 0 else 16) for number in range(3)},
        **{f"head.tower.{2 * number}.bias": (16,) for number in range(3)},
        "head.tower.6.weight": (2, 16),
    }
    inputs = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    before = network(inputs).detach()
    network(inputs).square().sum().backward()
    optimizer.step()
    trained = network(inputs).detach()
    assert not torch.allclose(before, trained)
    model = Model.of(network, ARCHITECTURES.get("two_tower_mlp"), {"width": 16}, (2,))
    head = model.head()
    assert head is not None
    codes = torch.cat([torch.eye(9), torch.zeros(1, 9)])
    assert torch.equal(head.unembedding, network.get_submodule("head.tower")(codes))
    torch.testing.assert_close(model.logits(inputs), trained)
    torch.testing.assert_close(model.activations(inputs, "embedding") @ head.unembedding.T, trained)


def test_a_fast_copy_keeps_the_leaky_part() -> None:
    network = build("inner_product_mlp", {"width": 16, "slope": 0.5})
    assert isinstance(network, BlockNetwork)
    inputs = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(faster_to_differentiate(network)(inputs), network(inputs))


def test_no_position_of_a_causal_transformer_sees_a_later_one() -> None:
    network = build("causal_transformer", {"width": 16, "heads": 2})
    one = torch.tensor([[1.0, 2, 3, 4, 5, 6]])
    other = torch.tensor([[1.0, 2, 3, 9, 5, 6]])
    blocks = nn.Sequential(
        network.get_submodule("tokens"), network.get_submodule("block1"), network.get_submodule("block2")
    )
    with torch.no_grad():
        changed = (blocks(one) != blocks(other)).any(-1)[0].tolist()
    assert changed == [False, False, False, True, True, True]


def test_a_causal_transformer_is_as_written_from_its_formula() -> None:
    """One block, one head, in float64, by loops over positions."""
    torch.manual_seed(0)
    network = build("causal_transformer", {"width": 4, "depth": 1, "heads": 1}).double()
    weights = dict(network.named_parameters())
    tokens = torch.tensor([[3.0, 1, 4, 1, 5, 9]])

    def normed(x: torch.Tensor, name: str) -> torch.Tensor:
        deviation = ((x - x.mean()).square().mean() + 1e-5).sqrt()
        return (x - x.mean()) / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    x = [weights["tokens.token"][int(token)] + weights["tokens.position"][t] for t, token in enumerate(tokens[0])]
    mixed = [linear(normed(one, "block1.attention_norm"), "block1.attention.mixed") for one in x]
    query = mixed[-1][:4]
    scores = torch.stack([query @ one[4:8] / 2 for one in mixed]).softmax(0)
    attended = sum(score * one[8:] for score, one in zip(scores, mixed, strict=True))
    assert isinstance(attended, torch.Tensor)
    last = x[-1] + linear(attended, "block1.attention.output")
    hidden = nn.functional.gelu(linear(normed(last, "block1.feed_forward_norm"), "block1.feed_forward.expand"))
    last = last + linear(hidden, "block1.feed_forward.contract")
    expected = weights["head.weight"] @ normed(last, "embedding.norm")
    assert torch.allclose(network(tokens)[0], expected, rtol=1e-10)


def test_torchvision_names_no_layers() -> None:
    assert ARCHITECTURES.get("torchvision").layers(model="resnet18") is None


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("conv1d", {"widht": 3}, 'unknown parameter "widht"; did you mean "width"'),
        ("conv1d", {"width": 0}, "greater than or equal to 1"),
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
        ("causal_transformer", (1, 8), {}, r"takes sequences of tokens, \(context,\); the dataset has \(1, 8\)"),
        ("causal_transformer", (8,), {"heads": 5}, "not a multiple of heads"),
        ("torchvision", (1, 8, 8), {"model": "resnet18"}, r"takes inputs of shape \(3, height, width\)"),
        ("torchvision", (3, 32, 32), {"model": "squeezenet1_1", "small_images": True}, "for ResNets and VGGs"),
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


def test_a_vgg_for_small_images_ends_with_two_narrow_hidden_layers() -> None:
    network = ARCHITECTURES.get("torchvision").build((3, 32, 32), 10, model="vgg11_bn", small_images=True).eval()
    classifier = [layer for layer in network.get_submodule("classifier").modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in classifier] == [(512, 512), (512, 512), (512, 10)]
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_resnet_with_a_bottleneck_is_an_inner_product_of_embeddings_and_unembeddings() -> None:
    resnet, shape = ARCHITECTURES.get("resnet_bottleneck"), (3, 32, 32)
    model = Model.of(resnet.build(shape, 10, embedding=3), resnet, {"embedding": 3}, shape)
    inputs = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    head = model.head()
    assert head is not None
    assert (head.unembedding.shape, head.bias.abs().max()) == ((10, 3), 0)
    embedding = model.activations(inputs, "fc.bottleneck")
    torch.testing.assert_close(model.logits(inputs), embedding @ head.unembedding.T)


def test_an_architecture_of_ones_own_needs_no_version() -> None:
    with ARCHITECTURES.isolated():

        @architecture("mine", layers=lambda *, width: ["0"])
        def mine(input_shape: tuple[int, ...], classes: int, *, width: int = 3) -> nn.Module:
            """Mine."""
            return nn.Sequential(nn.Linear(input_shape[0], width), nn.Linear(width, classes))

        declared = ARCHITECTURES.get("mine")
    assert declared.identity.startswith("mine@source-")
    assert declared.layers() == ("0",)
