"""Groups of models that are given as activations: put the files that they name in place of their templates.

A group then has, for every member, the array of every layer, as in a bundle, where hashes stand for the files. Nothing
is read but headers: that members have the same layers, and all layers the same rows, is found before a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from simbench.bounds import MOST_SEEDS, LayerNames
from simbench.errors import SimbenchError, UnknownNameError
from simbench.files import from_home
from simbench.suite.given_files import GivenArray, Layers, find_array, find_layers
from simbench.suite.placeholders import MEMBER, SEED
from simbench.suite.schema import GivenFiles, Probe
from simbench.suite.yaml_nodes import Location, SuiteDocument, SuiteProblem

ACTIVATIONS, FIT, TARGETS, FIT_TARGETS = "activations", "fit", "targets", "fit_targets"
# Keys of a group that its activations take the place of.
NAMING = ("seeds", "members")


def resolve_given(document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Replace the templates of all groups of activations by files; yield what is wrong, a line for each group."""
    models = document.at(("models",))
    rows: dict[str, int] = {}
    for name, group in models.items() if isinstance(models, dict) else ():
        if not isinstance(group, dict) or not isinstance(group.get(ACTIVATIONS), str | dict):
            continue
        given = _Group(name, document)
        if not given.is_declared:
            continue  # reported by the schema
        try:
            rows[name] = given.resolve()
        except SimbenchError as error:
            yield SuiteProblem.of(document.position(("models", name, given.at)), error)
    yield from _unlike_rows(document, rows)


def _unlike_rows(document: SuiteDocument, rows: Mapping[str, int]) -> Iterator[SuiteProblem]:
    """Find tests that compare groups on other numbers of inputs."""
    tests, models = document.at(("tests",)), document.at(("models",))
    models = models if isinstance(models, dict) else {}
    declared = document.at(("probe", "inputs"))
    inputs = declared or Probe.model_fields["inputs"].default
    if declared is not None and document.at(("probe", "dataset")) is None:
        for name in (name for name, number in rows.items() if number != declared):
            text = f"probe: models.{name} has {rows[name]} rows, and activations are taken whole: leave out `inputs`"
            yield SuiteProblem(document.position(("probe", "inputs")), text)
    read = {**{name: inputs for name in models if name not in rows and _reads(models[name])}, **rows}
    for index, test in enumerate(tests if isinstance(tests, list) else []):
        names = test.get("models") if isinstance(test, dict) else None
        compared = [name for name in names if isinstance(name, str) and name in read] if isinstance(names, list) else []
        other = next((name for name in compared if read[name] != read[compared[0]]), None)
        if other is not None and not rows.keys().isdisjoint((compared[0], other)):
            text = (
                f"tests[{index}]: {compared[0]} has {read[compared[0]]} rows and {other} {read[other]}; "
                "rows have to be the same inputs"
            )
            yield SuiteProblem(document.position(("tests", index, "models")), text)


def _reads(group: Any) -> bool:
    """Tell whether a group reads the inputs of the probe."""
    return isinstance(group, dict) and ACTIVATIONS not in group


