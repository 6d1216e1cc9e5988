"""Order, not scale: an index and every increasing function of it get the same grades, intervals and verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.sanity.expressions import BUNDLES, EXPRESSIONS, OF_A_SCALE, increasing, of_bundle, regrade, said_by, through
from tests.sanity.kinds.test_every_kind import CASES, graded_metrics, groups_of, is_shuffled, make, measured

from simbench.metrics.metric import Metric
from simbench.references import Comparison, ModelGroup, Named
from simbench.registry import TEST_KINDS
from simbench.sanity.kinds.identity import Identity
from simbench.sanity.question import Question, Scores, Similarity, give_credit
from simbench.sanity.stats.ties import is_above
from simbench.seeds import seed_for
from simbench.verdicts.verdict import Trial

EXPRESSED = pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
# So few values that many scores are equal.
VALUES = 60


def written_down(kind: str, seed: int) -> Scores:
    """Random scores that know a layer from its shuffled rows, and are right about half of what the kind asks."""

    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        if variable is not None:
            by_index = variable.name == "stitch_in_distribution"
            return Similarity(0.5 + 0.4 * drawn(comparison) if by_index else measured(comparison))
        if comparison.a == comparison.b:
            return Similarity(1.0)
        sound = 1.0 / (1.0 + math.exp(-CASES[kind].sound(comparison)))
        value = 0.5 * drawn(comparison) + 0.5 * sound
        return Similarity(round(VALUES * (0.4 * value if is_shuffled(comparison) else value)) / VALUES)

    def drawn(comparison: Comparison) -> float:
        return (seed_for(of=str(comparison), seed=seed) % 1000) / 1000

    return scores


def subjects(kind: str) -> list[Metric]:
    """Metrics that claim to pair inputs, symmetric ones and directed ones, promising all that can be promised."""
    declared: dict[str, Any] = {
        "pairs_inputs": True,
        "invariant_to": frozenset({"affine"}),
        "value_range": (-math.inf, math.inf),
    }
    return [replace(m, symmetric=symmetric, **declared) for m in graded_metrics(kind) for symmetric in (True, False)]


@EXPRESSED
@pytest.mark.parametrize("kind", [kind for kind in TEST_KINDS.names() if kind not in OF_A_SCALE])
def test_how_an_index_is_expressed_changes_no_verdict(
    kind: str, expression: Callable[[float], float], group: ModelGroup
) -> None:
    groups, test = groups_of(kind, group), make(kind)
    expressed = increasing(expression, [1.0, *(number / VALUES for number in range(VALUES + 1))])
    for metric in subjects(kind):
        for seed in range(3):
            scores = written_down(kind, seed)
            verdict = test.grade(groups, metric, scores)
            assert verdict.status == "ok"
            assert said_by(test.grade(groups, metric, through(expressed, scores))) == said_by(verdict)


def _difference(own: Comparison, other: Comparison, scores: Scores) -> Trial:
    return give_credit(scores(own).value - scores(other).value)


@EXPRESSED
def test_credit_by_differences_of_scores_is_found_out(expression: Callable[[float], float], group: ModelGroup) -> None:
    class ByScale(Identity):
        def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
            for question in super().questions(groups, metric):
                own, other, *_ = question.comparisons
                yield replace(question, ask=partial(_difference, own, other))

    test, metric = ByScale(id="t", kind="identity", models=["net"]), subjects("identity")[0]
    scores = written_down("identity", 0)
    expressed = increasing(expression, [1.0, *(number / VALUES for number in range(VALUES + 1))])
    one, other = (test.grade([group], metric, looked_up) for looked_up in (scores, through(expressed, scores)))
    assert said_by(one) != said_by(other)


@EXPRESSED
def test_expressions_increase_by_more_than_rounding_where_values_do(expression: Callable[[float], float]) -> None:
    values = [-7.0, -1e-3, 1e-15, *(1.0 + number * 1e-11 for number in range(10_000))]
    expressed = increasing(expression, [*values, 1.0 + 2.0**-52])
    assert all(is_above(expressed[more], expressed[less]) for less, more in pairwise(values))
    assert expressed[1.0 + 2.0**-52] == expressed[1.0]


@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES, ids=[bundle.parent.name for bundle in BUNDLES])
def test_how_an_index_is_expressed_changes_no_verdict_of_a_published_board(bundle: Path) -> None:
    assert [one for one in regrade(*of_bundle(bundle)) if not one.same] == []
