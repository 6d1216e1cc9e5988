"""A layer that cannot be read is an error of its own scores; all others are taken."""

from pathlib import Path

import pytest

from simbench.errors import ExitCode
from simbench.results.store import Store
from simbench.run.session import RunResult, run

NETWORKS = """\
import torch
from torch import nn
from simbench.models.architecture import architecture

class Pair(nn.Module):
    def forward(self, x): return x, None

class Network(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first, self.relu, self.second = nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 8)
        self.pair, self.idle, self.out = Pair(), nn.Linear(8, 8), nn.Linear(8, classes)
    def forward(self, x):
        return self.out(self.pair(self.relu(self.second(self.relu(self.first(x.flatten(1))))))[0])

@architecture("awkward")
def awkward(input_shape, classes): return Network(classes)
"""
SUITE = """\
suite: layers
version: 1
plugins: [./networks.py]
probe: {{dataset: digits, inputs: 60, fit: {{inputs: 60}}}}
models:
  a: {{architecture: awkward, train: {{dataset: digits, epochs: 0}}, layers: [{layers}]}}
metrics: [cka, linear_regression]
tests:
  - {{id: invariance, kind: invariance, models: [a], transforms: [translation]}}
"""


def scores(folder: Path, store: Path, layers: str) -> tuple[RunResult, dict[str, tuple[str, float | None, str]]]:
    (folder / "networks.py").write_text(NETWORKS)
    suite = folder / f"{layers.count(',')}.yaml"
    suite.write_text(SUITE.format(layers=layers))
    result = run(str(suite), store=store, engine="serial", device="cpu")
    records = [
        record for ranked in result.board.rows for record in Store(store).scores(ranked.row.metric.identity).values()
    ]
    return result, {f"{r.metric} {r.a} {r.b}": (r.status, r.value, r.reason or "") for r in records}


@pytest.mark.trains
def test_the_other_layers_are_scored_as_without_it(tmp_path: Path) -> None:
    good, without = scores(tmp_path, tmp_path / "good", "first, second")
    result, beside = scores(tmp_path, tmp_path / "all", "first, relu, pair, idle, second")
    assert good.complete
    assert len(without) > 0
    assert {name: beside[name] for name in without} == without
    reasons = {name: reason for name, (status, _, reason) in beside.items() if status == "error"}
    assert set(reasons) == set(beside) - set(without)
    assert all("relu" in n or "pair" in n or "idle" in n for n in reasons)
    assert any("runs 0 times" in reason for reason in reasons.values())
    assert result.exit_code() == ExitCode.INCOMPLETE
    assert sorted(failure.split(":")[0] for failure in result.work.failures) == [
        f"reading a/0 {layer}" for layer in ("idle", "pair", "relu")
    ]
