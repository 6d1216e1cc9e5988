"""Files of the user's own: import one by its path, with the files next to it, apart from those of other folders.

A file is imported as a module of a name of its own, which follows from its path, and so is every file next to it that
it imports: two folders may each have a `helpers.py`. As for a script, files next to it come before installed modules of
the same name. What was executed is kept with the module, so that an edited file, or one whose neighbour was edited, is
imported anew, and that worker processes import the same text as the process that gave them work.
"""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import linecache
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

# What the names of modules start with that are imported from a file by its path.
FILE_MODULE = "simbench_file_"
# Never those of a file next to the importing one: a file that registers a component means this package by it.
NEVER_OWN = frozenset({"simbench", *sys.builtin_module_names})


@dataclass(frozen=True)
class OwnFile:
    """Python file of the user's own as it is imported.

    Attributes:
        name: the name of its module.
        path: where it lies, absolute; of a package its `__init__.py`, or the folder if there is none.
        folder: where the modules lie that it imports by their names.
        is_package: whether modules may lie in it.
        only: the only module in the folder that is the user's own, for a file that is installed; empty for all.
    """

    name: str
    path: str
    folder: str
    is_package: bool = False
    only: str = ""

    @property
    def inside(self) -> Path:
        """Folder in which the modules of a package lie."""
        path = Path(self.path)
        return path.parent if path.suffix == ".py" else path


def own_file(path: Path) -> OwnFile:
    """Return a file by its path, as a module of its own."""
    path = path.resolve()
    return _top(path.parent.name, path) if path.name == "__init__.py" else _top(path.stem, path)


def neighbour(name: str, file: OwnFile) -> OwnFile | None:
    """Return the file that `name` (without dots) means where a file imports it; None for what is not the user's own.

    A folder without `__init__.py` is one only where no module of that name is installed.
    """
    if name in NEVER_OWN or not name.isidentifier() or file.only not in ("", name):
        return None
    path = _module_in(Path(file.folder), name)
    return None if path is None or (path.suffix != ".py" and _is_installed(name)) else _top(name, path, file.only)


def submodule(package: OwnFile, name: str) -> OwnFile | None:
    """Return the file of the module `name` in a package; None if there is none."""
    path = _module_in(package.inside, name) if package.is_package else None
    if path is None:
        return None
    return OwnFile(f"{package.name}.{name}", str(path), package.folder, _holds_modules(path), package.only)


def _top(stem: str, path: Path, only: str = "") -> OwnFile:
    place = path.parent if path.name == "__init__.py" else path
    # Not hash(): that of a string differs from process to process.
    plain, digest = re.sub(r"\W", "_", stem), hashlib.sha256(str(place).encode()).hexdigest()
    name = f"{FILE_MODULE}{plain}_{digest[:12]}"
    return OwnFile(name, str(path), str(place.parent), _holds_modules(path), only)


def _holds_modules(path: Path) -> bool:
    return path.name == "__init__.py" or path.suffix != ".py"


def _module_in(folder: Path, name: str) -> Path | None:
    for path in (folder / name / "__init__.py", folder / f"{name}.py", folder / name):
        if str(path) in _received or (path.is_file() if path.suffix == ".py" else path.is_dir()):
            return path
    return None


