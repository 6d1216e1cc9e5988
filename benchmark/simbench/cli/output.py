"""Output of verbs: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simbench.visible import visible, visible_json

if TYPE_CHECKING:
    from rich.console import Console

    from simbench.results.store import Store

WIDTH_OF_A_FILE = 200


def print_json(document: Any) -> None:
    """Print one JSON document on standard output; raise `ValueError` for NaN and Infinity, which are not JSON."""
    print(visible_json(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)), flush=True)


def say(*lines: object, error: bool = False) -> None:
    """Print lines on standard output, or on standard error, with all their characters visible."""
    for line in lines:
        print(visible(str(line)), file=sys.stderr if error else sys.stdout)


def results_console() -> Console:
    """Return the console for results; in a pipe or a file it is wide, unless COLUMNS gives a width."""
    from simbench.publish.visible_console import VisibleConsole

    return VisibleConsole(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH_OF_A_FILE)


def progress_console() -> Console:
    """Return the console for progress and remarks."""
    from simbench.publish.visible_console import VisibleConsole

    return VisibleConsole(stderr=True)


def read_store(root: Path | None) -> Store:
    """Return the store to read from; a damaged file is a warning on standard error."""
    from simbench.results.store import Store

    return Store(root, warn=lambda message: say(f"warning: {message}", error=True))


@contextmanager
def stdout_reserved(reserved: bool = True) -> Iterator[None]:
    """Redirect to standard error whatever is printed in the block, also by worker processes and by users' metrics.

    So `--json` prints one document and nothing else on standard output. If `reserved` is false, nothing is redirected.
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
