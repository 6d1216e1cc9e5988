"""Files in writing: those that a process left behind which was ended in the middle."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from simbench.files import TEMPORARY
from simbench.processes import start_of, this_machine

SUFFIX = ".tmp"
# A file whose process cannot be asked, on another machine or of a former version, is given up after a day.
LONGEST_WRITING = 24 * 3600.0


def temporaries(root: Path) -> Iterator[Path]:
    """Yield all files in writing below a folder."""
    for folder, _, names in os.walk(root):
        yield from (Path(folder) / name for name in names if name.startswith(".") and name.endswith(SUFFIX))


def is_abandoned(path: Path) -> bool:
    """Tell whether nobody is writing a file any more."""
    match = TEMPORARY.match(path.name)
    if match is not None and match["machine"] == this_machine():
        return start_of(int(match["process"])) is None
    try:
        return time.time() - path.stat().st_mtime > LONGEST_WRITING
    except FileNotFoundError:
        return False


def remove_abandoned(root: Path) -> None:
    """Delete the files in writing that are abandoned, where this user may."""
    for path in temporaries(root):
        if is_abandoned(path) and os.access(path.parent, os.W_OK):
            path.unlink(missing_ok=True)
