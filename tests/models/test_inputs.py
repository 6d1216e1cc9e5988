"""Inputs as networks read them: token ids, bytes, numbers, and weights of any dtype."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from simbench.data.dataset import Dataset, Split
from simbench.errors import SimbenchError
from simbench.models.architecture import Architecture
from simbench.models.inputs import InputReader, floating_dtype
from simbench.models.model import Model
from simbench.models.training import train
from simbench.origins import origin_of
from simbench.registry import ARCHITECTURES
from simbench.suite.schema import Component, Training

VOCABULARY = 5000


class TokenModel(nn.Module):
    """Embedding, hidden layer and the mean over tokens; ids are taken as they come, or `forgiving`, in any dtype."""

    def __init__(self, vocabulary: int = VOCABULARY, *, forgiving: bool = True, bypassed: bool = False) -> None:
        super().__init__()
        self.forgiving, self.bypassed = forgiving, bypassed
        self.table, self.hidden = nn.Embedding(vocabulary, 24), nn.Linear(24, 24)
        self.pooled, self.out = nn.Identity(), nn.Linear(24, 3)

    def forward(self, ids: Tensor) -> Tensor:
        embedded = self.table(ids.long() if self.forgiving else ids)
        pooled = self.pooled(torch.relu(self.hidden(embedded)).mean(1))
        beside = embedded.mean(1) if self.bypassed else 0
        logits: Tensor = self.out(pooled + beside)
        return logits


class QuantisedLinear(nn.Module):
    """A linear map whose weight is stored in 8 bits, before its scale."""

    def __init__(self, inputs: int, outputs: int, scale_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        weight = torch.randn(outputs, inputs)
        scale = weight.abs().max() / 127
        self.weight = nn.Parameter((weight / scale).round().to(torch.int8), requires_grad=False)
        self.scale = nn.Parameter(scale.to(scale_dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ (self.weight.to(self.scale.dtype) * self.scale).T


def ids_of(count: int = 20, tokens: int = 6) -> Tensor:
    return torch.randint(VOCABULARY, (count, tokens), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("stored", [torch.int64, torch.int32, torch.int16, torch.float32, torch.float64])
@pytest.mark.parametrize("computed", [torch.float32, torch.bfloat16, torch.float16])
def test_every_token_gets_its_own_embedding(computed: torch.dtype, stored: torch.dtype) -> None:
    network, ids = TokenModel().to(computed), ids_of()
    assert torch.equal(Model(network).activations(ids.to(stored), "table"), network.table.weight[ids])


@pytest.mark.parametrize("computed", [torch.float32, torch.bfloat16])
def test_a_network_that_takes_nothing_but_integers_gets_them(computed: torch.dtype) -> None:
    network, ids = TokenModel(forgiving=False).to(computed), ids_of()
    model = Model(network)
    assert torch.equal(model.activations(ids.int(), "table"), network.table.weight[ids])
    assert torch.equal(model.logits(ids), network(ids))
    assert model.layout("table") == "tokens"


@pytest.mark.parametrize("computed", [torch.float32, torch.bfloat16])
def test_a_network_of_images_gets_bytes_as_numbers(computed: torch.dtype) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 3)).to(computed)
    images = torch.randint(256, (5, 1, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(Model(network).logits(images), network(images.to(computed)))


def test_trying_leaves_batch_norms_and_the_mode_as_they_are() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
    before, state = copy.deepcopy(network.state_dict()), torch.random.get_rng_state()
    InputReader(network).read(torch.arange(12).reshape(2, 6))
    assert network.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_ids_outside_the_vocabulary_are_told() -> None:
    with pytest.raises(SimbenchError, match=r"TokenModel reads the inputs neither as integers .*index out of range"):
        Model(TokenModel(vocabulary=10, forgiving=False)).logits(ids_of())


def test_complex_inputs_are_refused_by_name() -> None:
    with pytest.raises(SimbenchError, match="complex numbers"):
        Model(nn.Linear(4, 2)).logits(torch.zeros(3, 4, dtype=torch.complex64))


@pytest.mark.parametrize("scale", [torch.float32, torch.float16, torch.bfloat16])
def test_a_quantised_network_reads_numbers_untruncated(scale: torch.dtype) -> None:
    torch.manual_seed(0)
    quantised = QuantisedLinear(6, 4, scale)
    network = nn.Sequential(quantised, nn.Linear(4, 3, dtype=scale))
    assert floating_dtype(network) == scale
    inputs = torch.randn(50, 6)
    with torch.no_grad():
        assert torch.equal(Model(network).activations(inputs, "0"), quantised(inputs.to(scale)))


def test_a_network_without_floating_parameters_reads_inputs_as_they_are() -> None:
    network = nn.Sequential(nn.Flatten())
    network.weight = nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False)
    inputs = torch.randn(5, 3, dtype=torch.float64)
    assert floating_dtype(network) is None
    assert torch.equal(Model(network).logits(inputs), inputs)


def test_weights_of_eight_bits_are_no_dtype_to_compute_in() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    network[0].weight = nn.Parameter(torch.ones(4, 4).to(torch.float8_e4m3fn), requires_grad=False)
    network[0].bias = None
    assert floating_dtype(network) == torch.float32


def quantised() -> nn.Module:
    """Return a network that torch quantised statically: its layers put out quantised tensors."""
    from torch.ao import quantization

    class Stages(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.hidden = quantization.QuantStub(), nn.Linear(6, 5)
            self.out, self.leave = nn.Linear(5, 3), quantization.DeQuantStub()

        def forward(self, inputs: Tensor) -> Tensor:
            logits: Tensor = self.leave(self.out(self.hidden(self.enter(inputs))))
            return logits

    torch.manual_seed(0)
    stages = Stages().eval()
    stages.qconfig = quantization.get_default_qconfig("fbgemm")
    prepared = quantization.prepare(stages)
    prepared(torch.randn(40, 6))
    converted: nn.Module = quantization.convert(prepared)
    return converted


@pytest.mark.filterwarnings("ignore")  # torch announces another quantisation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quantised_layers_are_the_numbers_that_they_stand_for(dtype: torch.dtype) -> None:
    network, inputs = quantised(), torch.randn(20, 6)
    model = Model(network)
    read = model.activations(inputs.to(dtype), "hidden")
    assert torch.equal(read, network.hidden(network.enter(inputs)).dequantize())  # type: ignore[operator]
    assert model.layout("hidden") == "vector"
    assert torch.equal(model.continue_from("hidden", read, inputs), network(inputs))


def test_a_layer_that_puts_out_integers_is_read_as_numbers() -> None:
    network = nn.Sequential(nn.Identity(), TokenModel())
    activations = Model(network).activations(ids_of(), "0")
    assert activations.dtype == torch.float64
    assert torch.equal(activations.long(), ids_of())


@pytest.mark.parametrize("forgiving", [True, False])
def test_the_head_of_a_token_model_is_measured_on_tokens(forgiving: bool) -> None:
    model = Model(TokenModel(forgiving=forgiving), embedding_layer="pooled")
    model.see(ids_of())
    head = model.head()
    assert head is not None
    assert torch.equal(head.unembedding, model.network.get_parameter("out.weight"))


def test_tokens_that_were_stored_as_floats_are_tokens() -> None:
    model = Model(TokenModel(), embedding_layer="pooled")
    model.see(ids_of().float())
    assert model.head() is not None


@pytest.mark.parametrize(("bypassed", "needs_inputs"), [(False, False), (True, True)])
def test_whether_something_bypasses_a_layer_is_measured_on_tokens(bypassed: bool, needs_inputs: bool) -> None:
    torch.manual_seed(0)
    model, ids = Model(TokenModel(forgiving=False, bypassed=bypassed)), ids_of()
    activations = model.activations(ids, "pooled")
    if needs_inputs:
        with pytest.raises(ValueError, match="needs the inputs"):
            model.continue_from("pooled", activations)
    else:
        assert torch.equal(model.continue_from("pooled", activations), model.logits(ids))
    assert torch.equal(model.continue_from("pooled", activations, ids), model.logits(ids))


def test_tokens_that_are_all_the_same_cannot_show_what_bypasses_a_layer() -> None:
    model = Model(TokenModel())
    activations = model.activations(torch.full((8, 6), 7), "pooled")
    with pytest.raises(ValueError, match="needs the inputs"):
        model.continue_from("pooled", activations)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(np.uint8, np.uint8), (np.int32, np.int32), (np.uint16, np.int64), (">i4", np.int32), (bool, np.float32)],
)
def test_a_split_keeps_integers(given: object, kept: object) -> None:
    split = Split(np.ones((3, 2), dtype=given), np.arange(3))
    assert split.inputs.dtype == kept


def test_large_ids_of_a_split_are_what_they_were() -> None:
    assert Split(np.array([[2**24 + 1]]), np.zeros(1)).inputs[0, 0] == 2**24 + 1


def architecture_of(network: nn.Module) -> Architecture:
    def build(input_shape: tuple[int, ...], classes: int) -> nn.Module:
        return network

    return Architecture("own", build, 1, origin_of(build), None, None, None)


def tokens() -> Dataset:
    ids, targets = ids_of(40).numpy(), np.arange(40) % 3
    return Dataset("tokens", Split(ids, targets), Split(ids, targets), 3)


@pytest.mark.trains
def test_a_network_that_takes_nothing_but_integers_trains_on_them() -> None:
    training = Training(dataset=Component(name="arrays"), epochs=3, learning_rate=0.01)
    losses = train(architecture_of(TokenModel(forgiving=False)), {}, training, tokens(), seed=0).losses
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.trains
def test_bytes_train_a_network_as_the_same_numbers_do() -> None:
    images, targets = np.random.RandomState(0).randint(256, size=(40, 6)), np.arange(40) % 3
    losses = []
    for dtype in (np.uint8, np.float32):
        split = Split(images.astype(dtype), targets)
        training = Training(dataset=Component(name="arrays"), epochs=2, augmentation=0.1)
        mlp = ARCHITECTURES.get("mlp")
        losses.append(train(mlp, {"width": 8}, training, Dataset("bytes", split, split, 3), seed=0).losses)
    assert losses[0] == losses[1]


def test_noise_is_not_added_to_integers() -> None:
    training = Training(dataset=Component(name="arrays"), epochs=1, augmentation=0.1)
    with pytest.raises(SimbenchError, match="noise cannot be added to integers"):
        train(architecture_of(TokenModel()), {}, training, tokens(), seed=0)


def test_bytes_carry_the_mark_that_the_same_numbers_do() -> None:
    from simbench.data.conditions import with_shortcut

    images, targets = np.random.RandomState(0).randint(256, size=(30, 1, 16, 16)), np.arange(30) % 3
    marked = []
    for dtype in (np.uint8, np.float32):
        split = Split(images.astype(dtype), targets)
        marked.append(with_shortcut(split, 0.5, Dataset("images", split, split, 3), seed=0).inputs)
    assert np.array_equal(*marked)


def test_the_arrays_of_a_file_stay_integers(tmp_path: Path) -> None:
    from simbench.data.dataset import load_dataset

    ids, targets = ids_of().numpy(), np.arange(20) % 3
    np.savez(tmp_path / "a.npz", train_inputs=ids, train_targets=targets, test_inputs=ids, test_targets=targets)
    data = load_dataset("arrays", {"path": str(tmp_path / "a.npz")}, tmp_path)
    assert np.array_equal(data.test.inputs, ids)


def test_a_built_in_transformer_reads_ids_in_any_dtype_alike() -> None:
    architecture = ARCHITECTURES.get("causal_transformer")
    model = Model.of(architecture.build((6,), 12, width=16, heads=2), architecture, {"width": 16, "heads": 2}, (6,))
    ids = ids_of() % 12
    assert torch.equal(model.logits(ids), model.logits(ids.float()))
