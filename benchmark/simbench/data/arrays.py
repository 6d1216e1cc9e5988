"""Dataset from arrays of one's own, mapped into memory: an npz file, a folder of npy files, or one npy file."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from simbench.data.dataset import Dataset, Outline, Split, dataset, existing_source
from simbench.errors import SimbenchError, suggestion
from simbench.files import from_home

KEYS = ("train_inputs", "train_targets", "test_inputs", "test_targets")
# The only array that has to be there.
NEEDED = "test_inputs"
# Bytes that are read of an array to learn its shape: the first hundred have it.
LONGEST_HEADER = 2**16
# Bytes before the name in the header of a file in an archive, and the place of the lengths of what follows.
ZIP_HEADER, ZIP_LENGTHS = 30, 26
CHUNK = 2**20
# What the readers of archives and of headers raise for those that are damaged, or made to be.
UNREADABLE = (
    *(OSError, LookupError, ValueError, TypeError, SyntaxError, RuntimeError, EOFError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


def _outline(*, path: str) -> Outline | None:
    """Return the outline of the arrays from their headers; None if there is none that can be read.

    Raises:
        SimbenchError: a folder does not have the array that is needed.
    """
    source = from_home(path)
    if source.is_dir() and not (source / f"{NEEDED}.npy").is_file():
        raise _lacking(source)
    try:
        shapes = _shapes(existing_source(path))
    except (SimbenchError, *UNREADABLE):
        return None
    test = shapes.get(NEEDED, ())
    train = shapes.get("train_inputs", (0, *test[1:]))
    return Outline(test[1:], train[0], test[0]) if len(test) > 1 and train[1:] == test[1:] else None


def _shapes(source: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the inputs that there are."""
    if not source.is_dir() and source.suffix.lower() != ".npy":
        with zipfile.ZipFile(source) as archive:
            names = [key for key in KEYS[::2] if f"{key}.npy" in archive.namelist()]
            return {key: _shape_in(archive.open(f"{key}.npy")) for key in names}
    files = _npy_files(source)
    return {key: _shape_in(files[key].open("rb")) for key in KEYS[::2] if key in files}


def _shape_in(opened: Any) -> tuple[int, ...]:
    with opened as member:
        # A header may say that it has 4 GiB, and the archive unpack to them.
        return _header(io.BytesIO(member.read(LONGEST_HEADER)))[0]


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(file)
    return shape, by_columns, dtype


@dataset("arrays", version=1, files=["path"], outline=_outline)
def arrays(cache: Path, *, path: str) -> Dataset:
    """Map the arrays test_inputs, test_targets, train_inputs and train_targets at `path`; only the first is needed.

    `path` is an npz file, a folder of npy files with these names, or one npy file of inputs. Inputs are `(n, ...)`, the
    same shape in both splits; targets are labels, integers from 0 on, `(n,)`. Bytes stay bytes until a batch is read.
    """
    read = _read(path)
    for key in KEYS[1::2]:
        targets = read.get(key)
        if targets is not None and (targets.dtype.kind not in "iu" or targets.size == 0 or targets.min() < 0):
            raise SimbenchError(f"{path}: {key} must be integers from 0 on, at least one")
        if targets is not None and key.replace("targets", "inputs") not in read:
            raise SimbenchError(f"{path}: {key} are labels of {key.replace('targets', 'inputs')}, which are missing")
    test = read[NEEDED]
    train = read.get("train_inputs", test[:0] if test.ndim else test)
    if train.shape[1:] != test.shape[1:]:
        raise SimbenchError(f"{path}: inputs differ in shape: {train.shape[1:]} and {test.shape[1:]}")
    classes = max((int(read[key].max()) + 1 for key in KEYS[1::2] if key in read), default=0)
    # few numbers, which need not be mapped
    labels = {key: None if key not in read else np.array(read[key]) for key in KEYS[1::2]}
    try:
        made = Split(train, labels["train_targets"]), Split(test, labels["test_targets"])
    except ValueError as error:
        raise SimbenchError(f"{path}: {error}") from None
    return Dataset("arrays", *made, classes)


def _read(path: str) -> dict[str, NDArray[Any]]:
    """Return the arrays that there are, mapped into memory where they can be."""
    source = existing_source(path)
    in_archive = not source.is_dir() and source.suffix.lower() != ".npy"
    if in_archive and not zipfile.is_zipfile(source):
        raise SimbenchError(f"{path}: not an npz file, or damaged; save one by numpy.savez")
    try:
        read = _from_archive(source) if in_archive else _from_files(source)
    except Exception as error:  # reading a damaged file may raise anything
        # NumPy would advise to load it unsafely
        reason = (
            "an array holds objects"
            if "pickle" in str(error) or "objects" in str(error)
            else str(error) or type(error).__name__
        )
        what = "an npz file of plain arrays" if in_archive else "npy files of plain arrays"
        raise SimbenchError(f"{path}: not {what}: {reason}") from None
    if NEEDED not in read:
        raise _lacking(source)
    return read


def _lacking(source: Path) -> SimbenchError:
    return SimbenchError(f'{source}: no array "{NEEDED}"{suggestion(NEEDED, _names(source))}')


def _from_files(source: Path) -> dict[str, NDArray[Any]]:
    return {key: np.load(file, mmap_mode="r", allow_pickle=False) for key, file in _npy_files(source).items()}


def _npy_files(source: Path) -> dict[str, Path]:
    if not source.is_dir():
        return {NEEDED: source}
    return {key: source / f"{key}.npy" for key in KEYS if (source / f"{key}.npy").is_file()}


def _from_archive(source: Path) -> dict[str, NDArray[Any]]:
    read: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(source) as archive, np.load(source, allow_pickle=False) as loaded:
        for key in KEYS:
            if key not in loaded:
                continue
            mapped = None
            with suppress(*UNREADABLE):
                mapped = _mapped(source, archive, archive.getinfo(f"{key}.npy"))
            read[key] = np.asarray(loaded[key]) if mapped is None else mapped
    return read


def _mapped(source: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any] | None:
    """Return an array of an archive without reading it whole; None where it is compressed, damaged or of objects."""
    if entry.compress_type != zipfile.ZIP_STORED or not _is_intact(archive.open(entry)):
        return None
    with source.open("rb") as file:
        file.seek(entry.header_offset + ZIP_LENGTHS)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
        file.seek(entry.header_offset + ZIP_HEADER + name + extra)
        shape, by_columns, dtype = _header(file)
        if dtype.hasobject or 0 in shape or not shape:
            return None
        return np.memmap(source, dtype, "r", file.tell(), shape, "F" if by_columns else "C")


def _is_intact(opened: Any) -> bool:
    """Read a file of an archive to its end, where its checksum is compared; raise `BadZipFile` if that is another."""
    member: BinaryIO
    with opened as member:
        while member.read(CHUNK):
            pass
    return True


def _names(source: Path) -> Iterable[str]:
    if source.is_dir():
        return [path.stem for path in source.iterdir() if path.suffix == ".npy"]
    with np.load(source, allow_pickle=False) as loaded:
        return list(getattr(loaded, "files", []))
