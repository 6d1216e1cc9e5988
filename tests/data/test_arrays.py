"""A dataset from an npz file of one's own."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simbench.data.arrays import LONGEST_HEADER
from simbench.data.dataset import Outline, load_dataset
from simbench.errors import SimbenchError
from simbench.registry import DATASETS

WHOLE = {
    "train_inputs": np.arange(12.0).reshape(4, 3),
    "train_targets": np.array([0, 1, 2, 0]),
    "test_inputs": np.arange(6.0).reshape(2, 3),
    "test_targets": np.array([1, 2]),
}


def saved(folder: Path, **changed: Any) -> dict[str, str]:
    arrays = {name: array for name, array in {**WHOLE, **changed}.items() if array is not None}
    np.savez(folder / "mine.npz", **arrays)
    return {"path": str(folder / "mine.npz")}


def test_the_arrays_are_read_as_they_are(tmp_path: Path) -> None:
    data = load_dataset("arrays", saved(tmp_path), tmp_path)
    assert np.array_equal(data.train.inputs, WHOLE["train_inputs"])
    assert np.array_equal(data.test.targets, WHOLE["test_targets"])


def test_the_largest_label_gives_the_number_of_classes(tmp_path: Path) -> None:
    assert load_dataset("arrays", saved(tmp_path), tmp_path).classes == 3


def test_the_input_shape_leaves_out_the_batch_axis(tmp_path: Path) -> None:
    assert load_dataset("arrays", saved(tmp_path), tmp_path).input_shape == (3,)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"test_inputs": None}, 'no array "test_inputs"; did you mean'),
        ({"train_targets": np.array([0.5, 1, 2, 0])}, "train_targets must be integers from 0 on"),
        ({"test_targets": np.array([-1, 2])}, "test_targets must be integers from 0 on"),
        ({"test_targets": np.array([1, 2, 0])}, "inputs .* and targets .* are needed"),
        ({"test_inputs": np.zeros((2, 4))}, "inputs differ in shape"),
        ({"train_inputs": np.array([{}] * 4, dtype=object)}, "not an npz file of plain arrays"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SimbenchError, match=message) as caught:
        load_dataset("arrays", saved(tmp_path, **changed), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SimbenchError, match=r"no such file: .*absent\.npz"):
        load_dataset("arrays", {"path": str(tmp_path / "absent.npz")}, tmp_path)


def test_a_file_that_is_no_npz_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    path.write_text("not an archive")
    with pytest.raises(SimbenchError, match="not an npz file"):
        load_dataset("arrays", {"path": str(path)}, tmp_path)


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[170] ^= 255  # in the numbers of the first array
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_text("hello"), "not an npz file, or damaged"),
        (lambda path: path.write_bytes(b""), "not an npz file, or damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:500]), "not an npz file, or damaged"),
        (lambda path: path.write_bytes(b"\x93NUMPY" + bytes(90)), "not an npz file, or damaged"),
        (damaged, "not an npz file of plain arrays: Bad CRC-32"),
    ],
)
def test_a_file_that_is_damaged_is_told_in_one_line(
    tmp_path: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    parameters = saved(tmp_path)
    spoil(tmp_path / "mine.npz")
    with pytest.raises(SimbenchError, match=reason) as raised:
        load_dataset("arrays", parameters, tmp_path)
    assert "\n" not in str(raised.value)
    assert "pickle" not in str(raised.value)


def test_the_outline_is_known_from_the_headers(tmp_path: Path) -> None:
    assert DATASETS.get("arrays").outline(saved(tmp_path)) == Outline((3,), train=4, test=2)


@pytest.mark.parametrize("changed", [{"test_inputs": None}, {"test_inputs": np.zeros((2, 5))}])
def test_a_file_that_is_refused_later_has_no_outline(changed: dict[str, Any], tmp_path: Path) -> None:
    assert DATASETS.get("arrays").outline(saved(tmp_path, **changed)) is None
    assert DATASETS.get("arrays").outline({"path": str(tmp_path / "absent.npz")}) is None


HEADERS = {
    "4 GiB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    "brackets": b"\x93NUMPY\x01\x00\x10\x00((((((((((((((((",
    "quotes": b"\x93NUMPY\x01\x00\x04\x00'''\n",
    "nothing": b"",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_that_cannot_be_read_gives_no_outline(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key in ("train_inputs", "test_inputs"):
            archive.writestr(f"{key}.npy", header + b" " * 2**20)
    assert DATASETS.get("arrays").outline({"path": str(path)}) is None


def test_of_an_array_its_header_alone_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    read = zipfile.ZipExtFile.read

    def watched(file: zipfile.ZipExtFile, n: int = -1) -> bytes:
        asked.append(n)
        return read(file, n)

    path = saved(tmp_path)["path"]
    monkeypatch.setattr(zipfile.ZipExtFile, "read", watched)
    assert DATASETS.get("arrays").outline({"path": path}) is not None
    assert asked == [LONGEST_HEADER] * 2


def test_a_device_is_no_file(tmp_path: Path) -> None:
    """The outline of an endless one was read without end."""
    assert DATASETS.get("arrays").outline({"path": "/dev/zero"}) is None
