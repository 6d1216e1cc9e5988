"""outliers: a layer is recognised, and keeps its place, though a few inputs lie far away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sanity.kinds.scales import changed_by, make
from tests.sanity.kinds.subjects import AT_LAYERS

from simbench.references import Comparison, ModelGroup
from simbench.sanity.question import Similarity


def near(comparison: Comparison) -> float:
    """Similarity by depth, lower between models: from 1 down to .57."""
    apart = abs(int(comparison.a.layer[-1]) - int(comparison.b.layer[-1]))
    return 1.0 - 0.1 * apart - 0.03 * (comparison.a.model != comparison.b.model)


@pytest.mark.parametrize(
    ("lost", "grade"),
    [
        (0.0, 1.0),
        (0.02, 1.0),  # still above the counterpart of the other model, which has .97
        (0.04, 0.5),  # below the counterpart, but among the same others
        (0.9, 0.0),
    ],
)
def test_outliers_ask_who_is_nearest_and_for_the_place(lost: float, grade: float, group: ModelGroup) -> None:
    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        return Similarity(near(comparison) - lost * changed_by(comparison, "outlier_rows"))

    verdict = make("outliers").grade([group], AT_LAYERS, scores)
    assert verdict.grade == grade
    assert verdict.columns == {}


def test_a_directed_metric_is_asked_in_both_directions(group: ModelGroup) -> None:
    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        return Similarity(near(comparison) - (comparison.b.transform is not None))

    verdict = make("outliers").grade([group], replace(AT_LAYERS, symmetric=False), scores)
    assert {name: column.grade for name, column in verdict.columns.items()} == {"as sender": 1.0, "as receiver": 0.0}


def test_outliers_are_swept_over_their_share(group: ModelGroup) -> None:
    questions = list(make("outliers", shares=[0.01, 0.1], layers=1).questions([group], AT_LAYERS))
    assert len(questions) == 4 * 2 * 2
    assert {question.at for question in questions} == {0.01, 0.1}
    assert len({question.line for question in questions}) == 4 * 2
