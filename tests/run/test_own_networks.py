"""A run with networks that stand in a file of the user's own, beside a file that it imports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import simbench
from simbench.registry import ARCHITECTURES, METRICS
from simbench.results.store import Store

pytestmark = pytest.mark.trains
SUITE = """\
suite: own
version: 1
probe: {dataset: digits, inputs: 60, fit: {inputs: 60}}
models:
  trained:
    architecture: {name: nets/my_net.py:MyNet, width: 4}
    train: {dataset: digits, epochs: 1}
    seeds: [0, 1]
    layers: [stem, block]
  loaded:
    architecture: nets/my_net.py:make
    load: runs/{member}.pt
    members: [a, b]
    layers: [stem, block]
metrics: [cka]
tests:
  - {id: identity, kind: identity, models: [trained, loaded], pass_if: ">= 0.5"}
"""
MY_NET = """\
from torch import nn
from layers import Block
print("imported")

class MyNet(nn.Module):
    def __init__(self, classes, width=8):
        super().__init__()
        self.stem = nn.Sequential(nn.Flatten(), nn.Linear(64, width))
        self.block, self.head = Block(width), nn.Linear(width, classes)

    def forward(self, x):
        print("read")
        from numbers_of_mine import TWO
        return self.head(self.block(TWO * self.stem(x)))

def make(classes):
    return MyNet(classes)
"""
LAYERS = "from torch import nn\nclass Block(nn.Linear):\n    def __init__(self, w): super().__init__(w, w)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nets").mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "suite.yaml").write_text(SUITE)
    for name, text in (("my_net", MY_NET), ("layers", LAYERS), ("numbers_of_mine", "TWO = 2\n")):
        (tmp_path / "nets" / f"{name}.py").write_text(text)
    make = ARCHITECTURES.get(f"{tmp_path}/nets/my_net.py:make")
    for name in "ab":
        weights = make.build((1, 8, 8), 10).state_dict()
        torch.save({f"module.{key}": tensor for key, tensor in weights.items()}, tmp_path / "runs" / f"{name}.pt")
    return tmp_path


def values(folder: Path, store: str, **options: Any) -> tuple[dict[str, float | None], int]:
    """Run the suite; return the scores by key, and the number of models that were trained."""
    result = simbench.run(str(folder / "suite.yaml"), store=folder / store, **options)
    assert result.complete
    scores = Store(folder / store).scores(METRICS.get("cka").identity)
    return {key: record.value for key, record in scores.items()}, result.work.trained


@pytest.mark.process
def test_workers_import_the_file_with_its_neighbours_and_score_as_one_process_does(folder: Path) -> None:
    in_workers = values(folder, "a", jobs=2)
    assert len(in_workers[0]) > 4
    assert in_workers == values(folder, "b", engine="serial")


def test_an_edited_neighbour_makes_other_networks_and_a_comment_does_not(folder: Path) -> None:
    assert values(folder, "a", engine="serial")[1] == 2
    (folder / "nets" / "layers.py").write_text(f"# mine\n{LAYERS}")
    assert values(folder, "a", engine="serial")[1] == 0
    (folder / "nets" / "numbers_of_mine.py").write_text("TWO = 3\n")
    assert values(folder, "a", engine="serial")[1] == 2
