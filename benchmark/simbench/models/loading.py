"""Loaders of weights from elsewhere: a file of one's own, or those that torchvision publishes.

A suite names weights by `load`: a file, which its suffix assigns to a loader, or a name, which is for the loader of the
architecture. Importing this module imports no torch: suites are planned from the names alone.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from simbench.errors import SimbenchError, suggestion
from simbench.files import file_digest, from_home, is_file
from simbench.lazy import lazy_import
from simbench.registry import LOADERS, Registered, origin_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from simbench.models.architecture import Architecture
    from simbench.models.model import Model
else:
    torch = lazy_import("torch")

FILE_SUFFIXES = (".safetensors", ".pt", ".pth")
# Keys under which training scripts commonly put the state dict in a checkpoint.
CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model")
# The version of a loader that is no part of a model's key: the file, or the name of the weights, says all.
OF_NO_KEY = 0
DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Loader(Registered):
    """A registered loader.

    Attributes:
        suffixes: suffixes of the files that it reads.
        architectures: architectures for which it knows weights by name.
    """

    suffixes: tuple[str, ...]
    architectures: frozenset[str]

    def reads(self, load: str, architecture: str) -> bool:
        """Tell whether these weights are for this loader."""
        return load.endswith(self.suffixes) or architecture in self.architectures


F = TypeVar("F", bound="Callable[..., nn.Module]")


def loader(
    name: str, *, suffixes: Collection[str] = (), architectures: Collection[str] = (), version: int | None = None
) -> Callable[[F], F]:
    """Register a function `(load, architecture, parameters, input_shape, classes) -> nn.Module`; return it unchanged.

    The function returns the network of the architecture with the weights that `load` names; `with_weights` makes one of
    a state dict.

    Args:
        name: the name in lists.
        suffixes: suffixes of the files that it reads, such as `.npz`.
        architectures: architectures for which it knows weights by name.
        version: raise it when the same file gives other weights; without one, the hash of the source file stands for
            it.
    """

    def decorate(function: F) -> F:
        registered = Loader(name, function, version, origin_of(function), tuple(suffixes), frozenset(architectures))
        LOADERS.register(name, registered, registered.origin)
        return function

    return decorate


def load_pretrained(
    load: str,
    architecture: Architecture,
    parameters: Mapping[str, Any],
    input_shape: tuple[int, ...],
    classes: int,
    layers: Sequence[str] | None = None,
) -> Model:
    """Return a model with the weights that a suite's `load` names.

    Args:
        load: the path of a file that a loader reads, such as a `.safetensors`, `.pt` or `.pth` file that holds a state
            dict; or the name of weights of an architecture, such as torchvision's (`DEFAULT`, `IMAGENET1K_V1`).
        architecture: the architecture that the weights belong to.
        parameters: its parameters.
        input_shape: shape of one input.
        classes: outputs of the classifier; published weights come with their own number.
        layers: the layers to compare, if not all that the architecture names.

    Raises:
        SimbenchError: the file is missing, unreadable or of another network; the download fails; no loader reads it.
    """
    from simbench.models.model import Model

    chosen = find_loader(load, architecture.name)
    if chosen is None:
        suffixes = ", ".join(suffix for _, each in LOADERS for suffix in each.suffixes)
        named = ", ".join(sorted(name for _, each in LOADERS for name in each.architectures))
        raise SimbenchError(f'load: "{load}" is no file ({suffixes}); names of weights are for architecture {named}')
    network = chosen.function(load, architecture, parameters, input_shape, classes)
    return Model.of(network, architecture, parameters, input_shape, layers)


def find_loader(load: str, architecture: str) -> Loader | None:
    """Return the first loader that reads these weights: by the suffix of a file, else by the architecture."""
    loaders = [each for _, each in LOADERS if each.reads(load, architecture)]
    return next((each for each in loaders if load.endswith(each.suffixes)), next(iter(loaders), None))


def weights_in_key(load: str, architecture: str) -> str:
    """Return what stands for weights in a model's key: the hash of their file, or their name.

    The identity of a third party's loader is hashed with them. A hash, as a bundle has it, is returned as it is.
    """
    path = from_home(load)
    weights = file_digest(path) if is_file(path) else load
    chosen = find_loader(load, architecture)
    if chosen is None or chosen.version == OF_NO_KEY or DIGEST.fullmatch(load):
        return weights
    return hashlib.sha256(f"{chosen.identity} {weights}".encode()).hexdigest()


def has_published_weights(load: str, architecture: str) -> bool:
    """Tell whether `load` is a name of weights that anybody can obtain, rather than a file or its hash."""
    chosen = find_loader(load, architecture)
    from_file = DIGEST.fullmatch(load) is not None or is_file(from_home(load))
    return chosen is not None and not from_file and not load.endswith(chosen.suffixes)


@loader("state_dict", suffixes=FILE_SUFFIXES, version=OF_NO_KEY)
def load_state_dict(
    load: str,
    architecture: Architecture,
    parameters: Mapping[str, Any],
    input_shape: tuple[int, ...],
    classes: int,
) -> nn.Module:
    """Load a state dict from a `.safetensors`, `.pt` or `.pth` file."""
    return with_weights(_read(load), load, architecture, parameters, input_shape, classes)


@loader("torchvision", architectures={"torchvision"}, version=OF_NO_KEY)
def load_published(
    load: str,
    architecture: Architecture,
    parameters: Mapping[str, Any],
    input_shape: tuple[int, ...],
    classes: int,
) -> nn.Module:
    """Load the weights that torchvision publishes, by their name (`DEFAULT`, `IMAGENET1K_V1`)."""
    from simbench.models.architectures.torchvision_models import with_published_weights

    return with_published_weights(architecture.checked(parameters), load, input_shape)


def with_weights(
    weights: Mapping[str, Tensor],
    load: str,
    architecture: Architecture,
    parameters: Mapping[str, Any],
    input_shape: tuple[int, ...],
    classes: int,
) -> nn.Module:
    """Build the network and put a state dict into it; raise `SimbenchError` that says what does not fit."""
    with torch.random.fork_rng(devices=[]):
        network = architecture.build(input_shape, classes, **parameters)
    _fit_into(network, weights, load, architecture.name)
    return network


def _read(load: str) -> dict[str, Tensor]:
    """Read the state dict in a file, out of the checkpoint in which a training script may have put it."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = from_home(load)
    if not is_file(path):
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
    for key in CHECKPOINT_KEYS:
        if isinstance(stored, dict) and isinstance(stored.get(key), dict):
            stored = stored[key]
    if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise SimbenchError(f"{load} holds no state dict: save the network's state_dict()")
    return stored


def _fit_into(network: nn.Module, weights: Mapping[str, Tensor], load: str, name: str) -> None:
    """Load the weights; raise `SimbenchError` that says in one line what does not fit."""
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
