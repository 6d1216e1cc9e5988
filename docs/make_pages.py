"""Write the generated pages of this folder from the code: test kinds, commands, components and the keys of suites.

python docs/make_pages.py            # writes every page
python docs/make_pages.py --check    # writes nothing; exits with 1 and names the pages that are not current
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_json
from typer.models import ArgumentInfo, OptionInfo

import simbench.catalogue.entries as catalogue
from simbench.catalogue.entries import Entry, Parameter
from simbench.catalogue.kinds import ListedKind
from simbench.cli.main import VERBS
from simbench.files import write_text
from simbench.registry import REGISTRIES, Registry
from simbench.suite import schema
from simbench.suite.schema import Training

DOCS = Path(__file__).parent
WRITTEN = "Written by `python docs/make_pages.py` from the code; change it there.\n"


def pages() -> dict[str, str]:
    """Return the text of every generated page, by file name."""
    return {
        "test-kinds.md": test_kinds(),
        "commands.md": commands(),
        "components.md": components(),
        "suite-keys.md": suite_keys(),
    }


# --- test kinds -------------------------------------------------------------------------------------------------------


def test_kinds() -> str:
    """Return the page of test kinds: a table, then what each asks and the keys that it takes."""
    kinds = _built_in(catalogue.entries(ListedKind.tests))
    rows = [(f"[`{kind.name}`](#{kind.name})", kind.summary, _code(kind.facts["pass_if"])) for kind in kinds]
    head = f"""# Test kinds

{WRITTEN}
A test kind asks questions about a metric's scores. Its grade in [0, 1] is the share of right answers or a statistic,
with a 95 % interval over models where models make a difference; `pass_if` is the condition on the grade, and a suite
may set it. `simbench describe NAME` shows the same in a terminal.

"""
    parts = [_heading(2, kind.name) + _prose(kind.doc) + "\n" + _parameters_table(kind.parameters) for kind in kinds]
    return head + _table(("kind", "a sound index must show", "passes at"), rows) + "\n" + "\n".join(parts)


test_kinds.__test__ = False  # type: ignore[attr-defined]


# --- commands ---------------------------------------------------------------------------------------------------------


def commands() -> str:
    """Return the page of verbs with their arguments and options."""
    verbs = {verb: importlib.import_module(f"simbench.cli.{verb}").command for verb in VERBS}
    rows = [(f"[`{verb}`](#{verb})", _one_line(command.__doc__)) for verb, command in verbs.items()]
    head = f"""# Commands

{WRITTEN}
A suite is the name of a bundled one (`simbench list suites`) or a YAML file. `--json` prints one JSON document on
standard output and nothing else there; progress goes to standard error.

| exit code | meaning |
| --- | --- |
| 0 | all well |
| 1 | a check, or a verdict that `--fail-on` names, did not hold |
| 2 | usage or suite error |
| 3 | the run is incomplete, or a component raised an error |
| 130 | interrupted |

