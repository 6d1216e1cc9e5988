"""torchvision's datasets, with its classes replaced: what they read, and what is said without a network."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets

from simbench.data.dataset import Dataset, load_dataset
from simbench.data.torchvision_datasets import DOWNLOADS
from simbench.errors import SimbenchError
from simbench.registry import DATASETS

PIXELS: dict[str, Any] = {
    "cifar10": np.full((4, 32, 32, 3), 255, np.uint8),
    "cifar100": np.full((4, 32, 32, 3), 255, np.uint8),
    "mnist": torch.full((4, 28, 28), 255, dtype=torch.uint8),
    "fashion_mnist": torch.full((4, 28, 28), 255, dtype=torch.uint8),
    "svhn": np.full((4, 3, 32, 32), 255, np.uint8),
}


def unreachable(*_: Any, **__: Any) -> None:
    raise URLError("Name or service not known")


def load_replaced(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    class Replacement:
        def __init__(self, root: Path, download: bool, train: bool = True, split: str = "train") -> None:
            assert download
            print("Downloading")
            self.data = PIXELS[name]
            self.targets = self.labels = [0, 1, 2, 3] if train and split == "train" else [3, 2, 1, 0]

    monkeypatch.setattr(torchvision.datasets, DOWNLOADS[name].class_name, Replacement)
    return load_dataset(name, {}, cache)


@pytest.mark.parametrize("name", DOWNLOADS)
def test_channels_come_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    channels, size = (1, 28) if "mnist" in name else (3, 32)
    assert load_replaced(name, tmp_path, monkeypatch).input_shape == (channels, size, size)
    outline = DATASETS.get(name).outline({})
    assert outline is not None
    assert outline.input_shape == (channels, size, size)
    assert f"{outline.train:,} to train on, {outline.test:,} held out" in DATASETS.get(name).summary


@pytest.mark.parametrize("name", DOWNLOADS)
def test_bytes_become_numbers_up_to_1(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_replaced(name, tmp_path, monkeypatch).train.inputs.max() == 1


@pytest.mark.parametrize("name", DOWNLOADS)
def test_the_held_out_split_is_read_as_such(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_replaced(name, tmp_path, monkeypatch).test.targets.tolist() == [3, 2, 1, 0]


def test_what_torchvision_prints_stays_off_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_replaced("svhn", tmp_path, monkeypatch)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", DOWNLOADS)
def test_without_a_network_one_line_says_what_to_put_where(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision.datasets, DOWNLOADS[name].class_name, unreachable)
    with pytest.raises(SimbenchError) as caught:
        load_dataset(name, {}, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert f"put {DOWNLOADS[name].files} into {tmp_path / 'torchvision'}" in message


def test_the_last_mirrors_failure_counts_as_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz:\nTried https://example.org")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fails)
    with pytest.raises(SimbenchError, match="cannot be downloaded"):
        load_dataset("mnist", {}, tmp_path)
