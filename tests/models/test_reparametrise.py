"""Reparametrisations: the same distribution from other representations."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from simbench.data.dataset import Dataset
from simbench.errors import NotApplicable
from simbench.models.architectures.transformer import CausalTransformer
from simbench.models.model import Model
from simbench.models.training import train
from simbench.registry import ARCHITECTURES, REPARAMETRISATIONS
from simbench.suite.schema import Component, Training

NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {"width": 32}),
    ("mlp", {"width": 32, "norm": "none", "embedding": 4}),
    ("conv2d", {"width": 8, "depth": 3, "embedding": 3}),
    ("conv2d", {"width": 8, "depth": 3, "norm": "none", "downsample_at": [2]}),
]


TRANSFORMED = ["unit_permutation", "head_linear"]


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda network: "-".join(map(str, (network[0], *network[1]))))
def model(request: pytest.FixtureRequest, digits: Dataset, trains: None) -> Model:
    name, parameters = request.param
    training = Training(dataset=Component(name="digits"), epochs=2, learning_rate=0.01)
    return train(ARCHITECTURES.get(name), parameters, training, digits, seed=0).model


def changed(model: Model, name: str, seed: int = 0) -> Model:
    return REPARAMETRISATIONS.get(name)(model, seed=seed)


def changed_layers(name: str, model: Model) -> list[str]:
    return ["embedding"] if name == "head_linear" else model.layers()


def log_probabilities(model: Model, images: Tensor) -> Tensor:
    return model.logits(images).double().log_softmax(dim=1)


@pytest.mark.parametrize("name", REPARAMETRISATIONS.names())
@pytest.mark.parametrize("seed", range(3))
def test_the_distribution_stays(model: Model, images: Tensor, name: str, seed: int) -> None:
    after = log_probabilities(changed(model, name, seed), images)
    assert (after - log_probabilities(model, images)).abs().max() < 1e-4


@pytest.mark.parametrize("name", REPARAMETRISATIONS.names())
def test_the_representation_changes(model: Model, images: Tensor, name: str) -> None:
    other = changed(model, name)
    for layer in changed_layers(name, model):
        before, after = model.activations(images, layer), other.activations(images, layer)
        assert (after - before).norm() > 0.1 * before.norm()


@pytest.mark.parametrize("name", REPARAMETRISATIONS.names())
def test_the_given_model_stays_as_it_is(model: Model, name: str) -> None:
    before = {key: tensor.clone() for key, tensor in model.network.state_dict().items()}
    changed(model, name)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.network.state_dict().items())


@pytest.mark.parametrize("name", REPARAMETRISATIONS.names())
def test_a_seed_gives_the_same_weights(model: Model, images: Tensor, name: str) -> None:
    one, other = changed(model, name, 3), changed(model, name, 3)
    assert torch.equal(one.logits(images), other.logits(images))


@pytest.mark.parametrize("name", REPARAMETRISATIONS.names())
def test_the_layers_stay(model: Model, name: str) -> None:
    assert changed(model, name).layers() == model.layers()


@pytest.mark.parametrize("name", REPARAMETRISATIONS.names())
def test_the_changed_model_continues_from_its_layers(model: Model, images: Tensor, name: str) -> None:
    other = changed(model, name)
    for layer in (*other.layers(), "embedding"):
        with torch.no_grad():
            continued = other.continue_from(layer, other.activations(images, layer))
        assert torch.equal(continued, other.logits(images))


@pytest.mark.parametrize("name", REPARAMETRISATIONS.names())
def test_it_can_be_done_twice(model: Model, images: Tensor, name: str) -> None:
    after = log_probabilities(changed(changed(model, name), name, 1), images)
    assert (after - log_probabilities(model, images)).abs().max() < 1e-3


def test_permuted_units_are_the_same_units(model: Model, images: Tensor) -> None:
    before = model.activations(images, "block1")
    after = changed(model, "unit_permutation").activations(images, "block1")
    order = torch.cdist(after.transpose(0, 1).flatten(1), before.transpose(0, 1).flatten(1)).argmin(dim=1)
    torch.testing.assert_close(after, before[:, order], rtol=1e-4, atol=1e-4)


def test_rescaled_units_are_multiples_between_a_tenth_and_ten(model: Model, images: Tensor) -> None:
    before = model.activations(images, "block2").transpose(0, 1).flatten(1)
    after = changed(model, "relu_rescaling").activations(images, "block2").transpose(0, 1).flatten(1)
    alive = before.norm(dim=1) > 0
    factors = after.norm(dim=1)[alive] / before.norm(dim=1)[alive]
    torch.testing.assert_close(after[alive], factors[:, None] * before[alive], rtol=1e-3, atol=1e-3)
    assert 0.0999 < factors.min() < 1 < factors.max() < 10.001


def test_the_embedding_becomes_a_linear_image_with_bounded_condition(model: Model, images: Tensor) -> None:
    before = model.activations(images, "embedding").double()
    after = changed(model, "head_linear").activations(images, "embedding").double()
    mix = torch.linalg.lstsq(before, after, driver="gelsd").solution
    torch.testing.assert_close(before @ mix, after, rtol=1e-3, atol=1e-3)


def test_the_heads_logits_move_by_one_constant_per_input(model: Model, images: Tensor) -> None:
    moved = changed(model, "head_linear").logits(images) - model.logits(images)
    assert moved.abs().max() > 0.1
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", REPARAMETRISATIONS.names())
def test_other_networks_are_not_applicable(name: str) -> None:
    with pytest.raises(NotApplicable, match="known for networks of plain blocks"):
        changed(Model(nn.Sequential(nn.Linear(2, 2))), name)


@pytest.fixture(scope="module", params=["causal_transformer", "vit"])
def transformer(request: pytest.FixtureRequest, characters: Dataset, digits: Dataset, trains: None) -> Model:
    data = {"causal_transformer": characters, "vit": digits}[request.param]
    training = Training(dataset=Component(name=data.name), epochs=1, learning_rate=0.005)
    return train(ARCHITECTURES.get(request.param), {"width": 16}, training, data, seed=0).model


@pytest.fixture(scope="module")
def read(transformer: Model, characters: Dataset, digits: Dataset) -> Tensor:
    """Inputs of the transformer's kind."""
    data = characters if isinstance(transformer.network, CausalTransformer) else digits
    return torch.from_numpy(data.test.inputs[:200])


