"""Answers of test kinds."""

from __future__ import annotations

from typing import Any

import pytest

from simbench.references import Comparison, ModelGroup, RepresentationRef
from simbench.sanity.kind import give_credit


@pytest.mark.parametrize(
    ("credit", "answer"),
    [
        (1.2, (True, 0.0, 0, 1.0)),
        (0.9, (False, -0.1, 0, 0.9)),
        (0.51, (False, -0.49, 0, 0.51)),
        (0.5, (False, -0.5, 1, 0.5)),
        (-0.2, (False, -1.0, 1, 0.0)),
    ],
)
def test_what_lost_half_of_its_credit_or_more_is_marked(credit: float, answer: Any, group: ModelGroup) -> None:
    a = RepresentationRef(group.models[0], "block1")
    found = give_credit(credit, Comparison(a, a))
    assert (found.held, pytest.approx(found.margin), len(found.violating), found.credit) == answer
