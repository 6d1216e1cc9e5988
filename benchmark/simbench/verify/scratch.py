"""Take scores again by an ordinary run in a scratch store.

This store has a placeholder for every score outside the sample and, for `--rescore`, the trained models that are
available; the run adds the rest. Nothing is written to the user's store, so weights from a stranger's bundle never get
into it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simbench.bundles.contents import MODEL_FILES, Contents
from simbench.plan.plan import Plan, PlannedMetric
from simbench.representations.notes import shards_beside
from simbench.results.record import ScoreRecord
from simbench.results.store import Store
from simbench.verify.report import ProofLevel

if TYPE_CHECKING:
    from simbench.run.events import Listener


@dataclass(frozen=True)
class Request:
    """Request to compute scores again, with all options."""

    level: ProofLevel
    share: float
    seed: int
    store: Store
    jobs: int | None = None
    engine: str = "processes"
    listener: Listener | None = None
    decisive: bool = True
    """Whether all scores are taken that alone could turn a verdict, besides the sample."""
    files: Sequence[Path] = ()
    """Folders of files that the bundle knows by their hashes."""

    @property
    def retrain(self) -> bool:
        """Whether models are trained from scratch."""
        return self.level == "reproduced"


def take_again(
    plan: Plan, contents: Contents, wanted: Mapping[str, Sequence[str]], request: Request
) -> dict[str, dict[str, ScoreRecord]]:
    """Compute the wanted scores by a run in a scratch store."""
    if not any(wanted.values()):
        return {label: {} for label in wanted}
    # Looked up here: a run imports torch, which planning and grading do without.
    from simbench.run.events import ignore
    from simbench.run.session import run

    with tempfile.TemporaryDirectory(prefix="simbench-verify-") as folder:
        scratch = Store(Path(folder))
        _furnish(scratch, plan, contents, request)
        for planned in plan.metrics:
            _hold_back(scratch, plan, planned, set(wanted[planned.metric.label]))
        run(
            plan.suite,
            store=scratch.root,
            device="cpu",
            jobs=request.jobs,
            engine=request.engine,
            listener=request.listener or ignore,
        )
        stored = {planned.metric.label: scratch.scores(planned.metric.identity) for planned in plan.metrics}
    return {label: {key: stored[label][key] for key in keys} for label, keys in wanted.items()}


def _furnish(scratch: Store, plan: Plan, contents: Contents, request: Request) -> None:
    """Link what may be reused into the scratch store: data, and models and activations unless all is retrained."""
    scratch.root.mkdir(parents=True, exist_ok=True)
    data = request.store.data
    with suppress(OSError):  # a store that cannot be written
        data.mkdir(parents=True, exist_ok=True)
    if os.access(data, os.W_OK):
        scratch.data.symlink_to(data)
    elif data.is_dir():  # what is not there is made in the scratch store
        _link(scratch.data, data, os.listdir(data))
    if request.retrain:
        return
    for model in plan.models.values():
        folder = scratch.model(model.key)
        if request.store.has_model(model.key):
            # File by file: what a run makes again replaces the link, and not what it points to.
            _link(folder, request.store.model(model.key), MODEL_FILES)
        elif model.key in contents.model_keys:
            folder.mkdir(parents=True)
            for name in MODEL_FILES:
                (folder / name).write_bytes(contents.files.get(f"models/{model.key}/{name}", b""))
    own = {model.ref for model in plan.models.values() if request.store.has_model(model.key)}
    for planned in plan.activations.values():
        for key in planned.keys:
            path = request.store.activations(key)
            if planned.model in own and path.is_file():
                beside = (shards_beside(path).name,) if shards_beside(path).is_dir() else ()
                _link(scratch.activations(key).parent, path.parent, (path.name, *beside))


def _link(folder: Path, source: Path, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).symlink_to(source / name)


def _hold_back(scratch: Store, plan: Plan, planned: PlannedMetric, wanted: set[str]) -> None:
    """Write a placeholder for every score outside the sample, so that the run skips it and uses no claimed value."""
    placeholders = [
        ScoreRecord(
            key=key,
            metric=planned.metric.identity,
            parameters={},
            a="",
            b="",
            a_key="",
            b_key="",
            status="skip",
            value=None,
            reason="not in the sample",
            seconds=0,
            suite=plan.suite.title,
            provenance="",
        )
        for key in planned.scores
        if key not in wanted
    ]
    if placeholders:
        scratch.write_block(placeholders)
