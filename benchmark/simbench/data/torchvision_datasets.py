"""Image datasets of torchvision, downloaded into the cache if there is a network."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simbench.data.dataset import Dataset, Outline, Split, dataset
from simbench.errors import SimbenchError


@dataclass(frozen=True)
class Download:
    """Name of a dataset in torchvision, and the files that a user may provide if it cannot be downloaded."""

    class_name: str
    classes: int
    files: str
    folder: str = "."
    splits_by_name: bool = False
    """Whether the class takes `split="train"` rather than `train=True`."""


_MNIST_FILES = (
    "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz"
)
DOWNLOADS = {
    "cifar10": Download("CIFAR10", 10, "cifar-10-python.tar.gz"),
    "cifar100": Download("CIFAR100", 100, "cifar-100-python.tar.gz"),
    "mnist": Download("MNIST", 10, _MNIST_FILES, "MNIST/raw"),
    "fashion_mnist": Download("FashionMNIST", 10, _MNIST_FILES, "FashionMNIST/raw"),
    "svhn": Download("SVHN", 10, "train_32x32.mat, test_32x32.mat", splits_by_name=True),
}


@dataset("cifar10", version=1, outline=Outline((3, 32, 32), 50_000, 10_000))
def cifar10(cache: Path) -> Dataset:
    """Load CIFAR-10: photographs of 32×32 pixels in [0, 1], 10 classes: 50,000 to train on, 10,000 held out."""
    return _load("cifar10", cache)


@dataset("cifar100", version=1, outline=Outline((3, 32, 32), 50_000, 10_000))
def cifar100(cache: Path) -> Dataset:
    """Load CIFAR-100: photographs of 32×32 pixels in [0, 1], 100 classes: 50,000 to train on, 10,000 held out."""
    return _load("cifar100", cache)


@dataset("mnist", version=1, outline=Outline((1, 28, 28), 60_000, 10_000))
def mnist(cache: Path) -> Dataset:
    """Load MNIST: handwritten digits of 28×28 pixels in [0, 1]: 60,000 to train on, 10,000 held out."""
    return _load("mnist", cache)


@dataset("fashion_mnist", version=1, outline=Outline((1, 28, 28), 60_000, 10_000))
def fashion_mnist(cache: Path) -> Dataset:
    """Load Fashion-MNIST: clothes of 28×28 pixels in [0, 1], 10 classes: 60,000 to train on, 10,000 held out."""
    return _load("fashion_mnist", cache)


@dataset("svhn", version=1, outline=Outline((3, 32, 32), 73_257, 26_032))
def svhn(cache: Path) -> Dataset:
    """Load SVHN: house numbers of 32×32 pixels in [0, 1], 10 classes: 73,257 to train on, 26,032 held out."""
    return _load("svhn", cache)


def _load(name: str, cache: Path) -> Dataset:
    download, root = DOWNLOADS[name], cache / "torchvision"
    return Dataset(
        name, _split(name, download, root, "train"), _split(name, download, root, "test"), classes=download.classes
    )


def _split(name: str, download: Download, root: Path, split: str) -> Split:
    import torchvision.datasets

    source = getattr(torchvision.datasets, download.class_name)
    which = {"split": split} if download.splits_by_name else {"train": split == "train"}
    try:
        # torchvision prints, but standard output may be a JSON document.
        with redirect_stdout(sys.stderr):
            read = source(root, download=True, **which)
    # URLError, timeouts and full disks are OSErrors; torchvision raises RuntimeError after its last mirror
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise SimbenchError(
            f'dataset "{name}" is not in {root} and cannot be downloaded ({reason}); '
            f"put {download.files} into {(root / download.folder).resolve()}"
        ) from None
    targets = read.labels if download.splits_by_name else read.targets
    return Split(_images(np.asarray(read.data)), np.asarray(targets))


def _images(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Convert bytes in any of torchvision's three shapes to `(n, channels, height, width)` in [0, 1]."""
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.shape[-1] == 3 and pixels.shape[1] != 3:
        pixels = pixels.transpose(0, 3, 1, 2)
    return pixels.astype(np.float32) / np.float32(255)
