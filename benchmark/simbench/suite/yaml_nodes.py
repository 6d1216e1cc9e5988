"""Read YAML as plain data with the position of every key and value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from simbench.errors import SuiteError, UnknownNameError, suggestion
from simbench.suite.bounded_yaml import (
    DEEPEST,
    LARGEST_SUITE,
    LONGEST_KEY,
    MOST_VALUES,
    BoundedLoader,
    TooLargeError,
    composed,
    readable,
)

Location = tuple[str | int, ...]


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
    """Mistake in a suite file, with its position; `misspelt` is a name with the valid ones, the nearest of which helps.

    It is looked for when the mistake is printed: a file may have thousands, of which few are shown.
    """

    position: Position
    text: str
    misspelt: tuple[str, tuple[str, ...]] | None = None

    @classmethod
    def of(cls, position: Position, error: Exception) -> SuiteProblem:
        """Describe an error that was raised for what stands at a position."""
        if isinstance(error, UnknownNameError):
            return cls(position, error.text, (error.name, error.valid))
        return cls(position, str(error))

    def __str__(self) -> str:
        """Return the position and the message."""
        return f"{self.position}: {self.text}{suggestion(*self.misspelt) if self.misspelt else ''}"


@dataclass(frozen=True)
class SuiteDocument:
    """Mapping read from YAML, with the positions of all keys and values, and the problems found while reading.

    At the places that are `incomplete`, a part is missing because it could not be read, or because the group that it is
    inherited from is invalid; the problem is among `problems`.
    """

    data: dict[str, Any]
    keys: dict[Location, Position]
    values: dict[Location, Position]
    problems: tuple[SuiteProblem, ...] = ()
    incomplete: frozenset[Location] = frozenset()
    size: int = 0
    """Bytes of the files that it was read from."""

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


def read_document(path: Path, largest: int = LARGEST_SUITE) -> SuiteDocument:
    """Read one YAML mapping of at most `largest` bytes.

    Raises:
        SuiteError: the file cannot be read, is too large or no valid YAML, or holds no mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise SuiteError([f"{path}: cannot be read: {error.strerror}"]) from None
    return parse_document(str(path), content, largest)


def parse_document(name: str, content: bytes, largest: int = LARGEST_SUITE, *, aliases: bool = True) -> SuiteDocument:
    """Parse one YAML mapping of at most `largest` bytes, which are those of the file of this name.

    Raises:
        SuiteError: it is too large or no valid YAML, or it is no mapping; or it has aliases, which are not allowed.
    """
    try:
        if len(content) > largest:
            said = f"larger than the {LARGEST_SUITE} bytes that a suite may have, with what it extends"
            raise SuiteError([f"{name}: {said}"])
        node = composed(content.decode("utf-8-sig"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        what = error.problem if isinstance(error, TooLargeError) else f"not valid YAML: {error.problem}"
        raise SuiteError([f"{where}: {what}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SuiteError([f"{name}: not valid YAML: {str(error).splitlines()[0]}"]) from None
    if not isinstance(node, yaml.MappingNode):
        raise SuiteError([f"{name}:1:1: a suite is a mapping of keys to values"])
    reader = _Reader(name, aliases)
    data = reader.plain(node, ())
    return SuiteDocument(
        data, reader.keys, reader.values, tuple(reader.problems), frozenset(reader.unreadable), len(content)
    )


def merged(base: SuiteDocument, over: SuiteDocument) -> SuiteDocument:
    """Merge `over` into `base`: mappings are merged key by key, everything else is replaced.

    A component with another `name` is replaced as a whole, since its parameters differ.
    """
    data = _merge(base.data, over.data)
    left = set(_locations(data, ()))
    keys, values = (
        {location: position for location, position in positions.items() if location in left}
        for positions in (base.keys, base.values)
    )
    problems, incomplete = (*base.problems, *over.problems), base.incomplete | over.incomplete
    return SuiteDocument(data, keys | over.keys, values | over.values, problems, incomplete, base.size + over.size)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = _merge(base[key], value) if both and not _other_name(base[key], value) else value
    return result


def _locations(value: Any, here: Location) -> Iterator[Location]:
    """Yield the location of a value and of all that is in it."""
    yield here
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from _locations(child, (*here, key))


def _other_name(base: dict[str, Any], over: dict[str, Any]) -> bool:
    return "name" in base and over.get("name", base["name"]) != base["name"]


class _Reader:
    """Reader that turns nodes into plain data and records positions and problems."""

    def __init__(self, file: str, aliases: bool) -> None:
        self.file = file
        self.keys: dict[Location, Position] = {}
        self.values: dict[Location, Position] = {}
        self.problems: list[SuiteProblem] = []
        self.unreadable: list[Location] = []
        self._loader = BoundedLoader("")
        self._open: set[int] = set()
        # Lists and mappings that were read, where none may be read twice.
        self._read: set[int] | None = None if aliases else set()

    def plain(self, node: yaml.Node, location: Location) -> Any:
        self.values[location] = self._position(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, location)
        # Each alias of a value is that value again, so that a few lines may stand for more than fits into memory.
        if id(node) in self._open:
            raise SuiteError([f"{self._position(node)}: not valid YAML: an alias stands inside of what it names"])
        if self._read is not None:
            if id(node) in self._read:
                raise SuiteError([f"{self._position(node)}: aliases are not allowed in a bundle"])
            self._read.add(id(node))
        if len(self.values) + len(node.value) > MOST_VALUES:
            raise SuiteError([f"{self._position(node)}: with aliases, more than {MOST_VALUES} values"])
        if len(location) >= DEEPEST:
            raise SuiteError([f"{self._position(node)}: with aliases, nested more than {DEEPEST} deep"])
        self._open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            value: Any = self._mapping(node, location)
        else:
            value = [self.plain(child, (*location, index)) for index, child in enumerate(node.value)]
        self._open.remove(id(node))
        return value

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            here = (*location, key)
            if key in result:  # the first stays, with the positions of all that is in it
                self._report(key_node, f'key "{key}" appears twice')
                continue
            self.keys[here] = self._position(key_node)
            result[key] = self.plain(value_node, here)
        return result

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self._report(node, "a key is a word, not a list or a mapping")
            return "?"
        try:
            key = str(self._loader.scalar(node))
        except ValueError as error:
            self._report(node, str(error))
            return readable(node.value)
        if len(key) > LONGEST_KEY:
            self._report(node, f"a key of {len(key)} characters; at most {LONGEST_KEY} are read")
        return key[:LONGEST_KEY]

    def _scalar(self, node: yaml.ScalarNode, location: Location) -> Any:
        try:
            return self._loader.scalar(node)
        except ValueError as error:
            self._report(node, str(error))
            self.unreadable.append(location)
            return None

    def _report(self, node: yaml.Node, text: str) -> None:
        self.problems.append(SuiteProblem(self._position(node), text))

    def _position(self, node: yaml.Node) -> Position:
        return Position(self.file, node.start_mark.line + 1, node.start_mark.column + 1)
