"""Whom a test asks, and what it owes: heavy metrics that are spared, kinds that ask nothing of heads."""

from __future__ import annotations

from dataclasses import replace

from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup, Named
from simbench.sanity.kind import SPARED
from simbench.sanity.kinds.correspondence import Correspondence
from simbench.sanity.kinds.identity import Identity
from simbench.sanity.question import Similarity


def no_scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
    raise AssertionError("nothing was asked")


HEAVY = replace(AT_LAYERS, cost="heavy")


def test_a_heavy_metric_is_spared_where_the_suite_says_so(group: ModelGroup) -> None:
    test = Identity(id="t", kind="identity", models=["net"], heavy=False)
    assert test.expand([group], HEAVY) == ()
    verdict = test.grade([group], HEAVY, no_scores)
    assert (verdict.status, verdict.reason, verdict.owed) == ("skip", SPARED, "required")
    assert test.expand([group], AT_LAYERS)


def test_heads_do_not_owe_what_is_asked_of_layers_only(group: ModelGroup) -> None:
    test = Correspondence(id="t", kind="correspondence", models=["net"])
    verdict = test.grade([group], AT_HEAD, no_scores)
    assert (verdict.status, verdict.owed) == ("skip", "not promised")


def test_a_test_is_not_owed_by_metrics_of_other_purposes(group: ModelGroup) -> None:
    test = Identity(id="t", kind="identity", models=["net"], purposes=["dynamics"])
    assert test.owed(AT_LAYERS, None) == "not promised"
    assert test.owed(replace(AT_LAYERS, purposes=frozenset({"dynamics"})), None) == "required"
