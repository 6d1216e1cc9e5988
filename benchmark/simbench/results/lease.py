"""Leases: what a run that is under way needs of the store, so that nobody removes it.

A lease is a file that names its process. It counts while that process runs; on another machine, which cannot be asked,
while the file is touched at least once a day.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic_core

from simbench.errors import StorageError
from simbench.files import regular_bytes, write_text
from simbench.processes import start_of, this_machine
from simbench.results.store import Store

FOLDER = "leases"
# Seconds without a touch after which a lease of another machine has expired, and between two touches.
LIFETIME, INTERVAL = 24 * 3600.0, 60.0


@dataclass(frozen=True)
class Lease:
    """Needs of one run: keys of models and activations, and metrics (their identities) whose scores it reads."""

    suite: str
    process: int
    machine: str
    started: str
    models: Sequence[str] = ()
    activations: Sequence[str] = ()
    metrics: Sequence[str] = ()
    provenance: str = ""
    everything: bool = False
    """Whether the file could not be read, so that nothing is known not to be needed."""


class Holder:
    """A lease in the hands of its run, which touches it from time to time."""

    def __init__(self, path: Path | None, refusal: StorageError | None = None) -> None:
        """Hold a lease that has just been written, or, where the store cannot be written, the reason."""
        self._path, self._refusal = path, refusal
        self._touched = time.monotonic()

    def require(self) -> None:
        """Raise the `StorageError` that kept the lease from being written: nothing else could be written either."""
        if self._refusal is not None:
            raise self._refusal

    def touch(self) -> None:
        """Tell other machines that the run goes on, at most once a minute."""
        now = time.monotonic()
        if self._path is not None and now - self._touched > INTERVAL:
            self._touched = now
            if self._path.exists():
                os.utime(self._path)


@contextmanager
def leased(
    store: Store,
    suite: str,
    *,
    models: Sequence[str],
    activations: Sequence[str],
    metrics: Sequence[str],
    provenance: str,
) -> Iterator[Holder]:
    """Hold a lease while the block runs; it ends with the block, or with the process."""
    process = os.getpid()
    lease = Lease(suite, process, this_machine(), start_of(process) or "", models, activations, metrics, provenance)
    path: Path | None = store.root / FOLDER / f"{uuid.uuid4().hex}.json"
    assert path is not None
    refusal: StorageError | None = None
    try:
        write_text(store.make_room(path), pydantic_core.to_json(vars(lease)).decode())
    except StorageError as error:  # a store that cannot be written is only read: the run requires more if it needs it
        path, refusal = None, error
    try:
        yield Holder(path, refusal)
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def lease_files(root: Path) -> list[Path]:
    """Return the files of all leases, also of those that have expired."""
    try:
        return sorted(root / FOLDER / name for name in os.listdir(root / FOLDER) if name.endswith(".json"))
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_lease(path: Path) -> Lease | None:
    """Return a lease that counts; None if it has expired or is gone."""
    if not path.is_file():  # gone, or anything that no run has written
        return None
    try:
        fresh = time.time() - path.stat().st_mtime < LIFETIME
        lease = _parsed(regular_bytes(path))
    except FileNotFoundError:
        return None
    if lease.machine != this_machine():
        return lease if fresh else None
    return lease if start_of(lease.process) == lease.started else None


def live_leases(root: Path) -> list[Lease]:
    """Return all leases that count."""
    return [lease for path in lease_files(root) if (lease := read_lease(path)) is not None]


def _parsed(raw: bytes) -> Lease:
    try:
        content: Any = json.loads(raw)
        lease = Lease(**content)
        lists = (lease.models, lease.activations, lease.metrics)
        if isinstance(lease.process, int) and all(isinstance(keys, list) for keys in lists):
            return lease
    except (ValueError, TypeError, RecursionError):
        pass
    return Lease("unreadable lease", 0, "", "", everything=True)
