"""Images: files that are decoded batch by batch, and arrays of pixels, as items that each model preprocesses."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simbench.data.dataset import Dataset, Outline, Split, dataset, existing_folder
from simbench.errors import SimbenchError
from simbench.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor
else:
    torch = lazy_import("torch")

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
# Names of folders of the splits; `val` is that of ImageNet's held-out images.
SPLITS = {"train": ("train",), "test": ("test", "val")}
# Modes of PIL that hold a byte per channel, or a palette of such colours; others would be clipped.
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "CMYK", "YCbCr", "HSV", "LAB")
# Side of the square that a model reads which has no preprocessing of its own.
SIZE = 224


@dataclass(frozen=True)
class ImageFiles:
    """Image files, read when they are asked for.

    Attributes:
        paths: the files.
        size: the side of the squares of `tensor`.
        digest: the hash of all that they hold, in keys.
    """

    paths: tuple[Path, ...]
    size: int = SIZE
    digest: str = field(default="", compare=False)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.paths)

    def __getitem__(self, index: slice | NDArray[np.intp]) -> ImageFiles:
        """Return some of the images."""
        chosen = self.paths[index] if isinstance(index, slice) else tuple(self.paths[place] for place in index)
        return ImageFiles(chosen, self.size, self.digest)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of an image of `tensor`."""
        return (3, self.size, self.size)

    def images(self) -> Iterator[Image]:
        """Yield the images in colour; one of grey has three equal channels, and what is transparent loses that."""
        for path in self.paths:
            yield decoded(path)

    def tensor(self) -> Tensor:
        """Return the images `(n, 3, size, size)` in [0, 1]: scaled by the shorter side, and cut out of the middle.

        No image is stretched.
        """
        from torchvision.transforms import v2

        fitted = v2.Compose([v2.Resize(self.size, antialias=True), v2.CenterCrop(self.size)])
        made = [v2.functional.pil_to_tensor(fitted(image)) for image in self.images()]
        return torch.stack(made).float() / 255 if made else torch.zeros(0, *self.input_shape)


@dataclass(frozen=True)
class Pixels:
    """Pixels in a tensor `(n, 3, height, width)`, bytes or numbers in [0, 1], for a model that preprocesses images."""

    pixels: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.pixels)

    def __getitem__(self, index: slice | NDArray[np.intp]) -> Pixels:
        """Return some of the images."""
        return Pixels(self.pixels[index if isinstance(index, slice) else torch.as_tensor(index)])

    def images(self) -> Iterator[Tensor]:
        """Yield the images."""
        yield from self.pixels

    def tensor(self) -> Tensor:
        """Return the pixels as they are."""
        return self.pixels


@dataclass(frozen=True)
class ImagePreprocess:
    """Preprocessing of images by a transform of one image, as zoos of models have it.

    Attributes:
        transform: turns an image of PIL, or a tensor of pixels, into what the network reads.
        of_tensors: whether it takes tensors of pixels; otherwise these become images of PIL.
    """

    reads: ClassVar[str] = "images"

    transform: Any
    of_tensors: bool = True

    def __call__(self, items: Any) -> Tensor:
        """Return a batch; raise `SimbenchError` for items that are no images."""
        images = getattr(items, "images", None)
        if images is None:
            raise SimbenchError(f"the model reads images, and these are {type(items).__name__}")
        return torch.stack([self._made(image) for image in images()])

    def _made(self, image: Any) -> Tensor:
        if isinstance(image, torch.Tensor) and not self.of_tensors:
            from torchvision.transforms.functional import to_pil_image

            image = to_pil_image(image.cpu())
        made: Tensor = self.transform(image)
        return made


def as_pixels(inputs: Any, preprocess: Any) -> Any:
    """Return a tensor of pixels as items for a model that preprocesses images; anything else as it is.

    Pixels are bytes, or numbers in [0, 1]; other numbers are taken as preprocessed already.
    """
    if not isinstance(preprocess, ImagePreprocess) or not isinstance(inputs, torch.Tensor):
        return inputs
    if inputs.ndim != 4 or inputs.shape[1] != 3 or not len(inputs):
        return inputs
    is_byte = inputs.dtype == torch.uint8
    in_range = inputs.is_floating_point() and float(inputs.min()) >= 0 and float(inputs.max()) <= 1
    return Pixels(inputs) if is_byte or in_range else inputs


