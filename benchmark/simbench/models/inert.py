"""Read what a training script pickled beside the weights as values that mean nothing: no class of it is imported."""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simbench.lazy import lazy_import
from simbench.suite.torch_files import PICKLE

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_import("torch")

# The attribute of what is read in place of an object that says what it would have been.
STANDS_FOR = "simbench_stands_for"
# Checkpoints name a few dozen classes.
MOST_NAMES = 1000


@contextmanager
def inert_classes(path: Path) -> Iterator[None]:
    """Let `torch.load(weights_only=True)` read a file with objects of any class, as long as the block runs.

    Each class that the file names is replaced: what would be an object of it is an empty dictionary, or one with the
    items of a dictionary that has a class of its own. Nothing is imported, and nothing of the file is called.

    Raises:
        pickle.UnpicklingError: the file names more classes than a checkpoint does.
    """
    allowed = torch.serialization.get_safe_globals()
    usual = {_name_of(each) for each in allowed}
    named = [(module, name) for module, name in _classes_in(path) if f"{module}.{name}" not in usual]
    torch.serialization.add_safe_globals([_stand_in(module, name) for module, name in named])
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed)


def stands_for(value: object) -> str | None:
    """Return the class of the object in whose place a value was read; None if it was read as it is."""
    name = getattr(value, STANDS_FOR, None)
    return name if isinstance(name, str) else None


def _name_of(allowed: Any) -> str:
    """Return the name under which a file may name what is allowed."""
    return str(allowed[1]) if isinstance(allowed, tuple) else f"{allowed.__module__}.{allowed.__qualname__}"


def _classes_in(path: Path) -> set[tuple[str, str]]:
    """Return module and name of all that the pickles of a file name, as Python 3 calls it."""
    named: set[tuple[str, str]] = set()
    for content in _pickles(path):
        for operation, argument, _ in pickletools.genops(content):
            if operation.name == "GLOBAL" and isinstance(argument, str):
                module, _, name = argument.partition(" ")
                module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                named.add((module, name))
                if len(named) > MOST_NAMES:
                    raise pickle.UnpicklingError("too many classes")
    return named


def _pickles(path: Path) -> Iterator[bytes]:
    if not zipfile.is_zipfile(path):
        return  # the former format has several pickles, and tensors behind them: only tensors are read of it
    with zipfile.ZipFile(path) as entries:
        yield from (entries.read(entry) for entry in entries.infolist() if entry.filename.endswith(PICKLE))


def _stand_in(module: str, name: str) -> Any:
    """Return a class of this name; calling it, or making an object of it, gives a value without meaning."""

    def new(_class: type, *_arguments: object, **_keywords: object) -> Any:
        # Only plain dictionaries may be given items, and only these take any attributes.
        value: OrderedDict[str, Any] = OrderedDict()
        setattr(value, STANDS_FOR, f"{module}.{name}")
        return value

    members: dict[str, Any] = {"__module__": module, "__qualname__": name}
    if module.partition(".")[0] == "numpy":  # the state of a dtype is no dictionary
        members |= {"__init__": lambda *_: None, "__setstate__": lambda *_: None, STANDS_FOR: f"{module}.{name}"}
    else:
        members["__new__"] = new
    return type(name, (), members)
