"""Errors that reach the user as one clear line, and the exit codes they lead to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `simbench`."""

    OK = 0
    VERDICT_FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    INTERRUPTED = 130


class SimbenchError(Exception):
    """Error that the user can mend; the command line prints its message without a traceback."""

    exit_code = ExitCode.USAGE


class StorageError(SimbenchError):
    """A file cannot be written or read: what, where, why, and what to do about it."""

    exit_code = ExitCode.INCOMPLETE


# Most problems of a file that are shown, and most characters of each: a file of a stranger may have a great many.
MOST_SHOWN = 20
LONGEST_SHOWN = 1000


class SuiteError(SimbenchError):
    """The problems of one suite file, each one line: `file:line:column: problem; nearest valid name`.

    The message has the first of them, and the number of the others. `problems` has those of the message.
    """

    def __init__(self, problems: Iterable[object]) -> None:
        """Join the problems into one message, a line each; their texts are made for those that are shown only."""
        every = list(problems)
        self.problems = tuple(shortened(str(problem), LONGEST_SHOWN) for problem in every[:MOST_SHOWN])
        more = len(every) - len(self.problems)
        super().__init__("\n".join([*self.problems, *([f"… and {more} more"] if more else [])]))


class UnknownNameError(SimbenchError):
    """Unknown name of a component, layer or key; the message gives the nearest valid one."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        """Compose the message.

        Args:
            kind: the word for what is named, such as `metric`.
            name: the unknown name.
            valid: the names that are known.
        """
        self.kind, self.name, self.valid = kind, name, tuple(valid)
        super().__init__(kind, name, self.valid)

    @property
    def text(self) -> str:
        """Message without the nearest valid name."""
        return f'unknown {self.kind} "{self.name}"'

    def __str__(self) -> str:
        """Return the message; the nearest name is looked for only where the message is read."""
        return f"{self.text}{suggestion(self.name, self.valid)}"


class Stop(BaseException):
    """Order to end what is under way, from simbench itself; no code takes it for a failure."""


def is_failure(error: BaseException) -> bool:
    """Tell whether an exception of somebody else's code is a failure of it: all are but Ctrl-C and `Stop`.

    So is `sys.exit`, and any other exception that `except Exception` does not catch.
    """
    return not isinstance(error, KeyboardInterrupt | Stop)


def described(error: BaseException) -> str:
    """Return the class and the message of an exception in one line, also of one that cannot be shown.

    >>> described(ValueError("too few rows"))
    'ValueError: too few rows'
    """
    try:
        message = str(error)
    except Exception as own:
        message = f"its message raises {type(own).__name__}"
    return storable(f"{type(error).__name__}: {message}".splitlines()[0])


def storable(text: object) -> str:
    """Return a text of somebody else's code as a file can hold it: not too long, and without half characters."""
    return shortened(str(text), LONGEST_SHOWN).encode("utf-8", "backslashreplace").decode("utf-8")


class NotApplicable(Exception):  # noqa: N818 - a value with a reason, not a failure
    """Reason why a metric or a test cannot be applied to its inputs; raising it results in a `skip`, not an error."""


def shortened(text: str, longest: int) -> str:
    """Return a text, cut where it is too long.

    >>> shortened("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def suggestion(name: str, valid: Iterable[str]) -> str:
    """Return the end of an error message: the nearest valid name, or the first dozen of them if none is near.

    >>> suggestion("distanse", ["distance", "kind"])
    '; did you mean "distance"?'
    >>> suggestion("ckaa", ["CKA", "CCA"])
    '; did you mean "CKA"?'
    >>> suggestion("zzz", ["distance", "kind"])
    '; valid: distance, kind'
    """
    names = sorted(valid)
    nearest = difflib.get_close_matches(name, names, n=1) or _nearest_in_any_case(name, names)
    if nearest:
        return f'; did you mean "{nearest[0]}"?'
    if not names:
        return ""
    return f"; valid: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}"


def _nearest_in_any_case(name: str, names: list[str]) -> list[str]:
    in_lower_case = {each.casefold(): each for each in reversed(names)}
    return [in_lower_case[each] for each in difflib.get_close_matches(name.casefold(), in_lower_case, n=1)]
