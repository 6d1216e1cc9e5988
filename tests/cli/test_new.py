"""`new` writes a metric or a suite that passes `check` untouched."""

from __future__ import annotations

import pytest

from simbench.errors import ExitCode


@pytest.mark.parametrize(("what", "file"), [("metric", "mine.py"), ("suite", "mine.yaml")])
def test_a_scaffold_passes_check_untouched(invoke, what, file):
    assert invoke("new", what, "mine").exit_code == 0
    done = invoke("check", file)
    assert done.exit_code == 0, done.stdout + done.stderr


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
