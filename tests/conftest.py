"""What all tests share."""

from __future__ import annotations

import os

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small matrices are slower on several threads, and the machine is shared."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def no_width_asked_for() -> None:
    """Tests read what a pipe is given; pytest-xdist tells its workers the width of a terminal."""
    os.environ.pop("COLUMNS", None)
