"""Check that the models of a suite can be obtained and read, as far as that is cheap: files of weights, and layers.

No weights are read and no data are loaded: names are held against a network without weights, where one can be built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from simbench.errors import SimbenchError, UnknownNameError
from simbench.models.loading import check_source
from simbench.registry import ARCHITECTURES, DATASETS
from simbench.suite.load import layers_of_model

if TYPE_CHECKING:
    from torch import nn

    from simbench.suite.schema import ModelSpec, Suite


def source_problems(suite: Suite) -> dict[str, str]:
    """Return what is wrong with the weights that groups load, in one line by group."""
    problems = {}
    for name, spec in suite.models.items():
        if spec.load is None:
            continue
        try:
            check_source(spec.load, ARCHITECTURES.get(spec.architecture.name), _network(suite, spec))
        except SimbenchError as error:
            problems[name] = str(error)
    return problems


def copy_problems(suite: Suite) -> dict[str, str]:
    """Return by group, in one line, that several seeds load the same weights."""
    return {
        name: (
            f"`load` gives all {len(spec.seeds)} seeds the same weights, and the members of a group are different "
            "networks: give one seed, and each file a group of its own"
        )
        for name, spec in suite.models.items()
        if spec.load is not None and len(spec.seeds) > 1
    }


def layer_problems(suite: Suite) -> Iterator[str]:
    """Yield a line for every layer that a group lists and its network does not have.

    Groups whose architecture names its layers are checked when the suite is loaded.
    """
    for name, spec in suite.models.items():
        architecture = ARCHITECTURES.get(spec.architecture.name)
        if spec.layers is None or architecture.layers(**spec.architecture.parameters) is not None:
            continue
        network = _network(suite, spec)
        if network is not None:
            modules = [module for module, _ in network.named_modules() if module]
            for layer in layers_of_model(suite, name) or ():
                if layer not in modules:
                    error = UnknownNameError(f"layer of {spec.architecture.name}", layer, modules)
                    yield f"models.{name}.layers: {error}"


def all_problems(suite: Suite) -> list[str]:
    """Return a line for everything that keeps models from being obtained, or layers from being read."""
    return [*model_problems(suite, source_problems(suite)), *layer_problems(suite)]


def model_problems(suite: Suite, sources: Mapping[str, str]) -> list[str]:
    """Return a line for everything that keeps models from being obtained, given what `source_problems` returned."""
    return [
        *(f"models.{name}.load: {problem}" for name, problem in sources.items()),
        *(f"models.{name}.seeds: {problem}" for name, problem in copy_problems(suite).items()),
    ]


def _network(suite: Suite, spec: ModelSpec) -> nn.Module | None:
    """Return the network of a group without weights; None where the shape of its inputs is not known beforehand."""
    component = spec.train.dataset if spec.train is not None else suite.probe.dataset
    outline = DATASETS.get(component.name).outline(component.parameters)
    if outline is None:
        return None
    return ARCHITECTURES.get(spec.architecture.name).outline(outline.input_shape, **spec.architecture.parameters)
