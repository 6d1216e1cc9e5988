"""Transforms that lose something: what is lost, and what stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from simbench.errors import NotApplicable
from simbench.registry import TRANSFORMS
from simbench.representations.representation import Representation, SpatialRule

Make = Callable[..., Representation]
LAYOUTS = ["vector", "sequence", "image", "tokens", "channels last"]
EACH_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)
INPUTS = 400


def apply(name: str, representation: Representation, seed: int = 0, **parameters: object) -> Representation:
    return TRANSFORMS.get(name)(representation, seed=seed, **parameters)


def rows(representation: Representation) -> Tensor:
    """Every position of every input, `(rows, features)`."""
    return representation.activations.movedim(representation.feature_axis, -1).flatten(0, -2)


@EACH_LAYOUT
@pytest.mark.parametrize("ratio", [0.1, 2.0])
def test_noise_has_the_declared_strength_per_feature(layout: str, ratio: float, make: Make) -> None:
    before = make(layout, INPUTS)
    scaled = before.with_activations(before.activations * 7.0)
    for one in (before, scaled):
        added = rows(apply("noise", one, ratio=ratio)) - rows(one)
        assert added.std(dim=0) / rows(one).std(dim=0) == pytest.approx(ratio, rel=0.15)


def test_noise_of_two_ratios_is_the_same_noise(make: Make) -> None:
    one = make("sequence")
    small, large = (rows(apply("noise", one, ratio=ratio)) - rows(one) for ratio in (0.5, 1.5))
    torch.testing.assert_close(3 * small, large)


@EACH_LAYOUT
def test_iid_noise_keeps_moments_and_nothing_of_the_inputs(layout: str, make: Make) -> None:
    before = make(layout, INPUTS)
    after = rows(apply("iid_noise", before))
    assert after.mean(dim=0) == pytest.approx(rows(before).mean(dim=0), abs=0.2)
    assert after.std(dim=0) == pytest.approx(rows(before).std(dim=0), rel=0.2)
    correlation = torch.corrcoef(torch.cat([after.T, rows(before).T]))[: after.shape[1], after.shape[1] :]
    assert float(correlation.abs().max()) < 0.2


@EACH_LAYOUT
def test_class_noise_holds_the_label_and_nothing_else(layout: str, make: Make) -> None:
    after = apply("class_noise", make(layout, INPUTS), ratio=0.1)
    assert after.targets is not None
    positions = after.activations.movedim(after.feature_axis, -1).reshape(INPUTS, -1, after.features)
    centres = torch.stack([positions[after.targets == label].mean(dim=(0, 1)) for label in range(3)])
    nearest = torch.cdist(positions.reshape(-1, after.features), centres).argmin(dim=1)
    labels = after.targets.repeat_interleave(positions.shape[1])
    assert torch.equal(nearest, labels)
    within = positions - centres[after.targets][:, None]
    assert float(within.std()) == pytest.approx(0.1, rel=0.1)


def test_class_noise_has_the_same_centres_on_the_fitting_inputs(make: Make) -> None:
    after = apply("class_noise", make("vector", INPUTS), ratio=0.01)
    assert after.fit is not None
    for label in range(3):
        means = [side.activations[side.targets == label].mean(dim=0) for side in (after, after.fit)]
        assert means[0] == pytest.approx(means[1], abs=0.01)


def test_class_noise_needs_labels(make: Make) -> None:
    with pytest.raises(NotApplicable, match="labels"):
        apply("class_noise", replace(make("vector"), targets=None))


@EACH_LAYOUT
@pytest.mark.parametrize(("share", "rank"), [(0.2, 1), (0.5, 3), (1.0, 5)])
def test_top_components_keep_the_largest(layout: str, share: float, rank: int, make: Make) -> None:
    before = make(layout, INPUTS)
    after = rows(apply("top_components", before, share=share))
    centred = rows(before) - rows(before).mean(dim=0)
    left, sizes, right = torch.linalg.svd(centred, full_matrices=False)
    expected = (left[:, :rank] * sizes[:rank]) @ right[:rank] + rows(before).mean(dim=0)
    torch.testing.assert_close(after, expected)


def test_a_tenth_of_thirty_components_is_three() -> None:
    x = Representation(torch.randn(50, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    centred = apply("top_components", x, share=0.1).activations
    assert int(torch.linalg.matrix_rank(centred - centred.mean(dim=0), rtol=1e-6)) == 3


def test_all_components_are_the_representation(make: Make) -> None:
    before = make("vector", INPUTS)
    after = apply("top_components", before, share=1.0)
    torch.testing.assert_close(after.activations, before.activations)
    assert before.fit is not None
    assert after.fit is not None
    torch.testing.assert_close(after.fit.activations, before.fit.activations)


def test_a_row_subset_is_the_same_inputs_for_the_same_seed(make: Make) -> None:
    one, other = (replace(make(layout, 40), inputs=torch.arange(40)) for layout in ("vector", "image"))
    chosen = [apply("row_subset", each, seed=5, inputs=7) for each in (one, other)]
    assert [len(each.activations) for each in chosen] == [7, 7]
    kept = chosen[0].inputs
    assert kept is not None
    assert torch.equal(kept, chosen[1].inputs)
    assert torch.equal(kept, kept.sort().values)
    assert torch.equal(chosen[0].activations, one.activations[kept])
    assert torch.equal(chosen[1].targets, other.targets[kept])
    with pytest.raises(NotApplicable, match="41 of 40"):
        apply("row_subset", one, inputs=41)


def test_a_row_subset_keeps_the_number_of_positions_per_input(make: Make) -> None:
    before = replace(make("sequence", 40), spatial=SpatialRule("positions", rows=120))
    assert before.matrix.shape[0] == 120
    assert apply("row_subset", before, inputs=10).matrix.shape[0] == 30


@EACH_LAYOUT
@pytest.mark.parametrize(("share", "count"), [(0.01, 4), (0.1, 40), (0.0001, 1)])
def test_outliers_are_as_many_and_as_far_as_asked(layout: str, share: float, count: int, make: Make) -> None:
    before = make(layout, INPUTS)
    after = apply("outlier_rows", before, share=share, distance=20.0)
    moved = (after.activations - before.activations).movedim(before.feature_axis, -1)
    moved = moved.reshape(INPUTS, -1, before.features)[:, 0]
    norm = (rows(before) - rows(before).mean(dim=0)).square().sum(dim=1).mean().sqrt()
    lengths = moved.norm(dim=1)
    assert int((lengths > 0).sum()) == count
    assert lengths[lengths > 0] / norm == pytest.approx(20.0)


def test_blocks_are_rotated_on_their_own(make: Make) -> None:
    before = make("vector")
    after = apply("block_rotation", before, size=2)
    for start in (0, 2, 4):
        block = slice(start, start + 2)
        one, other = (each.activations[:, block] for each in (before, after))
        torch.testing.assert_close(one @ one.T, other @ other.T)
