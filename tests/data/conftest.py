"""One folder for what the data tests generate, so that MNIST-1D is generated once."""

from pathlib import Path

import pytest

from simbench.data.dataset import Dataset, load_dataset


@pytest.fixture(scope="session")
def cache(shared_data: Path) -> Path:
    return shared_data


@pytest.fixture(scope="session")
def mnist1d(cache: Path) -> Dataset:
    return load_dataset("mnist1d", {}, cache)
