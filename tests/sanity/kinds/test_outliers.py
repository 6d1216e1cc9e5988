"""outliers: credit is what stayed on the scale."""

from __future__ import annotations

import pytest
from tests.sanity.kinds.scales import SELF, graded, make
from tests.sanity.kinds.subjects import AT_LAYERS

from simbench.references import ModelGroup


@pytest.mark.parametrize(("moved", "credit"), [(0.9, 1.0), (0.8, 0.75), (0.5, 0.0), (0.1, 0.0)])
def test_outliers_give_credit_for_what_stayed(moved: float, credit: float, group: ModelGroup) -> None:
    assert graded(make("outliers"), group, outlier_rows=moved, other=SELF) == pytest.approx(credit)


def test_outliers_are_swept_over_their_share(group: ModelGroup) -> None:
    questions = list(make("outliers", shares=[0.01, 0.1], layers=1).questions([group], AT_LAYERS))
    assert len(questions) == 4 * 2 * 2
    assert {question.at for question in questions} == {0.01, 0.1}
