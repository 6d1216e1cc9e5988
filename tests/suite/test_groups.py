"""Groups of models that are loaded: a file by seed, by member, or named in a mapping."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simbench.suite.load import load_suite
from simbench.suite.schema import ModelSpec

Changed = Callable[[str, str], Path]
Problems = Callable[[Path], list[str]]

GROUP = """\
  net:
    architecture: {name: mlp, width: 8, depth: 3}
    train: {dataset: digits, epochs: 1}
"""
TRAINED = "train: {dataset: digits, epochs: 1}"


def written(changed: Changed, declared: str) -> Path:
    return changed(GROUP, f"  net: {{architecture: {{name: mlp, width: 8, depth: 3}}, {declared}}}\n")


def group(changed: Changed, declared: str) -> ModelSpec:
    return load_suite(str(written(changed, declared))).models["net"]


def files_of(spec: ModelSpec) -> dict[str, str]:
    return {str(model): spec.weights(model) for model in spec.models("net")}


@pytest.mark.parametrize(
    ("declared", "files"),
    [
        ('load: "runs/{seed}.pt", seeds: [0, 2]', {"net/0": "runs/0.pt", "net/2": "runs/2.pt"}),
        ('load: "{member}/{member}.pt", members: [a, 7]', {"net/a": "a/a.pt", "net/7": "7/7.pt"}),
        ("load: {a: x.pt, epoch=3: y.pt}", {"net/a": "x.pt", "net/epoch=3": "y.pt"}),
        ("load: x.pt, members: [a]", {"net/a": "x.pt"}),
    ],
)
def test_every_model_has_its_file(changed: Changed, declared: str, files: dict[str, str]) -> None:
    assert files_of(group(changed, declared)) == files


@pytest.mark.parametrize(
    "declared", ['load: "runs/{seed}.pt"', 'load: "runs/{member}.pt", members: [0]', "load: {0: runs/0.pt}"]
)
def test_files_are_found_beside_the_suite(changed: Changed, tmp_path: Path, declared: str) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "0.pt").touch()
    assert files_of(group(changed, declared)) == {"net/0": str(tmp_path.resolve() / "runs" / "0.pt")}


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ('load: "{member}.pt"', "models.net: `load` has a place for {member}: give `members`, a list of names"),
        (
            'load: "{seed}.pt", members: [a]',
            "models.net: `load` has a place for {seed}, and `members` have none: write {member}",
        ),
        ('load: "{member}.pt", members: [a], seeds: [0]', "models.net: give either `seeds` or `members`"),
        (f"{TRAINED}, members: [a]", "models.net: `members` are models from files; models that are trained have"),
        ("load: {a: x.pt}, members: [a]", "models.net: `load` names the members: leave out `seeds` and `members`"),
        ('load: "{member}.pt", members: [a, a]', "models.net.members: a member appears twice"),
        ("load: {a/b: x.pt}", 'models.net.load.a/b: "a/b" cannot name a member: letters, digits and signs but /\\{}'),
        ('load: "{member}.pt", members: [" a"]', 'models.net.members[0]: " a" cannot name a member'),
        ('load: "{member}.pt", members: ["a\\nb"]', 'models.net.members[0]: "a\\nb" cannot name a member'),
    ],
)
def test_contradictions_are_named(changed: Changed, problems_of: Problems, declared: str, said: str) -> None:
    (problem,) = problems_of(written(changed, declared))
    assert said in problem


def test_suites_without_members_are_written_as_ever(changed: Changed) -> None:
    dumped = [group(changed, declared).model_dump(mode="json") for declared in (TRAINED, "load: x.pt, members: [a]")]
    assert "members" not in dumped[0]
    assert dumped[0]["seeds"] == [0]
    assert "seeds" not in dumped[1]
    assert dumped[1]["members"] == ["a"]
    assert ModelSpec.model_validate(dumped[1]).names == ("a",)
