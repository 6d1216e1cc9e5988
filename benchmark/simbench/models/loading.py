"""Loaders of weights from elsewhere: a file of one's own, or those that torchvision publishes.

A suite names weights by `load`: a file, which its suffix assigns to a loader, or a name, which is for the loader of the
architecture. Importing this module imports no torch: suites are planned from the names alone.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from simbench.errors import SimbenchError
from simbench.files import file_digest, from_home, is_file, no_file
from simbench.lazy import lazy_import
from simbench.models.state_dicts import check_shapes, fit_into, state_dicts_in, weights_for
from simbench.models.weight_files import FILE_SUFFIXES, read_file
from simbench.origins import origin_of
from simbench.parameters import ParameterError
from simbench.registry import LOADERS, Registered

if TYPE_CHECKING:
    import torch
    from torch import nn

    from simbench.data.items import Preprocess
    from simbench.models.architecture import Architecture
    from simbench.models.model import Model
else:
    torch = lazy_import("torch")

# Suffixes that files of many programs have: a loader that was installed for one of them comes before the built-in one.
SHARED_SUFFIXES = (".ckpt", ".bin")
# The version of a loader that is no part of a model's key: the file, or the name of the weights, says all.
OF_NO_KEY = 0
DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Loader(Registered):
    """A registered loader.

    Attributes:
        suffixes: suffixes of the files that it reads.
        architectures: architectures for which it knows weights by name.
        resolve: returns what the name of weights stands for today, given also the parameters of the architecture.
        names: the names of weights that there are, as a regular expression, where that is known beforehand.
    """

    suffixes: tuple[str, ...]
    architectures: frozenset[str]
    resolve: Callable[[str, Mapping[str, Any]], str] | None = None
    names: str | None = None

    def reads(self, load: str, architecture: str) -> bool:
        """Tell whether these weights are for this loader."""
        return load.lower().endswith(self.suffixes) or architecture in self.architectures


@dataclass(frozen=True)
class Loaded:
    """A network with its weights, and what it wants done to items before it reads them."""

    network: nn.Module
    preprocess: Preprocess | None = None


F = TypeVar("F", bound="Callable[..., nn.Module | Loaded]")


def loader(
    name: str,
    *,
    suffixes: Collection[str] = (),
    architectures: Collection[str] = (),
    version: int | None = None,
    resolve: Callable[[str, Mapping[str, Any]], str] | None = None,
    names: str | None = None,
) -> Callable[[F], F]:
    """Register a function `(load, architecture, parameters, input_shape, classes) -> nn.Module`; return it unchanged.

    The function returns the network of the architecture with the weights that `load` names; `with_weights` makes one of
    a state dict. Weights that come with a preprocessing of images or texts return both, as `Loaded`. `classes` is 0
    where the data have no labels.

    Args:
        name: the name in lists.
        suffixes: suffixes of the files that it reads, such as `.npz`.
        architectures: architectures for which it knows weights by name.
        version: raise it when the same file gives other weights; without one, the hash of its code stands for
            it.
        resolve: given the name of weights and the parameters of the architecture, returns what the name stands for,
            such as a release and the hash of its file; keys hold this in place of the name.
        names: a regular expression of the names of weights that it knows, where that is known beforehand.

    >>> import simbench
    >>> @simbench.loader("named arrays", suffixes=[".npz"], version=1)
    ... def named_arrays(load, architecture, parameters, input_shape, classes):
    ...     import numpy, torch
    ...     state = {name: torch.as_tensor(array) for name, array in numpy.load(load).items()}
    ...     return with_weights(architecture, parameters, input_shape, classes, state, load)
    >>> LOADERS.get("named arrays").suffixes
    ('.npz',)
    """

    def decorate(function: F) -> F:
        reads = (tuple(suffixes), frozenset(architectures))
        registered = Loader(name, function, version, origin_of(function), *reads, resolve, names)
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
    options: Mapping[str, str] | None = None,
) -> Model:
    """Return a model with the weights that a suite's `load` names.

    Args:
        load: the path of a file that a loader reads, such as a `.safetensors` or `.pt` file of a state dict; or the
            name of weights of an architecture, such as torchvision's (`DEFAULT`, `IMAGENET1K_V1`).
        architecture: the architecture that the weights belong to.
        parameters: its parameters.
        input_shape: shape of one input.
        classes: outputs of the classifier; published weights come with their own number.
        layers: the layers to compare, if not all that the architecture names.
        options: parameters of the loader, such as `key` and `strip_prefix`.

    Raises:
        SimbenchError: the file is missing, unreadable or of another network; the download fails; no loader reads it.
    """
    from simbench.models.model import Model

    chosen = _loader_of(load, architecture.name)
    given = _checked_options(chosen, options or {})
    made = chosen.function(load, architecture, parameters, input_shape, classes, **given)
    loaded = made if isinstance(made, Loaded) else Loaded(made)
    model = Model.of(loaded.network, architecture, parameters, input_shape, layers)
    own = loaded.preprocess or model.preprocess
    model.preprocess = own or architecture.preprocess_of(loaded.network, parameters)
    return model


def check_source(
    load: str,
    architecture: Architecture,
    network: nn.Module | None,
    options: Mapping[str, str] | None = None,
    other: nn.Module | None = None,
) -> None:
    """Raise `SimbenchError` if it is plain that `load` cannot be loaded; no weights are read, and none downloaded.

    Args:
        load: what a suite names.
        architecture: the architecture that the weights belong to.
        network: the network without weights, if it could be built, whose names the file's are held against.
        options: parameters of the loader, such as `key` and `strip_prefix`.
        other: the same network with another number of labels: where both have weights of one shape, so has the file.
    """
    if DIGEST.fullmatch(load):  # stands for a file that is not here
        return
    architecture.check_installed()
    chosen = _loader_of(load, architecture.name)
    if load.lower().endswith(chosen.suffixes) and not is_file(from_home(load)):
        raise SimbenchError(no_file(load))
    given = _checked_options(chosen, options or {})
    if chosen.function is load_state_dict:
        stored = read_file(load, outline=True)
        if network is None:
            state_dicts_in(stored, load, **given)
        else:
            weights = weights_for(network, stored, load, architecture.name, **given)
            others = {} if other is None else other.state_dict()
            alike = {name: own for name, own in network.state_dict().items() if name in others}
            check_shapes(
                {name: own for name, own in alike.items() if own.shape == others[name].shape},
                weights,
                load,
                architecture.name,
            )


def mapped_weights(
    load: str, architecture: Architecture, network: nn.Module, options: Mapping[str, str] | None = None
) -> dict[str, torch.Tensor] | None:
    """Return the weights in a file under the network's names, read only where looked at; None for other sources."""
    chosen = find_loader(load, architecture.name)
    if chosen is None or chosen.function is not load_state_dict or not is_file(from_home(load)):
        return None
    given = _checked_options(chosen, options or {})
    return weights_for(network, read_file(load, mapped=True), load, architecture.name, **given)


