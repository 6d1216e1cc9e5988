"""Import heavy modules at first use: listing, checking and planning need a metric's metadata, not torch."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Placeholder for a module that is imported when one of its attributes is read; never put into `sys.modules`."""

    def __getattr__(self, name: str) -> Any:
        """Import the module and return its attribute."""
        return getattr(importlib.import_module(self.__name__), name)


def lazy_import(name: str) -> Any:
    """Return a placeholder for the module `name`, which is imported at the first attribute access.

    >>> json = lazy_import("json")
    >>> json.dumps([1])
    '[1]'
    """
    return LazyModule(name)
