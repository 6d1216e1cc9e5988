"""Files of weights: the state dict in a file that a training script wrote. Importing this module imports no torch."""

from __future__ import annotations

import mmap
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simbench.errors import SimbenchError, suggestion
from simbench.files import from_home, is_file, is_written_by_torch, no_file
from simbench.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_import("torch")

FILE_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
# The pickle in an archive that PyTorch wrote, and how it would name the type of which any length is a few bytes.
PICKLE = "data.pkl"
BYTE_ARRAYS = (b"c__builtin__\nbytearray\n", b"cbuiltins\nbytearray\n")
# Keys under which training scripts commonly put the state dict in a checkpoint.
CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model")


def read_weights(load: str, *, outline: bool = False) -> dict[str, Tensor]:
    """Read the state dict in a file, out of the checkpoint in which a training script may have put it.

    Args:
        load: the path.
        outline: whether names and shapes will do; the tensors then have no content, and little of the file is read.

    Raises:
        SimbenchError: there is no such file, or it holds no state dict, or more than tensors.
    """
    path = from_home(load)
    if not is_file(path):
        raise SimbenchError(no_file(load))
    try:
        stored = (
            _read_safetensors(path, outline) if path.suffix.lower() == ".safetensors" else _read_torch(path, outline)
        )
    except NotWrittenByTorchError:
        raise SimbenchError(f"{load} is damaged or no file of weights that PyTorch wrote") from None
    except pickle.UnpicklingError:
        raise SimbenchError(
            f"{load} holds more than tensors, which is not loaded for safety: save the network's state_dict() alone"
        ) from None
    except Exception as error:  # reading a damaged file may raise anything
        raise SimbenchError(f"{load} is damaged or no file of weights: {_one_line(error)}") from None
    for key in CHECKPOINT_KEYS:
        if isinstance(stored, dict) and isinstance(stored.get(key), dict):
            stored = stored[key]
    if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise SimbenchError(f"{load} holds no state dict: save the network's state_dict()")
    return stored


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


def _read_torch(path: Path, outline: bool) -> Any:
    if not is_written_by_torch(path):
        raise NotWrittenByTorchError
    archive = zipfile.is_zipfile(path)
    _refuse_larger_than_the_file(path, archive)
    if not outline:
        return torch.load(path, map_location="cpu", weights_only=True)
    # only the archives of today's PyTorch can be mapped into memory
    return torch.load(path, map_location="meta", weights_only=True, mmap=archive)


def _refuse_larger_than_the_file(path: Path, archive: bool) -> None:
    """Raise an error for a file that asks for more memory than it has bytes, as no file does that PyTorch wrote.

    Entries of an archive may be compressed to a thousandth, and a `bytearray` of any size is a few bytes of a pickle.
    """
    if not archive:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _refuse_byte_arrays(content)
        return
    with zipfile.ZipFile(path) as entries:
        for entry in entries.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{entry.filename[:80]} in it is compressed, as PyTorch compresses nothing")
            if entry.filename.endswith(PICKLE):
                _refuse_byte_arrays(entries.read(entry))


def _refuse_byte_arrays(content: bytes | mmap.mmap) -> None:
    if any(content.find(named) >= 0 for named in BYTE_ARRAYS):
        raise pickle.UnpicklingError("a bytearray")


def fit_into(network: nn.Module, weights: Mapping[str, Tensor], load: str, name: str) -> None:
    """Load the weights; raise `SimbenchError` that says in one line what does not fit."""
    own = network.state_dict()
    check_names(own, weights, load, name)
    for key, tensor in weights.items():
        if tensor.shape != own[key].shape:
            raise SimbenchError(
                f"{load} does not fit {name}: {key} has shape {tuple(tensor.shape)}, needed {tuple(own[key].shape)}"
            )
    network.load_state_dict(weights, strict=False)


def check_names(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], load: str, name: str) -> None:
    """Raise `SimbenchError` that says in one line which weights are missing or unexpected, if any are."""
    # counters of batch norms are missing from old files and play no part in eval mode
    missing = [key for key in own if key not in weights and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in weights if key not in own]
    if missing or unexpected:
        problems = []
        if missing:
            nearest = suggestion(missing[0], unexpected) if unexpected else ""
            problems.append(f'{len(missing)} keys missing (first "{missing[0]}"{nearest})')
        if unexpected:
            problems.append(f'{len(unexpected)} unexpected (first "{unexpected[0]}")')
        raise SimbenchError(f"{load} does not fit {name}: {', '.join(problems)}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
