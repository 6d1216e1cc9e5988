"""`check` and `plan` look at files of weights and at names of layers, and refuse copies in a group."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from simbench.errors import ExitCode
from simbench.registry import ARCHITECTURES


@pytest.fixture(autouse=True)
def own_architectures():
    """Every test leaves no architecture behind."""
    with ARCHITECTURES.isolated():
        yield


SUITE = """\
suite: loading
version: 1
probe: {{dataset: digits, inputs: 60, fit: {{inputs: 60}}}}
models:
  a: {{architecture: {{name: mlp, width: 8}}, load: {load}{more}}}
metrics: [cka]
tests:
  - {{id: identity, kind: identity, models: [a]}}
"""


@pytest.fixture
def weights(tmp_path):
    """Weights under many names: plain ones, those of another network, and what holds none."""
    network = ARCHITECTURES.get("mlp").build((1, 8, 8), 10, width=8)
    for name in ("w.pt", "w.ckpt", "pytorch_model.bin", "w.weights"):
        torch.save(network.state_dict(), tmp_path / name)
    torch.save({"weight": network.get_parameter("head.weight")}, tmp_path / "head.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "hi.pt").write_text("hi there")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "folder.pt").mkdir()


def written(tmp_path, load, more=""):
    (tmp_path / "suite.yaml").write_text(SUITE.format(load=load, more=more))
    return "suite.yaml"


@pytest.mark.parametrize("load", ["w.pt", "./w.ckpt", "pytorch_model.bin"])
def test_what_can_be_loaded_is_valid_and_cached(invoke, weights, tmp_path, load):
    suite = written(tmp_path, load)
    assert invoke("check", suite).exit_code == 0
    done = invoke("plan", suite, "--json")
    assert done.exit_code == 0
    assert [model["state"] for model in json.loads(done.stdout)["models"]] == ["cached"]


@pytest.mark.parametrize(
    ("load", "state", "said"),
    [
        ("./nosuch.pt", "missing", "no such file: ./nosuch.pt"),
        ("runs/last", "missing", "no such file: runs/last"),
        ("DEFAULT", "missing", '"DEFAULT" is no file (.safetensors, .pt, .pth, .ckpt, .bin'),
        ("w.weights", "failed", "no loader reads files with the suffix of"),
        ("head.pt", "failed", "does not fit mlp"),
        ("list.pt", "failed", "holds no state dict"),
        ("text.pt", "failed", "is damaged or no file of weights"),
        ("hi.pt", "failed", "hi.pt is damaged or no file of weights that PyTorch wrote"),
        ("empty.pt", "failed", "empty.pt is damaged or no file of weights that PyTorch wrote"),
        ("./folder.pt", "missing", "./folder.pt is a folder, not a file"),
    ],
)
def test_what_cannot_be_loaded_is_named_and_not_cached(invoke, weights, tmp_path, load, state, said):
    suite = written(tmp_path, load)
    checked = invoke("check", suite)
    assert checked.exit_code == ExitCode.USAGE
    assert checked.stderr.startswith("error: models.a.load: ")
    assert said in checked.stderr
    assert checked.stderr.count("\n") == 1
    planned = invoke("plan", suite, "--json")
    assert planned.exit_code == ExitCode.USAGE
    (model,) = json.loads(planned.stdout)["models"]
    assert model["state"] == state
    assert said in model["why"]
    assert said in invoke("plan", suite).stderr


@pytest.fixture
def averaged(tmp_path):
    """A checkpoint with two state dicts that fit."""
    weights = ARCHITECTURES.get("mlp").build((1, 8, 8), 10, width=8).state_dict()
    ema = {f"module.{name}": tensor for name, tensor in weights.items()}
    torch.save({"model": weights, "ema": ema, "epoch": 3}, tmp_path / "last.ckpt")


def planned_key(invoke, suite):
    (model,) = json.loads(invoke("plan", suite, "--json").stdout)["models"]
    assert model["state"] == "cached"
    return model["key"]


def test_of_two_state_dicts_the_suite_names_one_which_enters_the_key(invoke, averaged, tmp_path):
    said = invoke("check", written(tmp_path, "last.ckpt")).stderr
    assert 'last.ckpt holds 2 sets of weights that fit mlp: "model", "ema"; choose one by its key' in said
    keys = {planned_key(invoke, written(tmp_path, "last.ckpt", more)) for more in (", key: model", ", key: ema")}
    keys.add(planned_key(invoke, written(tmp_path, "last.ckpt", ', key: ema, strip_prefix: "module."')))
    assert len(keys) == 3


def test_a_loader_that_takes_no_key_says_so(invoke, tmp_path):
    (tmp_path / "suite.yaml").write_text(
        SUITE.format(load="DEFAULT", more=", key: ema, layers: [layer1]").replace(
            "{name: mlp, width: 8}", "{name: torchvision, model: resnet18}"
        )
    )
    assert 'models.a.load: loader torchvision: unknown parameter "key"' in invoke("check", "suite.yaml").stderr


def test_a_key_without_a_file_is_refused(invoke, tmp_path):
    suite = written(tmp_path, "x.pt", ", key: ema")
    (tmp_path / suite).write_text(
        (tmp_path / suite).read_text().replace("load: x.pt", "train: {dataset: digits, epochs: 0}")
    )
    assert "`key` says where weights are in the file that `load` names" in invoke("check", suite).stderr


@pytest.mark.parametrize("verb", ["check", "plan"])
def test_seeds_of_one_file_are_refused(invoke, weights, tmp_path, verb):
    done = invoke(verb, written(tmp_path, "w.pt", ", seeds: [0, 1, 2]"))
    assert done.exit_code == ExitCode.USAGE
    assert "models.a.seeds: `load` gives all 3 seeds the same weights" in done.stderr


@pytest.fixture
def runs(tmp_path):
    """Weights of three seeds, and one of them once more under another name."""
    (tmp_path / "runs").mkdir()
    for seed, name in enumerate("abc"):
        torch.manual_seed(seed)
        network = ARCHITECTURES.get("mlp").build((1, 8, 8), 10, width=8)
        torch.save(network.state_dict(), tmp_path / "runs" / f"{name}.pt")
    torch.save(network.state_dict(), tmp_path / "runs" / "copy.pt")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ("a, zz, b, yy", ["models.a.load: no such file: {folder}/runs/zz.pt", "models.a.load: no such file: {folder}"]),
        ("a, c, copy", ["models.a: a/c and a/copy have the same weights ({folder}/runs/c.pt and {folder}/runs/copy.p"]),
    ],
)
@pytest.mark.parametrize("verb", ["check", "plan"])
def test_files_of_members_are_looked_at_one_by_one(invoke, runs, tmp_path, verb, members, said):
    done = invoke(verb, written(tmp_path, '"runs/{member}.pt"', f", members: [{members}]"))
    assert done.exit_code == ExitCode.USAGE
    lines = [line.removeprefix("error: ").strip() for line in done.stderr.splitlines()]
    assert len(lines) == len(said)
    assert all(line.startswith(text.format(folder=tmp_path.resolve())) for line, text in zip(lines, said, strict=True))


def test_a_member_of_a_mapping_is_named_by_its_key(invoke, runs, tmp_path):
    suite = written(tmp_path, "{x: runs/a.pt, y: runs/b.ckpt}")
    assert "models.a.load.y: no such file: runs/b.ckpt" in invoke("check", suite).stderr
    suite = written(tmp_path, "{x: runs/a.pt, y: runs/b.pt, z: runs/a.pt}")
    assert "models.a: a/x and a/z both have the weights of " in invoke("check", suite).stderr


def test_members_are_named_in_scores_and_on_the_board(invoke, runs, tmp_path):
    suite = written(tmp_path, '"runs/{member}.pt"', ", members: [a, b, c]")
    assert '"a": 3' in invoke("check", suite, "--json").stdout
    done = invoke("run", suite, "--engine", "serial", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["rows"], done.stdout
    planned = json.loads(invoke("plan", suite, "--json").stdout)
    assert [model["name"] for model in planned["models"]] == ["a/a", "a/b", "a/c"]
    assert planned["activations"]["missing"] == 0
    again = written(tmp_path, "{one: runs/a.pt, two: runs/b.pt, three: runs/c.pt}")
    assert json.loads(invoke("plan", again, "--json").stdout)["activations"]["missing"] == 0


@pytest.mark.parametrize("verb", ["check", "plan"])
def test_a_layer_that_a_network_does_not_have_is_named(invoke, tmp_path, verb):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\nfrom simbench.models.architecture import architecture\n"
        "@architecture('own')\ndef own(input_shape, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, classes))\n"
    )
    text = SUITE.format(load="x.pt", more=", layers: ['1', fc]").replace("{name: mlp, width: 8}", "own")
    text = text.replace("load: x.pt", "train: {dataset: digits, epochs: 0}").replace(
        "probe:", "plugins: [nets.py]\nprobe:"
    )
    (tmp_path / "suite.yaml").write_text(text)
    done = invoke(verb, "suite.yaml")
    assert done.exit_code == ExitCode.USAGE
    assert 'models.a.layers: unknown layer of own "fc"; valid: 0, 1, 2' in done.stderr


def test_scores_of_ones_own_weights_are_taken_again_where_the_files_are(invoke, runs, tmp_path):
    suite = written(tmp_path, '"runs/{member}.pt"', ", members: [a, b, c]")
    assert invoke("run", suite, "--engine", "serial").exit_code == 0
    assert invoke("publish", suite, "--out", "board").exit_code == 0
    (tmp_path / "runs").rename(tmp_path / "moved")
    verify = ("verify", "board/loading", "--rescore", "--sample", "1", "--engine", "serial", "--json")
    without = json.loads(invoke(*verify).stdout)
    assert (without["reached"], without["exit_code"]) == ("regraded", ExitCode.INCOMPLETE)
    assert "models not at hand (a/a, a/b, a/c); --files FOLDER" in without["levels"][2]["unchecked"][0]
    done = json.loads(invoke(*verify, "--files", "moved").stdout)
    assert (done["reached"], done["exit_code"]) == ("rescored", ExitCode.OK)
    missing = invoke(*verify, "--files", "nowhere")
    assert missing.exit_code == ExitCode.USAGE
    assert "--files takes a folder; nowhere is none" in missing.stderr


@pytest.mark.parametrize("source", ["load: w.pt", "train: {dataset: digits, epochs: 1}"])
def test_an_unknown_network_of_a_library(invoke, weights, tmp_path, source):
    """A run would say so after minutes, or hours if other groups are trained first."""
    text = (
        SUITE.replace("{{name: mlp, width: 8}}, load: {load}{more}", "{{name: torchvision, model: resnet19}}, {more}")
        .format(more=f"{source}, layers: [layer1]")
        .replace("dataset: digits", "dataset: {name: arrays, path: d.npz}")
    )
    np.savez(tmp_path / "d.npz", test_inputs=np.zeros((60, 3, 8, 8)), train_inputs=np.zeros((60, 3, 8, 8)))
    (tmp_path / "suite.yaml").write_text(text)
    done = invoke("check", "suite.yaml")
    assert done.exit_code == ExitCode.USAGE
    assert 'models.a.architecture: unknown torchvision model "resnet19"; did you mean "resnet18"?' in done.stderr
