"""Distribution sensitivity: close in KL is not the same as similar."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import get_args

import pytest
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.models.synthetic.permuted_clusters import CLASS_COUNTS
from simbench.references import Comparison
from simbench.sanity.generated_models import PermutedClasses
from simbench.sanity.kinds.distribution_sensitivity import DistributionSensitivity
from simbench.sanity.question import Similarity
from simbench.seeds import seed_for


def test_it_may_ask_for_what_can_be_synthetic() -> None:
    assert get_args(PermutedClasses) == CLASS_COUNTS


def make(**keys: object) -> DistributionSensitivity:
    return DistributionSensitivity.model_validate({"id": "close", "kind": "distribution_sensitivity", **keys})


def role(comparison: Comparison) -> str:
    """Which part of a question, or of the pairing check, a comparison plays."""
    changes = {side.transform.name for side in (comparison.a, comparison.b) if side.transform is not None}
    if "row_shuffle" in changes:
        return "unrelated"
    if comparison.a.model != comparison.b.model:
        return "dissimilar"
    return "equivalent" if changes else "own"


def like_kl(comparison: Comparison) -> Similarity:
    """Minus a divergence that is 1e-5 of its range for the close pair, and more for a little noise."""
    return Similarity({"own": 0.0, "dissimilar": -1e-5, "equivalent": -2e-5, "unrelated": -1.0}[role(comparison)])


def test_a_divergence_of_distributions_fails_as_noise_is_larger_to_it_than_another_representation() -> None:
    verdict = make().grade([], replace(AT_HEAD, pairs_inputs=True), like_kl)
    assert (verdict.grade, verdict.passed) == (0.0, False)


@pytest.mark.parametrize(
    ("declared", "drawn"),
    [
        (set(), "permutation"),
        ({"permutation"}, "permutation"),
        ({"orthogonal"}, "orthogonal"),
        ({"affine"}, "invertible_linear"),
    ],
)
def test_the_equivalent_copy_is_one_to_which_the_metric_declares_to_be_blind(declared: set[str], drawn: str) -> None:
    metric = replace(AT_LAYERS, invariant_to=frozenset(declared))
    for question in make().questions([], metric):
        (equivalent,) = (c for c in question.comparisons if role(c) == "equivalent")
        assert equivalent.a.transform is not None
        assert equivalent.b.transform is not None
        assert (equivalent.a.transform.name, equivalent.b.transform.name) == ("noise", drawn)
        assert dict(equivalent.a.transform.parameters)["ratio"] == 0.2


def test_a_directed_metric_is_asked_both_ways_with_the_arguments_exchanged() -> None:
    questions = list(make(rho=[5.0], seeds=[0]).questions([], replace(AT_LAYERS, symmetric=False)))
    assert [question.column for question in questions] == ["as sender", "as receiver"]
    forth, back = (question.comparisons for question in questions)
    assert [(one.a, one.b) for one in forth] == [(one.b, one.a) for one in back]


def test_an_index_that_does_not_pair_inputs_as_it_claims_has_no_grade_above_0() -> None:
    values = {"own": 1.0, "equivalent": 0.9, "dissimilar": 0.0, "unrelated": 1.0}
    paired = replace(AT_LAYERS, pairs_inputs=True)
    assert make().grade([], paired, lambda c: Similarity(values[role(c)])).grade == 0.0


def test_there_is_one_question_per_number_of_classes_closeness_and_seed() -> None:
    test = make(classes=[5, 7], rho=[5.0, 10.0, 20.0], seeds=[0, 1])
    assert len(list(test.questions([], AT_LAYERS))) == 2 * 3 * 2


def test_the_grade_is_the_share_of_pairs_told_apart_whatever_the_unit_of_the_scores() -> None:
    test = make(rho=[1.0, 2.0, 3.0, 4.0, 5.0], seeds=list(range(10)))

    def value(comparison: Comparison) -> float:
        return (seed_for(c=str(comparison)) % 1001) / 1000

    held = []
    for question in test.questions([], AT_LAYERS):
        by_role = {role(comparison): value(comparison) for comparison in question.comparisons}
        held.append(by_role["equivalent"] > by_role["dissimilar"])
    for unit in (lambda s: s, lambda s: s**8, lambda s: 1 - (1 - s) ** 8):
        verdict = test.grade([], AT_LAYERS, lambda c, unit=unit: Similarity(unit(value(c))))
        assert verdict.grade == pytest.approx(sum(held) / len(held))
    assert 0 < sum(held) < len(held)


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
