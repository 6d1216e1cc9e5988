"""Read arrays from files: npy, npz, pt and pth, safetensors. Nothing that could run code is ever unpickled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from simbench.errors import SimbenchError, UnknownNameError
from simbench.files import no_file
from simbench.representations.tensors import as_tensor
from simbench.suite.array_outlines import reason_of, refuse_bomb, split_reference, torch_arrays


def load_array(reference: str) -> Tensor:
    """Load the array at `path` or, from a file of several arrays, `path:name`.

    Where the file is as the array is in memory (npy, safetensors, and what PyTorch writes), it is mapped into memory,
    and read as it is needed. What is changed of it stays in memory.

    Raises:
        SimbenchError: there is no such file or array, or it cannot be read.
    """
    path, name = split_reference(reference)
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
        raise SimbenchError(f"{path}: cannot be read: {reason_of(error)}") from None
    return _plain(content, reference)


def array_files(folder: Path) -> dict[str, Path]:
    """Return the readable files of a folder by name, but for hidden ones."""
    return {
        path.name: path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in READERS and not path.name.startswith(".") and path.is_file()
    }


def _read_npy(path: Path, name: str | None) -> Any:
    if name is not None:
        raise SimbenchError(f"{path} holds one array without a name; leave out `:{name}`")
    try:
        return np.load(path, allow_pickle=False, mmap_mode="c")
    except ValueError:  # arrays without elements cannot be mapped, nor objects, which are refused
        return np.load(path, allow_pickle=False)


def _read_npz(path: Path, name: str | None) -> Any:
    with np.load(path, allow_pickle=False) as archive:
        if not hasattr(archive, "files"):
            raise SimbenchError(f"{path} is a single array; call it .npy")
        chosen = _choose(path, name, archive.files)
        for entry in archive.zip.infolist():
            if entry.filename.removesuffix(".npy") == chosen:
                refuse_bomb(path, entry)
        return archive[chosen]


def _read_torch(path: Path, name: str | None) -> Any:
    content = torch_arrays(path, map_location="cpu")
    if isinstance(content, Tensor):
        if name is not None:
            raise SimbenchError(f"{path} holds one array without a name; leave out `:{name}`")
        return content
    return content[_choose(path, name, list(content))]


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
