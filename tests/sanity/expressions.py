"""Expressions of an index: strictly increasing functions of it, which order all pairs as it does.

`python -m tests.sanity.expressions` regrades the published boards under each of them, and prints what changed;
`python -m tests.sanity.expressions STORE SUITE …` does so for suites by the scores of a store.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from simbench.bundles.archive import read_files
from simbench.bundles.contents import parse
from simbench.bundles.pack import recorded_plan
from simbench.grading import lookup, stored_records
from simbench.metrics.metric import Metric
from simbench.plan.plan import Plan, make_plan
from simbench.plan.suite_metrics import gather_metrics
from simbench.references import Comparison, Named
from simbench.results.record import ScoreRecord
from simbench.results.store import Store
from simbench.sanity.question import Scores, Similarity
from simbench.sanity.stats.ties import is_above
from simbench.suite.load import load_suite
from simbench.verdicts.verdict import Verdict

BUNDLES = sorted((Path(__file__).parents[2] / "leaderboard").glob("*/bundle.zip"))
# Of similarities in (0, 1).
EXPRESSIONS: dict[str, Callable[[float], float]] = {
    "s^3": lambda s: s**3,
    "1 - (1 - s)^8": lambda s: 1 - (1 - s) ** 8,
    "artanh s": math.atanh,
    "-log(1 - s)": lambda s: -math.log1p(-s),
}
# Theorems on distances as they are expressed: what these tests ask changes with the expression, and they say so.
OF_A_SCALE = {"upper_bound"}
COLUMNS_OF_A_SCALE = {"range", "triangle"}
GRADED = ("pass", "fail", "undecided", "partly")


def increasing(expression: Callable[[float], float], values: Iterable[float]) -> dict[float, float]:
    """Express values, of whatever range, which are first spread evenly: so that rounding makes none of them equal."""
    ordered = sorted(set(values))
    ranks, rank = [], -1
    for position, value in enumerate(ordered):
        rank += position == 0 or is_above(value, ordered[position - 1])
        ranks.append(rank)
    return {
        value: expression(0.05 + 0.85 * rank / max(1, ranks[-1])) for value, rank in zip(ordered, ranks, strict=True)
    }


def through(expressed: Mapping[float, float], scores: Scores) -> Scores:
    """Return the look-up of an index as it is expressed; reference variables stay as they were measured."""

    def look_up(comparison: Comparison, variable: Named | None = None) -> Similarity:
        score = scores(comparison, variable)
        return score if variable is not None else score._replace(value=expressed[score.value])

    return look_up


class Said(NamedTuple):
    """What a verdict says, without the figures beside it."""

    verdict: tuple[object, ...]
    answers: tuple[tuple[object, ...], ...]
    columns: tuple[tuple[str, Said], ...]


def said_by(verdict: Verdict) -> Said:
    """Return what a verdict says but for columns of a scale, and for the whole that is made of these."""
    facts = (verdict.status, verdict.grade, verdict.interval, verdict.outcome, verdict.owed, verdict.reason)
    answers = tuple((trial.where, trial.column, trial.held, trial.partial_credit) for trial in verdict.trials)
    parts = ((name, said_by(part)) for name, part in verdict.columns.items() if name not in COLUMNS_OF_A_SCALE)
    if not COLUMNS_OF_A_SCALE.isdisjoint(verdict.columns):
        return Said((), (), tuple(parts))
    return Said(facts, answers if verdict.statistic is None else (), tuple(parts))


class Regraded(NamedTuple):
    """A test of a board under an expression of a metric."""

    kind: str
    metric: str
    expression: str
    outcome: str
    same: bool


Records = Mapping[str, Mapping[str, ScoreRecord]]


def of_bundle(bundle: Path) -> tuple[Plan, Records]:
    """Return the plan and the scores of a published board."""
    contents = parse(read_files(bundle))
    records = {label: {record.key: record for record in kept} for label, kept in contents.scores.items()}
    return recorded_plan(contents.suite, contents.metrics), records


def of_store(suite: str, store: Store) -> tuple[Plan, Records]:
    """Return the plan of a suite, and what of its scores is in a store."""
    loaded = load_suite(suite)
    plan = make_plan(loaded, gather_metrics(loaded))
    return plan, stored_records(plan, store)


def regrade(plan: Plan, records: Records) -> Iterator[Regraded]:
    """Grade every test by the scores that there are, as they are and under every expression."""
    for planned in plan.board:
        yield from _regrade_metric(plan, planned.metric, records)


def _regrade_metric(plan: Plan, metric: Metric, records: Mapping[str, Mapping[str, ScoreRecord]]) -> Iterator[Regraded]:
    scores = lookup(plan, metric, records)
    values = [metric.similarity(r.value) for r in records[metric.label].values() if r.value is not None]
    tables = {name: increasing(expression, values) for name, expression in EXPRESSIONS.items()}
    for test in plan.tests:
        if test.kind in OF_A_SCALE:
            continue
        groups = plan.groups_of(test)
        plain = test.grade(groups, metric, scores)
        for name, table in tables.items():
            again = test.grade(groups, metric, through(table, scores))
            same = said_by(plain) == said_by(again)
            yield Regraded(test.kind, metric.label, name, plain.outcome, same)


def main(names: Sequence[str]) -> int:
    """Print, per suite and kind, how many verdicts there are and which an expression changed; count the latter.

    The suites are those of published boards; or, after `STORE`, any, by what a store has of their scores.
    """
    if names:
        store = Store(Path(names[0]))
        boards = ((name, of_store(name, store)) for name in names[1:])
    else:
        boards = ((bundle.parent.name, of_bundle(bundle)) for bundle in BUNDLES)
    changed = 0
    print(f"{'suite':22} {'kind':26} metrics  graded  changed")
    for suite, (plan, records) in boards:
        regraded = list(regrade(plan, records))
        for kind in dict.fromkeys(one.kind for one in regraded):
            own = [one for one in regraded if one.kind == kind]
            different = [one for one in own if not one.same]
            changed += len(different)
            metrics, graded = {one.metric for one in own}, {one.metric for one in own if one.outcome in GRADED}
            print(f"{suite:22} {kind:26} {len(metrics):7} {len(graded):7} {len(different):8}")
            for name, number in Counter(f"{one.metric} as {one.expression}" for one in different).most_common(5):
                print(f"{'':22}   {name}: {number}")
    return changed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
