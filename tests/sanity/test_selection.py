"""Samples of pairs of models: the same for all who ask, and every model about equally often."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import pytest
from tests.sanity.kinds.subjects import AT_LAYERS

from simbench.grading import grade
from simbench.plan.plan import Plan
from simbench.references import Comparison, ModelGroup
from simbench.registry import TEST_KINDS
from simbench.results.record import ScoreRecord
from simbench.run.session import prepare
from simbench.sanity.selection import pairs_of, spread_pairs, within_and_across
from simbench.suite.schema import SampledPairs

# Kinds with `pairs`, in one group of eleven models.
SAMPLED = ["correspondence", "output_correlation", "closeness", "probe_correlation"]


def make(kind: str, **keys: Any) -> Any:
    return TEST_KINDS.get(kind).model_validate({"id": "t", "kind": kind, "models": ["net"], **keys})


def models_compared(comparisons: tuple[Comparison, ...]) -> set[frozenset[str]]:
    """Return the pairs of different models."""
    pairs = {frozenset((str(pair.a.model), str(pair.b.model))) for pair in comparisons}
    return {pair for pair in pairs if len(pair) == 2}


@pytest.mark.parametrize("count", [2, 3, 8, 11])
def test_any_number_of_the_first_pairs_has_every_item_about_equally_often(count: int) -> None:
    pairs = list(spread_pairs(count))
    assert sorted(pairs) == list(combinations(range(count), 2))
    for some in range(1, len(pairs) + 1):
        times = Counter(item for pair in pairs[:some] for item in pair)
        assert max(times.values()) - min(times[item] for item in range(count)) <= 1 + count % 2


def test_a_sample_is_the_same_everywhere_and_for_ever() -> None:
    """Bundles are verified by planning anew: another sample would be other comparisons."""
    assert list(islice(spread_pairs(10), 7)) == [(1, 9), (0, 3), (4, 8), (2, 6), (5, 7), (8, 9), (3, 6)]


def test_a_larger_sample_has_the_pairs_of_a_smaller_one() -> None:
    small, large = (set(pairs_of(range(20), SampledPairs(sample=count), ordered=False)) for count in (30, 60))
    assert (len(small), len(large)) == (30, 60)
    assert small < large


def test_both_ways_a_pair_is_one_pair_of_the_sample() -> None:
    once = list(pairs_of("abcdef", SampledPairs(sample=4), ordered=False))
    assert list(pairs_of("abcdef", SampledPairs(sample=4), ordered=True)) == [
        side for pair in once for side in (pair, pair[::-1])
    ]


@pytest.mark.parametrize("ordered", [False, True])
def test_a_sample_of_all_pairs_is_all_pairs(ordered: bool) -> None:
    everything = list(pairs_of("abcd", ordered=ordered))
    assert list(pairs_of("abcd", SampledPairs(sample=6), ordered=ordered)) == everything
    assert list(pairs_of("abcd", SampledPairs(sample=100), ordered=ordered)) == everything


@pytest.mark.parametrize("kind", SAMPLED)
def test_every_metric_is_asked_about_the_same_sample(kind: str, group: ModelGroup) -> None:
    groups, test = [replace(group, seeds=tuple(range(11)))], make(kind, pairs={"sample": 20})
    asked = [test.expand(groups, metric) for metric in (AT_LAYERS, replace(AT_LAYERS, name="other", symmetric=False))]
    compared = [models_compared(comparisons) for comparisons in asked]
    assert compared[0] == compared[1]
    assert len(compared[0]) == 20
    assert len(models_compared(make(kind, pairs="all").expand(groups, AT_LAYERS))) == math.comb(11, 2)


@pytest.mark.parametrize(("sample", "within"), [(1225, 225), (600, 110), (100, 20), (30, 5)])
def test_a_sample_of_groups_has_pairs_within_and_across_in_proportion(sample: int, within: int) -> None:
    """Five groups of ten: of 1225 pairs 225 are within; each group has one at least."""
    groups = [[f"{name}{number}" for number in range(10)] for name in "abcde"]
    sides = within_and_across(groups, SampledPairs(sample=sample))
    own, others = [pair for side, _ in sides for pair in side], [pair for _, side in sides for pair in side]
    assert len(own) + len(others) / 2 == sample
    assert len(own) == within
    assert {frozenset(pair) for pair in others} == {frozenset(pair) for pair in others if pair[0][0] != pair[1][0]}
    for name, (inside, beyond) in zip("abcde", sides, strict=True):
        assert inside
        assert {pair[0][0] for pair in beyond} == {name}
        assert {side[0] for pair in inside for side in pair} == {name}
    assert within_and_across(groups) == within_and_across(groups, SampledPairs(sample=1225))


SUITE = """
suite: sampled
version: 1
probe: {dataset: mnist1d, inputs: 100}
models:
  net:
    architecture: {name: conv1d, width: 8, depth: 2}
    train: {dataset: mnist1d, epochs: 1}
    seeds: [0, 1, 2, 3, 4, 5, 6, 7]
  wide: {like: net, architecture: {width: 9}}
metrics: [cka]
tests:
  - {id: outputs, kind: output_correlation, models: [net], against: [disagreement], pairs: PAIRS}
  - {id: widths, kind: closeness, models: [net], pairs: PAIRS}
  - {id: groups, kind: group_separation, models: [net, wide], pairs: PAIRS}
  - {id: layers, kind: correspondence, models: [net], distance: 1, pairs: PAIRS}
"""


def board_of(pairs: str, folder: Path) -> Any:
    path = folder / "sampled.yaml"
    path.write_text(SUITE.replace("PAIRS", pairs))
    plan: Plan = prepare(str(path))
    fields: dict[str, Any] = {"parameters": {}, "seconds": 0.0, "suite": "", "provenance": ""}
    fields |= dict.fromkeys(("metric", "a", "b", "a_key", "b_key"), "")
    records = {
        planned.metric.label: {
            key: ScoreRecord(key=key, status="ok", value=int(key[:8], 16) / 16**8, **fields) for key in planned.scores
        }
        for planned in plan.metrics
    }
    (ranked,) = grade(plan, records, {}).rows
    return ranked.row


def test_a_sample_has_no_p_value_and_a_remark_says_so(tmp_path: Path) -> None:
    row = board_of("{sample: 20}", tmp_path)
    for test in ("outputs", "widths", "groups"):
        assert not [name for name in row.verdicts[test].auxiliary if name.startswith("p_value")]
        (remark,) = row.remarks[test]
        assert remark.text == "no p-value: to permute models takes all pairs, and these are a sample"
        assert remark.scores == remark.asked > 0
    assert "layers" not in row.remarks


@pytest.mark.parametrize("pairs", ["all", "{sample: 120}"])
def test_all_pairs_have_a_p_value_and_no_remark(pairs: str, tmp_path: Path) -> None:
    row = board_of(pairs, tmp_path)
    for test in ("outputs", "widths", "groups"):
        assert [name for name in row.verdicts[test].auxiliary if name.startswith("p_value")]
    assert row.remarks == {}