"""
    return head + _table(("verb", "what it does"), rows) + "\n" + "\n".join(map(_verb, verbs, verbs.values()))


def _verb(name: str, command: Callable[..., None]) -> str:
    arguments, options = [], []
    for key, parameter in inspect.signature(command, eval_str=True).parameters.items():
        kind, info = get_args(parameter.annotation)[:2]
        if isinstance(info, ArgumentInfo):
            arguments.append((info.metavar or key.upper(), _one_line(info.help)))
        else:
            options.append((_code(_spelling(key, kind, info)), _one_line(info.help) + _default_of(parameter, info)))
    usage = " ".join(["simbench", name, *(metavar for metavar, _ in arguments)])
    lines = [_heading(2, name) + _one_line(command.__doc__) + f"\n\n```console\n{usage}\n```\n"]
    if arguments:
        lines.append(_table(("argument", ""), [(_code(metavar), text or "–") for metavar, text in arguments]))
    if options:
        lines.append(_table(("option", ""), options))
    return "\n".join(lines)


def _spelling(key: str, kind: Any, info: OptionInfo) -> str:
    """Return how an option is written: `-j, --jobs N`, `--engine processes|serial`, `--force`."""
    flag = "--" + key.replace("_", "-")
    # In an annotation, typer takes the first spelling for the default.
    first = (info.default,) if isinstance(info.default, str) and info.default.startswith("-") else ()
    named = ", ".join(sorted((*first, *(info.param_decls or ())), key=len)) or flag
    if kind is bool:
        return named
    choices = "|".join(choice.value for choice in kind) if isinstance(kind, type) and issubclass(kind, Enum) else ""
    return f"{named} {info.metavar or choices or key.upper()}"


def _default_of(parameter: inspect.Parameter, info: OptionInfo) -> str:
    value = getattr(parameter.default, "value", parameter.default)
    shown = isinstance(value, str | int | float | Path) and not isinstance(value, bool)
    return f" Default: `{value}`." if shown and "default" not in (info.help or "") else ""


# --- components -------------------------------------------------------------------------------------------------------

TITLES = {
    "transform": "Transforms of a representation",
    "dataset": "Datasets",
    "architecture": "Architectures",
    "loader": "Loaders of models",
    "engine": "Engines",
    "wrapper": "Wrappers of metrics",
    "generator": "Generators of synthetic models",
    "reparametrisation": "Reparametrisations of a model",
}
LISTED_ELSEWHERE = ("metric", "test kind")


def components() -> str:
    """Return the page of everything a suite may name, but metrics and test kinds, and of the bundled suites."""
    head = f"""# Components

{WRITTEN}
What a suite may name besides metrics ([metrics.md](metrics.md)) and test kinds ([test-kinds.md](test-kinds.md)). A
parameter without a default has to be given. `simbench describe NAME` shows the whole documentation of a component.
"""
    parts = [_components(title, listed) for title, listed in _registered().items() if listed]
    suites = [(f"`{suite.name}`", suite.summary) for suite in catalogue.entries(ListedKind.suites)]
    return head + "".join(parts) + _heading(2, "Bundled suites", before="\n") + _table(("suite", "about"), suites)


def _registered() -> dict[str, list[Entry]]:
    """Return the built-in components of every registry, by title, in the order of `TITLES`."""
    registries = {registry.kind: registry for registry in REGISTRIES if registry.kind not in LISTED_ELSEWHERE}
    order = [*TITLES, *(kind for kind in registries if kind not in TITLES)]
    return {
        TITLES.get(kind, kind.capitalize()): _built_in(_entries_of(registries[kind]))
        for kind in order
        if kind in registries
    }


def _entries_of(registry: Registry[Any]) -> list[Entry]:
    listed = []
    for name, component in registry:
        function = next(
            (part for key in ("function", "make", "build") if callable(part := getattr(component, key, None))),
            component,
        )
        doc = inspect.getdoc(function) or inspect.getdoc(component) or ""
        origin = registry.origin(name)
        parameters = tuple(_parameters_of(function))
        listed.append(
            Entry(
                registry.kind, name, doc.partition("\n\n")[0].replace("\n", " "), origin.module, "", 0, {}, parameters
            )
        )
    return listed


def _parameters_of(function: Any) -> Iterator[Parameter]:
    try:
        yield from catalogue._parameters(function)
    except (TypeError, ValueError):  # a class of another kind, or a built-in: nothing to be set
        return


def _components(title: str, listed: Sequence[Entry]) -> str:
    rows = [(f"`{entry.name}`", entry.summary, "; ".join(map(_parameter, entry.parameters)) or "–") for entry in listed]
    return _heading(2, title, before="\n") + _table(("name", "", "parameters"), rows)


def _parameter(parameter: Parameter) -> str:
    kind = f": {parameter.type}" if parameter.type else ""
    return _code(f"{parameter.name}{kind}" + ("" if parameter.default is None else f" = {parameter.default}"))


# --- keys of a suite --------------------------------------------------------------------------------------------------

PARTS: Mapping[str, tuple[str, str]] = {
    "Suite": ("The suite", "The keys at the top of a file."),
    "Probe": ("`probe`", "The inputs on which representations are read, and the rule that makes a matrix of them."),
    "FitProbe": ("`probe.fit`", "The inputs on which metrics that learn a map fit it."),
    "ModelSpec": ("`models.NAME`", "One group of models; `like: OTHER` copies the keys of another group."),
    "Training": ("`models.NAME.train`", "How a model is trained."),
    "Conditions": ("Training conditions", "What is done to the training data; keys of `train`, too."),
    "Distillation": ("`train.distil`", "What is learned in place of the labels."),
    "DeclaredTest": (
        "`tests[]`",
        "What every test declares; each kind adds keys of its own ([test kinds](test-kinds.md)).",
    ),
    "SampledPairs": (
        "`pairs` of a test",
        "Kinds that compare pairs of models take `pairs: {sample: 1000}` in place of `all`, of which there are 499,500 "
        "for 1,000 models. A p-value from permuting models takes all pairs: a sample has none, and a remark says so.",
    ),
}


def suite_keys() -> str:
    """Return the page of all keys of a suite file."""
    head = f"""# Keys of a suite

