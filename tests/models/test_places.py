"""Layers that are elements of what a module puts out: read, laid out and replaced."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from simbench.errors import NotApplicable, SimbenchError, UnknownNameError
from simbench.models.model import Model

Pair = namedtuple("Pair", ["hidden", "weights"])


@dataclass(frozen=True)
class Frozen:
    """Output whose attributes cannot be set."""

    hidden: Tensor
    weights: None = None


class Plain:
    """Output with attributes."""

    def __init__(self, hidden: Tensor) -> None:
        self.hidden = hidden


class Computed:
    """Output that makes its elements anew whenever they are asked for."""

    def __init__(self, given: Tensor) -> None:
        self.given = given

    @property
    def hidden(self) -> Tensor:
        """Twice what was given."""
        return 2 * self.given


class Block(nn.Module):
    """Linear map whose output is packed, as those of attention layers and of Hugging Face are."""

    def __init__(self, pack: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.lin, self.pack = nn.Linear(4, 4), pack

    def forward(self, inputs: Tensor) -> Any:
        return self.pack(torch.relu(self.lin(inputs)))


class Net(nn.Module):
    """Block, and a head that reads an element of its output."""

    def __init__(self, pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.block, self.unpack, self.head = Block(pack), unpack, nn.Linear(4, 3)
        self.parts = nn.ModuleList([nn.Linear(2, 2)])

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.unpack(self.block(inputs)))
        return logits


FORMS: dict[str, tuple[str, Callable[[Tensor], Any], Callable[[Any], Tensor]]] = {
    "tuple": ("block[0]", lambda x: (x, None), lambda output: output[0]),
    "last": ("block[-1]", lambda x: (None, x), lambda output: output[1]),
    "list": ("block[1]", lambda x: [None, x], lambda output: output[1]),
    "nested": ("block[0][1]", lambda x: ((None, x), 3), lambda output: output[0][1]),
    "dict": ("block.hidden", lambda x: {"hidden": x, "other": 1}, lambda output: output["hidden"]),
    "key": ("block[a-b]", lambda x: {"a-b": x}, lambda output: output["a-b"]),
    "position": ("block[0]", lambda x: OrderedDict(hidden=x, other=1), lambda output: output["hidden"]),
    "namedtuple": ("block.hidden", lambda x: Pair(x, None), lambda output: output.hidden),
    "place in a namedtuple": ("block[0]", lambda x: Pair(x, None), lambda output: output.hidden),
    "dataclass": ("block.hidden", Frozen, lambda output: output.hidden),
    "object": ("block.hidden", Plain, lambda output: output.hidden),
}


@pytest.fixture(params=list(FORMS.values()), ids=list(FORMS))
def packed(request: pytest.FixtureRequest) -> tuple[str, Model]:
    layer, pack, unpack = request.param
    torch.manual_seed(0)
    return layer, Model(Net(pack, unpack), [layer], input_shape=(4,))


INPUTS = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))


def test_the_element_is_read(packed: tuple[str, Model]) -> None:
    layer, model = packed
    wanted = torch.relu(model.activations(INPUTS, "block.lin"))
    assert model.layers() == [layer]
    assert torch.equal(model.activations(INPUTS, layer), wanted)


def test_the_element_alone_is_replaced(packed: tuple[str, Model]) -> None:
    layer, model = packed
    assert torch.equal(model.continue_from(layer, model.activations(INPUTS, layer)), model.logits(INPUTS))
    zeros = model.continue_from(layer, torch.zeros(5, 4))
    assert torch.equal(zeros, model.network.get_parameter("head.bias").expand(5, 3))


def test_a_gradient_goes_through_the_element(packed: tuple[str, Model]) -> None:
    layer, model = packed
    activations = torch.ones(5, 4, requires_grad=True)
    model.continue_from(layer, activations, INPUTS).sum().backward()
    assert activations.grad is not None
    assert activations.grad.abs().sum() > 0


def model_of(form: str) -> Model:
    return Model(Net(*FORMS[form][1:]), input_shape=(4,))


@pytest.mark.parametrize(
    ("form", "layer", "said"),
    [
        ("tuple", "block[2]", 'layer "block[2]": there is no "2" in the tuple put out; did you mean "[1]"?'),
        (
            "dict",
            "block.hiden",
            'layer "block.hiden": there is no "hiden" in the dict put out; did you mean ".hidden"?',
        ),
        ("dict", "block.lin2", 'there is no "lin2" in the dict put out; valid: .hidden, .other'),
        ("tuple", "block[0][0]", 'layer "block[0][0]": there is no "0" in the Tensor put out'),
        ("tuple", "block[0].data", 'layer "block[0].data": there is no "data" in the Tensor put out'),
        ("tuple", "block[1]", 'layer "block[1]" puts out a NoneType, not a tensor'),
        ("tuple", "block", 'layer "block" puts out a tuple, not a tensor; "block[0]" is one'),
        ("dict", "block", 'layer "block" puts out a dict, not a tensor; "block.hidden" is one'),
    ],
)
def test_what_cannot_be_selected_is_one_line(form: str, layer: str, said: str) -> None:
    with pytest.raises(SimbenchError) as caught:
        model_of(form).activations(INPUTS, layer)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "layer", ["", "blok", "blok[0]", "block[0", "block[]", "parts.1", "parts.x", "block.lin.x", "x.y"]
)
def test_what_is_no_place_is_told_the_nearest(layer: str) -> None:
    with pytest.raises(UnknownNameError, match='unknown layer "'):
        model_of("tuple").activations(INPUTS, layer)


def test_what_cannot_be_replaced_is_not_applicable() -> None:
    model = Model(Net(Computed, lambda output: output.hidden), ["block.hidden"], input_shape=(4,))
    activations = model.activations(INPUTS, "block.hidden")
    with pytest.raises(NotApplicable, match=r'layer "block.hidden": an element of a Computed cannot be replaced'):
        model.continue_from("block.hidden", activations, INPUTS)


class Recurrent(nn.Module):
    """LSTM over a sequence, which puts out a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = nn.Linear(4, 6), nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.rnn(self.embed(inputs))[0][:, -1])
        return logits


def test_the_layout_of_an_element_is_measured() -> None:
    torch.manual_seed(0)
    model = Model(Recurrent(), ["rnn[0]"], input_shape=(7, 4))
    inputs = torch.randn(3, 7, 4)
    assert model.activations(inputs, "rnn[0]").shape == (3, 7, 5)
    assert model.layout("rnn[0]") == "tokens"
    assert torch.equal(model.continue_from("rnn[0]", model.activations(inputs, "rnn[0]")), model.logits(inputs))


def test_the_networks_own_output_is_a_place_too() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(4, 3)

        def forward(self, inputs: Tensor) -> dict[str, Tensor]:
            return {"logits": self.lin(inputs)}

    model = Model(Whole(), [".logits"], input_shape=(4,))
    assert torch.equal(model.activations(INPUTS, ".logits"), model.activations(INPUTS, "lin"))


def test_modules_in_wrappers_have_the_names_of_the_network() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(OrderedDict(body=nn.Linear(4, 4), head=nn.Linear(4, 3)))
    wrapped = nn.DataParallel(plain)
    compiled = torch.compile(plain)
    for network in (wrapped, compiled):
        model = Model(network, ["body"], input_shape=(4,))
        assert torch.equal(model.activations(INPUTS, "body"), Model(plain, ["body"]).activations(INPUTS, "body"))
