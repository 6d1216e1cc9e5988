"""Patterns among the layers of a group, and elements of outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simbench.errors import SuiteError
from simbench.plan.obtainable import layer_problems
from simbench.plan.plan import make_plan
from simbench.plan.suite_metrics import gather_metrics
from simbench.suite.layer_patterns import matching
from simbench.suite.load import load_suite
from simbench.suite.schema import Suite

Load = Callable[..., Suite]
NET = """\
import torch
from torch import nn
class Block(nn.Module):
    def __init__(self): super().__init__(); self.attn, self.mlp = nn.Linear(8, 8), nn.Linear(8, 8)
    def forward(self, x): return self.mlp(self.attn(x)), None
class Net(nn.Module):
    def __init__(self, depth=12, looks=False):
        super().__init__()
        if looks: int(torch.ones(2).sum())
        self.stem, self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 8)), nn.Linear(8, 10)
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks: x = block(x)[0]
        return self.head(x)
"""
SUITE = """\
suite: own
version: 1
probe: {{dataset: digits, inputs: 60, fit: {{inputs: 60}}}}
models:
  a: {{architecture: {architecture}, train: {{dataset: digits, epochs: 0}}, layers: {layers}}}
metrics: [cka]
tests: [{{id: identity, kind: identity, models: [a]{more}}}]
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(layers: str, architecture: str = "net.py:Net", more: str = "") -> Suite:
        (tmp_path / "net.py").write_text(NET)
        path = tmp_path / "suite.yaml"
        path.write_text(SUITE.format(layers=layers, architecture=architecture, more=more))
        return load_suite(str(path))

    return load


def test_a_pattern_stands_for_the_modules_in_their_order(load: Load) -> None:
    suite = load("[stem, 'blocks.*.attn', head, 'blocks.1*.attn']")
    assert suite.models["a"].layers == ["stem", *(f"blocks.{number}.attn" for number in range(12)), "head"]
    assert load("['blocks.*[0]']").models["a"].layers == [f"blocks.{number}[0]" for number in range(12)]
    assert load("['blocks.1*[kept]']").models["a"].layers == ["blocks.1[kept]", "blocks.10[kept]", "blocks.11[kept]"]
    assert load("['*']").models["a"].layers == ["stem", "head", "blocks"]


def test_a_network_that_needs_its_weights_is_built_with_them(load: Load) -> None:
    assert load("['blocks.*.mlp']", "{name: net.py:Net, looks: true, depth: 1}").models["a"].layers == ["blocks.0.mlp"]


def test_a_network_that_needs_no_shape_is_built_before_the_data_are_there(load: Load, tmp_path: Path) -> None:
    load("['blocks.*.mlp']")
    path = tmp_path / "suite.yaml"
    path.write_text(path.read_text().replace("dataset: digits", "dataset: {name: arrays, path: nowhere.npz}"))
    assert (load_suite(str(path)).models["a"].layers or [])[11] == "blocks.11.mlp"
    (tmp_path / "net.py").write_text(NET.replace("depth=12", "input_shape, depth=12"))
    with pytest.raises(SuiteError, match="patterns need the shape of the inputs"):
        load_suite(str(path))


def test_layers_that_an_architecture_names_are_meant_by_patterns_too(load: Load) -> None:
    assert load("['block*']", "{name: mlp, depth: 3}").models["a"].layers == ["block1", "block2", "block3"]


def test_tests_may_name_what_a_pattern_stands_for(load: Load) -> None:
    suite = load("['blocks.*.mlp']", more=", layers: [blocks.3.mlp]")
    assert (suite.models["a"].layers or [])[3] == "blocks.3.mlp"


def test_keys_are_those_of_the_names(load: Load) -> None:
    plans = [
        make_plan(suite, gather_metrics(suite))
        for suite in (
            load("['blocks.*.mlp']", "{name: net.py:Net, depth: 2}"),
            load("[blocks.0.mlp, blocks.1.mlp]", "{name: net.py:Net, depth: 2}"),
        )
    ]
    assert plans[0].activations.keys() == plans[1].activations.keys() != set()


@pytest.mark.parametrize(
    ("architecture", "layers", "said"),
    [
        ("net.py:Net", "['block.*']", 'suite.yaml:5:79: unknown layer "block.*"; did you mean "blocks.9"?'),
        ("net.py:Net", "[stem, 'blocks.*.mpl']", 'unknown layer "blocks.*.mpl"; did you mean "blocks.'),
        ("net.py:Net", "['blocks.*.hidden']", '; "blocks.*[hidden]" is an element of what modules put out'),
        ("mlp", "['blok*']", 'unknown layer "blok*"; did you mean "block'),
    ],
)
def test_a_pattern_that_stands_for_nothing_is_one_mistake(
    load: Load, architecture: str, layers: str, said: str
) -> None:
    with pytest.raises(SuiteError) as caught:
        load(layers, architecture)
    assert len(caught.value.problems) == 1
    assert said in str(caught.value)


def test_elements_of_outputs_are_looked_for_before_anything_runs(load: Load) -> None:
    suite = load("[stem, 'blocks.0[0]', 'blocks.0[2]', blocks.1.hidden, blocks.99]")
    assert list(layer_problems(suite)) == [
        'models.a.layers: unknown layer of net.py:Net "blocks.99"; did you mean "blocks.9"?',
        'models.a.layers: layer "blocks.0[2]": there is no "2" in the tuple put out; did you mean "[1]"?',
        'models.a.layers: layer "blocks.1.hidden": there is no "hidden" in the tuple put out; valid: [0], [1]',
    ]


def test_a_pattern_of_many_stars_ends() -> None:
    assert matching("*a" * 60 + "b", ["a" * 190]) == []
