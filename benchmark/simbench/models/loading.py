"""Weights from elsewhere: a file of one's own, or those that torchvision publishes."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from simbench.errors import SimbenchError, suggestion
from simbench.models.architecture import Architecture
from simbench.models.model import Model

FILE_SUFFIXES = (".safetensors", ".pt", ".pth")
WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts commonly put the state dict in a checkpoint."""


def load_pretrained(
    load: str,
    architecture: Architecture,
    parameters: Mapping[str, Any],
    input_shape: tuple[int, ...],
    classes: int,
    layers: Sequence[str] | None = None,
) -> Model:
    """A model with the weights that a suite's `load` names.

    Args:
        load: the path of a `.safetensors`, `.pt` or `.pth` file that holds a state dict; or, for the architecture
            `torchvision`, the name of published weights (`DEFAULT`, `IMAGENET1K_V1`).
        architecture: what the weights belong to.
        parameters: its parameters.
        input_shape: shape of one input.
        classes: outputs of the classifier; published weights come with their own number.
        layers: the layers to compare, if not all that the architecture names.

    Raises:
        SimbenchError: the file is missing, unreadable or of another network; the download fails.
    """
    if load.endswith(FILE_SUFFIXES):
        weights = _read(load)
        with torch.random.fork_rng(devices=[]):
            network = architecture.build(input_shape, classes, **parameters)
        _fit_into(network, weights, load, architecture.name)
    elif architecture.name == "torchvision":
        from simbench.models.architectures.torchvision_models import with_published_weights

        network = with_published_weights(architecture.checked(parameters), load, input_shape)
    else:
        raise SimbenchError(
            f'load: "{load}" is no file ({", ".join(FILE_SUFFIXES)}); names of weights are for architecture torchvision'
        )
    return Model.of(network, architecture, parameters, input_shape, layers)


def _read(load: str) -> dict[str, Tensor]:
    """The state dict in a file, out of the wrapper in which a training script may have put it."""
    path = Path(load).expanduser()
    if not path.is_file():
        raise SimbenchError(f"no such file: {load}")
    try:
        stored: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except pickle.UnpicklingError:
        raise SimbenchError(
            f"{load} holds more than tensors, which is not loaded for safety: save the network's state_dict() alone"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise SimbenchError(f"{load} is damaged or no file of weights: {_one_line(error)}") from None
    for wrapper in WRAPPERS:
        if isinstance(stored, dict) and isinstance(stored.get(wrapper), dict):
            stored = stored[wrapper]
    if not isinstance(stored, dict) or not all(isinstance(value, Tensor) for value in stored.values()):
        raise SimbenchError(f"{load} holds no state dict: save the network's state_dict()")
    return stored


def _fit_into(network: nn.Module, weights: dict[str, Tensor], load: str, name: str) -> None:
    """Load the weights; one line that says what does not fit."""
    own = network.state_dict()
    # counters of batch norms are missing from old files and play no part in eval mode
    missing = [key for key in own if key not in weights and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in weights if key not in own]
    if missing or unexpected:
        problems = []
        if missing:
            nearest = suggestion(missing[0], unexpected) if unexpected else ""
            problems.append(f'{len(missing)} keys missing (first "{missing[0]}"{nearest})')
        if unexpected:
            problems.append(f'{len(unexpected)} unexpected (first "{unexpected[0]}")')
        raise SimbenchError(f"{load} does not fit {name}: {', '.join(problems)}")
    for key, tensor in weights.items():
        if tensor.shape != own[key].shape:
            raise SimbenchError(
                f"{load} does not fit {name}: {key} has shape {tuple(tensor.shape)}, needed {tuple(own[key].shape)}"
            )
    network.load_state_dict(weights, strict=False)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
