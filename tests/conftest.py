"""What all tests share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small matrices are slower on several threads, and the machine is shared."""
    torch.set_num_threads(1)
