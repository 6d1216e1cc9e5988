"""The Python interface: the same names as the command line, and nothing heavy before it is needed."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import simbench
from simbench.registry import METRICS

Arrays = tuple[Any, Any]
FORCED = "saturated: ranks 11 and 11 of 12 rows force 11 of 11 correlations to 1"


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 5))
    return x, x @ random.normal(size=(5, 4)) + random.normal(size=(60, 4))


@pytest.fixture(autouse=True)
def own_registry():
    with METRICS.isolated():
        yield


def fresh(code):
    """Run code in a new interpreter."""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.process
def test_importing_the_package_imports_neither_torch_nor_numpy():
    fresh("import sys, simbench; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)")


@pytest.mark.process
def test_defining_a_metric_imports_no_torch():
    fresh(
        "import sys, simbench\n"
        "@simbench.metric('mine', higher_is_more_similar=True)\n"
        "def mine(x, y): return 0.0\n"
        "assert 'torch' not in sys.modules"
    )


@pytest.mark.parametrize("name", simbench.__all__)
def test_every_public_name_is_there(name):
    assert getattr(simbench, name) is not None
    assert name in dir(simbench)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = simbench.no_such_thing


@pytest.mark.process
@pytest.mark.parametrize("first", ["import simbench", "import simbench.run.events", "from simbench import run"])
def test_run_is_a_function_and_a_subpackage_whatever_was_imported_first(first):
    fresh(
        f"{first}\nimport simbench\nassert callable(simbench.run)\n"
        "import simbench.run.events\nassert callable(simbench.run)\n"
        "from simbench.run.events import StageStarted"
    )


def test_run_shows_the_signature_of_what_it_calls():
    from simbench.run.session import run

    assert inspect.signature(simbench.run) == inspect.signature(run)


def test_numpy_and_torch_give_the_same_score(arrays: Arrays):
    x, y = arrays
    assert simbench.score(x, y, "cka") == simbench.score(torch.tensor(x), torch.tensor(y), "cka")


@pytest.mark.parametrize("view", [lambda x: x[:, ::-1], lambda x: x.astype(">f8"), lambda x: x.tolist()])
def test_any_array_of_the_same_values_gives_the_same_score(arrays: Arrays, view):
    x, y = arrays
    assert simbench.score(view(x), y, "cka") == pytest.approx(simbench.score(x, y, "cka"), abs=1e-12)


def test_parameters_are_passed_and_checked(arrays: Arrays):
    assert simbench.score(*arrays, "svcca", variance=0.5) != simbench.score(*arrays, "svcca")
    with pytest.raises(simbench.SimbenchError, match='did you mean "variance"'):
        simbench.score(*arrays, "svcca", varience=0.5)


def test_a_metric_with_parameters_set_keeps_them(arrays: Arrays):
    metric = METRICS.get("svcca").with_parameters({"variance": 0.5})
    assert simbench.score(*arrays, metric) == simbench.score(*arrays, "svcca", variance=0.5)


def test_a_decorated_function_is_scored_as_what_it_declares(arrays: Arrays):
    @simbench.metric("half", higher_is_more_similar=True)
    def half(x, y, *, factor: float = 1.0):
        """Always the same."""
        return 0.5 * factor

    assert simbench.score(*arrays, half) == 0.5
    assert simbench.score(*arrays, "half", factor=3.0) == 1.5


def test_any_function_of_two_matrices_will_do(arrays: Arrays):
    assert simbench.score(*arrays, lambda x, y: x.shape[1] - y.shape[1]) == 1.0


def test_a_file_with_one_metric_is_enough(arrays: Arrays, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import simbench\n@simbench.metric('m', higher_is_more_similar=True)\ndef m(x, y): return 0.25\n")
    assert simbench.score(*arrays, str(path)) == 0.25


@pytest.mark.parametrize(
    ("change", "metric", "said"),
    [
        (lambda x: x, "ckaa", 'unknown metric "ckaa"; did you mean "cka"'),
        (lambda x: x, "stitch_task", "stitch_task: .*needs a"),
        (lambda x: x, 3, "a metric is a name or a function"),
        (lambda x: x[:-1], "cka", "59 inputs against 60"),
        (lambda x: x * np.nan, "cka", "non-finite activations in x"),
        (lambda x: x * 0, "cka", "no variance in x"),
        (lambda x: x.astype(str), "cka", "^x: "),
        (lambda x: x[:2], "cka", "x has 2 rows"),
        (lambda x: x, lambda x, y: float("nan"), "returned nan"),
        (lambda x: x, lambda x, y: x, "not a number"),
        (lambda x: x, lambda x, y: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_scored_raises_with_the_reason(arrays: Arrays, change, metric, said):
    x, y = arrays
    with pytest.raises(simbench.SimbenchError, match=said):
        simbench.score(change(x), y, metric)


@pytest.fixture
def few_rows():
    random = np.random.default_rng(0)
    return random.normal(size=(12, 40)), random.normal(size=(12, 40))


def test_a_forced_value_says_so_in_the_call(few_rows: Arrays):
    with pytest.warns(simbench.ScoreWarning, match=f"^cca: {FORCED}$") as caught:
        value = simbench.score(*few_rows, "cca")
    assert caught[0].filename == __file__
    assert value.warnings == (FORCED,)
    assert value.metric == "cca"


def test_a_score_is_a_float_with_what_came_with_it(arrays: Arrays):
    def with_error(x, y):
        return simbench.Score(0.5, standard_error=0.1, auxiliary={"p_value": 0.02})

    value = simbench.score(*arrays, with_error)
    assert isinstance(value, float)
    assert (value, repr(value), f"{value:.2f}", json.dumps([value])) == (0.5, "0.5", "0.50", "[0.5]")
    assert (value.standard_error, value.auxiliary, value.warnings) == (0.1, {"p_value": 0.02}, ())
    assert type(value + 1) is float


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_of_a_score_keeps_its_remarks(few_rows: Arrays, copied):
    with pytest.warns(simbench.ScoreWarning):
        value = simbench.score(*few_rows, "cca")
    assert copied(value) == value
    assert vars(copied(value)) == vars(value)


def test_a_score_without_remarks_warns_of_nothing(arrays: Arrays):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert simbench.score(*arrays, "cka").warnings == ()


@pytest.mark.parametrize("wrapped", [lambda value: value, lambda value: simbench.Score(value)])
def test_a_value_outside_the_declared_range_is_said_however_it_is_returned(arrays: Arrays, wrapped):
    @simbench.metric("above", higher_is_more_similar=True, value_range=(0, 1))
    def above(x, y):
        return wrapped(1.5)

    with pytest.warns(simbench.ScoreWarning, match="above: outside the declared range"):
        assert simbench.score(*arrays, "above").warnings == ("outside the declared range [0, 1]",)


def test_complex_arrays_are_refused_by_name() -> None:
    x = np.ones((20, 3)) * 1j
    for array in (x, torch.as_tensor(x)):
        with pytest.raises(simbench.SimbenchError, match="x: metrics compare real numbers, and these are complex"):
            simbench.score(array, array)
