"""Layers that cannot be read: each is an error of its own, and the others are as they would be without it."""

import pytest
import torch
from torch import Tensor, nn

from simbench.errors import SimbenchError
from simbench.models.architecture import Architecture
from simbench.models.model import EXTRACTION_BATCH, Model
from simbench.origins import origin_of


class Awkward(nn.Module):
    """One layer that can be read, and one for each way in which a layer cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.reused, self.idle = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)
        self.pair = nn.LSTM(4, 4, batch_first=True)
        self.transposed, self.scalar, self.spectrum, self.ragged = (nn.Identity() for _ in range(4))
        self.nested, self.nowhere, self.coarse, self.codes = (nn.Identity() for _ in range(4))
        self.out = nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.reused(self.plain(self.reused(inputs)))
        self.transposed(hidden.T)
        self.scalar(hidden.sum())
        self.spectrum(torch.fft.fft(hidden))
        self.ragged(hidden if len(inputs) == EXTRACTION_BATCH else hidden[:, :2])
        self.nested(torch.nested.nested_tensor(list(hidden)))
        self.nowhere(hidden.to("meta"))
        self.coarse(hidden.to(torch.float8_e4m3fn))
        self.codes(hidden.long() + 2**60)
        outputs, _ = self.pair(hidden[:, None])
        logits: Tensor = self.out(outputs[:, 0])
        return logits


UNREADABLE = {
    "reused": 'layer "reused" runs 2 times in a pass: its output is not one representation',
    "idle": 'layer "idle" runs 0 times in a pass: its output is not one representation',
    "pair": 'layer "pair" puts out a tuple, not a tensor; "pair[0]" is one',
    "transposed": 'layer "transposed" puts out (4, 200) for 200 inputs, not (inputs, features, …)',
    "scalar": 'layer "scalar" puts out () for 200 inputs, not (inputs, features, …)',
    "spectrum": 'layer "spectrum" puts out complex numbers',
    "ragged": 'layer "ragged" puts out (4,) for some inputs and (2,) for others',
    "nested": 'layer "nested" puts out what cannot be read: inputs have different shapes (a nested tensor)',
    "nowhere": (
        'layer "nowhere" puts out what cannot be read: there are no numbers in it (a tensor on the device meta)'
    ),
    "coarse": (
        'layer "coarse" puts out what cannot be read: numbers of type float8_e4m3fn carry a digit or two, so that '
        "rounding would count as variation; convert them, such as by .float(), to take them as exact"
    ),
    "codes": (
        'layer "codes" puts out what cannot be read: integers as large as 1.2e+18 are beyond 9007199254740992, up to '
        "which float64 holds them exactly; subtract an offset, or give them as floating-point numbers"
    ),
    "plane": 'unknown layer "plane"; did you mean "plain"?',
}


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model(Awkward())


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    return torch.randn(EXTRACTION_BATCH + 3, 4, generator=torch.Generator().manual_seed(0))


def test_each_layer_that_cannot_be_read_says_why(model: Model, inputs: Tensor) -> None:
    results = model.read(inputs, [*UNREADABLE, "plain"])
    assert {layer: str(results[layer]) for layer in UNREADABLE} == UNREADABLE


@pytest.mark.parametrize("beside", UNREADABLE)
def test_the_other_layers_are_what_they_are_without_it(model: Model, inputs: Tensor, beside: str) -> None:
    results = model.read(inputs, ["plain", beside, "out"])
    for layer in ("plain", "out"):
        assert isinstance(results[layer], Tensor)
        assert torch.equal(results[layer], model.activations(inputs, layer))
    assert list(results) == ["plain", beside, "out"]


@pytest.mark.parametrize("layer", UNREADABLE)
def test_asking_for_it_alone_raises(model: Model, inputs: Tensor, layer: str) -> None:
    with pytest.raises(SimbenchError, match=layer):
        model.activations(inputs, layer)


def test_no_hook_stays(model: Model, inputs: Tensor) -> None:
    model.read(inputs, ["plain", *UNREADABLE])
    assert not any(module._forward_hooks for module in model.network.modules())


def test_a_missing_layer_leaves_the_model_of_a_suite_whole(inputs: Tensor) -> None:
    def build(input_shape: tuple[int, ...], classes: int) -> nn.Module:
        return Awkward()

    architecture = Architecture("awkward", build, 1, origin_of(build), None, "ebmedding", None)
    model = Model.of(build((4,), 2), architecture, {}, (4,), ["plain", "plane", ""])
    assert model.layers() == ["plain"]
    assert isinstance(model.read(inputs, ["plain", "plane", ""])["plain"], Tensor)
