"""The scale of an index: its own value less that for shuffled rows."""

from __future__ import annotations

import pytest

from simbench.references import Comparison, ModelGroup, RepresentationRef
from simbench.sanity.question import Similarity
from simbench.sanity.stats.pairing import shuffled
from simbench.sanity.stats.scale import scale_of


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_scale_has_a_sign_and_is_0_where_it_is_rounding(unit: float, group: ModelGroup) -> None:
    a = RepresentationRef(group.models[0], "block1")
    own, copy = Comparison(a, a), shuffled(a)

    def scale(of_own: float, of_copy: float) -> float:
        return scale_of(lambda c, variable=None: Similarity(unit * (of_own if c == own else of_copy)), own, [copy])

    assert scale(0.9, 0.5) == pytest.approx(0.4 * unit)
    assert scale(0.5, 0.9) == pytest.approx(-0.4 * unit)
    assert scale(0.9, 0.9 + 1e-8) == scale(0.9 + 1e-8, 0.9) == 0.0
