"""What verbs print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_OF_A_FILE = 200


def print_json(document: Any) -> None:
    """One JSON document on standard output; NaN and Infinity are not JSON, so they are a mistake here."""
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False), flush=True)


def results_console() -> Console:
    """The console for results. In a pipe or a file nothing is squeezed into 80 columns, unless COLUMNS asks for it."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH_OF_A_FILE)


def progress_console() -> Console:
    """The console for progress and remarks."""
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def stdout_reserved(reserved: bool = True) -> Iterator[None]:
    """Send to standard error whatever is printed in the block, also by worker processes and by the user's own metrics.

    Holds `--json` to its promise. Does nothing when `reserved` is false.
    """
    if not reserved:
        yield
        return
    sys.stdout.flush()
    stdout, descriptor = sys.stdout, os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = stdout
        os.dup2(descriptor, 1)
        os.close(descriptor)
