"""Load a suite; report all problems of the file at once, each as `file:line:column: problem; nearest valid name`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from itertools import islice
from pathlib import Path

from simbench.bounds import MOST_MODELS, MOST_REPRESENTATIONS, MOST_SEEDS
from simbench.errors import SimbenchError, SuiteError, UnknownNameError
from simbench.files import is_file, no_file
from simbench.registry import ARCHITECTURES, DATASETS, TEST_KINDS
from simbench.suite.bounded_yaml import LARGEST_SUITE, MOST_VALUES
from simbench.suite.data_problems import data_problems
from simbench.suite.given_groups import resolve_given
from simbench.suite.inheritance import drop_repeated, resolve_inheritance
from simbench.suite.layer_patterns import expand_layers
from simbench.suite.names import component_at, dataset_places, import_plugins, metric_places, name_problems
from simbench.suite.placeholders import MEMBER, SEED
from simbench.suite.schema import DeclaredTest, Suite
from simbench.suite.schema_problems import validated
from simbench.suite.yaml_nodes import Location, SuiteDocument, SuiteProblem, merged, read_document

# Most suites that one may be built on, one after the other.
LONGEST_CHAIN = 20
# Mistakes are counted as far as this, since those of every test in every layer of every model may be a great many.
MOST_COUNTED = 10_000
# Parameters of architectures that may name a folder.
NAMES_OF_FOLDERS = ("model", "tokenizer")


def bundled_suites() -> dict[str, Path]:
    """Return the suites that ship with simbench, by name: from `suites/` in a checkout, from the package in a wheel."""
    packaged = Path(str(files("simbench"))) / "suites"
    folder = packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_suite(reference: str, folder: Path = Path()) -> Path:
    """Return the file of a suite, given as a path (relative to `folder`) or as the name of a bundled suite."""
    path = folder / reference
    if is_file(path):
        return path
    if path.suffix in (".yaml", ".yml") or os.sep in reference:
        raise SimbenchError(no_file(path))
    bundled = bundled_suites()
    if reference not in bundled:
        raise UnknownNameError("suite", reference, bundled)
    return bundled[reference]


def load_suite(reference: str) -> Suite:
    """Read a suite, merge it with the one that it extends, and check it; raise `SuiteError` with all problems."""
    document = resolve_inheritance(_extended(find_suite(reference), ()))
    _anchor(document, _plugin_places(document))
    problems = [*document.problems, *import_plugins(document)]
    _anchor(document, _file_places(document))
    problems.extend(islice(resolve_given(document), MOST_COUNTED))
    problems.extend(expand_layers(document))
    data = dict(document.data)
    if isinstance(data.get("tests"), list) and data["tests"]:
        # A bad test is reported once; a placeholder lets pydantic check the rest of the file.
        data["tests"] = _checked_tests(document, problems) or [None]
    suite = validated(Suite, data, (), document, problems)
    problems.extend(islice(name_problems(document), MOST_COUNTED))
    problems.extend(islice(data_problems(document), MOST_COUNTED))
    if problems or suite is None:
        raise SuiteError(_in_file_order(drop_repeated(problems, document), document))
    too_many = too_many_models(suite)
    if too_many is not None:
        raise SuiteError([SuiteProblem(document.position(("models",), of_key=True), too_many)])
    return suite


def too_many_models(suite: Suite) -> str | None:
    """Return what is wrong with a suite whose models, or layers of all models, are more than can be planned."""
    models = sum(len(spec.models(name)) for name, spec in suite.models.items())
    if models > MOST_MODELS:
        return f"{models} models; a suite may have {MOST_MODELS}"
    layers = {name: layers_of_model(suite, name) or () for name in suite.models}
    representations = sum(len(layers[name]) * len(spec.models(name)) for name, spec in suite.models.items())
    if representations > MOST_REPRESENTATIONS:
        return f"{representations} layers in {models} models; a suite may have {MOST_REPRESENTATIONS}"
    return None


def layers_of_model(suite: Suite, name: str) -> tuple[str, ...] | None:
    """Return the ordered layers of a model group; None if they are only known once the network is built."""
    spec = suite.models[name]
    if spec.layers is not None or spec.activations is not None:
        return tuple(spec.layers or ())
    return ARCHITECTURES.get(spec.network.name).layers(**spec.network.parameters)


def _extended(path: Path, chain: Sequence[Path], left: int = LARGEST_SUITE) -> SuiteDocument:
    """Read a document of at most `left` bytes, merged over the one that it extends."""
    document = read_document(path, left)
    base = document.data.pop("extends", None)
    if base is None:
        return document
    where = document.position(("extends",))
    if not isinstance(base, str):
        raise SuiteError([f'{where}: "extends" takes the name or the path of one suite'])
    if path.resolve() in chain:
        raise SuiteError([f"{where}: this suite extends itself"])
    if len(chain) == LONGEST_CHAIN:
        raise SuiteError([f"{where}: more than {LONGEST_CHAIN} suites extend one another"])
    try:
        parent = find_suite(base, path.parent)
    except SimbenchError as error:
        raise SuiteError([f"{where}: {error}"]) from None
    whole = merged(_extended(parent, [*chain, path.resolve()], left - document.size), document)
    if len(whole.values) > MOST_VALUES:
        raise SuiteError([f"{where}: with what it extends, more than {MOST_VALUES} values"])
    return whole


def _anchor(document: SuiteDocument, places: Iterable[Location]) -> None:
    """Make references to files absolute: they are relative to the file that holds the reference."""
    for location in places:
        reference = document.at(location)
        if isinstance(reference, str):
            path, colon, attribute = reference.partition(":")
            folder = Path(document.position(location).file).parent
            if is_file(folder / path) or (location[-1] in NAMES_OF_FOLDERS and (folder / path).is_dir()):
                document.at(location[:-1])[location[-1]] = f"{(folder / path).resolve()}{colon}{attribute}"
            elif any(is_file(folder / file) for file in _files_of(reference, location, document)):
                document.at(location[:-1])[location[-1]] = f"{folder.resolve()}{os.sep}{reference}"


def _files_of(template: str, location: Location, document: SuiteDocument) -> Iterator[str]:
    """Yield the names of files that a group means by one with a place for its seeds or members."""
    if location[0] != "models":
        return
    for place, key, usual in ((SEED, "seeds", [0]), (MEMBER, "members", [])):
        names = document.at((*location[:2], key))
        listed = usual if names is None else names
        if place in template and isinstance(listed, list):
            yield from (template.replace(place, str(name)) for name in listed[:MOST_SEEDS])


def _plugin_places(document: SuiteDocument) -> list[Location]:
    plugins = document.at(("plugins",))
    return [("plugins", index) for index in range(len(plugins) if isinstance(plugins, list) else 0)]


def _file_places(document: SuiteDocument) -> Iterator[Location]:
    """Yield the places other than `plugins` that may name a file: metrics, weights, and datasets read from files."""
    models = document.at(("models",))
    for name in models if isinstance(models, dict) else ():
        component = component_at(("models", name, "architecture"), document)
        if component is not None and component.name.partition(":")[0].endswith(".py"):
            as_mapping = isinstance(document.at(("models", name, "architecture")), dict)
            yield ("models", name, "architecture", *(("name",) if as_mapping else ()))
        if component is not None and component.name in ARCHITECTURES:
            yield from (("models", name, "architecture", file) for file in ARCHITECTURES.get(component.name).files)
        load = document.at(("models", name, "load"))
        yield from (
            (("models", name, "load", member) for member in load)
            if isinstance(load, dict)
            else (("models", name, "load"),)
        )
    for location in metric_places(document):
        yield (*location, "name") if isinstance(document.at(location), dict) else location
    for location in dataset_places(document):
        component = component_at(location, document)
        if component is not None and component.name in DATASETS:
            yield from ((*location, parameter) for parameter in DATASETS.get(component.name).files)


def _checked_tests(document: SuiteDocument, problems: list[SuiteProblem]) -> list[DeclaredTest]:
    """Return the valid tests, each validated by its kind; add the problems of the others."""
    tests: list[DeclaredTest] = []
    for index, raw in enumerate(document.data["tests"]):
        location: Location = ("tests", index)
        if not isinstance(raw, dict):
            text = f"tests[{index}]: a test is a mapping with `id` and `kind`"
            problems.append(SuiteProblem(document.position(location), text))
            continue
        if not isinstance(raw.get("kind"), str) or raw["kind"] not in TEST_KINDS:
            problems.append(_kind_problem(index, document))
            continue
        test = validated(TEST_KINDS.get(raw["kind"]), raw, location, document, problems)
        if test is not None:
            tests.append(test)
    return tests


def _kind_problem(index: int, document: SuiteDocument) -> SuiteProblem:
    place: Location = ("tests", index, "kind")
    kind = document.at(place)
    if kind is None:
        return SuiteProblem(document.position(place), f'key "kind" is missing in tests[{index}]')
    return SuiteProblem.of(document.position(place), UnknownNameError("test kind", str(kind), TEST_KINDS.names()))


def _in_file_order(problems: Sequence[SuiteProblem], document: SuiteDocument) -> list[SuiteProblem]:
    """Sort problems by their place in the file; those of an extended file come last."""
    own = document.position(()).file
    return sorted(problems, key=lambda problem: (problem.position.file != own, *vars(problem.position).values()))
