"""A trained model on disk: `weights.safetensors` and, written last, `model.json`. Its presence means complete."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from simbench.errors import SimbenchError
from simbench.files import file_digest, replacing, write_text
from simbench.models.architecture import Architecture
from simbench.models.model import Model
from simbench.models.training import Trained
from simbench.results.store import MODEL_RECORD, MODEL_WEIGHTS

RECORD_VERSION = 1


class CorruptError(SimbenchError):
    """A stored file is damaged or incomplete: what it held has to be made again."""


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


def save(folder: Path, trained: Trained, description: Mapping[str, Any]) -> None:
    """Write both files, each atomically.

    Args:
        folder: made if need be.
        trained: what to store.
        description: the model's specification and seed; anything that JSON holds.
    """
    # safetensors refuses tensors that share memory, and weights on a GPU are to load without one
    weights = {name: tensor.detach().cpu().clone() for name, tensor in trained.model.network.state_dict().items()}
    with replacing(folder / MODEL_WEIGHTS) as temporary:
        save_file(weights, temporary)
        digest = file_digest(temporary)
    record = {
        "schema_version": RECORD_VERSION,
        "description": dict(description),
        "accuracy": trained.accuracy,
        "train_accuracy": trained.train_accuracy,
        "losses": trained.losses,
        "seconds": trained.seconds,
        "weights_sha256": digest,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    write_text(folder / MODEL_RECORD, json.dumps(record, indent=2, sort_keys=True) + "\n")


def read_record(folder: Path) -> ModelRecord:
    """Read the record beside the weights; raise `CorruptError` when it is missing or damaged."""
    try:
        stored = json.loads((folder / MODEL_RECORD).read_text(encoding="utf-8"))
        if stored.pop("schema_version") != RECORD_VERSION:
            raise CorruptError(f"{folder / MODEL_RECORD} was written by another version of simbench")
        return ModelRecord(**stored)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptError(f"{folder / MODEL_RECORD} cannot be read: {error}") from None


def verified(folder: Path) -> Path:
    """Return the file of the weights, checked against their checksum.

    Raises:
        CorruptError: a file is missing or damaged.
    """
    record, path = read_record(folder), folder / MODEL_WEIGHTS
    try:
        if file_digest(path) != record.weights_sha256:
            raise CorruptError(f"{path} fails its checksum")
    except OSError as error:
        raise CorruptError(f"{path} cannot be read: {error}") from None
    return path


def load(
    folder: Path,
    architecture: Architecture,
    parameters: Mapping[str, Any],
    input_shape: tuple[int, ...],
    classes: int,
    layers: Sequence[str] | None = None,
) -> Model:
    """Load the stored model, its weights checked against their checksum.

    Raises:
        CorruptError: a file is missing, damaged, or holds another architecture's weights.
    """
    path = verified(folder)
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CorruptError(f"{path} cannot be read: {error}") from None
    with torch.random.fork_rng(devices=[]):
        network = architecture.build(input_shape, classes, **parameters)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CorruptError(f"{path} does not fit {architecture.name}: {' '.join(str(error).split())}") from None
    return Model.of(network, architecture, parameters, input_shape, layers)
