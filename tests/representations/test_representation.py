"""The matrix of a representation under each spatial rule, and representations brought as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from simbench.representations.representation import Representation, SpatialRule, relative_positions

Make = Callable[..., Representation]


def under(representation: Representation, mode: str, rows: int | None = None) -> Representation:
    return replace(representation, spatial=SpatialRule(mode, rows))  # type: ignore[arg-type]


def coordinates(inputs: int, *grid: int) -> Tensor:
    """Activations `(inputs, 1 + axes, *grid)` that say which input and which relative place they come from."""
    axes = [(torch.arange(size, dtype=torch.float64) + 0.5) / size for size in grid]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    number = torch.arange(inputs, dtype=torch.float64).reshape(-1, *[1] * (len(grid) + 1)).expand(-1, 1, *grid)
    return torch.cat([number, place.expand(inputs, *place.shape)], dim=1)


@pytest.mark.parametrize("mode", ["positions", "pool", "flatten"])
def test_a_vector_is_its_own_matrix_under_every_rule(mode: str, make: Make) -> None:
    representation = make("vector")
    assert torch.equal(under(representation, mode, 100).matrix, representation.activations)


@pytest.mark.parametrize(
    ("shape", "columns"), [("sequence", 40), ("image", 120), ("tokens", 35), ("channels last", 120)]
)
def test_flatten_has_a_column_per_feature_and_position(shape: str, columns: int, make: Make) -> None:
    matrix = under(make(shape), "flatten").matrix
    assert matrix.shape == (12, columns)
    assert torch.equal(matrix.sort().values, make(shape).activations.flatten(1).sort().values)


@pytest.mark.parametrize("shape", ["sequence", "image", "tokens", "channels last"])
def test_pool_is_the_mean_over_positions(shape: str, make: Make) -> None:
    representation = make(shape)
    positions = tuple(axis for axis in range(1, representation.activations.ndim) if axis != representation.feature_axis)
    torch.testing.assert_close(under(representation, "pool").matrix, representation.activations.mean(dim=positions))


@pytest.mark.parametrize("shape", ["sequence", "image", "tokens", "channels last"])
@pytest.mark.parametrize(("rows", "expected"), [(None, 12), (12, 12), (40, 36), (5, 12)])
def test_positions_gives_as_many_rows_per_input_as_fit_into_the_number_asked_for(
    shape: str, rows: int | None, expected: int, make: Make
) -> None:
    assert under(make(shape), "positions", rows).matrix.shape == (expected, 5)


@pytest.mark.parametrize("shape", ["sequence", "image", "tokens", "channels last"])
def test_each_row_is_one_position_of_its_input(shape: str, make: Make) -> None:
    representation = under(make(shape), "positions", 36)
    per_input = representation.matrix.reshape(12, 3, 5)
    positions = representation.activations.movedim(representation.feature_axis, -1).flatten(1, -2)
    for chosen, available in zip(per_input, positions, strict=True):
        assert all((available == row).all(dim=1).any() for row in chosen)


@pytest.mark.parametrize("grids", [((8,), (3,)), ((8, 6), (4, 3)), ((8, 6), (1, 1)), ((5, 5), (7, 3))])
def test_rows_of_layers_of_different_size_correspond(grids: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    large, small = (
        Representation(coordinates(20, *grid), "channels_first", spatial=SpatialRule("positions", 200)).matrix
        for grid in grids
    )
    assert torch.equal(large[:, 0], small[:, 0])
    for axis in range(len(grids[0])):
        # The same relative place, each within half a cell of its own grid.
        tolerance = 0.5 / grids[0][axis] + 0.5 / grids[1][axis]
        assert (large[:, axis + 1] - small[:, axis + 1]).abs().max() <= tolerance + 1e-9


def test_layers_of_one_size_are_read_at_the_same_positions() -> None:
    one = Representation(coordinates(20, 8, 6), "channels_first", spatial=SpatialRule("positions", 100))
    other = Representation(10 * coordinates(20, 8, 6), "channels_first", spatial=SpatialRule("positions", 100))
    assert torch.equal(10 * one.matrix, other.matrix)


def test_all_positions_are_reached() -> None:
    matrix = Representation(coordinates(200, 4, 4), "channels_first", spatial=SpatialRule("positions", 2000)).matrix
    assert len(matrix[:, 1:].unique(dim=0)) == 16


def test_positions_are_the_same_every_time_and_leave_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    assert torch.equal(relative_positions(10, 2, 100), relative_positions(10, 2, 100))
    assert torch.equal(before, torch.random.get_rng_state())


def test_positions_lie_in_the_unit_interval() -> None:
    positions = relative_positions(1000, 2, 5000)
    assert positions.shape == (1000, 5, 2)
    assert 0 <= positions.min() < 0.01
    assert 0.99 < positions.max() < 1


def test_a_matrix_keeps_the_dtype_of_the_activations(make: Make) -> None:
    for mode in ("positions", "pool", "flatten"):
        assert under(make("image", dtype=torch.float32), mode).matrix.dtype == torch.float32


def test_the_matrix_follows_the_activations(make: Make) -> None:
    representation = make("vector")
    assert representation.matrix.shape == (12, 5)
    changed = representation.with_activations(torch.zeros(4, 2))
    assert torch.equal(changed.matrix, torch.zeros(4, 2))


@pytest.mark.parametrize(
    ("shape", "layout", "axis"),
    [((6,), "vector", 1), ((6, 3), "vector", 1), ((6, 4, 3), "tokens", 2), ((6, 3, 4, 5), "channels_first", 1)],
)
def test_the_axes_of_an_array_say_its_layout(shape: tuple[int, ...], layout: str, axis: int) -> None:
    for array in (np.ones(shape), torch.ones(shape), np.ones(shape).tolist()):
        representation = Representation.from_array(array, "x")
        assert (representation.layout, representation.feature_axis) == (layout, axis)
        assert representation.features == (1 if len(shape) == 1 else 3)


@pytest.mark.parametrize("bad", [np.ones((2, 2, 2, 2, 2)), np.float64(1.0), np.ones((3, 3), dtype=complex)])
def test_an_array_that_is_none_names_itself(bad: object) -> None:
    with pytest.raises(ValueError, match="x: a real array"):
        Representation.from_array(bad, "x")


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_integers_become_double_precision(dtype: type) -> None:
    assert Representation.from_array(np.ones((3, 2), dtype=dtype)).activations.dtype == torch.float64


def test_an_array_may_be_a_reversed_view_or_need_a_gradient() -> None:
    reversed_view = np.arange(6.0).reshape(3, 2)[::-1]
    assert Representation.from_array(reversed_view).activations[0].tolist() == [4.0, 5.0]
    assert not Representation.from_array(torch.ones(3, 2, requires_grad=True)).activations.requires_grad


def test_what_a_representation_offers(make: Make) -> None:
    whole, bare = make("vector"), Representation(torch.eye(3))
    needs = ("model", "head", "fit", "targets")
    assert [whole.offers(need) for need in needs] == [True] * 4
    assert [bare.offers(need) for need in needs] == [False] * 4
    assert not make("image").offers("head")


def test_logits_need_a_model() -> None:
    with pytest.raises(ValueError, match="layer3 has no model"):
        _ = Representation(torch.eye(3), layer="layer3").logits


def test_log_probabilities_sum_to_1_in_double_precision(make: Make) -> None:
    log_probabilities = make("vector", dtype=torch.float32).log_probabilities
    assert log_probabilities.dtype == torch.float64
    torch.testing.assert_close(log_probabilities.exp().sum(dim=1), torch.ones(12, dtype=torch.float64))
