"""`new` writes a metric or a suite that passes `check` untouched."""

from __future__ import annotations

import pytest

from simbench.errors import ExitCode


@pytest.mark.parametrize(("what", "file"), [("metric", "mine.py"), ("suite", "mine.yaml")])
def test_a_scaffold_passes_check_untouched(invoke, what, file):
    assert invoke("new", what, "mine").exit_code == 0
    done = invoke("check", file)
    assert done.exit_code == 0, done.stdout + done.stderr


@pytest.mark.parametrize("form", ["--batched", "--model", "--class"])
@pytest.mark.parametrize("name", ["mine", "_", "my_own_index"])
def test_every_form_of_a_metric_passes_check_untouched(invoke, form, name):
    assert invoke("new", "metric", name, form).exit_code == 0
    done = invoke("check", f"{name}.py")
    assert done.exit_code == 0, done.stdout + done.stderr
    assert "could not be measured" not in done.stdout


def test_the_scaffold_of_a_class_has_a_parameter(invoke):
    invoke("new", "metric", "mine", "--class")
    done = invoke("check", "mine.py:Mine(centred=false)")
    assert "invariance: translation" in done.stdout
    assert done.exit_code == ExitCode.VERDICT_FAILED  # not centred, it does not keep what it declares


def test_one_form_of_a_metric_is_asked_for(invoke, tmp_path):
    done = invoke("new", "metric", "mine", "--batched", "--class")
    assert (done.exit_code, done.stderr) == (2, "error: --batched and --class: choose one form of the metric\n")
    done = invoke("new", "suite", "mine", "--model")
    assert (done.exit_code, done.stderr) == (2, "error: --model is a form of metrics; a suite has none\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("what", "file"), [("metric", "mine.py"), ("suite", "mine.yaml")])
def test_a_scaffold_never_overwrites(invoke, tmp_path, what, file):
    (tmp_path / file).write_text("precious")
    done = invoke("new", what, "mine")
    assert done.exit_code == ExitCode.USAGE
    assert (tmp_path / file).read_text() == "precious"


@pytest.mark.parametrize("name", ["my-metric", "class", "../elsewhere", "cka"])
def test_a_scaffold_needs_a_free_name_that_python_can_use(invoke, tmp_path, name):
    assert invoke("new", "metric", name).exit_code == ExitCode.USAGE
    assert list(tmp_path.iterdir()) == []
