"""The site of the documentation: its pages, and where their links lead. `make site` builds it, warnings as errors."""

from __future__ import annotations

import doctest
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import simbench

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def script(name: str) -> ModuleType:
    """Import a script of the folder of documentation."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    return script("site_hooks")


def pages(part: Any) -> Iterator[str]:
    """Yield the files that a part of the navigation names."""
    if isinstance(part, str):
        yield part
    else:
        for inner in part if isinstance(part, list) else part.values():
            yield from pages(inner)


def test_every_page_is_in_the_navigation_once(hooks: ModuleType) -> None:
    named = list(pages(yaml.safe_load(CONFIGURATION)["nav"]))
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    notebooks = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs" / "notebooks").glob("*.py")}
    assert sorted(named) == sorted(written | notebooks | set(hooks.PAGES.values()))


def test_warnings_are_errors_and_nothing_is_loaded_from_elsewhere() -> None:
    configuration = yaml.safe_load(CONFIGURATION)
    assert configuration["strict"] is True
    assert configuration["theme"]["font"] is False
    assert "//" not in CONFIGURATION


def test_links_of_the_repository_become_those_of_the_site(hooks: ModuleType) -> None:
    assert doctest.testmod(hooks).failed == 0
    assert hooks.relinked("[a](../../CHANGELOG.md) [b](http://x.org/y.md)", "decisions/bundles.md") == (
        "[a](../changelog.md) [b](http://x.org/y.md)"
    )
    assert hooks.relinked("[a](docs/decisions/README.md#x) [b](#here)", "contributing.md") == (
        "[a](decisions/README.md#x) [b](#here)"
    )


def test_the_page_of_python_shows_every_exported_name() -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    shown = {line.rpartition(".")[2] for line in text.splitlines() if line.startswith("::: ")}
    renamed = {"__version__", "test_kind"}
    assert set(simbench.__all__) - renamed <= shown
    assert "`simbench.test_kind`" in text


def test_the_diagrams_are_drawn_from_their_sources() -> None:
    for source in (ROOT / "docs" / "pictures").glob("*.mmd"):
        drawing = source.with_suffix(".svg").read_text(encoding="utf-8")
        labels = [part.split('"')[1] for part in source.read_text(encoding="utf-8").splitlines() if '["' in part]
        for label in labels:
            assert label.split()[0] in drawing, f"python docs/make_diagrams.py: {source.name} has {label}"


def test_the_choice_of_an_index_is_what_the_boards_say() -> None:
    choosing = script("make_choosing")
    text = (ROOT / "docs" / "choosing-an-index.md").read_text(encoding="utf-8")
    assert text == choosing.page(), "python docs/make_choosing.py"


def test_only_decided_verdicts_are_shown(tmp_path: Path) -> None:
    def cell(outcome: str, owed: str = "required") -> dict[str, str]:
        return {"outcome": outcome, "owed": owed}

    def row(metric: str, **tests: dict[str, str]) -> dict[str, Any]:
        return {"metric": metric, "standing": {"geometry": {}}, "tests": tests}

    choosing = script("make_choosing")
    column = {"id": "mine", "kind": "identity", "parent": None}
    rows = [
        row("good", mine=cell("pass")),
        row("bad", mine=cell("fail")),
        row("unsure", mine=cell("undecided")),
        row("free", mine=cell("fail", "not promised")),
    ]
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "leaderboard.json").write_text(json.dumps({"columns": [column], "rows": rows}))
    (tmp_path / "second").mkdir()
    again = [row("bad", mine=cell("pass")), row("good", mine=cell("partly"))]
    (tmp_path / "second" / "leaderboard.json").write_text(json.dumps({"columns": [column], "rows": again}))
    assert "| geometry | `good` | `bad` (first) |\n" in choosing.page(tmp_path)
    assert "unsure" not in choosing.page(tmp_path)
    assert "free" not in choosing.page(tmp_path)
