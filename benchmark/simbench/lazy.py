"""Heavy modules, imported when first used: listing, checking and planning need a metric's metadata, not torch."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stands for a module until one of its attributes is read. It is never put into `sys.modules`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def lazy_import(name: str) -> Any:
    """The module `name`, imported at its first attribute access.

    >>> json = lazy_import("json")
    >>> json.dumps([1])
    '[1]'
    """
    return LazyModule(name)
