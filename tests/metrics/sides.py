"""Two correlated sides, and a metric's value for them: by its plain function, and by its batched interface."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray

from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

Array = NDArray[np.float64]


def pair(rows: int, width: int, other: int, seed: int = 0) -> tuple[Array, Array]:
    """Return x, (rows, width), and a noisy linear map of it with other means, (rows, other)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width))
    return x, x @ rng.normal(size=(width, other)) + rng.normal(size=(rows, other)) + 3


def value(metric: Callable, x: Array, y: Array, **parameters) -> float:
    score = metric(torch.as_tensor(x), torch.as_tensor(y), **parameters)
    return float(getattr(score, "value", score))


def batched(name: str, x: Array, y: Array, **parameters) -> float:
    sides = [Representation(torch.as_tensor(side)) for side in (x, y)]
    (score,) = score_pairs(METRICS.get(name).with_parameters(parameters), sides, [(0, 1)])
    assert score.value is not None, score.reason
    return score.value


def padded(x: Array, y: Array) -> tuple[Array, Array]:
    width = max(x.shape[1], y.shape[1])
    left, right = (np.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in (x, y))
    return left, right


def rotated(x: Array, y: Array) -> tuple[Array, Array]:
    """Return both sides padded to one width, x rotated onto y."""
    x, y = padded(x, y)
    return x @ scipy.linalg.orthogonal_procrustes(x, y)[0], y
