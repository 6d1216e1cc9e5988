"""Identity of code: what changes it, and what leaves it."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from simbench.metrics.metric import Metric
from simbench.registry import METRICS, TRANSFORMS, import_reference

BASE = '''
"""About the file."""
import math
import helpers
from simbench import metric

POWER = 2

def unused(x):
    return x

def used(x):
    """Say something."""
    return math.sqrt(x) ** POWER

@metric("first", higher_is_more_similar=True)
def first(x, y, *, factor: float = 1.0):
    """Return it."""
    return used(4.0) * factor * helpers.value

@metric("second", higher_is_more_similar=True)
def second(x, y):
    return 2.0

if __name__ == "__main__":
    print(first(1, 2))
'''


def identities(folder: Path, text: str = BASE, **others: str) -> dict[str, str]:
    """Return the identities of the metrics of a file, by name."""
    folder.mkdir(exist_ok=True)
    for name, content in {
        "mine": text,
        "helpers": "import deeper\nvalue = deeper.value",
        "deeper": "value = 1",
    }.items():
        (folder / f"{name}.py").write_text(others.get(name, content))
    with METRICS.isolated():
        module, _ = import_reference(str(folder / "mine.py"))
        return {name: metric.identity for name, metric in METRICS if metric.origin.module == module.__name__}


SAME = {
    "a comment": ("POWER = 2", "POWER = 2  # squared"),
    "blank lines": ("def used(x):", "\n\n\ndef used(x):"),
    "the docstring of a function": ("Say something.", "Say something else."),
    "the docstring of the file": ("About the file.", "On the file."),
    "no docstring": ('    """Return it."""\n', ""),
    "layout": ("math.sqrt(x) ** POWER", "(\n        math.sqrt( x )\n        **POWER\n    )"),
    "what is merely said of it": ('"first",', '"first", formula="x", reference="y", family="z", default=True,'),
    "quotes": ('"first"', "'first'"),
    "a function that is not used": ("return x\n", "return 2 * x\n"),
    "what runs in a script only": ("print(first(1, 2))", "print(first(2, 1))"),
}
OTHER = {
    "the function": ("used(4.0)", "used(5.0)"),
    "a parameter's default": ("factor: float = 1.0", "factor: float = 2.0"),
    "its type": ("factor: float = 1.0", "factor: int = 1"),
    "the declaration": (
        '@metric("first", higher_is_more_similar=True)',
        '@metric("first", higher_is_more_similar=False)',
    ),
    "a function that is used": ("math.sqrt(x)", "math.exp(x)"),
    "a constant": ("POWER = 2", "POWER = 3"),
    "an import": ("import math", "import cmath as math"),
    "a statement": ("POWER = 2", "POWER = 2\nPOWER += 0"),
    "a decorator": ("def used", "@functools.cache\ndef used"),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_computes_nothing_leaves_it(tmp_path: Path, change: tuple[str, str]) -> None:
    assert change[0] in BASE
    assert identities(tmp_path / "a") == identities(tmp_path / "b", BASE.replace(*change, 1))


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_what_may_change_a_value_changes_it(tmp_path: Path, change: tuple[str, str]) -> None:
    assert change[0] in BASE
    text = BASE.replace("import math\n", "import math\nimport functools\n")
    before, after = identities(tmp_path / "a", text), identities(tmp_path / "b", text.replace(*change))
    assert before["first"] != after["first"]


def test_another_metric_of_the_file_leaves_it(tmp_path: Path) -> None:
    before, after = identities(tmp_path / "a"), identities(tmp_path / "b", BASE.replace("return 2.0", "return 3.0"))
    assert before["first"] == after["first"]
    assert before["second"] != after["second"]


@pytest.mark.parametrize("file", ["helpers", "deeper"])
def test_an_edited_neighbour_changes_it_and_a_comment_in_one_does_not(tmp_path: Path, file: str) -> None:
    text = {"helpers": "import deeper\nvalue = deeper.value", "deeper": "value = 1"}[file]
    before = identities(tmp_path)
    assert identities(tmp_path, **{file: f"# why\n{text}\n\n"}) == before
    assert identities(tmp_path, **{file: f"{text} + 1"})["first"] != before["first"]


def test_a_neighbour_imported_inside_of_the_function_enters(tmp_path: Path) -> None:
    text = BASE.replace("    return used(4.0)", "    from lazily import offset\n    return offset + used(4.0)")
    names = []
    for value in (1, 2):
        (tmp_path / "lazily.py").write_text(f"offset = {value}")
        names.append(identities(tmp_path, text))
    assert names[0]["first"] != names[1]["first"]
    assert names[0]["second"] == names[1]["second"]


def test_the_folder_and_the_name_of_the_file_do_not_enter(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    before = identities(tmp_path / "a")
    for name in ("helpers", "deeper"):
        (tmp_path / "b" / f"{name}.py").write_bytes((tmp_path / "a" / f"{name}.py").read_bytes())
    (tmp_path / "b" / "renamed.py").write_text(BASE)
    with METRICS.isolated():
        import_reference(str(tmp_path / "b" / "renamed.py"))
        assert METRICS.get("first").identity == before["first"]


def test_code_that_looks_names_up_enters_with_its_whole_file(tmp_path: Path) -> None:
    text = BASE.replace("return used(4.0)", 'return globals()["un" + "used"](4.0)')
    before = identities(tmp_path / "a", text)
    assert identities(tmp_path / "b", text.replace("return x\n", "return 2 * x\n"))["first"] != before["first"]


def test_an_f_string_in_pieces_is_one_f_string(tmp_path: Path) -> None:
    texts = [
        BASE.replace("POWER = 2", f"POWER = {value}") for value in ("f'{2!r:>{3}} a' 'bc' f'd'", "f'{2!r:>{3}} abcd'")
    ]
    assert identities(tmp_path / "a", texts[0]) == identities(tmp_path / "b", texts[1])
    other = BASE.replace("POWER = 2", "POWER = f'{3!r:>{3}} abcd'")
    assert identities(tmp_path / "c", other)["first"] != identities(tmp_path / "d", texts[0])["first"]


@pytest.mark.parametrize("terms", [150, 250, 1500])
def test_an_expression_of_many_terms_has_one(tmp_path: Path, terms: int) -> None:
    text = BASE.replace("POWER = 2", "POWER = " + " + ".join(["1"] * terms))
    assert identities(tmp_path / "a", text) == identities(tmp_path / "b", text)
    deep = {"deeper": "value = " + " + ".join(["1"] * terms)}
    assert identities(tmp_path / "c", **deep)["first"] != identities(tmp_path / "d")["first"]


FORMS = {
    "class": (
        "@metric('m', higher_is_more_similar=True)\nclass M:\n    def __call__(self, x, y):\n        return VALUE\n"
    ),
    "instance": (
        "class M:\n    def __call__(self, x, y):\n        return VALUE\nmetric('m', higher_is_more_similar=True)(M())\n"
    ),
    "dataclass": (
        "import dataclasses\n@dataclasses.dataclass\nclass M:\n    v: float = VALUE\n    def __call__(self, x, y):\n"
        "        return self.v\nmetric('m', higher_is_more_similar=True)(M())\n"
    ),
    "partial": (
        "import functools\ndef f(v, x, y):\n    return v\n"
        "metric('m', higher_is_more_similar=True)(functools.partial(f, VALUE))\n"
    ),
    "lambda": "metric('m', higher_is_more_similar=True)(lambda x, y: VALUE)\n",
    "closure": (
        "def make(v):\n    def f(x, y):\n        return v\n    return f\n"
        "metric('m', higher_is_more_similar=True)(make(VALUE))\n"
    ),
    "decorators": (
        "import functools\ndef plus(f):\n    @functools.wraps(f)\n    def g(x, y):\n        return f(x, y) + VALUE\n"
        "    return g\n@metric('m', higher_is_more_similar=True)\n@plus\n@plus\ndef m(x, y):\n    return 0.0\n"
    ),
    "a wrapper of a built-in metric": (
        "import functools\nfrom simbench.metrics.cka.linear import cka\n@metric('m', higher_is_more_similar=True)\n"
        "@functools.wraps(cka)\ndef m(x, y):\n    return VALUE\n"
    ),
    "prepare": (
        "def p(x):\n    return VALUE\ndef c(prepared, pairs):\n    return [prepared[a] for a, b in pairs]\n"
        "metric('m', higher_is_more_similar=True, prepare=p, compare_many=c)(lambda x, y: 1.0)\n"
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_all_forms_of_a_metric_have_one_and_are_listed_with_their_file(tmp_path: Path, form: str) -> None:
    names = [
        identities(tmp_path / folder, f"from simbench import metric\n{comment}" + form.replace("VALUE", value))["m"]
        for folder, value, comment in (("a", "1.0", ""), ("b", "1.0", "# a comment\n"), ("c", "2.0", ""))
    ]
    assert names[0] == names[1] != names[2]


def test_other_components_follow_the_same_rule(tmp_path: Path) -> None:
    text = (
        "from simbench.representations.transforms import transform\n"
        "@transform('mine_t', function_preserving=False)\ndef f(x, *, seed: int):\n    return x\n"
    )
    revisions = []
    for folder, more in (("a", ""), ("b", "# a comment\n"), ("c", "FACTOR = 2\n")):
        (tmp_path / f"{folder}.py").write_text(text + more)
        with TRANSFORMS.isolated():
            import_reference(str(tmp_path / f"{folder}.py"))
            revisions.append(TRANSFORMS.get("mine_t").revision)
    assert revisions[0] == revisions[1] != revisions[2]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def identity(**files: str) -> str:
        for name in [name for name in sys.modules if name.partition(".")[0] == "its_lab"]:
            del sys.modules[name]
        folder = tmp_path / "its_lab"
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").write_text("")
        texts = {"metrics": "from simbench import metric\nfrom .kernels import k\nfrom its_lab import more\n", **files}
        form = "@metric('packed', higher_is_more_similar=True)\ndef packed(x, y):\n    return k\n"
        for name, text in {"kernels": "k = 1", "more": "m = 1", "apart": "a = 1", **texts}.items():
            (folder / f"{name}.py").write_text(text + (form if name == "metrics" else ""))
        monkeypatch.syspath_prepend(str(tmp_path))
        with METRICS.isolated():
            import_reference("its_lab.metrics")
            return METRICS.get("packed").identity

    return identity


def test_modules_of_its_own_package_enter_as_far_as_it_imports_them(package: Any) -> None:
    before = package()
    assert package(kernels="k = 1  # one", apart="a = 2") == before
    assert package(kernels="k = 2") != before
    assert package(more="m = 2") != before


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs a cell of a notebook."""
    import linecache

    main = ModuleType("__main__")
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", main)
    number = iter(range(1000))

    def run(text: str) -> dict[str, Any]:
        name = f"/tmp/ipykernel_1/{next(number)}.py"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), vars(main))
        return vars(main)

    return run


