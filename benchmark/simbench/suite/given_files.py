"""Find the files behind a group of activations: a template such as `acts/{member}/{layer}.npy` names many."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from simbench.bounds import MOST_LAYERS
from simbench.errors import SimbenchError, UnknownNameError
from simbench.files import from_home, is_file
from simbench.suite.array_outlines import OUTLINES, ArrayOutline, read_outlines, split_reference

LAYER = "{layer}"
# Names the layer of a file that holds one array without a name.
ONLY_LAYER = "activations"
# In "acts.npz:blocks.{layer}", where the path ends.
END_OF_PATH = re.compile(rf"({'|'.join(map(re.escape, OUTLINES))}):", re.IGNORECASE)
DIGITS = re.compile(r"([0-9]+)")


class GivenArray(NamedTuple):
    """An array in a file: the reference, `path` or `path:name`, and its outline."""

    reference: str
    outline: ArrayOutline


# Arrays by layer.
Layers = dict[str, GivenArray]


def in_natural_order(names: Sequence[str]) -> list[str]:
    """Sort names so that numbers in them count as numbers.

    >>> in_natural_order(["block10", "block2", "a"])
    ['a', 'block2', 'block10']
    """
    return sorted(names, key=_natural)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return what to compare in place of a name: of two numbers, which stand at odd places, the longer is larger."""
    parts = enumerate(DIGITS.split(name))
    return [(len(digits := part.lstrip("0")), digits) if place % 2 else (0, part) for place, part in parts]


def in_order(names: Sequence[str]) -> list[str]:
    """Return names in the order of their file, which follows a network; if that is the alphabet's, in natural order.

    >>> in_order(["stem", "block2", "block10"]), in_order(["block1", "block10", "block2"])
    (['stem', 'block2', 'block10'], ['block1', 'block2', 'block10'])
    """
    return in_natural_order(names) if list(names) == sorted(names) else list(names)


def find_layers(template: str, folder: Path, layers: Sequence[str] | None) -> Layers:
    """Return the arrays that a template names, whose member is filled in already.

    Args:
        template: `acts/a/{layer}.npy`, or a file of several arrays, one for each layer.
        folder: the folder that it is relative to.
        layers: the layers wanted, in order; by default, all there are.

    Raises:
        SimbenchError: a file or an array is missing, damaged or of no numbers, or there are none.
    """
    path, separator, inner = _split(template)
    whole = folder / from_home(path)
    if LAYER in path:
        names = _matching(whole) if layers is None else layers
        if not names:
            raise SimbenchError(f"no such file: {whole}")
        _check_names(names, template)
        for layer in layers or ():
            if not is_file(str(whole).replace(LAYER, layer)) and (there := _matching(whole)):
                raise UnknownNameError(f"layer in {template}", layer, tuple(there))
        reference = f"{whole}{separator}{inner}"
        return {layer: find_array(reference.replace(LAYER, layer)) for layer in names}
    if whole.is_dir():
        raise SimbenchError(f"{whole} is a folder: write {template}/{LAYER}.npy, or .npz, .pt or .safetensors")
    outlines = read_outlines(whole)
    if None in outlines:
        return {_only_name(layers, template): _checked(str(whole), outlines[None])}
    pattern = _pattern(inner if separator else LAYER)
    arrays = {match["layer"]: name for name in outlines if name and (match := pattern.fullmatch(name))}
    names = layers or in_order(list(arrays))
    if not names:
        raise SimbenchError(f"{whole} holds no arrays" + (f" called {inner}" if separator else ""))
    _check_names(names, template)
    for layer in names:
        if layer not in arrays:
            raise UnknownNameError(f"layer in {whole}", layer, tuple(arrays))
    if layers is None:
        names = [layer for layer in names if is_layer(outlines[arrays[layer]])] or names
    return {layer: _checked(f"{whole}:{arrays[layer]}", outlines[arrays[layer]]) for layer in names}


def is_layer(outline: ArrayOutline) -> bool:
    """Tell whether an array may be a layer, rather than labels, names or numbers of epochs beside the layers."""
    return outline.is_numeric and len(outline.shape) > 1


def find_array(reference: str) -> GivenArray:
    """Return the array at `path` or `path:name`; raise `SimbenchError` if there is none, or not of numbers."""
    path, name = split_reference(str(from_home(reference)))
    outlines = read_outlines(path)
    if name is None and None not in outlines:
        if len(outlines) != 1:
            contents = ", ".join(map(str, list(outlines)[:12])) or "none"
            raise SimbenchError(f"{path} holds {len(outlines)} arrays ({contents}); name one as {path}:NAME")
        (name,) = outlines
    elif name is not None and None in outlines:
        raise SimbenchError(f"{path} holds one array without a name; leave out `:{name}`")
    if name not in outlines:
        raise UnknownNameError(f"array in {path}", str(name), tuple(map(str, outlines)))
    return _checked(str(path) if name is None else f"{path}:{name}", outlines[name])


def _checked(reference: str, outline: ArrayOutline) -> GivenArray:
    if not outline.is_numeric:
        raise SimbenchError(f"{reference} is an array of {outline.dtype}; real numbers are needed")
    if not outline.shape:
        raise SimbenchError(f"{reference} is a single number; an array with a row for every input is needed")
    return GivenArray(reference, outline)


def _split(template: str) -> tuple[str, str, str]:
    """Return (path, colon, name of the array); the last two are empty where the template names no array."""
    end = END_OF_PATH.search(template)
    if end is None:
        return template, "", ""
    return template[: end.end() - 1], ":", template[end.end() :]


def _matching(path: Path) -> list[str]:
    """List the layers for which there is a file, in natural order."""
    parts = path.parts
    place = next(number for number, part in enumerate(parts) if LAYER in part)
    folder, pattern = Path(*parts[:place]), _pattern(parts[place])
    try:
        entries = os.listdir(folder)
    except OSError:
        raise SimbenchError(f"no such folder: {folder}") from None
    layers = [
        match["layer"]
        for entry in entries
        if (match := pattern.fullmatch(entry)) and not match["layer"].startswith(".")
    ]
    return in_natural_order([layer for layer in layers if is_file(str(path).replace(LAYER, layer))])


def _pattern(text: str) -> re.Pattern[str]:
    """Return the pattern of names that `{layer}` stands in, the same wherever it stands."""
    if LAYER not in text:
        return re.compile(f"(?P<layer>{re.escape(text)})")
    before, *more = map(re.escape, text.split(LAYER))
    return re.compile(
        before + "".join(f"{'(?P=layer)' if number else '(?P<layer>.+)'}{part}" for number, part in enumerate(more)),
        re.DOTALL,
    )


def _only_name(layers: Sequence[str] | None, template: str) -> str:
    if layers is not None and len(layers) > 1:
        raise SimbenchError(f"{template} holds one array, and `layers` are {len(layers)}")
    return layers[0] if layers else ONLY_LAYER


def _check_names(layers: Sequence[str], template: str) -> None:
    for layer in layers:
        if not layer.isprintable():
            raise SimbenchError(f"{template}: {layer!r} cannot name a layer")
    if len(layers) > MOST_LAYERS:
        raise SimbenchError(f"{template} names {len(layers)} layers; a model may have {MOST_LAYERS}")
