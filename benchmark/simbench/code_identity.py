"""Identity of code: a hash of what is computed, which stands for a version where none is declared.

It is the hash of the syntax tree, without comments, blank lines, docstrings and positions. Of a function in a file
there enter

* the function, or the class whose method it is, with its decorators;
* every statement of the file that is no mere definition (imports, constants, calls), but what stands under
  `if __name__ == "__main__":`;
* every function and class of the file whose name stands anywhere in what has entered, and so on;
* the whole of the files next to it, or in its package, that what has entered imports, and that these import.

Another metric in the same file does not enter, nor do installed modules and files that the code reads. Code that looks
up names while it runs (`globals()`, `eval`, …) enters with the whole of its file. In a notebook, functions and classes
that a function uses by their names enter in the same way, and the values of numbers, texts and arrays.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import re
import sys
import sysconfig
import textwrap
import types
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeGuard

from simbench.own_files import OwnFile, imported_by, loaded_with, parsed, text_of, with_imported

# Decorators that do nothing but register or mark what they decorate, by their last name.
HARMLESS = frozenset(
    {
        *("metric", "transform", "dataset", "architecture", "generator", "reparametrisation", "loader", "wrapper"),
        *("test_kind", "sanity_test", "engine", "staticmethod", "classmethod", "property", "cached_property", "cache"),
        *("lru_cache", "dataclass", "no_grad", "inference_mode", "overload", "contextmanager"),
    }
)
# Declarations of a metric that decide no value and no verdict.
MERELY_SAID = frozenset({"formula", "reference", "family", "default"})
# Names by which code reaches others that it does not spell.
DYNAMIC = frozenset({"globals", "vars", "locals", "eval", "exec", "__dict__", "modules", "import_module", "__import__"})
# A longer text is none that names functions.
LONGEST_NAMES = 10_000
# The module of what is defined in a notebook or typed at the prompt.
INTERACTIVE = "__main__"
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
# Fields of syntax trees that change nothing that is computed, or that only some versions of Python have.
LEFT_OUT = frozenset({"ctx", "type_comment", "type_params", "kind", "type_ignores"})


def code_hash(component: Any) -> str:
    """Hash the code of a function, a class or a callable object, and of all of the user's own that it uses."""
    parts = [part for piece in _pieces(component, set()) for part in _code_of(piece)]
    return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()


def module_of(piece: Any) -> str:
    """Return the name of the module whose text defines a function or class."""
    # Not __module__ of a function, which `functools.wraps` copies.
    names = piece.__globals__ if isinstance(piece, types.FunctionType) else {}
    return str(names.get("__name__") or getattr(piece, "__module__", None) or INTERACTIVE)