@dataclass
class _Group:
    """One group of activations in a document."""

    name: str
    document: SuiteDocument
    at: str = ACTIVATIONS
    """The key under way."""

    @property
    def _group(self) -> dict[str, Any]:
        group: dict[str, Any] = self.document.at(("models", self.name))
        return group

    @property
    def is_declared(self) -> bool:
        """Tell whether all keys are of the types that they have to be."""
        group = self._group
        declared = {key: group[key] for key in TYPES if group.get(key) is not None}
        named = self._members is not None and len(self._members) <= MOST_SEEDS
        files = [files for key in (ACTIVATIONS, FIT) if isinstance(files := declared.get(key), dict)]
        whole = all(arrays for by_member in files for arrays in by_member.values())
        return named and whole and all(_is_valid(TYPES[key], value) for key, value in declared.items())

    @property
    def _members(self) -> list[str] | None:
        """Names of the members; None if they are not declared as they have to be."""
        given, named = self._group[ACTIVATIONS], [self._group.get(key) for key in NAMING]
        if isinstance(given, dict):
            return list(given) if given and named == [None, None] else None
        seeds, members = named
        names = members if members is not None else [0] if seeds is None else seeds
        if not isinstance(names, list) or not names or (seeds is not None and members is not None):
            return None
        place = SEED if members is None else MEMBER
        if (SEED if place == MEMBER else MEMBER) in given:
            return None
        return [str(name) for name in names] if len({str(name) for name in names}) == len(names) else None

    def resolve(self) -> int:
        """Put files in the place of templates; return the number of rows."""
        group = self._group
        layers = group.get("layers")
        probe = self._files(ACTIVATIONS, layers)
        first = next(iter(probe.values()))
        rows = _check(self.name, probe, list(first))
        if group.get(FIT) is not None:
            self.at = FIT
            fit = self._files(FIT, list(first))
            fit_rows = _check(f"{self.name}.{FIT}", fit, list(first))
            for member, layer, array in _each(fit):
                shape = probe[member][layer].outline.shape
                if array.outline.shape[1:] != shape[1:]:
                    raise SimbenchError(
                        f"models.{self.name}: {array.reference} has the shape {array.outline.shape}, and "
                        f"{probe[member][layer].reference} {shape}; they differ in more than the number of inputs"
                    )
            group[FIT] = _references(fit)
            self._labels(FIT_TARGETS, fit_rows)
        self.at = ACTIVATIONS
        self._labels(TARGETS, rows)
        group[ACTIVATIONS] = _references(probe)
        group["layers"] = list(first)
        for key in NAMING:
            group.pop(key, None)
        return rows

    def _files(self, key: str, layers: Sequence[str] | None) -> dict[str, Layers]:
        members, declared = self._members or [], self._group[key]
        files: dict[str, Layers] = {}
        missing: list[str] = []
        for member in members:
            template = declared.get(member) if isinstance(declared, dict) else declared
            if template is None:
                raise UnknownNameError(f"member in models.{self.name}.{key}", member, tuple(declared))
            try:
                files[member] = self._layers_of(template, member, self._folder(key, member), layers)
            except UnknownNameError:
                raise
            except SimbenchError as error:
                missing.append(f"{self.name}/{member}: {error}")
        if missing:
            more = f" (and so with {len(missing) - 1} more of {len(members)} members)" if len(missing) > 1 else ""
            raise SimbenchError(f"{missing[0]}{more}")
        return files

    def _layers_of(self, template: Any, member: str, folder: Path, layers: Sequence[str] | None) -> Layers:
        if isinstance(template, dict):
            names = list(template) if layers is None else layers
            for layer in names:
                if layer not in template:
                    raise UnknownNameError(f"layer of {self.name}/{member}", layer, tuple(template))
            return {layer: find_array(str(folder / from_home(template[layer]))) for layer in names}
        return find_layers(template.replace(SEED, member).replace(MEMBER, member), folder, layers)

    def _labels(self, key: str, rows: int) -> None:
        reference = self._group.get(key)
        if reference is None:
            return
        self.at = key
        folder = self._folder(key)
        labels = find_array(str(folder / from_home(reference)))
        shape, dtype = labels.outline
        if len(shape) != 1 or shape[0] != rows or not dtype.startswith(("int", "uint")):
            raise SimbenchError(
                f"models.{self.name}.{key}: {labels.reference} is an array of {dtype} of shape {shape}; "
                f"whole numbers of shape ({rows},) are needed, the labels of the rows"
            )
        self._group[key] = labels.reference

    def _folder(self, *place: str) -> Path:
        """Return the folder of the file that declares a key: paths are relative to it."""
        location: Location = ("models", self.name, *place)
        return Path(self.document.position(location).file).parent.resolve()


# Types of the keys that are read here, as the schema has them.
TYPES: dict[str, TypeAdapter[Any]] = {
    ACTIVATIONS: TypeAdapter(GivenFiles),
    FIT: TypeAdapter(GivenFiles),
    TARGETS: TypeAdapter(str),
    FIT_TARGETS: TypeAdapter(str),
    "layers": TypeAdapter(LayerNames),
}
FEWEST_ROWS = 3


def _is_valid(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _check(name: str, files: Mapping[str, Layers], layers: Sequence[str]) -> int:
    """Check that members have the same layers, and all layers the same rows; return the number of rows."""
    whose, first = next(iter(files.items()))
    rows = first[layers[0]].outline.shape[0]
    if rows < FEWEST_ROWS:
        raise SimbenchError(
            f"models.{name}: {first[layers[0]].reference} has {rows} rows, one for each input; at least {FEWEST_ROWS} "
            "are needed"
        )
    for member, arrays in files.items():
        missing = [layer for layer in layers if layer not in arrays]
        more = [layer for layer in arrays if layer not in layers]
        if missing or more:
            has, lacks = (whose, member) if missing else (member, whose)
            layer = (missing or more)[0]
            raise SimbenchError(
                f"models.{name}: {has} has the layer {layer}, and {lacks} has none of that name; members of a group "
                "have the same layers: list those that all have as `layers`, or make two groups"
            )
    for member, layer, array in _each(files):
        if array.outline.shape[0] != rows:
            raise SimbenchError(
                f"models.{name}: {member} has {array.outline.shape[0]} rows in {layer} ({array.reference}), and "
                f"{whose} {rows} in {layers[0]}; rows have to be the same inputs"
            )
    return rows


def _each(files: Mapping[str, Layers]) -> Iterator[tuple[str, str, GivenArray]]:
    for member, arrays in files.items():
        for layer, array in arrays.items():
            yield member, layer, array


def _references(files: Mapping[str, Layers]) -> dict[str, dict[str, str]]:
    return {member: {layer: array.reference for layer, array in arrays.items()} for member, arrays in files.items()}
