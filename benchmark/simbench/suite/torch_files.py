"""Files that PyTorch wrote, or that say so: what they ask for before they are read."""

from __future__ import annotations

import mmap
import pickle
import zipfile
from pathlib import Path

# The pickle in an archive that PyTorch wrote, and how one would name the type of which any length is a few bytes.
PICKLE = "data.pkl"
BYTE_ARRAYS = (b"c__builtin__\nbytearray\n", b"cbuiltins\nbytearray\n")


def refuse_larger_than_the_file(path: Path, *, archive: bool) -> None:
    """Raise an error for a file that asks for more memory than it has bytes, as no file does that PyTorch wrote.

    Entries of an archive may be compressed to a thousandth, and a `bytearray` of any size is a few bytes of a pickle.
    """
    if not archive:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _refuse_byte_arrays(content)
        return
    with zipfile.ZipFile(path) as entries:
        for entry in entries.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{entry.filename[:80]} in it is compressed, as PyTorch compresses nothing")
            if entry.filename.endswith(PICKLE):
                _refuse_byte_arrays(entries.read(entry))


def _refuse_byte_arrays(content: bytes | mmap.mmap) -> None:
    if any(content.find(named) >= 0 for named in BYTE_ARRAYS):
        raise pickle.UnpicklingError("a bytearray")
