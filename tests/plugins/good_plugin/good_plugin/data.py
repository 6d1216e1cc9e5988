"""A dataset of somebody else's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simbench.data.dataset import Dataset, Outline, Split, dataset


@dataset("good_plugin/stripes", version=1, outline=Outline((1, 4, 4), 64, 48))
def stripes(cache: Path, *, noise: float = 0.3) -> Dataset:
    """Draw noisy images of 4×4 pixels with horizontal or with vertical stripes."""
    return Dataset("good_plugin/stripes", _split(64, noise, 0), _split(48, noise, 1), classes=2)


def _split(count: int, noise: float, seed: int) -> Split:
    random = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    horizontal = np.tile(np.array([[1.0], [0.0]]), (2, 4))
    images = np.where(targets[:, None, None] == 0, horizontal, horizontal.T)
    return Split((images + noise * random.normal(size=images.shape))[:, None], targets)
