"""Distribution sensitivity: close in KL is not the same as similar."""

from __future__ import annotations

import pytest
from tests.sanity.subjects import AT_HEAD, AT_LAYERS

from simbench.plan.references import Comparison
from simbench.sanity.distribution_sensitivity import DistributionSensitivity
from simbench.sanity.kind import Similarity
from simbench.seeds import seed_for


def make(**keys: object) -> DistributionSensitivity:
    return DistributionSensitivity.model_validate({"id": "close", "kind": "distribution_sensitivity", **keys})


def role(comparison: Comparison) -> str:
    """Which of the four parts of a question a comparison plays."""
    if comparison.a.model != comparison.b.model:
        return "dissimilar"
    if comparison.a.transform is not None:
        return "unrelated"
    return "equivalent" if comparison.b.transform is not None else "own"


def like_kl(comparison: Comparison) -> Similarity:
    """Minus a divergence that is 0 for equal distributions and 1e-5 of its range for the close pair."""
    return Similarity({"own": 0.0, "equivalent": 0.0, "dissimilar": -1e-5, "unrelated": -1.0}[role(comparison)])


def test_without_a_margin_a_divergence_of_distributions_would_pass() -> None:
    assert make(margin=0.0).grade([], AT_HEAD, like_kl).grade == 1.0


def test_with_the_default_margin_a_divergence_of_distributions_fails() -> None:
    verdict = make().grade([], AT_HEAD, like_kl)
    assert (verdict.grade, verdict.passed) == (0.0, False)


def test_there_is_one_question_per_number_of_classes_closeness_and_seed() -> None:
    test = make(classes=[5, 7], rho=[5.0, 10.0, 20.0], seeds=[0, 1])
    assert len(list(test.questions([], AT_LAYERS))) == 2 * 3 * 2


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5])
def test_the_grade_is_the_share_of_pairs_told_apart_by_more_than_the_margin(margin: float) -> None:
    test = make(rho=[1.0, 2.0, 3.0, 4.0, 5.0], seeds=list(range(10)), margin=margin)

    def value(comparison: Comparison) -> float:
        noise = (seed_for(c=str(comparison)) % 1001) / 1000
        return {"own": 1.0, "equivalent": noise, "dissimilar": noise, "unrelated": -0.5 * noise}[role(comparison)]

    held = []
    for question in test.questions([], AT_LAYERS):
        by_role = {role(comparison): value(comparison) for comparison in question.comparisons}
        scale = by_role["own"] - by_role["unrelated"]
        held.append(by_role["equivalent"] - by_role["dissimilar"] > margin * scale)
    verdict = test.grade([], AT_LAYERS, lambda c: Similarity(value(c)))
    assert verdict.grade == pytest.approx(sum(held) / len(held))
    assert 0 < sum(held) < len(held)


def test_an_index_without_a_scale_tells_nothing_apart() -> None:
    values = {"own": 0.0, "unrelated": 0.0, "equivalent": 1.0, "dissimilar": 0.0}
    assert make(margin=0.0).grade([], AT_LAYERS, lambda c: Similarity(values[role(c)])).grade == 0.0


def test_companions_are_medians_at_the_largest_closeness() -> None:
    def scores(comparison: Comparison) -> Similarity:
        rho = dict(comparison.a.model.construction.parameters)["rho"] if comparison.a.model.construction else 0.0
        return Similarity({"own": 1.0, "equivalent": rho, "dissimilar": -rho, "unrelated": 0.0}[role(comparison)])

    companions = make(rho=[5.0, 20.0]).grade([], AT_LAYERS, scores).companions
    assert companions == {"dissimilar_pair_at_largest_rho": -20.0, "equivalent_pair_at_largest_rho": 20.0}


def test_both_models_of_a_pair_share_their_seed_and_closeness() -> None:
    for question in make().questions([], AT_LAYERS):
        parameters = [
            {key: value for key, value in ref.model.construction.parameters if key != "permuted"}
            for comparison in question.comparisons
            for ref in (comparison.a, comparison.b)
            if ref.model.construction is not None
        ]
        assert all(one == parameters[0] for one in parameters)
        assert len({ref.model.seed for c in question.comparisons for ref in (c.a, c.b)}) == 1
