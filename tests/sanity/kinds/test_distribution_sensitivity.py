"""Distribution sensitivity: close in KL is not the same as similar."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.models.synthetic.permuted_clusters import CLASS_COUNTS
from simbench.references import Comparison
from simbench.sanity.generated_models import PermutedClasses
from simbench.sanity.kind import Similarity
from simbench.sanity.kinds.distribution_sensitivity import DistributionSensitivity
from simbench.seeds import seed_for


def test_it_may_ask_for_what_can_be_synthetic() -> None:
    assert get_args(PermutedClasses) == CLASS_COUNTS


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


def test_auxiliary_values_are_medians_at_the_largest_closeness() -> None:
    def scores(comparison: Comparison) -> Similarity:
        rho = dict(comparison.a.model.generator.parameters)["rho"] if comparison.a.model.generator else 0.0
        return Similarity({"own": 1.0, "equivalent": rho, "dissimilar": -rho, "unrelated": 0.0}[role(comparison)])

    auxiliary = make(rho=[5.0, 20.0]).grade([], AT_LAYERS, scores).auxiliary
    assert auxiliary == {"dissimilar_pair_at_largest_rho": -20.0, "equivalent_pair_at_largest_rho": 20.0}


def test_both_models_of_a_pair_share_their_seed_and_closeness() -> None:
    for question in make().questions([], AT_LAYERS):
        parameters = [
            {key: value for key, value in ref.model.generator.parameters if key != "permuted"}
            for comparison in question.comparisons
            for ref in (comparison.a, comparison.b)
            if ref.model.generator is not None
        ]
        assert all(one == parameters[0] for one in parameters)
        assert len({ref.model.seed for c in question.comparisons for ref in (c.a, c.b)}) == 1


EVERY = ["permuted_clusters", "deranged_clusters", "separately_rotated", "exchanged_unembeddings"]


def test_one_generator_has_no_columns_and_several_have_one_each() -> None:
    assert {question.column for question in make().questions([], AT_LAYERS)} == {None}
    asked = Counter(question.column for question in make(generators=EVERY).questions([], AT_LAYERS))
    assert asked == dict(zip(EVERY, (4 * 3, 3 * 3, 3, 3), strict=True))


def test_other_generators_leave_the_permuted_clusters_as_they_are() -> None:
    alone = make(generators=EVERY[:1]).expand([], AT_LAYERS)
    assert alone == make().expand([], AT_LAYERS)
    assert set(alone) < set(make(generators=EVERY).expand([], AT_LAYERS))


@pytest.mark.parametrize("generator", EVERY[1:])
def test_every_generator_can_be_told_apart_and_missed(generator: str) -> None:
    test = make(generators=[generator])
    for told_apart in (True, False):
        values = {"own": 1.0, "equivalent": 1.0, "dissimilar": 0.0 if told_apart else 1.0, "unrelated": 0.0}
        assert test.grade([], AT_HEAD, lambda c, values=values: Similarity(values[role(c)])).grade == float(told_apart)


@pytest.mark.parametrize("generator", EVERY)
def test_a_pair_is_one_generator_with_one_parameter_changed(generator: str) -> None:
    for question in make(generators=[generator]).questions([], AT_LAYERS):
        dissimilar = next(c for c in question.comparisons if role(c) == "dissimilar")
        first, second = (side.model.generator for side in (dissimilar.a, dissimilar.b))
        assert first is not None
        assert second is not None
        changed = {
            name for (name, one), (_, other) in zip(first.parameters, second.parameters, strict=True) if one != other
        }
        assert (len(changed), first.name, dissimilar.a.model.seed) == (1, second.name, dissimilar.b.model.seed)


def test_auxiliary_values_are_given_for_each_generator() -> None:
    values = {"own": 1.0, "equivalent": 0.75, "dissimilar": 0.25, "unrelated": 0.0}
    auxiliary = make(generators=EVERY[2:]).grade([], AT_HEAD, lambda c: Similarity(values[role(c)])).auxiliary
    assert auxiliary == {
        f"{which}_pair_of_{name}": values[which] for name in EVERY[2:] for which in ("dissimilar", "equivalent")
    }


def test_an_interval_is_of_the_seeds_of_every_example() -> None:
    models = {question.models[0].rpartition("/")[0] for question in make(generators=EVERY).questions([], AT_LAYERS)}
    assert models == {
        "construction/7",
        "construction/deranged_clusters/2/5",
        "construction/deranged_clusters/4/8",
        "construction/deranged_clusters/8/20",
        "construction/separately_rotated",
        "construction/exchanged_unembeddings",
    }
