"""Boards made by hand."""

from __future__ import annotations

import pytest
from tests.board.making import Maker


@pytest.fixture
def make() -> Maker:
    """Makes rows and boards."""
    return Maker()
