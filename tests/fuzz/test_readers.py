"""A few hundred inputs for every reader, and all that once broke one. `python -m tests.fuzz.search` tries more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import TARGETS, Target

ONCE = [(target, name, content) for target in TARGETS.values() for name, content in target.corpus()]


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_what_is_changed_is_valid_before(target: Target, tmp_path: Path) -> None:
    for seed in target.seeds():
        target.check(seed, tmp_path)


@pytest.mark.parametrize(("target", "name", "content"), ONCE, ids=[f"{target.name}-{name}" for target, name, _ in ONCE])
def test_what_once_broke_a_reader_does_so_no_more(target: Target, name: str, content: bytes, tmp_path: Path) -> None:
    target.check(content, tmp_path)


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
@given(seed=st.integers(0, 2**32), which=st.integers(0, 63))
@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_changed_input_is_read_or_refused(target: Target, tmp_path: Path, seed: int, which: int) -> None:
    seeds = target.seeds()
    content = mutated(seeds[which % len(seeds)], random.Random(seed), prefix=target.name != "suite")
    target.check(content, tmp_path)
