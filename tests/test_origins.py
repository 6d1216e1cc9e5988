"""Places where components are defined."""

from __future__ import annotations

import pytest

from simbench.origins import Origin, origin_of
from simbench.registry import Registry


def test_origin_of_a_function_and_of_a_class_is_where_they_stand() -> None:
    assert origin_of(origin_of).file.endswith("origins.py")
    assert origin_of(Registry).line > 1


@pytest.mark.parametrize(
    ("module", "file", "redefined"),
    [
        ("mine", "mine.py", True),
        ("mine", "other.py", False),
        ("other", "mine.py", False),
    ],
)
def test_a_definition_replaces_its_own_older_one_only(module: str, file: str, redefined: bool) -> None:
    assert Origin("mine", "mine.py", 9).redefines(Origin(module, file, 3)) is redefined


def test_a_cell_of_a_notebook_replaces_an_older_one() -> None:
    assert Origin("__main__", "<cell 2>", 1).redefines(Origin("__main__", "<cell 1>", 1))
