"""Garbage collection, paused."""

from __future__ import annotations

import gc

import pytest

from simbench.garbage import collection_paused


def test_collection_goes_on_after_a_pause_if_it_was_on() -> None:
    assert gc.isenabled()
    with collection_paused():
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collection_goes_on_after_an_error() -> None:
    with pytest.raises(ValueError, match="inside"), collection_paused():
        raise ValueError("inside")
    assert gc.isenabled()
