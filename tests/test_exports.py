"""What the package exports: by name, lazily, each with a docstring and an example that runs."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys

import pytest

import simbench
from simbench.run.session import run

DECORATORS = (
    *("architecture", "dataset", "generator", "loader", "metric", "reparametrisation", "test_kind", "transform"),
    "wrapper",
)


@pytest.mark.parametrize("name", DECORATORS)
def test_every_decorator_is_exported_with_a_docstring_and_an_example(name: str) -> None:
    decorator = getattr(simbench, name)
    assert name in simbench.__all__
    assert name in dir(simbench)
    text = inspect.getdoc(decorator) or ""
    assert text.startswith("Register a ")
    assert f"@simbench.{name}(" in text or name == "metric"


@pytest.mark.process
def test_the_package_alone_imports_nothing_heavy() -> None:
    code = (
        "import sys, simbench; simbench.__all__;"
        "assert not {'torch', 'pydantic', 'numpy', 'scipy'} & sys.modules.keys();"
        "simbench.transform, simbench.architecture, simbench.dataset, simbench.test_kind, simbench.metric;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_on_run_describes_every_argument() -> None:
    text = pydoc.plain(pydoc.render_doc(simbench.run))
    for name in inspect.signature(run).parameters:
        assert f"    {name}:" in text or f"{name}: " in text
    assert "jobs: worker processes" in text
    assert list(inspect.signature(simbench.run).parameters) == list(inspect.signature(run).parameters)
