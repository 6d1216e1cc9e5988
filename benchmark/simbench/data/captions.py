"""Images with captions: the rows of a table, of which networks of images read one part and those of texts the other."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simbench.data.dataset import Dataset, Outline, Split, dataset, existing_file
from simbench.data.images import SIZE, ImageFiles, decoded
from simbench.data.tables import TABLES, rows_of
from simbench.data.texts import Texts
from simbench.errors import SimbenchError, UnknownNameError
from simbench.files import from_home, is_file, no_file

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class CaptionedImages:
    """Images and their captions, in the same order."""

    files: ImageFiles
    captions: Texts

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.files)

    def __getitem__(self, index: slice | NDArray[np.intp]) -> CaptionedImages:
        """Return some of the pairs."""
        return CaptionedImages(self.files[index], self.captions[index])

    @property
    def parts(self) -> Mapping[str, ImageFiles | Texts]:
        """Parts that a network may read, by the names that a preprocessing has for them."""
        return {"images": self.files, "texts": self.captions}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of an image of `tensor`."""
        return self.files.input_shape

    @property
    def digest(self) -> str:
        """Hash of both."""
        return hashlib.sha256(f"{self.files.digest} {self.captions.digest}".encode()).hexdigest()

    def tensor(self) -> Tensor:
        """Return the images as a network without a preprocessing reads them."""
        return self.files.tensor()


@dataclass(frozen=True)
class _Rows:
    """Rows of a table."""

    images: tuple[Path, ...] = ()
    captions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


def _outline(*, path: str, size: int, train: str | None, **columns: Any) -> Outline | None:
    training, test = (_read(file, **columns) for file in (train, path))
    return Outline((3, size, size), len(training.images), len(test.images))


def _image_files(*, path: str, size: int, train: str | None, **columns: Any) -> list[Path]:
    return [image for file in (path, train) for image in _read(file, **columns).images]


@dataset("captioned_images", version=1, files=["path", "train"], outline=_outline, listed=_image_files)
def captioned_images(
    cache: Path,
    *,
    path: str,
    image: str = "image",
    caption: str = "caption",
    labels: str | None = None,
    train: str | None = None,
    size: Annotated[int, Field(ge=1, le=10_000)] = SIZE,
) -> Dataset:
    """Images with captions, in the rows of the csv, tsv or jsonl file at `path`: networks of either read their part.

    `image` is the column of the images' paths, from the folder of the table; `caption` that of the captions; `labels`
    one, too. `train` is a second table, for metrics that learn something. Networks with a preprocessing of images see
    the images through it, those with a tokenizer the captions; a network with neither gets squares of `size` pixels in
    [0, 1].
    """
    training, test = (_read(file, image=image, caption=caption, labels=labels) for file in (train, path))
    decoded(test.images[0])
    names = sorted({*test.labels, *training.labels})
    numbers = {name: number for number, name in enumerate(names)}
    whole = Texts((*test.captions, *training.captions))
    splits = []
    for rows in (training, test):
        digest = hashlib.sha256("\n".join(map(str, rows.images)).encode()).hexdigest()
        pairs = CaptionedImages(ImageFiles(rows.images, size, digest), Texts(rows.captions, whole))
        targets = np.array([numbers[name] for name in rows.labels], dtype=np.int64)
        splits.append(Split(pairs, targets if labels else None))
    return Dataset("captioned_images", splits[0], splits[1], classes=len(names))


def _read(path: str | None, *, image: str, caption: str, labels: str | None) -> _Rows:
    """Return the rows of a table, none without one; raise `SimbenchError` for a row without an image or a caption."""
    if path is None:
        return _Rows()
    file = existing_file(path)
    if file.suffix.lower() not in TABLES:
        raise SimbenchError(f"{path}: images with captions are rows of a table ({', '.join(TABLES)})")
    rows = list(rows_of(path, [image, caption, *([labels] if labels else [])]))
    if not rows:
        raise SimbenchError(f"{path} has no rows")
    images, captions = [], []
    missing: list[tuple[int, str]] = []
    for number, row in rows:
        name, text = str(row[image]).strip(), str(row[caption]).strip()
        for column, value in ((image, name), (caption, text)):
            if not value:
                raise SimbenchError(f"{path}: row {number} has no {column}")
        images.append(file.parent / from_home(name))
        captions.append(text)
        if not is_file(images[-1]):
            missing.append((number, name))
    if missing:
        raise SimbenchError(f"{path}: {_missing(file.parent, missing)}")
    return _Rows(tuple(images), tuple(captions), tuple(str(row[labels]) for _, row in rows) if labels else ())


def _missing(folder: Path, missing: list[tuple[int, str]]) -> str:
    """Return in one line which images are not there, and what is there in place of the first one."""
    (number, name), *others = missing
    more = f" (and in {len(others)} more row{'s' * (len(others) > 1)})" if others else ""
    path = folder / from_home(name)
    lost = next((each for each in reversed((path, *path.parents)) if not os.path.exists(each)), None)
    if lost is None:
        return f"row {number}{more}: {no_file(path)}"
    try:
        beside = [os.path.relpath(lost.parent / each, folder) for each in os.listdir(lost.parent)]
    except OSError:  # no folder, or not to be listed
        beside = []
    kind = "image" if lost == path else "folder"
    return f"row {number}{more}: {UnknownNameError(kind, os.path.relpath(lost, folder), beside)}"