CELL = """
import simbench
@simbench.metric('celled', higher_is_more_similar=True)
def celled(x, y):
    return helper(x) + W
"""


def test_in_a_notebook_what_a_function_uses_enters(cell: Any) -> None:
    from simbench.metrics.resolve import gather_given

    def identity() -> str:
        (metric,) = gather_given([celled])
        assert isinstance(metric, Metric)
        return metric.identity

    with METRICS.isolated():
        celled = cell(CELL)["celled"]
        cell("W = 1\ndef helper(x):\n    return deeper(x)\ndef deeper(x):\n    return 2 * x\nunused = 4\n")
        before = identity()
        cell("def deeper(x):\n    '''Double.'''\n    return 2 * x  # twice\nunused = 5\n")
        assert identity() == before
        cell("def deeper(x):\n    return 3 * x\n")
        changed = identity()
        cell("W = 2\n")
        assert len({before, changed, identity()}) == 3
        cell("import numpy\nW = numpy.arange(3)")
        arrays = identity()
        cell("W[0] = 7")
        assert identity() != arrays


def test_a_lambda_of_a_notebook_has_one(cell: Any) -> None:
    with METRICS.isolated():
        names = []
        for value in ("1.0", "2.0", "2.0"):
            cell(f"import simbench\nsimbench.metric('lam', higher_is_more_similar=True)(lambda x, y: {value})\n")
            names.append(METRICS.get("lam").identity)
    assert names[0] != names[1] == names[2]


def test_what_wraps_itself_ends(cell: Any) -> None:
    from simbench.origins import origin_of, source_hash

    def own(x: Any, y: Any) -> float:
        return 1.0

    own.__wrapped__ = functools.partial(own)  # type: ignore[attr-defined]
    assert origin_of(own).file == __file__
    assert source_hash(own).startswith("source-")
