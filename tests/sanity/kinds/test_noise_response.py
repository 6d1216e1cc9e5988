"""noise_response: steps in the right order, and the range used."""

from __future__ import annotations

import pytest
from tests.sanity.kinds.scales import changed_by, make
from tests.sanity.kinds.subjects import AT_LAYERS

from simbench.references import Comparison, ModelGroup
from simbench.sanity.kind import Similarity


def test_noise_response_counts_steps_in_the_right_order_and_the_range_used(group: ModelGroup) -> None:
    values = {0.0: 0.9, 0.1: 0.9, 1.0: 0.8, 10.0: 0.7}

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        if changed_by(comparison, "row_shuffle"):
            return Similarity(0.5)
        transform = comparison.a.transform
        return Similarity(values[float(dict(transform.parameters)["ratio"]) if transform is not None else 0.0])

    verdict = make("noise_response", ratios=[1.0, 10.0, 0.1], layers=2).grade([group], AT_LAYERS, scores)
    assert verdict.grade == pytest.approx(2 / 3)
    assert verdict.auxiliary["dynamic_range_used"] == pytest.approx(0.5)
    assert {trial.at for trial in verdict.trials if not trial.held} == {0.1}
    assert [trial.margin for trial in verdict.trials[:3]] == pytest.approx([0.0, 0.1, 0.1])


def test_an_index_to_which_shuffled_inputs_are_more_alike_than_the_same_ones_answers_no_noise(
    group: ModelGroup,
) -> None:
    """It may fall with noise all the same: what it falls from is no similarity."""

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        if changed_by(comparison, "row_shuffle"):
            return Similarity(2.0)
        how = comparison.a.transform
        return Similarity(1.0 - (0.0 if how is None else float(dict(how.parameters)["ratio"]) / 100))

    verdict = make("noise_response").grade([group], AT_LAYERS, scores)
    assert (verdict.grade, verdict.passed) == (0.0, False)
