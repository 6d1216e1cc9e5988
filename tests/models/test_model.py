"""The `Model`: reading a layer, and continuing from it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from simbench.errors import SimbenchError, UnknownNameError
from simbench.models.architectures.transformer import CausalTransformer
from simbench.models.model import EXTRACTION_BATCH, Model
from simbench.registry import ARCHITECTURES

OWN: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "mlp": ((1, 8, 8), {"width": 16, "embedding": 4}),
    "conv1d": ((1, 40), {"width": 8, "depth": 3, "downsample_at": [2]}),
    "conv2d": ((1, 8, 8), {"width": 8, "depth": 2, "norm": "none"}),
    "vit": ((1, 8, 8), {"width": 16, "depth": 2, "heads": 2}),
    "inner_product_mlp": ((2,), {"width": 16}),
    "causal_transformer": ((6,), {"width": 16, "heads": 2}),
}
TORCHVISION: dict[str, list[str]] = {
    "resnet18": ["maxpool", "layer1.0", "layer2.1", "layer4.1", "avgpool"],
    "mobilenet_v3_small": ["features.0", "features.4", "features.12", "classifier.1"],
    "squeezenet1_1": ["features.3", "features.12"],
}
IMAGE = (3, 48, 48)


def model_of(name: str) -> Model:
    torch.manual_seed(0)
    if name in OWN:
        shape, parameters = OWN[name]
        architecture = ARCHITECTURES.get(name)
        network = architecture.build(shape, 10, **parameters)
        for weights in network.parameters():
            # a vision transformer's head starts at zero, and would pass no gradient on
            if weights.ndim == 2 and not weights.any():
                nn.init.normal_(weights)
        return Model.of(network, architecture, parameters, shape)
    architecture, parameters = ARCHITECTURES.get("torchvision"), {"model": name}
    network = architecture.build(IMAGE, 10, **parameters)
    return Model.of(network, architecture, parameters, IMAGE, TORCHVISION[name])


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: model_of(name) for name in (*OWN, *TORCHVISION)}


def inputs_of(model: Model, count: int = 6) -> Tensor:
    assert model.input_shape is not None
    generator = torch.Generator().manual_seed(1)
    if isinstance(model.network, CausalTransformer):
        return torch.randint(10, (count, *model.input_shape), generator=generator).float()
    return torch.randn(count, *model.input_shape, generator=generator)


def own_layers() -> list[tuple[str, str]]:
    declared = {name: ARCHITECTURES.get(name) for name in OWN}
    return [
        (name, layer)
        for name, (_, parameters) in OWN.items()
        for layer in (
            *(declared[name].layers(**parameters) or ()),
            *filter(None, [declared[name].embedding_layer(**parameters)]),
        )
    ]


LAYERS = [*own_layers(), *((name, layer) for name, layers in TORCHVISION.items() for layer in layers)]


def hooks_of(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules())


class Shared(nn.Module):
    """Runs one of its modules twice, and one of them puts out a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.once, self.twice, self.pair = nn.Linear(4, 4), nn.Linear(4, 4), nn.LSTM(4, 4, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.pair(self.twice(self.twice(self.once(inputs)))[:, None])[0]
        return outputs[:, 0]


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_continuing_from_a_layers_own_output_gives_the_logits(models: dict[str, Model], name: str, layer: str) -> None:
    model = models[name]
    inputs = inputs_of(model)
    with torch.no_grad():
        continued = model.continue_from(layer, model.activations(inputs, layer))
    assert torch.equal(continued, model.logits(inputs))


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_continuing_is_differentiable(models: dict[str, Model], name: str, layer: str) -> None:
    model = models[name]
    activations = model.activations(inputs_of(model), layer).requires_grad_()
    model.continue_from(layer, activations).square().sum().backward()
    assert activations.grad is not None
    assert activations.grad.abs().sum() > 0


@pytest.mark.parametrize("layer", ["layer1.0.conv1", "layer2.0.bn2", "layer3.0.downsample"])
def test_a_layer_beside_a_residual_connection_needs_the_inputs(models: dict[str, Model], layer: str) -> None:
    model = models["resnet18"]
    activations = model.activations(inputs_of(model), layer)
    with pytest.raises(ValueError, match="needs the inputs"):
        model.continue_from(layer, activations)


@pytest.mark.parametrize("layer", ["layer1.0.conv1", "layer2.0.bn2", "layer3.0.downsample"])
def test_given_the_inputs_any_layer_continues(models: dict[str, Model], layer: str) -> None:
    model = models["resnet18"]
    inputs = inputs_of(model)
    continued = model.continue_from(layer, model.activations(inputs, layer), inputs)
    torch.testing.assert_close(continued, model.logits(inputs), rtol=0, atol=1e-6)


def test_the_rest_of_the_network_sees_the_replacement(models: dict[str, Model]) -> None:
    model = models["resnet18"]
    inputs = inputs_of(model)
    activations = model.activations(inputs, "layer2.1")
    swapped = model.continue_from("layer2.1", activations.flip(0))
    torch.testing.assert_close(swapped, model.logits(inputs).flip(0), rtol=0, atol=1e-5)


def test_in_place_operations_leave_the_callers_activations_alone(models: dict[str, Model]) -> None:
    model = models["resnet18"]
    inputs = inputs_of(model)
    activations = model.activations(inputs, "bn1")
    before = activations.clone()
    model.continue_from("bn1", activations, inputs)
    assert torch.equal(activations, before)


def test_activations_are_those_before_a_later_in_place_operation(models: dict[str, Model]) -> None:
    assert models["resnet18"].activations(inputs_of(models["resnet18"]), "bn1").min() < 0


@pytest.mark.parametrize("name", [*OWN, *TORCHVISION])
def test_no_hook_is_left_behind(models: dict[str, Model], name: str) -> None:
    model = models[name]
    inputs = inputs_of(model)
    for layer in model.layers():
        model.continue_from(layer, model.activations(inputs, layer), inputs)
    assert hooks_of(model.network) == 0


def test_no_hook_is_left_behind_by_a_failure(models: dict[str, Model]) -> None:
    model = models["resnet18"]
    with pytest.raises(ValueError, match="puts out"):
        model.continue_from("layer1.0", torch.zeros(2, 3, 4, 4), inputs_of(model, 2))
    with pytest.raises(RuntimeError):
        model.activations(torch.zeros(2, 5, 4, 4), "layer1.0")
    assert hooks_of(model.network) == 0


def test_several_layers_in_one_pass_equal_one_at_a_time(models: dict[str, Model]) -> None:
    model = models["conv1d"]
    inputs = inputs_of(model)
    together = model.activations_of(inputs, model.layers())
    assert all(torch.equal(together[layer], model.activations(inputs, layer)) for layer in model.layers())


def test_extraction_runs_in_batches_of_one_size(models: dict[str, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    model = models["conv1d"]
    forward = model.network.forward
    seen: list[int] = []

    def watched(inputs: Tensor) -> Tensor:
        seen.append(len(inputs))
        return forward(inputs)

    monkeypatch.setattr(model.network, "forward", watched)
    model.activations(inputs_of(model, 2 * EXTRACTION_BATCH + 3), "block1")
    assert seen == [EXTRACTION_BATCH, EXTRACTION_BATCH, 3]


def test_more_than_one_batch_continues_bit_for_bit(models: dict[str, Model]) -> None:
    model = models["conv1d"]
    inputs = inputs_of(model, EXTRACTION_BATCH + 50)
    with torch.no_grad():
        continued = model.continue_from("block2", model.activations(inputs, "block2"))
    assert torch.equal(continued, model.logits(inputs))


@pytest.mark.parametrize(
    ("name", "layer", "layout"),
    [
        ("mlp", "block1", "vector"),
        ("conv1d", "block1", "channels_first"),
        ("conv1d", "embedding", "vector"),
        ("conv2d", "block1", "channels_first"),
        ("vit", "encoder.layers.encoder_layer_0", "tokens"),
        ("resnet18", "layer1.0", "channels_first"),
    ],
)
def test_the_layout_says_where_the_features_are(models: dict[str, Model], name: str, layer: str, layout: str) -> None:
    assert model_of(name).layout(layer) == models[name].layout(layer) == layout


def test_a_swin_transformer_keeps_its_channels_last() -> None:
    assert ARCHITECTURES.get("torchvision").layout(model="swin_t") == "tokens"


def test_the_blocks_and_the_embedding_are_cut_points(models: dict[str, Model]) -> None:
    assert models["mlp"].layers() == ["block1", "block2", "block3"]
    assert models["mlp"].embedding_layer == "embedding"


@pytest.mark.parametrize("name", OWN)
def test_the_head_gives_the_logits_from_the_embedding(models: dict[str, Model], name: str) -> None:
    model, head = models[name], models[name].head()
    assert head is not None
    inputs = inputs_of(model)
    assert model.embedding_layer is not None
    read = model.activations(inputs, model.embedding_layer) @ head.unembedding.T + head.bias
    torch.testing.assert_close(read, model.logits(inputs), rtol=0, atol=1e-5)


def test_the_head_of_another_network_is_measured(models: dict[str, Model]) -> None:
    network = models["mobilenet_v3_small"].network
    # the dropout before the last linear module passes on in eval mode
    model = Model(network, embedding_layer="classifier.2", input_shape=IMAGE)
    head = model.head()
    assert head is not None
    assert torch.equal(head.unembedding, network.get_parameter("classifier.3.weight"))


def test_a_layer_that_the_last_linear_map_does_not_read_has_no_head(models: dict[str, Model]) -> None:
    assert Model(models["resnet18"].network, embedding_layer="layer4.1", input_shape=IMAGE).head() is None


def test_without_an_embedding_layer_there_is_no_head(models: dict[str, Model]) -> None:
    assert models["resnet18"].embedding_layer is None
    assert models["resnet18"].head() is None


def test_what_a_vision_transformers_head_reads_is_the_normalised_class_token(models: dict[str, Model]) -> None:
    model = models["vit"]
    inputs = inputs_of(model)
    normalised = model.activations(inputs, "encoder.ln")
    assert normalised.shape == (6, 5, 16)
    assert torch.equal(model.activations(inputs, "heads.embedding"), normalised[:, 0])
    assert model.layout("heads.embedding") == "vector"


@pytest.mark.parametrize("ask", [lambda m, x: m.activations(x, "blok2"), lambda m, x: m.continue_from("blok2", x)])
def test_an_unknown_layer_is_told_the_nearest(models: dict[str, Model], ask: Any) -> None:
    with pytest.raises(UnknownNameError, match='unknown layer "blok2"; did you mean "block2"'):
        ask(models["mlp"], inputs_of(models["mlp"]))


def test_a_model_is_refused_a_layer_it_does_not_have(models: dict[str, Model]) -> None:
    with pytest.raises(UnknownNameError, match='did you mean "layer4'):
        Model(models["resnet18"].network, ["layer4.2x"])


def test_a_layer_that_runs_twice_has_no_one_representation() -> None:
    with pytest.raises(SimbenchError, match="runs 2 times in a pass"):
        Model(Shared()).activations(torch.zeros(3, 4), "twice")


def test_a_layer_that_runs_twice_cannot_be_replaced() -> None:
    with pytest.raises(SimbenchError, match="runs 2 times in a pass"):
        Model(Shared()).continue_from("twice", torch.zeros(3, 4), torch.zeros(3, 4))


def test_a_layer_that_puts_out_no_tensor_is_told() -> None:
    with pytest.raises(SimbenchError, match="puts out a tuple, not a tensor"):
        Model(Shared()).activations(torch.zeros(3, 4), "pair")


def test_without_inputs_their_shape_must_be_known() -> None:
    with pytest.raises(ValueError, match="needs inputs, or to know their shape"):
        Model(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))).continue_from("0", torch.zeros(3, 4))


def test_a_network_that_puts_out_no_logits_is_told() -> None:
    with pytest.raises(SimbenchError, match="does not put out logits"):
        Model(nn.Conv1d(1, 2, 3)).logits(torch.zeros(3, 1, 8))
    with pytest.raises(SimbenchError, match=r"GRU does not put out logits .inputs, labels., but a tuple: wrap it"):
        Model(nn.GRU(4, 2)).logits(torch.zeros(3, 5, 4))


def test_a_wrapped_network_is_frozen(models: dict[str, Model]) -> None:
    assert not any(parameter.requires_grad for parameter in models["conv1d"].network.parameters())


def test_batch_norms_stay_as_they_are(models: dict[str, Model]) -> None:
    model = models["conv1d"]
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    model.continue_from("block1", model.activations(inputs_of(model), "block1"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


def test_activations_of_double_precision_continue_in_the_networks(models: dict[str, Model]) -> None:
    model = models["conv1d"]
    activations = model.activations(inputs_of(model), "block1")
    assert torch.equal(model.continue_from("block1", activations.double()), model.continue_from("block1", activations))
