"""Datasets of texts: a file with one a line, or a column of a table; each model reads them by its own tokenizer."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simbench.data.dataset import Dataset, Outline, Split, dataset, existing_file
from simbench.data.tables import TABLES, content_of, rows_of
from simbench.errors import SimbenchError
from simbench.files import from_home, is_file

# The id of padding in arrays of token ids.
PADDING = -1


class Texts:
    """Texts as items; part of them know all that they are from, so that all parts are padded to one length."""

    are_texts = True

    def __init__(self, texts: tuple[str, ...], whole: Texts | None = None) -> None:
        """Hold texts, and those that they are a part of."""
        self.texts = texts
        self.whole = whole or self

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.texts)

    def __getitem__(self, index: slice | NDArray[np.intp]) -> Texts:
        """Return some of the texts, in this order."""
        chosen = self.texts[index] if isinstance(index, slice) else tuple(self.texts[place] for place in index)
        return Texts(chosen, self.whole)

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of all texts."""
        return hashlib.sha256(json.dumps(self.texts).encode()).hexdigest()


def _outline(*, path: str, column: str | None, labels: str | None, train: str | None, **_: Any) -> Outline | None:
    if not all(is_file(from_home(file)) for file in (train, path) if file):
        return None
    return Outline((), *(len(_rows(file, column, labels)[0]) if file else 0 for file in (train, path)))


@dataset("texts", version=1, files=["path", "train"], outline=_outline)
def texts(
    cache: Path, *, path: str, column: str | None = None, labels: str | None = None, train: str | None = None
) -> Dataset:
    """Texts of the file at `path`, one a line, or one a row of `column` of a csv, tsv or jsonl file with a header.

    Each network reads them by its own tokenizer. Lines without a text are left out. `labels` is a column, too; `train`
    a second file, for metrics that learn something.
    """
    test, training = (_rows(file, column, labels) if file else ((), None) for file in (path, train))
    names = sorted({*(test[1] or ()), *(training[1] or ())})
    numbers = {name: number for number, name in enumerate(names)}
    whole = Texts((*test[0], *training[0]))
    splits = []
    for lines, given in (training, test):
        targets = np.array([numbers[name] for name in given], dtype=np.int64) if given is not None else None
        splits.append(Split(Texts(lines, whole), targets if labels else None))
    return Dataset("texts", splits[0], splits[1], classes=len(names), tokens=True)


def _token_outline(*, path: str, length: int, labels: str | None, column: str | None, train: str | None, **_: Any):  # type: ignore[no-untyped-def]
    lines = _outline(path=path, column=column, labels=labels, train=train)
    return None if lines is None else Outline((length,), lines.train, lines.test)


@dataset("tokens", version=1, files=["path", "tokenizer", "train"], outline=_token_outline)
def tokens(
    cache: Path,
    *,
    path: str,
    tokenizer: str,
    length: int = 64,
    column: str | None = None,
    labels: str | None = None,
    train: str | None = None,
) -> Dataset:
    """Token ids of the texts of a file, for networks of your own: `length` for each text, padding is −1.

    `tokenizer` is a `tokenizer.json`, as the library tokenizers (`simbench-leaderboard[transformers]`) saves it; its
    own truncation and padding are not used. Other parameters are those of `texts`.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise SimbenchError(
            'dataset tokens needs the package tokenizers: pip install "simbench-leaderboard[transformers]"'
        ) from None
    try:
        maker = Tokenizer.from_file(str(existing_file(tokenizer)))
    except SimbenchError:
        raise
    except Exception as error:  # a file that is no tokenizer raises a bare Exception
        raise SimbenchError(f"{tokenizer}: not a tokenizer.json: {error}") from None
    maker.no_padding()
    maker.enable_truncation(length)
    read = texts(cache, path=path, column=column, labels=labels, train=train)

    def ids_of(split: Split) -> Split:
        ids = np.full((len(split), length), PADDING, dtype=np.int64)
        for place, encoded in enumerate(maker.encode_batch(list(split.inputs.texts))):
            ids[place, : len(encoded.ids)] = encoded.ids
        return Split(ids, split.targets)

    return Dataset("tokens", ids_of(read.train), ids_of(read.test), read.classes, tokens=True)


def _rows(path: str, column: str | None, labels: str | None) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Return the texts of a file and, where a column of labels is named, those."""
    if existing_file(path).suffix.lower() not in TABLES:
        lines = content_of(path).split("\n")
        if column is not None or labels is not None:
            given = "column" if column is not None else "labels"
            raise SimbenchError(
                f"{path}: `{given}` is for tables ({', '.join(TABLES)}); other files have a text a line"
            )
        return tuple(line.strip() for line in lines if line.strip()), None
    if column is None:
        raise SimbenchError(f"{path}: `column` names the column of the texts")
    kept, marks = [], []
    for _, row in rows_of(path, [column, *([labels] if labels else [])]):
        if not str(row[column]).strip():
            continue
        kept.append(str(row[column]).strip())
        marks.append(str(row[labels]) if labels else "")
    return tuple(kept), tuple(marks) if labels else None
