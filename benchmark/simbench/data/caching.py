"""Cache arrays that take seconds to generate; a file that fails its checksum is generated again."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from simbench.data.dataset import arrays_digest
from simbench.files import remove, replacing

Arrays = dict[str, NDArray[Any]]


def cached_arrays(path: Path, generate: Callable[[], Arrays]) -> Arrays:
    """Return the arrays stored at `path`, or else those of `generate()`, which are then stored there.

    A file that is damaged, or is a copy of another one, is replaced with a warning; so is a folder in its place.
    """
    if path.exists():
        stored = None if path.is_dir() else _read(path)
        if stored is not None:
            return stored
        what = "is a folder" if path.is_dir() else "fails its checksum or is that of another file"
        warnings.warn(f"{path} {what}; its arrays are generated again", stacklevel=2)
    arrays = generate()
    if path.is_dir():
        remove(path)
    _write(path, arrays)
    return arrays


def _read(path: Path) -> Arrays | None:
    """Return the stored arrays; None if the file is damaged or out of place. Former versions wrote no name."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            notes = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, ValueError):
        return None
    intact = arrays_digest(arrays) == notes.get("sha256") and notes.get("name", path.name) == path.name
    return arrays if intact else None


def _write(path: Path, arrays: Arrays) -> None:
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        save_file(arrays, temporary, metadata={"sha256": arrays_digest(arrays), "name": path.name})
