"""An empty store, and records to put into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simbench.results.record import ScoreRecord
from simbench.results.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def record() -> Callable[..., ScoreRecord]:
    """A record with some fields of one's own."""

    def make(key: str = "k", value: float | None = 0.5, **fields: Any) -> ScoreRecord:
        settings: dict[str, Any] = {
            "metric": "cka@1",
            "parameters": {},
            "a": "net/0 block1",
            "b": "net/1 block1",
            "a_key": "aa",
            "b_key": "bb",
            "status": "ok",
            "seconds": 0.1,
            "suite": "small@1",
            "provenance": "p",
        }
        return ScoreRecord(key=key, value=value, **{**settings, **fields})

    return make
