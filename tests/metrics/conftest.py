"""What the tests of metrics share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def same_inputs_in_every_run() -> None:
    """Tests that draw from torch's global generator draw the same each time, whatever ran before."""
    torch.manual_seed(0)
