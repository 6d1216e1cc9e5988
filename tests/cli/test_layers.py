"""`simbench layers`: names, types, shapes and layouts of the layers of networks."""

from __future__ import annotations

import json

import pytest

from simbench.errors import ExitCode

NET = """\
import torch
from torch import nn
class Block(nn.Module):
    def __init__(self): super().__init__(); self.conv = nn.Conv2d(4, 4, 3, padding=1)
    def forward(self, x): return self.conv(x), {"kept": x}
class Net(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        print("built")
        self.stem, self.blocks = nn.Conv2d(1, 4, 3, padding=1), nn.ModuleList([Block()])
        self.relu, self.idle, self.head = nn.ReLU(), nn.ReLU(), nn.Linear(4, classes)
    def forward(self, x):
        print("read")
        x = self.relu(self.stem(x))
        for block in self.blocks: x = block(x)[0]
        return self.head(self.relu(x).mean((2, 3)))
class Tokens(nn.Module):
    def __init__(self): super().__init__(); self.table, self.head = nn.Embedding(9, 5), nn.Linear(5, 2)
    def forward(self, x): return self.head(self.table(x).mean(1))
"""
SUITE = """\
suite: own
version: 1
probe: {dataset: digits, inputs: 60, fit: {inputs: 60}}
models:
  a: &a {architecture: {name: net.py:Net, width: 3}, train: {dataset: digits, epochs: 0}, layers: [stem, "blocks.*[0]"]}
  b: {like: a, train: {epochs: 1}}
metrics: [cka]
tests: [{id: identity, kind: identity, models: [a]}]
"""


@pytest.fixture(autouse=True)
def network(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "suite.yaml").write_text(SUITE.replace("&a ", ""))


def listed(invoke, *arguments):
    done = invoke("layers", *arguments, "--json")
    return done.exit_code, json.loads(done.stdout)


def test_shapes_and_layouts_of_a_network_in_a_file(invoke):
    code, (table,) = listed(invoke, "net.py:Net", "-p", "width=3", "--input-shape", "1,8,8")
    assert code == 0
    assert table["network"] == "net.py:Net"
    assert {row["name"]: (row["type"], row["shape"], row["layout"], row["problem"]) for row in table["layers"]} == {
        "stem": ("Conv2d", [4, 8, 8], "channels_first", None),
        "blocks": ("ModuleList", None, None, "runs 0 times in a pass"),
        "blocks.0": ("Block", None, None, "puts out a tuple, not a tensor"),
        "blocks.0[0]": ("Block", [4, 8, 8], "channels_first", None),
        "blocks.0[1].kept": ("Block", [4, 8, 8], "channels_first", None),
        "blocks.0.conv": ("Conv2d", [4, 8, 8], "channels_first", None),
        "relu": ("ReLU", None, None, "runs 2 times in a pass"),
        "idle": ("ReLU", None, None, "runs 0 times in a pass"),
        "head": ("Linear", [10], None, None),
    }


def test_without_a_shape_names_and_types_are_listed(invoke):
    code, (table,) = listed(invoke, "net.py:Net", "-p", "width=3")
    assert code == 0
    assert [row["name"] for row in table["layers"]] == [
        "stem",
        "blocks",
        "blocks.0",
        "blocks.0.conv",
        "relu",
        "idle",
        "head",
    ]
    assert {row["shape"] for row in table["layers"]} == {None}
    assert "--input-shape" in invoke("layers", "net.py:Net", "-p", "width=3").stdout


def test_a_network_that_reads_token_ids_is_given_some(invoke):
    _, (table,) = listed(invoke, "net.py:Tokens", "--input-shape", "6")
    assert [(row["name"], row["shape"], row["layout"]) for row in table["layers"]] == [
        ("table", [6, 5], "tokens"),
        ("head", [2], None),
    ]


def test_a_suite_says_which_layers_it_reads_and_groups_alike_are_listed_once(invoke):
    code, (table,) = listed(invoke, "suite.yaml")
    assert code == 0
    assert table["groups"] == ["a", "b"]
    assert table["input_shape"] == [1, 8, 8]
    assert [row["name"] for row in table["layers"] if row["read"]] == ["stem", "blocks.0[0]"]
    shown = invoke("layers", "suite.yaml").stdout
    assert "a, b: net.py:Net on inputs (n, 1, 8, 8)" in shown


def test_a_registered_architecture_is_a_network_too(invoke):
    _, (table,) = listed(invoke, "conv2d", "-p", "depth=1", "--input-shape", "1,8,8")
    assert table["layers"][0]["name"] == "block1"
    assert table["layers"][0]["layout"] == "channels_first"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["quik"], 'error: unknown suite or network "quik"; did you mean "quick"?'),
        (["net.py:Nett"], 'did you mean "Net"?'),
        (["net.py:Net"], 'error: net.py:Net: parameter "width" is missing (--parameter NAME=VALUE gives it)'),
        (["net.py:Net", "-p", "width"], 'error: --parameter: "width" is not NAME=VALUE'),
        (
            ["net.py:Net", "--input-shape", "a,b"],
            'error: --input-shape: "a,b" is no shape; give sizes, such as 3,32,32',
        ),
        (["suite.yaml", "--input-shape", "3"], "error: a suite says the parameters of its networks"),
        (["net.py:Net", "-p", "width=1", "--input-shape", "3,8,8"], "error: net.py:Net: RuntimeError: Given groups=1"),
    ],
)
def test_mistakes_are_one_line(invoke, arguments, said):
    done = invoke("layers", *arguments)
    assert done.exit_code == ExitCode.USAGE
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]
