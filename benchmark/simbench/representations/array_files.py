"""Read arrays from files: npy, npz, pt and pth, safetensors. Nothing that could run code is ever unpickled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simbench.errors import SimbenchError, UnknownNameError
from simbench.files import is_written_by_torch, no_file
from simbench.representations.tensors import as_tensor


def load_array(reference: str) -> Tensor:
    """Load the array at `path` or, from a file of several arrays, `path:name`.

    Raises:
        SimbenchError: there is no such file or array, or it cannot be read.
    """
    path, name = _split(reference)
    reader = READERS.get(path.suffix.lower())
    if not path.is_file():
        raise SimbenchError(no_file(path))
    if reader is None:
        raise SimbenchError(f"{path}: not a file of arrays; readable: {', '.join(READERS)}")
    try:
        content = reader(path, name)
    except SimbenchError:
        raise
    except Exception as error:  # reading a damaged file may raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "pickle" in reason:  # NumPy would advise to load it unsafely
            reason = "not an array of numbers, or damaged"
        raise SimbenchError(f"{path}: cannot be read: {reason}") from None
    return _plain(content, reference)


def array_files(folder: Path) -> dict[str, Path]:
    """Return the readable files of a folder by name."""
    return {path.name: path for path in sorted(folder.iterdir()) if path.suffix.lower() in READERS and path.is_file()}


def _split(reference: str) -> tuple[Path, str | None]:
    """Split a reference into path and name; a colon that is part of an existing path does not separate them."""
    path, separator, name = reference.rpartition(":")
    if not separator or Path(reference).exists():
        return Path(reference), None
    return Path(path), name


def _read_npy(path: Path, name: str | None) -> Any:
    if name is not None:
        raise SimbenchError(f"{path} holds one array without a name; leave out `:{name}`")
    return np.load(path, allow_pickle=False)


def _read_npz(path: Path, name: str | None) -> Any:
    with np.load(path, allow_pickle=False) as archive:
        if not hasattr(archive, "files"):
            raise SimbenchError(f"{path} is a single array; call it .npy")
        return archive[_choose(path, name, archive.files)]


def _read_torch(path: Path, name: str | None) -> Any:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if not is_written_by_torch(path):
            raise SimbenchError(f"{path}: cannot be read: damaged, or no file that PyTorch wrote") from None
        # torch's own message is long, and about pickle.
        if "weights_only" in str(error) or "Weights only" in str(error):
            raise SimbenchError(f"{path} holds more than tensors, so it is not unpickled; save tensors alone") from None
        raise
    if isinstance(content, Tensor):
        if name is not None:
            raise SimbenchError(f"{path} holds one array without a name; leave out `:{name}`")
        return content
    arrays: dict[str, Tensor] = {}
    for key, value in _tensors_in(content):
        if key in arrays:
            raise SimbenchError(f"{path} holds two arrays called {key}; give them different names")
        arrays[key] = value
    if not arrays:
        raise SimbenchError(f"{path} holds no array, but a {type(content).__name__}; an array of numbers is needed")
    return arrays[_choose(path, name, list(arrays))]


def _tensors_in(content: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in dictionaries and lists, and their names: `layer1`, `epoch.layer1`, `0`."""
    if not isinstance(content, Mapping | list | tuple):
        return
    for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
        if isinstance(value, Tensor):
            yield str(key), value
        else:
            yield from ((f"{key}.{name}", tensor) for name, tensor in _tensors_in(value))


def _read_safetensors(path: Path, name: str | None) -> Any:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return file.get_tensor(_choose(path, name, list(file.keys())))


def _choose(path: Path, name: str | None, names: list[str]) -> str:
    if name is None:
        if len(names) != 1:
            contents = ", ".join(names[:12]) or "none"
            raise SimbenchError(f"{path} holds {len(names)} arrays ({contents}); name one as {path}:NAME")
        return names[0]
    if name not in names:
        raise UnknownNameError(f"array in {path}", name, names)
    return name


def _plain(content: Any, reference: str) -> Tensor:
    """Return a detached tensor on the CPU, in the type of the file, which tells how exact the numbers are."""
    try:
        return as_tensor(content).cpu()
    except (TypeError, ValueError) as error:
        raise SimbenchError(f"{reference}: {error}") from None


READERS: dict[str, Callable[[Path, str | None], Any]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".safetensors": _read_safetensors,
}
