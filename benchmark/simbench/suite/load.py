"""Load a suite: every problem of the file at once, each as `file:line:column: what; nearest valid thing`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from simbench.errors import SimbenchError, SuiteError, UnknownNameError, suggestion
from simbench.parameters import ParameterError, checked_parameters
from simbench.registry import ARCHITECTURES, DATASETS, METRICS, TEST_KINDS, TRANSFORMS, Registry, import_reference
from simbench.suite.schema import DEFAULT, Component, Suite, TestSpec
from simbench.suite.yaml_nodes import Document, Location, merged, read_document


def bundled_suites() -> dict[str, Path]:
    """The suites that ship with simbench, by name: in a wheel beside the package, in a checkout in `suites/`."""
    packaged = Path(str(files("simbench"))) / "suites"
    folder = packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_suite(reference: str) -> Path:
    """The file of a suite given as a path or as the name of a bundled suite."""
    path = Path(reference)
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml") or os.sep in reference:
        raise SimbenchError(f"no such file: {reference}")
    bundled = bundled_suites()
    if reference not in bundled:
        raise UnknownNameError("suite", reference, bundled)
    return bundled[reference]


def load_suite(reference: str) -> Suite:
    """Read, merge with what it `extends`, and check a suite; raises `SuiteError` with all problems."""
    document = _extended(find_suite(reference), ())
    problems: list[str] = []
    data = dict(document.data)
    _import_plugins(document, problems)
    data["tests"] = list(_checked_tests(document, problems))
    # An unknown or bad test is reported once, by itself; a stand-in keeps the rest of the file checkable.
    if not data["tests"] and isinstance(document.data.get("tests"), list) and document.data["tests"]:
        data["tests"] = [None]
    if "tests" not in document.data:
        del data["tests"]
    suite: Suite | None = _validated(Suite, data, (), document, problems)
    if suite is not None:
        problems.extend(_component_problems(suite, document))
    if problems or suite is None:
        raise SuiteError(dict.fromkeys(problems))
    return suite


def _extended(path: Path, chain: Sequence[Path]) -> Document:
    """The document with everything it extends underneath it."""
    document = read_document(path)
    base = document.data.pop("extends", None)
    if base is None:
        return document
    where = document.position(("extends",))
    if not isinstance(base, str):
        raise SuiteError([f'{where}: "extends" takes the name or the path of one suite'])
    if path.resolve() in chain:
        raise SuiteError([f"{where}: this suite extends itself"])
    beside = path.parent / base
    try:
        found = beside if beside.is_file() else find_suite(base)
    except SimbenchError as error:
        raise SuiteError([f"{where}: {error}"]) from None
    return merged(_extended(found, [*chain, path.resolve()]), document)


def _validated(
    model: type[BaseModel], data: Any, location: Location, document: Document, problems: list[str]
) -> Any | None:
    """An instance of `model`, or None and its problems."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for problem in error.errors():
            problems.append(_describe(model, problem, location, document))
        return None


def _describe(model: type[BaseModel], problem: Any, location: Location, document: Document) -> str:
    """One line for one of pydantic's errors."""
    inner = tuple(part for part in problem["loc"] if not _is_union_branch(part))
    here = (*location, *inner)
    name = ".".join(str(part) for part in here) or "the suite"
    if problem["type"] == "extra_forbidden":
        tail = suggestion(str(here[-1]), _fields_at(model, inner[:-1]))
        return f'{document.position(here, of_key=True)}: unknown key "{here[-1]}"{_inside(here)}{tail}'
    if problem["type"] == "missing":
        return f'{document.position(here)}: key "{here[-1]}" is missing{_inside(here)}'
    message = problem["msg"].removeprefix("Value error, ")
    return f"{document.position(here)}: {name}: {message[0].lower()}{message[1:]}"


def _is_union_branch(part: str | int) -> bool:
    """Whether a part of pydantic's location names a branch of a union rather than a key."""
    return isinstance(part, str) and ("[" in part or part in ("Component", "literal", "int", "str"))


def _inside(location: Location) -> str:
    """Where a key stands, unless that is the top of the file."""
    return f" in {_path(location[:-1])}" if location[:-1] else ""


def _path(location: Location) -> str:
    """
    >>> _path(("tests", 1, "layers"))
    'tests[1].layers'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".")


def _fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that are valid at a place, for the suggestion."""
    current: Any = model
    for part in location:
        if isinstance(part, int) or not (isinstance(current, type) and issubclass(current, BaseModel)):
            continue
        field = current.model_fields.get(str(part))
        current = _model_in(field.annotation) if field else current
    fields = list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []
    return [*fields, "extends"] if current is Suite else fields


