"""State dicts in checkpoints of training scripts: where they are, and what their weights are called."""

import argparse
import pathlib
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from simbench.errors import SimbenchError
from simbench.models.state_dicts import weights_for
from simbench.models.weight_files import read_file


class Net(nn.Module):
    """Two linear maps, one of them inside another module."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        self.head = nn.Linear(3, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(inputs))
        return logits


NAMES = ("body.0.weight", "body.0.bias", "head.weight", "head.bias")


@pytest.fixture
def net() -> Net:
    return Net()


def prefixed(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in weights.items()}


def other(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor + 1 for name, tensor in weights.items()}


def chosen(net: Net, stored: Any, **options: Any) -> dict[str, Tensor]:
    return weights_for(net, stored, "x.pt", "net", **options)


def refusal(net: Net, stored: Any, **options: Any) -> str:
    with pytest.raises(SimbenchError) as caught:
        chosen(net, stored, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(weights: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return weights.keys() == wanted.keys() and all(torch.equal(weights[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "_orig_mod.module.", "net.", "model.net.", "model._orig_mod."]
)
def test_names_of_modules_around_the_whole_network_are_left_out(net: Net, prefix: str) -> None:
    weights = net.state_dict()
    assert same(chosen(net, prefixed(prefix, weights)), weights)


def test_names_that_a_compiled_part_has_are_left_out_inside_of_others(net: Net) -> None:
    weights = net.state_dict()
    renamed = {name.replace("body.", "body._orig_mod."): tensor for name, tensor in weights.items()}
    assert same(chosen(net, prefixed("model.", renamed)), weights)


def test_an_averaged_model_is_read_without_its_counter(net: Net) -> None:
    assert same(chosen(net, AveragedModel(net).state_dict()), net.state_dict())


@pytest.mark.parametrize("place", ["net", "model_state", "state_dict", "model", "params", "train.model"])
def test_the_state_dict_that_fits_is_found_wherever_it_is(net: Net, place: str) -> None:
    weights = net.state_dict()
    stored: Any = prefixed("module.", weights)
    for key in reversed(place.split(".")):
        stored = {"epoch": 3, key: stored, "losses": {"train": torch.zeros(3)}}
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.zeros(1, 4)).sum().backward()
    optimizer.step()
    assert same(chosen(net, {**stored, "optimizer": optimizer.state_dict()}), net.state_dict())


def test_two_that_fit_are_named_and_a_key_chooses(net: Net) -> None:
    weights = net.state_dict()
    stored = {"state_dict": weights, "ema_state_dict": prefixed("module.", other(weights)), "epoch": 3}
    assert refusal(net, stored) == (
        'x.pt holds 2 sets of weights that fit net: "state_dict", "ema_state_dict"; '
        "choose one by its key, such as `key: state_dict`"
    )
    assert same(chosen(net, stored, key="ema_state_dict"), other(weights))
    assert same(chosen(net, {"a": stored}, key="a.state_dict"), weights)


def test_a_key_that_is_not_there_is_told_the_nearest(net: Net) -> None:
    assert refusal(net, {"ema": net.state_dict()}, key="emma") == 'x.pt: unknown key "emma"; did you mean "ema"?'
    assert "unknown key" in refusal(net, net.state_dict(), key="model")
    assert refusal(net, {"epoch": 3}, key="epoch") == (
        'x.pt: "epoch" holds no state dict: save the network\'s state_dict()'
    )


def test_weights_beside_those_of_the_network_are_left_out_by_a_prefix(net: Net) -> None:
    weights = net.state_dict()
    module = prefixed("model.", weights) | prefixed("ema.", other(weights)) | {"loss.weight": torch.ones(2)}
    stored = {"state_dict": module, "hyper_parameters": {"lr": 0.1}}
    message = refusal(net, stored)
    assert message.startswith("x.pt does not fit net: ")
    assert message.endswith('a part of the file fits: `strip_prefix: "model."` or `strip_prefix: "ema."`')
    assert same(chosen(net, stored, strip_prefix="model."), weights)
    assert same(chosen(net, stored, strip_prefix="ema.", key="state_dict"), other(weights))


def test_a_prefix_that_no_name_has_is_told_those_there_are(net: Net) -> None:
    message = refusal(net, prefixed("net.", net.state_dict()), strip_prefix="model.")
    assert message == 'x.pt: no name of a weight begins with "model."; they begin with "net."'


def test_what_fits_nothing_is_said_of_the_nearest(net: Net) -> None:
    weights = net.state_dict()
    renamed = {name.replace("head", "heat"): tensor for name, tensor in weights.items()}
    message = refusal(net, {"a": {"x": torch.zeros(1)}, "b": prefixed("module.", renamed)})
    assert message == (
        'x.pt does not fit net: of "b", 2 keys missing (first "head.weight"; did you mean "heat.weight"?), '
        '2 unexpected (first "heat.weight"); choose by `key` among "a", "b"'
    )


def test_a_file_without_weights_says_what_it_holds(net: Net) -> None:
    assert refusal(net, {"epoch": 3, "model": net}) == (
        'x.pt holds no state dict, but "epoch", "model": save the network\'s state_dict()'
    )


def test_of_tied_weights_a_file_needs_one() -> None:
    net, body = Net(), nn.Linear(4, 3)
    net.body, net.head = nn.Sequential(body), nn.Linear(4, 3)
    net.head.weight = body.weight
    weights = {name: tensor for name, tensor in net.state_dict().items() if name != "head.weight"}
    assert same(weights_for(net, weights, "x.pt", "net"), weights)


def test_a_network_without_weights_has_an_empty_state_dict() -> None:
    assert weights_for(nn.Flatten(), OrderedDict(), "x.pt", "net") == {}


def test_a_dictionary_that_contains_itself_ends(net: Net) -> None:
    stored: dict[str, Any] = {}
    stored |= {"a": stored, "b": {"c": stored}}
    assert "holds no state dict" in refusal(net, stored)


class Settings(dict[str, Any]):
    """Settings as Lightning keeps them: a dictionary of a class of its own."""


class Recorder:
    """Object whose pickle would call a function."""

    called: ClassVar[list[str]] = []

    def __reduce__(self) -> Any:
        return Recorder.called.append, ("called",)


@pytest.mark.parametrize("outline", [False, True])
def test_what_lies_beside_tensors_means_nothing(net: Net, tmp_path: Path, outline: bool) -> None:
    path = tmp_path / "last.ckpt"
    beside = {
        "hyper_parameters": Settings(lr=0.1, args=argparse.Namespace(width=64)),
        "best": np.float64(0.9),
        "folder": pathlib.PurePosixPath("/runs"),
        "callbacks": {"scores": np.arange(3)},
    }
    torch.save({"state_dict": prefixed("net.", net.state_dict()), **beside}, path)
    allowed = torch.serialization.get_safe_globals()
    stored = read_file(str(path), outline=outline)
    assert tuple(chosen(net, stored)) == NAMES
    if not outline:
        assert same(chosen(net, stored), net.state_dict())
    assert set(torch.serialization.get_safe_globals()) == set(allowed)


def test_nothing_in_a_file_is_called(net: Net, tmp_path: Path) -> None:
    torch.save({"state_dict": net.state_dict(), "x": Recorder()}, tmp_path / "x.pt")
    with pytest.raises(SimbenchError, match="holds more than tensors"):
        read_file(str(tmp_path / "x.pt"))
    assert Recorder.called == []


def test_a_whole_network_is_not_unpickled_and_the_line_says_what_to_save(net: Net, tmp_path: Path) -> None:
    torch.save(net, tmp_path / "whole.pt")
    with pytest.raises(SimbenchError) as caught:
        read_file(str(tmp_path / "whole.pt"))
    said = re.sub(r"^.*/", "", str(caught.value))
    assert said.startswith("whole.pt holds more than tensors (it is a pickled ")
    assert said.endswith("save the network's state_dict() alone: torch.save(network.state_dict(), …)")
