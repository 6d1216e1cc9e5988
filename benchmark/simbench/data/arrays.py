"""Dataset from the arrays of one npz file."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simbench.data.dataset import Dataset, Outline, Split, dataset, existing_file
from simbench.errors import SimbenchError, suggestion

KEYS = ("train_inputs", "train_targets", "test_inputs", "test_targets")
# Bytes that are read of an array to learn its shape: the first hundred have it.
LONGEST_HEADER = 2**16
# What the readers of archives and of headers raise for those that are damaged, or made to be.
UNREADABLE = (
    *(OSError, LookupError, ValueError, TypeError, SyntaxError, RuntimeError, EOFError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


def _outline(*, path: str) -> Outline | None:
    """Return the outline of a file from the headers of its arrays; None if it has none that can be read."""
    try:
        with zipfile.ZipFile(existing_file(path)) as archive:
            shapes = {key: _shape_in(archive, f"{key}.npy") for key in KEYS[::2]}
    except (SimbenchError, *UNREADABLE):
        return None
    train, test = shapes.values()
    return Outline(train[1:], train[0], test[0]) if len(train) > 1 and train[1:] == test[1:] else None


def _shape_in(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with archive.open(name) as member:
        # A header may say that it has 4 GiB, and the archive unpack to them.
        file = io.BytesIO(member.read(LONGEST_HEADER))
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, _ = read(file)
        return shape


@dataset("arrays", version=1, files=["path"], outline=_outline)
def arrays(cache: Path, *, path: str) -> Dataset:
    """Load the arrays train_inputs, train_targets, test_inputs and test_targets from the npz file at `path`.

    Inputs are `(n, ...)`, the same shape in both splits; targets are integers from 0 on, `(n,)`.
    """
    read = _read(path)
    for split in ("train", "test"):
        targets = read[f"{split}_targets"]
        if targets.dtype.kind not in "iu" or targets.size == 0 or targets.min() < 0:
            raise SimbenchError(f"{path}: {split}_targets must be integers from 0 on, at least one")
    if read["train_inputs"].shape[1:] != read["test_inputs"].shape[1:]:
        raise SimbenchError(
            f"{path}: inputs differ in shape: {read['train_inputs'].shape[1:]} and {read['test_inputs'].shape[1:]}"
        )
    classes = int(max(read["train_targets"].max(), read["test_targets"].max())) + 1
    try:
        return Dataset(
            "arrays",
            Split(read["train_inputs"], read["train_targets"]),
            Split(read["test_inputs"], read["test_targets"]),
            classes,
        )
    except ValueError as error:
        raise SimbenchError(f"{path}: {error}") from None


def _read(path: str) -> dict[str, NDArray[Any]]:
    existing = existing_file(path)
    if not zipfile.is_zipfile(existing):
        raise SimbenchError(f"{path}: not an npz file, or damaged; save one by numpy.savez")
    try:
        with np.load(existing, allow_pickle=False) as file:
            missing = [key for key in KEYS if key not in file]
            if missing:
                raise SimbenchError(f'{path}: no array "{missing[0]}"{suggestion(missing[0], file.files)}')
            return {key: np.asarray(file[key]) for key in KEYS}  # of bytes that are no array, one of no axes
    except SimbenchError:
        raise
    except Exception as error:  # reading a damaged file may raise anything
        # NumPy would advise to load it unsafely
        reason = "an array holds objects" if "pickle" in str(error) else str(error) or type(error).__name__
        raise SimbenchError(f"{path}: not an npz file of plain arrays: {reason}") from None