def _pieces(component: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the functions and classes that a callable is made of, and the plain values that it holds."""
    if id(component) in seen:
        return
    seen.add(id(component))
    if isinstance(component, functools.partial):
        inside: list[Any] = [component.func, *component.args, *_sorted(component.keywords)]
    elif isinstance(component, types.MethodType):
        inside = [component.__func__, component.__self__]
    elif isinstance(component, types.FunctionType):
        yield component
        inside = [*_cells(component), *(component.__defaults__ or ()), getattr(component, "__wrapped__", None)]
        inside = [value for value in inside if callable(value) or is_interactive(component)]
    elif isinstance(component, type):
        yield component
        inside = [vars(component).get("__wrapped__")]
    elif callable(component):
        yield type(component)
        inside = [*_sorted(getattr(component, "__dict__", {})), getattr(component, "__wrapped__", None)]
    else:
        yield component
        return
    for value in inside:
        if value is not None:
            yield from _pieces(value, seen)


def _cells(function: types.FunctionType) -> list[Any]:
    return [cell.cell_contents for cell in function.__closure__ or () if cell != types.CellType()]


def _sorted(named: Mapping[str, Any]) -> list[Any]:
    return [value for _, value in sorted(named.items())]


def _code_of(piece: Any) -> Iterator[Any]:
    if not isinstance(piece, types.FunctionType | type):
        yield _value(piece)
        return
    yield piece.__qualname__
    if module_of(piece).partition(".")[0] in ("builtins", "simbench"):
        return  # what is ours has a version of its own
    file = _file_of(piece)
    if file is not None:
        yield from _in_file(file, piece)
    elif isinstance(piece, types.FunctionType) or is_interactive(piece):
        yield from _interactive(piece, set())


def _value(value: Any) -> Any:
    """Return what stands for a value: itself if it is plain, a hash of the numbers of an array, else its class."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        items = [_value(item) for item in value]
        return type(value).__name__, sorted(map(repr, items)) if isinstance(value, set | frozenset) else items
    if isinstance(value, dict):
        return "dict", sorted((repr(key), repr(_value(item))) for key, item in value.items())
    if hasattr(value, "detach") and hasattr(value, "numpy"):
        value = value.detach().cpu()
        value = value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.numpy()
    if hasattr(value, "tobytes") and hasattr(value, "dtype"):
        return str(value.dtype), getattr(value, "shape", ()), hashlib.sha256(value.tobytes()).hexdigest()
    return type(value).__qualname__


# --- in files ---------------------------------------------------------------------------------------------------------


def _file_of(piece: Any) -> OwnFile | None:
    """Return the file that defines a function or class; None for a notebook, and for what is not written in Python."""
    module = module_of(piece)
    loaded = loaded_with(module)
    if loaded is not None:
        return loaded[module][0]
    code = getattr(piece, "__code__", None)
    path = code.co_filename if code is not None else getattr(sys.modules.get(module), "__file__", None)
    if not path or not path.endswith(".py") or not Path(path).is_file():
        return None
    return _installed_file(module, Path(path).resolve())


def _installed_file(module: str, path: Path) -> OwnFile:
    """Return the file of a module that is imported by its name: its own are the modules of its package, or beside it.

    Of the modules beside one that is installed on its own, none is its own.
    """
    is_package = path.name == "__init__.py"
    if "." in module or is_package:
        folder = (path.parent if is_package else path).parents[module.count(".")]
        return OwnFile(module, str(path), str(folder), is_package, only=module.partition(".")[0])
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")}
    return OwnFile(module, str(path), str(path.parent), only=module if path.parent in installed else "")


def _in_file(file: OwnFile, piece: Any) -> Iterator[Any]:
    """Yield what enters of the file that defines a function or class, and of what that imports."""
    loaded = loaded_with(file.name) or {}

    def text(own: OwnFile) -> bytes:
        return loaded[own.name][1] if own.name in loaded else text_of(own)

    reached = _reached(parsed(text(file)), piece.__qualname__.partition(".")[0])
    yield _hashed(reached, text(file))
    imported = {}
    for first in imported_by(file, reached):
        for own, its_text in with_imported(first, text).values():
            imported[Path(own.path).relative_to(own.folder).as_posix(), own.path] = its_text
    for (place, path), its_text in sorted(imported.items()):
        if path != file.path:
            yield place, _whole(its_text)


@functools.lru_cache(maxsize=1024)
def _whole(text: bytes) -> str:
    """Return a hash of all that a file computes when it is imported, and defines."""
    return _hashed(_lasting(parsed(text)), text)


def _hashed(statements: list[ast.stmt], text: bytes) -> str:
    """Return a hash of statements; of the text of their file where an expression nests too deep, as long sums do."""
    with suppress(RecursionError):
        text = repr(_canonical(statements)).encode("utf-8", "backslashreplace")
    return hashlib.sha256(text).hexdigest()


def _reached(tree: ast.Module, name: str) -> list[ast.stmt]:
    """Return the statements of a file on which a function or class of it may depend; all, if it is not one of them."""
    statements = _lasting(tree)
    if not any(isinstance(each, Definition) and each.name == name for each in statements):
        return statements
    entered = {number for number, each in enumerate(statements) if not _is_mere(each) or each.name == name}
    waiting, names = list(entered), set[str]()
    while waiting:
        new = _names(statements[waiting.pop()]) - names
        names |= new
        if new & DYNAMIC:
            return statements
        more = {number for number, each in enumerate(statements) if getattr(each, "name", None) in new} - entered
        entered |= more
        waiting += more
    return [statements[number] for number in sorted(entered)]


def _lasting(tree: ast.Module) -> list[ast.stmt]:
    """Return the statements of a file that run when it is imported."""
    return [each for each in tree.body if not (isinstance(each, ast.If) and _is_main_guard(each))]


def _is_main_guard(statement: ast.If) -> bool:
    test = statement.test
    return (
        not statement.orelse
        and isinstance(test, ast.Compare)
        and "__main__" in _names(test)
        and "__name__" in _names(test)
    )


def _is_mere(statement: ast.stmt) -> TypeGuard[Definition]:
    """Tell whether a statement only defines a function or class: what does not name it does not depend on it."""
    if not isinstance(statement, Definition):
        return False
    if isinstance(statement, ast.ClassDef):
        bases = {*map(_last, statement.bases)} - {"object"}
        if bases or statement.keywords:  # a base class may keep a list of its subclasses
            return False
    return all(_last(decorator) in HARMLESS for decorator in statement.decorator_list)


def _last(node: ast.expr) -> str:
    """Return the last name of a dotted one, or of one that is called."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _names(node: ast.AST) -> set[str]:
    """Return everything in a statement that may name a function or class, texts included."""
    names: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            names.add(inner.id)
        elif isinstance(inner, ast.Attribute):
            names.add(inner.attr)
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            names.update(re.findall(r"\w+", inner.value) if len(inner.value) < LONGEST_NAMES else ())
    return names


def _canonical(node: Any) -> Any:
    """Return a syntax tree as tuples, without docstrings and positions, and the same in all versions of Python."""
    if isinstance(node, list):
        kept = [each for each in node if not _is_text_alone(each)]
        return tuple(_canonical(each) for each in kept)
    if isinstance(node, ast.AST):
        if isinstance(node, ast.Call) and _last(node) == "metric":
            node = ast.Call(node.func, node.args, [named for named in node.keywords if named.arg not in MERELY_SAID])
        if isinstance(node, ast.JoinedStr):
            return "JoinedStr", _joined(node.values)
        fields = ((name, _canonical(value)) for name, value in ast.iter_fields(node) if name not in LEFT_OUT)
        return type(node).__name__, tuple((name, value) for name, value in fields if value not in (None, ()))
    return repr(node)


def _joined(parts: list[ast.expr]) -> tuple[Any, ...]:
    """Return the parts of an f-string; some versions of Python leave texts next to each other apart."""
    made: list[Any] = []
    for part in parts:
        if not isinstance(part, ast.Constant):
            made.append(_canonical(part))
        elif made and isinstance(made[-1], str):
            made[-1] += str(part.value)
        else:
            made.append(str(part.value))
    return tuple(part for part in made if part != "")


def _is_text_alone(node: Any) -> bool:
    """Tell whether a statement is a text, such as a docstring, of which nothing is made."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


# --- in notebooks -----------------------------------------------------------------------------------------------------


def is_interactive(piece: Any) -> bool:
    """Tell whether something is defined in a notebook or typed at the prompt."""
    return module_of(piece) == INTERACTIVE and _file_of(piece) is None


def _interactive(piece: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the code of a function or class of a notebook, and that of all it names there."""
    if id(piece) in seen:
        return
    seen.add(id(piece))
    yield piece.__qualname__
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(piece)))
    except (OSError, TypeError, SyntaxError, ValueError):  # a lambda in a longer statement, code without a text
        code = getattr(piece, "__code__", None)
        yield ("code", *_byte_code(code)) if code is not None else "class"
        names = set() if code is None else _names_in(code)
    else:
        yield _canonical(tree.body)
        names = _names(tree)
    there = vars(sys.modules[INTERACTIVE])
    for name in sorted(names & there.keys()):
        value = there[name]
        if isinstance(value, types.FunctionType | type) and value.__module__ == INTERACTIVE:
            yield name
            yield from _interactive(value, seen)
        elif isinstance(value, types.FunctionType | type):
            yield name, value.__module__, value.__qualname__
        elif not isinstance(value, types.ModuleType):
            yield name, _value(value)


def _byte_code(code: types.CodeType) -> Iterator[Any]:
    yield code.co_code
    yield code.co_names
    for constant in code.co_consts:
        yield tuple(_byte_code(constant)) if isinstance(constant, types.CodeType) else repr(constant)


def _names_in(code: types.CodeType) -> set[str]:
    inside = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*map(_names_in, inside))
