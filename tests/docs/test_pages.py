"""The generated pages are current and complete, links lead somewhere, and every command that a page shows exists."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from simbench.catalogue.entries import entries
from simbench.catalogue.kinds import ListedKind
from simbench.cli.main import VERBS
from simbench.suite.schema import Training

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob(".github/**/*.md")})


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_pages", DOCS / "make_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_what_the_generator_writes(generator: ModuleType) -> None:
    assert generator.stale(generator.pages()) == [], "python docs/make_pages.py"


def test_a_page_that_differs_or_is_missing_is_stale(generator: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "same.md").write_text("same", encoding="utf-8")
    (tmp_path / "other.md").write_text("old", encoding="utf-8")
    assert generator.stale({"same.md": "same", "other.md": "new", "none.md": ""}, tmp_path) == ["other.md", "none.md"]


def test_every_test_kind_has_a_row_and_a_section(generator: ModuleType) -> None:
    page = generator.test_kinds()
    for kind in entries(ListedKind.tests):
        if kind.module.startswith("simbench."):
            assert f"| [`{kind.name}`](#{kind.name}) |" in page
            assert f"\n## {kind.name}\n" in page


def test_every_verb_has_a_section_with_all_its_options(generator: ModuleType) -> None:
    page = generator.commands()
    for verb in VERBS:
        section = page.partition(f"\n## {verb}\n")[2].partition("\n## ")[0]
        assert f"simbench {verb}" in section
        assert len(re.findall(r"^\| `", section, re.MULTILINE)) == len(
            inspect.signature(importlib.import_module(f"simbench.cli.{verb}").command).parameters
        )


@pytest.mark.parametrize("kind", [ListedKind.transforms, ListedKind.datasets, ListedKind.architectures])
def test_every_component_has_a_row(generator: ModuleType, kind: ListedKind) -> None:
    page = generator.components()
    for component in entries(kind):
        if component.module.startswith("simbench."):
            assert f"| `{component.name}` |" in page


def test_every_training_key_has_a_row(generator: ModuleType) -> None:
    page = generator.suite_keys()
    for key in Training.model_fields:
        assert f"| `{key}` |" in page


def test_texts_come_from_attributes_sections_and_from_strings_below_fields(generator: ModuleType) -> None:
    doc = "A model.\n\nAttributes:\n    first: one line.\n    second: two\n        lines.\n"
    assert generator._attributes(doc) == {"first": "one line.", "second": "two lines."}
    assert "labels" in generator._texts_of(generator.schema.Conditions)["label_noise"]


def _links() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http", "mailto:")):
                yield str(page.relative_to(ROOT)), target


@pytest.mark.parametrize(("page", "target"), sorted(set(_links())))
def test_every_link_leads_to_a_file_and_a_heading(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    linked = (ROOT / page).parent / path if path else ROOT / page
    assert linked.exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _shown_commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.splitlines():
                if line.startswith("simbench "):
                    yield str(page.relative_to(ROOT)), line.partition("  #")[0].strip()


@pytest.mark.parametrize(("page", "line"), sorted(set(_shown_commands())))
def test_every_command_shown_has_a_verb_and_options_that_exist(generator: ModuleType, page: str, line: str) -> None:
    words = shlex.split(line)
    assert words[1] in VERBS
    section = generator.commands().partition(f"\n## {words[1]}\n")[2].partition("\n## ")[0]
    for word in words[2:]:
        if word.startswith("-"):
            assert re.search(rf"[`, /]{re.escape(word)}[` ,/]", section), f"{word} is no option of {words[1]}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent == DOCS / "decisions" and page.name != "README.md"]
)
def test_every_decision_has_its_four_parts_and_is_in_the_index(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "\n**Status**: " in text
    for heading in ("Context", "Decision", "Consequences"):
        assert f"\n## {heading}\n" in text
    assert f"]({page.name})" in (page.parent / "README.md").read_text(encoding="utf-8")