def _checked_options(chosen: Loader, options: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of a loader that are given; raise `SimbenchError` for those that it does not take."""
    try:
        chosen.checked(options)
    except ParameterError as error:
        raise SimbenchError(f"loader {chosen.name}: {error}") from None
    return dict(options)


def _loader_of(load: str, architecture: str) -> Loader:
    """Return the loader of these weights; raise `SimbenchError` that says what there is, if there is none."""
    chosen = find_loader(load, architecture)
    suffixes = ", ".join(suffix for _, each in LOADERS for suffix in each.suffixes)
    if is_file(from_home(load)) and (chosen is None or not load.lower().endswith(chosen.suffixes)):
        raise SimbenchError(f"load: no loader reads files with the suffix of {load}; valid: {suffixes}")
    if chosen is None and os.sep in load:
        raise SimbenchError(no_file(load))
    if chosen is None:
        named = ", ".join(sorted(name for _, each in LOADERS for name in each.architectures))
        raise SimbenchError(f'load: "{load}" is no file ({suffixes}); names of weights are for architecture {named}')
    if chosen.names is not None and not re.fullmatch(chosen.names, load):
        named = chosen.names.replace(r"\d{1,9}", "{seed}").replace("|", ", ")
        raise SimbenchError(f'load: "{load}" is no file, and no weights of {architecture}; valid: {named}')
    return chosen


def find_loader(load: str, architecture: str) -> Loader | None:
    """Return the first loader that reads these weights: by the suffix of a file, else by the architecture."""
    loaders = [each for _, each in LOADERS if each.reads(load, architecture)]
    by_suffix = [each for each in loaders if load.lower().endswith(each.suffixes)]
    installed = [each for each in by_suffix if each.function is not load_state_dict]
    if load.lower().endswith(SHARED_SUFFIXES) and installed:
        return installed[0]
    return next(iter(by_suffix or loaders), None)


def weights_in_key(load: str, architecture: str, parameters: Mapping[str, Any] | None = None) -> str:
    """Return what stands for weights in a model's key: the hash of their file, or what their name stands for.

    The identity of a third party's loader is hashed with them. A hash, as a bundle has it, is returned as it is.

    Args:
        load: what a suite names.
        architecture: the name of the architecture.
        parameters: the parameters of the architecture, without which a name is not resolved.
    """
    path = from_home(load)
    weights = file_digest(path) if is_file(path) else load
    chosen = find_loader(load, architecture)
    if chosen is not None and chosen.resolve is not None and parameters is not None:
        by_name = has_published_weights(load, architecture)
        weights = chosen.resolve(load, parameters) if by_name else weights
    if chosen is None or chosen.version == OF_NO_KEY or DIGEST.fullmatch(load):
        return weights
    return hashlib.sha256(f"{chosen.identity} {weights}".encode()).hexdigest()


def has_published_weights(load: str, architecture: str) -> bool:
    """Tell whether `load` is a name of weights that anybody can obtain, rather than a file or its hash."""
    chosen = find_loader(load, architecture)
    from_file = DIGEST.fullmatch(load) is not None or is_file(from_home(load))
    return chosen is not None and not from_file and not load.lower().endswith(chosen.suffixes)


@loader("state_dict", suffixes=FILE_SUFFIXES, version=OF_NO_KEY)
def load_state_dict(
    load: str,
    architecture: Architecture,
    parameters: Mapping[str, Any],
    input_shape: tuple[int, ...],
    classes: int,
    *,
    key: str | None = None,
    strip_prefix: str | None = None,
) -> nn.Module:
    """Load a state dict from a `.safetensors`, `.pt`, `.pth`, `.ckpt` or `.bin` file."""
    options = {"key": key, "strip_prefix": strip_prefix}
    return with_weights(read_file(load), load, architecture, parameters, input_shape, classes, **options)


def _resolve_published(load: str, parameters: Mapping[str, Any]) -> str:
    from simbench.models.architectures.torchvision_models import resolved

    return resolved(load, parameters)


@loader("torchvision", architectures={"torchvision"}, version=OF_NO_KEY, resolve=_resolve_published)
def load_published(
    load: str,
    architecture: Architecture,
    parameters: Mapping[str, Any],
    input_shape: tuple[int, ...],
    classes: int,
) -> Loaded:
    """Load the weights that torchvision publishes, by their name (`DEFAULT`, `IMAGENET1K_V1`), and their transform."""
    from simbench.models.architectures.torchvision_models import transform_of, with_published_weights

    checked = architecture.checked(parameters)
    return Loaded(with_published_weights(checked, load, input_shape), transform_of(checked, load))


def with_weights(
    weights: Mapping[str, Any],
    load: str,
    architecture: Architecture,
    parameters: Mapping[str, Any],
    input_shape: tuple[int, ...],
    classes: int,
    *,
    key: str | None = None,
    strip_prefix: str | None = None,
) -> nn.Module:
    """Build the network and put a state dict into it, out of the checkpoint in which it may be.

    Args:
        weights: the state dict, or a dictionary that holds it.
        load: what a suite names, for messages.
        architecture: the architecture.
        parameters: its parameters.
        input_shape: shape of one input.
        classes: outputs of the classifier, as far as the data tell; the weights may have others.
        key: where the state dict is, if it is not to be looked for.
        strip_prefix: what the names of the weights begin with; those that begin otherwise are left out.

    Raises:
        SimbenchError: something does not fit.
    """
    named = (load, architecture.name)
    with torch.random.fork_rng(devices=[]):
        network = architecture.build(input_shape, classes or 2, **parameters)
        state = weights_for(network, weights, *named, key, strip_prefix)
        own = network.state_dict()
        if classes == 0 or any(state[name].shape != own[name].shape for name in state.keys() & own.keys()):
            outputs = _outputs(state, architecture, parameters, input_shape)
            network = network if outputs is None else architecture.build(input_shape, outputs, **parameters)
    fit_into(network, state, *named)
    return network


def _outputs(
    state: Mapping[str, Any], architecture: Architecture, parameters: Mapping[str, Any], input_shape: tuple[int, ...]
) -> int | None:
    """Return the number of outputs that weights are of: the size that differs between networks of two and of three.

    The data may have fewer labels than the weights were trained on, or none. None where no size differs.
    """
    try:
        with torch.device("meta"):
            two, three = (architecture.build(input_shape, classes, **parameters).state_dict() for classes in (2, 3))
    except Exception:  # somebody else's network may raise anything; then it is built as the data say
        return None
    for name, tensor in two.items():
        for axis, (size, other) in enumerate(zip(tensor.shape, three[name].shape, strict=False)):
            if size != other and name in state and state[name].ndim == tensor.ndim:
                return int(state[name].shape[axis]) - int(size - 2)
    return None