{WRITTEN}
`simbench check FILE.yaml` lists every mistake with file, line, column and the nearest valid name;
`simbench suite schema > suite.schema.json` gives editors the same as a JSON Schema. How they are used:
[suites of your own](suites-of-your-own.md).
"""
    return head + "".join(_part(name, *words) for name, words in PARTS.items() if hasattr(schema, name))


def _part(name: str, title: str, about: str) -> str:
    model: type[BaseModel] = getattr(schema, name)
    inherited = set(schema.Conditions.model_fields) if model is Training else set()
    texts = _texts_of(model)
    rows = [
        (f"`{key}`", _code(_type(info)), _default(info), texts.get(key, info.description or ""))
        for key, info in model.model_fields.items()
        if key not in inherited
    ]
    return _heading(2, title, before="\n") + about + "\n\n" + _table(("key", "value", "default", ""), rows)


def _type(info: Any) -> str:
    return ", ".join([catalogue.type_name(info.annotation), *catalogue._bounds(info.metadata)])


def _default(info: Any) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    return "" if value is PydanticUndefined else _code(to_json(value, fallback=str).decode())


def _texts_of(model: type[BaseModel]) -> dict[str, str]:
    """Return what the source says of each field: an `Attributes:` section, or the string below the field."""
    texts = _attributes(inspect.getdoc(model) or "")
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, below in zip(body.body, body.body[1:], strict=False):
        named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if named and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            texts.setdefault(field.target.id, _one_line(str(below.value.value)))  # type: ignore[union-attr]
    return texts


def _attributes(doc: str) -> dict[str, str]:
    """Return the entries of the `Attributes:` section of a docstring, each on one line."""
    _, _, section = doc.partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", section, re.MULTILINE)
    return {name: _one_line(text) for name, text in entries}


# --- Markdown ---------------------------------------------------------------------------------------------------------


def _built_in(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.module.startswith("simbench.")]


def _heading(level: int, text: str, before: str = "") -> str:
    return f"{before}{'#' * level} {text}\n\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [columns, ["---"] * len(columns), *(map(_escaped, row) for row in rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def _parameters_table(parameters: Sequence[Parameter]) -> str:
    rows = [
        (f"`{key.name}`", _code(key.type), "required" if key.default is None else _code(key.default))
        for key in parameters
    ]
    return _table(("key", "value", "default"), rows)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _prose(doc: str) -> str:
    """Return a docstring as Markdown: sections of the google convention become words in italics."""
    named = re.sub(r"^(Args|Raises|Returns|Attributes|Source):", r"*\1:*", doc, flags=re.MULTILINE)
    return named.strip() + "\n"


def stale(written: Mapping[str, str], folder: Path = DOCS) -> list[str]:
    """Return the names of the pages whose files in `folder` are missing or differ from `written`."""
    files = {name: folder / name for name in written}
    return [n for n, file in files.items() if not file.is_file() or file.read_text(encoding="utf-8") != written[n]]


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` only name those that are not current."""
    written = pages()
    names = stale(written)
    if "--check" in arguments:
        print(*(f"not current: docs/{name}; run python docs/make_pages.py" for name in names), sep="\n", end="")
        return 1 if names else 0
    for name in names:
        write_text(DOCS / name, written[name])
        print(DOCS / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
