"""Datasets: two splits of arrays, and the registered functions that return them.

A source is a function `(cache, *, parameters) -> Dataset`. It imports heavy modules when it is called, so that listing
and planning import neither torch nor scikit-learn.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from simbench.data.items import shape_of
from simbench.errors import SimbenchError
from simbench.files import file_digest, from_home, is_file, no_file
from simbench.origins import origin_of
from simbench.registry import DATASETS, Registered

# Seconds by which the clock of a file server may differ from ours.
SKEW = 3600.0


@dataclass(frozen=True)
class Split:
    """Inputs and their labels `(n,)` as int64, if they have any.

    Inputs are an array `(n, ...)`, of integers as they are and of all else as float32, or items that are read batch by
    batch.
    """

    inputs: Any
    targets: Any = None

    def __post_init__(self) -> None:
        """Convert both to their dtypes; raise `ValueError` if their lengths differ or inputs are no real features."""
        if not _are_items(self.inputs):
            object.__setattr__(self, "inputs", _converted(self.inputs))
        if self.targets is not None:
            object.__setattr__(self, "targets", np.ascontiguousarray(self.targets, dtype=np.int64))
        shape = self.inputs.shape if isinstance(self.inputs, np.ndarray) else (len(self.inputs), 0)
        if len(shape) < 2 or (self.targets is not None and self.targets.shape != shape[:1]):
            given = "none" if self.targets is None else self.targets.shape
            raise ValueError(f"inputs (n, ...) and targets (n,) are needed, got {shape} and {given}")

    def __len__(self) -> int:
        """Return the number of inputs."""
        return len(self.inputs)

    @property
    def array(self) -> NDArray[Any]:
        """Inputs as an array; raise `SimbenchError` if they are items."""
        if not isinstance(self.inputs, np.ndarray):
            raise SimbenchError(f"an array of inputs is needed, and these are {type(self.inputs).__name__}")
        return self.inputs

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels of the inputs; raise `SimbenchError` if there are none."""
        if self.targets is None:
            raise SimbenchError("labels of the inputs are needed, and there are none")
        labels: NDArray[np.int64] = self.targets
        return labels

    def chosen(self, order: NDArray[np.intp]) -> Split:
        """Return some of the inputs, in this order, with their labels."""
        return Split(self.inputs[order], None if self.targets is None else self.targets[order])


def _are_items(inputs: Any) -> bool:
    """Tell whether inputs are items: something of a length and no array, nor what NumPy makes one of."""
    is_array = hasattr(inputs, "__array__") or isinstance(inputs, list | tuple)
    return not is_array and hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__")


def _converted(inputs: Any) -> NDArray[Any]:
    """Return inputs in the dtype in which they are kept; raise `ValueError` where that would change what they are."""
    given = np.asarray(inputs)
    if given.dtype.kind not in "biuf":
        kind = "complex" if given.dtype.kind == "c" else f"of type {given.dtype}"
        raise ValueError(f"inputs are real numbers, and these are {kind}")
    if given.dtype == np.uint64 and given.size and int(given.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"integers as large as {given.max()} are beyond {np.iinfo(np.int64).max}")
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(given, dtype=_input_dtype(given))
    if given.dtype.kind == "f" and given.itemsize > 4 and bool((np.isinf(converted) & np.isfinite(given)).any()):
        raise ValueError(f"inputs as large as {np.abs(given[np.isfinite(given)]).max():.1e} leave the range of float32")
    return converted


def _input_dtype(inputs: Any) -> np.dtype[Any]:
    """Return the dtype in which inputs are kept: that of integers, if torch has it, else int64 or float32.

    Token ids stay what they are: float32 holds whole numbers up to 16,777,216 only, half precision fewer.
    """
    given = np.asarray(inputs).dtype
    if given.kind not in "iu":
        return np.dtype(np.float32)
    return given.newbyteorder("=") if given.kind == "i" or given.itemsize == 1 else np.dtype(np.int64)


