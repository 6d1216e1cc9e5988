"""Origins: the place where a component is defined, and the hash of its source, which stands for a missing version."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from simbench.code_identity import INTERACTIVE, code_hash, is_interactive, module_of
from simbench.own_files import FILE_MODULE
from simbench.tracebacks import is_own

# A function that wraps itself is followed no further than this.
MOST_WRAPPED = 100


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
    component = _defined(component)
    code = getattr(component, "__code__", None)
    module = module_of(component)
    if code is not None:
        return Origin(module, code.co_filename, code.co_firstlineno)
    file = getattr(sys.modules.get(module), "__file__", None) or "<interactive>"
    try:
        line = inspect.getsourcelines(component)[1]
    except (OSError, TypeError):
        line = 1
    return Origin(module, file, line)


def _defined(component: Any) -> Any:
    """Return the function or class that somebody wrote where a callable is made of several.

    Of a function and those that it wraps, it is the innermost that is neither ours nor installed, if there is one.
    """
    while isinstance(component, functools.partial):
        component = component.func
    chain = [component]
    while (inner := getattr(chain[-1], "__wrapped__", None)) is not None and len(chain) < MOST_WRAPPED:
        chain.append(inner)
    written = [each for each in chain if hasattr(each, "__code__") and is_own(each.__code__.co_filename)]
    chosen = (written or chain)[-1]
    return chosen if inspect.isroutine(chosen) or isinstance(chosen, type) else type(chosen)


def source_hash(component: Callable[..., Any]) -> str:
    """Hash the code of a component that declares no version, to stand for one: see `simbench.code_identity`.

    It is that of the first call for a component of a file, which is made when it is registered: later edits of the file
    are no edits of it. In a notebook, what a function uses may be defined anew, so it is hashed anew.
    """
    try:
        if component not in _hashes or is_interactive(component):
            _hashes[component] = f"source-{code_hash(component)[:12]}"
        return _hashes[component]
    except TypeError:  # an object that is not hashable
        return f"source-{code_hash(component)[:12]}"


_hashes: WeakKeyDictionary[Callable[..., Any], str] = WeakKeyDictionary()
