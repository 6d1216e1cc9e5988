"""Files of the user's own: their neighbours, apart from those of other folders, also in other processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from simbench.errors import SimbenchError
from simbench.registry import METRICS, import_reference
from simbench.run.engines import ProcessEngine, Task


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def imported(path: Path) -> Any:
    return import_reference(str(path))[0]


@pytest.mark.parametrize(
    "statement",
    [
        "import helpers\nvalue = helpers.value",
        "from helpers import value",
        "from helpers import *",
        "import helpers as h\nvalue = h.value",
        "from tools.inner import value",
        "import tools.inner\nvalue = tools.inner.value",
        "import tools.inner as t\nvalue = t.value",
        "from tools import inner\nvalue = inner.value",
        "from plain.inner import value",
    ],
)
def test_a_file_imports_its_neighbours(write: Any, statement: str) -> None:
    folder = write(
        helpers="value = 3", mine=statement, tools__inner="from .other import value", tools__other="value = 3"
    )
    write(tools____init__="", plain__inner="value = 3")
    (folder / "tools" / "__init__.py").write_text("")
    path = list(sys.path)
    assert imported(folder / "mine.py").value == 3
    assert sys.path == path
    assert "helpers" not in sys.modules


def test_an_import_inside_of_a_function_finds_the_neighbour_too(write: Any) -> None:
    folder = write(helpers="value = 4", mine="def value():\n    from helpers import value\n    return value\n")
    assert imported(folder / "mine.py").value() == 4


def test_two_folders_have_neighbours_of_one_name(write: Any) -> None:
    folder = write(
        a__helpers="value = 'a'", a__mine="import helpers", b__helpers="value = 'b'", b__mine="import helpers"
    )
    values = [imported(folder / name / "mine.py").helpers.value for name in "ab"]
    assert values == ["a", "b"]


def test_two_files_share_their_neighbour(write: Any) -> None:
    folder = write(helpers="state = []", a="from helpers import state", b="from helpers import state")
    assert imported(folder / "a.py").state is imported(folder / "b.py").state


def test_neighbours_may_import_each_other(write: Any) -> None:
    folder = write(
        mine="import other\nvalue = 5\ndef total():\n    return value + other.double()\n",
        other="import mine\ndef double():\n    return 2 * mine.value\n",
    )
    assert imported(folder / "mine.py").total() == 15


def test_a_neighbour_comes_before_an_installed_module_of_its_name_for_these_files_only(write: Any) -> None:
    folder = write(yaml="value = 6", mine="import yaml, simbench\nvalue = yaml.value", simbench="raise ValueError")
    import yaml

    assert imported(folder / "mine.py").value == 6
    assert sys.modules["yaml"] is yaml


def test_a_plain_folder_hides_no_installed_module(write: Any) -> None:
    folder = write(yaml__notes="", mine="import yaml")
    import yaml

    assert imported(folder / "mine.py").yaml is yaml


def test_an_edited_neighbour_is_imported_anew_with_whatever_imports_it(write: Any) -> None:
    folder = write(helpers="value = 1", between="from helpers import value", mine="from between import value", other="")
    first, apart = imported(folder / "mine.py"), imported(folder / "other.py")
    assert imported(folder / "mine.py") is first
    write(helpers="value = 2")
    assert imported(folder / "mine.py").value == 2
    assert imported(folder / "other.py") is apart


@pytest.mark.parametrize("name", ["my.metric", "my metric", "my-metric", "1", "été", "simbench", "__init__"])
def test_any_name_of_a_file_will_do(tmp_path: Path, name: str) -> None:
    (tmp_path / "helpers.py").write_text("value = 8")
    (tmp_path / f"{name}.py").write_text("from helpers import value\n" if name != "__init__" else "value = 8")
    assert imported(tmp_path / f"{name}.py").value == 8


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "mine.py").write_text("from helpers import value")
    (tmp_path / "real" / "helpers.py").write_text("value = 9")
    (tmp_path / "link.py").symlink_to(tmp_path / "real" / "mine.py")
    assert imported(tmp_path / "link.py") is imported(tmp_path / "real" / "mine.py")


def test_an_error_in_a_neighbour_names_both_lines(write: Any) -> None:
    folder = write(helpers="x = 1\n1 / 0\n", mine="\nimport helpers\n", broken="def f(:", other="import broken")
    with pytest.raises(SimbenchError, match=r"mine\.py:2: cannot be imported: helpers\.py:2: ZeroDivisionError"):
        imported(folder / "mine.py")
    with pytest.raises(SimbenchError, match=r"other\.py:1: cannot be imported: broken\.py:1: SyntaxError"):
        imported(folder / "other.py")
    with pytest.raises(SimbenchError, match=r"third\.py:1: cannot be imported: ModuleNotFoundError: .*nowhere"):
        imported(write(third="import nowhere") / "third.py")


METRIC = """
import simbench
import helpers
from helpers import Settings