@dataclass(frozen=True)
class Outline:
    """Outline of a dataset, known before it is loaded: the shape of one input and the sizes of the splits."""

    input_shape: tuple[int, ...]
    train: int
    test: int

    def lacks(self, asked: int, name: str, split: str) -> str | None:
        """Return the error message of a probe that asks for more inputs than a split has; None if it has enough.

        >>> Outline((1, 8, 8), train=1297, test=500).lacks(1000, "digits", "test")
        'probe asks for 1000 inputs; digits has 500 in its test split'
        """
        available = {"train": self.train, "test": self.test}[split]
        if asked <= available:
            return None
        if available == 0:
            return f"{name} has no {split} split, which is asked for {asked} inputs"
        return f"probe asks for {asked} inputs; {name} has {available} in its {split} split"


@dataclass(frozen=True)
class Dataset:
    """Training and held-out split of one task, with labels 0 … `classes` − 1 if they have any.

    A split that is not there is empty. Without labels `classes` is 0, unless it is known all the same.
    """

    name: str
    train: Split
    test: Split
    classes: int
    tokens: bool = False
    """Whether inputs are token ids, to which noise cannot be added."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch axis."""
        return shape_of(self.train.inputs) or shape_of(self.test.inputs)

    @property
    def outline(self) -> Outline:
        """Shape of one input and sizes of the splits."""
        return Outline(self.input_shape, len(self.train), len(self.test))

    def split(self, name: str) -> Split:
        """Return the split called `train` or `test`."""
        return {"train": self.train, "test": self.test}[name]


