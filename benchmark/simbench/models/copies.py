"""Find files that hold the same numbers, whatever their names: as members of a group they would be one model.

Little is read unless files are likely to be the same: PyTorch writes archives, whose directory has a checksum of every
tensor.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from simbench.files import file_digest, is_file

T = TypeVar("T")
# Bytes at the end of a file that tell most files of one size apart.
END = 1 << 16
# Records of an archive that say something of the archive, not of the tensors.
ABOUT_THE_ARCHIVE = ".data/"


def first_copy(
    files: Mapping[T, Sequence[Path]], arrays: Mapping[Path, Collection[str]] | None = None
) -> tuple[T, T] | None:
    """Return the names of the first two whose files hold the same; None if there are none, or they cannot be read.

    Args:
        files: the files of each.
        arrays: the arrays of an npz file that count, where not all do.
    """
    chosen = arrays or {}
    alike: dict[Hashable, list[tuple[T, Sequence[Path]]]] = {}
    for name, paths in files.items():
        if not all(map(is_file, paths)):
            continue
        try:
            others = alike.setdefault(tuple(_outline(path, chosen.get(path)) for path in paths), [])
            for other, same in others:
                if all(
                    _content(a, chosen.get(a)) == _content(b, chosen.get(b)) for a, b in zip(paths, same, strict=True)
                ):
                    return other, name
        except (OSError, zipfile.BadZipFile):
            continue
        others.append((name, paths))
    return None


def _outline(path: Path, arrays: Collection[str] | None) -> Hashable:
    """Return what files that hold the same have in common, from little of the file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return tuple((_inner(entry.filename), entry.file_size, entry.CRC) for entry in _entries(archive, arrays))
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - END))
        return size, hashlib.sha256(file.read()).hexdigest()


def _content(path: Path, arrays: Collection[str] | None) -> str:
    """Return a digest of a file's content; of an archive, without the name of its folder, which is that of the file."""
    if not zipfile.is_zipfile(path):
        return file_digest(path)
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for entry in _entries(archive, arrays):
            digest.update(f"{_inner(entry.filename)} {entry.file_size}\n".encode())
            with archive.open(entry) as content:
                while piece := content.read(1 << 20):
                    digest.update(piece)
    return digest.hexdigest()


def _entries(archive: zipfile.ZipFile, arrays: Collection[str] | None) -> list[zipfile.ZipInfo]:
    if arrays is not None:
        entries = (entry for entry in archive.infolist() if entry.filename.removesuffix(".npy") in arrays)
        return sorted(entries, key=lambda entry: entry.filename)
    return [entry for entry in archive.infolist() if not _inner(entry.filename).startswith(ABOUT_THE_ARCHIVE)]


def _inner(name: str) -> str:
    return name.partition("/")[2] or name
