"""Cache arrays that take seconds to generate; a file that fails its checksum is generated again."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from simbench.data.dataset import arrays_digest
from simbench.files import replacing

Arrays = dict[str, NDArray[Any]]


def cached_arrays(path: Path, generate: Callable[[], Arrays]) -> Arrays:
    """Return the arrays stored at `path`, or else those of `generate()`, which are then stored there.

    A file that is damaged is replaced, with a warning.
    """
    if path.is_file():
        stored = _read(path)
        if stored is not None:
            return stored
        warnings.warn(f"{path} fails its checksum; its arrays are generated again", stacklevel=2)
    arrays = generate()
    _write(path, arrays)
    return arrays


def _read(path: Path) -> Arrays | None:
    """Return the stored arrays; None if the file is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            expected = (file.metadata() or {}).get("sha256")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, ValueError):
        return None
    return arrays if arrays_digest(arrays) == expected else None


def _write(path: Path, arrays: Arrays) -> None:
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        save_file(arrays, temporary, metadata={"sha256": arrays_digest(arrays)})
