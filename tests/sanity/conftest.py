"""A group of models that never existed, and scores that are written down."""

from __future__ import annotations

import pytest

from simbench.references import ModelGroup

LAYERS = ("block1", "block2", "block3", "block4", "block5")


@pytest.fixture
def group() -> ModelGroup:
    """Four seeds of a network with five layers and a linear head."""
    return ModelGroup("net", (0, 1, 2, 3), LAYERS, "embedding")
