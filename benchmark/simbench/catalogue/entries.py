"""Entries of all components and bundled suites, which `list` and `describe` show."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from simbench.catalogue.kinds import ListedKind
from simbench.catalogue.metric_facts import metric_facts
from simbench.errors import SimbenchError, UnknownNameError
from simbench.origins import Origin
from simbench.parameters import declared_parameters, parameters_model
from simbench.registry import (
    ARCHITECTURES,
    DATASETS,
    GENERATORS,
    LOADERS,
    METRICS,
    REGISTRIES,
    REPARAMETRISATIONS,
    TEST_KINDS,
    TRANSFORMS,
    WRAPPERS,
    Registry,
    broken_plugins,
    load_installed_plugins,
)
from simbench.suite.registered_name import RegisteredName


@dataclass(frozen=True)
class Parameter:
    """Parameter of a component; `default` is None if it has to be given."""

    name: str
    type: str
    default: str | None


@dataclass(frozen=True)
class Entry:
    """Component or suite; `facts` are its declared properties, in the order in which they are shown."""

    kind: str
    name: str
    summary: str
    module: str
    file: str
    line: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    doc: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the entry as JSON types, with the facts beside its other fields."""
        record = asdict(self)
        facts = record.pop("facts")
        return {**record, **facts}


def entries(kind: ListedKind) -> list[Entry]:
    """List all entries of a kind, after loading the installed plugins."""
    load_installed_plugins()
    if kind is ListedKind.suites:
        return list(_suites())
    return [entry for registry in REGISTRIES if registry.plural == kind for entry in _components(registry)]


def find(name: str) -> list[Entry]:
    """Return all entries called `name`, of any kind; raise `UnknownNameError` if there is none."""
    listed = [entry for kind in ListedKind for entry in entries(kind)]
    matching = [entry for entry in listed if entry.name == name]
    if not matching:
        raise UnknownNameError("component or suite", name, {entry.name for entry in listed})
    return matching


def broken() -> dict[str, str]:
    """Return the installed plugins that could not be imported, with the reasons."""
    load_installed_plugins()
    return dict(broken_plugins)


def metric_entry(metric: Any) -> Entry:
    """Return the entry of a metric, registered or not."""
    return _entry("metric", metric.name, metric, metric.origin, metric.function, metric_facts(metric))


def _components(registry: Registry[Any]) -> Iterator[Entry]:
    facts = _FACTS.get(registry.kind, lambda component: {})
    for name, component in registry:
        implementation = component if inspect.isclass(component) else component.function
        yield _entry(registry.kind, name, component, registry.origin(name), implementation, facts(component))


def _entry(kind: str, name: str, component: Any, origin: Origin, implementation: Any, facts: dict[str, Any]) -> Entry:
    doc = getattr(component, "doc", None) or inspect.getdoc(implementation) or ""
    parameters = _parameters(implementation)
    summary = doc.partition("\n")[0]
    return Entry(kind, name, summary, origin.module, origin.file, origin.line, facts, tuple(parameters), doc)


def _parameters(implementation: Any) -> Iterator[Parameter]:
    """Return a function's parameters, or a test kind's own keys."""
    if not hasattr(implementation, "model_fields"):
        try:
            implementation = parameters_model(implementation)
        except NameError:  # annotations that only a type checker sees
            yield from _keywords(implementation)
            return
    for name, info in implementation.model_fields.items():
        if name not in ("id", "kind"):
            default = None if info.is_required() else _as_in_yaml(info.get_default(call_default_factory=True))
            yield Parameter(name, ", ".join([type_name(info.annotation), *_bounds(info.metadata)]), default)


def _as_in_yaml(value: Any) -> str:
    """Return a default as a suite would give it, with models as mappings of their keys."""
    return repr(to_jsonable_python(value, fallback=repr))


def _keywords(function: Callable[..., Any]) -> Iterator[Parameter]:
    for parameter in declared_parameters(function).values():
        default = None if parameter.default is parameter.empty else repr(parameter.default)
        yield Parameter(parameter.name, type_name(parameter.annotation), default)


