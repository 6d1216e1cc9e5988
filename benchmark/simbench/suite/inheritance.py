"""Inheritance between groups of models: `noisy: {like: base, train: {label_noise: 0.5}}`.

Such a group inherits all declarations of the other group that it does not make itself: mappings are merged key by key,
everything else is replaced, as with `extends`. Keys do not depend on whether a group was written with `like`.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from simbench.errors import UnknownNameError
from simbench.suite.yaml_nodes import Location, Position, SuiteDocument, SuiteProblem, merged

LIKE = "like"
GROUP = re.compile(r"models\.([^.:;, \[]+)")


def resolve_inheritance(document: SuiteDocument) -> SuiteDocument:
    """Resolve `like`: return the document with every group complete; inherited keys keep their original positions.

    A group that is like an unknown group or like itself is a problem of the document, and incomplete in it.
    """
    groups = document.at(("models",))
    if not isinstance(groups, dict):
        return document
    for name in groups:
        document = _complete_group(document, name, ())
    return document


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


def _complete_group(document: SuiteDocument, name: str, chain: tuple[str, ...]) -> SuiteDocument:
    """Return the document with this group complete, after completing the group that it is like."""
    place: Location = ("models", name)
    group = document.at(place)
    if not isinstance(group, dict) or LIKE not in group:
        return document
    other = group.pop(LIKE)
    where = document.position((*place, LIKE))
    groups: Mapping[str, Any] = document.at(("models",))
    if not isinstance(other, str):
        return _without_rest(
            document, name, SuiteProblem(where, f"models.{name}.like: the name of one group is needed")
        )
    if other in (name, *chain):
        return _without_rest(document, name, SuiteProblem(where, f"models.{name}: a group cannot be like itself"))
    if other not in groups:
        others = [group for group in groups if group != name]
        return _without_rest(document, name, SuiteProblem(where, str(UnknownNameError("model", other, others))))
    document = _complete_group(document, other, (*chain, name))
    if not isinstance(groups[other], dict) or ("models", other) in document.incomplete:
        document = _without_rest(document, name)
    return merged(_inherited_part(document, other, name), document)


def _without_rest(document: SuiteDocument, name: str, *problems: SuiteProblem) -> SuiteDocument:
    incomplete = document.incomplete | {("models", name)}
    return replace(document, problems=(*document.problems, *problems), incomplete=incomplete)


def _inherited_part(document: SuiteDocument, other: str, name: str) -> SuiteDocument:
    """Return a document in which group `name` declares all that `other` does, at the positions of `other`."""
    groups = document.data["models"]
    # All groups are listed, so that they keep their order when this is merged.
    written = {group: copy.deepcopy(groups[other]) if group == name else {} for group in groups}
    keys, values = (_moved(positions, other, name) for positions in (document.keys, document.values))
    return SuiteDocument({"models": written}, keys, values)


def _moved(positions: Mapping[Location, Position], other: str, name: str) -> dict[Location, Position]:
    here: Location = ("models", other)
    return {
        ("models", name, *location[2:]): position
        for location, position in positions.items()
        if location[:2] == here and len(location) > 2
    }
