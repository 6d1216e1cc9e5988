"""Execution of a plan: engines, progress events, isolation of failures.

Calling the subpackage runs a suite: `simbench.run("quick")` is `simbench.run.session.run("quick")`. A subpackage
becomes an attribute of its parent as soon as anything in it is imported, so it would sometimes hide a function of the
same name; a callable module avoids that.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """A module that runs a suite when it is called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from simbench.run.session import run

        return run(*args, **kwargs)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """Text that `help(simbench.run)` shows: how a suite is run, with all arguments."""
        from simbench.run.session import run

        return f"simbench.run{inspect.signature(run)}\n\n{inspect.getdoc(run)}\n\n{vars(self)['__doc__']}"

    @property
    def __signature__(self) -> inspect.Signature:
        """Signature that notebooks show."""
        from simbench.run.session import run

        return inspect.signature(run)


# The modules that register the built-in engines, in the order in which these are listed.
BUILTIN_MODULES = ("engines",)

sys.modules[__name__].__class__ = _CallableModule
