"""What a dataset is: two splits of arrays, and a registered function that gives them.

A source is a function `(cache, *, parameters) -> Dataset`. It imports what it needs when it is called, so that
listing and planning import neither torch nor scikit-learn.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from simbench.errors import SimbenchError
from simbench.files import file_digest
from simbench.parameters import checked_parameters
from simbench.registry import DATASETS, Origin, origin_of, source_hash


@dataclass(frozen=True)
class Split:
    """Inputs `(n, ...)` as float32 and their labels `(n,)` as int64."""

    inputs: NDArray[np.float32]
    targets: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Bring both to their dtypes; `ValueError` when they do not belong together."""
        object.__setattr__(self, "inputs", np.ascontiguousarray(self.inputs, dtype=np.float32))
        object.__setattr__(self, "targets", np.ascontiguousarray(self.targets, dtype=np.int64))
        if self.inputs.ndim < 2 or self.targets.shape != self.inputs.shape[:1]:
            raise ValueError(
                f"inputs (n, ...) and targets (n,) are needed, got {self.inputs.shape} and {self.targets.shape}"
            )

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Outline:
    """What is known of a dataset before it is loaded: the shape of one input and how many there are in each split."""

    input_shape: tuple[int, ...]
    train: int
    test: int

    def lacks(self, asked: int, name: str, split: str) -> str | None:
        """What is wrong with a probe that asks for so many inputs of a split of the dataset called `name`, if anything.

        >>> Outline((1, 8, 8), train=1297, test=500).lacks(1000, "digits", "test")
        'probe asks for 1000 inputs; digits has 500 in its test split'
        """
        available = {"train": self.train, "test": self.test}[split]
        if asked <= available:
            return None
        return f"probe asks for {asked} inputs; {name} has {available} in its {split} split"


@dataclass(frozen=True)
class Dataset:
    """A training and a held-out split of one classification task with labels 0 … `classes` − 1."""

    name: str
    train: Split
    test: Split
    classes: int
    tokens: bool = False
    """Whether inputs are whole numbers that name things, to which noise cannot be added."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input, without the batch axis."""
        return tuple(self.train.inputs.shape[1:])

    @property
    def outline(self) -> Outline:
        """The shape of one input and the sizes of the splits."""
        return Outline(self.input_shape, len(self.train), len(self.test))

    def split(self, name: str) -> Split:
        """The split called `train` or `test`."""
        return {"train": self.train, "test": self.test}[name]


@dataclass(frozen=True)
class DatasetSource:
    """A registered dataset: its function and what listings say of it."""

    name: str
    function: Callable[..., Dataset]
    version: int | None
    origin: Origin
    files: frozenset[str] = frozenset()
    outlined: Outline | Callable[..., Outline] | None = None

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def checked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters, defaults filled in; `ParameterError` names every bad one."""
        return checked_parameters(self.function, parameters)

    def outline(self, parameters: Mapping[str, Any]) -> Outline | None:
        """What is known without loading anything; None where that is nothing."""
        return self.outlined(**self.checked(parameters)) if callable(self.outlined) else self.outlined

    def identity(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """What a key depends on, without loading anything: name, version, parameters.

        A parameter that is a file counts by its content, so that no path enters a key.
        """
        checked = self.checked(parameters)
        for name in self.files & checked.keys():
            checked[name] = f"sha256:{file_digest(existing_file(checked[name]))}"
        version = self.version if self.version is not None else source_hash(self.function)
        return {"name": self.name, "version": version, "parameters": checked}


F = TypeVar("F", bound=Callable[..., Dataset])


def dataset(
    name: str,
    *,
    version: int | None = None,
    files: Collection[str] = (),
    outline: Outline | Callable[..., Outline] | None = None,
) -> Callable[[F], F]:
    """Register a function `(cache: Path, *, parameters) -> Dataset`; returns it unchanged.

    Args:
        name: how suites call it.
        version: raise it when the data change; without one, the hash of the source file stands for it.
        files: names of the parameters that are paths of files.
        outline: shape and sizes, or a function of all parameters that gives them; with it, a suite that asks for more
            inputs than there are, or for models that cannot read them, is refused before anything is run.
    """

    def decorate(function: F) -> F:
        source = DatasetSource(name, function, version, origin_of(function), frozenset(files), outline)
        DATASETS.register(name, source, source.origin)
        return function

    return decorate


def load_dataset(name: str, parameters: Mapping[str, Any], cache: Path) -> Dataset:
    """The dataset called `name`.

    Args:
        name: a registered dataset.
        parameters: its parameters.
        cache: the folder for what is downloaded or generated.

    Raises:
        UnknownNameError: no dataset has this name.
        ParameterError: a parameter is unknown or has a wrong type.
        SimbenchError: it cannot be had here; says what to do.
    """
    source = DATASETS.get(name)
    return source.function(cache, **source.checked(parameters))


def fingerprint(data: Dataset) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all arrays."""
    return arrays_digest(
        {
            "train_inputs": data.train.inputs,
            "train_targets": data.train.targets,
            "test_inputs": data.test.inputs,
            "test_targets": data.test.targets,
        }
    )


def arrays_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, whatever the order of the names.

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


def existing_file(path: str) -> Path:
    """The path of a file that is there, else `SimbenchError`."""
    if not Path(path).expanduser().is_file():
        raise SimbenchError(f"no such file: {path}")
    return Path(path).expanduser()
