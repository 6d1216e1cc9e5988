"""Atomic writes.

Guaranteed: a reader sees the old file or the whole new one, also after kill -9, and nothing is left behind when
writing raises. Not guaranteed: that the rename itself survives a power cut on every file system.

What the system refuses (a full disk, no permission) is a `StorageError`: one line that says what, where and what to do.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from simbench.errors import StorageError
from simbench.processes import this_machine

# Files in writing are called `.NAME.MACHINE-PROCESS.RANDOM.tmp`. The name may itself be as long as names can be: they
# have no more of it than this.
LONGEST_PART = 60
TEMPORARY = re.compile(r"^\..*\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)\.[^.]+\.tmp$")
# What the user may do, by the reason of the system.
ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, or choose another folder",
    errno.EDQUOT: "your quota of this disk is used up: free some space, or choose another folder",
    errno.EFBIG: "the file is larger than allowed (`ulimit -f`): raise the limit, or choose another folder",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "no permission: change that of the folder, or choose another",
    errno.EPERM: "no permission: change that of the folder, or choose another",
    errno.ENAMETOOLONG: "the path is too long: choose a shorter one",
}
SHOWN = 160


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; flush and rename it to `path` when the block ends without an error.

    Raises:
        StorageError: the system refuses to write the file.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name[:LONGEST_PART]}.{this_machine()}-{os.getpid()}."
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~umask())
        temporary.replace(path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if (number := _refusal(error)) is not None:
            raise StorageError(f"cannot write {shown(path)}: {reason_of(number, path)}") from error
        raise


def reason_of(number: int, path: Path) -> str:
    """Return why the system refuses a path, and what to do about it, by the number of its error."""
    if number in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        file = next((folder for folder in path.parents if os.path.exists(folder) and not os.path.isdir(folder)), None)
        return f"{shown(file)} is a file, where a folder is needed: move it" if file else "a folder is in its place"
    return ADVICE.get(number, os.strerror(number))


def shown(path: Path) -> str:
    """Return a path for a message; of a very long one, its beginning.

    >>> shown(Path("/store/models"))
    '/store/models'
    """
    text = str(path)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _refusal(error: BaseException) -> int | None:
    """Return the number of the system's error; that of a writer in Rust stands in its message."""
    if isinstance(error, OSError):
        return error.errno
    match = re.search(r"\(os error (\d+)\)", str(error))
    return int(match[1]) if match else None


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove(path: Path) -> None:
    """Delete a file, a link or a whole folder; one that is already gone is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def regular_bytes(path: Path) -> bytes:
    """Return the content of a file; refuse anything else (`OSError`): a pipe or a device would never end."""
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return path.read_bytes()
    number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(number, os.strerror(number) if number == errno.EISDIR else "not a regular file", str(path))


def is_file(path: str | Path) -> bool:
    """Tell whether there is such a file; unlike `Path.is_file`, say no of a name that no file system can hold."""
    return os.path.isfile(path)


def no_file(path: str | Path) -> str:
    """Return why a path cannot be read as a file: there is none, or it is a folder.

    >>> no_file("/")
    '/ is a folder, not a file'
    """
    return f"{path} is a folder, not a file" if os.path.isdir(from_home(str(path))) else f"no such file: {path}"


def from_home(name: str) -> Path:
    """Return a path with `~` in full; unlike `Path.expanduser`, leave that of an unknown user as it is."""
    return Path(os.path.expanduser(name))


# Digests of large files that this process has read, which take a second for a gigabyte, by all that changes with them.
# File systems take the time in steps: a file that was written just now may be written again within one.
LARGE, SETTLED = 1 << 24, 3 * 10**9
_large_digests: dict[tuple[str | int, ...], str] = {}

_kept_digests: ContextVar[dict[str, str] | None] = ContextVar("kept_digests", default=None)


@contextmanager
def digests_kept() -> Iterator[None]:
    """Take the digest of a file once while the block runs: a thousand models may name one file."""
    outer = _kept_digests.set({})
    try:
        yield
    finally:
        _kept_digests.reset(outer)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    kept, name = _kept_digests.get(), os.path.abspath(path)
    if kept is not None and name in kept:
        return kept[name]
    with path.open("rb") as file:
        state = _state(file.fileno())
        digest = _large_digests.get((name, *state)) or hashlib.file_digest(file, "sha256").hexdigest()
        if state.size >= LARGE and state == _state(file.fileno()) and time.time_ns() - state.changed > SETTLED:
            _large_digests[name, *state] = digest
    if kept is not None:
        kept[name] = digest
    return digest


class _State(NamedTuple):
    """State of a file: whoever writes to it changes the time of its last change, which nobody can set."""

    size: int
    device: int
    number: int
    written: int
    changed: int


def _state(descriptor: int) -> _State:
    stat = os.fstat(descriptor)
    return _State(stat.st_size, stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)


def umask() -> int:
    """Return the umask of this process, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def is_written_by_torch(path: Path) -> bool:
    """Return whether a file begins as those that `torch.save` writes: as an archive, or as a pickle."""
    with path.open("rb") as file:
        start = file.read(2)
    return start[:1] == b"\x80" or start == b"PK"
