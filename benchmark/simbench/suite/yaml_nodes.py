"""Read YAML as plain data with the position of every key and value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from simbench.errors import SuiteError

Location = tuple[str | int, ...]
MERGED_TAG = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Loader with YAML 1.2's floats (`1e-3`) and booleans (`on` and `yes` are words), which PyYAML reads otherwise."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:bool", MERGED_TAG)]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


@dataclass(frozen=True)
class Position:
    """Line and column in a file, counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return `file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}"


class SuiteProblem(NamedTuple):
    """Mistake in a suite file, with its position."""

    position: Position
    text: str

    def __str__(self) -> str:
        """Return the position and the message."""
        return f"{self.position}: {self.text}"


@dataclass(frozen=True)
class SuiteDocument:
    """Mapping read from YAML, with the positions of all keys and values, and the problems found while reading.

    At the places that are `incomplete`, a part is missing because the group that it is inherited from is invalid.
    """

    data: dict[str, Any]
    keys: dict[Location, Position]
    values: dict[Location, Position]
    problems: tuple[SuiteProblem, ...] = ()
    incomplete: frozenset[Location] = frozenset()

    def at(self, location: Location) -> Any:
        """Return the value at `location`; None if there is none."""
        value: Any = self.data
        for part in location:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def position(self, location: Location, *, of_key: bool = False) -> Position:
        """Return the position of `location`, or of the nearest enclosing place if it is not in the file."""
        while location:
            position = self.keys.get(location) if of_key else None
            position = position or self.values.get(location)
            if position is not None:
                return position
            location, of_key = location[:-1], True
        return self.values[()]


def read_document(path: Path) -> SuiteDocument:
    """Read one YAML mapping; raise `SuiteError` if the file is not valid YAML or holds no mapping."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise SuiteError([f"{where}: not valid YAML: {error.problem}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SuiteError([f"{path}: not valid YAML: {str(error).splitlines()[0]}"]) from None
    if not isinstance(node, yaml.MappingNode):
        raise SuiteError([f"{path}:1:1: a suite is a mapping of keys to values"])
    reader = _Reader(str(path))
    try:
        data = reader.plain(node, ())
    except RecursionError:
        raise SuiteError([f"{path}:1:1: not valid YAML: an alias stands inside of what it names"]) from None
    return SuiteDocument(data, reader.keys, reader.values, tuple(reader.problems))


def merged(base: SuiteDocument, over: SuiteDocument) -> SuiteDocument:
    """Merge `over` into `base`: mappings are merged key by key, everything else is replaced.

    A component with another `name` is replaced as a whole, since its parameters differ.
    """
    keys, values = dict(base.keys), dict(base.values)
    data = _merge(base.data, over.data, (), keys, values)
    problems, incomplete = (*base.problems, *over.problems), base.incomplete | over.incomplete
    return SuiteDocument(data, keys | over.keys, values | over.values, problems, incomplete)


def _merge(
    base: dict[str, Any],
    over: dict[str, Any],
    location: Location,
    keys: dict[Location, Position],
    values: dict[Location, Position],
) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        here = (*location, key)
        if isinstance(value, dict) and isinstance(base.get(key), dict) and not _other_name(base[key], value):
            result[key] = _merge(base[key], value, here, keys, values)
        else:
            result[key] = value
            for positions in (keys, values):
                for replaced in [key for key in positions if key[: len(here)] == here]:
                    del positions[replaced]
    return result


def _other_name(base: dict[str, Any], over: dict[str, Any]) -> bool:
    return "name" in base and over.get("name", base["name"]) != base["name"]


class _Reader:
    """Reader that turns nodes into plain data and records positions and problems."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.keys: dict[Location, Position] = {}
        self.values: dict[Location, Position] = {}
        self.problems: list[SuiteProblem] = []
        self._constructor = _Loader("")

    def plain(self, node: yaml.Node, location: Location) -> Any:
        self.values[location] = self._position(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(child, (*location, index)) for index, child in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(self._scalar(key_node))
            here = (*location, key)
            if key in result:
                self.problems.append(SuiteProblem(self._position(key_node), f'key "{key}" appears twice'))
            self.keys[here] = self._position(key_node)
            result[key] = self.plain(value_node, here)
        return result

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self.problems.append(SuiteProblem(self._position(node), str(error).splitlines()[0]))
            return None

    def _position(self, node: yaml.Node) -> Position:
        return Position(self.file, node.start_mark.line + 1, node.start_mark.column + 1)
