"""A suite small enough to be run in every test, on real data and really trained networks."""

from __future__ import annotations

from pathlib import Path

import pytest

TINY = """\
suite: tiny
version: 1
about: For tests.
probe: {dataset: digits, split: test, inputs: 60, fit: {split: train, inputs: 120}}
models:
  mlp:
    architecture: {name: mlp, width: 8, depth: 3}
    train: {dataset: digits, epochs: 2, learning_rate: 0.01}
    seeds: [0, 1]
metrics: [cka, {name: stitch_task, epochs: 2}]
tests:
  - {id: identity, kind: identity, models: [mlp]}
  - {id: invariance, kind: invariance, models: [mlp], layers: [block2], transforms: [orthogonal, translation]}
"""


@pytest.fixture
def tiny(tmp_path: Path, trains: None) -> Path:
    """The path of the tiny suite."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store."""
    return tmp_path / "store"
