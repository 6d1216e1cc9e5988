"""Imports form no cycle, not even by imports inside functions.

The `layers` contract of import-linter sees imports inside functions, too; it allows cycles within one floor, which this
test finds. Imports inside functions are there for speed only: `simbench --help` and planning do without torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import simbench

ROOT = Path(simbench.__file__).parent
FILES = {
    ".".join(("simbench", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def imports(tree: ast.AST) -> Iterator[ast.ImportFrom | ast.Import]:
    """Yield all import statements below a node but those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.orelse:
                yield from imports(statement)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            yield node
        else:
            yield from imports(node)


def imported_modules(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, at the top or inside a function."""
    names: set[str] = set()
    for statement in imports(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
        elif statement.module is not None:
            parts = {f"{statement.module}.{alias.name}" for alias in statement.names}
            names |= parts & FILES.keys() or {statement.module}
    return names & FILES.keys()


def test_no_import_hides_a_cycle() -> None:
    graph = {name: imported_modules(path) - {name} for name, path in FILES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None


def test_the_graph_holds_imports_inside_functions_too() -> None:
    assert "simbench.run.steps" in imported_modules(FILES["simbench.run.session"])
    assert "simbench.representations.representation" not in imported_modules(FILES["simbench.testing.bench"])
