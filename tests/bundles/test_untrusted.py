"""A bundle is something a stranger wrote: what is not safe or not well formed is refused with one line, exit code 2."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.verify.forging import edited, edited_score, reseal

from simbench.bundles import archive
from simbench.bundles.archive import BadBundleError, read_files, write_files
from simbench.bundles.contents import parse
from simbench.bundles.portable_suite import CannotCheckError, read_suite
from simbench.errors import ExitCode

Files = dict[str, bytes]


def zip_of(path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            file.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "name",
    ["../outside", "/etc/cron.d/x", "scores/../../x", "..\\x", "C:/x", ".ssh/config", "a/b/c/d/e", "x\ny", "scores//x"],
)
def test_names_that_leave_the_bundle_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadBundleError, match="not a name that a bundle may hold"):
        read_files(zip_of(tmp_path / "x.zip", (name, b"")))


def test_nothing_is_written_when_a_bundle_is_read(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", ("a.json", b"{}"), ("../evil", b""))
    with pytest.raises(BadBundleError):
        read_files(path)
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["empty_store", "x.zip"]


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("suite.yaml")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(BadBundleError, match="no links"):
        read_files(zip_of(tmp_path / "x.zip", (link, b"/etc/passwd")))


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc"])
def test_links_in_a_folder_are_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/suite.yaml").symlink_to(target)
    with pytest.raises(BadBundleError, match="no links"):
        read_files(tmp_path / "bundle")


def test_a_pipe_in_a_folder_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    os.mkfifo(tmp_path / "bundle/suite.yaml")
    with pytest.raises(BadBundleError, match="not a plain file"):
        read_files(tmp_path / "bundle")


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = zip_of(tmp_path / "x.zip", ("a.json", b"1"), ("a.json", b"2"))
    with pytest.raises(BadBundleError, match="stands twice"):
        read_files(path)


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_FILE", 1000)
    path = zip_of(tmp_path / "x.zip", ("zeros.json", b"0" * 10**6))
    assert path.stat().st_size < 2000
    with pytest.raises(BadBundleError, match="may have 1000"):
        read_files(path)


def test_many_files_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_BUNDLE", 1000)
    with pytest.raises(BadBundleError, match="unpacks to more"):
        read_files(zip_of(tmp_path / "x.zip", *((f"{number}.json", b"0" * 400) for number in range(3))))


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 3)
    with pytest.raises(BadBundleError, match="more than 3 files"):
        read_files(zip_of(tmp_path / "x.zip", *((f"{number}.json", b"") for number in range(4))))


def test_a_size_that_the_zip_lies_about_is_no_way_in(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", ("a.json", b"0" * 5000))
    content = path.read_bytes().replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(content)
    with pytest.raises(BadBundleError):
        read_files(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_what_is_no_zip_is_said_in_one_line(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(BadBundleError) as caught:
        read_files(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_score_that_is_no_number_is_refused(files: Files, value: str) -> None:
    lines = files["scores/cka.jsonl"].splitlines()
    record = json.loads(lines[0])
    lines[0] = json.dumps({**record, "value": "@"}).replace('"@"', value).encode()
    with pytest.raises(BadBundleError, match=r"scores/cka\.jsonl:1"):
        parse(reseal({**files, "scores/cka.jsonl": b"\n".join(lines)}))


@pytest.mark.parametrize(
    "change",
    [
        {"value": "0.5"},
        {"value": True},
        {"value": None},
        {"value": [0.5]},
        {"status": "fine"},
        {"seconds": "fast"},
        {"key": 5},
        {"extra": 1},
        {"warnings": "one"},
    ],
    ids=str,
)
def test_a_score_of_a_wrong_type_is_refused(files: Files, change: dict[str, Any]) -> None:
    with pytest.raises(BadBundleError, match=r"scores/cka\.jsonl:1"):
        parse(edited_score(files, "cka", lambda one: one.update(change)))


@pytest.mark.parametrize("name", ["manifest.json", "metrics.json", "provenance.json", "leaderboard.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"[", b"\xff\xfe", b"null", b"[1]", b'{"a": NaN}', b'{"a": 1e999}', b"[" * 100_000],
    ids=["empty", "open", "no UTF-8", "null", "a list", "NaN", "infinite", "deep"],
)
def test_json_that_is_none_is_refused(files: Files, name: str, content: bytes) -> None:
    with pytest.raises(BadBundleError, match=name):
        parse({**files, name: content})


@pytest.mark.parametrize(
    "name", ["manifest.json", "suite.yaml", "metrics.json", "scores/cka.jsonl", "leaderboard.json"]
)
def test_a_missing_file_is_named(files: Files, name: str) -> None:
    del files[name]
    with pytest.raises(BadBundleError, match=name):
        parse(files)


def test_a_file_that_has_no_place_in_a_bundle_is_refused(files: Files) -> None:
    with pytest.raises(BadBundleError, match=r"plugin\.py"):
        parse({**files, "plugin.py": b"import os"})


@pytest.mark.parametrize(
    ("version", "advice"), [(4, "newer than 3; upgrade simbench"), (2, "older than 3; publish it again")]
)
def test_another_schema_says_what_to_do(files: Files, version: int, advice: str) -> None:
    with pytest.raises(BadBundleError, match=f"written by simbench with schema {version}, {advice}"):
        parse(edited(files, "manifest.json", lambda one: one.update(schema_version=version), seal=False))


def suite_with(files: Files, old: str, new: str) -> bytes:
    text = files["suite.yaml"].decode()
    assert old in text
    return text.replace(old, new, 1).encode()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("about: For tests.", "about: &a [1]\nplugins: *a", "aliases"),
        ("about: For tests.", "about: !!python/object/apply:os.system [id]", "about: Input should be a valid string"),
        ("depth: 3", "depth: 1000000000", "larger than"),
        ("depth: 3", "depth: 100000", 'parameter "depth": Input should be less than or equal to 1000'),
        ("depth: 3", "depth: .nan", "not a finite number"),
        ("name: digits", "name: arrays\n    path: /etc/passwd", "from a file"),
        ("- mlp", "- other", "names the model"),
        ("about: For tests.", "about: For tests.\nunheard_of: 1", "unheard_of"),
        ("- translation", "- row_shuffle", "not function-preserving"),
        ("- translation", "- name: affine\n    condition: 0", 'transform affine: parameter "condition"'),
    ],
)
def test_a_suite_that_asks_for_what_it_may_not_is_refused(files: Files, old: str, new: str, reason: str) -> None:
    with pytest.raises(BadBundleError, match=reason):
        read_suite(suite_with(files, old, new))


@pytest.mark.parametrize("load", ["/etc/passwd", "../weights.pt", "~/weights.safetensors", "weights.pt"])
def test_a_suite_that_loads_weights_from_a_path_is_refused(files: Files, load: str) -> None:
    suite = yaml.safe_load(files["suite.yaml"])
    suite["models"]["mlp"] |= {"train": None, "load": load}
    with pytest.raises(BadBundleError, match="neither a hash"):
        read_suite(yaml.safe_dump(suite).encode())
    del suite["models"]["mlp"]["seeds"]
    suite["models"]["mlp"]["load"] = {"a": "0" * 64, "b": load}
    with pytest.raises(BadBundleError, match="neither a hash"):
        read_suite(yaml.safe_dump(suite).encode())


HASH = "0" * 64


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"activations": "/etc/{layer}.npy"}, "known by hashes"),
        ({"activations": {"a": "acts/a.npz"}}, "known by hashes"),
        ({"activations": {"a": {"x": "/etc/passwd"}}}, "known by hashes"),
        ({"activations": {"a": {"x": f"{HASH}:\x1b[2J"}}}, "may not stand in a suite"),
        ({"activations": {"a": {"x": HASH}}, "fit": {"a": {"x": "train.npy"}}}, "known by hashes"),
        ({"activations": {"a": {"x": HASH}}, "targets": "labels.npy"}, "known by hashes"),
        ({"activations": {"a": {"y": HASH}}}, "leaves out some of the `layers`"),
        ({"activations": {"a": {"x": HASH}}, "fit": {"b": {"x": HASH}}}, "leaves out a"),
        ({"activations": {"a": {"x": HASH}}, "architecture": "mlp"}, "have no `architecture`"),
        ({"activations": {"../a": {"x": HASH}}}, r"models\.mlp\.activations"),
    ],
)
def test_a_suite_that_names_files_of_activations_is_refused(files: Files, given: Any, reason: str) -> None:
    suite = yaml.safe_load(files["suite.yaml"])
    suite["models"]["mlp"] = {"layers": ["x"], **given}
    with pytest.raises(BadBundleError, match=reason):
        read_suite(yaml.safe_dump(suite).encode())


def test_activations_by_their_hashes_are_read(files: Files) -> None:
    suite = yaml.safe_load(files["suite.yaml"])
    suite["models"]["mlp"] = {"layers": ["x"], "activations": {"a": {"x": f"{HASH}:x"}}}
    suite["probe"]["dataset"] = None
    assert read_suite(yaml.safe_dump(suite).encode()).models["mlp"].names == ("a",)


def test_a_test_kind_that_is_not_here_is_no_fault_of_the_bundle(files: Files) -> None:
    with pytest.raises(CannotCheckError) as caught:
        read_suite(suite_with(files, "kind: identity", "kind: unheard_of"))
    assert caught.value.exit_code == ExitCode.INCOMPLETE


@pytest.mark.process
def test_plugins_of_a_bundle_are_not_imported(files: Files, check: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    evil = suite_with(files, "plugins: []", "plugins: [evil.py, evil]")
    check(reseal({**files, "suite.yaml": evil}), rescore=True, sample=0.01)


@pytest.mark.process
def test_reading_and_regrading_unpickle_nothing(files: Files, tmp_path: Path) -> None:
    path = write_files(tmp_path / "bundle.zip", files)
    code = (
        "import pickle, sys; from pathlib import Path\n"
        "def refuse(*a, **k): raise AssertionError('unpickled')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = refuse\n"
        "from simbench.verify.verification import verify\n"
        "assert verify(Path(sys.argv[1])).reached == 'regraded'\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


@pytest.mark.parametrize("content", [b"\n" * 2**21, b"[" + b"[]," * 2**20 + b"[]]"], ids=["lines", "brackets"])
def test_text_that_is_packed_more_tightly_than_scores_are_is_refused(content: bytes, tmp_path: Path) -> None:
    """Reading a hundred MB of brackets, a hundred kB in the bundle, took 2 GB."""
    path = write_files(tmp_path / "bundle.zip", {"scores/a.jsonl": content})
    with pytest.raises(BadBundleError, match=r"scores/a.jsonl: unpacks to more than 200 times its size"):
        read_files(path)


def test_weights_may_be_zeros(tmp_path: Path) -> None:
    files = {"models/a/weights.safetensors": b"\0" * 2**21}
    assert read_files(write_files(tmp_path / "bundle.zip", files)) == files
