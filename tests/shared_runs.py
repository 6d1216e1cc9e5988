"""Runs of suites in the store of the test session: each network is trained once, by the first worker to ask."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from simbench.metrics.kernels.memory import DEFAULT
from simbench.plan.plan import Plan, PlannedModel
from simbench.results.store import Store
from simbench.run.materials import Materials
from simbench.run.session import RunResult, prepare, run
from simbench.run.tasks import train_model
from simbench.suite.load import load_suite
from simbench.suite.schema import Suite


def run_shared(suite: str | Suite, store: Path, only: Collection[str] = ()) -> RunResult:
    """Run these tests of a suite in this process; wait for another worker that trains or scores the same."""
    loaded = load_suite(suite) if isinstance(suite, str) else suite
    train_once(prepare(loaded, (), list(only)), Store(store))
    digest = hashlib.sha256(f"{loaded.model_dump_json()} {sorted(only)}".encode()).hexdigest()[:16]
    with _locked(store / "locks" / digest):
        return run(loaded, only=list(only), store=store, engine="serial", device="cpu")


def train_once(plan: Plan, store: Store) -> None:
    """Train the networks that the plan's scores need and the store lacks, teachers first."""
    comparisons = [comparison for planned in plan.metrics for comparison in planned.scores.values()]
    needed = {side.model for comparison in comparisons for side in (comparison.a, comparison.b)}
    teachers = [plan.models[ref].teacher for ref in needed if ref in plan.models]
    needed |= {teacher for teacher in teachers if teacher is not None}
    trained = [one for ref, one in plan.models.items() if ref in needed and one.spec is not None and one.spec.train]
    materials = Materials.of(plan, store, "cpu", DEFAULT)
    _train_all(materials, [one for one in trained if one.teacher is None])
    _train_all(materials, [one for one in trained if one.teacher is not None])


def _train_all(materials: Materials, wanted: Sequence[PlannedModel]) -> None:
    """Train all, those first that no other worker is training; wait for one only where all are taken."""
    left = list(wanted)
    while left:
        taken = [one for one in left if not _train(materials, one, wait=False)]
        if len(taken) == len(left):
            _train(materials, taken.pop(0), wait=True)
        left = taken


def _train(materials: Materials, planned: PlannedModel, *, wait: bool) -> bool:
    """Train a network unless it is stored; return False where another worker trains it and `wait` is False."""
    try:
        with _locked(materials.store.root / "locks" / planned.key, wait=wait):
            if not materials.store.has_model(planned.key):
                train_model(materials, planned)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock among processes; raise BlockingIOError where it is taken and `wait` is False."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
