"""Layers of a network as arrays: the files of a folder, the arrays of a file, or arrays by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from simbench.errors import SimbenchError
from simbench.files import from_home
from simbench.representations.array_files import array_files, load_array
from simbench.representations.representation import Representation
from simbench.representations.tensors import as_tensor
from simbench.suite.array_outlines import Outlines, read_outlines, split_reference
from simbench.suite.given_files import in_natural_order, in_order, is_layer


@dataclass(frozen=True)
class ArrayLayer:
    """A layer by name, and how to get its numbers: only what is compared is read.

    Attributes:
        name: the name of the layer.
        load: returns the array, or raises `SimbenchError`.
        numbers: how many numbers it has.
    """

    name: str
    load: Callable[[], Tensor | Representation]
    numbers: int


def layers_of(source: Any, name: str) -> list[ArrayLayer]:
    """Return the layers of a network, in order.

    Args:
        source: a folder, a file of arrays, or a mapping of names to arrays.
        name: what to call it in messages.

    Raises:
        SimbenchError: there are none.
    """
    layers = _by_name(source, name) if isinstance(source, Mapping) else _at(str(source))
    if not layers:
        raise SimbenchError(f"{name if isinstance(source, Mapping) else source} holds no arrays")
    return layers


def _by_name(arrays: Mapping[str, Any], name: str) -> list[ArrayLayer]:
    def tensor(array: Any, layer: str) -> Tensor | Representation:
        try:
            return array if isinstance(array, Representation) else as_tensor(array)
        except (TypeError, ValueError) as error:
            raise SimbenchError(f"{name}, {layer}: {error}") from None

    return [
        ArrayLayer(str(layer), lambda array=array, layer=layer: tensor(array, layer), _numbers(array))  # type: ignore[misc]
        for layer, array in arrays.items()
    ]


def _numbers(array: Any) -> int:
    shape = array.activations.shape if isinstance(array, Representation) else getattr(array, "shape", ())
    return math.prod(shape)


def _at(place: str) -> list[ArrayLayer]:
    folder = from_home(place)
    if not folder.is_dir():
        return _in_file(place, "")
    files = {path.stem: path for path in array_files(folder).values()}
    alike = len(files) < len(array_files(folder))  # layer1.npy and layer1.pt
    if alike:
        files = {path.name: path for path in array_files(folder).values()}
    return [layer for stem in in_natural_order(list(files)) for layer in _in_file(str(files[stem]), stem)]


def _in_file(reference: str, stem: str) -> list[ArrayLayer]:
    """Return the layers of a file; in a folder, one that cannot be read is a layer that cannot be compared."""
    path, name = split_reference(str(from_home(reference)))
    try:
        outlines: Outlines = read_outlines(path)
    except SimbenchError as error:
        if not stem:
            raise
        return [ArrayLayer(stem, _raising(str(error)), 0)]
    if None in outlines and name is None:
        return [ArrayLayer(stem or path.stem, _loading(str(path)), math.prod(outlines[None].shape))]
    every = in_order([str(key) for key in outlines])
    names = [key for key in every if is_layer(outlines[key])] or every if name is None else [name]
    called = {key: (f"{stem}:{key}" if len(names) > 1 else stem) if stem else key for key in names}
    numbers = {key: math.prod(outline.shape) for key, outline in outlines.items()}
    return [ArrayLayer(called[key], _loading(f"{path}:{key}"), numbers.get(key, 0)) for key in names]


def _loading(reference: str) -> Callable[[], Tensor]:
    return lambda: load_array(reference)


def _raising(reason: str) -> Callable[[], Tensor]:
    def load() -> Tensor:
        raise SimbenchError(reason)

    return load
