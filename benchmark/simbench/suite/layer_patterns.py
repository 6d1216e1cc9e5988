"""Patterns among the layers that a suite lists: `blocks.*` stands for all modules of such names, in their order.

A star stands for any part of one name between two dots. Like `names.py`, this reads the raw document, so that all that
follows sees names alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from simbench.bounds import MOST_LAYERS
from simbench.errors import SimbenchError, UnknownNameError
from simbench.parameters import ParameterError
from simbench.registry import ARCHITECTURES, DATASETS
from simbench.suite.names import component_at
from simbench.suite.schema import Component
from simbench.suite.yaml_nodes import Location, SuiteDocument, SuiteProblem

if TYPE_CHECKING:
    from simbench.models.architecture import Architecture

STAR = "*"
# Most comparisons of a name with a pattern in one suite: some seconds' worth.
MOST_MATCHED = 2_000_000
# Most different networks of one suite that are built to see their modules.
MOST_BUILT = 200


def expand_layers(document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Put the names of layers in place of patterns in the document; yield a problem for each that stands for none."""
    models = document.at(("models",))
    left, built = MOST_MATCHED, Built()
    for name in models if isinstance(models, dict) else ():
        place: Location = ("models", name, "layers")
        listed = document.at(place)
        if not isinstance(listed, list) or not any(_is_pattern(layer) for layer in listed):
            continue
        try:
            names = _module_names(name, document, built)
        except SimbenchError as error:
            yield SuiteProblem.of(document.position(place), error)
            continue
        if names is None:
            continue  # what is wrong with the architecture is reported elsewhere
        left -= len(names) * len(listed)
        if left < 0:
            yield SuiteProblem(document.position(place), "too many layers are named by patterns: list them")
            return
        yield from _expanded(place, listed, names, document)


class Built:
    """Networks that were built, each once."""

    def __init__(self) -> None:
        """Start without any."""
        self._names: dict[str, tuple[str, ...]] = {}

    def names(self, architecture: Architecture, component: Component, shape: tuple[int, ...]) -> tuple[str, ...]:
        """Return the names of the modules of a network; raise `SimbenchError` if it cannot be built."""
        asked = f"{component!r} {shape}"
        if asked not in self._names:
            if len(self._names) == MOST_BUILT:
                raise SimbenchError(f"patterns among the layers of more than {MOST_BUILT} networks: list the names")
            self._names[asked] = architecture.module_names(shape, **component.parameters)
        return self._names[asked]


def matching(pattern: str, names: Sequence[str]) -> list[str]:
    """Return the layers for which a pattern stands, in the order of the names; selectors behind it are kept.

    >>> matching("blocks.*.attn[0]", ["blocks", "blocks.0", "blocks.0.attn", "blocks.1.attn", "blocks.1.attn.proj"])
    ['blocks.0.attn[0]', 'blocks.1.attn[0]']
    """
    dotted, bracket, rest = pattern.partition("[")
    parts = dotted.split(".")
    return [
        name + bracket + rest
        for name in names
        if name.count(".") == len(parts) - 1 and all(map(fnmatchcase, name.split("."), parts))
    ]


def _is_pattern(layer: Any) -> bool:
    return isinstance(layer, str) and STAR in layer.partition("[")[0]


def _hint(pattern: str, names: Sequence[str]) -> str:
    """Return how an element of outputs is selected behind a pattern, where a name may have been meant as one."""
    dotted, _, element = pattern.rpartition(".")
    if element.isidentifier() and _is_pattern(dotted) and matching(dotted, names):
        return f'; "{dotted}[{element}]" is an element of what modules put out'
    return ""


def _expanded(
    place: Location, listed: Sequence[Any], names: Sequence[str], document: SuiteDocument
) -> Iterator[SuiteProblem]:
    layers: dict[Any, Location] = {}
    for index, layer in enumerate(listed):
        at = (*place, index)
        meant = matching(layer, names) if _is_pattern(layer) else [layer]
        if not meant:
            yield SuiteProblem(document.position(at), f"{UnknownNameError('layer', layer, names)}{_hint(layer, names)}")
        for each in meant or [layer]:
            if isinstance(each, str):
                layers.setdefault(each, at)
    if len(layers) > MOST_LAYERS:
        yield SuiteProblem(document.position(place), f"patterns stand for {len(layers)} layers; at most {MOST_LAYERS}")
        return
    positions = [document.position(at) for at in layers.values()]
    listed[:] = list(layers)  # type: ignore[index]
    document.values.update({(*place, index): position for index, position in enumerate(positions)})


def _module_names(group: str, document: SuiteDocument, built: Built) -> tuple[str, ...] | None:
    """Return the names of the modules of a group's network, or those that its architecture declares; None if invalid.

    Raises:
        SimbenchError: the network cannot be built beforehand.
    """
    component = component_at(("models", group, "architecture"), document)
    if component is None or component.name not in ARCHITECTURES or ("models", group) in document.incomplete:
        return None
    architecture = ARCHITECTURES.get(component.name)
    try:
        declared = architecture.only_layers(**component.parameters)
    except ParameterError:
        return None
    if declared is not None:
        return declared
    shape = _input_shape(group, document)
    if shape is None and not architecture.needs_shape(**component.parameters):
        shape = ()
    if shape is None:
        raise SimbenchError(
            f"models.{group}: patterns need the shape of the inputs, which is known once the data are loaded: list the "
            "names of the layers"
        )
    return built.names(architecture, component, shape)


def _input_shape(group: str, document: SuiteDocument) -> tuple[int, ...] | None:
    trained: Location = ("models", group, "train", "dataset")
    component: Component | None = component_at(trained, document) or component_at(("probe", "dataset"), document)
    if component is None or component.name not in DATASETS:
        return None
    try:
        outline = DATASETS.get(component.name).outline(component.parameters)
    except SimbenchError:
        return None
    return None if outline is None else outline.input_shape
