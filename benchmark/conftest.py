"""Doctests register components, and leave none behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from simbench.registry import REGISTRIES


@pytest.fixture(autouse=True)
def registries_as_they_were() -> Iterator[None]:
    """Undo, after each doctest, what it registered."""
    with ExitStack() as stack:
        for registry in REGISTRIES:
            stack.enter_context(registry.isolated())
        yield
