"""One registry for every kind of component: look-up, collisions, plugins, references to files and modules."""

from __future__ import annotations

import subprocess
import sys

import pytest

from simbench.errors import SimbenchError, UnknownNameError
from simbench.origins import Origin
from simbench.registry import METRICS, REGISTRIES, Registry, import_reference

HERE = Origin("here", "here.py", 3)
ELSEWHERE = Origin("elsewhere", "elsewhere.py", 7)


@pytest.fixture
def shapes():
    registry: Registry[int] = Registry("shape")
    registry.register("square", 4, HERE)
    registry.register("triangle", 3, HERE)
    return registry


def test_a_name_gives_its_component_and_its_origin(shapes):
    assert (shapes.get("square"), shapes.origin("square"), str(shapes.origin("square"))) == (4, HERE, "here.py:3")


def test_names_keep_the_order_of_registration(shapes):
    assert shapes.names() == ("square", "triangle")
    assert list(shapes) == [("square", 4), ("triangle", 3)]


def test_an_unknown_name_is_answered_with_the_nearest(shapes):
    with pytest.raises(UnknownNameError, match='unknown shape "sqare"; did you mean "square"'):
        shapes.get("sqare")


def test_a_name_that_is_taken_names_both_definitions(shapes):
    with pytest.raises(SimbenchError, match=r'shape "square" is defined twice: at here.py:3 and at elsewhere.py:7'):
        shapes.register("square", 5, ELSEWHERE)


def test_the_same_definition_may_come_again(shapes):
    shapes.register("square", 44, Origin("here", "here.py", 9))
    assert shapes.get("square") == 44


def test_an_isolated_block_leaves_nothing_behind(shapes):
    with shapes.isolated():
        shapes.register("circle", 0, HERE)
        assert "circle" in shapes
    assert "circle" not in shapes


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_every_component_has_a_file_and_a_line(registry):
    for name in registry.names():
        origin = registry.origin(name)
        assert origin.file.endswith(".py")
        assert origin.line >= 1


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


PRINT_NAMES = (
    "import json; from simbench.registry import REGISTRIES; print(json.dumps([x.names() for x in REGISTRIES]))"
)


@pytest.fixture(scope="module")
def names_in_a_fresh_process() -> str:
    return run_python(PRINT_NAMES)


@pytest.mark.process
def test_reading_all_registries_imports_no_torch():
    run_python(f"import sys; {PRINT_NAMES}; assert 'torch' not in sys.modules")


@pytest.mark.process
@pytest.mark.parametrize(
    "module",
    [
        "simbench.metrics.wrappers.calibration",
        "simbench.metrics.functional.probes",
        "simbench.sanity.kinds.partial_overlap",
        "simbench.run.materials",
    ],
)
def test_components_have_one_order_whichever_module_is_imported_first(module, names_in_a_fresh_process):
    assert run_python(f"import {module}; {PRINT_NAMES}") == names_in_a_fresh_process


@pytest.mark.process
def test_a_users_component_registered_before_the_built_in_ones_is_listed_after_them():
    code = (
        "from simbench import metric;"
        "metric('mine', higher_is_more_similar=True)(lambda x, y: 0.0);"
        "from simbench.registry import METRICS; print(METRICS.names()[0], METRICS.names()[-1])"
    )
    assert run_python(code).split() == [METRICS.names()[0], "mine"]


@pytest.mark.process
def test_every_module_of_a_package_that_registers_a_component_is_on_its_list():
    code = (
        "import importlib, pkgutil, simbench;"
        "from simbench.registry import REGISTRIES;"
        "modules = [m.name for m in pkgutil.walk_packages(simbench.__path__, 'simbench.')"
        # A plugin that comes with simbench, for suites that name it: on no list.
        " if '__main__' not in m.name and m.name != 'simbench.testing.adversaries'];"
        "[importlib.import_module(name) for name in modules];"
        "found = [(x.kind, {x.origin(name).module for name in x.names()}, x.builtin_modules()) for x in REGISTRIES];"
        "[print(kind, *sorted(own - set(listed))) for kind, own, listed in found if own - set(listed)];"
        "print('looked at', len(modules))"
    )
    *missing, looked_at = run_python(code).splitlines()
    assert int(looked_at.split()[-1]) > 200
    assert missing == []


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_every_listed_module_registers_something_somewhere(registry):
    registering = {other.origin(name).module for other in REGISTRIES for name in other.names()}
    assert set(registry.builtin_modules()) <= registering


def test_a_file_is_imported_from_anywhere(tmp_path):
    (tmp_path / "mine.py").write_text("answer = 42\n")
    module, attribute = import_reference(f"{tmp_path / 'mine.py'}:answer")
    assert (module.answer, attribute) == (42, "answer")


def test_two_files_of_one_name_are_two_modules(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(f"answer = {folder!r}\n")
    answers = [import_reference(str(tmp_path / folder / "mine.py"))[0].answer for folder in ("a", "b")]
    assert answers == ["a", "b"]


def test_an_installed_module_is_imported_by_its_name():
    module, attribute = import_reference("simbench.seeds:seed_for")
    assert (module.__name__, attribute) == ("simbench.seeds", "seed_for")


def test_a_missing_attribute_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match='did you mean "seed_for"'):
        import_reference("simbench.seeds:sed_for")


def test_a_missing_module_is_one_line():
    with pytest.raises(SimbenchError, match='cannot import "no_such_module"'):
        import_reference("no_such_module:metric")


def test_a_missing_file_is_one_line():
    with pytest.raises(SimbenchError, match=r"no such file: nowhere\.py"):
        import_reference("nowhere.py")


@pytest.mark.parametrize(("text", "line"), [("x = 1\nx = 1 / 0\n", 2), ("def f(:\n    pass\n", 1)])
def test_a_file_that_cannot_be_imported_is_answered_with_its_line(tmp_path, text, line):
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(SimbenchError, match=rf"bad\.py:{line}: cannot be imported: "):
        import_reference(str(path))


def test_a_file_that_failed_is_tried_again(tmp_path):
    path = tmp_path / "mended.py"
    path.write_text("1 / 0\n")
    with pytest.raises(SimbenchError):
        import_reference(str(path))
    path.write_text("answer = 1\n")
    assert import_reference(str(path))[0].answer == 1
