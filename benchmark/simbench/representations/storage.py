"""Activations on disk: safetensors with a checksum in the header, written atomically and verified when read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from simbench.files import replacing

NAME = "activations"


class DamagedError(Exception):
    """Stored array that does not match its checksum or cannot be read, and is to be computed again."""


def save_activations(path: Path, activations: Tensor, notes: Mapping[str, str]) -> None:
    """Write one tensor with its checksum and notes."""
    tensor = activations.detach().cpu().contiguous()
    with replacing(path) as temporary:
        save_file({NAME: tensor}, temporary, metadata={**notes, "sha256": checksum(tensor)})


def load_activations(path: Path) -> Tensor:
    """Read one tensor; raise `DamagedError` if the file is not what was written."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            recorded = (file.metadata() or {}).get("sha256")
            tensor: Tensor = file.get_tensor(NAME)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise DamagedError(f"{path}: cannot be read: {error}") from error
    if recorded != checksum(tensor):
        raise DamagedError(f"{path}: does not match its checksum")
    return tensor


def checksum(tensor: Tensor) -> str:
    """Return the SHA-256 of the tensor's bytes."""
    return hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy().data).hexdigest()
