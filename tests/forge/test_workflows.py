"""The habits of the project hold together: workflows parse and call targets that exist, one version, lowest bounds."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import simbench

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ("3.11", "3.12", "3.13")


def parsed(path: Path) -> dict[Any, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def commands(workflow: Path) -> list[str]:
    """Return what the steps of all jobs run."""
    return [step["run"] for job in parsed(workflow)["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.fixture(scope="module")
def lowest() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ci_lowest", ROOT / ".ci" / "lowest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_there_are_the_workflows_that_are_promised() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "nightly", "submission"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_jobs_that_end_and_reads_only(workflow: Path) -> None:
    content = parsed(workflow)
    assert content["permissions"] == {"contents": "read"}
    assert content["name"] == workflow.stem
    for job in content["jobs"].values():
        assert job["timeout-minutes"] > 0
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_checkouts_keep_no_credentials(workflow: Path) -> None:
    for job in parsed(workflow)["jobs"].values():
        for step in (one for one in job["steps"] if "uses" in one):
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
            if "checkout" in step["uses"]:
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_runs_is_there(workflow: Path) -> None:
    targets = set(re.findall(r"^(\S+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for command in commands(workflow):
        for target in re.findall(r"\bmake ([^\s-]\S*)", command):
            assert target in targets or target.replace(".venv", "$(VENV)") in targets
        for script in re.findall(r"(?:python |\s)((?:\.ci|docs)/[\w.]+)", command):
            assert (ROOT / script).is_file()


def test_the_tests_run_on_every_python_and_on_the_lowest_dependencies() -> None:
    matrix = parsed(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert tuple(matrix["python"]) == PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert {"python": PYTHONS[0], "dependencies": "lowest"} in matrix["include"]


def test_no_file_names_a_registry() -> None:
    files = [*WORKFLOWS, ROOT / "pyproject.toml", *(ROOT / ".ci").iterdir()]
    for file in (one for one in files if one.is_file()):
        assert not re.search(r"index-url|find-links|pypi\.org", file.read_text(encoding="utf-8")), file


@pytest.mark.parametrize("form", [form for form in FORMS if form.stem != "config"], ids=lambda path: path.stem)
def test_an_issue_form_asks_for_what_it_cannot_do_without(form: Path) -> None:
    content = parsed(form)
    assert {"name", "description", "body"} <= set(content)
    identifiers = [field["id"] for field in content["body"]]
    assert len(set(identifiers)) == len(identifiers)
    assert any(field.get("validations", {}).get("required") for field in content["body"])


def test_pre_commit_pins_every_repository() -> None:
    repositories = parsed(ROOT / ".pre-commit-config.yaml")["repos"]
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+", one["rev"]) for one in repositories)
    hooks = {hook["id"] for one in repositories for hook in one["hooks"]}
    assert {"ruff", "ruff-format", "check-yaml", "check-added-large-files"} <= hooks


def test_the_version_stands_in_one_place_and_the_citation_has_it() -> None:
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    citation = parsed(ROOT / "CITATION.cff")
    assert citation["version"] == simbench.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {simbench.__version__}" in changes


def test_every_section_of_the_changelog_but_the_first_version_says_what_is_computed_again() -> None:
    sections = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:-1]
    assert sections
    assert all("**Computed again" in section for section in sections)


def test_every_declared_dependency_has_a_lower_bound(lowest: ModuleType) -> None:
    constraints = lowest.lowest(lowest.declared())
    for requirement in PROJECT["dependencies"]:
        name, _, version = requirement.partition(">=")
        assert f"{name}=={version}.*" in constraints


@pytest.mark.parametrize("requirement", ["numpy<2", "numpy>=1.26,<3", "numpy ~= 1.26"])
def test_another_form_of_requirement_is_refused(lowest: ModuleType, requirement: str) -> None:
    with pytest.raises(ValueError, match="neither a name nor a lower bound"):
        lowest.lowest([requirement])


def test_two_bounds_of_one_package_are_refused(lowest: ModuleType) -> None:
    with pytest.raises(ValueError, match="two lower bounds of numpy"):
        lowest.lowest(["numpy>=1.26", "numpy>=2.0"])
