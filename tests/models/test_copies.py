"""Files with the same numbers are found, whatever their names and formats of writing say."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from simbench.models.copies import first_copy

WEIGHTS = {"head.weight": torch.arange(6.0).reshape(2, 3), "head.bias": torch.zeros(2)}


def saved(folder: Path, name: str, weights: dict[str, Tensor]) -> Path:
    path = folder / name
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_the_same_weights_saved_under_two_names(suffix: str, tmp_path: Path) -> None:
    other = {**WEIGHTS, "head.bias": torch.ones(2)}
    contents = {"first": WEIGHTS, "second": other, "third": WEIGHTS}
    files = {name: [saved(tmp_path, name + suffix, weights)] for name, weights in contents.items()}
    assert first_copy(files) == ("first", "third")
    del files["third"]
    assert first_copy(files) is None


def test_names_of_weights_count(tmp_path: Path) -> None:
    renamed = {name.replace("head", "tail"): weights for name, weights in WEIGHTS.items()}
    paths = [saved(tmp_path, "a.pt", WEIGHTS), saved(tmp_path, "b.pt", renamed)]
    assert first_copy({number: [path] for number, path in enumerate(paths)}) is None


def test_archives_whose_checksums_are_wrong_are_read(tmp_path: Path) -> None:
    """PyTorch can write without checksums: then all archives of one size look alike from outside."""
    paths = []
    for number in range(2):
        paths.append(tmp_path / f"{number}.pt")
        with zipfile.ZipFile(paths[-1], "w") as archive:
            archive.writestr("x/data/0", bytes([number] * 8))
        content = paths[-1].read_bytes()
        with zipfile.ZipFile(paths[-1]) as archive:
            checksum = archive.infolist()[0].CRC.to_bytes(4, "little")
        paths[-1].write_bytes(content.replace(checksum, b"\0\0\0\0"))
    assert first_copy({number: [path] for number, path in enumerate(paths)}) is None


def test_files_that_are_missing_or_damaged_are_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "cut.pt").write_bytes(saved(tmp_path, "a.pt", WEIGHTS).read_bytes()[:100])
    assert first_copy({name: [tmp_path / f"{name}.pt"] for name in ("a", "cut", "absent")}) is None


def test_large_files_of_one_size_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    first, second = bytearray(200_000), bytearray(200_000)
    second[100] = 1  # far from the end, by which they look alike
    paths = [tmp_path / "a.bin", tmp_path / "b.bin", tmp_path / "c.bin"]
    for path, content in zip(paths, (first, second, first), strict=True):
        path.write_bytes(content)
    assert first_copy({number: [path] for number, path in enumerate(paths)}) == (0, 2)


def test_arrays_that_do_not_count_make_no_difference(tmp_path: Path) -> None:
    x, y = np.arange(12.0).reshape(4, 3), np.ones((4, 2))
    np.savez(tmp_path / "a.npz", x=x, y=y, epoch=np.array(1))
    np.savez_compressed(tmp_path / "b.npz", y=y, x=x, epoch=np.array(2))
    np.savez(tmp_path / "c.npz", x=x, y=2 * y, epoch=np.array(1))
    files = {name: [tmp_path / f"{name}.npz"] for name in "abc"}
    assert first_copy(files) is None
    assert first_copy(files, {path: {"x", "y"} for (path,) in files.values()}) == ("a", "b")
    assert first_copy({"b": files["b"], "c": files["c"]}, {path: {"x", "y"} for (path,) in files.values()}) is None
