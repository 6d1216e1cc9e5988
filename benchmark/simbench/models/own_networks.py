"""Networks of the user's own: a class or a function named by its place, as `my_net.py:MyNet` or `lab.nets:MyNet`.

Nothing needs to be registered. The parameters are those of the class or the function; `input_shape` and `classes` are
given to one that has parameters of these names. What stands for it in keys is the hash of its code and of the files
that it imports, not the path. Importing this module imports no torch.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import inspect
import json
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

from pydantic import ConfigDict, TypeAdapter, ValidationError

from simbench.errors import SimbenchError, described, is_failure, suggestion
from simbench.files import is_file
from simbench.models.architecture import Architecture
from simbench.models.unwrapping import unwrapped
from simbench.origins import origin_of, source_hash
from simbench.own_files import own_file, with_imported
from simbench.parameters import ParameterError
from simbench.registry import ARCHITECTURES, import_reference
from simbench.tracebacks import described_at, is_own

if TYPE_CHECKING:
    from torch import nn

# Parameters by which a class or a function is told the data, if it has them and the suite does not give them.
INPUT_SHAPE, CLASSES = "input_shape", "classes"
# Modules with weights that were returned before: another seed would go on with the weights of the first.
_returned: WeakSet[nn.Module] = WeakSet()


@dataclass(frozen=True)
class OwnNetwork(Architecture):
    """Class or function of the user's own that makes networks."""

    code_name: str = ""
    """The name of the class or the function in its file."""
    release: str = ""
    """The package that brings it, and its version, where it is installed; empty where the code itself is hashed."""

    def __post_init__(self) -> None:
        """Hash the code as it is now, before anybody edits it."""
        assert self.identity

    @property
    def identity(self) -> str:
        """Name and hash of the code, wherever it lies; of what is installed, the version."""
        return f"{self.code_name}@{self.release or source_hash(self.function)}"

    def checked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that are given, and the defaults that a suite could have given.

        Raises:
            ParameterError: one is unknown, missing or of a wrong type.
        """
        declared, problems = _parameters(self.function), {}
        open_ended = any(each.kind is each.VAR_KEYWORD for each in inspect.signature(self.function).parameters.values())
        for name in parameters:
            if name not in declared and not open_ended:
                problems[name] = f'unknown parameter "{name}"{suggestion(name, declared)}'
        for name, parameter in declared.items():
            if name in parameters:
                try:
                    parameter.read(parameters[name])
                except ValidationError as error:
                    problems[name] = f'parameter "{name}": {error.errors()[0]["msg"]}'
            elif parameter.required and name not in (INPUT_SHAPE, CLASSES):
                problems[name] = f'parameter "{name}" is missing'
        if problems:
            raise ParameterError(problems)
        usual = {name: each.default for name, each in declared.items() if not each.required and _is_plain(each.default)}
        return {**{name: value for name, value in usual.items() if name not in (INPUT_SHAPE, CLASSES)}, **parameters}

    def needs_shape(self, **parameters: Any) -> bool:
        """Tell whether the code is given the shape of the inputs."""
        return INPUT_SHAPE in _parameters(self.function) and INPUT_SHAPE not in parameters

    def build(self, input_shape: tuple[int, ...], classes: int, /, **parameters: Any) -> nn.Module:
        """Make a network, initialised from torch's global seed.

        Raises:
            SimbenchError: the code raises, or returns no network or one that it returned before.
        """
        declared, given = _parameters(self.function), self.checked(parameters)
        from_data = {INPUT_SHAPE: tuple(input_shape), CLASSES: classes}
        arguments = {name: value for name, value in from_data.items() if name in declared and name not in given}
        arguments |= {name: declared[name].read(value) if name in declared else value for name, value in given.items()}
        with printing_to_standard_error():
            try:
                network = self.function(**arguments)
            except BaseException as error:  # the user's own code may raise anything
                if not is_failure(error):
                    raise
                raise SimbenchError(f"{self.name} raises {described_at(error)}") from error
        return self._new(network)

    def _new(self, network: object) -> nn.Module:
        from torch import nn

        if not isinstance(network, nn.Module):
            raise SimbenchError(f"{self.name} returns a {type(network).__name__}, not a torch.nn.Module")
        network = unwrapped(network)
        with_weights = [each for each in network.modules() if next(each.parameters(recurse=False), None) is not None]
        if any(module in _returned for module in with_weights):
            raise SimbenchError(
                f"{self.name} returns a network with modules that it returned before, so that another seed would go on "
                "with their weights: make new ones in every call"
            )
        for module in with_weights:
            _returned.add(module)
        return network


@dataclass(frozen=True)
class _Parameter:
    """Parameter of a class or a function.

    Attributes:
        adapter: what checks its values; None where any value will do.
        default: its default, or `inspect.Parameter.empty`.
    """

    adapter: TypeAdapter[Any] | None
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty

    def read(self, value: Any) -> Any:
        """Return a value of a suite as the annotation wants it, a tuple for a list; raise `ValidationError`."""
        if self.adapter is None or (not self.required and value == self.default and type(value) is type(self.default)):
            return value
        return self.adapter.validate_json(json.dumps(value), strict=True)


@functools.lru_cache(maxsize=512)
def _parameters(function: Callable[..., Any]) -> dict[str, _Parameter]:
    """Return the parameters of a class or a function that can be given by name."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: _Parameter(_adapter(function, parameter.annotation), parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in by_name
    }


