"""Shapes and types of the arrays in a file, from its header: npy, npz, pt and pth, safetensors.

No array is read, and torch is imported for files of PyTorch only.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from simbench.errors import SimbenchError
from simbench.files import is_file, is_written_by_torch, no_file
from simbench.lazy import lazy_import
from simbench.suite.torch_files import refuse_larger_than_the_file

if TYPE_CHECKING:
    import numpy as np
    import torch
else:
    np = lazy_import("numpy")
    torch = lazy_import("torch")

# Compressed to less than this share of its size, an array is refused if it is large, too: of a few kilobytes, a file
# could ask for all memory there is.
SMALLEST_SHARE, LARGE = 1 / 200, 1 << 28


class ArrayOutline(NamedTuple):
    """Shape and type of an array, of which nothing else has been read."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def is_numeric(self) -> bool:
        """Tell whether it holds real numbers."""
        return self.dtype.startswith(("float", "bfloat", "int", "uint", "bool")) and self.dtype != "float128"


# Outlines by the name of the array in its file; None for the one array of a file that holds no names.
Outlines = dict[str | None, ArrayOutline]


def read_outlines(path: Path) -> Outlines:
    """Return the outlines of the arrays in a file, in its order.

    Raises:
        SimbenchError: there is no such file, or it holds no arrays, or cannot be read.
    """
    reader = OUTLINES.get(path.suffix.lower())
    if not is_file(path):
        raise SimbenchError(no_file(path))
    if reader is None:
        raise SimbenchError(f"{path}: not a file of arrays; readable: {', '.join(OUTLINES)}")
    try:
        return reader(path)
    except SimbenchError:
        raise
    except Exception as error:  # reading a damaged file may raise anything
        raise SimbenchError(f"{path}: cannot be read: {reason_of(error)}") from None


def reason_of(error: Exception) -> str:
    """Return why a file cannot be read, in one line."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return "not an array of numbers, or damaged" if "pickle" in reason else reason  # NumPy would advise to unpickle


def split_reference(reference: str) -> tuple[Path, str | None]:
    """Split a reference into path and name; a colon that is part of an existing path does not separate them.

    >>> split_reference("acts.npz:layer1")
    (PosixPath('acts.npz'), 'layer1')
    """
    path, separator, name = reference.rpartition(":")
    if not separator or is_file(reference):
        return Path(reference), None
    while not is_file(path) and ":" in path:  # which the name of an array may have, too
        path, _, more = path.rpartition(":")
        name = f"{more}:{name}"
    return Path(path), name


def torch_arrays(path: Path, **options: Any) -> Any:
    """Return the content of a file of PyTorch: a tensor, or tensors by name; nothing else is unpickled.

    Args:
        path: the file.
        options: passed on to `torch.load`.

    Raises:
        SimbenchError: it holds more than tensors, or two of one name, or none.
    """
    archive = zipfile.is_zipfile(path)  # only these can be mapped into memory
    try:
        refuse_larger_than_the_file(path, archive=archive)
        content = torch.load(path, weights_only=True, mmap=archive, **options)
    except Exception as error:
        if not is_written_by_torch(path):
            raise SimbenchError(f"{path}: cannot be read: damaged, or no file that PyTorch wrote") from None
        # torch's own message is long, and about pickle.
        if isinstance(error, UnpicklingError) or "weights_only" in str(error) or "Weights only" in str(error):
            raise SimbenchError(f"{path} holds more than tensors, so it is not unpickled; save tensors alone") from None
        raise
    if isinstance(content, torch.Tensor):
        return content
    arrays: dict[str, torch.Tensor] = {}
    for key, value in _tensors_in(content):
        if key in arrays:
            raise SimbenchError(f"{path} holds two arrays called {key}; give them different names")
        arrays[key] = value
    if not arrays:
        raise SimbenchError(f"{path} holds no array, but a {type(content).__name__}; an array of numbers is needed")
    return arrays


def _tensors_in(content: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors in dictionaries and lists, and their names: `layer1`, `epoch.layer1`, `0`."""
    if not isinstance(content, Mapping | list | tuple):
        return
    for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
        if isinstance(value, torch.Tensor):
            yield str(key), value
        else:
            yield from ((f"{key}.{name}", tensor) for name, tensor in _tensors_in(value))


def refuse_bomb(path: Path, entry: zipfile.ZipInfo) -> None:
    """Raise `SimbenchError` for an array that a small file says is a large one."""
    if entry.file_size > LARGE and entry.compress_size < entry.file_size * SMALLEST_SHARE:
        raise SimbenchError(
            f"{path}: {entry.filename[:80]} unpacks from {entry.compress_size} bytes to {entry.file_size}; "
            "if it is yours, save it without compression (np.savez)"
        )


def _of_npy(path: Path) -> Outlines:
    with path.open("rb") as file:
        return {None: _of_header(file, path.stat().st_size)}


def _of_npz(path: Path) -> Outlines:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if file.read(6) == b"\x93NUMPY":
                raise SimbenchError(f"{path} is a single array; call it .npy")
        raise ValueError("damaged, or no file that NumPy wrote")
    outlines: Outlines = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if not entry.filename.endswith(".npy"):
                continue
            refuse_bomb(path, entry)
            with archive.open(entry) as file:
                outlines[entry.filename.removesuffix(".npy")] = _of_header(file, entry.file_size)
    return outlines


def _of_header(file: IO[bytes], size: int) -> ArrayOutline:
    """Return what the header at the start of a file of so many bytes says, if the file holds as much."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    missing = file.tell() + math.prod(shape) * dtype.itemsize - size
    if missing > 0 and not dtype.hasobject:
        raise ValueError(f"it ends {missing} bytes before its array of shape {shape} does")
    return ArrayOutline(tuple(shape), dtype.name)


def _of_torch(path: Path) -> Outlines:
    content = torch_arrays(path, map_location="meta")
    arrays = content if isinstance(content, dict) else {None: content}
    return {
        name: ArrayOutline(tuple(array.shape), str(array.dtype).removeprefix("torch."))
        for name, array in arrays.items()
    }


# Names of types in the headers of safetensors, where they begin otherwise than those of NumPy and PyTorch.
PREFIXES = {"BF": "bfloat", "F": "float", "I": "int", "U": "uint", "BOOL": "bool"}


def _of_safetensors(path: Path) -> Outlines:
    from safetensors import safe_open

    outlines: Outlines = {}
    with safe_open(path, framework="numpy") as file:
        for name in sorted(file.keys()):  # the order in which they were given is lost
            part = file.get_slice(name)
            dtype = str(part.get_dtype())
            prefix = next((PREFIXES[start] for start in ("BOOL", *PREFIXES) if dtype.startswith(start)), dtype)
            outlines[name] = ArrayOutline(tuple(part.get_shape()), prefix + dtype.lstrip("BFIUOL"))
    return outlines


OUTLINES: dict[str, Callable[[Path], Outlines]] = {
    ".npy": _of_npy,
    ".npz": _of_npz,
    ".pt": _of_torch,
    ".pth": _of_torch,
    ".safetensors": _of_safetensors,
}
