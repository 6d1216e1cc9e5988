"""Activations on disk: safetensors with a checksum in the header, written atomically and verified when read.

What is larger than a shard lies in several files: the file itself is then an index, written last, whose header names
the shards in the folder beside it, each with its checksum.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from simbench.files import replacing
from simbench.representations.notes import SHARDS, shards_beside

NAME = "activations"
HEADER_DIGEST = "header_sha256"


class DamagedError(Exception):
    """Stored array that does not match its checksum or cannot be read, and is to be computed again."""


@dataclass(frozen=True)
class Shard:
    """Part of stored activations: the rows from `first` on, in a file of the folder of shards."""

    name: str
    first: int
    rows: int
    sha256: str


def save_activations(path: Path, activations: Tensor, notes: Mapping[str, str]) -> str:
    """Write one tensor with its checksum and notes, such as its key; a second checksum is of all that the header says.

    Args:
        path: the file.
        activations: the tensor.
        notes: what to say of it; `key` is held against the key that a reader asks for.

    Returns:
        The checksum of the tensor.
    """
    tensor = activations.detach().cpu().contiguous()
    digest = checksum(tensor)
    _write(path, tensor, {**notes, "sha256": digest})
    return digest


def save_index(path: Path, shards: Sequence[Shard], like: Tensor, notes: Mapping[str, str]) -> None:
    """Write the index of activations that lie in shards; `like` has their dtype and shape, but for the rows."""
    listed = json.dumps([vars(shard) for shard in shards])
    digest = hashlib.sha256("".join(shard.sha256 for shard in shards).encode()).hexdigest()
    _write(path, like[:0].detach().cpu().contiguous(), {**notes, SHARDS: listed, "sha256": digest})


def _write(path: Path, tensor: Tensor, header: Mapping[str, str]) -> None:
    with replacing(path) as temporary:
        save_file({NAME: tensor}, temporary, metadata={**header, HEADER_DIGEST: _header_digest(header, tensor)})


def load_activations(path: Path, key: str | None = None) -> Tensor:
    """Read one tensor; raise `DamagedError` if the file is not what was written, or was written under another key."""
    return read_activations(path, key)[0]


def read_activations(path: Path, key: str | None = None, *, verify: bool = True) -> tuple[Tensor, dict[str, str]]:
    """Read one tensor and its notes; files of former versions have neither a key nor a checksum of the header.

    Args:
        path: the file.
        key: the key under which it should have been written.
        verify: whether to hold the numbers against their checksum, beside what the header says.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: the file is not what was written, or was written under another key.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            tensor: Tensor = file.get_tensor(NAME)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise DamagedError(f"{path}: cannot be read: {error}") from error
    own, sealed = header.get("key", key), header.pop(HEADER_DIGEST, None)
    in_shards = SHARDS in header
    if verify and not in_shards and header.get("sha256") != checksum(tensor):
        raise DamagedError(f"{path}: does not match its checksum")
    # A former version wrote floating numbers only, so that a changed dtype shows.
    former = sealed is None and "key" not in header and not in_shards
    if not (tensor.is_floating_point() if former else sealed == _header_digest(header, tensor)):
        raise DamagedError(f"{path}: its header does not match its checksum")
    if key is not None and own != key:
        raise DamagedError(f"{path}: holds the activations {own} ({_described(header)})")
    if in_shards:
        tensor = _joined(path, tensor, _shards(header), own, verify)
    return tensor, header


def _shards(header: Mapping[str, str]) -> list[Shard]:
    return [Shard(**shard) for shard in json.loads(header[SHARDS])]


def _joined(path: Path, like: Tensor, shards: Sequence[Shard], key: str | None, verify: bool) -> Tensor:
    """Return the rows of all shards, one after the other."""
    whole = like.new_empty(sum(shard.rows for shard in shards), *like.shape[1:])
    for shard in shards:
        place = shards_beside(path) / shard.name
        try:
            rows, header = read_activations(place, key, verify=verify)
        except FileNotFoundError:
            raise DamagedError(f"{path}: its shard {shard.name} is missing") from None
        if header["sha256"] != shard.sha256 or rows.shape != (shard.rows, *like.shape[1:]):
            raise DamagedError(f"{place}: is not the shard that the index names")
        whole[shard.first : shard.first + shard.rows] = rows
    return whole


def read_header(path: Path, key: str | None = None) -> dict[str, str]:
    """Return the notes of a file, without its numbers; raise as `read_activations` does for what the header shows."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            outline = file.get_slice(NAME)
            dtype, shape = DTYPES.get(outline.get_dtype()), list(outline.get_shape())
    except FileNotFoundError:
        raise
    except Exception as error:
        raise DamagedError(f"{path}: cannot be read: {error}") from error
    own, sealed = header.get("key", key), header.pop(HEADER_DIGEST, None)
    former = sealed is None and "key" not in header
    if not former and dtype is not None and sealed != _digest_of(header, dtype, shape):
        raise DamagedError(f"{path}: its header does not match its checksum")
    if key is not None and own != key:
        raise DamagedError(f"{path}: holds the activations {own} ({_described(header)})")
    return header


# Names of dtypes in a header of safetensors; of any other one, the header is checked when the numbers are read.
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def stored_checksum(path: Path) -> str:
    """Return the checksum that a file of activations states, without reading the tensor; `DamagedError` without one."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return str((file.metadata() or {})["sha256"])
    except Exception as error:
        raise DamagedError(f"{path}: cannot be read: {error}") from error


def _described(notes: Mapping[str, str]) -> str:
    return " ".join(notes[name] for name in ("model", "layer", "inputs") if name in notes)


def _header_digest(header: Mapping[str, str], tensor: Tensor) -> str:
    """Return the SHA-256 of the notes, the dtype and the shape."""
    return _digest_of(header, tensor.dtype, list(tensor.shape))


def _digest_of(header: Mapping[str, str], dtype: torch.dtype, shape: Sequence[int]) -> str:
    content = json.dumps([sorted(header.items()), str(dtype), list(shape)])
    return hashlib.sha256(content.encode()).hexdigest()


def checksum(tensor: Tensor) -> str:
    """Return the SHA-256 of the tensor's bytes."""
    return hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy().data).hexdigest()
