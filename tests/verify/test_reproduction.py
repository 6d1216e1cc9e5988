"""How far two people's scores may be apart: by rounding, by training again, by other seeds, and no further."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy.stats import binom

from simbench.references import Comparison, ModelRef, Named, RepresentationRef
from simbench.results.record import ScoreRecord
from simbench.verdicts.verdict import Verdict
from simbench.verify.reproduction import (
    Allowance,
    Deviation,
    DeviationClass,
    count_classes,
    seed_ranges,
    settled,
    turned,
    without_seeds,
)


def record(value: float | None, **others: object) -> ScoreRecord:
    fields: dict[str, object] = {
        **{"key": "k", "metric": "m@1", "parameters": {}, "a": "", "b": "", "a_key": "", "b_key": "", "seconds": 0.0},
        **{"status": "skip" if value is None else "ok", "value": value, "suite": "s@1", "provenance": ""},
        **others,
    }
    return ScoreRecord.model_validate(fields)


def layer(seed: int, name: str = "block1", transform: Named | None = None) -> RepresentationRef:
    return RepresentationRef(ModelRef("mlp", seed), name, transform)


# Values 0 … 100, so that the middle 90 % span 90.
RECORDS = {str(value): record(float(value)) for value in range(101)}


def allowance(level: str = "reproduced", cost: str = "light") -> Allowance:
    # Score 40 compares seeds 0 and 1, score 60 the same layers of seeds 1 and 2: they differ by 20.
    comparisons = {"40": Comparison(layer(0), layer(1)), "60": Comparison(layer(1), layer(2))}
    return Allowance.of(level, cost, RECORDS, comparisons)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "off", "kind"),
    [
        ("40", 0.0, "equal"),
        ("40", 0.9e-6 * 90, "rounding"),
        ("40", 1.1e-6 * 90, "retraining"),
        ("40", 0.049 * 90, "retraining"),
        ("40", 0.051 * 90, "seeds"),
        ("40", 19.9, "seeds"),
        ("40", 20.1, "outside"),
        ("41", 0.051 * 90, "outside"),
    ],
)
def test_a_deviation_has_a_class(key: str, off: float, kind: DeviationClass) -> None:
    found = allowance().deviation(key, RECORDS[key], record(float(key) + off))
    assert (found.kind, found.number) == (kind, "value")
    assert found.distance == pytest.approx(off)


def test_metrics_that_train_a_map_may_be_further_off() -> None:
    assert allowance(cost="heavy").deviation("41", RECORDS["41"], record(41 + 0.14 * 90)).kind == "retraining"
    assert allowance(cost="heavy").deviation("41", RECORDS["41"], record(41 + 0.16 * 90)).kind == "outside"


def test_on_the_same_models_other_seeds_explain_nothing() -> None:
    assert allowance("rescored").deviation("40", RECORDS["40"], record(40.001)).kind == "outside"
    assert allowance("rescored", "heavy").deviation("40", RECORDS["40"], record(41.0)).kind == "retraining"


def test_a_standard_error_is_held_against_the_spread_of_the_values() -> None:
    """Standard errors of accuracies lie close together: one prediction of 400 is far on their own scale."""
    records = {str(value): record(value / 100, standard_error=0.01 + value / 1e5) for value in range(101)}
    limits = Allowance.of("reproduced", "light", records, {})
    off = limits.deviation("50", records["50"], record(0.5, standard_error=0.0125))
    assert (off.kind, off.number) == ("retraining", "standard_error")
    assert limits.deviation("50", records["50"], record(0.5, standard_error=0.07)).kind == "outside"


def test_what_only_one_side_has_is_outside() -> None:
    limits = allowance()
    assert limits.deviation("40", RECORDS["40"], None).kind == "outside"
    assert limits.deviation("40", RECORDS["40"], record(None)) == Deviation("outside", "status", float("inf"))
    assert limits.deviation("40", RECORDS["40"], record(40.0, tiebreak=1.0)).number == "tiebreak"
    assert limits.deviation("40", RECORDS["40"], record(40.0, auxiliary={"p": 0.1})).number == "p"
    assert limits.deviation("40", record(None), record(None)).kind == "equal"


def test_the_number_in_the_worst_class_decides_and_the_value_before_others() -> None:
    records = {key: record(value.value, tiebreak=0.0) for key, value in RECORDS.items()}
    limits = Allowance.of("reproduced", "light", records, {})
    assert limits.deviation("1", records["1"], record(1.0, tiebreak=0.5)).number == "tiebreak"
    assert limits.deviation("1", records["1"], record(99.0, tiebreak=9.0)).number == "value"


def test_few_scores_may_be_off_as_other_seeds_are_and_not_many() -> None:
    """Of 200, where one in 20 is expected, 20 are a matter of chance; 22 are once in 1,000 samples."""
    assert binom.sf(21, 200, 0.05) < 1e-3 < binom.sf(20, 200, 0.05)
    off = {str(key): Deviation("seeds", "value", 1.0) for key in range(21)}
    near = {f"near {key}": Deviation("rounding", "value", 0.0) for key in range(178)}
    one_more = {"one more": Deviation("seeds", "value", 1.0)}
    more_near = {"more near": Deviation("rounding", "value", 0.0)}
    assert count_classes(settled({**off, **near, **more_near}).values())["seeds"] == 21
    assert count_classes(settled({**off, **near, **one_more}).values())["outside"] == 22
    assert settled(one_more) == one_more


def test_scores_that_are_as_far_off_as_other_seeds_are_of_other_seeds_however_near() -> None:
    """Seeds 0 and 1, and seeds 1 and 2, differ by .001 of the spread: .0004 of it is far off, .0002 is not."""
    pairs = (Comparison(layer(0), layer(1)), Comparison(layer(1), layer(2)))
    comparisons = {
        f"layer{number} {which}": Comparison(*(replace(side, layer=f"layer{number}") for side in (pair.a, pair.b)))
        for number in range(10)
        for which, pair in enumerate(pairs)
    }
    claimed = {key: record(float(key[5]) + 0.008 * float(key[-1])) for key in comparisons}
    limits = Allowance.of("reproduced", "light", claimed, comparisons)

    def moved(far: int) -> dict[str, ScoreRecord]:
        sizes = [0.0032] * far + [0.0016] * (20 - far)
        return {key: record(claimed[key].value + size) for key, size in zip(claimed, sizes, strict=True)}

    assert binom.sf(9, 20, 0.15) < 1e-3 < binom.sf(8, 20, 0.15)
    assert limits.of_other_seeds(claimed, moved(10)) == (10, 20)
    assert limits.of_other_seeds(claimed, moved(9)) is None
    assert {limits.deviation(key, claimed[key], score).kind for key, score in moved(10).items()} == {"retraining"}
    uncertain = {key: score.model_copy(update={"standard_error": 0.004}) for key, score in claimed.items()}
    assert limits.of_other_seeds(uncertain, moved(20)) is None
    assert Allowance.of("rescored", "light", claimed, comparisons).of_other_seeds(claimed, moved(20)) is None


def test_the_direction_of_a_symmetric_metric_is_no_difference() -> None:
    across = Comparison(layer(0, "block1"), layer(1, "block2"))
    back = Comparison(layer(1, "block2"), layer(2, "block1"))
    records = {"across": record(1.0), "back": record(3.0)}
    comparisons = {"across": across, "back": back}
    assert seed_ranges(records, comparisons)["across"] == {"value": 0.0}
    assert seed_ranges(records, comparisons, symmetric=True)["across"] == {"value": 2.0}


def graded(grade: float, interval: tuple[float, float], passed: bool | None, reason: str | None = None) -> Verdict:
    return Verdict("ok", grade, interval, passed=passed, reason=reason)


def test_only_from_one_decided_verdict_to_another_is_no_matter_of_chance() -> None:
    claimed = graded(1.0, (0.9, 1.0), True)

    def turns(other: Verdict) -> list[bool]:
        return [turn.decided for turn in turned("m", {"test": claimed}, {"test": other})]

    assert turns(graded(0.6, (0.5, 0.8), True)) == []
    assert turns(graded(0.4, (0.2, 0.6), None)) == [False]
    assert turns(graded(0.3, (0.2, 0.4), False)) == [True]
    assert turns(Verdict("skip", reason="nothing to compare")) == [False]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (graded(0.25, (0.0, 0.4), False), "fails with .25 [0, .4]"),
        (graded(0.4, (0.2, 0.6), None), "is undecided with .4 [.2, .6]"),
        (graded(1.0, (0.9, 1.0), None, reason="1 of 2 skip"), "is partly answered with 1 [.9, 1]"),
        (Verdict("skip", reason="nothing to compare"), "skip"),
    ],
)
def test_a_verdict_that_turned_is_told_in_words(other: Verdict, words: str) -> None:
    (turn,) = turned("m", {"test": graded(1.0, (0.9, 1.0), True)}, {"test": other})
    assert str(turn) == f"m on test: passes with 1 [.9, 1], here {words}"


def test_comparisons_that_differ_in_seeds_alone_are_alike() -> None:
    shuffle = Named.of("row_shuffle", seed=3)
    assert without_seeds(Comparison(layer(1, transform=shuffle), layer(1))) == without_seeds(
        Comparison(layer(2, transform=Named.of("row_shuffle", seed=4)), layer(2))
    )
    pair = Comparison(layer(0), layer(1))
    for other in (
        Comparison(layer(0), layer(0)),
        Comparison(layer(0, "block2"), layer(1)),
        Comparison(layer(0, transform=shuffle), layer(1)),
    ):
        assert without_seeds(other) != without_seeds(pair)
    assert seed_ranges({"a": record(1.0), "b": record(3.5)}, {"a": pair, "b": Comparison(layer(1), layer(2))}) == {
        "a": {"value": 2.5},
        "b": {"value": 2.5},
    }


def test_synthetic_models_are_the_same_everywhere() -> None:
    made = [RepresentationRef(ModelRef("", seed, Named.of("clusters", rho=1.0)), "layer") for seed in (0, 1)]
    alike = [without_seeds(Comparison(ref, ref)) for ref in made]
    assert alike[0] != alike[1]


def test_members_of_a_group_are_alike_as_seeds_are() -> None:
    members = [RepresentationRef(ModelRef("mine", 0, member=member), "block1") for member in "abc"]
    first, second, same = (Comparison(members[a], members[b]) for a, b in ((0, 1), (2, 0), (1, 1)))
    assert without_seeds(first) == without_seeds(second) != without_seeds(same)
