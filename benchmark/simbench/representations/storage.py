"""Activations on disk: safetensors with a checksum in the header, written atomically and verified when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from simbench.files import replacing

NAME = "activations"
HEADER_DIGEST = "header_sha256"


class DamagedError(Exception):
    """Stored array that does not match its checksum or cannot be read, and is to be computed again."""


def save_activations(path: Path, activations: Tensor, notes: Mapping[str, str]) -> None:
    """Write one tensor with its checksum and notes, such as its key; a second checksum is of all that the header says.

    Args:
        path: the file.
        activations: the tensor.
        notes: what to say of it; `key` is held against the key that a reader asks for.
    """
    tensor = activations.detach().cpu().contiguous()
    header = {**notes, "sha256": checksum(tensor)}
    with replacing(path) as temporary:
        save_file({NAME: tensor}, temporary, metadata={**header, HEADER_DIGEST: _header_digest(header, tensor)})


def load_activations(path: Path, key: str | None = None) -> Tensor:
    """Read one tensor; raise `DamagedError` if the file is not what was written, or was written under another key."""
    return read_activations(path, key)[0]


def read_activations(path: Path, key: str | None = None) -> tuple[Tensor, dict[str, str]]:
    """Read one tensor and its notes; files of former versions have neither a key nor a checksum of the header.

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
    if header.get("sha256") != checksum(tensor):
        raise DamagedError(f"{path}: does not match its checksum")
    # A former version wrote floating numbers only, so that a changed dtype shows.
    former = sealed is None and "key" not in header
    if not (tensor.is_floating_point() if former else sealed == _header_digest(header, tensor)):
        raise DamagedError(f"{path}: its header does not match its checksum")
    if key is not None and own != key:
        raise DamagedError(f"{path}: holds the activations {own} ({_described(header)})")
    return tensor, header


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
    content = json.dumps([sorted(header.items()), str(tensor.dtype), list(tensor.shape)])
    return hashlib.sha256(content.encode()).hexdigest()


def checksum(tensor: Tensor) -> str:
    """Return the SHA-256 of the tensor's bytes."""
    return hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy().data).hexdigest()