@dataclass(frozen=True)
class DatasetSource(Registered):
    """Registered dataset: a function `(cache, *, parameters) -> Dataset`.

    Attributes:
        files: the parameters that are paths of files or folders.
        outlined: what is known of the dataset before it is loaded, perhaps by its parameters.
        listed: given all parameters by keyword, returns the further files that those of `files` name.
    """

    files: frozenset[str] = frozenset()
    outlined: Outline | Callable[..., Outline | None] | None = None
    listed: Callable[..., Sequence[Path]] | None = None

    def outline(self, parameters: Mapping[str, Any]) -> Outline | None:
        """Return the outline of the dataset without loading it; None if it is unknown."""
        return self.outlined(**self.checked(parameters)) if callable(self.outlined) else self.outlined

    def identity_with(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the part of a key that stands for the dataset, without loading it: name, version, parameters.

        A parameter that is a file or a folder is represented by its content, so that no path enters a key.
        """
        checked = self.checked(parameters)
        for name, path in self.paths(parameters).items():
            checked[name] = f"sha256:{content_digest(existing_source(path))}"
        identity = {"name": self.name, "version": self.revision, "parameters": checked}
        if self.listed is not None:
            contents = "\n".join(map(file_digest, self._listed(parameters)))
            identity["listed"] = f"sha256:{hashlib.sha256(contents.encode()).hexdigest()}"
        return identity

    def _listed(self, parameters: Mapping[str, Any]) -> list[Path]:
        """Return the files that those of the parameters name, each once."""
        return [] if self.listed is None else list(dict.fromkeys(self.listed(**self.checked(parameters))))

    def paths(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """Return the files and folders that are given, by parameter."""
        checked = self.checked(parameters)
        return {name: checked[name] for name in sorted(self.files & checked.keys()) if checked[name] is not None}

    def may_have_changed(self, parameters: Mapping[str, Any], since: float) -> bool:
        """Tell whether a file may have been changed since a time, in seconds since 1970, by what the system notes."""
        given = (existing_source(path) for path in self.paths(parameters).values())
        return any(_touched(path, since - SKEW) for path in (*given, *self._listed(parameters)))


F = TypeVar("F", bound=Callable[..., Dataset])


def dataset(
    name: str,
    *,
    version: int | None = None,
    files: Collection[str] = (),
    outline: Outline | Callable[..., Outline | None] | None = None,
    listed: Callable[..., Sequence[Path]] | None = None,
) -> Callable[[F], F]:
    """Register a function `(cache: Path, *, parameters) -> Dataset`, and return it unchanged.

    Args:
        name: the name of the dataset in suites.
        version: to be raised when the data change; without one, the hash of its code stands for it.
        files: names of the parameters that are paths of files or folders.
        outline: shape and sizes, or a function of all parameters that returns them. Given an outline, simbench rejects
            a suite that asks for too many inputs, or has models that cannot read them, before it runs anything.
        listed: a function of all parameters that returns the files that those of `files` name, such as the images of a
            table: their content enters keys, too.

    >>> import numpy, simbench
    >>> @simbench.dataset("coins", version=1, outline=Outline((2,), train=20, test=10))
    ... def coins(cache, *, noise: float = 0.1):
    ...     def split(count, seed):
    ...         random = numpy.random.default_rng(seed)
    ...         labels = numpy.arange(count) % 2
    ...         return Split(labels[:, None] + noise * random.normal(size=(count, 2)), labels)
    ...     return Dataset("coins", split(20, 0), split(10, 1), classes=2)
    >>> DATASETS.get("coins").checked({})
    {'noise': 0.1}
    """

    def decorate(function: F) -> F:
        source = DatasetSource(name, function, version, origin_of(function), frozenset(files), outline, listed)
        DATASETS.register(name, source, source.origin)
        return function

    return decorate


def load_dataset(name: str, parameters: Mapping[str, Any], cache: Path) -> Dataset:
    """Load the dataset called `name`.

    Args:
        name: a registered dataset.
        parameters: its parameters.
        cache: the folder for what is downloaded or generated.

    Raises:
        UnknownNameError: no dataset has this name.
        ParameterError: a parameter is unknown or has a wrong type.
        SimbenchError: the data cannot be obtained here; the message says what to do.
    """
    source = DATASETS.get(name)
    loaded: Dataset = source.function(cache, **source.checked(parameters))
    return loaded


def fingerprint(data: Dataset) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes of all arrays; of items, over their `digest`."""
    parts = {
        "train_inputs": data.train.inputs,
        "train_targets": data.train.targets,
        "test_inputs": data.test.inputs,
        "test_targets": data.test.targets,
    }
    arrays = {
        name: part if isinstance(part, np.ndarray) else np.frombuffer(str(getattr(part, "digest", "")).encode(), "u1")
        for name, part in parts.items()
        if part is not None
    }
    return arrays_digest(arrays)


def arrays_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes, in any order of the names.

    >>> one = np.ones(2)
    >>> arrays_digest({"a": one}) == arrays_digest({"a": one.astype(np.float32)})
    False
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def existing_source(path: str) -> Path:
    """Return the path of an existing file or folder; raise `SimbenchError` if there is none."""
    return from_home(path) if os.path.isdir(from_home(path)) else existing_file(path)


def existing_file(path: str) -> Path:
    """Return the path of an existing file; raise `SimbenchError` if there is none."""
    if not is_file(from_home(path)):
        raise SimbenchError(no_file(path))
    return from_home(path)


def existing_folder(path: str) -> Path:
    """Return the path of an existing folder; raise `SimbenchError` if there is none."""
    if not os.path.isdir(from_home(path)):
        raise SimbenchError(
            f"{path} is a file, not a folder" if os.path.exists(from_home(path)) else f"no such folder: {path}"
        )
    return from_home(path)


def _touched(source: Path, since: float) -> bool:
    """Tell whether a file, or anything below a folder, was changed since a time; a time of change cannot be set."""
    if source.stat().st_ctime > since:
        return True
    if not source.is_dir():
        return False
    return any(
        os.stat(os.path.join(folder, name)).st_ctime > since
        for folder, folders, names in os.walk(source)
        for name in (*folders, *names)
        if os.path.exists(os.path.join(folder, name))
    )


def content_digest(source: Path) -> str:
    """Return the SHA-256 of a file, or of all files of a folder with their names; hidden ones do not count."""
    if not source.is_dir():
        return file_digest(source)
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if not name.startswith(".") and path.is_file():
                digest.update(f"{path.relative_to(source).as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()
