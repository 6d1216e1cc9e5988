"""References to metrics: registered names, files, modules and attributes."""

from __future__ import annotations

import sys

import pytest

from simbench.errors import SimbenchError, UnknownNameError
from simbench.metrics.resolve import resolve_metrics
from simbench.registry import METRICS
from simbench.suite.names import is_location

FILE = """
import simbench

@simbench.metric("first", higher_is_more_similar=True)
def first(x, y):
    return 1.0

@simbench.metric("second", higher_is_more_similar=True)
class Second:
    def __call__(self, x, y):
        return 2.0

def helper(x, y):
    return 3.0
"""


@pytest.fixture(autouse=True)
def own_registry():
    with METRICS.isolated():
        yield


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def names(*references):
    return [metric.name for metric in resolve_metrics([str(reference) for reference in references])]


def test_a_registered_name_is_that_metric():
    assert names("cka", "procrustes") == ["cka", "procrustes"]


def test_a_file_gives_every_metric_it_defines_in_order(file):
    assert names(file) == ["first", "second"]


@pytest.mark.parametrize(("attribute", "name"), [("first", "first"), ("Second", "second")])
def test_an_attribute_gives_one_metric(file, attribute, name):
    assert names(f"{file}:{attribute}") == [name]


def test_a_module_gives_one_metric_or_all_of_its_own(file, monkeypatch):
    monkeypatch.syspath_prepend(file.parent)
    assert names("mine:first") == ["first"]
    sys.modules.pop("mine")


def test_each_metric_comes_once_in_the_order_of_first_mention(file):
    assert names("cka", file, "cka", f"{file}:first") == ["cka", "first", "second"]


def test_an_undecorated_function_is_answered_with_what_to_do(file):
    with pytest.raises(SimbenchError, match=r"helper is not a metric; decorate a function with @simbench\.metric"):
        names(f"{file}:helper")


def test_a_file_without_metrics_is_answered_with_what_to_do(tmp_path):
    (tmp_path / "none.py").write_text("from simbench.metrics.cka.linear import cka\n")
    with pytest.raises(SimbenchError, match="defines no metric; decorate"):
        names(tmp_path / "none.py")


def test_a_name_that_is_taken_by_a_built_in_metric_names_both(tmp_path):
    (tmp_path / "twice.py").write_text(FILE.replace('"first"', '"cka"'))
    both = r"at .*linear\.py:\d+ and at .*twice\.py:\d+"
    with pytest.raises(SimbenchError, match=f'metric "cka" is defined twice: {both}'):
        names(tmp_path / "twice.py")


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match='did you mean "procrustes"'):
        names("procrusts")


@pytest.mark.parametrize("error", ["1 / 0", "import no_such_module"])
def test_a_module_that_cannot_be_imported_is_one_line(tmp_path, monkeypatch, error):
    name = f"unimportable_{abs(hash(error))}"
    (tmp_path / f"{name}.py").write_text(f"{error}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SimbenchError, match=f'^cannot import "{name}": '):
        names(f"{name}:metric")


def test_names_of_plugins_are_no_locations():
    assert not is_location("some_plugin/metric")