def _outline(*, path: str, size: int = SIZE) -> Outline | None:
    """Return the outline of a folder of images from the names of its files."""
    splits = _listed(path)
    train, test = (len(splits.get(name, ())) for name in SPLITS)
    return Outline((3, size, size), train, test)


@dataset("image_folder", version=1, files=["path"], outline=_outline)
def image_folder(cache: Path, *, path: str, size: Annotated[int, Field(ge=1, le=10_000)] = SIZE) -> Dataset:
    """Read the images in the folder at `path`: with a subfolder for each class, if they have labels.

    With folders `train` and `test` (or `val`) the first one is for training; otherwise all images are held out. Images
    may differ in size. They are decoded batch by batch, and preprocessed as the weights of a model ask; a model without
    a preprocessing of its own gets squares of `size` pixels in [0, 1].
    """
    splits = _listed(path)
    classes = sorted({name for files in splits.values() for _, name in files if name is not None})
    numbers = {name: number for number, name in enumerate(classes)}
    made = {}
    for split in SPLITS:
        files = splits.get(split, [])
        labels = np.array([numbers[name] for _, name in files if name is not None]) if classes else None
        digest = hashlib.sha256("\n".join(f"{file} {name}" for file, name in files).encode()).hexdigest()
        inputs = ImageFiles(tuple(file for file, _ in files), size, digest)
        made[split] = Split(inputs, labels if labels is not None and len(labels) == len(files) else None)
    decoded(made["test"].inputs.paths[0])
    return Dataset("image_folder", made["train"], made["test"], len(classes))


def _listed(path: str) -> dict[str, list[tuple[Path, str | None]]]:
    """Return by split the files, each with the name of its class, if it has one; raise `SimbenchError` if none."""
    folder = existing_folder(path)
    inside = {entry.name: entry for entry in _entries(folder) if entry.is_dir()}
    splits = {
        split: [inside[name] for name in names if name in inside]
        for split, names in SPLITS.items()
        if any(name in inside for name in names)
    }
    if "test" not in splits:
        if "train" in splits and len(inside) == 1:
            raise SimbenchError(f"{path} has images to train on, but no folder `test` or `val` of those held out")
        splits = {"test": [folder]}
    listed = {split: [file for place in places for file in _images(place)] for split, places in splits.items()}
    if not listed["test"]:
        raise SimbenchError(f"{path} has no image ({', '.join(SUFFIXES)}){_hint(folder)}")
    return listed


def _hint(folder: Path) -> str:
    others = sorted({Path(entry.name).suffix for entry in _entries(folder) if Path(entry.name).suffix})
    return f"; it has files with {', '.join(others[:5])}" if others else "; it is empty" * (not any(_entries(folder)))


def _images(folder: Path) -> list[tuple[Path, str | None]]:
    """Return the images of a folder, or of its subfolders, which are classes."""
    here = [(file, None) for file in _files(folder)]
    classes = [entry for entry in _entries(folder) if entry.is_dir()]
    below = [(file, entry.name) for entry in classes for file in _files(entry)]
    if here and below:
        raise SimbenchError(
            f"{folder} has images beside folders of images: {here[0][0].name} and {below[0][1]}/{below[0][0].name}; "
            "put each into the folder of its class, or all into one folder"
        )
    return [*here, *below]


def _files(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.suffix.lower() in SUFFIXES and entry.is_file()]


def _entries(folder: Path) -> list[Path]:
    """Return what a folder holds, in order, but for hidden files."""
    try:
        return sorted(folder / name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise SimbenchError(f"cannot read {folder}: {error.strerror}") from None


def decoded(path: Path) -> Image:
    """Return the image of a file in colour; raise `SimbenchError` if it cannot be read."""
    import PIL.Image

    try:
        with PIL.Image.open(path) as image:
            if image.mode not in MODES:
                raise SimbenchError(
                    f"{path}: an image of {image.mode} has more than a byte per channel; convert it to 8 bits first"
                )
            return image.convert("RGB")
    except SimbenchError:
        raise
    except FileNotFoundError:
        raise SimbenchError(f"no such file: {path}") from None
    except Exception as error:  # decoding a damaged file may raise anything
        reason = "no image, or damaged" if "cannot identify" in str(error) else str(error) or type(error).__name__
        raise SimbenchError(f"{path} cannot be read as an image: {' '.join(reason.split())}") from None
