"""Places of a store: whether there can be one, and what stands in the way of a file in it."""

from __future__ import annotations

import errno
import os
import unicodedata
from pathlib import Path

from simbench.errors import StorageError
from simbench.files import reason_of, shown


def usable_root(root: Path) -> Path:
    """Return the resolved path of a store; raise `StorageError` if something there is none, or cannot be read."""
    try:
        resolved = root.resolve()
        # Control characters, and what is no UTF-8, which no JSON can hold.
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in str(resolved)):
            raise StorageError(f"{str(root)!a} cannot be the store: its path has characters that cannot be shown")
        if os.path.lexists(resolved) and not resolved.is_dir():
            raise StorageError(f"{shown(root)} is a file; a store is a folder: choose another by --store")
        if resolved.is_dir() and not os.access(resolved, os.R_OK | os.X_OK):
            raise StorageError(f"cannot read the store {shown(root)}: no permission")
    except (OSError, RuntimeError) as error:  # before Python 3.13, links in a circle are a RuntimeError
        number = error.errno if isinstance(error, OSError) and error.errno is not None else errno.ELOOP
        raise StorageError(f"{shown(root)} cannot be the store: {reason_of(number, root)}") from error
    return resolved


def blocking(root: Path, path: Path) -> Path | None:
    """Return the file in place of a folder above a path in a store, or what is no file at the path itself, if any.

    Raises:
        StorageError: the store, or one of its own folders, is a file, which may be anybody's.
    """
    *folders, kind = [root / folder for folder in path.relative_to(root).parents][:-1]
    for folder in (root, kind):
        if os.path.lexists(folder) and not folder.is_dir():
            raise StorageError(f"{folder} is a file, and the store needs a folder there: move it, or give --store")
    for folder in reversed(folders):
        if os.path.lexists(folder) and not folder.is_dir():
            return folder
    return path if os.path.lexists(path) and not os.path.isfile(path) else None
