"""Class by how much two people's scores of one comparison differ, and find verdicts that turn.

A score taken again is bit-equal, off by rounding, off by what training the same seed elsewhere gives, off by no more
than other seeds are, which few scores may be, or outside of all that. Why so: docs/decisions/reproduction.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from simbench.references import Comparison, ModelRef, Named, RepresentationRef
from simbench.results.record import ScoreRecord
from simbench.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from simbench.verify.report import ProofLevel

DeviationClass = Literal["equal", "rounding", "retraining", "seeds", "outside"]
CLASSES: tuple[DeviationClass, ...] = ("equal", "rounding", "retraining", "seeds", "outside")
# What rounding gives, relative to a metric's spread: batches of another shape, another processor, other libraries, on
# the same trained models.
ROUNDING = 1e-6
# What training again gives, relative to a metric's spread. Metrics of `cost: heavy` train a map for every score, with
# mini-batches, so that rounding grows also where the networks are the same.
TOLERANCES: Mapping[tuple[ProofLevel, str], float] = {
    ("rescored", "light"): ROUNDING,
    ("rescored", "heavy"): 0.05,
    ("reproduced", "light"): 0.05,
    ("reproduced", "heavy"): 0.15,
}
# The share of a metric's scores that may be off by as much as other seeds are; elsewhere, up to .046 were (3 of 65).
TAIL = 0.05
# A score is far off by more than this share of the range over seeds, and this share of a metric's scores may be:
# elsewhere, up to .145 were (svcca); of other seeds, .4 to .95 are.
FAR, FAR_OFF = 0.3, 0.15
# How rarely more of a sample are in the tail, or far off, by chance alone.
CHANCE = 1e-3
Records = Mapping[str, ScoreRecord]


class Deviation(NamedTuple):
    """Deviation of a score that was taken again, by the number of the record that is furthest off."""

    kind: DeviationClass
    number: str
    distance: float
    """In the number's own unit; infinite where only one of the two has it, or where their statuses differ."""


@dataclass(frozen=True)
class Allowance:
    """Limits of how far two records of one metric may differ.

    Attributes:
        tolerance: what training again gives, relative to the metric's spread.
        scales: the spread of each number of its records.
        seeds: per score key, what other seeds of the same comparison give, by number; empty on the same models.
    """

    tolerance: float
    scales: Mapping[str, float]
    seeds: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(
        cls,
        level: ProofLevel,
        cost: str,
        records: Records,
        comparisons: Mapping[str, Comparison],
        *,
        symmetric: bool = False,
    ) -> Allowance:
        """Derive the allowance of a metric from its claimed records and what each of them compares."""
        named = dict.fromkeys(name for record in records.values() for name in numbers(record))
        scales = {name: spread(records, name) for name in named}
        # A standard error moves with the value, near the end of a range as much as the value does: it is on that scale.
        scales["standard_error"] = scales.get("value", 1.0)
        seeds = seed_ranges(records, comparisons, symmetric=symmetric) if level == "reproduced" else {}
        return cls(TOLERANCES[level, cost], scales, seeds)

    def deviation(self, key: str, claimed: ScoreRecord | None, other: ScoreRecord | None) -> Deviation:
        """Class the deviation of two records of one score; a record that only one side has is outside."""
        if claimed is None or other is None or claimed.status != other.status:
            return Deviation("outside", "status", math.inf)
        said, taken = numbers(claimed), numbers(other)
        apart = [self._of_number(key, name, said.get(name), taken.get(name)) for name in {**said, **taken}]
        # The worst class, and in it the value before other numbers, which are listed behind it.
        return max(apart, key=lambda deviation: CLASSES.index(deviation.kind))

    def of_other_seeds(self, claimed: Records, other: Records) -> tuple[int, int] | None:
        """Tell whether scores are of other seeds: return how many are far off, of how many; None if they are not.

        However near to each other the scores of all seeds are, those of the same seed trained elsewhere are nearer. A
        value is not far off by less than its standard error.
        """
        off = [
            abs(said - taken) > max(FAR * seeds, claimed[key].standard_error or 0.0)
            for key, record in other.items()
            if (taken := record.value) is not None
            and (said := claimed[key].value) is not None
            and (seeds := self.seeds.get(key, {}).get("value", 0.0)) > ROUNDING * self.scales["value"]
        ]
        return (sum(off), len(off)) if sum(off) > most_by_chance(len(off), FAR_OFF) else None

    def _of_number(self, key: str, name: str, claimed: float | None, other: float | None) -> Deviation:
        far, scale = distance(claimed, other), self.scales.get(name, 1.0)
        limits: dict[DeviationClass, float] = {
            "equal": 0.0,
            "rounding": ROUNDING * scale,
            "retraining": self.tolerance * scale,
            "seeds": self.seeds.get(key, {}).get(name, 0.0),
        }
        return Deviation(next((kind for kind, limit in limits.items() if far <= limit), "outside"), name, far)


def settled(deviations: Mapping[str, Deviation]) -> dict[str, Deviation]:
    """Return a metric's deviations, by key: if only other seeds explain more than a few of them, those are outside."""
    off = sum(deviation.kind == "seeds" for deviation in deviations.values())
    if off <= most_by_chance(len(deviations), TAIL):
        return dict(deviations)
    return {
        key: deviation._replace(kind="outside") if deviation.kind == "seeds" else deviation
        for key, deviation in deviations.items()
    }


def most_by_chance(number: int, share: float) -> int:
    """Return how many of a number of scores may be what a share of all are, before chance alone no longer explains it.

    >>> most_by_chance(1, 0.05), most_by_chance(10, 0.05), most_by_chance(200, 0.05)
    (1, 4, 21)
    """
    from scipy.special import bdtrc

    return next((count for count in range(number) if bdtrc(count, number, share) < CHANCE), number)


