"""Executing a plan: engines, progress events, isolation of failures.

Calling the subpackage runs a suite: `simbench.run("quick")` is `simbench.run.session.run("quick")`. A subpackage
becomes an attribute of its parent as soon as anything in it is imported, so a function of the same name would sometimes
be hidden by it; a module that can be called is never hidden.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from simbench.run.session import run

        return run(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        """What notebooks show as the signature."""
        from simbench.run.session import run

        return inspect.signature(run)


sys.modules[__name__].__class__ = _CallableModule
