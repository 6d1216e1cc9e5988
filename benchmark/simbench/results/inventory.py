"""Inventory of a store: every artifact with its kind, key, size and age."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from simbench.results.store import Store
from simbench.results.temporary import temporaries

Kind = Literal["models", "activations", "scores", "provenance", "data", "runs", "failures", "temporary"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# The end of the names of folders of shards.
SHARDS = ".shards"


@dataclass(frozen=True)
class Item:
    """One artifact: a folder of a model, or a file.

    Attributes:
        kind: what it is.
        key: the key, id or name under which it lies.
        path: where it lies.
        bytes: its size.
        modified: when it was last written, in seconds since 1970.
    """

    kind: Kind
    key: str
    path: Path
    bytes: int
    modified: float

    @property
    def metric(self) -> str:
        """Folder of a block of scores: the identity of its metric, but for characters that no file name takes."""
        return self.path.parent.name


def inventory(store: Store) -> list[Item]:
    """List every artifact of a store, by kind; what vanishes meanwhile is left out."""
    items = [item for kind in KINDS[:-1] for path in _places(store.root, kind) if (item := _item(kind, path))]
    return items + [item for path in temporaries(store.root) if (item := _item("temporary", path))]


def _places(root: Path, kind: Kind) -> Iterator[Path]:
    """Yield the artifacts of a kind: folders of models, and files at any depth of all others."""
    if kind == "models":
        yield from (Path(entry.path) for entry in _entries(root / kind) if not entry.name.startswith("."))
        return
    if kind == "activations":
        yield from _activations(root / kind)
        return
    for folder, _, names in os.walk(root / kind):
        yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


def _activations(root: Path) -> Iterator[Path]:
    """Yield files of activations, and folders of shards right after the file that they belong to."""
    for folder, folders, names in os.walk(root):
        shards = [name for name in folders if name.endswith(SHARDS)]
        folders[:] = [name for name in folders if name not in shards]
        here = [name for name in (*names, *shards) if not name.startswith(".")]
        yield from (Path(folder) / name for name in sorted(here, key=lambda name: (Path(name).stem, name in shards)))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _item(kind: Kind, path: Path) -> Item | None:
    try:
        if path.is_dir():
            stats = [entry.stat(follow_symlinks=False) for entry in _entries(path)]
            # A temporary file is counted as such, and not with the model that it is to belong to.
            own = [entry.stat(follow_symlinks=False) for entry in _entries(path) if not entry.name.startswith(".")]
            modified = max((stat.st_mtime for stat in own or stats), default=path.stat().st_mtime)
            key = path.stem if kind == "activations" else path.name
            return Item(kind, key, path, sum(stat.st_size for stat in own), modified)
        stat = path.lstat()  # a link that leads nowhere, or to itself, is an artifact, too
    except FileNotFoundError:
        return None
    return Item(kind, path.name if kind == "data" else path.stem, path, stat.st_size, stat.st_mtime)
