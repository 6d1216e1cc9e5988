"""A dataset from an npz file of one's own."""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simbench.data.arrays import LONGEST_HEADER
from simbench.data.dataset import Outline, fingerprint, load_dataset
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


IMAGES = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)


def in_folder(folder: Path, **arrays: Any) -> dict[str, str]:
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return {"path": str(folder)}


def is_mapped(array: Any) -> bool:
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


@pytest.mark.parametrize("place", ["npz", "folder", "npy"])
def test_inputs_alone_are_enough_and_stay_bytes_on_the_disk(place: str, tmp_path: Path) -> None:
    if place == "npz":
        np.savez(tmp_path / "mine.npz", test_inputs=IMAGES)
        parameters = {"path": str(tmp_path / "mine.npz")}
    elif place == "npy":
        np.save(tmp_path / "mine.npy", IMAGES)
        parameters = {"path": str(tmp_path / "mine.npy")}
    else:
        parameters = in_folder(tmp_path / "mine", test_inputs=IMAGES)
    data = load_dataset("arrays", parameters, tmp_path)
    assert data.test.inputs.dtype == np.uint8
    assert is_mapped(data.test.inputs)
    assert np.array_equal(data.test.inputs, IMAGES)
    assert data.test.targets is None
    assert (len(data.train), data.classes, data.input_shape) == (0, 0, (3, 4, 4))
    assert DATASETS.get("arrays").outline(parameters) == Outline((3, 4, 4), train=0, test=2)


def test_a_folder_and_an_archive_give_the_same(tmp_path: Path) -> None:
    whole = load_dataset("arrays", saved(tmp_path), tmp_path)
    other = load_dataset("arrays", in_folder(tmp_path / "mine", **WHOLE), tmp_path)
    assert fingerprint(whole) == fingerprint(other)
    assert (whole.classes, other.classes) == (3, 3)


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_archive_is_mapped_unless_it_is_compressed(order: Any, tmp_path: Path) -> None:
    images = np.asarray(IMAGES.astype(np.float32), order=order)
    np.savez_compressed(tmp_path / "small.npz", test_inputs=images)
    np.savez(tmp_path / "large.npz", other=np.zeros(3), test_inputs=images)
    small, large = (load_dataset("arrays", {"path": str(tmp_path / f"{n}.npz")}, tmp_path) for n in ("small", "large"))
    assert np.array_equal(small.test.inputs, images)
    assert np.array_equal(large.test.inputs, images)
    assert not is_mapped(small.test.inputs)
    assert is_mapped(large.test.inputs) is (order == "C")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r'no array "test_inputs"$'),
        ({"test_inputs": IMAGES, "train_targets": np.arange(2)}, "train_targets are labels of train_inputs, which are"),
        ({"inputs": IMAGES}, 'no array "test_inputs"; did you mean "inputs"'),
        ({"test_inputs": np.array(3.0)}, r"inputs \(n, ...\) and targets \(n,\) are needed"),
        ({"test_inputs": np.array([{}, 1], dtype=object)}, "not npy files of plain arrays: an array holds objects"),
        ({"test_inputs": IMAGES, "test_targets": np.array([])}, "must be integers from 0 on, at least one"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told_in_one_line(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    parameters = in_folder(tmp_path / "mine", **arrays)
    with pytest.raises(SimbenchError, match=message) as raised:
        load_dataset("arrays", parameters, tmp_path)
    assert "\n" not in str(raised.value)


def test_the_key_of_a_folder_goes_by_its_content(tmp_path: Path) -> None:
    first = in_folder(tmp_path / "first", test_inputs=IMAGES)
    second = in_folder(tmp_path / "second", test_inputs=IMAGES)
    third = in_folder(tmp_path / "third", test_inputs=IMAGES + 1)
    source = DATASETS.get("arrays")
    assert source.identity_with(first) == source.identity_with(second) != source.identity_with(third)
    (tmp_path / "first" / ".hidden").write_text("x")
    assert source.identity_with(first) == source.identity_with(second)


def test_the_key_of_a_file_is_what_it_was(tmp_path: Path) -> None:
    parameters = saved(tmp_path)
    digest = hashlib.sha256(Path(parameters["path"]).read_bytes()).hexdigest()
    assert DATASETS.get("arrays").identity_with(parameters)["parameters"] == {"path": f"sha256:{digest}"}
