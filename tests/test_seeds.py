"""Seeds depend on named axes and on nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simbench.seeds import seed_for

PINNED = [175925499, 339192609]
AXES = st.dictionaries(st.text("abc", min_size=1), st.one_of(st.integers(), st.text()), min_size=1)


@given(AXES)
def test_a_seed_fits_every_generator(axes):
    assert 0 <= seed_for(**axes) < 2**31


@given(AXES)
def test_the_order_of_the_axes_does_not_matter(axes):
    assert seed_for(**axes) == seed_for(**dict(reversed(axes.items())))


def test_seeds_are_pinned_for_ever():
    assert [seed_for(model="cnn", seed=1), seed_for(purpose="interval", test="identity")] == PINNED


@pytest.mark.process
def test_seeds_are_the_same_in_every_process():
    code = "from simbench.seeds import seed_for; print(seed_for(model='cnn', seed=1))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(printed) == seed_for(model="cnn", seed=1)


def test_the_name_of_an_axis_counts_as_much_as_its_value():
    assert seed_for(model="a") != seed_for(test="a")
    assert seed_for(model="a", test="b") != seed_for(model="b", test="a")


def test_a_number_and_its_text_are_two_values():
    assert seed_for(seed=1) != seed_for(seed="1")


def test_a_thousand_seeds_are_a_thousand_different_ones():
    assert len({seed_for(purpose="collisions", number=number) for number in range(1000)}) == 1000


def test_without_axes_there_is_no_seed():
    with pytest.raises(ValueError, match="at least one named axis"):
        seed_for()
