"""Leases: a run that is under way keeps what it needs; one that has ended, in whatever way, keeps nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from simbench.processes import start_of, this_machine
from simbench.results.lease import LIFETIME, Holder, lease_files, leased, live_leases, read_lease
from simbench.results.store import Store


def write(store: Store, **fields: object) -> Path:
    """Write the lease of a process of one's own choice."""
    content = {
        **{"suite": "small@1", "process": os.getpid(), "machine": this_machine(), "started": start_of(os.getpid())},
        **{"models": ["m"], "activations": [], "metrics": [], "provenance": "", "everything": False},
        **fields,
    }
    path = store.root / "leases" / "written.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_a_lease_is_there_while_its_block_runs(store: Store) -> None:
    with leased(store, "small@1", models=["m"], activations=["a"], metrics=["cka@1"], provenance="p"):
        (lease,) = live_leases(store.root)
        assert (lease.suite, lease.process) == ("small@1", os.getpid())
        assert (lease.models, lease.activations, lease.metrics, lease.provenance) == (["m"], ["a"], ["cka@1"], "p")
    assert lease_files(store.root) == []


def test_a_lease_ends_with_an_error_too(store: Store) -> None:
    with (
        pytest.raises(ValueError, match="a bug"),
        leased(store, "small@1", models=[], activations=[], metrics=[], provenance=""),
    ):
        raise ValueError("a bug")
    assert lease_files(store.root) == []


def test_a_store_that_cannot_be_written_needs_no_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with leased(store, "small@1", models=[], activations=[], metrics=[], provenance="") as held:
        held.touch()
        assert live_leases(store.root) == []


@pytest.mark.process
def test_the_lease_of_a_process_that_has_ended_has_expired(store: Store) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    path = write(store, process=process.pid, started=start_of(process.pid))
    assert read_lease(path) is not None
    process.communicate(b"\n")
    assert read_lease(path) is None


def test_a_later_process_of_the_same_number_holds_no_lease(store: Store) -> None:
    assert read_lease(write(store, started="1")) is None


def test_a_lease_of_another_machine_counts_while_it_is_touched(store: Store) -> None:
    path = write(store, machine="elsewhere", process=1)
    assert read_lease(path) is not None
    long_ago = time.time() - LIFETIME - 1
    os.utime(path, (long_ago, long_ago))
    assert read_lease(path) is None


def test_a_lease_is_touched_at_most_once_a_minute(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(store)
    os.utime(path, (1e9, 1e9))
    now = iter([0.0, 30.0, 61.0, 90.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    held = Holder(path)
    held.touch()
    assert path.stat().st_mtime == 1e9
    held.touch()
    assert path.stat().st_mtime > 1e9
    os.utime(path, (1e9, 1e9))
    held.touch()
    assert path.stat().st_mtime == 1e9


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"suite": 1, "process": "x"}', "\x00" * 9, "[" * 100_000])
def test_a_lease_that_cannot_be_read_keeps_everything_for_a_day(content: str, store: Store) -> None:
    path = write(store)
    path.write_text(content)
    lease = read_lease(path)
    assert lease is not None
    assert lease.everything
    os.utime(path, (1e9, 1e9))
    assert read_lease(path) is None


def test_a_process_says_when_it_was_started() -> None:
    assert start_of(os.getpid()) == start_of(os.getpid()) != ""
    assert start_of(2**22 + 1) is None
