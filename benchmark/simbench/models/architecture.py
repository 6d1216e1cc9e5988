"""Architectures: registered functions that build networks, and the names of their layers.

Importing this module imports no torch: suites are checked and planned from the names alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from simbench.errors import SimbenchError, UnknownNameError, described
from simbench.lazy import lazy_import
from simbench.models.unwrapping import unwrapped
from simbench.origins import origin_of
from simbench.registry import ARCHITECTURES, Registered

if TYPE_CHECKING:
    import torch
    from torch import nn

    from simbench.data.items import Preprocess
    from simbench.representations.layouts import DeclaredLayout
else:
    torch = lazy_import("torch")

# Part of every trained model's key: raise it when `training.train` gives other weights.
TRAINER_VERSION = 1


def missing_package(architecture: str, package: str) -> SimbenchError:
    """Return the error that the package of an architecture is not installed, with what installs it."""
    return SimbenchError(
        f'architecture {architecture} needs the package {package}: pip install "simbench-leaderboard[{architecture}]"'
    )


@dataclass(frozen=True)
class Architecture(Registered):
    """A registered architecture: what builds the network and what its layers are called."""

    layer_names: Callable[..., Sequence[str] | None] | None
    embedding: str | Callable[..., str | None] | None
    positions: DeclaredLayout | Callable[..., DeclaredLayout | None] | None
    files: frozenset[str] = frozenset()
    in_keys: Callable[..., Mapping[str, Any]] | None = None
    preprocess: Callable[..., Preprocess | None] | None = None
    package: str | None = None
    any_module: bool = False

    def only_layers(self, **parameters: Any) -> tuple[str, ...] | None:
        """Return the layers beside which a suite may list no others; None where it may list any module."""
        return None if self.any_module else self.layers(**parameters)

    def check_installed(self) -> None:
        """Raise `SimbenchError` if the package that builds the networks is not installed."""
        if self.package is not None and importlib.util.find_spec(self.package) is None:
            raise missing_package(self.name, self.package)

    def preprocess_of(self, network: nn.Module, parameters: Mapping[str, Any]) -> Preprocess | None:
        """Return what a network whose weights are loaded wants done to items before it reads them, if anything."""
        return None if self.preprocess is None else self.preprocess(network, **self.checked(parameters))

    def content(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return what stands in keys for the parameters: all of them, or what the architecture makes of them.

        Raises:
            SimbenchError: one of them names what is not there.
        """
        checked = self.checked(parameters)
        return checked if self.in_keys is None else dict(self.in_keys(**checked))

    def build(self, input_shape: tuple[int, ...], classes: int, /, **parameters: Any) -> nn.Module:
        """Build a network for inputs of this shape (without the batch axis), initialised from torch's global seed."""
        network: nn.Module = self.function(input_shape, classes, **self.checked(parameters))
        return unwrapped(network)

    def reads(self, input_shape: tuple[int, ...], other_shape: tuple[int, ...], /, **parameters: Any) -> bool:
        """Whether a network for inputs of one shape reads those of another: tried without weights or data.

        True as well where that cannot be told, as the network does not even read its own inputs so.
        """
        if input_shape == other_shape:
            return True
        with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
            try:
                network = self.build(input_shape, 2, **parameters).eval()
                network(torch.empty(2, *input_shape))
            except Exception:  # somebody else's network may raise anything; a run will say what
                return True
            try:
                network(torch.empty(2, *other_shape))
            except Exception:  # whatever it raises, its own inputs did not
                return False
        return True

    def outline(self, input_shape: tuple[int, ...], labels: int = 2, /, **parameters: Any) -> nn.Module | None:
        """Return the network without weights, with a head of so many labels; None where it cannot be built so."""
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            try:
                return self.build(input_shape, labels, **parameters)
            except Exception:  # somebody else's network may raise anything; a run will say what
                return None

    def unknown_name(self, input_shape: tuple[int, ...], /, **parameters: Any) -> str | None:
        """Return in one line which name among the parameters means nothing to the architecture; None if all do."""
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            try:
                self.build(input_shape, 2, **parameters)
            except UnknownNameError as error:
                return str(error)
            except Exception:  # somebody else's network may raise anything; a run will say what
                return None
        return None

    def needs_shape(self, **parameters: Any) -> bool:
        """Tell whether the shape of the inputs has to be known for a network to be built."""
        return True

    def module_names(self, input_shape: tuple[int, ...], /, **parameters: Any) -> tuple[str, ...]:
        """Return the names of the modules of a network, built without weights or, where that cannot be, with them.

        Raises:
            SimbenchError: it cannot be built.
        """
        network = self.outline(input_shape, **parameters)
        if network is None:
            try:
                with torch.random.fork_rng(devices=[]):
                    network = self.build(input_shape, 2, **parameters)
            except Exception as error:  # somebody else's network may raise anything
                reason = str(error) if isinstance(error, SimbenchError) else described(error)
                raise SimbenchError(f"{self.name} cannot be built, to see its layers: {reason}") from error
        return tuple(name for name, _ in network.named_modules() if name)

    def layers(self, **parameters: Any) -> tuple[str, ...] | None:
        """Return the layers that are read unless a suite lists others, in order; None when unknown."""
        if self.layer_names is None:
            return None
        names = self.layer_names(**self.checked(parameters))
        return None if names is None else tuple(names)

    def embedding_layer(self, **parameters: Any) -> str | None:
        """Return the layer whose output the linear head reads; None when unknown."""
        checked = self.checked(parameters)
        return self.embedding(**checked) if callable(self.embedding) else self.embedding

    def layout(self, **parameters: Any) -> DeclaredLayout | None:
        """Return the layout of activations with positions of which nothing else tells it; None if there is none."""
        return self.positions(**self.checked(parameters)) if callable(self.positions) else self.positions


