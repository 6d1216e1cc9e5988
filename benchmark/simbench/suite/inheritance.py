"""Inheritance between groups of models: `noisy: {like: base, train: {label_noise: 0.5}}`.

Such a group inherits all declarations of the other group that it does not make itself: mappings are merged key by key,
everything else is replaced, as with `extends`. Keys do not depend on whether a group was written with `like`.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from simbench.bounds import MOST_GROUPS
from simbench.errors import SuiteError, UnknownNameError
from simbench.suite.bounded_yaml import MOST_VALUES
from simbench.suite.yaml_nodes import Location, Position, SuiteDocument, SuiteProblem, merged

LIKE = "like"
# Most values that groups inherit, in all.
MOST_INHERITED = 2 * MOST_VALUES
GROUP = re.compile(r"models\.([^.:;, \[]+)")


def resolve_inheritance(document: SuiteDocument) -> SuiteDocument:
    """Resolve `like`: return the document with every group complete; inherited keys keep their original positions.

    A group that is like an unknown group or like itself is a problem of the document, and incomplete in it.

    Raises:
        SuiteError: groups that are like large ones are more than a suite may hold.
    """
    declared = document.at(("models",))
    if not isinstance(declared, dict) or not any(
        isinstance(group, dict) and LIKE in group for group in declared.values()
    ):
        return document
    groups = _Groups(document)
    for name in declared:
        groups.complete(name)
    return groups.document()


class _Groups:
    """The groups of models of a document, each with the positions in it, as a document of its own."""

    def __init__(self, document: SuiteDocument) -> None:
        self._whole = document
        self._groups: dict[str, SuiteDocument] = {
            name: SuiteDocument(group, {}, {}) for name, group in document.data["models"].items()
        }
        self._names = tuple(self._groups)
        self._left = MOST_INHERITED
        self._completed: set[str] = set()
        self._problems: list[SuiteProblem] = []
        self._incomplete: set[Location] = set()
        for location, position in document.keys.items():
            if location[:1] == ("models",) and len(location) > 2:
                self._groups[str(location[1])].keys[location[2:]] = position
        for location, position in document.values.items():
            if location[:1] == ("models",) and len(location) > 1:
                self._groups[str(location[1])].values[location[2:]] = position

    def complete(self, name: str) -> None:
        """Complete a group, after the groups that it is like."""
        chain: list[str] = []
        while name not in self._completed:
            other = self._other(name, chain)
            if other is None:
                self._completed.add(name)
                break
            chain.append(name)
            name = other
        for name in reversed(chain):
            self._inherit(name)

    def document(self) -> SuiteDocument:
        """Return the whole document with these groups."""
        keys, values = (
            {
                location: position
                for location, position in positions.items()
                if location[:1] != ("models",) or len(location) <= own
            }
            for positions, own in ((self._whole.keys, 2), (self._whole.values, 1))
        )
        for name, group in self._groups.items():
            keys |= {("models", name, *location): position for location, position in group.keys.items()}
            values |= {("models", name, *location): position for location, position in group.values.items()}
        data = {**self._whole.data, "models": {name: group.data for name, group in self._groups.items()}}
        return replace(
            self._whole,
            data=data,
            keys=keys,
            values=values,
            problems=(*self._whole.problems, *self._problems),
            incomplete=self._whole.incomplete | self._incomplete,
        )

    def _other(self, name: str, chain: Sequence[str]) -> str | None:
        """Return the group that a group is like; None if there is none, or it is not valid, which is a problem."""
        group = self._groups[name].data
        if not isinstance(group, dict) or LIKE not in group:
            return None
        other, where = group[LIKE], self._groups[name].position((LIKE,))
        problem: SuiteProblem | None = None
        if not isinstance(other, str):
            problem = SuiteProblem(where, f"models.{name}.like: the name of one group is needed")
        elif other in (name, *chain):
            problem = SuiteProblem(where, f"models.{name}: a group cannot be like itself")
        elif other not in self._groups:
            problem = SuiteProblem.of(where, UnknownNameError("model", other, self._others(name)))
        if problem is None:
            return str(other)
        del group[LIKE]
        self._problems.append(problem)
        self._incomplete.add(("models", name))
        return None

    def _others(self, name: str) -> tuple[str, ...]:
        """Return the groups that one may be like; of too many, which is a mistake of its own, all for every group."""
        return self._names if len(self._names) > MOST_GROUPS else tuple(n for n in self._names if n != name)

    def _inherit(self, name: str) -> None:
        own = self._groups[name]
        other = own.data.pop(LIKE)
        base = self._groups[other]
        self._completed.add(name)
        if not isinstance(base.data, dict) or ("models", other) in self._incomplete:
            self._incomplete.add(("models", name))
        if not isinstance(base.data, dict):
            return
        self._left -= len(base.values)
        if self._left < 0:
            raise SuiteError([f"{own.position(())}: with groups like others, more than {MOST_INHERITED} values"])
        self._groups[name] = merged(replace(base, data=copy.deepcopy(base.data)), own)


def drop_repeated(problems: Iterable[SuiteProblem], document: SuiteDocument) -> list[SuiteProblem]:
    """Keep one of the problems that differ only in the group that they name: that of the group declared there."""
    by_message: dict[tuple[Position, str], list[SuiteProblem]] = {}
    for problem in problems:
        by_message.setdefault((problem.position, GROUP.sub("models", problem.text)), []).append(problem)
    return [min(alike, key=lambda problem: _lines_below_group(problem, document)) for alike in by_message.values()]


def _lines_below_group(problem: SuiteProblem, document: SuiteDocument) -> float:
    named = GROUP.search(problem.text)
    group = document.keys.get(("models", named[1])) if named else None
    if group is None or group.file != problem.position.file or group.line > problem.position.line:
        return math.inf
    return problem.position.line - group.line
