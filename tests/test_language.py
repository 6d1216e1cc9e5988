"""Rules of language that can be checked: how docstrings begin, and which names are not used."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import simbench

ROOT = Path(simbench.__file__).parent
REPOSITORY = Path(__file__).parents[1]
PARTS = sorted({path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")})
# A docstring says what is done or what an object is, and names it, before any clause.
CLAUSES = ("Of", "What", "Whose", "That", "Which", "How", "Where", "Why", "By")
# Names that fit any variable.
VAGUE = {"one", "found", "known", "told", "held"}
# Every use of such a name in a script, but for properties (`cell.held`, `held: true`).
VAGUE_IN_SCRIPTS = re.compile(rf"(?:(?<![\w.$-])|(?<=\.\.\.))(?:{'|'.join(sorted(VAGUE))})\b(?!\s*:)")
COMMENTS_AND_STRINGS = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*|\"[^\"\n]*\"", re.DOTALL)
# Words of former versions, and the lines where a key or a stored file keeps one of them.
FORMER_WORDS = re.compile(
    r"(?<![A-Za-z])(doors?|companions?|offenders?|constructed|constructions?)(?![a-z])", re.IGNORECASE
)
KEPT = {
    "benchmark/simbench/plan/plan.py": '"construction"',
    "benchmark/simbench/sanity/kinds/distribution_sensitivity.py": '"construction"',
    "benchmark/simbench/results/record.py": "companions",
    "docs/suites.md": "by construction",
}
TEXTS = sorted(
    path
    for folder, pattern in (
        (ROOT, "**/*.py"),
        (ROOT, "**/*.js"),
        (ROOT, "**/*.css"),
        (ROOT, "**/*.j2"),
        (REPOSITORY / "suites", "*"),
        (REPOSITORY / "docs", "**/*.md"),
        (REPOSITORY / "docs", "*.py"),
        (REPOSITORY / ".ci", "*.py"),
        (REPOSITORY, "*.md"),
    )
    for path in folder.glob(pattern)
    if path.name != "CHANGELOG.md"
)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the docstrings of a file with the lines of what they describe."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield getattr(node, "lineno", 1), text


@pytest.mark.parametrize("part", PARTS)
def test_docstrings_begin_with_a_verb_or_a_noun(part: str) -> None:
    files = [ROOT / f"{part}.py"] if (ROOT / f"{part}.py").is_file() else sorted((ROOT / part).rglob("*.py"))
    clauses = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in files
        for line, text in docstrings(path)
        if re.match(rf"({'|'.join(CLAUSES)})\b", text)
    ]
    assert files
    assert clauses == []


def test_no_module_or_package_has_the_name_of_one_of_the_standard_library() -> None:
    modules = {path.parent if path.stem == "__init__" else path for path in ROOT.rglob("*.py")} - {ROOT}
    assert [path.relative_to(ROOT).as_posix() for path in modules if path.stem in sys.stdlib_module_names] == []


def test_variables_say_what_they_hold() -> None:
    vague = {
        f"{path.relative_to(REPOSITORY)}:{node.lineno}: {name}"
        for path in TEXTS
        if path.suffix == ".py"
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.Lambda)
        for node in ast.walk(function)
        if isinstance(node, ast.Name | ast.arg)
        for name in [node.id if isinstance(node, ast.Name) else node.arg]
        if name in VAGUE
    }
    assert not vague


def test_variables_of_scripts_say_what_they_hold() -> None:
    scripts = [path for path in TEXTS if path.suffix == ".js" and path.parent.name != "vendor"]
    vague = [
        f"{path.name}: {use[0]}"
        for path in scripts
        for use in VAGUE_IN_SCRIPTS.finditer(COMMENTS_AND_STRINGS.sub("", path.read_text(encoding="utf-8")))
    ]
    assert len(scripts) > 5
    assert vague == []


def test_former_words_are_gone() -> None:
    former = [
        f"{name}:{number}: {line.strip()}"
        for path in TEXTS
        for name in [path.relative_to(REPOSITORY).as_posix()]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORMER_WORDS.search(line) and KEPT.get(name, "\n") not in line
    ]
    assert former == []
    assert {path.suffix for path in TEXTS} >= {".py", ".js", ".css", ".j2", ".md", ".yaml"}
