"""Check the names in a suite against the registries and against each other.

These checks read the raw document, so that one mistake hides no other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from simbench.bounds import MOST_PLUGINS
from simbench.errors import SimbenchError, UnknownNameError
from simbench.parameters import ParameterError
from simbench.registry import ARCHITECTURES, DATASETS, METRICS, TEST_KINDS, TRANSFORMS, Registry, import_reference
from simbench.suite.schema import ALL, DEFAULT, EXCEPT, FAMILY, Component
from simbench.suite.yaml_nodes import Location, SuiteDocument, SuiteProblem

# Key of a group that has no network.
ACTIVATIONS = "activations"


def import_plugins(document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Import the modules that `plugins:` lists; one that cannot be imported is a problem."""
    # A longer list is a problem of its own.
    for index, reference in enumerate(_strings(document.at(("plugins",)))[:MOST_PLUGINS]):
        if reference is not None:
            yield from _import_problems(reference, ("plugins", index), document)


def name_problems(document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Find unknown names and invalid parameters."""
    yield from _component(DATASETS, ("probe", "dataset"), document)
    models = _models(document)
    for name in models:
        yield from _component(ARCHITECTURES, ("models", name, "architecture"), document)
        yield from _component(DATASETS, ("models", name, "train", "dataset"), document)
        yield from _missing_data(name, document)
        yield from _layer_problems(name, document)
        yield from _layout_problems(name, document)
        yield from _teacher_problems(name, models, document)
    yield from _metric_problems(document)
    yield from _test_problems(document)


def dataset_places(document: SuiteDocument) -> Iterator[Location]:
    """Yield the places where a suite may name a dataset."""
    yield ("probe", "dataset")
    for name in _models(document):
        yield ("models", name, "train", "dataset")


def metric_places(document: SuiteDocument) -> Iterator[Location]:
    """Yield the places where a suite names a metric: each entry of the list, or the single name in its place."""
    declared = document.at(("metrics",))
    if isinstance(declared, list):
        yield from (("metrics", index) for index in range(len(declared)))
    elif declared is not None:
        yield ("metrics",)


def component_at(location: Location, document: SuiteDocument) -> Component | None:
    """Return the component declared at a place; None if there is none that can be read."""
    raw = document.at(location)
    if isinstance(raw, str):
        return Component(name=raw)
    if isinstance(raw, dict) and isinstance(raw.get("name"), str):
        return Component(**raw)
    return None


def is_location(name: str) -> bool:
    """Tell whether a reference is the location of a metric, in a file or a module, rather than a registered name.

    >>> [is_location(name) for name in ("cka", "mine.py", "mine.py:cka2", "lab.metrics:cka2")]
    [False, True, True, True]
    """
    return ":" in name or "." in name


def is_group(name: str) -> bool:
    """Tell whether a name in a list of metrics stands for several: `all`, `default`, `family:CKA`.

    >>> [is_group(name) for name in ("all", "family:CKA", "cka")]
    [True, True, False]
    """
    return name in (ALL, DEFAULT) or name.startswith(FAMILY)


def names_in_group(name: str) -> tuple[str, ...]:
    """Return the names of the registered metrics for which such a name stands; raise `UnknownNameError` for none."""
    if not name.startswith(FAMILY):
        return tuple(each for each, metric in METRICS if name == ALL or metric.default)
    wanted = name.removeprefix(FAMILY).strip()
    families = dict.fromkeys(metric.family for _, metric in METRICS)
    if wanted.casefold() not in map(str.casefold, families):
        raise UnknownNameError("family of metrics", wanted, families)
    return tuple(each for each, metric in METRICS if metric.family.casefold() == wanted.casefold())


def _models(document: SuiteDocument) -> tuple[str, ...]:
    models = document.at(("models",))
    return tuple(models) if isinstance(models, dict) else ()


def _strings(raw: Any) -> list[str | None]:
    """Return a list of names, with None for an entry of another type (reported elsewhere)."""
    return [item if isinstance(item, str) else None for item in raw] if isinstance(raw, list) else []


def _import_problems(reference: str, location: Location, document: SuiteDocument) -> Iterator[SuiteProblem]:
    try:
        import_reference(reference)
    except SimbenchError as error:
        yield SuiteProblem.of(document.position(location), error)


def _component(registry: Registry[Any], location: Location, document: SuiteDocument) -> Iterator[SuiteProblem]:
    component = component_at(location, document)
    if component is None:
        return
    yield from _parameter_problems(registry, component, location, document)


def _parameter_problems(
    registry: Registry[Any], component: Component, location: Location, document: SuiteDocument
) -> Iterator[SuiteProblem]:
    try:
        _check_parameters(registry.get(component.name), component.parameters)
    except UnknownNameError as error:
        named = (*location, "name") if (*location, "name") in document.values else location
        yield SuiteProblem.of(document.position(named), error)
    except ParameterError as error:
        for parameter, message in error.problems.items():
            place = document.position((*location, parameter), of_key=True)
            yield SuiteProblem(place, f"{registry.kind} {_shown(component.name)}: {message}")
    except SimbenchError as error:  # a place in code that cannot be imported
        yield SuiteProblem.of(document.position(location), error)


def _shown(name: str) -> str:
    """Return a name, that of a place in a file without its folders."""
    return name.rpartition(os.sep)[2]


def _check_parameters(component: Any, given: Mapping[str, Any]) -> None:
    """Raise `ParameterError` if parameters are invalid; a metric knows best, since it also takes those of wrappers."""
    if hasattr(component, "with_parameters"):
        component.with_parameters(given)
    else:
        component.checked(given)


def _metric_problems(document: SuiteDocument) -> Iterator[SuiteProblem]:
    for location in metric_places(document):
        choice = component_at(location, document)
        if choice is None:
            continue
        if is_group(choice.name):
            yield from _group_problems(choice, location, document)
        elif is_location(choice.name) and choice.name not in METRICS:
            yield from _import_problems(choice.name, location, document)
        else:
            yield from _component(METRICS, location, document)


def _network_at(name: str, document: SuiteDocument) -> Component | None:
    """Return the architecture of a group; None if it is unknown, or the group is given as activations or in part."""
    component = component_at(("models", name, "architecture"), document)
    if component is None or component.name not in ARCHITECTURES or ("models", name) in document.incomplete:
        return None
    return component if document.at(("models", name, ACTIVATIONS)) is None else None


def _group_problems(group: Component, location: Location, document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Find an unknown family, and unknown names among those that are left out of a group of metrics."""
    try:
        names = names_in_group(group.name)
    except UnknownNameError as error:
        named = (*location, "name") if (*location, "name") in document.values else location
        yield SuiteProblem.of(document.position(named), error)
        return
    for parameter in group.parameters:
        at = (*location, parameter)
        if parameter == EXCEPT:
            yield from _excluded_problems(group.parameters[EXCEPT], at, document)
        else:
            for name in names[:1]:
                checked = Component(name=name, **{parameter: group.parameters[parameter]})
                yield from _parameter_problems(METRICS, checked, location, document)


def _excluded_problems(excluded: Any, location: Location, document: SuiteDocument) -> Iterator[SuiteProblem]:
    if not isinstance(excluded, list) or None in _strings(excluded):
        yield SuiteProblem(document.position(location), f"{EXCEPT}: a list of names of metrics, or of families")
        return
    for index, name in enumerate(excluded):
        try:
            names_in_group(name) if is_group(name) else METRICS.get(name)
        except UnknownNameError as error:
            yield SuiteProblem.of(document.position((*location, index)), error)


def _architecture_layers(name: str, document: SuiteDocument) -> tuple[tuple[str, ...] | None, str | None]:
    """Return the layers that a model group's architecture declares and the one that its head reads; None if undeclared.

    Both are None if the architecture is itself invalid, or only a part of it is known.
    """
    component = _network_at(name, document)
    if component is None:
        return None, None
    architecture = ARCHITECTURES.get(component.name)
    try:
        return architecture.layers(**component.parameters), architecture.embedding_layer(**component.parameters)
    except ParameterError:
        return None, None


def _layer_problems(name: str, document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Find layers that an architecture does not have, and a missing list of layers where only the suite can give it."""
    component = _network_at(name, document)
    if component is None:
        return
    (layers, _), listed = _architecture_layers(name, document), document.at(("models", name, "layers"))
    architecture = ARCHITECTURES.get(component.name)
    if listed is None and architecture.layer_names is None:
        text = f'models.{name}: architecture "{architecture.name}" needs `layers:`, a list of its layers'
        named = f" (`simbench layers {architecture.name}` lists them)" if ARCHITECTURES.locates(component.name) else ""
        yield SuiteProblem(document.position(("models", name), of_key=True), text + named)
    for index, layer in enumerate(() if architecture.any_module else _strings(listed)):
        # a pattern is left where it stands for nothing, which is reported with the patterns
        if layers is not None and layer is not None and layer not in layers and "*" not in layer:
            error = UnknownNameError(f"layer of {component.name}", layer, layers)
            yield SuiteProblem.of(document.position(("models", name, "layers", index)), error)


def _layout_problems(name: str, document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Find layers whose layout is declared and that a group does not have."""
    declared, valid = document.at(("models", name, "layout")), _layers_of(name, document)
    if not isinstance(declared, dict) or valid is None:
        return
    for layer in declared:
        if layer not in valid:
            error = UnknownNameError(f"layer of {name}", str(layer), valid)
            yield SuiteProblem.of(document.position(("models", name, "layout", layer), of_key=True), error)


def _missing_data(name: str, document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Find a network without a dataset to read."""
    group, probe = document.at(("models", name)), document.at(("probe",))
    whole = isinstance(group, dict) and ("probe",) not in document.incomplete
    reads = whole and "architecture" in group and ACTIVATIONS not in group
    if reads and (probe is None or (isinstance(probe, dict) and probe.get("dataset") is None)):
        place = document.position(("probe",) if probe is not None else ("models", name), of_key=True)
        yield SuiteProblem(place, f'key "dataset" is missing in probe: models.{name} reads its inputs')


def _teacher_problems(name: str, models: tuple[str, ...], document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Find a teacher that is no group of the suite, or that has a teacher itself."""
    place: Location = ("models", name, "train", "distil", "teacher")
    teacher = document.at(place)
    if not isinstance(teacher, str):
        return
    if document.at(("models", teacher)) is None and teacher not in models:
        yield SuiteProblem.of(document.position(place), UnknownNameError("model", teacher, models))
    elif document.at(("models", teacher, ACTIVATIONS)) is not None:
        text = f'models.{name}: the teacher "{teacher}" is given as activations, without logits'
        yield SuiteProblem(document.position(place), text)
    elif document.at(("models", teacher, "train", "distil")) is not None:
        yield SuiteProblem(document.position(place), f'models.{name}: the teacher "{teacher}" has a teacher itself')


def _test_problems(document: SuiteDocument) -> Iterator[SuiteProblem]:
    seen: dict[str, int] = {}
    tests = document.at(("tests",))
    models = _models(document)
    layers_of = cache(lambda name: _layers_of(name, document))
    for index, raw in enumerate(tests if isinstance(tests, list) else []):
        if not isinstance(raw, dict):
            continue
        at: Location = ("tests", index)
        test_id = raw.get("id")
        if isinstance(test_id, str):
            if test_id in seen:
                text = f'id "{test_id}" is also that of tests[{seen[test_id]}]'
                yield SuiteProblem(document.position((*at, "id")), text)
            seen.setdefault(test_id, index)
        yield from _needs_models(raw, at, document)
        yield from _unknown("model", raw.get("models"), (*at, "models"), models, document)
        for place in range(len(raw["transforms"]) if isinstance(raw.get("transforms"), list) else 0):
            yield from _component(TRANSFORMS, (*at, "transforms", place), document)
        yield from _unknown("metric", raw.get("against"), (*at, "against"), METRICS.names(), document)
        for place, name in enumerate(_strings(raw.get("against"))):
            yield from _no_distance(name, (*at, "against", place), document)
        yield from _bound_problems(raw.get("bounds"), (*at, "bounds"), document)
        for name in _strings(raw.get("models")):
            layers = layers_of(name) if name is not None else None
            if layers is not None:
                yield from _unknown(f"layer of {name}", raw.get("layers"), (*at, "layers"), layers, document)
                if isinstance(raw.get("layer"), str) and raw["layer"] not in layers:
                    error = UnknownNameError(f"layer of {name}", raw["layer"], layers)
                    yield SuiteProblem.of(document.position((*at, "layer")), error)


def _bound_problems(bounds: Any, at: Location, document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Find unknown metrics among those that are bounded and those that bound them."""
    for name in bounds if isinstance(bounds, dict) else ():
        if name not in METRICS:
            error = UnknownNameError("metric", str(name), METRICS.names())
            yield SuiteProblem.of(document.position((*at, name), of_key=True), error)
        yield from _component(METRICS, (*at, name, "by"), document)
        bounding = component_at((*at, name, "by"), document)
        yield from _no_distance(bounding.name if bounding else None, (*at, name, "by"), document)


def _no_distance(name: str | None, at: Location, document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Find a similarity where a distance is needed: a value that grows with the difference between two models."""
    if name is not None and name in METRICS and METRICS.get(name).higher_is_more_similar:
        yield SuiteProblem(document.position(at), f'metric "{name}" is a similarity; a distance is needed here')


def _needs_models(raw: dict[str, Any], at: Location, document: SuiteDocument) -> Iterator[SuiteProblem]:
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in TEST_KINDS:
        return
    if raw.get("models", []) == [] and not TEST_KINDS.get(kind).generates_its_models:
        yield SuiteProblem(
            document.position(at), f'test "{raw.get("id", "")}" names no models; a test of kind {kind} needs some'
        )


def _layers_of(name: str, document: SuiteDocument) -> tuple[str, ...] | None:
    """Return the layers of a model group that tests may name: those listed, else the architecture's; and the head's.

    None if the layers are not known.
    """
    listed = document.at(("models", name, "layers"))
    names, embedding = _architecture_layers(name, document)
    layers = names if listed is None else _strings(listed)
    return None if layers is None else tuple(layer for layer in (*layers, embedding) if layer is not None)


def _unknown(
    kind: str, names: Any, location: Location, valid: tuple[str, ...], document: SuiteDocument
) -> Iterator[SuiteProblem]:
    given, names_there = _strings(names), {*valid, None}
    if names_there.issuperset(given):
        return
    for index, name in enumerate(given):
        if name is not None and name not in names_there:
            yield SuiteProblem.of(document.position((*location, index)), UnknownNameError(kind, name, valid))
