"""Group separation: models trained alike are more similar than models trained differently."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import average_precision_score
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup, RepresentationRef
from simbench.sanity.kinds import group_separation
from simbench.sanity.kinds.group_separation import GroupSeparation
from simbench.sanity.question import Similarity, Ungradable
from simbench.sanity.stats.rank_statistics import average_precision
from simbench.verdicts.verdict import Trial

Index = Callable[[Comparison], float]


def make(**keys: Any) -> GroupSeparation:
    return GroupSeparation.model_validate({"id": "labels", "kind": "group_separation", "models": ["net"], **keys})


def conditions(group: ModelGroup, count: int = 3, seeds: int = 5) -> list[ModelGroup]:
    return [replace(group, name=f"random{number}", seeds=tuple(range(seeds))) for number in range(count)]


def random_index(seed: int, levels: int = 12) -> Index:
    """Symmetric, with ties."""
    known: dict[frozenset[object], float] = {}
    random = np.random.default_rng(seed)
    return lambda c: known.setdefault(frozenset((c.a, c.b)), float(random.integers(levels)))


def grade(index: Index, groups: list[ModelGroup], **keys: Any) -> Any:
    return make(**keys).grade(groups, AT_LAYERS, lambda c, variable=None: Similarity(index(c)))


def by_the_book(index: Index, groups: list[ModelGroup]) -> dict[str, tuple[float, float, float]]:
    """Per group: scikit-learn's average precision, prevalence, share of pairs of pairs in strict order."""
    last = groups[0].layers[-1]
    found = {}
    for group in groups:
        own = [RepresentationRef(model, last) for model in group.models]
        others = [RepresentationRef(model, last) for other in groups if other != group for model in other.models]
        within = [index(Comparison(a, b)) for a, b in combinations(own, 2)]
        across = [index(Comparison(a, b)) for a in own for b in others]
        labels = [1] * len(within) + [0] * len(across)
        conform = np.mean([one > other for one in within for other in across])
        found[group.name] = (average_precision_score(labels, within + across), float(np.mean(labels)), float(conform))
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [2, 3])
def test_grade_and_auxiliary_values_are_those_of_the_protocol(seed: int, count: int, group: ModelGroup) -> None:
    index, groups = random_index(seed), conditions(group, count)
    verdict = grade(index, groups)
    expected = by_the_book(index, groups)
    auprc, chance, conformity = np.mean(list(expected.values()), axis=0)
    assert verdict.auxiliary["auprc"] == pytest.approx(auprc)
    assert verdict.auxiliary["chance"] == pytest.approx(chance)
    assert verdict.auxiliary["conformity"] == pytest.approx(conformity)
    assert verdict.grade == pytest.approx(max(0.0, (auprc - chance) / (1 - chance)))
    assert list(verdict.columns) == [one.name for one in groups]
    for name, (own, level, _) in expected.items():
        assert verdict.columns[name].grade == pytest.approx(max(0.0, (own - level) / (1 - level)))
        assert verdict.columns[name].auxiliary["auprc"] == pytest.approx(own)


@pytest.mark.parametrize(("count", "chance"), [(2, 10 / 35), (3, 10 / 60), (5, 10 / 110)])
def test_the_chance_level_is_the_share_of_own_pairs(count: int, chance: float, group: ModelGroup) -> None:
    verdict = grade(random_index(0), conditions(group, count))
    assert verdict.auxiliary["chance"] == pytest.approx(chance)


def test_every_pair_of_models_is_compared_at_the_last_layer(group: ModelGroup) -> None:
    comparisons = make().expand(conditions(group), AT_LAYERS)
    assert len({frozenset((c.a, c.b)) for c in comparisons}) == 15 * 14 / 2
    assert {side.layer for c in comparisons for side in (c.a, c.b)} == {"block5"}
    assert all(c.a.model != c.b.model for c in comparisons)


def test_another_layer_can_be_chosen_and_the_head_has_its_own(group: ModelGroup) -> None:
    chosen = make(layer="block2")
    assert {c.a.layer for c in chosen.expand(conditions(group), AT_LAYERS)} == {"block2"}
    assert {c.a.layer for c in chosen.expand(conditions(group), AT_HEAD)} == {"embedding"}


def test_observations_say_on_which_side_they_are(group: ModelGroup) -> None:
    verdict = grade(random_index(0), conditions(group))
    assert {(trial.line, trial.at, trial.held) for trial in verdict.trials} == {
        ("within", 1.0, None),
        ("across", 0.0, None),
    }
    assert all((trial.line == "within") == (trial.models[0][:7] == trial.models[1][:7]) for trial in verdict.trials)


def test_groups_that_are_told_apart_have_the_smallest_p_value_and_a_constant_the_largest(group: ModelGroup) -> None:
    groups = conditions(group)
    assert grade(lambda c: float(c.a.model.group == c.b.model.group), groups).auxiliary["p_value"] == 0.001
    constant = grade(lambda c: 0.7, groups)
    assert (constant.grade, constant.passed, constant.auxiliary["p_value"]) == (0.0, False, 1.0)
    assert constant.auxiliary["auprc"] == constant.auxiliary["chance"]
    assert constant.auxiliary["conformity"] == 0.0


