"""Notes in the header of a file of activations. Reading them imports no torch."""

from __future__ import annotations

import json
from pathlib import Path

# A header of safetensors is JSON behind its length in eight bytes; a longer one is no header of ours.
LENGTH, LONGEST_HEADER = 8, 100_000


def read_notes(path: Path) -> dict[str, str]:
    """Return the notes of a file of activations; none if its header cannot be read."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        header = file.read(min(length, LONGEST_HEADER))
    try:
        notes = json.loads(header)["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {str(name): str(note) for name, note in notes.items()} if isinstance(notes, dict) else {}


# Note of an index, which lists the shards that hold the numbers.
SHARDS = "shards"


def shards_beside(path: Path) -> Path:
    """Return the folder of the shards of a file of activations."""
    return path.with_suffix(".shards")
