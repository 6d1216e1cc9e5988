"""Read and write a bundle, a zip or a folder; what is read was written by a stranger.

Guaranteed when reading: nothing is written to disk, executed or unpickled; no name leaves the bundle; links, encrypted
and doubled entries are refused; no more than the stated bytes are ever unpacked. Guaranteed when writing: the same
files give the same bytes. Not guaranteed: that the content is true, or even makes sense.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from simbench.errors import SimbenchError
from simbench.files import replacing

# Contents by name within the bundle, with forward slashes.
Files = Mapping[str, bytes]

# The bundle beside the tables of a published leaderboard.
BUNDLE = "bundle.zip"
MANIFEST, SUITE, METRICS, PROVENANCE = "manifest.json", "suite.yaml", "metrics.json", "provenance.json"
LARGEST_FILE = 256 * 2**20
LARGEST_BUNDLE = 512 * 2**20
MOST_FILES = 2000
# Text that is packed more tightly is made to be: JSON of brackets takes twenty times its bytes to read. Scores are
# packed to a tenth. Smaller files do no harm.
TIGHTEST, HARMLESS = 200, 2**20
# Plain names, at most four deep: no `..`, no hidden file, no drive, no backslash, nothing that a shell reads.
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.@-]*(/[A-Za-z0-9_-][A-Za-z0-9_.@-]*){0,3}")
# The earliest time that a zip can hold: when a bundle was packed is not part of it.
EPOCH = (1980, 1, 1, 0, 0, 0)
READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class BadBundleError(SimbenchError):
    """This is no bundle, or one that is not safe to read."""


def sha256(content: bytes) -> str:
    """Return the checksum that manifests hold."""
    return hashlib.sha256(content).hexdigest()


def read_files(path: Path) -> dict[str, bytes]:
    """Read all files of a bundle, by name.

    Raises:
        BadBundleError: there is no such bundle, or something in it is not safe to read.
    """
    if path.is_dir():
        return _from_folder(path)
    if not path.is_file():
        raise BadBundleError(f"no such file or folder: {path}")
    return _from_zip(path)


def write_files(path: Path, files: Files) -> Path:
    """Write a bundle as one zip if `path` ends in `.zip`, else as a folder; the same files give the same bytes."""
    if path.suffix == ".zip":
        with replacing(path) as temporary:
            temporary.write_bytes(zipped(files))
        return path
    # The manifest goes last: a folder with one is whole.
    for name in sorted(files, key=lambda name: (name == MANIFEST, name)):
        with replacing(path / name) as temporary:
            temporary.write_bytes(files[name])
    return path


def zipped(files: Files) -> bytes:
    """Return the files as the bytes of a zip, without times, owners or order of their own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def _from_folder(folder: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    total = 0
    for place, folders, names in os.walk(folder, followlinks=False):
        for name in sorted([*folders, *names]):
            path = Path(place) / name
            inside = path.relative_to(folder).as_posix()
            if path.is_symlink():
                raise BadBundleError(f"{inside}: a bundle holds no links")
            if name in folders:
                continue
            if not path.is_file():
                raise BadBundleError(f"{inside}: not a plain file")
            total += _checked_size(inside, path.stat().st_size, total, len(contents))
            contents[_checked_name(inside)] = path.read_bytes()
    return contents


def _from_zip(path: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.is_dir():
                    continue
                name = _checked_name(entry.filename)
                _check_entry(entry, name, contents)
                total += _checked_size(name, entry.file_size, total, len(contents))
                text = not name.endswith(".safetensors")
                if text and entry.file_size > max(HARMLESS, TIGHTEST * entry.compress_size):
                    raise BadBundleError(f"{name}: unpacks to more than {TIGHTEST} times its size, as no scores do")
                with archive.open(entry) as file:
                    # One byte more than declared would be noticed; what is declared was limited above.
                    contents[name] = file.read(entry.file_size + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as error:
        raise BadBundleError(f"{path.name}: not a bundle that can be read: {error}") from None
    return contents


def _check_entry(entry: zipfile.ZipInfo, name: str, earlier: Files) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise BadBundleError(f"{name}: a bundle holds plain files only, no links")
    if entry.flag_bits & 0x1:
        raise BadBundleError(f"{name}: encrypted")
    if entry.compress_type not in READABLE:
        raise BadBundleError(f"{name}: a compression other than deflate")
    if name in earlier:
        raise BadBundleError(f"{name}: stands twice in the bundle")


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name) or len(name) > 200:
        raise BadBundleError(f"{name[:80]!r}: not a name that a bundle may hold")
    return name


def _checked_size(name: str, size: int, total: int, count: int) -> int:
    if size > LARGEST_FILE:
        raise BadBundleError(f"{name}: {size} bytes; a file of a bundle may have {LARGEST_FILE}")
    if total + size > LARGEST_BUNDLE:
        raise BadBundleError(f"{name}: with it the bundle unpacks to more than {LARGEST_BUNDLE} bytes")
    if count >= MOST_FILES:
        raise BadBundleError(f"more than {MOST_FILES} files")
    return size
