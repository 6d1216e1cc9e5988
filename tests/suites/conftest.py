"""One store for the suites that share their models: each network is trained once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where suites keep what they have in common."""
    return tmp_path_factory.mktemp("suites")