def type_name(annotation: Any) -> str:
    """Return a type as text.

    >>> type_name(list[str]), type_name(Literal["batch", "none"]), type_name("float"), type_name(int | None)
    ('list[str]', "'batch' | 'none'", 'float', 'int | None')
    >>> type_name(dict[str, Annotated[int, FieldInfo(ge=1)]]), type_name(Origin)
    ('dict[str, int ≥ 1]', 'Origin')
    """
    if annotation is inspect.Parameter.empty:
        return ""
    if isinstance(annotation, str):
        return annotation
    if annotation is type(None):
        return "None"
    if get_origin(annotation) is Literal:
        return " | ".join(repr(choice) for choice in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(type_name(inner) for inner in get_args(annotation))
    if get_origin(annotation) is Annotated:
        base, *metadata = get_args(annotation)
        for names in (registered.choices for registered in metadata if isinstance(registered, RegisteredName)):
            return type_name(Literal[names])
        return ", ".join([type_name(base), *_bounds(metadata)])
    if isinstance(origin := get_origin(annotation), type):
        inner = [type_name(argument).replace(", ", " ") for argument in get_args(annotation)]
        return f"{origin.__name__}[{', '.join(inner)}]"
    if inspect.isclass(annotation):
        return annotation.__name__
    return inspect.formatannotation(annotation).replace("typing.", "")


def _bounds(metadata: Sequence[Any]) -> Iterator[str]:
    """Return the bounds of a parameter's value as text."""
    constraints = [
        constraint for given in metadata for constraint in (given.metadata if isinstance(given, FieldInfo) else [given])
    ]
    for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤")):
        for constraint in constraints:
            if (bound := getattr(constraint, name, None)) is not None:
                yield f"{sign} {bound if isinstance(bound, int) else f'{bound:g}'}"


def _test_facts(kind: Any) -> dict[str, Any]:
    return {"pass_if": kind.model_fields["pass_if"].get_default()}


def _transform_facts(transform: Any) -> dict[str, Any]:
    return {"function_preserving": transform.function_preserving}


def _dataset_facts(dataset: Any) -> dict[str, Any]:
    return {"version": dataset.version}


def _architecture_facts(architecture: Any) -> dict[str, Any]:
    try:
        layers = architecture.layers()
    except SimbenchError:  # a parameter without a default decides
        layers = None
    return {"layers": list(layers) if layers is not None else None}


def _generator_facts(generator: Any) -> dict[str, Any]:
    return {"pair": generator.pair}


def _reparametrisation_facts(reparametrisation: Any) -> dict[str, Any]:
    return {"changes": reparametrisation.changes}


def _loader_facts(loader: Any) -> dict[str, Any]:
    return {"suffixes": list(loader.suffixes), "architectures": sorted(loader.architectures)}


def _wrapper_facts(wrapper: Any) -> dict[str, Any]:
    return {"short": wrapper.short}


def _suites() -> Iterator[Entry]:
    from simbench.suite.load import bundled_suites, load_suite

    for name, path in bundled_suites().items():
        try:
            suite = load_suite(str(path))
        except SimbenchError as error:
            yield Entry("suite", name, f"broken: {str(error).partition(chr(10))[0]}", "", str(path), 1)
            continue
        facts = {
            "version": suite.version,
            "models": {group: len(spec.models(group)) for group, spec in suite.models.items()},
            "tests": [test.id for test in suite.tests],
        }
        about = " ".join(suite.about.split())
        yield Entry("suite", name, about, "", str(path), 1, facts, doc=about)


# The facts of a component, by the kind of its registry; none of an engine.
_FACTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    METRICS.kind: metric_facts,
    TEST_KINDS.kind: _test_facts,
    TRANSFORMS.kind: _transform_facts,
    DATASETS.kind: _dataset_facts,
    ARCHITECTURES.kind: _architecture_facts,
    GENERATORS.kind: _generator_facts,
    REPARAMETRISATIONS.kind: _reparametrisation_facts,
    LOADERS.kind: _loader_facts,
    WRAPPERS.kind: _wrapper_facts,
}
