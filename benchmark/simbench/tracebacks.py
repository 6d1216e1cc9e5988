"""Places of exceptions in a user's own code: an error of a metric is mended at its line, not at one of a library."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path

from simbench.errors import described, storable

PACKAGE = f"{Path(__file__).parent}{os.sep}"
# The file, as cloudpickle has it, of code that has travelled to another process by value.
PICKLED_CODE = "<dynamic-code>"
# Folders of the standard library and of what is installed.
INSTALLED = tuple(
    f"{folder}{os.sep}"
    for folder in dict.fromkeys(
        os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib", "platstdlib")
    )
)


def place_of(error: BaseException) -> tuple[str, int, str] | None:
    """Return the file, the line and the function of the last step of an exception that is in a user's own code.

    Where all code that is not ours is installed, as that of a plugin, it is the last step in the package of the first.
    None for an exception that no such code raised.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return error.filename, error.lineno, ""
    steps = [step for step in _steps(error) if not _is_ours(step[0])]
    own = [step for step in steps if is_own(step[0])]
    if own:
        return own[-1]
    packages = [step for step in steps if _package_of(step[0])]
    beside = [step for step in packages if _package_of(step[0]) == _package_of(packages[0][0])]
    return beside[-1] if beside else None


def described_at(error: BaseException) -> str:
    """Return the class and the message of an exception in one line, with the place in the user's own code, if any."""
    place, text = place_of(error), described(error)
    return text if place is None or isinstance(error, SyntaxError) else storable(f"{text} ({place_text(*place)})")


def place_text(file: str, line: int, function: str) -> str:
    """Return a place without its folders, which differ between machines; of a cell of a notebook, by its function.

    >>> place_text("/home/me/mine.py", 7, "mine"), place_text("<ipython-input-3>", 2, "mine")
    ('mine.py:7', 'mine, line 2')
    """
    return (
        f"{Path(file).name}:{line}" if os.path.isfile(file) or not _is_interactive(file) else f"{function}, line {line}"
    )


def whole(error: BaseException) -> str:
    """Return the whole traceback of an exception, also of one whose message cannot be shown."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception:
        return "".join(traceback.format_tb(error.__traceback__)) + described(error)


def _steps(error: BaseException) -> list[tuple[str, int, str]]:
    steps, trace = [], error.__traceback__
    while trace is not None:
        code, file = trace.tb_frame.f_code, trace.tb_frame.f_code.co_filename
        if file == PICKLED_CODE:  # the module from which it came still says its file, if it had one
            file = str(trace.tb_frame.f_globals.get("__file__") or file)
        steps.append((file, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return steps


def is_own(file: str) -> bool:
    """Tell whether a file belongs neither to simbench nor to anything that is installed."""
    return not _is_ours(file) and not _is_installed(file)


def _is_ours(file: str) -> bool:
    return file.startswith((PACKAGE, "<frozen "))


def _is_installed(file: str) -> bool:
    return os.path.realpath(file).startswith(INSTALLED) or (file.startswith("<") and not _is_interactive(file))


def _is_interactive(file: str) -> bool:
    """Tell whether a name of a file is that of a cell of a notebook, or of what is typed at the prompt."""
    return file.startswith(("<ipython-input", "<stdin", "<python-input", "<string", PICKLED_CODE)) or (
        "ipykernel_" in file
    )


def _package_of(file: str) -> str:
    """Return the folder, or file, of what is installed to which a file belongs; empty for the standard library."""
    file = os.path.realpath(file)
    for folder in INSTALLED:
        if (file.startswith(folder) and "site-packages" in folder + file) or "dist-packages" in file:
            rest = file.rpartition("-packages" + os.sep)[2]
            return rest.partition(os.sep)[0]
    return ""
