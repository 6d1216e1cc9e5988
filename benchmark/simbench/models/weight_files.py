"""Files of weights: what a training script wrote into a file, as tensors in dictionaries.

Importing this module imports no torch.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simbench.errors import SimbenchError
from simbench.files import from_home, is_file, is_written_by_torch, no_file
from simbench.lazy import lazy_import
from simbench.models.inert import inert_classes, stands_for
from simbench.suite.torch_files import refuse_larger_than_the_file

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_import("torch")

FILE_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")


def read_file(load: str, *, outline: bool = False, mapped: bool = False) -> Any:
    """Read what a file of weights holds: a state dict, or a dictionary with one in it.

    Args:
        load: the path.
        outline: whether names and shapes will do; the tensors then have no content, and little of the file is read.
        mapped: whether the content is read only where it is looked at, as far as the format allows.

    Raises:
        SimbenchError: there is no such file, or it cannot be read as tensors.
    """
    path = from_home(load)
    if not is_file(path):
        raise SimbenchError(no_file(load))
    try:
        safe = path.suffix.lower() == ".safetensors"
        stored = _read_safetensors(path, outline) if safe else _read_torch(path, outline, mapped)
    except NotWrittenByTorchError:
        raise SimbenchError(f"{load} is damaged or no file of weights that PyTorch wrote") from None
    except pickle.UnpicklingError:
        raise SimbenchError(_more_than_tensors(load)) from None
    except Exception as error:  # reading a damaged file may raise anything
        raise SimbenchError(f"{load} is damaged or no file of weights: {_one_line(error)}") from None
    if (name := stands_for(stored)) is not None and not stored:
        raise SimbenchError(_more_than_tensors(load, f" (it is a pickled {name})"))
    return stored


def _more_than_tensors(load: str, what: str = "") -> str:
    return (
        f"{load} holds more than tensors{what}, which is not loaded for safety: save the network's state_dict() "
        "alone: torch.save(network.state_dict(), …)"
    )


def _read_safetensors(path: Path, outline: bool) -> Any:
    from safetensors import safe_open
    from safetensors.torch import load_file

    if not outline:
        return load_file(path)
    with safe_open(path, framework="pt") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - not a mapping
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


class NotWrittenByTorchError(Exception):
    """File that does not begin as those of PyTorch; as a pickle, it could mean anything."""


def _read_torch(path: Path, outline: bool, mapped: bool) -> Any:
    if not is_written_by_torch(path):
        raise NotWrittenByTorchError
    archive = zipfile.is_zipfile(path)
    refuse_larger_than_the_file(path, archive=archive)
    # only the archives of today's PyTorch can be mapped into memory
    options: dict[str, Any] = {"map_location": "meta" if outline else "cpu", "mmap": archive and (outline or mapped)}
    try:
        return torch.load(path, weights_only=True, **options)
    except pickle.UnpicklingError:
        with inert_classes(path):
            return torch.load(path, weights_only=True, **options)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
