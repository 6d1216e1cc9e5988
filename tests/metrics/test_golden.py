"""Every registered metric that has golden values, against them, in both directions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

FOLDER = Path(__file__).parents[1] / "data" / "golden"
CASES = json.loads((FOLDER / "values.json").read_text())["cases"]
EXPECTED = [
    pytest.param(case, name, direction, value, id=f"{case}-{name}-{direction}")
    for case, metrics in CASES.items()
    for name, directions in metrics.items()
    if name in METRICS
    for direction, value in directions.items()
]


def arrays(case: str, direction: str) -> list[Representation]:
    stored = np.load(FOLDER / f"{case}.npz")
    return [Representation.from_array(stored[side]) for side in direction.upper()]


@pytest.mark.parametrize(("case", "name", "direction", "value"), EXPECTED)
def test_plain_function_gives_the_golden_value(case: str, name: str, direction: str, value: float) -> None:
    x, y = (side.matrix for side in arrays(case, direction))
    found = METRICS.get(name).function(x, y)
    assert float(getattr(found, "value", found)) == pytest.approx(value, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(("case", "name", "direction", "value"), EXPECTED)
def test_fast_door_gives_the_golden_value(case: str, name: str, direction: str, value: float) -> None:
    (score,) = score_pairs(METRICS.get(name), arrays(case, direction), [(0, 1)])
    assert score.status == "ok", score.reason
    assert score.value == pytest.approx(value, rel=1e-6, abs=1e-7)


def test_every_matrix_metric_of_this_version_has_golden_values() -> None:
    ours = {name for name, metric in METRICS if metric.default and not metric.needs}
    assert ours <= {name for metrics in CASES.values() for name in metrics}


def test_golden_arrays_are_double_precision() -> None:
    assert all(side.matrix.dtype == torch.float64 for case in CASES for side in arrays(case, "xy"))
