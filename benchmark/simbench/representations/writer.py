"""Writer of activations: appends rows as they come, in shards, so that neither memory nor a killed run loses much."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from simbench.errors import SimbenchError
from simbench.files import remove
from simbench.representations.notes import shards_beside
from simbench.representations.padding import extent_between, lowest_and_highest
from simbench.representations.storage import (
    DamagedError,
    Shard,
    read_activations,
    read_header,
    save_activations,
    save_index,
)

# Bytes of a shard, and of all that the writers of one pass hold: what is smaller is a file of its own.
SHARD_BYTES = 64 * 2**20
# Below such a spread so far, rows that were kept do not tell whether numbers vary: they are made anew.
LEAST_SPREAD = 1e-60


@dataclass
class Extent:
    """Range of every number of a layer over the inputs seen so far.

    Attributes:
        largest: the largest magnitude in inputs that an earlier run saw.
        spread: the largest difference of one number between two of those.
    """

    largest: float = 0.0
    spread: float = 0.0
    _low: Tensor | None = None
    _high: Tensor | None = None

    def see(self, activations: Tensor, mask: Tensor | None = None) -> None:
        """Take in the activations `(n, …)` of some more inputs, and which of their tokens are real."""
        if not activations.numel():
            return
        low, high = lowest_and_highest(activations, mask)
        self._low = low if self._low is None else torch.minimum(self._low, low)
        self._high = high if self._high is None else torch.maximum(self._high, high)

    def now(self) -> tuple[float, float]:
        """Return the largest magnitude and the largest difference; NaN if there is one."""
        if self._low is None or self._high is None:
            return self.largest, self.spread
        seen = extent_between(self._low, self._high)
        return _greater(seen[0], self.largest), _greater(seen[1], self.spread)


def _greater(first: float, second: float) -> float:
    return math.nan if math.isnan(first) or math.isnan(second) else max(first, second)


@dataclass
class ActivationWriter:
    """Writer of one layer's activations, or of rows of them.

    What an earlier run left in shards is kept: `rows` says up to where, and rows that come again are passed over.

    Attributes:
        path: the file that says, when it is there, that all is written.
        key: the key under which it is written.
        extent: the range of what has been seen, if it is to be remembered.
    """

    path: Path
    key: str
    extent: Extent | None = None
    rows: int = field(default=0, init=False)
    _shards: list[Shard] = field(default_factory=list, init=False)
    _held: list[Tensor] = field(default_factory=list, init=False)
    _like: Tensor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Find the shards that an earlier run has left, as far as they are whole."""
        left = _left(shards_beside(self.path))
        while left:
            following = [shard for shard in left if shard.first == self.rows]
            if not following:
                break
            shard = max(following, key=lambda each: each.rows)
            left.remove(shard)
            if not self._take_over(shard):
                continue
        if self.extent is not None and self._shards and not LEAST_SPREAD <= self.extent.spread < math.inf:
            self._shards, self.rows, self.extent = [], 0, Extent()

    def _take_over(self, shard: Shard) -> bool:
        place = shards_beside(self.path) / shard.name
        try:
            rows, notes = read_activations(place, self.key)
            extent = json.loads(notes.get("extent", "null"))
        except (DamagedError, FileNotFoundError, ValueError):
            return False
        if len(rows) != shard.rows or (self.extent is not None and extent is None):
            return False
        if self.extent is not None:
            self.extent.largest, self.extent.spread = extent
        self._like, self.rows = rows[:0].clone(), self.rows + len(rows)
        self._shards.append(Shard(shard.name, shard.first, len(rows), notes["sha256"]))
        return True

    @property
    def held(self) -> int:
        """Bytes of the rows that are not written yet."""
        return sum(rows.nbytes for rows in self._held)

    def append(self, rows: Tensor, first: int) -> None:
        """Append rows, the first of which is the `first` of all; write what fills a shard."""
        new = rows[max(0, self.rows - first) :]
        if not len(new):
            return
        self._like = new[:0]
        size = max(1, SHARD_BYTES // max(1, new[0].nbytes))
        for start in range(0, len(new), size):
            piece = new[start : start + size].detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            if self._held and self.held + piece.nbytes > SHARD_BYTES:
                self.flush()
            self._held.append(piece)
            self.rows += len(piece)

    def flush(self) -> None:
        """Write what is held as a shard."""
        if not self._held:
            return
        rows = torch.cat(self._held)
        first = self.rows - len(rows)
        name = f"{first:012d}-{self.rows:012d}.safetensors"
        notes = {"key": self.key}
        if self.extent is not None:
            notes["extent"] = json.dumps(self.extent.now())
        self._held.clear()
        digest = save_activations(shards_beside(self.path) / name, rows, notes)
        self._shards.append(Shard(name, first, len(rows), digest))

    def finish(self, notes: Mapping[str, str]) -> None:
        """Write the file that says that all is there: the rows themselves, or the index of their shards.

        Raises:
            SimbenchError: shards vanished meanwhile, and no other run has written the file.
        """
        notes = {**notes, "key": self.key}
        written = 0 if self._like is None else sum(shard.rows for shard in self._shards) * _row_bytes(self._like)
        if self._shards and written + self.held > SHARD_BYTES:
            self.flush()
            assert self._like is not None
            save_index(self.path, self._shards, self._like, notes)
            return
        try:
            kept = [read_activations(shards_beside(self.path) / shard.name, self.key)[0] for shard in self._shards]
        except (DamagedError, FileNotFoundError) as error:
            if self._is_there():  # another run was faster
                return
            raise SimbenchError(f"{shards_beside(self.path)}: what was written there is gone: {error}") from None
        save_activations(self.path, torch.cat([*kept, *self._held]), notes)
        self.discard()

    def _is_there(self) -> bool:
        try:
            return bool(read_header(self.path, self.key))
        except (DamagedError, FileNotFoundError):
            return False

    def discard(self) -> None:
        """Drop what is held, and remove the shards."""
        self._held.clear()
        remove(shards_beside(self.path))


def flush_if_full(writers: Iterable[ActivationWriter]) -> None:
    """Write what all writers hold if it fills a shard together: so an earlier run left them equally far."""
    each = list(writers)
    if sum(writer.held for writer in each) >= SHARD_BYTES:
        for writer in each:
            writer.flush()


def _row_bytes(like: Tensor) -> int:
    return math.prod(like.shape[1:]) * like.element_size()


def _left(folder: Path) -> list[Shard]:
    """Return the shards in a folder by their names."""
    shards: list[Shard] = []
    for path in sorted(folder.glob("*-*.safetensors")) if folder.is_dir() else ():
        first, _, after = path.stem.partition("-")
        if first.isdecimal() and after.isdecimal() and int(after) > int(first):
            shards.append(Shard(path.name, int(first), int(after) - int(first), ""))
    return shards
