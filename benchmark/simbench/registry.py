"""One generic registry for every kind of component, and the discovery of third-party ones.

A registry imports nothing when it is made. At the first look-up it imports its built-in modules, which the package that
owns them lists in order as `BUILTIN_MODULES`, and right after them the installed plugins (entry points of the group
`simbench`). A plugin that cannot be imported is listed with its reason and never fatal.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from simbench.errors import SimbenchError, UnknownNameError, described, is_failure
from simbench.files import is_file, no_file
from simbench.origins import Origin, source_hash
from simbench.own_files import import_own
from simbench.parameters import checked_parameters
from simbench.process_state import preserved_state
from simbench.tracebacks import place_of

if TYPE_CHECKING:
    from simbench.data.dataset import DatasetSource
    from simbench.metrics.metric import Metric
    from simbench.metrics.wrappers.base import WrapperKind
    from simbench.models.architecture import Architecture
    from simbench.models.loading import Loader
    from simbench.models.reparametrise import Reparametrisation
    from simbench.models.synthetic.base import ModelGenerator
    from simbench.representations.transforms import Transform
    from simbench.suite.schema import DeclaredTest

T = TypeVar("T")
ENTRY_POINT_GROUP = "simbench"


class Registry(Generic[T]):
    """Named components of one kind.

    The built-in components come first, in the order of their package's list, whichever was imported first; the others
    follow in the order in which they were registered.

    >>> shapes = Registry[int]("shape")
    >>> shapes.register("square", 4, Origin("doc", "doc.py", 1))
    4
    >>> shapes.get("sqare")
    Traceback (most recent call last):
    simbench.errors.UnknownNameError: unknown shape "sqare"; did you mean "square"?
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        """Make an empty registry.

        Args:
            kind: the word for its components in messages.
            package: the package whose `BUILTIN_MODULES`, relative to it, register the built-in components.
        """
        self.kind = kind
        self.package = package
        # Returns a component by its place in code of the user's own, where it needs no name.
        self.locate: Callable[[str], T] | None = None
        self._components: dict[str, T] = {}
        self._origins: dict[str, Origin] = {}
        self._loaded = package is None

    @property
    def plural(self) -> str:
        """Word for all components in lists: `metrics`, `tests`."""
        return f"{self.kind.removesuffix(' kind')}s"

    def register(self, name: str, component: T, origin: Origin) -> T:
        """Add a component. The same definition may come again (a notebook cell run twice); another one may not."""
        present = self._origins.get(name)
        if present is not None and not origin.redefines(present):
            raise SimbenchError(f'{self.kind} "{name}" is defined twice: at {present} and at {origin}')
        self._components[name] = component
        self._origins[name] = origin
        return component

    def get(self, name: str) -> T:
        """Return the component called `name`; raise `UnknownNameError` with the nearest name if there is none.

        Where components may be located, it may also be a place in code, which is then imported.
        """
        self._load()
        if name not in self._components and self.locates(name):
            assert self.locate is not None
            return self.locate(name)
        try:
            return self._components[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._components) from None

    def locates(self, name: str) -> bool:
        """Tell whether a name is the place of a component in code: `file.py:name` or `package.module:name`."""
        self._load()
        return self.locate is not None and (":" in name or name.endswith(".py"))

    def origin(self, name: str) -> Origin:
        """Return the place where the component called `name` is defined."""
        self.get(name)
        return self._origins[name]

    def names(self) -> tuple[str, ...]:
        """List all names in order: built-in ones first."""
        self._load()
        return tuple(self._components)

    def __contains__(self, name: object) -> bool:
        """Tell whether a component has this name, or stands at this place."""
        self._load()
        if name in self._components or not isinstance(name, str) or not self.locates(name):
            return name in self._components
        try:
            self.get(name)
        except SimbenchError:
            return False
        return True

    def __iter__(self) -> Iterator[tuple[str, T]]:
        """Yield names and components, in the order of `names`."""
        self._load()
        return iter(tuple(self._components.items()))

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Undo, at the end of the block, whatever was registered in it."""
        self._load()
        before = dict(self._components), dict(self._origins)
        try:
            yield
        finally:
            self._components, self._origins = before

    def builtin_modules(self) -> tuple[str, ...]:
        """List the modules that register the built-in components, by their full names."""
        if self.package is None:
            return ()
        listed = importlib.import_module(self.package).BUILTIN_MODULES
        return tuple(f"{self.package}.{module}" for module in listed)

    def load_builtin(self) -> None:
        """Import the built-in components, once, and put them in the order of their package's list."""
        if self._loaded:
            return
        self._loaded = True
        modules = self.builtin_modules()
        for module in modules:
            importlib.import_module(module)
        # Whoever imported one of the modules before this look-up had it registered before the others.
        positions = {module: position for position, module in enumerate(modules)}
        order = sorted(self._components, key=lambda name: positions.get(self._origins[name].module, len(positions)))
        self._components = {name: self._components[name] for name in order}

    def _load(self) -> None:
        if not self._loaded:
            self.load_builtin()
            load_installed_plugins()


