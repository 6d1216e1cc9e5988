"""The record beside the weights of a stored model, `model.json`. Reading it imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simbench.errors import SimbenchError
from simbench.files import regular_bytes
from simbench.results.sealed import is_sealed, unseal
from simbench.results.store import MODEL_RECORD

RECORD_VERSION = 1


class CorruptError(SimbenchError):
    """A stored file is damaged, incomplete or out of place: what it held has to be made again."""


@dataclass(frozen=True)
class ModelRecord:
    """Contents of `model.json`, which stands beside the weights."""

    description: Mapping[str, Any]
    accuracy: float
    train_accuracy: float
    losses: list[float]
    seconds: float
    weights_sha256: str
    versions: Mapping[str, str]


def read_record(folder: Path, key: str | None = None) -> ModelRecord:
    """Read the record beside the weights; one of a former version has no checksum of its own.

    Args:
        folder: the folder of the model.
        key: the model's key, where the record must not be that of another model.

    Raises:
        CorruptError: the record is missing, damaged or of another model.
    """
    path = folder / MODEL_RECORD
    try:
        raw = regular_bytes(path)
        stored = json.loads(unseal(raw) if is_sealed(raw) else raw)
        if stored.pop("schema_version") != RECORD_VERSION:
            raise CorruptError(f"{path} was written by another version of simbench")
        record = ModelRecord(**stored)
        own = record.description.get("key", key)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CorruptError(f"{path} cannot be read: {error}") from None
    if key is not None and own != key:
        raise CorruptError(f"{path} is of model {own} ({record.description.get('name', 'no name')}), and lies at {key}")
    return record
