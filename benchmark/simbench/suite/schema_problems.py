"""Translate pydantic's errors on a part of a suite to lines with a position and the nearest valid key."""

from __future__ import annotations

import re
import typing
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from simbench.errors import suggestion
from simbench.suite.inheritance import LIKE
from simbench.suite.schema import ModelSpec, Suite
from simbench.suite.yaml_nodes import Location, SuiteDocument, SuiteProblem

M = TypeVar("M", bound=BaseModel)
QUOTED = re.compile(r"'([^']*)'")
# Keys of a file that loading resolves, so that the models do not have them.
KEYS_OF_LOADING: dict[type[BaseModel], list[str]] = {Suite: ["extends"], ModelSpec: [LIKE]}


def validated(
    model: type[M], data: Any, location: Location, document: SuiteDocument, problems: list[SuiteProblem]
) -> M | None:
    """Return an instance of `model`, or None after adding to `problems`."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems.extend(_described(model, error, location, document))
        return None


def path_of(location: Location) -> str:
    """Return a location as a path.

    >>> path_of(("tests", 1, "layers"))
    'tests[1].layers'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".")


def _described(
    model: type[BaseModel], error: ValidationError, location: Location, document: SuiteDocument
) -> list[SuiteProblem]:
    """Return one problem per error of pydantic; errors of the branches of one union are alternatives, and make one.

    A missing value or key is no problem where the document is incomplete.
    """
    unknown_and_missing: list[SuiteProblem] = []
    fields: dict[Location, tuple[str, ...]] = {}
    wrong: dict[Location, list[str]] = {}
    # A mapping with a mistake inside is no literal, either: the mistake says all.
    places: set[Location] = set()
    for problem in error.errors(include_url=False):
        missing = problem["type"] == "missing"
        inner = _without_branches(problem["loc"], document.at(location), last_is_absent=missing)
        here = (*location, *inner)
        if here in document.incomplete or (missing and here[:2] in document.incomplete):
            continue
        places.add(here)
        parent = f" in {path_of(here[:-1])}" if here[:-1] else ""
        if problem["type"] == "extra_forbidden":
            if inner[:-1] not in fields:
                fields[inner[:-1]] = tuple(_fields_at(model, inner[:-1]))
            text = f'unknown key "{here[-1]}"{parent}'
            misspelt = (str(here[-1]), fields[inner[:-1]])
            unknown_and_missing.append(SuiteProblem(document.position(here, of_key=True), text, misspelt))
        elif missing:
            unknown_and_missing.append(SuiteProblem(document.position(here), f'key "{here[-1]}" is missing{parent}'))
        else:
            wrong.setdefault(here, []).append(_message(problem))
    return unknown_and_missing + [
        SuiteProblem(
            document.position(here), f"{path_of(here) or 'the suite'}: {', or '.join(dict.fromkeys(messages))}"
        )
        for here, messages in wrong.items()
        if not any(len(place) > len(here) and place[: len(here)] == here for place in places)
    ]


def _message(problem: ErrorDetails) -> str:
    """Return pydantic's message, reworded if it speaks of Python types or does not suggest the nearest valid value."""
    if problem["type"] in ("model_type", "dict_type"):
        return "a mapping is needed"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if problem["type"] == "literal_error" and isinstance(problem["input"], str):
        valid = QUOTED.findall(problem["ctx"]["expected"])
        message += suggestion(problem["input"], valid).partition("; valid")[0]
    return message


def _without_branches(parts: tuple[int | str, ...], data: Any, *, last_is_absent: bool) -> Location:
    """Return pydantic's location without the parts that name a branch of a union, which are no keys of the data."""
    place: list[int | str] = []
    for position, part in enumerate(parts):
        absent = last_is_absent and position == len(parts) - 1
        if isinstance(part, str) and not absent and not (isinstance(data, dict) and part in data):
            continue
        place.append(part)
        inside = isinstance(data, dict) or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        data = (data.get(part) if isinstance(data, dict) else data[int(part)]) if inside else None
    return tuple(place)


def _fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """Return the keys that are valid at a place, for the suggestion."""
    annotation: Any = model
    for part in location:
        annotation = _inside(annotation, part)
    inner = next((branch for branch in _branches(annotation) if _is_model(branch)), None)
    if inner is None:
        return []
    return [*inner.model_fields, *KEYS_OF_LOADING.get(inner, [])]


def _inside(annotation: Any, part: str | int) -> Any:
    """Return the annotation of a key or an item of an annotated value."""
    for branch in _branches(annotation):
        if _is_model(branch) and part in branch.model_fields:
            return branch.model_fields[part].annotation
        if typing.get_origin(branch) in (dict, list):
            return typing.get_args(branch)[-1]
    return None


def _branches(annotation: Any) -> list[Any]:
    """Return the alternatives of `A | B | None` or `Annotated[A, ...]`."""
    if typing.get_origin(annotation) in (dict, list) or isinstance(annotation, type):
        return [annotation]
    return [branch for inner in getattr(annotation, "__args__", ()) for branch in _branches(inner)]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