F = TypeVar("F", bound="Callable[..., nn.Module]")


def architecture(
    name: str,
    *,
    version: int | None = None,
    layers: Callable[..., Sequence[str] | None] | None = None,
    embedding_layer: str | Callable[..., str | None] | None = None,
    layout: DeclaredLayout | Callable[..., DeclaredLayout | None] | None = None,
    files: Collection[str] = (),
    in_keys: Callable[..., Mapping[str, Any]] | None = None,
    preprocess: Callable[..., Preprocess | None] | None = None,
    package: str | None = None,
    any_module: bool = False,
) -> Callable[[F], F]:
    """Register a function `(input_shape, classes, *, parameters) -> nn.Module`; return it unchanged.

    Args:
        name: how suites call it.
        version: raise it when the network changes; without one, the hash of its code stands for it.
        layers: given all parameters by keyword, the ordered names of the layers (dotted, as in `named_modules()`);
            without it, or where it returns None, every suite has to list them.
        embedding_layer: the layer whose output the linear head reads, or a function of the parameters that says so.
        layout: how activations with positions are laid out (or a function of the parameters that says so), for layers
            of which it cannot be measured.
        files: names of the parameters that are paths of files or folders.
        in_keys: given all parameters by keyword, what stands in keys for them, such as the hash of a file for its path.
        preprocess: given a network with loaded weights and all parameters by keyword, what it wants done to items.
        package: the package that builds the networks, of an extra of the same name.
        any_module: whether a suite may list other modules than `layers` names.

    >>> import simbench
    >>> from torch import nn
    >>> @simbench.architecture("two_layers", layers=lambda width: ("hidden", "head"), embedding_layer="hidden")
    ... def two_layers(input_shape, classes, *, width: int = 8):
    ...     network = nn.Sequential()
    ...     network.add_module("hidden", nn.Linear(input_shape[0], width))
    ...     network.add_module("head", nn.Linear(width, classes))
    ...     return network
    >>> two_layers((4,), 3, width=5).hidden.out_features
    5
    """

    def decorate(function: F) -> F:
        declared = Architecture(
            name,
            function,
            version,
            origin_of(function),
            layers,
            embedding_layer,
            layout,
            frozenset(files),
            in_keys,
            preprocess,
            package,
            any_module,
        )
        ARCHITECTURES.register(name, declared, declared.origin)
        return function

    return decorate
