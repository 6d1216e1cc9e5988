"""Errors that reach the user as one clear line, and the exit codes they lead to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What `simbench` tells the shell."""

    OK = 0
    VERDICT_FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    INTERRUPTED = 130


class SimbenchError(Exception):
    """Something the user can mend; the command line prints its message without a traceback."""

    exit_code = ExitCode.USAGE


class SuiteError(SimbenchError):
    """All problems of one suite file, each a line `file:line:column: what; nearest valid thing`."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class UnknownNameError(SimbenchError):
    """A name that no component, layer or key has; says the nearest valid one."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        self.kind, self.name, self.valid = kind, name, tuple(valid)
        super().__init__(f'unknown {kind} "{name}"{suggestion(name, self.valid)}')


class NotApplicable(Exception):  # noqa: N818 - a value with a reason, not a failure
    """Raised where a metric or a test cannot be applied to what it was given: becomes a `skip` with this reason."""


def suggestion(name: str, valid: Iterable[str]) -> str:
    """The tail of an error message: the nearest valid name, or all of them when they are few.

    >>> suggestion("distanse", ["distance", "kind"])
    '; did you mean "distance"?'
    >>> suggestion("zzz", ["distance", "kind"])
    '; valid: distance, kind'
    """
    names = sorted(valid)
    nearest = difflib.get_close_matches(name, names, n=1)
    if nearest:
        return f'; did you mean "{nearest[0]}"?'
    if not names:
        return ""
    return f"; valid: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}"
