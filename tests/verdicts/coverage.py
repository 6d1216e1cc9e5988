"""Simulate how often the 95 % intervals of verdicts cover the truth.

`python -m tests.verdicts.coverage [repetitions [kind …]]` prints the table of docs/decisions/intervals.md.

Models are drawn, their answers are drawn, and the interval is that of the package. The truth is the grade of very many
models. What answers about one model have in common is the intraclass correlation: 0, half of what a kind borrows, all
of it, and more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simbench.board.comparison import difference_interval
from simbench.sanity.kinds.group_separation import ACROSS, WITHIN, GroupSeparation
from simbench.sanity.stats.statistic import CorrelationTest
from simbench.verdicts.jackknife import Interval
from simbench.verdicts.verdict import MODEL_CORRELATION, Tally, Trial, Verdict, interval_of_mean

Random = np.random.Generator
Floats = NDArray[np.float64]
MODELS = (3, 5, 10, 20)
TRUTHS = (0.05, 0.3, 0.6, 0.8, 0.9, 0.95, 0.99)
# What answers about one model have in common, in multiples of what the kind borrows.
BORROWED, BEYOND = (0.0, 0.5, 1.0), (2.0,)


class Cell(NamedTuple):
    """Share of repetitions whose interval covered the truth, and the mean width of the intervals."""

    covered: float
    width: float


def cell(truth: float, intervals: Sequence[Interval]) -> Cell:
    """Count how many intervals cover the truth, up to rounding."""
    ends = np.array(intervals)
    covered = (ends[:, 0] <= truth + 1e-9) & (truth - 1e-9 <= ends[:, 1])
    return Cell(float(covered.mean()), float((ends[:, 1] - ends[:, 0]).mean()))


def each(models: int) -> list[tuple[int, ...]]:
    """List the models, each by itself."""
    return [(model,) for model in range(models)]


def ring(models: int) -> list[tuple[int, ...]]:
    """List the pairs of neighbouring models."""
    return [(model, (model + 1) % models) for model in range(models)]


def pairs(models: int) -> list[tuple[int, ...]]:
    """List all pairs of models."""
    return list(combinations(range(models), 2))


def abilities(groups: Sequence[tuple[int, ...]], truth: float, correlation: float, random: Random) -> Floats:
    """Draw how many of the questions about each group of models hold: the mean of what each of its models does.

    Models are beta-distributed. `correlation` is that of two answers about the same group.
    """
    models, size = 1 + max(model for group in groups for model in group), len(groups[0])
    own = min(0.98, size * correlation)
    quality = np.full(models, truth)
    if own > 0:
        quality = random.beta(truth * (1 - own) / own, (1 - truth) * (1 - own) / own, size=models)
    return np.array([quality[list(group)].mean() for group in groups])


def tallies(groups: Sequence[tuple[int, ...]], credit: Floats, asked: int) -> tuple[Tally, ...]:
    """Return the credits of each group of models as tallies."""
    return tuple(
        Tally(tuple(f"net/{model}" for model in group), float(one), asked)
        for group, one in zip(groups, credit, strict=True)
    )


def graded(answers: tuple[Tally, ...], borrowed: float) -> Verdict:
    """Return a mean of credits with its interval."""
    grade = sum(one.credit for one in answers) / sum(one.asked for one in answers)
    return Verdict("ok", grade, interval_of_mean(grade, answers, borrowed), tallies=answers)


def of_share(
    groups: Sequence[tuple[int, ...]], asked: int, truth: float, correlation: float, borrowed: float, random: Random
) -> Interval:
    """Draw the interval of a share of yes/no questions."""
    correct = random.binomial(asked, abilities(groups, truth, correlation, random)).astype(float)
    interval = graded(tallies(groups, correct, asked), borrowed).interval
    assert interval is not None
    return interval


def of_credits(
    groups: Sequence[tuple[int, ...]], asked: int, truth: float, correlation: float, borrowed: float, random: Random
) -> Interval:
    """Draw the interval of a mean of partial credits, each the share of three parts that were right."""
    correct = random.binomial(3 * asked, abilities(groups, truth, correlation, random)) / 3
    interval = graded(tallies(groups, correct, asked), borrowed).interval
    assert interval is not None
    return interval


def of_difference(
    groups: Sequence[tuple[int, ...]], asked: int, truth: float, correlation: float, borrowed: float, random: Random
) -> Interval:
    """Draw the interval of the difference of two metrics on the same models, the second half as often wrong."""
    quality = abilities(groups, truth, correlation, random)
    of_both = [random.binomial(asked, one).astype(float) for one in (quality, (1 + quality) / 2)]
    first, second = (graded(tallies(groups, one, asked), borrowed) for one in of_both)
    interval = difference_interval(first, second, borrowed)
    assert interval is not None
    return interval


class PairCorrelation(CorrelationTest):
    """The rank correlation over all pairs of models."""

    def questions(self, groups: object, metric: object) -> Iterator[object]:  # type: ignore[override]
        """Ask nothing."""
        return iter(())

    def figures(self, trials: Sequence[Trial]) -> dict[str, float]:
        """Compute nothing but the grade."""
        return {}


class Separation(GroupSeparation):
    """The separation of groups, without its p-value."""

    def figures(self, trials: Sequence[Trial]) -> dict[str, float]:
        """Compute nothing but the grade."""
        return {}


CORRELATION = PairCorrelation(id="t", kind="output_correlation", models=["net"])
SEPARATION = Separation(id="t", kind="group_separation", models=["a", "b", "c"])


def distances(places: Floats) -> Floats:
    """Return the distances of all points."""
    return np.linalg.norm(places[:, None] - places[None], axis=2)


def seen_pairs(models: int, noise: float, random: Random) -> list[Trial]:
    """Observe all pairs of models by an index that sees each model in another place than it is, by `noise`."""
    places = random.normal(size=(models, 3))
    seen, true = distances(places + noise * random.normal(size=places.shape)), distances(places)
    return [
        Trial("", (f"net/{a}", f"net/{b}"), None, -float(seen[a, b]), at=float(true[a, b]))
        for a, b in combinations(range(models), 2)
    ]


def seen_groups(models: int, separation: float, random: Random) -> list[Trial]:
    """Observe the pairs of three groups of models, so far from each other."""
    places = np.concatenate([centre + random.normal(size=(models, 3)) for centre in separation * np.eye(3)])
    apart, names = distances(places), [f"{group}/{model}" for group in "abc" for model in range(models)]
    trials = []
    for group in "abc":
        own = [place for place, name in enumerate(names) if name.startswith(group)]
        others = [place for place in range(len(names)) if place not in own]
        for line, compared in ((WITHIN, combinations(own, 2)), (ACROSS, product(own, others))):
            trials += [
                Trial("", (names[a], names[b]), None, -float(apart[a, b]), group, at=float(line == WITHIN), line=line)
                for a, b in compared
            ]
    return trials


@cache
def expected_correlation(noise: float) -> float:
    """Return the rank correlation of many models."""
    random = np.random.default_rng(1)
    return float(np.mean([CORRELATION.statistic(seen_pairs(80, noise, random)) for _ in range(12)]))


@cache
def expected_separation(models: int, separation: float) -> float:
    """Return the mean separation of groups of so many models."""
    random = np.random.default_rng(1)
    return float(np.mean([SEPARATION.statistic(seen_groups(models, separation, random)) for _ in range(400)]))


def of_statistic(test: CorrelationTest | GroupSeparation, trials: Sequence[Trial]) -> Interval:
    """Return the interval of a statistic, which is clipped to [0, 1] as its grade is."""
    interval = test.judge(trials).interval
    assert interval is not None
    return interval


Draw = Callable[[Sequence[tuple[int, ...]], int, float, float, float, Random], Interval]
MEANS: dict[str, tuple[Draw, Callable[[int], list[tuple[int, ...]]], tuple[int, ...]]] = {
    "share, each model": (of_share, each, (4, 20)),
    "share, ring of pairs": (of_share, ring, (4, 20)),
    "share, all pairs": (of_share, pairs, (1, 6)),
    "mean of credits": (of_credits, each, (4, 20)),
    "difference, each model": (of_difference, each, (4, 20)),
    "difference, all pairs": (of_difference, pairs, (1, 6)),
}
STATISTICS = {
    "rank correlation, all pairs": (30.0, 2.0, 0.8, 0.4, 0.1),
    "separation of three groups": (0.8, 1.5, 2.5, 3.2, 4.0),
}


def mean_cell(
    kind: str,
    models: int,
    truth: float,
    times: float,
    asked: int,
    repetitions: int,
    borrowed: float = MODEL_CORRELATION,
) -> Cell:
    """Simulate a mean of credits, or the difference of two, whose answers correlate by `times` what is borrowed."""
    draw, grouping, _ = MEANS[kind]
    random, groups = np.random.default_rng(0), grouping(models)
    intervals = [draw(groups, asked, truth, times * borrowed, borrowed, random) for _ in range(repetitions)]
    return cell((1 - truth) / 2 if draw is of_difference else truth, intervals)


def statistic_cell(kind: str, models: int, setting: float, repetitions: int) -> Cell:
    """Simulate a rank correlation over all pairs, or the separation of three groups of so many models."""
    random = np.random.default_rng(0)
    if kind.startswith("rank correlation"):
        drawn = [of_statistic(CORRELATION, seen_pairs(models, setting, random)) for _ in range(repetitions)]
        return cell(expected_correlation(setting), drawn)
    drawn = [of_statistic(SEPARATION, seen_groups(models, setting, random)) for _ in range(repetitions)]
    return cell(max(0.0, expected_separation(models, setting)), drawn)


def table(repetitions: int, kinds: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a Markdown table: per kind and number of models the least coverage and the mean width."""
    yield f"| least coverage (mean width) | {' | '.join(f'{models} models' for models in MODELS)} |"
    yield "| --- |" + " --- |" * len(MODELS)
    for kind in kinds:
        if kind in STATISTICS:
            row = [[statistic_cell(kind, models, one, repetitions) for one in STATISTICS[kind]] for models in MODELS]
            yield _line(kind, row)
            continue
        for label, multiples in (("", BORROWED), *((f", {times:g} ρ", (times,)) for times in BEYOND)):
            settings = list(product(TRUTHS, multiples, MEANS[kind][2]))
            yield _line(
                kind + label, [[mean_cell(kind, models, *one, repetitions) for one in settings] for models in MODELS]
            )


def _line(label: str, row: Sequence[Sequence[Cell]]) -> str:
    texts = (f"{min(one.covered for one in cells):.3f} ({np.mean([one.width for one in cells]):.2f})" for cells in row)
    return f"| {label} | {' | '.join(texts)} |"


if __name__ == "__main__":
    for line in table(int((sys.argv[1:] or ["1000"])[0]), sys.argv[2:] or [*MEANS, *STATISTICS]):
        print(line, flush=True)