def _is_installed(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


# --- what a file imports of its own, told from its text ---------------------------------------------------------------

# The text of files, by their paths, as another process has them; that of no other file is taken from there.
_received: dict[str, bytes] = {}


def text_of(file: OwnFile) -> bytes:
    """Return the text of a file; that of a folder is empty."""
    if file.path in _received:
        return _received[file.path]
    return Path(file.path).read_bytes() if file.path.endswith(".py") else b""


@functools.lru_cache(maxsize=1024)
def parsed(text: bytes) -> ast.Module:
    """Return the syntax tree of a file; that of one which is no Python is empty."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module([], [])


@functools.lru_cache(maxsize=1024)
def _imports_in(text: bytes) -> tuple[ast.AST, ...]:
    """Return the statements of a file that import something, wherever they stand in it."""
    return tuple(node for node in ast.walk(parsed(text)) if isinstance(node, ast.Import | ast.ImportFrom))


def imported_by(file: OwnFile, nodes: Sequence[ast.AST]) -> Iterator[OwnFile]:
    """Yield the files of the user's own that code in a file imports by these statements, or anywhere inside of them."""
    for node in (inner for outer in nodes for inner in ast.walk(outer)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _along(file, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start = None if node.level == 0 else _upwards(file, node.level)
            if node.level and start is None:
                continue
            path = node.module.split(".") if node.module else []
            for alias in node.names:
                yield from _along(file, [*path, alias.name], start)


def _upwards(file: OwnFile, level: int) -> OwnFile | None:
    """Return the package that the dots of a relative import name."""
    for step in range(level):
        if step == 0 and file.is_package:
            continue
        name, dot, _ = file.name.rpartition(".")
        if not dot:
            return None
        holder = file.inside if not file.is_package else file.inside.parent
        path = holder / "__init__.py"
        there = str(path) in _received or path.is_file()
        file = OwnFile(name, str(path if there else holder), file.folder, is_package=True, only=file.only)
    return file


def _along(file: OwnFile, names: Sequence[str], start: OwnFile | None = None) -> Iterator[OwnFile]:
    """Yield the modules along a dotted path, as far as they are files."""
    module = start
    if start is not None:
        yield start
    for name in names:
        module = neighbour(name, file) if module is None else submodule(module, name)
        if module is None:
            return
        yield module


def with_imported(file: OwnFile, text: Callable[[OwnFile], bytes] = text_of) -> dict[str, tuple[OwnFile, bytes]]:
    """Return a file and all of the user's own that it imports, directly or not, with their texts, by module names."""
    gathered: dict[str, tuple[OwnFile, bytes]] = {}
    waiting = [file]
    while waiting:
        file = waiting.pop()
        if file.name not in gathered:
            gathered[file.name] = file, text(file)
            waiting += imported_by(file, _imports_in(gathered[file.name][1]))
    return gathered


# --- import -----------------------------------------------------------------------------------------------------------

# What was gathered when a module was executed: it, and all of the user's own that it imports.
_loaded: dict[str, dict[str, tuple[OwnFile, bytes]]] = {}
_files: dict[str, OwnFile] = {}
# Modules whose files are being executed: no other process could import what is not whole.
_executing: set[str] = set()


def import_own(path: Path) -> ModuleType:
    """Import a file, or return the module that was made of the same text, also of all that it imports."""
    return _imported(own_file(path))


def loaded_with(name: str) -> Mapping[str, tuple[OwnFile, bytes]] | None:
    """Return what a module was executed with, itself included; None for one that is no file of the user's own."""
    return _loaded.get(name)


def _imported(file: OwnFile) -> ModuleType:
    _forget_edited(with_imported(file))
    _files[file.name] = file
    return importlib.import_module(file.name)


def _forget_edited(names: Iterable[str]) -> None:
    """Let those modules go that were made of another text, or whose imports were."""
    for name in list(names):
        if name in _loaded and _loaded[name] != with_imported(_loaded[name][name][0]):
            _forget(name)


def _forget(name: str) -> None:
    _loaded.pop(name, None)
    sys.modules.pop(name, None)


class _Finder:
    """Finder and loader of the modules that are files of the user's own."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return how the module of a file is made; None for any other module."""
        if not name.startswith(FILE_MODULE):
            return None
        holder, _, last = name.rpartition(".")
        file = _files.get(name) or (submodule(_files[holder], last) if holder in _files else None)
        if file is None:
            return None
        _files[name] = file
        return importlib.util.spec_from_file_location(
            name,
            file.path,
            loader=cls(),  # type: ignore[arg-type]
            submodule_search_locations=[str(file.inside)] if file.is_package else None,
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Leave it to the import system to make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Execute the file; not from a cache of byte code, which tells files apart by second and size."""
        import cloudpickle

        file = _files[module.__name__]
        _loaded[file.name] = with_imported(file)
        text = _loaded[file.name][file.name][1]
        linecache.checkcache(file.path)
        # No process but ours can import this name; what pickles by reference brings the text along (`sent`).
        cloudpickle.register_pickle_by_value(module)
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import_beside(file)}
        _executing.add(file.name)
        try:
            exec(compile(text, file.path, "exec", dont_inherit=True), vars(module))
        except BaseException:
            _forget(file.name)
            raise
        finally:
            _executing.discard(file.name)

    def get_source(self, name: str) -> str:
        """Return the text that was executed, for tracebacks."""
        return importlib.util.decode_source(_loaded[name][name][1])


sys.meta_path.insert(0, _Finder)


def _import_beside(file: OwnFile) -> Callable[..., Any]:
    """Return `__import__` for the code of a file: names of files next to it mean these."""

    def import_beside(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        top, dot, rest = name.partition(".")
        beside = neighbour(top, file) if level == 0 else None
        if beside is not None:
            _files.setdefault(beside.name, beside)
            name = f"{beside.name}{dot}{rest}"
        return builtins.__import__(name, globals, locals, fromlist, level)

    return import_beside


# --- other processes --------------------------------------------------------------------------------------------------


def sent() -> tuple[tuple[OwnFile, bytes], ...]:
    """Return the files of all modules that this process has imported, with their texts, for another process."""
    return tuple({name: entry for entries in _loaded.values() for name, entry in entries.items()}.values())


def receive(files: Sequence[tuple[OwnFile, bytes]]) -> None:
    """Take the files that another process has sent in place of those on the disk."""
    _received.clear()
    for file, text in files:
        _received[file.path] = text
        _files[file.name] = file
    _forget_edited(_loaded)


@contextmanager
def pickled_by_reference() -> Iterator[None]:
    """Let cloudpickle refer, in the block, to what own files define, for a process that receives what is `sent`."""
    import cloudpickle

    modules = [sys.modules[name] for name in _loaded if name in sys.modules and name not in _executing]
    for module in modules:
        cloudpickle.unregister_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.register_pickle_by_value(module)
