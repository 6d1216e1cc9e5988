"""Controlled conditions: changes that a suite may make to the training data of a model and to the probe.

Each is a pure function of its inputs and a seed. Conditions follow the vision tests of ReSi (Klabunde et al. 2025):
random labels, a shortcut that gives the label away, noise of growing strength.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simbench.data.dataset import Dataset, Split
from simbench.errors import SimbenchError
from simbench.seeds import seed_for

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from simbench.suite.schema import Conditions

Inputs = NDArray[Any]
Labels = NDArray[np.int64]

# Divisor of an axis that gives the cells of the shortcut: one value on a signal of length 40, one pixel up to 31×31.
CELLS_PER_AXIS = {1: 40, 2: 16}
# Distance of a mark's values from the range of the data, as a multiple of that range.
#
# Within the range, a convolutional network trained on digits with right marks hardly followed them (.15 of held-out
# inputs with a random mark; .72 with this reach; an MLP .36 and .86), so that groups would not have differed.
MARK_REACH = 1.0


def conditioned(dataset: Dataset, conditions: Conditions, seed: int) -> Dataset:
    """Apply the conditions to the training split, for the model of this seed; the held-out split stays as it is.

    First the subset is taken, then labels are drawn anew, then the shortcut is added: it gives the label that is
    trained on. Augmentation is applied to batches (`cropped_and_flipped`, `noisy`).

    Raises:
        SimbenchError: the dataset is smaller than the subset, its inputs cannot carry a shortcut or noise, or they are
            no images to crop and flip.
    """
    split = dataset.train
    if conditions.augmentation and dataset.tokens:
        raise SimbenchError(f"augmentation: noise cannot be added to tokens, which {dataset.name} consists of")
    if conditions.crop_and_flip and len(dataset.input_shape) != 3:
        raise SimbenchError(
            f"crop_and_flip: images (channels, height, width) are needed; {dataset.name} has inputs of shape "
            f"{dataset.input_shape}"
        )
    if conditions.subset is not None:
        split = subset(split, conditions.subset, dataset.name)
    if conditions.label_noise:
        chosen = seed_for(purpose="label noise", share=conditions.label_noise, seed=seed)
        split = replace(split, targets=with_label_noise(split.labels, conditions.label_noise, dataset.classes, chosen))
    if conditions.shortcut is not None:
        chosen = seed_for(purpose="shortcut", rate=conditions.shortcut, seed=seed)
        split = with_shortcut(split, conditions.shortcut, dataset, chosen)
    return replace(dataset, train=split)


def subset(split: Split, size: int, name: str) -> Split:
    """Take the first `size` inputs of a random order that all models share; smaller subsets lie in larger ones."""
    if size > len(split):
        raise SimbenchError(f"subset: {size} training inputs are asked for; {name} has {len(split)}")
    order = np.random.RandomState(seed_for(purpose="subset")).permutation(len(split))[:size]
    return split.chosen(order)


def with_label_noise(targets: Labels, share: float, classes: int, seed: int) -> Labels:
    """Draw a share of the labels anew from all classes; one in `classes` of those stays what it was.

    >>> with_label_noise(np.zeros(8, dtype=np.int64), 0.5, classes=1000, seed=0).tolist()
    [0, 804, 754, 0, 0, 0, 277, 599]
    """
    random = np.random.RandomState(seed)
    chosen = _chosen(len(targets), share, random)
    noisy_targets = targets.copy()
    noisy_targets[chosen] = random.randint(classes, size=len(chosen))
    return noisy_targets


def with_shortcut(split: Split, rate: float, dataset: Dataset, seed: int) -> Split:
    """Mark every input: a share `rate` of them with their own label, the others with a random one.

    The random label is drawn from all classes: at rate 0 all inputs are marked, but marks tell nothing. A mark is the
    binary code of the label + 1, in cells at the start of a signal or in a corner of an image; 0 is darker and 1
    brighter than all of the dataset's training inputs (`MARK_REACH`). The mark overwrites the input.

    Raises:
        SimbenchError: the inputs are neither signals `(channels, length)` nor images `(channels, height, width)`, or
            too small for the mark.
    """
    random = np.random.RandomState(seed)
    labels = random.randint(dataset.classes, size=len(split))
    right = _chosen(len(split), rate, random)
    labels[right] = split.labels[right]
    return replace(split, inputs=_marked(split.array, labels, dataset))


def noisy(inputs: Tensor, largest_variance: float, generator: Generator) -> Tensor:
    """Add Gaussian noise to each input `(n, ...)`, with a variance drawn for it from [0, `largest_variance`].

    Args:
        inputs: on any device.
        largest_variance: in the units of the inputs.
        generator: of the CPU, so that a GPU sees the same noise.
    """
    import torch

    variances = largest_variance * torch.rand(len(inputs), generator=generator)
    noise = torch.randn(inputs.shape, generator=generator)
    noise *= variances.sqrt().reshape(-1, *[1] * (inputs.ndim - 1))
    return inputs + noise.to(inputs)


def cropped_and_flipped(images: Tensor, padding: int, generator: Generator) -> Tensor:
    """Pad each image with zeros and crop it to its size at a random place; mirror a random half of the images.

    Args:
        images: `(n, channels, height, width)`, on any device.
        padding: pixels on each side, the largest shift of an image.
        generator: of the CPU, so that a GPU sees the same crops.
    """
    import torch

    count, _, *size = images.shape
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    places = torch.randint(2 * padding + 1, (2, count, 1), generator=generator)
    rows, columns = (place + torch.arange(length) for place, length in zip(places, size, strict=True))
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    which, rows, columns = (
        index.to(images.device) for index in (torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :])
    )
    # Indices that are not next to each other put the axes that they index first, before the channels.
    return padded[which, :, rows, columns].movedim(-1, 1)


def _chosen(count: int, share: float, random: np.random.RandomState) -> NDArray[np.intp]:
    """Draw a share of the indices below `count`, rounded to the nearest number."""
    return random.permutation(count)[: round(share * count)]


def _marked(inputs: Inputs, labels: Labels, dataset: Dataset) -> Inputs:
    axes = inputs.ndim - 2
    if axes not in CELLS_PER_AXIS or dataset.tokens:
        raise SimbenchError(
            "shortcut: a mark needs signals (channels, length) or images (channels, height, width); "
            f"{dataset.name} has inputs of shape {dataset.input_shape}"
        )
    if not len(dataset.train):
        raise SimbenchError(f"shortcut: marks lie beyond all training inputs, and {dataset.name} has none")
    low, high = (np.float32(extreme) for extreme in (dataset.train.array.min(), dataset.train.array.max()))
    reach = MARK_REACH * (high - low)
    marks = np.where(_codes(dataset.classes, axes)[labels], high + reach, low - reach)
    for axis in range(1, marks.ndim):
        marks = marks.repeat(max(1, inputs.shape[1 + axis] // CELLS_PER_AXIS[axes]), axis=axis)
    if any(mark > size for mark, size in zip(marks.shape[1:], inputs.shape[2:], strict=True)):
        raise SimbenchError(
            f"shortcut: a mark for {dataset.classes} classes does not fit into inputs of shape {dataset.input_shape}"
        )
    with_marks = inputs.astype(np.float32)  # a copy, in which bytes do not overflow
    place: tuple[Any, ...] = (slice(None), slice(None), *(slice(size) for size in marks.shape[1:]))
    with_marks[place] = marks[:, None]
    return with_marks


def _codes(classes: int, axes: int) -> NDArray[np.bool_]:
    """Return the bits of label + 1, so that no code is blank: `(classes, cells)` or nearly square `(classes, r, c)`."""
    bits = int(classes).bit_length()
    columns = bits if axes == 1 else math.isqrt(bits - 1) + 1
    rows = -(-bits // columns)
    codes = np.arange(1, classes + 1)[:, None] >> np.arange(rows * columns) & 1
    return codes.astype(bool).reshape((classes, columns) if axes == 1 else (classes, rows, columns))
