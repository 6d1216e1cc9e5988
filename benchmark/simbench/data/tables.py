"""Tables of datasets: the rows of a csv, tsv or jsonl file, with the columns that are asked for."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from typing import Any

from simbench.data.dataset import existing_file
from simbench.errors import SimbenchError, UnknownNameError
from simbench.files import regular_bytes

TABLES = (".csv", ".tsv", ".jsonl")


def content_of(path: str) -> str:
    """Return the text of a file in UTF-8; raise `SimbenchError` if it cannot be read."""
    try:
        return regular_bytes(existing_file(path)).decode("utf-8-sig")
    except OSError as error:
        raise SimbenchError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise SimbenchError(f"{path}: texts are UTF-8, and byte {error.start} is not") from None


def rows_of(path: str, wanted: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a table with their numbers; raise `SimbenchError` for one without a column that is wanted."""
    for number, row in _records(path, existing_file(path).suffix.lower(), content_of(path)):
        for name in wanted:
            if row.get(name) is None:
                if name in row:
                    raise SimbenchError(f"{path}: row {number} has no {name}")
                raise SimbenchError(f"{path}: {UnknownNameError('column', name, [str(key) for key in row])}")
        yield number, row


def _records(path: str, suffix: str, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a table with their numbers."""
    if suffix == ".jsonl":
        for number, line in enumerate(content.split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise SimbenchError(f"{path}: line {number} is no JSON: {error}") from None
            if not isinstance(row, dict):
                raise SimbenchError(f"{path}: line {number} is no object with names")
            yield number, row
        return
    try:
        yield from enumerate(csv.DictReader(content.splitlines(True), delimiter="\t" if suffix == ".tsv" else ","), 1)
    except csv.Error as error:
        raise SimbenchError(f"{path}: not a table: {error}") from None
