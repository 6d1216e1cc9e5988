"""Check that the models of a suite can be obtained and read, as far as that is cheap: files of weights, and layers.

No weights are read and no data are loaded: names are held against a network without weights, where one can be built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from simbench.errors import SimbenchError
from simbench.files import from_home
from simbench.models.copies import first_copy
from simbench.models.loading import check_source
from simbench.models.trial import missing_layers, trial_problem
from simbench.registry import ARCHITECTURES, DATASETS
from simbench.representations.layouts import layouts_of, undecided
from simbench.suite.array_outlines import read_outlines, split_reference
from simbench.suite.placeholders import MEMBER, SEED

if TYPE_CHECKING:
    from torch import nn

    from simbench.references import ModelRef
    from simbench.suite.schema import ModelSpec, Suite

COPIES = "the members of a group are different networks: leave one of them out"


def source_problems(suite: Suite) -> dict[ModelRef, str]:
    """Return what is wrong with the weights that models load, in one line by model."""
    problems: dict[ModelRef, str] = {}
    for name, spec in suite.models.items():
        if spec.load is None:
            continue
        architecture, network, other = (
            ARCHITECTURES.get(spec.network.name),
            network_without_weights(suite, spec),
            network_without_weights(suite, spec, 3),
        )
        for model in spec.models(name):
            try:
                check_source(spec.weights(model), architecture, network, spec.load_options, other)
            except SimbenchError as error:
                problems[model] = str(error)
    return problems


def copy_problems(suite: Suite) -> dict[str, str]:
    """Return by group, in one line, that several of its models have the same weights."""
    problems = {name: _copies(name, spec) for name, spec in suite.models.items() if spec.train is None}
    return {name: problem for name, problem in problems.items() if problem is not None}


def _copies(name: str, spec: ModelSpec) -> str | None:
    """Return in one line which models of a group are the same; None if all are different."""
    models = spec.models(name)
    sources = {model: _source(model, spec) for model in models}
    key, what = ("load", "weights") if spec.activations is None else ("activations", "activations")
    if len(models) > 1 and isinstance(spec.load, str) and len(set(sources.values())) == 1:
        named, place = ("members", MEMBER) if spec.names else ("seeds", SEED)
        return (
            f"models.{name}.{named}: `{key}` gives all {len(models)} {named} the same weights, and the members of a "
            f"group are different networks: give each a file, by {place} in its name, or leave out all but one"
        )
    by_source: dict[tuple[str, ...], ModelRef] = {}
    for model, source in sources.items():
        same = by_source.setdefault(source, model)
        if same != model:
            return f"models.{name}: {same} and {model} both have the {what} of {source[0]}; {COPIES}"
    files = {
        model: list(dict.fromkeys(split_reference(part)[0] for part in source)) for model, source in sources.items()
    }
    arrays: dict[Path, set[str]] = {}
    for path, array in (split_reference(part) for source in sources.values() for part in source):
        if array is not None and path.suffix.lower() == ".npz":
            arrays.setdefault(path, set()).add(array)
    copies = first_copy(files, arrays)
    if copies is None:
        return None
    first, second = copies
    where = f"{sources[first][0]} and {sources[second][0]}"
    return f"models.{name}: {first} and {second} have the same {what} ({where}); {COPIES}"


def _source(model: ModelRef, spec: ModelSpec) -> tuple[str, ...]:
    """Return the files of a model."""
    if spec.activations is not None:
        return tuple(spec.arrays(model).values())
    return (str(from_home(spec.weights(model))),)


def layer_problems(suite: Suite) -> Iterator[str]:
    """Yield a line for every layer that a group lists and its network does not have.

    Groups whose architecture names its layers are checked when the suite is loaded.
    """
    for name, spec in suite.models.items():
        if spec.activations is not None:
            continue
        architecture, shape = ARCHITECTURES.get(spec.network.name), _input_shape(suite, spec)
        if spec.layers is None or shape is None or architecture.only_layers(**spec.network.parameters) is not None:
            continue
        network = network_without_weights(suite, spec)
        if network is not None:
            for problem in missing_layers(network, spec.layers, shape, f"layer of {architecture.name}"):
                yield f"models.{name}.layers: {problem}"


def layout_problems(suite: Suite) -> Iterator[str]:
    """Yield a line for every group of activations with a layer of which it cannot be told which axis holds features."""
    outlines = cache(read_outlines)
    for name, spec in suite.models.items():
        if spec.activations is None or suite.probe.spatial == "flatten":
            continue
        undecided_layers: dict[str, str] = {}
        for model in spec.models(name):
            for layer, reference in spec.arrays(model).items():
                if spec.declared_layout(layer) is None and layer not in undecided_layers:
                    path, array = split_reference(reference)
                    shape = outlines(path)[array].shape
                    if layouts_of([shape])[0] is None:
                        undecided_layers[layer] = undecided(layer, shape)
        if undecided_layers:
            more = f" (and so for {len(undecided_layers) - 1} more layers)" if len(undecided_layers) > 1 else ""
            yield f"models.{name}.layout: {next(iter(undecided_layers.values()))}{more}"


def network_problems(suite: Suite) -> Iterator[str]:
    """Yield a line for every group whose architecture is code of the user's own that raises something.

    Groups of which the shape of the inputs is not known beforehand are left to the run.
    """
    tried: dict[str, str | None] = {}
    for name, spec in suite.models.items():
        if spec.architecture is None or not ARCHITECTURES.locates(spec.architecture.name):
            continue
        shape = _input_shape(suite, spec)
        if shape is None:
            continue
        asked = f"{spec.architecture!r} {shape}"
        if asked not in tried:
            tried[asked] = trial_problem(ARCHITECTURES.get(spec.architecture.name), spec.architecture.parameters, shape)
        if tried[asked] is not None:
            yield f"models.{name}.architecture: {tried[asked]}"


def name_problems(suite: Suite) -> Iterator[str]:
    """Yield a line for every group that has no network as its architecture knows none of that name.

    Only of groups that load weights or list layers, for which a network is built beforehand anyway.
    """
    for name, spec in suite.models.items():
        if spec.architecture is None or (spec.load is None and spec.layers is None):
            continue
        architecture, shape = ARCHITECTURES.get(spec.architecture.name), _input_shape(suite, spec)
        if shape is not None or not architecture.needs_shape(**spec.architecture.parameters):
            problem = architecture.unknown_name(shape or (), **spec.architecture.parameters)
            if problem is not None:
                yield f"models.{name}.architecture: {problem}"


def all_problems(suite: Suite) -> list[str]:
    """Return a line for everything that keeps models from being obtained, or layers from being read."""
    networks = [*network_problems(suite), *name_problems(suite)]
    return [*networks, *model_problems(suite, source_problems(suite)), *layer_problems(suite), *layout_problems(suite)]


def model_problems(suite: Suite, sources: Mapping[ModelRef, str]) -> list[str]:
    """Return a line for everything that keeps models from being obtained, given what `source_problems` returned."""
    lines = (
        f"models.{model.group}.load{_member(model, suite.models[model.group])}: {problem}"
        for model, problem in sources.items()
    )
    return [*dict.fromkeys(lines), *copy_problems(suite).values()]


def _member(model: ModelRef, spec: ModelSpec) -> str:
    """Return the key of a model in `load`, where that is a mapping."""
    return f".{model.own_name}" if isinstance(spec.load, dict) else ""


def network_without_weights(suite: Suite, spec: ModelSpec, labels: int = 2) -> nn.Module | None:
    """Return the network of a group without weights; None where the shape of its inputs is needed and not known."""
    architecture, shape = ARCHITECTURES.get(spec.network.name), _input_shape(suite, spec)
    if shape is None and architecture.needs_shape(**spec.network.parameters):
        return None
    return architecture.outline(shape or (), labels, **spec.network.parameters)


def _input_shape(suite: Suite, spec: ModelSpec) -> tuple[int, ...] | None:
    """Return the shape of the inputs of a group, as far as it is known before the data are loaded."""
    component = spec.train.dataset if spec.train is not None else suite.probe.data
    outline = DATASETS.get(component.name).outline(component.parameters)
    return None if outline is None else outline.input_shape
