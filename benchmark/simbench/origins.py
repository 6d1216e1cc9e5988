"""Origins: the place where a component is defined, and the hash of its source, which stands for a missing version."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

# The module of what is defined in a notebook or typed at the prompt.
INTERACTIVE = "__main__"
# The attribute of a module imported from a file that holds the bytes which were executed.
SOURCE = "__simbench_source__"
# What the names of modules start with that are imported from a file by its path.
FILE_MODULE = "simbench_file_"


@dataclass(frozen=True)
class Origin:
    """Place where a component is defined."""

    module: str
    file: str
    line: int

    def __str__(self) -> str:
        """Return `file:line`."""
        return f"{self.file}:{self.line}"

    @property
    def of_file(self) -> bool:
        """Whether it is a file that no package holds, so that its module's name is derived from a local path."""
        return self.module.startswith(FILE_MODULE)

    @property
    def public_name(self) -> str:
        """The module, or the name of a file that no package holds: what means the same on any machine."""
        return Path(self.file).name if self.of_file or not self.module else self.module

    def redefines(self, older: Origin) -> bool:
        """Tell whether a definition replaces its own older one: of the same file, or a cell of the same notebook."""
        return older.module == self.module and (older.file == self.file or self.module == INTERACTIVE)


def origin_of(component: Callable[..., Any]) -> Origin:
    """Return the place where a function, or what it wraps, or a class is defined."""
    component = inspect.unwrap(component)
    code = getattr(component, "__code__", None)
    module = component.__module__
    if code is not None and not module.startswith("simbench."):
        source_hash(component)  # of the file as it is now, before anybody edits it
    if code is not None:
        return Origin(module, code.co_filename, code.co_firstlineno)
    file = getattr(sys.modules.get(module), "__file__", None) or "<interactive>"
    try:
        line = inspect.getsourcelines(component)[1]
    except (OSError, TypeError):
        line = 1
    return Origin(module, file, line)


def source_hash(function: Callable[..., Any]) -> str:
    """Hash the source of a component that declares no version, to stand for one.

    It is the hash of the file that defines the function (helpers beside it count), else of its own source or byte code.
    It is that of the first call for a function, which is made when the function is registered: later edits of the file
    are no edits of the function.
    """
    function = inspect.unwrap(getattr(function, "__func__", function))
    if function not in _hashes:
        _hashes[function] = f"source-{hashlib.sha256(_source(function)).hexdigest()[:12]}"
    return _hashes[function]


_hashes: WeakKeyDictionary[Callable[..., Any], str] = WeakKeyDictionary()


def _source(function: Callable[..., Any]) -> bytes:
    executed = getattr(function, "__globals__", {}).get(SOURCE)
    if isinstance(executed, bytes):
        return executed
    file = Path(function.__code__.co_filename)
    if file.suffix == ".py" and file.is_file():
        return file.read_bytes()
    try:
        return inspect.getsource(function).encode()
    except OSError:
        return function.__code__.co_code + repr(function.__code__.co_consts).encode()
