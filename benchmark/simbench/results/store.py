"""Content-addressed store of models, activations, scores and runs.

Each finished block of scores is one immutable file, and no shared file is ever appended to. So several runs may use one
store at once, and the next run finds all that a killed run had finished.

No file is believed: it is held against its checksum and against the place where it lies. Damage is named once, as a
warning. A store that `mends` removes what is damaged, so that it is made again; a store that is only read leaves it.
"""

from __future__ import annotations

import json
import os
import re
import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic_core
from pydantic import ValidationError

from simbench.errors import StorageError
from simbench.files import regular_bytes, remove, shown, write_text
from simbench.results.places import blocking, usable_root
from simbench.results.provenance import identifier
from simbench.results.record import Block, ScoreRecord
from simbench.results.sealed import BrokenSealError, is_sealed, seal, unseal

ENVIRONMENT_VARIABLE = "SIMBENCH_STORE"


def default_root() -> Path:
    """Return `$SIMBENCH_STORE`, else a folder in the user's cache."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "simbench"


# The files of a trained model. The record is written last: its presence means that the model is complete.
MODEL_WEIGHTS, MODEL_RECORD = "weights.safetensors", "model.json"


class StoreWarning(UserWarning):
    """A stored file is damaged; what it held is computed again."""


def _warn(message: str) -> None:
    warnings.warn(message, StoreWarning, stacklevel=4)


class Store:
    """Folders, files and records under one root folder."""

    def __init__(self, root: Path | None = None, *, warn: Callable[[str], None] = _warn, mends: bool = False) -> None:
        """Open the store at `root`, which need not exist.

        Args:
            root: the folder; `default_root()` by default.
            warn: called once with a line for every damaged file.
            mends: whether damaged files are removed, so that they are made again.

        Raises:
            StorageError: there is something else at `root`, or it cannot be read.
        """
        self.root = usable_root(root or default_root())
        self.mends = mends
        self._warn = warn
        self._named: set[Path] = set()
        self._facts: dict[str, dict[str, Any]] = {}

    @property
    def data(self) -> Path:
        """Folder of cached datasets."""
        return self.root / "data"

    def model(self, key: str) -> Path:
        """Return the folder of one model's checkpoint."""
        return self.root / "models" / key

    def has_model(self, key: str) -> bool:
        """Tell whether a checkpoint is complete: its description is written last."""
        return (self.model(key) / MODEL_RECORD).is_file()

    def activations(self, key: str) -> Path:
        """Return the file of one layer's activations."""
        return self.root / "activations" / key[:2] / f"{key}.safetensors"

    def is_blocked(self, path: Path) -> bool:
        """Tell whether something else stands where a file of the store belongs; name it: `make_room` removes it."""
        other = blocking(self.root, path)
        if other is not None:
            what = "a file, where a folder"
            if other == path:
                what = "a folder, where a file" if path.is_dir() else "a link, a pipe or a device, where a file"
            self._report(other, f"is {what} belongs; it is replaced, and what belongs there is made again")
        return other is not None

    def make_room(self, path: Path) -> Path:
        """Remove what stands where a file of the store belongs, and return the path; name what is removed.

        Raises:
            StorageError: a folder of the store is itself a file, which may be anybody's.
        """
        while self.is_blocked(path):
            other = blocking(self.root, path)
            if other is not None:
                remove(other)
        return path

    def failure(self, kind: str, key: str) -> str | None:
        """Return why an artifact could not be made last time, if that is known; a failure never counts as cached."""
        path = self._failure(kind, key)
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None

    def record_failure(self, kind: str, key: str, reason: str) -> None:
        """Remember why an artifact could not be made."""
        write_text(self.make_room(self._failure(kind, key)), reason)

    def forget_failure(self, kind: str, key: str) -> None:
        """Delete the record of a failure, once the artifact has been made."""
        remove(self._failure(kind, key))

    def _failure(self, kind: str, key: str) -> Path:
        return self.root / "failures" / kind / f"{key}.txt"

    def scores(self, metric: str) -> dict[str, ScoreRecord]:
        """Return the records of a metric (its identity) by score key; a settled one counts first, then the newest.

        Blocks that are damaged, or of another metric, are named and do not count.
        """
        blocks = [block for path in self._blocks(metric) if (block := self._read_block(path)) is not None]
        records: dict[str, ScoreRecord] = {}
        for block in sorted(blocks, key=lambda block: block.created):
            for record in block.records:
                earlier = records.get(record.key)
                if record.metric == metric and (earlier is None or record.settled or not earlier.settled):
                    records[record.key] = record
        return records

    def write_block(self, records: Sequence[ScoreRecord]) -> Path:
        """Store the scores of one finished task, with their checksum."""
        path = self._folder(records[0].metric) / f"{uuid.uuid4().hex}.json"
        block = Block(created=time.time(), records=tuple(records))
        write_text(self.make_room(path), seal(block.model_dump_json().encode()).decode())
        return path

    def records_in(self, path: Path) -> tuple[ScoreRecord, ...]:
        """Return the records of one block; none if it is damaged, which is named."""
        block = self._read_block(path)
        return () if block is None else block.records

    @staticmethod
    def folder_name(metric: str) -> str:
        """Return the name of the folder of a metric's scores: its identity, but for what no file name takes.

        >>> Store.folder_name("lab/cka@1")
        'lab_cka@1'
        """
        return re.sub(r"[^A-Za-z0-9_.@-]", "_", metric)

    def _folder(self, metric: str) -> Path:
        return self.root / "scores" / self.folder_name(metric)

    def _blocks(self, metric: str) -> list[Path]:
        folder = self._folder(metric)
        if os.path.lexists(folder) and not folder.is_dir():
            self._damaged(folder, "is a file, where a folder belongs; the scores of its metric are computed again")
        try:
            return sorted(folder / name for name in os.listdir(folder) if name.endswith(".json") and name[0] != ".")
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:  # an empty list would have all scores computed again
            raise StorageError(f"cannot read {shown(folder)}: {error.strerror}") from error

    def _read_block(self, path: Path) -> Block | None:
        """Read a block; name one that is damaged or out of place and return None, so that its scores are made again."""
        try:
            block = _parsed_block(regular_bytes(path))
            metrics = {record.metric for record in block.records}
            strange = next((metric for metric in sorted(metrics) if self._folder(metric) != path.parent), None)
            if strange is None:
                return block
            damage = f"holds scores of {strange}, and does not belong here"
        except FileNotFoundError:  # another run has just removed it
            return None
        except IsADirectoryError:
            damage = "is a folder"
        except OSError as error:  # nothing to remove: it may well be intact
            self._report(path, f"cannot be read ({error.strerror}); its scores are computed again")
            return None
        except BrokenSealError as error:
            damage = str(error)
        except ValidationError:
            damage = "is no block of scores"
        self._damaged(path, f"{damage}; its scores are computed again")
        return None

    def write_run(self, run_id: str, document: dict[str, Any]) -> Path:
        """Store the results of a run under its id, with their checksum."""
        path = self.make_room(self.root / "runs" / f"{run_id}.json")
        write_text(path, seal(pydantic_core.to_json(document, indent=1)).decode())
        return path

    def write_provenance(self, facts: Mapping[str, Any]) -> str:
        """Store the provenance of scores and return its id; equal facts have equal ids, and are stored once."""
        key = identifier(dict(facts))
        path = self._provenance(key)
        if _facts(path, key) is None:
            if path.exists():
                self._damaged(path, "is damaged; its facts are those of this run, and are written again")
            write_text(self.make_room(path), pydantic_core.to_json(facts, indent=1).decode())
        return key

    def remember_provenance(self, facts: Mapping[str, Any]) -> str:
        """Return the id of provenance that is not stored; if it turns out to be damaged, it is made of these facts."""
        key = identifier(dict(facts))
        self._facts[key] = dict(facts)
        return key

    def provenance(self, key: str) -> dict[str, Any]:
        """Return the provenance stored under an id; empty if the file is missing or damaged.

        A damaged file is named. It is written again where this run, or the document of one, has the same facts, else
        given up.
        """
        path = self._provenance(key)
        facts = _facts(path, key)
        if facts is not None or not path.exists():
            return facts or {}
        facts, origin = self._facts.get(key), "this run"
        if facts is None:
            facts, origin = self._facts_of_runs(key), "the document of a run in this store"
        if facts is None:
            self._damaged(path, "is damaged, and no run here holds its facts; they are given up, the scores are kept")
            return {}
        if self._damaged(path, f"is damaged; its facts are taken from {origin}"):
            write_text(path, pydantic_core.to_json(facts, indent=1).decode())
        return facts

    def _provenance(self, key: str) -> Path:
        return self.root / "provenance" / f"{key}.json"

    def _facts_of_runs(self, key: str) -> dict[str, Any] | None:
        """Look for the facts of a provenance in the documents of runs."""
        for path in sorted((self.root / "runs").glob("*.json"), reverse=True):
            try:
                facts = json.loads(regular_bytes(path))["provenance"]["runs"][key]
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue
            if isinstance(facts, dict) and identifier(facts) == key:
                return facts
        return None

    def _report(self, path: Path, what: str) -> bool:
        """Warn of a file once; return whether this was the first time."""
        first = path not in self._named
        if first:
            self._named.add(path)
            self._warn(f"{path} {what}")
        return first

    def _damaged(self, path: Path, what: str) -> bool:
        """Warn of a damaged file once; if this store mends, remove it. Return whether it has been removed."""
        first = self._report(path, what)
        if not self.mends:
            return False
        try:
            remove(path)
        except OSError as error:
            if first:
                self._warn(f"{path} cannot be removed: {error.strerror}")
            return False
        return True


def _parsed_block(raw: bytes) -> Block:
    """Parse a block; those of former versions have no checksum."""
    return Block.model_validate_json(unseal(raw) if is_sealed(raw) else raw)


def _facts(path: Path, key: str) -> dict[str, Any] | None:
    """Read provenance; None unless the facts are there and have this id."""
    try:
        facts = json.loads(regular_bytes(path))
    except (OSError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and identifier(facts) == key else None
