"""What the system refuses is one line and exit code 3, nothing is half-written, and a complete board is still shown."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from tests.run.conftest import TINY
from typer.testing import CliRunner

from simbench.cli.main import build_app
from simbench.errors import ExitCode, StorageError
from simbench.files import replacing, write_text
from simbench.representations import storage
from simbench.results.store import Store
from simbench.results.temporary import temporaries
from simbench.run.session import run


def refuse(number: int, after: int = 0) -> Callable[..., None]:
    """Return a function that raises the system's error from the call number `after` on."""
    calls = iter(range(10**9))

    def refusing(*_: object, **__: object) -> None:
        if next(calls) >= after:
            raise OSError(number, os.strerror(number))

    return refusing


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full: free some space, or choose another folder"),
        (errno.EDQUOT, "your quota of this disk is used up"),
        (errno.EFBIG, "the file is larger than allowed"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_refusal_leaves_the_old_file_and_nothing_else(
    number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", refuse(number))
    with pytest.raises(StorageError, match=f"cannot write {path}: {said}") as caught:
        write_text(path, "new")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code is ExitCode.INCOMPLETE
    assert [left.name for left in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_a_refusal_of_a_writer_in_rust_is_one_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(storage, "save_file", full)
    with pytest.raises(StorageError, match="the disk is full"):
        storage.save_activations(tmp_path / "a.safetensors", torch.ones(3), {})
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_writer_itself_is_no_refusal(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a bug"), replacing(tmp_path / "file"):
        raise ValueError("a bug")


def test_a_path_that_is_too_long_is_said_in_a_short_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the path is too long: choose a shorter one") as caught:
        write_text(tmp_path / ("x" * 300), "text")
    assert len(str(caught.value)) < 300


def test_a_name_of_full_length_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 255), "text")
    assert [len(left.name) for left in tmp_path.iterdir()] == [255]


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=f"{tmp_path}/file is a file, where a folder is needed: move it"):
        write_text(tmp_path / "file" / "inside", "text")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory, trains: None) -> Path:
    path = tmp_path_factory.mktemp("suite") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def made(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete store."""
    store = tmp_path_factory.mktemp("made") / "store"
    run(str(suite), store=store, engine="serial", device="cpu")
    return store


@pytest.fixture
def complete(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "store")


def invoke(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(build_app(), list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.trains
@pytest.mark.parametrize("after", [0, 1, 2, 5, 9])
def test_a_full_disk_ends_a_run_in_one_line_and_the_next_goes_on(
    after: int, suite: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse(errno.ENOSPC, after))
        code, output, messages = invoke("run", str(suite), "--store", str(store), "--engine", "serial")
    assert (code, output) == (3, "")
    errors = [line for line in messages.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert str(store) in errors[0]
    assert "the disk is full" in errors[0]
    assert "Traceback" not in messages
    assert list(temporaries(store)) == []
    assert run(str(suite), store=store, engine="serial", device="cpu").complete
    stored, whole = (Store(root).scores("cka@1") for root in (store, made))
    assert {key: record.value for key, record in stored.items()} == {key: record.value for key, record in whole.items()}


def test_a_complete_store_that_cannot_be_written_shows_its_board(
    suite: Path, complete: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in complete.rglob("*")}
    monkeypatch.setattr(tempfile, "mkstemp", refuse(errno.EROFS))
    code, output, messages = invoke("run", str(suite), "--store", str(complete), "--engine", "serial")
    assert code == 0, messages
    assert "cka" in output
    assert "the run is not recorded: cannot write" in messages
    assert "nothing to do" in messages
    assert invoke("plan", str(suite), "--store", str(complete))[0] == 0
    assert {path: path.stat().st_mtime_ns for path in complete.rglob("*")} == before


@pytest.mark.parametrize("provenance", ["stored", "missing"])
def test_an_incomplete_store_that_cannot_be_written_is_said_before_anything_is_computed(
    provenance: str, suite: Path, complete: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(complete / "scores")
    shutil.rmtree(complete / "models")
    monkeypatch.setattr(tempfile, "mkstemp", refuse(errno.EROFS))
    heard: list[object] = []
    if provenance == "missing":
        (complete / "provenance").rename(complete / "gone")
    with pytest.raises(StorageError, match="the file system is read-only: choose another folder"):
        run(str(suite), store=complete, engine="serial", device="cpu", listener=heard.append)
    assert heard == []


@pytest.mark.process
def test_a_limit_of_file_size_ends_a_run_with_workers_in_one_line(suite: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-m", "simbench.cli.main", "run", str(suite), "--store", str(store), "--jobs", "2"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert len(errors) == 1
    assert "the file is larger than allowed" in errors[0]
    assert "Traceback" not in done.stderr
    assert list(temporaries(store)) == []


@pytest.mark.parametrize("verb", ["run", "plan", "publish"])
def test_a_store_that_is_a_file_is_said_in_one_line(verb: str, suite: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_text("something")
    code, _, messages = invoke(verb, str(suite), "--store", str(store))
    assert code == 3
    assert messages == f"error: {store} is a file; a store is a folder: choose another by --store\n"
    assert store.read_text() == "something"


@pytest.mark.parametrize("folder", ["models", "scores", "provenance", "data", "activations"])
def test_a_file_in_place_of_a_folder_of_the_store_is_somebodys_and_kept(
    folder: str, suite: Path, complete: Path
) -> None:
    for name in ("models", "scores", "activations"):
        shutil.rmtree(complete / name)
    shutil.rmtree(complete / folder, ignore_errors=True)
    (complete / folder).write_text("somebody's")
    if (complete / "provenance").is_dir():
        shutil.rmtree(complete / "provenance")
    code, _, messages = invoke("run", str(suite), "--store", str(complete), "--engine", "serial")
    errors = [line for line in messages.splitlines() if line.startswith("error: ")]
    if folder == "data":  # digits come with scikit-learn, and are cached nowhere
        assert code == 0
    else:
        assert code == 3
        assert len(errors) == 1
        assert str(complete / folder) in errors[0]
    assert (complete / folder).read_text() == "somebody's"


def test_a_store_with_a_path_that_is_too_long_is_said_in_one_line(suite: Path, tmp_path: Path) -> None:
    for path in (tmp_path / ("x" * 300), tmp_path.joinpath(*["long"] * 1000)):
        code, _, messages = invoke("run", str(suite), "--store", str(path))
        assert code == 3
        assert messages.startswith("error: ")
        assert messages.endswith("the path is too long: choose a shorter one\n")
        assert messages.count("\n") == 1


@pytest.mark.parametrize("name", ["new\nline", "\udcff", "bell\x07"])
def test_a_path_that_cannot_be_shown_is_no_store(name: str, suite: Path, tmp_path: Path) -> None:
    code, _, messages = invoke("run", str(suite), "--store", str(tmp_path / name))
    assert code == 3
    assert messages.endswith("cannot be the store: its path has characters that cannot be shown\n")
    assert messages.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_links_in_a_circle_are_no_store(suite: Path, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    code, _, messages = invoke("plan", str(suite), "--store", str(tmp_path / "a"))
    assert code == 3
    assert messages.startswith("error: ")
    assert messages.count("\n") == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [("suite: tiny", "suite: NAME"), ("{id: identity,", "{id: NAME,"), ("mlp:", "NAME:")],
)
def test_names_are_bounded_when_a_suite_is_read(before: str, after: str, tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    text = TINY.replace(before, after.replace("NAME", "n" * 300))
    path.write_text(text.replace("models: [mlp]", f"models: [{'n' * 300}]") if before == "mlp:" else text)
    code, _, messages = invoke("plan", str(path), "--store", str(tmp_path / "store"))
    assert code == 2
    assert "at most 100 characters" in messages
    assert all(len(line) < 1000 for line in messages.splitlines())
