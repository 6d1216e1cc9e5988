"""noise_null: credit is what of the scale noise loses."""

from __future__ import annotations

import numpy as np
import pytest
from tests.sanity.kinds.scales import SELF, UNRELATED, changed_by, graded, make
from tests.sanity.kinds.subjects import AT_LAYERS

from simbench.references import Comparison, ModelGroup
from simbench.sanity.kind import Similarity
from simbench.seeds import seed_for


@pytest.mark.parametrize(("noise", "credit"), [(0.5, 1.0), (0.3, 1.0), (0.6, 0.75), (0.9, 0.0)])
def test_noise_null_gives_credit_for_what_is_as_good_as_unrelated(
    noise: float, credit: float, group: ModelGroup
) -> None:
    test = make("noise_null", noises=["iid_noise", "class_noise"])
    assert graded(test, group, iid_noise=noise, class_noise=UNRELATED) == pytest.approx((credit + 1.0) / 2)


def test_noise_null_has_a_column_per_noise(group: ModelGroup) -> None:
    verdict = make("noise_null").grade(
        [group],
        AT_LAYERS,
        lambda c: Similarity(float(not changed_by(c, "row_shuffle") and not changed_by(c, "iid_noise"))),
    )
    assert {name: column.grade for name, column in verdict.columns.items()} == {
        "iid_noise": 1.0,
        "row_shuffle": 1.0,
        "class_noise": 0.0,
    }


@pytest.mark.parametrize("spread", [0.0, 0.2, 0.4])
def test_noise_null_finds_an_index_whose_value_for_shuffled_rows_varies_from_draw_to_draw(
    spread: float, group: ModelGroup
) -> None:
    draws: dict[Comparison, float] = {}

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        if not changed_by(comparison, "row_shuffle"):
            return Similarity(SELF)
        noise = np.random.default_rng(seed_for(of=str(comparison))).uniform(-spread, spread)
        return Similarity(draws.setdefault(comparison, UNRELATED + noise))

    verdict = make("noise_null", noises=["row_shuffle"]).grade([group], AT_LAYERS, scores)
    assert len(draws) == 2 * 4 * 5  # per model and layer: the noise, and the shuffled copy that it is measured by
    lost = spread / 4 / (SELF - UNRELATED)  # in the mean: what of a uniform draw is above its median
    assert verdict.grade == pytest.approx(1 - lost, abs=0.05 if spread else 1e-9)