@dataclass(frozen=True)
class Registered:
    """A registered function, and what keys and lists need of it.

    Attributes:
        name: the name that suites use.
        function: the function itself; its keyword-only arguments are the parameters.
        version: a number that its author raises when results change, if there is one.
        origin: the place where it is defined.
    """

    name: str
    function: Callable[..., Any]
    version: int | None
    origin: Origin

    def __post_init__(self) -> None:
        """Hash the code as it is now, before anybody edits it, where that stands for a version."""
        if self.version is None:
            source_hash(self.function)

    @property
    def revision(self) -> int | str:
        """Version, else hash of the code."""
        return self.version if self.version is not None else source_hash(self.function)

    @property
    def identity(self) -> str:
        """Name and revision, on which keys depend."""
        return f"{self.name}@{self.revision}"

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def checked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return all parameters, defaults filled in; raise `ParameterError` that names every bad one."""
        return checked_parameters(self.function, parameters)


METRICS: Registry[Metric] = Registry("metric", "simbench.metrics")
TEST_KINDS: Registry[type[DeclaredTest]] = Registry("test kind", "simbench.sanity.kinds")
TRANSFORMS: Registry[Transform] = Registry("transform", "simbench.representations")
DATASETS: Registry[DatasetSource] = Registry("dataset", "simbench.data")
ARCHITECTURES: Registry[Architecture] = Registry("architecture", "simbench.models.architectures")
WRAPPERS: Registry[WrapperKind] = Registry("wrapper", "simbench.metrics.wrappers")
GENERATORS: Registry[ModelGenerator] = Registry("generator", "simbench.models.synthetic")
REPARAMETRISATIONS: Registry[Reparametrisation] = Registry("reparametrisation", "simbench.models")
LOADERS: Registry[Loader] = Registry("loader", "simbench.models")
ENGINES: Registry[Registered] = Registry("engine", "simbench.run")

# Every registry, in the order in which components are listed.
REGISTRIES: tuple[Registry[Any], ...] = (
    METRICS,
    WRAPPERS,
    TEST_KINDS,
    TRANSFORMS,
    DATASETS,
    ARCHITECTURES,
    GENERATORS,
    REPARAMETRISATIONS,
    LOADERS,
    ENGINES,
)

# The reason of each installed plugin that could not be imported.
broken_plugins: dict[str, str] = {}
_plugins_loaded = False


def load_installed_plugins() -> None:
    """Import every entry point of the group `simbench`, once; remember those that fail in `broken_plugins`."""
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        _load_all_builtin()
        try:
            with preserved_state(importing=True):
                entry.load()
        except BaseException as error:  # somebody else's code may raise anything; it is listed, not hidden
            if not is_failure(error):
                raise
            broken_plugins[entry.name] = described(error)


def _load_all_builtin() -> None:
    """Import all built-in components ahead of anybody else's code.

    So of two components of one name the built-in one is first, and the other one is reported as the second.
    """
    for registry in REGISTRIES:
        registry.load_builtin()


def import_reference(reference: str) -> tuple[ModuleType, str | None]:
    """Import `file.py`, `file.py:attr` or `pkg.mod[:attr]`; return the module and the attribute's name, if any."""
    _load_all_builtin()
    target, _, attribute = reference.rpartition(":") if ":" in reference else (reference, "", "")
    module = _import_file(Path(target)) if target.endswith(".py") else _import_module(target)
    if attribute and not hasattr(module, attribute):
        raise UnknownNameError(f"attribute of {target}", attribute, [name for name in vars(module) if name[0] != "_"])
    return module, attribute or None


def _import_module(name: str) -> ModuleType:
    try:
        with preserved_state(importing=True):
            return importlib.import_module(name)
    except SimbenchError:
        raise
    except ModuleNotFoundError as error:
        raise SimbenchError(f'cannot import "{name}": {error}') from None
    except BaseException as error:  # the user's own module may raise anything
        if not is_failure(error):
            raise
        raise SimbenchError(f'cannot import "{name}": {described(error)}') from error


def _import_file(path: Path) -> ModuleType:
    """Import a Python file under a name of its own, so that it needs to be on no path."""
    if not is_file(path):
        raise SimbenchError(no_file(path))
    try:
        with preserved_state(importing=True):
            return import_own(path)
    except SimbenchError:
        raise
    except BaseException as error:  # the user's own file: one line, its own reason
        if not is_failure(error):
            raise
        raise SimbenchError(
            f"{path}:{_line_in(path, error)}: cannot be imported: {_in_neighbour(path, error)}"
        ) from error


def _line_in(path: Path, error: BaseException) -> int:
    """Return the last line of `path` in the error's traceback."""
    if isinstance(error, SyntaxError) and error.lineno and error.filename == str(path.resolve()):
        return error.lineno
    line, trace = 1, error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path.resolve():
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _in_neighbour(path: Path, error: BaseException) -> str:
    """Return an error in one line, with its place if that is in another file of the user's own."""
    place = place_of(error)
    if place is None or place[0] == str(path.resolve()):
        return described(error)
    return f"{Path(place[0]).name}:{place[1]}: {described(error)}"
