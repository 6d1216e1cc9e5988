"""Processes that write to a store: which machine and process a file is of, and whether that process still runs."""

from __future__ import annotations

import functools
import hashlib
import os
import socket
from pathlib import Path


@functools.cache
def this_machine() -> str:
    """Return a short mark of this machine since it was started: a process number means nothing elsewhere."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        started = ""
    return hashlib.sha256(f"{socket.gethostname()} {started}".encode()).hexdigest()[:8]


def start_of(process: int) -> str | None:
    """Return when a process of this machine was started, in a form to compare; None if it has ended.

    Where the system does not say when, the empty text.
    """
    try:
        # The name of the program, in brackets, may hold anything; the start is the 20th field behind it.
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "" if _answers(process) else None
    return None if fields[0] in "ZX" else fields[19]


def _answers(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, and so it runs
        return True
    return True
