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


ROUNDING = 1e-5
"""Below this a golden value is 0 by identity: the root of a rounding error, which nobody has to repeat."""


def assert_golden(found: float, expected: float) -> None:
    """1e-6 relative, 1e-7 absolute; where the truth is 0 anything no farther from it than the reference will do."""
    if abs(expected) < ROUNDING:
        assert abs(found) <= max(abs(expected), 1e-7)
    else:
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-7)


def arrays(case: str, direction: str) -> list[Representation]:
    stored = np.load(FOLDER / f"{case}.npz")
    return [Representation.from_array(stored[side]) for side in direction.upper()]


@pytest.mark.parametrize(("case", "name", "direction", "value"), EXPECTED)
def test_plain_function_gives_the_golden_value(case: str, name: str, direction: str, value: float) -> None:
    x, y = (side.matrix for side in arrays(case, direction))
    found = METRICS.get(name).function(x, y)
    assert_golden(float(getattr(found, "value", found)), value)


@pytest.mark.parametrize(("case", "name", "direction", "value"), EXPECTED)
def test_batched_interface_gives_the_golden_value(case: str, name: str, direction: str, value: float) -> None:
    (score,) = score_pairs(METRICS.get(name), arrays(case, direction), [(0, 1)])
    assert score.status == "ok", score.reason
    assert_golden(score.value, value)


def test_every_matrix_metric_of_this_version_has_golden_values() -> None:
    ours = {name for name, metric in METRICS if metric.default and not metric.needs}
    assert ours <= {name for metrics in CASES.values() for name in metrics}


def test_golden_arrays_are_double_precision() -> None:
    assert all(side.matrix.dtype == torch.float64 for case in CASES for side in arrays(case, "xy"))
