"""A layer whose layout cannot be told is asked for, alone; what a suite declares is what its scores are of."""

from pathlib import Path

import pytest

from simbench.results.store import Store
from simbench.run.session import RunResult, run

NETWORKS = """\
from torch import nn
from simbench.models.architecture import architecture

class Network(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.cube, self.conv, self.out = nn.Flatten(1, 2), nn.Conv2d(1, 4, 3), nn.Linear(4, classes)
    def forward(self, x):
        self.cube(x.reshape(-1, 1, 4, 4, 4))
        return self.out(self.conv(x).mean((2, 3)))

@architecture("cubes")
def cubes(input_shape, classes): return Network(classes)
"""
SUITE = """\
suite: layouts
version: 1
plugins: [./networks.py]
probe: {{dataset: digits, inputs: 60, spatial: {spatial}, fit: {{inputs: 60}}}}
models:
  a: {{architecture: cubes, train: {{dataset: digits, epochs: 0}}, seeds: [0, 1], layers: [conv, cube]{layout}}}
metrics: [cka]
tests:
  - {{id: layers, kind: correspondence, models: [a], distance: 1}}
"""


def run_with(folder: Path, layout: str = "", spatial: str = "pool") -> tuple[RunResult, dict[str, tuple[float, str]]]:
    (folder / "networks.py").write_text(NETWORKS)
    suite = folder / "suite.yaml"
    suite.write_text(SUITE.format(layout=layout, spatial=spatial))
    result = run(str(suite), store=folder / "store", engine="serial", device="cpu")
    records = Store(folder / "store").scores(result.board.rows[0].row.metric.identity).values()
    return result, {record.key: (record.value or 0.0, record.reason or "") for record in records}


@pytest.mark.trains
def test_a_layout_is_asked_for_and_declared(tmp_path: Path) -> None:
    asked, records = run_with(tmp_path)
    reasons = {key: reason for key, (_, reason) in records.items() if reason}
    assert all('layer "cube": which of the 4 axes of its output holds the features' in r for r in reasons.values())
    assert 0 < len(reasons) < len(records)
    assert not asked.complete
    first, after_first = run_with(tmp_path, ", layout: {cube: channels_first}")
    last, after_last = run_with(tmp_path, ", layout: {cube: channels_last}")
    assert first.complete
    assert last.complete
    new = [{value for key, (value, _) in after.items() if key not in records} for after in (after_first, after_last)]
    assert new[0] < new[1]