def embedding(model: Model, inputs: Tensor) -> Tensor:
    assert model.embedding_layer is not None
    return model.activations(inputs, model.embedding_layer)


@pytest.mark.parametrize("names", [*([name] for name in TRANSFORMED), TRANSFORMED, TRANSFORMED[::-1]], ids="-".join)
def test_a_transformer_keeps_its_distribution(transformer: Model, read: Tensor, names: list[str]) -> None:
    other = transformer
    for name in names:
        other = changed(other, name)
    assert (log_probabilities(other, read) - log_probabilities(transformer, read)).abs().max() < 1e-4
    before, after = embedding(transformer, read), embedding(other, read)
    assert (after - before).norm() > 0.1 * before.norm()


def test_all_blocks_of_a_transformer_have_one_new_order(transformer: Model, read: Tensor) -> None:
    other, orders = changed(transformer, "unit_permutation"), set()
    assert transformer.embedding_layer is not None
    for layer in (*transformer.layers(), transformer.embedding_layer):
        before, after = (model.activations(read, layer).flatten(0, -2).T for model in (transformer, other))
        order = torch.cdist(after, before).argmin(dim=1)
        torch.testing.assert_close(after, before[order], rtol=1e-4, atol=1e-4)
        orders.add(tuple(order.tolist()))
    assert len(orders) == 1
    assert orders != {tuple(range(16))}


def test_a_transformer_has_no_relu_to_scale(transformer: Model) -> None:
    with pytest.raises(NotApplicable, match="networks of plain blocks"):
        changed(transformer, "relu_rescaling")


def test_a_head_behind_a_bottleneck_is_rewritten_in_any_network(cifar_like: Tensor) -> None:
    torch.manual_seed(0)
    architecture, parameters = ARCHITECTURES.get("resnet_bottleneck"), {"embedding": 3}
    resnet = Model.of(architecture.build((3, 32, 32), 10, **parameters), architecture, parameters, (3, 32, 32))
    other = changed(resnet, "head_linear")
    assert (log_probabilities(other, cifar_like) - log_probabilities(resnet, cifar_like)).abs().max() < 1e-4
    before, after = embedding(resnet, cifar_like), embedding(other, cifar_like)
    assert (after - before).norm() > 0.1 * before.norm()
    head = other.head()
    assert head is not None
    torch.testing.assert_close(after @ head.unembedding.T + head.bias, other.logits(cifar_like), rtol=1e-4, atol=1e-4)


@pytest.fixture
def cifar_like() -> Tensor:
    return torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
