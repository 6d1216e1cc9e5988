"""Content-addressed store of models, activations, scores and runs.

Each finished block of scores is one immutable file, and no shared file is ever appended to. So several runs may use one
store at once, and the next run finds all that a killed run had finished.
"""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic_core
from pydantic import ValidationError

from simbench.files import write_text
from simbench.results.record import Block, ScoreRecord

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


class Store:
    """Folders, files and records under one root folder."""

    def __init__(self, root: Path | None = None) -> None:
        """Open the store at `root`, which need not exist; `default_root()` by default."""
        self.root = (root or default_root()).resolve()

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

    def failure(self, kind: str, key: str) -> str | None:
        """Return why an artifact could not be made last time, if that is known; a failure never counts as cached."""
        path = self._failure(kind, key)
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def record_failure(self, kind: str, key: str, reason: str) -> None:
        """Remember why an artifact could not be made."""
        write_text(self._failure(kind, key), reason)

    def forget_failure(self, kind: str, key: str) -> None:
        """Delete the record of a failure, once the artifact has been made."""
        self._failure(kind, key).unlink(missing_ok=True)

    def _failure(self, kind: str, key: str) -> Path:
        return self.root / "failures" / kind / f"{key}.txt"

    def scores(self, metric: str) -> dict[str, ScoreRecord]:
        """Return the records of a metric (its identity) by score key; a settled one counts first, then the newest."""
        blocks = [block for path in self._blocks(metric) if (block := _read_block(path)) is not None]
        records: dict[str, ScoreRecord] = {}
        for block in sorted(blocks, key=lambda block: block.created):
            for record in block.records:
                earlier = records.get(record.key)
                if earlier is None or record.settled or not earlier.settled:
                    records[record.key] = record
        return records

    def write_block(self, records: Sequence[ScoreRecord]) -> Path:
        """Store the scores of one finished task."""
        path = self._folder(records[0].metric) / f"{uuid.uuid4().hex}.json"
        write_text(path, Block(created=time.time(), records=tuple(records)).model_dump_json())
        return path

    def _folder(self, metric: str) -> Path:
        return self.root / "scores" / re.sub(r"[^A-Za-z0-9_.@-]", "_", metric)

    def _blocks(self, metric: str) -> list[Path]:
        return sorted(self._folder(metric).glob("*.json"))

    def write_run(self, run_id: str, document: dict[str, Any]) -> Path:
        """Store the results of a run under its id."""
        path = self.root / "runs" / f"{run_id}.json"
        write_text(path, pydantic_core.to_json(document, indent=1).decode())
        return path

    def write_provenance(self, identifier: str, document: dict[str, Any]) -> None:
        """Store the provenance of scores under its id; equal facts have equal ids."""
        path = self.root / "provenance" / f"{identifier}.json"
        if not path.is_file():
            write_text(path, pydantic_core.to_json(document, indent=1).decode())

    def provenance(self, identifier: str) -> dict[str, Any]:
        """Return the provenance stored under an id; empty if the file is missing or damaged."""
        path = self.root / "provenance" / f"{identifier}.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}


def _read_block(path: Path) -> Block | None:
    """Read a block; None if the file is damaged, so that its scores are computed again."""
    try:
        return Block.model_validate_json(path.read_bytes())
    except (ValidationError, OSError):
        return None
