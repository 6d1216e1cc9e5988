"""noise_response: steps in the right order, and the range used."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sanity.kinds.scales import changed_by, make
from tests.sanity.kinds.subjects import AT_LAYERS

from simbench.references import Comparison, ModelGroup
from simbench.sanity.question import Similarity

PAIRING = replace(AT_LAYERS, pairs_inputs=True)


def test_noise_response_counts_steps_in_the_right_order_and_the_range_used(group: ModelGroup) -> None:
    values = {0.0: 0.9, 0.1: 0.9, 1.0: 0.8, 10.0: 0.7}

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        if changed_by(comparison, "row_shuffle"):
            return Similarity(0.5)
        transform = comparison.a.transform
        return Similarity(values[float(dict(transform.parameters)["ratio"]) if transform is not None else 0.0])

    verdict = make("noise_response", ratios=[1.0, 10.0, 0.1], layers=2).grade([group], PAIRING, scores)
    assert verdict.grade == pytest.approx(2 / 3)
    assert verdict.auxiliary["dynamic_range_used"] == pytest.approx(0.5)
    assert {trial.at for trial in verdict.trials if not trial.held} == {0.1}
    assert [trial.margin for trial in verdict.trials[:3]] == pytest.approx([0.0, 0.1, 0.1])


def rising(comparison: Comparison, variable: object = None) -> Similarity:
    """Less for more noise on the sender, more for more noise on the receiver, and nothing for other inputs."""
    if changed_by(comparison, "row_shuffle"):
        return Similarity(-100.0)
    sides = (comparison.a, comparison.b)
    noise = [0.0 if side.transform is None else float(dict(side.transform.parameters)["ratio"]) for side in sides]
    return Similarity(noise[1] - noise[0])


def test_a_directed_metric_is_asked_with_the_noisy_copy_as_receiver_too(group: ModelGroup) -> None:
    verdict = make("noise_response").grade([group], replace(PAIRING, symmetric=False), rising)
    assert {name: column.grade for name, column in verdict.columns.items()} == {"as sender": 1.0, "as receiver": 0.0}
    assert make("noise_response").grade([group], PAIRING, rising).grade == 1.0


def test_where_noise_has_won_there_is_no_answer(group: ModelGroup) -> None:
    """At the two largest ratios the scores are those of shuffled rows: their order says nothing."""

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        return Similarity(max(rising(comparison).value, -1.0))

    verdict = make("noise_response", ratios=[0.5, 1.0, 3.0]).grade([group], PAIRING, scores)
    assert (verdict.grade, verdict.auxiliary["at_null_level"]) == (1.0, pytest.approx(1 / 3))


def test_an_index_to_which_shuffled_inputs_are_more_alike_than_the_same_ones_fails(group: ModelGroup) -> None:
    """It may fall with noise all the same: what it falls from is no similarity."""

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        if changed_by(comparison, "row_shuffle"):
            return Similarity(2.0)
        how = comparison.a.transform
        return Similarity(1.0 - (0.0 if how is None else float(dict(how.parameters)["ratio"]) / 100))

    verdict = make("noise_response").grade([group], PAIRING, scores)
    assert (verdict.grade, verdict.passed) == (0.0, False)
