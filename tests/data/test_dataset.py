"""What every dataset has in common: strict parameters, fingerprints, identities without paths."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from simbench.data.dataset import SKEW, Dataset, Split, dataset, fingerprint, load_dataset
from simbench.errors import UnknownNameError
from simbench.parameters import ParameterError
from simbench.registry import DATASETS


def small(seed: int = 0) -> Dataset:
    inputs = np.random.default_rng(seed).normal(size=(6, 3))
    return Dataset("small", Split(inputs[:4], np.arange(4) % 2), Split(inputs[4:], np.arange(2)), classes=2)


@pytest.mark.process
def test_listing_datasets_imports_neither_torch_nor_sklearn() -> None:
    listing = (
        "import sys; from simbench.registry import DATASETS; list(DATASETS);"
        "print([name for name in ('torch', 'torchvision', 'sklearn', 'mnist1d') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_dataset_says_what_it_is(name: str) -> None:
    assert DATASETS.get(name).summary.endswith(".")


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_dataset_declares_a_version(name: str) -> None:
    assert DATASETS.get(name).version is not None


def test_an_unknown_dataset_is_told_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match='did you mean "mnist1d"'):
        load_dataset("mnist1", {}, tmp_path)


def test_an_unknown_parameter_is_told_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match='unknown parameter "sead"; did you mean "seed"'):
        load_dataset("mnist1d", {"sead": 1}, tmp_path)


def test_arrays_are_brought_to_their_dtypes() -> None:
    split = small().train
    assert (split.inputs.dtype, split.targets.dtype) == (np.float32, np.int64)


def test_inputs_and_targets_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"inputs \(n, ...\) and targets \(n,\)"):
        Split(np.zeros((3, 2)), np.zeros(2))


def test_equal_data_have_equal_fingerprints() -> None:
    assert fingerprint(small()) == fingerprint(small())


def test_other_data_have_another_fingerprint() -> None:
    assert fingerprint(small(0)) != fingerprint(small(1))


def test_an_identity_follows_a_files_content_and_not_its_path(tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        (tmp_path / name).write_bytes(b"the same")
    source = DATASETS.get("arrays")
    one, two = (source.identity_with({"path": str(tmp_path / name)}) for name in ("one.npz", "two.npz"))
    assert one == two
    assert str(tmp_path) not in str(one)


def test_a_dataset_of_ones_own_is_found_by_name(tmp_path: Path) -> None:
    with DATASETS.isolated():

        @dataset("mine")
        def mine(cache: Path, *, seed: int = 0) -> Dataset:
            """Mine."""
            return small(seed)

        loaded = load_dataset("mine", {"seed": 3}, tmp_path)
    assert fingerprint(loaded) == fingerprint(small(3))


def test_a_dataset_without_a_version_is_known_by_its_source() -> None:
    with DATASETS.isolated():

        @dataset("mine")
        def mine(cache: Path) -> Dataset:
            """Mine."""
            return small()

        assert DATASETS.get("mine").identity_with({})["version"].startswith("source-")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.ones((3, 2), dtype=complex), "inputs are real numbers, and these are complex"),
        (np.array([["1", "2"]] * 3), "inputs are real numbers, and these are of type <U1"),
        (np.full((3, 2), 1e300), "inputs as large as 1.0e\\+300 leave the range of float32"),
        (np.full((3, 2), 2**63, dtype=np.uint64), "integers as large as 9223372036854775808 are beyond"),
    ],
    ids=["complex", "texts", "too large", "integers that wrap around"],
)
def test_inputs_that_cannot_be_kept_are_refused_by_name(inputs: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Split(inputs, np.arange(3))


def test_a_file_may_have_changed_if_it_is_not_older_than_a_clock_may_be_wrong(tmp_path: Path) -> None:
    source, now = DATASETS.get("arrays"), time.time()
    np.save(tmp_path / "mine.npy", np.zeros((3, 2)))
    for path in (tmp_path, tmp_path / "mine.npy"):
        os.utime(path, (0, 0))  # which changes neither what the system notes nor the answer
        assert source.may_have_changed({"path": str(path)}, now)
        assert source.may_have_changed({"path": str(path)}, now + SKEW - 60)
        assert not source.may_have_changed({"path": str(path)}, now + SKEW + 60)
