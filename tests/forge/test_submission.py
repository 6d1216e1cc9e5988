"""The commands of the submission workflow do what it says: they are taken from the file and run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "submission.yml").read_text(encoding="utf-8"))
STEPS = WORKFLOW["jobs"]["verify"]["steps"]
INSTALL, PLAIN_VERIFY, MERGE = (step["run"] for step in STEPS if "run" in step)
# The workflow draws an unpredictable sample; here the same one is drawn each time, so that no chance decides the test.
VERIFY = PLAIN_VERIFY.replace("--sample 0.05", "--sample 0.05 --seed 1")
assert VERIFY != PLAIN_VERIFY


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The two checkouts that the job has, side by side, and `simbench` and `pip` as commands."""
    for side in ("base", "proposed"):
        (tmp_path / side / "submissions").mkdir(parents=True)
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, line in {
        "simbench": f'exec "{sys.executable}" -m simbench "$@"',
        "pip": 'test "$*" = "install ./base" && test -f base/pyproject.toml',
    }.items():
        (commands / name).write_text(f"#!/bin/sh\n{line}\n")
        (commands / name).chmod(0o755)
    return tmp_path


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """As a runner does: bash that stops at the first failure."""
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "SIMBENCH_STORE": f"{folder}/store"}
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command]
    return subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def tampered(bundle: Path, place: Path) -> None:
    """A bundle one of whose files is not what its manifest says."""
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(place, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (b" " if name == "leaderboard.json" else b""))


def test_it_runs_for_anybody_without_secrets() -> None:
    # YAML 1.1 reads the key `on` as true.
    assert set(WORKFLOW[True]) == {"pull_request"}
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "secrets" not in str(WORKFLOW)
    checkouts = [step["with"] for step in STEPS if "checkout" in step.get("uses", "")]
    assert [one["persist-credentials"] for one in checkouts] == [False, False]


def test_it_installs_the_base_branch(checkout: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", checkout / "base")
    assert run(INSTALL, checkout).returncode == 0


def test_no_bundles_are_no_failure(checkout: Path) -> None:
    assert run(VERIFY, checkout).returncode == 0
    assert run(MERGE, checkout).returncode == 0


def test_a_bundle_that_was_there_before_is_not_verified_again(checkout: Path) -> None:
    for side in ("base", "proposed"):
        (checkout / side / "submissions" / "quick-somebody.zip").write_bytes(b"not even a bundle")
    assert run(VERIFY, checkout).returncode == 0


def test_what_is_no_bundle_fails(checkout: Path) -> None:
    (checkout / "proposed" / "submissions" / "quick-b.zip").write_bytes(b"no bundle")
    assert run(VERIFY, checkout).returncode == 1


@pytest.mark.trains
def test_a_bundle_that_was_tampered_with_fails_and_the_others_are_still_checked(checkout: Path) -> None:
    folder = checkout / "proposed" / "submissions"
    tampered(ROOT / "leaderboard" / "quick" / "bundle.zip", folder / "quick-a.zip")
    (folder / "quick-b.zip").write_bytes(b"no bundle")
    told = run(VERIFY, checkout)
    assert told.returncode == 1, told.stderr
    assert [line for line in told.stdout.splitlines() if line.startswith("::group::")] == [
        "::group::quick-a.zip", "::group::quick-b.zip",
    ]  # fmt: skip


@pytest.mark.trains
def test_a_sound_bundle_passes_and_joins_the_board(checkout: Path) -> None:
    shutil.copy(ROOT / "leaderboard" / "quick" / "bundle.zip", checkout / "proposed" / "submissions" / "quick-a.zip")
    told = run(VERIFY, checkout)
    assert told.returncode == 0, told.stdout + told.stderr
    merged = run(MERGE, checkout)
    assert merged.returncode == 0, merged.stdout + merged.stderr
    assert (checkout / "merged" / "quick" / "leaderboard.json").is_file()


def test_a_bundle_joins_the_board_that_is_published(checkout: Path) -> None:
    shutil.copytree(ROOT / "leaderboard" / "quick", checkout / "base" / "leaderboard" / "quick")
    shutil.copy(ROOT / "leaderboard" / "quick" / "bundle.zip", checkout / "proposed" / "submissions" / "quick-a.zip")
    merged = run(MERGE, checkout)
    assert merged.returncode == 0, merged.stdout + merged.stderr
    assert "cka: quick and quick-a.zip agree" in merged.stderr


def test_what_is_no_bundle_joins_no_board(checkout: Path) -> None:
    (checkout / "proposed" / "submissions" / "quick-b.zip").write_bytes(b"no bundle")
    assert run(MERGE, checkout).returncode != 0
