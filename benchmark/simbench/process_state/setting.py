"""One thing that any code of a process can change for all of it: how it is read and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One thing that any code of a process can change for all of it.

    Attributes:
        read: returns its value.
        write: sets it to a value that was read.
        same: tells whether two values that were read are equal.
        needs: the module without which nobody can have changed it.
        may_last: whether a module may set it for good when it is imported, as it does the import path: no number
            depends on it, and the module's functions may.
        usual: returns the value, given the present one, with which numbers are computed, where they depend on it.
    """

    read: Callable[[], Any]
    write: Callable[[Any], Any]
    same: Callable[[Any, Any], bool] = lambda before, now: bool(before == now)
    needs: str = "sys"
    may_last: bool = False
    usual: Callable[[Any], Any] | None = None


def attribute(owner: Any, name: str, *, may_last: bool = False) -> Setting:
    """Return the setting that is an attribute of a module, compared by identity."""
    return Setting(
        lambda: getattr(owner, name),
        lambda value: setattr(owner, name, value),
        lambda a, b: a is b,
        may_last=may_last,
    )
