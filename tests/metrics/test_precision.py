"""Every metric of numbers stored in few digits against the same numbers in float64, whatever means and spreads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from simbench.metrics.metric import Score
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

ON_MATRICES = [name for name, metric in METRICS if not metric.needs]
# Which take seconds for 500 rows.
SLOW = {"gromov_wasserstein", "soft_matching", "rtd", "geometry_score"}
# Metrics that ask which directions, or which units, are more than rounding, and are quick for many rows.
BY_RANK = [
    *("cca", "cca_squared", "svcca", "pwcca", "subspace_angles", "eigenspace_overlap", "shape_linear", "gulp"),
    *("decoding_similarity", "linear_regression", "linear_predictivity", "spectral_subspace", "subspace_match"),
    *("match_semi", "match_bipartite", "cka", "nbs", "procrustes", "aligned_cosine", "tucker_congruence", "ensd"),
]
# Means in units of the spread, the factor from the widest to the narrowest direction as a power of 10, and a factor of
# one column beside the others.
FORMS = {
    "centred": (0.0, 0.5, 1.0),
    "means of three spreads": (3.0, 1.0, 1.0),
    "means of ten spreads": (10.0, 0.5, 1.0),
    "one large column": (0.0, 1.0, 1000.0),
}
HALF = (torch.bfloat16, torch.float16)


def sides(rows: int, form: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return two related representations of full rank, (rows, 12) and (rows, 9), float64."""
    offset, decades, factor = FORMS[form]
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x = draw(rows, 12) * torch.logspace(0, -decades, 12, dtype=torch.float64) @ torch.linalg.qr(draw(12, 12)).Q
    y = x @ torch.linalg.qr(draw(12, 12)).Q[:, :9] + 0.3 * float(x.std()) * draw(rows, 9)
    for side in (x, y):
        side += offset * float(x.std())
        side[:, 0] *= factor
    return x, y


def scored(name: str, x: Tensor, y: Tensor) -> Score:
    return score_pairs(METRICS.get(name), [Representation(x), Representation(y)], [(0, 1)])[0]


def check_that_storing_changes_nothing(name: str, x: Tensor, y: Tensor) -> None:
    stored, exact = scored(name, x, y), scored(name, x.double(), y.double())
    assert (stored.status, stored.reason) == (exact.status, exact.reason)
    if exact.value is not None:
        assert stored.value == pytest.approx(exact.value, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
@pytest.mark.parametrize("rows", [20, 60])
@pytest.mark.parametrize("name", ON_MATRICES)
def test_few_rows_give_the_value_of_the_stored_numbers(name: str, rows: int, dtype: torch.dtype, form: str) -> None:
    x, y = (side.to(dtype) for side in sides(rows, form))
    check_that_storing_changes_nothing(name, x, y)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [500, *(pytest.param(rows, marks=pytest.mark.slow) for rows in (20_000, 100_000))])
@pytest.mark.parametrize("name", BY_RANK)
def test_many_rows_give_the_value_of_the_stored_numbers(name: str, rows: int, form: str) -> None:
    for dtype in (torch.float32, *HALF):
        x, y = (side.to(dtype) for side in sides(rows, form))
        check_that_storing_changes_nothing(name, x, y)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [name for name in ON_MATRICES if name not in SLOW])
def test_hundreds_of_rows_give_the_value_of_the_stored_numbers(name: str, form: str) -> None:
    for dtype in (torch.float32, *HALF):
        x, y = (side.to(dtype) for side in sides(500, form))
        check_that_storing_changes_nothing(name, x, y)


@pytest.mark.parametrize("rows", [40, 4000])
@pytest.mark.parametrize("name", ["cca", "pwcca", "linear_regression", "eigenspace_overlap", "subspace_match"])
def test_two_sides_with_one_column_space_of_low_rank_are_alike_in_any_precision(name: str, rows: int) -> None:
    """Rank 5 in 32 and 24 units: stored in few digits, the other directions are only rounding errors."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(rows, 5, generator=generator, dtype=torch.float64)
    x, y = (latents @ torch.randn(5, width, generator=generator, dtype=torch.float64) for width in (32, 24))
    for dtype in (torch.float64, torch.float32, *HALF):
        assert scored(name, x.to(dtype), y.to(dtype)).value == pytest.approx(1, abs=1e-4), dtype


@pytest.mark.parametrize("name", ["cca", "linear_regression", "subspace_angles", "gulp", "linear_predictivity"])
@pytest.mark.parametrize("dtype", HALF)
def test_numbers_that_vary_by_rounding_alone_are_a_skip_with_its_reason(name: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    flat = (3000 + torch.randn(200, 6, generator=generator)).to(dtype)
    other = torch.randn(200, 6, generator=generator).to(dtype)
    score = scored(name, flat, other)
    assert (score.status, score.value) == ("skip", None)
    assert "within the rounding errors" in score.reason


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALF])
def test_units_of_rounding_errors_alone_do_not_make_others_match(dtype: torch.dtype) -> None:
    """Rank 5 in 60 units against 40 unrelated ones; and beside them one unit with a single smallest number."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100, 5, generator=generator, dtype=torch.float64)
    x = x @ torch.randn(5, 60, generator=generator, dtype=torch.float64)
    y = torch.randn(100, 40, generator=generator, dtype=torch.float64)
    exact = scored("subspace_match_auc", x, y).value
    assert scored("subspace_match_auc", x.to(dtype), y.to(dtype)).value == pytest.approx(exact, abs=1e-3)
    speck = torch.zeros(100, 1, dtype=dtype)
    speck[3] = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    beside = torch.cat([x.to(dtype), speck], dim=1)
    assert scored("subspace_match_auc", beside, y.to(dtype)).value == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("name", ["linear_regression", "linear_predictivity", "riemannian", "cca", "gulp"])
@pytest.mark.parametrize("dtype", HALF)
def test_the_plain_function_and_the_batched_one_leave_out_the_same(name: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, generator=generator).to(dtype)
    y = torch.cat([x, (3000 + 6 * torch.randn(400, 5, generator=generator)).to(dtype)], dim=1)
    plain = METRICS.get(name).function(x, y)
    assert scored(name, x, y).value == pytest.approx(float(getattr(plain, "value", plain)), rel=1e-6)


@pytest.mark.parametrize("factor", [1.0, 1e3, 1e5])
def test_one_large_column_leaves_the_others_their_say_in_ridge_regression(factor: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 6, generator=generator, dtype=torch.float64)
    y = x + torch.randn(2000, 6, generator=generator, dtype=torch.float64)
    x[:, 0] *= factor
    assert scored("linear_predictivity", x, y).value == pytest.approx(0.5, abs=0.02)