def _adapter(function: Callable[..., Any], annotation: Any) -> TypeAdapter[Any] | None:
    """Return what checks values of a type; None for one that a suite cannot write, such as a class of modules."""
    if annotation is inspect.Parameter.empty:
        return None
    code = inspect.unwrap(function.__init__) if isinstance(function, type) else inspect.unwrap(function)  # type: ignore[misc]
    holder = type("Holder", (), {"__annotations__": {"value": annotation}})
    try:
        hint = typing.get_type_hints(holder, globalns=getattr(code, "__globals__", {}), include_extras=True)["value"]
        return TypeAdapter(hint, config=ConfigDict(strict=True))
    except Exception:  # whatever a name in an annotation, or pydantic, says to it
        return None


def _is_plain(value: Any) -> bool:
    """Tell whether a suite could write a value."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


def network_at(place: str) -> Architecture:
    """Return the class or function at a place (`file.py:name`, `package.module:name`) as an architecture.

    Raises:
        SimbenchError: it cannot be imported, or is nothing that makes networks.
    """
    module, attribute = _imported(place)
    shown = _shown(place)
    if attribute is None:
        makers = list(_makers(module))
        nearest = f", such as {shown}:{makers[0]}" if makers else ""
        raise SimbenchError(f"architecture {shown}: name the class or the function in it{nearest}")
    function = getattr(module, attribute)
    if _is_network(function):
        raise SimbenchError(
            f"architecture {shown} is a network, not what makes one: give a class or a function, so that every seed "
            "has weights of its own"
        )
    if not callable(function):
        raise SimbenchError(f"architecture {shown} is a {type(function).__name__}, neither a class nor a function")
    try:
        only_by_place = [each.name for each in _signature(function, shown) if each.kind is each.POSITIONAL_ONLY]
    except ValueError as error:
        raise SimbenchError(f"architecture {shown}: {described(error)}") from None
    if only_by_place:
        raise SimbenchError(f'architecture {shown}: its parameter "{only_by_place[0]}" cannot be given by name')
    if not is_own(origin_of(function).file) and not _makes_networks(function):
        # A suite alone must not be able to call whatever is installed, with arguments of its choice.
        raise SimbenchError(
            f"architecture {shown} is installed, and neither a class of modules nor declared to return one: call it in "
            "a function of a file of your own"
        )
    return _as_architecture(shown, attribute, function)


# Imports that failed, with the texts of the files: code that prints and fails does so once, though often asked for.
_failed: dict[str, tuple[object, SimbenchError]] = {}


def _imported(place: str) -> tuple[ModuleType, str | None]:
    path = Path(place.partition(":")[0])
    texts = with_imported(own_file(path)) if path.suffix == ".py" and is_file(path) else None
    if texts is not None and place in _failed and _failed[place][0] == texts:
        raise _failed[place][1]
    try:
        with printing_to_standard_error():
            return import_reference(place)
    except SimbenchError as error:
        _failed[place] = texts, error
        raise


@functools.lru_cache(maxsize=512)
def _as_architecture(shown: str, attribute: str, function: Callable[..., Any]) -> OwnNetwork:
    return OwnNetwork(
        name=shown,
        function=function,
        version=None,
        origin=origin_of(function),
        layer_names=None,
        embedding=None,
        positions=None,
        code_name=attribute,
        release=_release(function),
    )


def _release(function: Callable[..., Any]) -> str:
    """Return the distribution that installed the code, with its version; empty for code of the user's own.

    To hash a large package would take minutes.
    """
    origin = origin_of(function)
    if is_own(origin.file):
        return ""
    top = origin.module.partition(".")[0]
    for name in importlib.metadata.packages_distributions().get(top, ()):
        return f"{name}-{importlib.metadata.version(name)}"
    return ""


def _signature(function: Callable[..., Any], shown: str) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise SimbenchError(f"architecture {shown}: its parameters cannot be read: {described(error)}") from None


def _shown(place: str) -> str:
    """Return a place without the folders of its file, which differ between machines."""
    target, colon, attribute = place.rpartition(":") if ":" in place else (place, "", "")
    return f"{Path(target).name if target.endswith('.py') else target}{colon}{attribute}"


def _makers(module: ModuleType) -> Iterator[str]:
    """Yield the names of classes of modules, then of functions, that a module defines."""
    defined = [
        (name, value)
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
    ]
    torch = sys.modules.get("torch")
    if torch is not None:
        yield from (name for name, value in defined if isinstance(value, type) and issubclass(value, torch.nn.Module))
    yield from (name for name, value in defined if inspect.isfunction(value))


def _is_network(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, cast("type", torch.nn.Module))


def _makes_networks(function: Any) -> bool:
    """Tell whether something is a class of modules, or a function that is declared to return a module."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    if not isinstance(function, type):
        try:
            function = typing.get_type_hints(function).get("return")
        except Exception:  # whatever a name in an annotation says to it
            return False
    return isinstance(function, type) and issubclass(function, torch.nn.Module)


@contextlib.contextmanager
def printing_to_standard_error() -> Iterator[None]:
    """Redirect to standard error what code of the user's own prints: standard output may be a JSON document."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


ARCHITECTURES.locate = network_at
