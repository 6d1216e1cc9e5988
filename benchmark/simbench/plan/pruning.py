"""Prune a store: choose what to remove, by suite, by age, or because nobody needs it, and spare what a run needs."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simbench.files import remove
from simbench.plan.plan import Plan
from simbench.results.inventory import Item, Kind, inventory
from simbench.results.lease import Lease, lease_files, live_leases, read_lease
from simbench.results.store import MODEL_RECORD, Store
from simbench.results.temporary import is_abandoned

# Documents of runs are results, and data may be a download of hours: they are removed only where their kind is named.
KINDS_BY_DEFAULT: tuple[Kind, ...] = ("models", "activations", "scores", "provenance", "failures", "temporary")


@dataclass(frozen=True)
class Needs:
    """Keys of what plans need."""

    models: Collection[str]
    activations: Collection[str]
    scores: Collection[str]


@dataclass(frozen=True)
class Choice:
    """Choice of what to remove.

    Attributes:
        kinds: the kinds to remove.
        needs: what some suites need.
        orphans: whether to remove what these suites do not need, rather than what they need.
        older_than: the least age, in seconds.
    """

    kinds: Collection[Kind] = KINDS_BY_DEFAULT
    needs: Needs | None = None
    orphans: bool = False
    older_than: float = 0.0


@dataclass(frozen=True)
class Pruning:
    """Items that a choice removes, and those that a run under way needs, or that hold scores of others, too."""

    items: Sequence[Item]
    in_use: Sequence[Item] = ()
    shared: Sequence[Item] = ()
    failed: Mapping[Path, str] = field(default_factory=dict)


def needs_of(plans: Iterable[Plan]) -> Needs:
    """Return the keys of all models, activations and scores of some plans."""
    made = list(plans)
    return Needs(
        {model.key for plan in made for model in plan.models.values()},
        {key for plan in made for planned in plan.activations.values() for key in planned.keys},
        {key for plan in made for planned in plan.metrics for key in planned.scores},
    )


def choose(store: Store, choice: Choice) -> Pruning:
    """Return what a choice would remove; nothing is removed yet."""
    everything = inventory(store)
    items = [item for item in everything if item.kind in choice.kinds]
    blocks = {item.path: _content(store, item.path) for item in everything if item.kind == "scores"}
    newest = time.time() - choice.older_than
    old = [item for item in items if not choice.older_than or item.modified <= newest]
    wanted = {item.path: _is_wanted(item, choice, blocks) for item in old if item.kind != "provenance"}
    chosen = [item for item in old if wanted.get(item.path)]
    shared = [item for item in old if wanted.get(item.path, False) is None]
    if choice.needs is None or choice.orphans:
        gone = {item.path for item in chosen}
        cited = {run for path, block in blocks.items() if path not in gone for run in block.provenance}
        chosen += [item for item in old if item.kind == "provenance" and item.key not in cited]
    leases = live_leases(store.root)
    in_use = [item for item in chosen if _is_needed(item, leases)]
    return Pruning([item for item in chosen if item not in in_use], in_use, shared)


def carry_out(store: Store, pruning: Pruning) -> Pruning:
    """Remove what was chosen, unless a run that has begun since needs it; return what was removed, and what was not."""
    removed, in_use, failed = [], list(pruning.in_use), dict(pruning.failed)
    seen: list[Path] | None = None
    leases: list[Lease] = []
    for item in pruning.items:
        # A run writes its lease before it looks what is there, and so can begin at any moment.
        if seen != (files := lease_files(store.root)):
            seen, leases = files, live_leases(store.root)
        if _is_needed(item, leases):
            in_use.append(item)
            continue
        try:
            _remove(item)
        except OSError as error:
            failed[item.path] = error.strerror or str(error)
        else:
            removed.append(item)
    for path in lease_files(store.root):
        if read_lease(path) is None and os.access(path.parent, os.W_OK):
            remove(path)  # which may be a folder that somebody put there
    return Pruning(removed, in_use, pruning.shared, failed)


def _remove(item: Item) -> None:
    if item.kind == "models" and item.path.is_dir():
        remove(item.path / MODEL_RECORD)  # without which a model is not complete, should this be interrupted
    remove(item.path)


@dataclass(frozen=True)
class _Block:
    """Keys of the scores in a block, and ids of their provenance; a damaged block has none."""

    keys: frozenset[str]
    provenance: frozenset[str]


def _content(store: Store, path: Path) -> _Block:
    records = store.records_in(path)
    return _Block(frozenset(record.key for record in records), frozenset(record.provenance for record in records))


def _is_wanted(item: Item, choice: Choice, blocks: Mapping[Path, _Block]) -> bool | None:
    """Tell whether a choice is of an item; None for a block of scores of which only some are meant."""
    if item.kind == "temporary":
        return is_abandoned(item.path)
    if choice.needs is None or item.kind in ("runs", "data"):
        return True
    if item.kind == "scores":
        keys = blocks[item.path].keys
        needed = len(keys & set(choice.needs.scores))
        if 0 < needed < len(keys):
            return None
        return (needed == 0) if choice.orphans else needed > 0
    keys_needed = choice.needs.activations if item.kind == "activations" else choice.needs.models
    return (item.key not in keys_needed) if choice.orphans else item.key in keys_needed


def _is_needed(item: Item, leases: Sequence[Lease]) -> bool:
    """Tell whether a run under way needs an item."""
    if any(lease.everything for lease in leases):
        return True
    match item.kind:
        case "models" | "failures":
            return any(item.key in lease.models for lease in leases)
        case "activations":
            return any(item.key in lease.activations for lease in leases)
        case "scores":
            return any(item.metric == Store.folder_name(metric) for lease in leases for metric in lease.metrics)
        case "provenance":
            return any(item.key == lease.provenance for lease in leases)
        case "data":
            return bool(leases)
        case _:
            return False