@simbench.metric("with_neighbours", higher_is_more_similar=True)
def with_neighbours(x, y):
    from later import offset
    assert isinstance(helpers.default(), Settings)
    return helpers.default().factor + offset
"""
HELPERS = """
import mine
class Settings:
    factor = 2.0
def default():
    return Settings()
"""


def scored_with(metric: Any) -> float:
    value: float = metric.function(None, None)
    return value


@pytest.fixture
def with_neighbours(write: Any) -> Any:
    folder = write(mine=METRIC, helpers=HELPERS, later="offset = 0.5")
    with METRICS.isolated():
        imported(folder / "mine.py")
        yield METRICS.get("with_neighbours"), folder


@pytest.mark.process
def test_workers_import_the_text_that_the_driver_imported(with_neighbours: Any) -> None:
    metric, folder = with_neighbours
    engine = ProcessEngine(1)
    try:
        outcomes = list(engine.run([Task("score", scored_with, (metric,))], lambda name, units: None))
        for path in folder.glob("*.py"):
            path.unlink()
        outcomes += engine.run([Task("score", scored_with, (metric,))], lambda name, units: None)
    finally:
        engine.close()
    assert [(outcome.value, outcome.reason) for outcome in outcomes] == [(2.5, None)] * 2


@pytest.mark.process
def test_any_engine_that_pickles_tasks_takes_the_files_along(with_neighbours: Any, tmp_path: Path) -> None:
    metric, folder = with_neighbours
    (tmp_path / "task").write_bytes(cloudpickle.dumps(Task("score", scored_with, (metric,))))
    (folder / "helpers.py").unlink()
    code = (
        "import pickle, sys; task = pickle.load(open(sys.argv[1], 'rb'));"
        "metric = task.arguments[0]; print(metric.function(None, None))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "task")], capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == ("2.5", "")


@pytest.mark.process
def test_a_file_that_runs_a_suite_when_it_is_imported_runs_none_in_a_worker(write: Any) -> None:
    text = METRIC.replace("import helpers\nfrom helpers import Settings\n", "").partition("def with")[0]
    text += "def with_neighbours(x, y):\n    return 3.0\nif True:\n    import marker\n"
    marker = "import multiprocessing, simbench\nif multiprocessing.parent_process():\n    simbench.run('quick')\n"
    folder = write(mine=text, marker=marker)
    with METRICS.isolated():
        imported(folder / "mine.py")
        metric = METRICS.get("with_neighbours")
        engine = ProcessEngine(1)
        try:
            (outcome,) = engine.run([Task("score", scored_with, (metric,))], lambda name, units: None)
        finally:
            engine.close()
    assert outcome.value is None
    assert "a worker of a run cannot run a suite" in str(outcome.reason)


@pytest.mark.process
def test_a_file_may_give_tasks_while_it_is_imported(write: Any) -> None:
    text = (
        "from simbench.run.engines import ProcessEngine, Task\ndef value():\n    return 5\n"
        "import multiprocessing\nassert not multiprocessing.parent_process()\nengine = ProcessEngine(1)\n"
        "outcomes = list(engine.run([Task('t', value, ())], lambda name, units: None))\nengine.close()\n"
    )
    (outcome,) = imported(write(mine=text) / "mine.py").outcomes
    assert (outcome.value, outcome.reason) == (5, None)


@pytest.mark.process
def test_what_else_pickles_it_has_it_by_value(write: Any) -> None:
    folder = write(mine="def value():\n    return 7\n")
    assert b"simbench_file_mine" in cloudpickle.dumps(imported(folder / "mine.py").value)
    run = subprocess.run(
        [sys.executable, "-c", "import pickle, sys; print(pickle.load(sys.stdin.buffer)())"],
        input=cloudpickle.dumps(imported(folder / "mine.py").value),
        capture_output=True,
        check=True,
    )
    assert run.stdout.strip() == b"7"