def of_other_seeds(far: tuple[int, int]) -> str:
    """Return in words that scores are those of other seeds."""
    return (
        f"{far[0]} of {far[1]} scores are as far off as those of other seeds: the networks are not those of these seeds"
    )


def numbers(record: ScoreRecord) -> dict[str, float | None]:
    """Return the numbers of a record that are compared."""
    numbers = {name: getattr(record, name) for name in ("value", "tiebreak", "standard_error")}
    return {**numbers, **record.auxiliary}


def spread(records: Records, name: str = "value") -> float:
    """Return the scale of deviations: the range of the middle 90 % of a metric's scores, or 1 if that is 0."""
    values = [value for record in records.values() if (value := numbers(record).get(name)) is not None]
    low, high = np.quantile(values, [0.05, 0.95]) if values else (0.0, 0.0)
    return float(high - low) or 1.0


def distance(claimed: float | None, other: float | None) -> float:
    """Return the distance of two numbers, which is infinite if only one of them is there.

    >>> distance(1.0, 0.75), distance(None, None), distance(None, 0.0)
    (0.25, 0.0, inf)
    """
    if claimed is None or other is None:
        return 0.0 if claimed is other else math.inf
    return abs(claimed - other)


def seed_ranges(
    records: Records, comparisons: Mapping[str, Comparison], *, symmetric: bool = False
) -> dict[str, dict[str, float]]:
    """Return, per score, how far apart the same comparison of other seeds is: the range of each number over them."""
    alike: dict[Comparison, list[str]] = {}
    for key in records:
        if key in comparisons:
            asked = comparisons[key]
            directions = [asked, Comparison(asked.b, asked.a)] if symmetric else [asked]
            alike.setdefault(min(map(without_seeds, directions), key=repr), []).append(key)
    return {key: _ranges([records[key] for key in keys]) for keys in alike.values() for key in keys}


def _ranges(records: Sequence[ScoreRecord]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for record in records:
        for name, value in numbers(record).items():
            if value is not None:
                values.setdefault(name, []).append(value)
    return {name: max(given) - min(given) for name, given in values.items()}


def without_seeds(comparison: Comparison) -> Comparison:
    """Return the comparison with the seeds of its trained models numbered anew: equal for comparisons that are alike.

    >>> a, b, c = (RepresentationRef(ModelRef("mlp", seed), "block1") for seed in (3, 5, 8))
    >>> without_seeds(Comparison(a, b)) == without_seeds(Comparison(b, c))
    True
    >>> without_seeds(Comparison(a, a)) == without_seeds(Comparison(a, b))
    False
    """
    order: dict[ModelRef, int] = {}
    return Comparison(*(_numbered(side, order) for side in (comparison.a, comparison.b)))


def _numbered(side: RepresentationRef, order: dict[ModelRef, int]) -> RepresentationRef:
    model = side.model
    # A synthetic model is made, not trained: its seed gives the same on every machine.
    if model.generator is None:
        model = replace(model, seed=order.setdefault(model, len(order)), member=None)
    return replace(side, model=model, transform=_seedless(side.transform))


def _seedless(transform: Named | None) -> Named | None:
    if transform is None:
        return None
    return replace(transform, parameters=tuple(pair for pair in transform.parameters if pair[0] != "seed"))


def count_classes(deviations: Iterable[Deviation]) -> dict[DeviationClass, int]:
    """Count deviations by class, all classes in order."""
    kinds = [deviation.kind for deviation in deviations]
    return {kind: kinds.count(kind) for kind in CLASSES}


def counted(counts: Mapping[DeviationClass, int]) -> str:
    """Return counts in words.

    >>> counted({"equal": 3, "rounding": 1, "retraining": 2, "seeds": 0, "outside": 0})
    '3 bit-equal, 1 within rounding, 2 within retraining, 0 within seeds, 0 outside'
    """
    words = {"equal": "bit-equal", "outside": "outside"}
    return ", ".join(f"{counts[kind]} {words.get(kind, f'within {kind}')}" for kind in CLASSES)


@dataclass(frozen=True)
class Turned:
    """A verdict that is another one with the scores that were taken again."""

    metric: str
    test: str
    claimed: Verdict
    other: Verdict

    @property
    def decided(self) -> bool:
        """Tell whether both are decided, so that the difference is no matter of chance."""
        return self.claimed.passed is not None and self.other.passed is not None

    def __str__(self) -> str:
        """Return metric, test, and both verdicts."""
        return f"{self.metric} on {self.test}: {described(self.claimed)}, here {described(self.other)}"


def turned(metric: str, claimed: Mapping[str, Verdict], other: Mapping[str, Verdict]) -> list[Turned]:
    """Return a metric's verdicts, by test, that are other ones."""
    return [
        Turned(metric, test, verdict, other[test])
        for test, verdict in claimed.items()
        if verdict.passed is not other[test].passed
    ]


def described(verdict: Verdict) -> str:
    """Return a verdict in words: whether it passes, with its grade and interval.

    >>> described(Verdict("ok", 0.97, (0.9, 1.0), passed=True))
    'passes with .97 [.9, 1]'
    """
    if verdict.grade is None:
        return verdict.status
    words = {"pass": "passes", "fail": "fails", "partly": "is partly answered"}.get(verdict.outcome, "is undecided")
    numbers = [f"{number:.4g}".removeprefix("0") or "0" for number in (verdict.grade, *(verdict.interval or ()))]
    return f"{words} with {numbers[0]}" + (f" [{numbers[1]}, {numbers[2]}]" if verdict.interval else "")
