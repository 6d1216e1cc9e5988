"""An index whose scale is known, and its grades by test kinds that measure by the scale."""

from __future__ import annotations

from typing import Any

from tests.sanity.kinds.subjects import AT_LAYERS

from simbench.references import Comparison, ModelGroup
from simbench.registry import TEST_KINDS
from simbench.sanity.kind import SanityTest
from simbench.sanity.question import Similarity

SELF, UNRELATED = 0.9, 0.5


def make(kind: str, **keys: Any) -> SanityTest:
    test = TEST_KINDS.get(kind).model_validate({"id": "t", "kind": kind, "models": ["net"], **keys})
    assert isinstance(test, SanityTest)
    return test


def changed_by(comparison: Comparison, name: str) -> bool:
    return any(side.transform is not None and side.transform.name == name for side in (comparison.a, comparison.b))


def graded(test: SanityTest, group: ModelGroup, **values: float) -> float:
    """The grade of an index: 0.9 on itself, 0.5 on shuffled copies, and `values` by transform or place."""

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        for name, value in values.items():
            if changed_by(comparison, name):
                return Similarity(value)
        if changed_by(comparison, "row_shuffle"):
            return Similarity(UNRELATED)
        if comparison.a.layer != comparison.b.layer:
            return Similarity(values.get("far", SELF))
        return Similarity(SELF if comparison.a.model == comparison.b.model else values.get("other", 0.8))

    grade = test.grade([group], AT_LAYERS, scores).grade
    assert grade is not None
    return grade