def _model_in(annotation: Any) -> Any:
    """The pydantic model inside `dict[str, Model]`, `list[Model]`, `Model | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in getattr(annotation, "__args__", ()) if (found := _model_in(inner))), None)


def _import_plugins(document: Document, problems: list[str]) -> None:
    """Import what `plugins:` lists; a suite that names a plugin cannot do without it."""
    plugins = document.data.get("plugins", [])
    for index, reference in enumerate(plugins if isinstance(plugins, list) else []):
        if not isinstance(reference, str):
            continue
        position = document.position(("plugins", index))
        beside = Path(position.file).parent / reference.rpartition(":")[0 if ":" in reference else 2]
        try:
            import_reference(str(beside) if beside.is_file() else reference)
        except SimbenchError as error:
            problems.append(f"{position}: {error}")


def _checked_tests(document: Document, problems: list[str]) -> Iterator[TestSpec]:
    """The tests, each validated by its own kind."""
    seen: dict[str, int] = {}
    declared = document.data.get("tests")
    for index, raw in enumerate(declared if isinstance(declared, list) else []):
        location: Location = ("tests", index)
        if not isinstance(raw, dict):
            problems.append(f"{document.position(location)}: tests[{index}]: a test is a mapping with `id` and `kind`")
            continue
        if not isinstance(raw.get("kind"), str):
            problems.append(f'{document.position(location)}: key "kind" is missing in tests[{index}]')
            continue
        try:
            kind = TEST_KINDS.get(raw["kind"])
        except UnknownNameError as error:
            problems.append(f"{document.position((*location, 'kind'))}: {error}")
            continue
        test = _validated(kind, raw, location, document, problems)
        if test is None:
            continue
        if test.id in seen:
            where = document.position((*location, "id"))
            problems.append(f'{where}: id "{test.id}" is also that of tests[{seen[test.id]}]')
        seen[test.id] = index
        yield test


def _component_problems(suite: Suite, document: Document) -> Iterator[str]:
    """Names and parameters that the registries do not know, and references between parts of the suite."""
    yield from _component(DATASETS, suite.probe.dataset, ("probe", "dataset"), document)
    for name, spec in suite.models.items():
        at: Location = ("models", name)
        yield from _component(ARCHITECTURES, spec.architecture, (*at, "architecture"), document)
        if spec.train is not None:
            where = (*at, "train", "dataset")
            yield from _component(DATASETS, spec.train.dataset, where, document)
        yield from _layer_problems(suite, name, document)
    for index, choice in enumerate(suite.metrics):
        if choice.name != DEFAULT and not _is_reference(choice.name):
            place: Location = ("metrics", index) if ("metrics", index) in document.values else ("metrics",)
            yield from _component(METRICS, choice, place, document)
    for index, test in enumerate(suite.tests):
        if isinstance(test, TestSpec):
            yield from _test_problems(test, ("tests", index), suite, document)


def _is_reference(name: str) -> bool:
    """Whether a metric is named by a file or a module rather than by its registered name."""
    return ":" in name or name.endswith(".py")


def _component(
    registry: Registry[Any],
    component: Component,
    location: Location,
    document: Document,
) -> Iterator[str]:
    try:
        checked_parameters(registry.get(component.name).function, component.parameters)
    except UnknownNameError as error:
        named = (*location, "name") if (*location, "name") in document.values else location
        yield f"{document.position(named)}: {error}"
    except ParameterError as error:
        for parameter, message in error.problems.items():
            place = document.position((*location, parameter), of_key=True)
            yield f"{place}: {registry.kind} {component.name}: {message}"


def _layer_problems(suite: Suite, name: str, document: Document) -> Iterator[str]:
    """Layers that an architecture does not have, and a missing list where only the suite can name them."""
    architecture_name, listed = suite.models[name].architecture.name, suite.models[name].layers
    if architecture_name not in ARCHITECTURES:
        return
    try:
        known = ARCHITECTURES.get(architecture_name).layers(**suite.models[name].architecture.parameters)
    except ParameterError:
        return
    if known is None and listed is None:
        place = document.position(("models", name), of_key=True)
        yield f'{place}: models.{name}: architecture "{architecture_name}" needs `layers:`, a list of its layers'
    for index, layer in enumerate(listed or ()):
        if known is not None and layer not in known:
            error = UnknownNameError(f"layer of {architecture_name}", layer, known)
            yield f"{document.position(('models', name, 'layers', index))}: {error}"


def _test_problems(test: TestSpec, location: Location, suite: Suite, document: Document) -> Iterator[str]:
    if not test.models and not test.constructs_its_models:
        yield f'{document.position(location)}: test "{test.id}" names no models; a {test.kind} test needs some'
    for index, name in enumerate(test.models):
        if name not in suite.models:
            yield f"{document.position((*location, 'models', index))}: {UnknownNameError('model', name, suite.models)}"
    names = getattr(test, "transforms", [])
    for index, name in enumerate(names):
        if name not in TRANSFORMS:
            error = UnknownNameError("transform", name, TRANSFORMS.names())
            yield f"{document.position((*location, 'transforms', index))}: {error}"
    layers = getattr(test, "layers", None)
    if isinstance(layers, list):
        for index, layer in enumerate(layers):
            for name in test.models:
                known = _known_layers(suite, name)
                if known is not None and layer not in known:
                    error = UnknownNameError(f"layer of {name}", layer, known)
                    yield f"{document.position((*location, 'layers', index))}: {error}"


def _known_layers(suite: Suite, name: str) -> tuple[str, ...] | None:
    """The layers of a model group, or None where the suite is wrong about the group itself (said elsewhere)."""
    try:
        return layers_of_model(suite, name) if name in suite.models else None
    except SimbenchError:
        return None


def layers_of_model(suite: Suite, name: str) -> tuple[str, ...] | None:
    """The ordered layers of a model group; None where they are only known once the network is built."""
    spec = suite.models[name]
    if spec.layers is not None:
        return tuple(spec.layers)
    architecture = ARCHITECTURES.get(spec.architecture.name)
    return architecture.layers(**spec.architecture.parameters)