def without_separation(group: ModelGroup, count: int) -> Iterator[list[Trial]]:
    """Observations of models that were drawn alike, whatever their group; each has an effect on all of its pairs."""
    groups = conditions(group)
    questions = list(make().questions(groups, AT_LAYERS))
    models = [str(model) for one in groups for model in one.models]
    for seed in range(count):
        effects = dict(zip(models, np.random.default_rng(seed).normal(size=len(models)), strict=True))
        yield [
            Trial("", one.models, None, sum(map(effects.get, one.models)), column=one.column, at=one.at, line=one.line)
            for one in questions
        ]


def test_p_values_are_uniform_under_the_null(group: ModelGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 199 permutations a p-value is one of 200: steps far below what 400 of them can tell from uniform."""
    monkeypatch.setattr(group_separation, "PERMUTATIONS", 199)
    found = [make().figures(trials) for trials in without_separation(group, 400)]
    p_values = np.array([figures["p_value"] for figures in found])
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01
    assert 0.02 < (p_values <= 0.05).mean() < 0.08
    # Why chance is to be read from the p-value: the mean AUPRC is above its chance level.
    assert np.mean([figures["auprc"] - figures["chance"] for figures in found]) > 0.01


def test_p_values_from_permuting_pairs_would_not_be_uniform(group: ModelGroup) -> None:
    """Pairs that share a model are no independent draws: why models are permuted, and pairs are not."""
    random, found = np.random.default_rng(0), []
    for trials in without_separation(group, 200):
        columns, lines = (np.array([getattr(trial, name) for trial in trials]) for name in ("column", "line"))
        margins = np.array([trial.margin for trial in trials])
        permuted = np.vstack([margins, random.permuted(np.tile(margins, (99, 1)), axis=1)])
        sides = [
            [permuted[:, (columns == one) & (lines == line)] for line in ("within", "across")] for one in set(columns)
        ]
        separation = np.mean([average_precision(*side) for side in sides], axis=0)
        found.append((separation >= separation[0] - 1e-12).mean())
    assert scipy.stats.kstest(found, "uniform").pvalue < 0.01


def test_violations_are_own_pairs_that_do_not_stand_out(group: ModelGroup) -> None:
    groups = conditions(group)

    def index(c: Comparison) -> float:
        seeds = {c.a.model.seed, c.b.model.seed}
        same = c.a.model.group == c.b.model.group
        return -1.0 if same and seeds == {0, 1} and c.a.model.group == "random1" else float(same)

    verdict = grade(index, groups)
    assert [(violation.where, violation.margin) for violation in verdict.violations] == [
        ("random1/0 block5 → random1/1 block5", -1.0)
    ]


def test_a_pair_without_score_leaves_out_the_p_value_and_the_pass(group: ModelGroup) -> None:
    groups = conditions(group)
    absent = make().expand(groups, AT_LAYERS)[0]

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        if comparison == absent:
            raise Ungradable("skip", "out of order")
        return Similarity(float(comparison.a.model.group == comparison.b.model.group))

    verdict = make().grade(groups, AT_LAYERS, scores)
    assert (verdict.grade, verdict.passed) == (1.0, None)
    assert "p_value" not in verdict.auxiliary


@pytest.mark.parametrize(("count", "seeds"), [(1, 5), (3, 1)])
def test_without_two_groups_or_two_seeds_there_is_nothing_to_separate(
    count: int, seeds: int, group: ModelGroup
) -> None:
    verdict = grade(random_index(0), conditions(group, count, seeds))
    assert (verdict.status, verdict.passed) == ("skip", None)
    assert "two groups" in verdict.reason


def test_two_seeds_per_group_have_an_interval_that_says_little(group: ModelGroup) -> None:
    low, high = grade(random_index(0), conditions(group, seeds=2)).interval
    assert high - low > 0.4


def test_pairs_of_a_directed_metric_are_compared_both_ways(group: ModelGroup) -> None:
    groups, directed = conditions(group, 2, 3), replace(AT_LAYERS, symmetric=False)
    one_way = {(q.column, q.line, q.comparisons) for q in make().questions(groups, AT_LAYERS)}
    both = {(q.column, q.line, q.comparisons) for q in make().questions(groups, directed)}
    assert both == one_way | {(name, line, (Comparison(c.b, c.a),)) for name, line, (c,) in one_way}
    assert len(both) == 2 * len(one_way)
    verdict = make().grade(groups, directed, lambda c, v=None: Similarity(float(c.a.model.group == c.b.model.group)))
    assert (verdict.grade, verdict.auxiliary["chance"]) == (1.0, pytest.approx(3 / 12))
    assert verdict.auxiliary["p_value"] < 0.2
