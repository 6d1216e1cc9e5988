"""A trained model on disk: `weights.safetensors` and, written last, `model.json`. Its presence means complete."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from simbench.files import file_digest, replacing, write_text
from simbench.models.architecture import Architecture
from simbench.models.model import Model
from simbench.models.model_record import RECORD_VERSION, CorruptError, read_record
from simbench.models.training import Trained
from simbench.results.sealed import seal
from simbench.results.store import MODEL_RECORD, MODEL_WEIGHTS


def save(folder: Path, trained: Trained, description: Mapping[str, Any]) -> None:
    """Write both files, each atomically.

    Args:
        folder: made if need be.
        trained: what to store.
        description: the model's key, specification and seed; anything that JSON holds.
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
    document = json.dumps(record, indent=2, sort_keys=True) + "\n"
    write_text(folder / MODEL_RECORD, seal(document.encode()).decode())


def verified(folder: Path, key: str | None = None) -> Path:
    """Return the file of the weights, checked against their checksum and, where it is given, the model's key.

    Raises:
        CorruptError: a file is missing, damaged or of another model.
    """
    record, path = read_record(folder, key), folder / MODEL_WEIGHTS
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
    key: str | None = None,
) -> Model:
    """Load the stored model, its weights checked against their checksum and, where it is given, the model's key.

    Raises:
        CorruptError: a file is missing, damaged, of another model, or holds another architecture's weights.
    """
    path = verified(folder, key)
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
