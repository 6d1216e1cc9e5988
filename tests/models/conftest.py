"""Small datasets and models that several model tests share. One torch thread, as in a run's workers."""

from pathlib import Path

import pytest
import torch

from simbench.data.dataset import Dataset, load_dataset
from simbench.models.training import Trained, train
from simbench.registry import ARCHITECTURES
from simbench.suite.schema import Component, Training

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits(shared_data: Path) -> Dataset:
    return load_dataset("digits", {}, shared_data)


@pytest.fixture(scope="session")
def mnist1d(shared_data: Path) -> Dataset:
    return load_dataset("mnist1d", {}, shared_data)


@pytest.fixture(scope="session")
def radial(shared_data: Path) -> Dataset:
    return load_dataset("radial", {"train": 8000}, shared_data)


@pytest.fixture(scope="session")
def characters(shared_data: Path) -> Dataset:
    return load_dataset("characters", {}, shared_data)


@pytest.fixture(scope="session")
def brief() -> Training:
    return Training(dataset=Component(name="digits"), epochs=4, learning_rate=0.01)


@pytest.fixture(scope="session")
def trained_mlp(digits: Dataset, brief: Training, trains: None) -> Trained:
    return train(ARCHITECTURES.get("mlp"), {"width": 64}, brief, digits, seed=0)


@pytest.fixture(scope="session")
def images(digits: Dataset) -> torch.Tensor:
    return torch.from_numpy(digits.test.inputs[:250])
