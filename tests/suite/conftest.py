"""A small valid suite, and what loading a changed copy of it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from simbench.errors import SuiteError
from simbench.registry import ARCHITECTURES, DATASETS, METRICS, TEST_KINDS, TRANSFORMS
from simbench.suite.load import load_suite

VALID = """\
suite: small
version: 1
probe: {dataset: digits, inputs: 100}
models:
  net:
    architecture: {name: mlp, width: 8, depth: 3}
    train: {dataset: digits, epochs: 1}
metrics: [cka]
tests:
  - id: first
    kind: identity
    models: [net]
  - id: second
    kind: invariance
    models: [net]
    transforms: [permutation]
"""


@pytest.fixture(autouse=True)
def registries_restored() -> Iterator[None]:
    """What a suite's plugins register is gone after the test."""
    with ExitStack() as stack:
        for registry in (METRICS, TEST_KINDS, TRANSFORMS, DATASETS, ARCHITECTURES):
            stack.enter_context(registry.isolated())
        yield


@pytest.fixture
def valid() -> str:
    return VALID


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """The valid suite with one piece of text replaced by another, as a file."""

    def write(old: str, new: str) -> Path:
        assert VALID.count(old) == 1, f"{old!r} stands {VALID.count(old)} times in the suite"
        path = tmp_path / "suite.yaml"
        path.write_text(VALID.replace(old, new), encoding="utf-8")
        return path

    return write


@pytest.fixture
def problems_of() -> Callable[[Path], list[str]]:
    """The lines of the error that loading a file raises, with the file's name in place of its path."""

    def load(path: Path) -> list[str]:
        with pytest.raises(SuiteError) as raised:
            load_suite(str(path))
        return [line.replace(f"{path.parent}/", "") for line in raised.value.problems]

    return load
