"""Atomic writes: a reader sees the old file or the whole new one."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from simbench import files
from simbench.files import digests_kept, file_digest, replacing, write_text


def test_a_file_is_written_with_its_folders(tmp_path):
    write_text(tmp_path / "a/b/c.txt", "grüße\n")
    assert (tmp_path / "a/b/c.txt").read_bytes() == "grüße\n".encode()


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old and longer")
    write_text(path, "new")
    assert path.read_text() == "new"


def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(TypeError), replacing(path) as temporary:
        temporary.write_text(b"not a text")  # type: ignore[arg-type]
    assert [one.name for one in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text() == "old"


def test_the_old_file_is_there_until_the_block_ends(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"


@pytest.mark.process
def test_a_kill_in_the_middle_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from simbench.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)])
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "file.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o644


def test_a_digest_is_the_sha256_of_the_bytes(tmp_path):
    (tmp_path / "file.bin").write_bytes(b"abc")
    assert file_digest(tmp_path / "file.bin") == hashlib.sha256(b"abc").hexdigest()


def test_a_digest_is_taken_once_in_a_plan_and_anew_after_it(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_text("a")
    with digests_kept():
        first = file_digest(path)
        path.write_text("b")
        assert file_digest(path) == first == hashlib.sha256(b"a").hexdigest()
    assert file_digest(path) == hashlib.sha256(b"b").hexdigest()


def test_a_large_file_is_hashed_once_while_it_stays_as_it_is(tmp_path, monkeypatch):
    path = tmp_path / "large.bin"
    path.write_bytes(b"a" * 100)
    hashed = []
    take = hashlib.file_digest

    def counting(*given):
        hashed.append(given)
        return take(*given)

    monkeypatch.setattr(hashlib, "file_digest", counting)
    monkeypatch.setattr(files, "LARGE", 100)
    monkeypatch.setattr(files, "SETTLED", 10**18)  # just written: it may change again within one step of the clock
    assert {file_digest(path) for _ in range(2)} == {hashlib.sha256(b"a" * 100).hexdigest()}
    assert len(hashed) == 2
    monkeypatch.setattr(files, "SETTLED", -(10**18))
    assert {file_digest(path) for _ in range(3)} == {hashlib.sha256(b"a" * 100).hexdigest()}
    assert len(hashed) == 3
    before = path.stat()
    path.write_bytes(b"b" * 100)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # the time of the last change cannot be set
    if path.stat().st_ctime_ns != before.st_ctime_ns:
        assert file_digest(path) == hashlib.sha256(b"b" * 100).hexdigest()
