"""What all tests share."""

from __future__ import annotations

import os
import signal

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


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """What a test starts can be interrupted, also where the tests run in the background of a shell."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
