"""publish --bundle, verify, leaderboard merge: what they write, print and return."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simbench.bundles.archive import read_files
from simbench.bundles.contents import parse
from simbench.errors import ExitCode
from simbench.registry import METRICS

SUITE = """\
suite: tiny
version: 1
probe: {dataset: digits, split: test, inputs: 60, fit: {split: train, inputs: 120}}
models:
  mlp:
    architecture: {name: mlp, width: 8, depth: 3}
    train: {dataset: digits, epochs: 1, learning_rate: 0.01}
    seeds: [0, 1]
metrics: [cka, procrustes]
tests:
  - {id: identity, kind: identity, models: [mlp]}
  - {id: invariance, kind: invariance, models: [mlp], layers: [block2], transforms: [orthogonal]}
"""
Invoke = Callable[..., Any]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, trains: None) -> Path:
    """A folder with a suite and the store of its run."""
    from simbench.run.session import run

    folder = tmp_path_factory.mktemp("ran")
    (folder / "tiny.yaml").write_text(SUITE)
    with METRICS.isolated():
        run(str(folder / "tiny.yaml"), store=folder / "store", engine="serial", device="cpu")
    return folder


@pytest.fixture
def bundle(ran: Path, invoke: Invoke, tmp_path: Path) -> Path:
    """The bundle that `publish` writes."""
    done = invoke("publish", ran / "tiny.yaml", "--store", ran / "store", "--out", "board", "--bundle", "ann.zip")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "ann.zip"
    return tmp_path / "ann.zip"


def tampered(bundle: Path) -> Path:
    """A copy with one letter of one file changed."""
    path = bundle.with_name("bob.zip")
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(b'"seconds"', b'"seconds" ', 1) if "cka" in name else content)
    return path


def test_a_bundle_verifies(bundle: Path, invoke: Invoke) -> None:
    done = invoke("verify", bundle)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "verified: regraded")


def test_a_bundle_as_a_folder_verifies(ran: Path, invoke: Invoke) -> None:
    invoke("publish", ran / "tiny.yaml", "--store", ran / "store", "--bundle", "folder")
    assert invoke("verify", "folder").exit_code == 0


def test_a_bundle_of_the_metrics_given_alone(ran: Path, invoke: Invoke) -> None:
    alone = (ran / "tiny.yaml", "--store", ran / "store", "--no-suite-metrics", "-m", "procrustes")
    planned = json.loads(invoke("plan", *alone, "--json").stdout)
    assert [(metric["metric"], metric["cached"] == metric["total"]) for metric in planned["metrics"]] == [
        ("procrustes", True)
    ]
    done = invoke("publish", *alone, "--out", "board", "--bundle", "ann.zip")
    assert done.exit_code == 0, done.output
    contents = parse(read_files(Path("ann.zip")))
    assert [metric.label for metric in contents.metrics] == ["procrustes"]
    assert [metric.name for metric in contents.suite.metrics] == ["procrustes"]
    assert invoke("verify", "ann.zip").exit_code == 0


@pytest.mark.parametrize("verb", ["plan", "publish"])
def test_no_metric_at_all_is_a_mistake(ran: Path, invoke: Invoke, verb: str) -> None:
    done = invoke(verb, ran / "tiny.yaml", "--store", ran / "store", "--no-suite-metrics")
    assert done.exit_code == ExitCode.USAGE
    assert "nothing to score: give one by --metric" in done.stderr


@pytest.mark.parametrize("dirty", [True, False])
def test_a_board_says_its_commit_and_a_dirty_checkout_is_named(
    ran: Path, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dirty: bool
) -> None:
    facts = {"simbench": "1.2.3", "commit": "abcdef" * 6, "dirty": dirty}
    monkeypatch.setattr("simbench.bundles.pack.made_with", lambda: facts)
    done = invoke("publish", ran / "tiny.yaml", "--store", ran / "store", "--out", "board")
    assert done.exit_code == 0
    warned = "warning: this simbench is not what commit abcdefabcdef holds: publish from a clean checkout"
    assert (warned in done.stderr.splitlines()) == dirty
    page = (tmp_path / "board/tiny/README.md").read_text()
    assert f"| made with | commit {'abcdef' * 6}, dirty {'yes' if dirty else 'no'}, simbench 1.2.3 |" in page
    assert invoke("verify", "board/tiny").exit_code == 0


def test_json_is_one_document(bundle: Path, ran: Path, invoke: Invoke) -> None:
    done = invoke("verify", bundle, "--rescore", "--store", ran / "store", "--engine", "serial", "--json")
    document = json.loads(done.stdout)
    assert (document["verified"], document["reached"], document["exit_code"]) == (True, "rescored", 0)
    assert [level["status"] for level in document["levels"]] == ["verified", "verified", "verified", "not asked"]
    assert document["seed"] is not None


def test_what_differs_is_named_and_exits_with_1(bundle: Path, invoke: Invoke) -> None:
    done = invoke("verify", tampered(bundle))
    assert done.exit_code == ExitCode.VERDICT_FAILED
    assert "checksum: scores/cka.jsonl" in done.stdout
    assert done.stdout.splitlines()[-1] == "NOT VERIFIED: checksum not as claimed"


@pytest.mark.parametrize("target", ["nowhere.zip", "empty", "text.zip"])
def test_what_is_no_bundle_exits_with_2_and_one_line(invoke: Invoke, tmp_path: Path, target: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("hello")
    done = invoke("verify", target)
    assert done.exit_code == ExitCode.USAGE
    assert done.stderr.startswith(f"error: {target}")
    assert len(done.stderr.splitlines()) == 1


def test_what_cannot_be_checked_here_exits_with_3(bundle: Path, invoke: Invoke) -> None:
    done = invoke("verify", bundle, "--rescore", "--store", "empty")
    assert done.exit_code == ExitCode.INCOMPLETE
    assert "models not at hand" in done.stdout


def test_bundles_are_merged_into_a_board_and_a_bundle(bundle: Path, invoke: Invoke, tmp_path: Path) -> None:
    bob = bundle.with_name("bob.zip")
    bob.write_bytes(bundle.read_bytes())
    done = invoke("leaderboard", "merge", bundle, bob, "--out", "merged")
    assert done.exit_code == 0, done.output
    assert "cka: ann.zip and bob.zip agree" in done.stderr
    document = json.loads((tmp_path / "merged/tiny/leaderboard.json").read_text())
    assert set(document["provenance"]["bundles"]) == {"ann.zip", "bob.zip"}
    assert invoke("verify", tmp_path / "merged/tiny/bundle.zip").exit_code == 0


def test_a_tampered_bundle_is_not_merged(bundle: Path, invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("leaderboard", "merge", bundle, tampered(bundle), "--out", "merged")
    assert done.exit_code == ExitCode.VERDICT_FAILED
    assert "bob.zip does not hold what it claims: checksum: scores/cka.jsonl" in done.stderr
    assert not (tmp_path / "merged").exists()


def test_a_board_that_stands_there_loses_no_row_in_silence(
    bundle: Path, ran: Path, invoke: Invoke, tmp_path: Path
) -> None:
    alone = ("--store", ran / "store", "--no-suite-metrics", "-m", "procrustes", "--out", "mine", "--bundle", "bob.zip")
    invoke("publish", ran / "tiny.yaml", *alone)
    before = (tmp_path / "board/tiny/leaderboard.json").read_bytes()
    done = invoke("leaderboard", "merge", "bob.zip", "--out", "board")
    assert (done.exit_code, done.stdout) == (ExitCode.USAGE, "")
    assert "1 rows of the board that stands there would be lost: cka" in done.stderr
    assert (tmp_path / "board/tiny/leaderboard.json").read_bytes() == before
    assert invoke("leaderboard", "merge", "board/tiny", "bob.zip", "--out", "board").exit_code == 0
    assert invoke("verify", "board/tiny").exit_code == 0
    assert invoke("leaderboard", "merge", "bob.zip", "--out", "board", "--drop", "cka").exit_code == 0


def test_the_official_bundle_may_be_named(bundle: Path, invoke: Invoke) -> None:
    bundle.with_name("bob.zip").write_bytes(bundle.read_bytes())
    done = invoke("leaderboard", "merge", "bob.zip", "--official", "ann.zip", "--out", "merged")
    assert done.exit_code == 0, done.output
    assert "the scores are those of ann.zip" in done.stderr


def test_a_bundle_given_twice_is_a_mistake(bundle: Path, invoke: Invoke) -> None:
    assert invoke("leaderboard", "merge", bundle, bundle).exit_code == ExitCode.USAGE


def test_pictures_of_a_suite(ran: Path, invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("plot", ran / "tiny.yaml", "--store", ran / "store", "--format", "svg", "--out", "pictures")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "tiny-grades.svg", "tiny-heatmaps-identity.svg", "tiny-invariance.svg", "tiny-standing.svg",
    ]  # fmt: skip


def test_pictures_of_a_bundle_are_those_of_its_suite(ran: Path, bundle: Path, invoke: Invoke, tmp_path: Path) -> None:
    for source, out in ((ran / "tiny.yaml", "one"), (bundle, "two")):
        invoke("plot", source, "--store", ran / "store", "--format", "svg", "--out", out, "--test", "identity")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


def test_pictures_of_a_run(ran: Path, invoke: Invoke, tmp_path: Path) -> None:
    run_id = next((ran / "store/runs").iterdir()).stem
    done = invoke("plot", run_id, "--store", ran / "store", "--out", "pictures", "--test", "identity")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "pictures/tiny-grades.png").is_file()


def test_a_picture_of_an_unknown_metric_gets_the_nearest_name(ran: Path, invoke: Invoke) -> None:
    done = invoke("plot", ran / "tiny.yaml", "--store", ran / "store", "--metric", "ckaa")
    assert (done.exit_code, done.stderr) == (2, 'error: unknown metric "ckaa"; did you mean "cka"?\n')


def test_without_matplotlib_the_install_line_is_said(
    ran: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("matplotlib", "simbench.plots"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = invoke("plot", ran / "tiny.yaml", "--store", ran / "store")
    assert done.exit_code == 2
    assert done.stderr == "error: plot needs matplotlib: pip install 'simbench-leaderboard[plot]'\n"
