"""Provenance: the facts a number may depend on beyond its key, under an id that depends on nothing else."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from simbench.results.provenance import collect, committed_hashes, identifier, made_with

FACTS = {"python": "3.11", "versions": {"torch": "2.4", "numpy": "1.26"}, "jobs": 2}


@pytest.mark.process
def test_the_same_facts_have_the_same_id_in_any_order_and_process() -> None:
    turned = {"jobs": 2, "versions": {"numpy": "1.26", "torch": "2.4"}, "python": "3.11"}
    script = f"from simbench.results.provenance import identifier; print(identifier({turned!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert identifier(FACTS) == identifier(turned) == done.stdout.strip() == "00b986cd43da6614"


def test_other_facts_have_another_id() -> None:
    assert identifier(FACTS) != identifier(FACTS | {"jobs": 3})


def test_facts_are_the_same_when_collected_again() -> None:
    one, other = (collect(device="cpu", device_name="a cpu", jobs=2, engine="serial") for _ in range(2))
    assert identifier(one) == identifier(other)


def test_facts_are_plain_data_and_complete() -> None:
    facts = collect(device="cpu", device_name="a cpu", jobs=2, engine="serial")
    assert json.loads(json.dumps(facts)) == facts
    assert {"commit", "dirty", "versions", "python", "os", "cpu", "device", "jobs", "engine", "dtype"} <= set(facts)
    assert "torch" in facts["versions"]


def checkout(folder: Path, package: str) -> Path:
    """Return the folder of a package in a repository of one commit."""
    (folder / package).mkdir(parents=True)
    (folder / package / "code.py").write_text("x = 1\n")
    commands = (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"])
    for command in commands:
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return folder / package


@pytest.mark.process
def test_a_checkout_of_simbench_has_a_commit_and_may_be_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = checkout(tmp_path, "benchmark/simbench")
    monkeypatch.setattr("simbench.results.provenance.PACKAGE", package)
    head = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    clean = made_with()
    assert (clean["commit"], clean["dirty"]) == (head.stdout.strip(), False)
    (tmp_path / "notes.txt").write_text("beside the code")
    assert made_with() == clean
    (package / "code.py").write_text("x = 2\n")
    assert made_with() == {**clean, "dirty": True}


@pytest.mark.process
@pytest.mark.parametrize("place", ["vendored/simbench", "venv/lib/python3.11/site-packages/simbench"])
def test_a_checkout_of_something_else_says_nothing_of_simbench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr("simbench.results.provenance.PACKAGE", checkout(tmp_path, place))
    assert made_with().keys() == {"simbench"}
    facts = collect(device="cpu", device_name="a cpu", jobs=2, engine="serial")
    assert (facts["commit"], facts["dirty"]) == (None, None)


@pytest.mark.process
def test_the_history_of_a_checkout_has_every_version_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = checkout(tmp_path, "benchmark/simbench")
    monkeypatch.setattr("simbench.results.provenance.PACKAGE", package)
    first = (package / "code.py").read_bytes()
    (package / "code.py").write_bytes(second := b"x = 2\n")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", str(tmp_path), *identity, "commit", "-qam", "second"], check=True)
    (package / "code.py").write_bytes(b"x = 3\n")
    assert committed_hashes("simbench/code.py") == {hashlib.sha256(content).hexdigest() for content in (first, second)}
    assert committed_hashes("simbench/other.py") == set()
    monkeypatch.setattr("simbench.results.provenance.PACKAGE", tmp_path / "elsewhere")
    assert committed_hashes("simbench/code.py") is None
