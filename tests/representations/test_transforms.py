"""Transforms: seeded maps; those of the features are undone by the model, so that its outputs stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from simbench.registry import TRANSFORMS
from simbench.representations.representation import Representation
from simbench.representations.transforms import (
    LARGEST_CONDITION_NUMBER,
    UndoingModel,
    haar_orthogonal,
    log_uniform,
    random_invertible,
)

Make = Callable[..., Representation]
LAYOUTS = ["vector", "sequence", "image", "tokens", "channels last"]
PRESERVING = [name for name, transform in TRANSFORMS if transform.function_preserving]

NOT_RANDOM = {"top_components", "copy"}
FEWER_ROWS = {"row_subset"}
LOSSY = {"noise", "iid_noise", "class_noise", "top_components", "row_subset", "outlier_rows"}

EACH = pytest.mark.parametrize("name", TRANSFORMS.names())
EACH_RANDOM = pytest.mark.parametrize("name", sorted(set(TRANSFORMS.names()) - NOT_RANDOM))
EACH_THAT_CHANGES = pytest.mark.parametrize("name", sorted(set(TRANSFORMS.names()) - FEWER_ROWS - {"copy"}))
EACH_PRESERVING = pytest.mark.parametrize("name", PRESERVING)
EACH_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)


def apply(name: str, representation: Representation, seed: int = 0) -> Representation:
    return TRANSFORMS.get(name)(representation, seed=seed)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(representation: Representation) -> Tensor:
    """Every position of every input, `(rows, features)`."""
    return representation.activations.movedim(representation.feature_axis, -1).flatten(0, -2)


def linear_part(name: str, representation: Representation) -> tuple[Tensor, Tensor]:
    """(matrix, offset) of the map, solved from what it does to the activations."""
    before, after = rows(representation), rows(apply(name, representation))
    solved = torch.linalg.lstsq(torch.cat([before, torch.ones(len(before), 1)], dim=1), after).solution
    return solved[:-1].T, solved[-1]


@EACH_RANDOM
@EACH_LAYOUT
def test_a_transform_is_decided_by_its_seed(name: str, layout: str, make: Make) -> None:
    first, again, other = (apply(name, make(layout), seed) for seed in (1, 1, 2))
    assert torch.equal(first.activations, again.activations)
    assert not torch.equal(first.activations, other.activations)


@EACH
def test_a_transform_leaves_the_global_random_state_alone(name: str, make: Make) -> None:
    before = torch.random.get_rng_state()
    apply(name, make("image"))
    assert torch.equal(before, torch.random.get_rng_state())


@EACH_THAT_CHANGES
@EACH_LAYOUT
def test_a_transform_changes_the_activations_and_neither_shape_nor_dtype(name: str, layout: str, make: Make) -> None:
    for dtype in (torch.float32, torch.float64):
        before = make(layout, dtype=dtype)
        after = apply(name, before)
        assert after.activations.shape == before.activations.shape
        assert after.activations.dtype == dtype
        assert not torch.equal(after.activations, before.activations)


@EACH
def test_a_transform_leaves_what_it_was_given_as_it_is(name: str, make: Make) -> None:
    representation = make("sequence")
    copy = representation.activations.clone()
    apply(name, representation)
    assert torch.equal(representation.activations, copy)


@EACH_PRESERVING
@EACH_LAYOUT
def test_the_transformed_model_puts_out_the_same_logits(name: str, layout: str, make: Make) -> None:
    before = make(layout)
    torch.testing.assert_close(apply(name, before).logits, before.logits, rtol=1e-9, atol=1e-9)


@EACH_PRESERVING
@EACH_LAYOUT
def test_the_transformed_model_puts_out_the_same_logits_in_single_precision(name: str, layout: str, make: Make) -> None:
    before = make(layout, dtype=torch.float32)
    torch.testing.assert_close(apply(name, before).logits, before.logits, rtol=1e-4, atol=1e-4)


@EACH_PRESERVING
@EACH_LAYOUT
def test_the_fitting_inputs_get_the_same_map(name: str, layout: str, make: Make) -> None:
    before, after = make(layout), apply(name, make(layout))
    matrix, offset = linear_part(name, before)
    assert before.fit is not None
    assert after.fit is not None
    torch.testing.assert_close(rows(after.fit), rows(before.fit) @ matrix.T + offset)
    torch.testing.assert_close(after.fit.logits, before.fit.logits)


@EACH_PRESERVING
def test_the_transformed_head_reads_the_same_logits(name: str, make: Make) -> None:
    before = make("vector")
    after = apply(name, before)
    assert after.model is not None
    head = after.model.head()
    assert head is not None
    logits = after.activations @ head.unembedding.T + head.bias
    torch.testing.assert_close(logits, before.logits, rtol=1e-9, atol=1e-9)


@EACH_PRESERVING
def test_transforms_compose_and_are_undone_in_turn(name: str, make: Make) -> None:
    before = make("image")
    after = apply("affine", apply(name, before, 1), 2)
    torch.testing.assert_close(after.logits, before.logits, rtol=1e-8, atol=1e-8)


@EACH_PRESERVING
def test_a_representation_without_a_model_is_transformed_too(name: str) -> None:
    assert apply(name, Representation(torch.eye(4))).model is None


@pytest.mark.parametrize("name", sorted(set(PRESERVING) - {"copy"}))
def test_gradients_flow_back_through_the_undoing(name: str, make: Make) -> None:
    after = apply(name, make("sequence"))
    assert isinstance(after.model, UndoingModel)
    activations = after.activations.clone().requires_grad_()
    after.model.continue_from("layer", activations).sum().backward()
    assert activations.grad is not None
    assert activations.grad.abs().sum() > 0


@EACH_PRESERVING
def test_no_condition_number_is_above_10(name: str, make: Make) -> None:
    for layout in LAYOUTS:
        matrix, _ = linear_part(name, make(layout, inputs=40))
        assert torch.linalg.cond(matrix) <= LARGEST_CONDITION_NUMBER * (1 + 1e-6)


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_random_invertible_matrices_stay_within_the_condition_number(size: int) -> None:
    for seed in range(20):
        values = torch.linalg.svdvals(random_invertible(size, generator(seed)))
        assert values.max() / values.min() <= LARGEST_CONDITION_NUMBER * (1 + 1e-9)


@pytest.mark.parametrize("name", ["invertible_linear", "affine", "diagonal_scaling"])
@pytest.mark.parametrize("condition", [1.0, 2.0, 1000.0])
def test_a_condition_number_that_is_given_is_kept_to_and_made_use_of(name: str, condition: float, make: Make) -> None:
    representation = make("vector", inputs=40)
    before = rows(representation)
    after = rows(TRANSFORMS.get(name)(representation, seed=0, condition=condition))
    design = torch.cat([before, torch.ones(len(before), 1)], dim=1).double()
    found = torch.linalg.cond(torch.linalg.lstsq(design, after.double()).solution[:-1])
    # among a few features the singular values do not span all of the range
    assert condition**0.25 * (1 - 1e-4) <= found <= condition * (1 + 1e-4)


@pytest.mark.parametrize("name", ["invertible_linear", "affine", "diagonal_scaling"])
def test_the_default_condition_number_is_10(name: str, make: Make) -> None:
    given = TRANSFORMS.get(name)(make("vector"), seed=0, condition=10.0)
    assert torch.equal(apply(name, make("vector")).activations, given.activations)


@pytest.mark.parametrize("size", [1, 2, 9])
def test_haar_matrices_are_orthogonal(size: int) -> None:
    matrix = haar_orthogonal(size, generator())
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(size, dtype=torch.float64))


def test_haar_matrices_are_haar_distributed() -> None:
    random = generator()
    drawn = torch.stack([haar_orthogonal(3, random) for _ in range(4000)])
    # Without the correction of signs the diagonal has a mean of its own, and half of all reflections are missing.
    torch.testing.assert_close(drawn.mean(dim=0), torch.zeros(3, 3, dtype=torch.float64), atol=0.04, rtol=0)
    torch.testing.assert_close(
        drawn.square().mean(dim=0), torch.full((3, 3), 1 / 3, dtype=torch.float64), atol=0.03, rtol=0
    )
    assert abs((torch.linalg.det(drawn) > 0).double().mean() - 0.5) < 0.04


def test_log_uniform_factors_are_within_their_bounds_on_both_sides_of_1() -> None:
    factors = log_uniform(1000, 10.0, generator())
    assert 0.1 <= factors.min() < 0.15
    assert 7.0 < factors.max() <= 10.0
    assert abs(factors.log().mean()) < 0.15


def test_permutation_reorders_the_features_exactly(make: Make) -> None:
    before, after = make("image"), apply("permutation", make("image"))
    order = [
        next(i for i in range(5) if torch.equal(before.activations[:, i], after.activations[:, j])) for j in range(5)
    ]
    assert sorted(order) == list(range(5))


def test_isotropic_scaling_multiplies_everything_by_one_factor(make: Make) -> None:
    ratio = apply("isotropic_scaling", make("tokens")).activations / make("tokens").activations
    assert ratio.std() < 1e-12
    assert 0.1 <= ratio.mean() <= 10


def test_diagonal_scaling_multiplies_each_feature_by_a_positive_factor_of_its_own(make: Make) -> None:
    ratio = rows(apply("diagonal_scaling", make("sequence"))) / rows(make("sequence"))
    assert ratio.std(dim=0).max() < 1e-12
    assert ratio.min() > 0
    assert len(ratio[0].unique()) == 5


def test_sign_flip_flips_whole_features(make: Make) -> None:
    ratio = rows(apply("sign_flip", make("sequence"))) / rows(make("sequence"))
    assert torch.equal(ratio.round().abs(), torch.ones_like(ratio))
    assert (ratio == ratio[0]).all()


def test_translation_adds_one_vector_of_the_size_of_the_activations(make: Make) -> None:
    before = make("image", inputs=50)
    offset = rows(apply("translation", before)) - rows(before)
    torch.testing.assert_close(offset, offset[:1].expand_as(offset))
    size = before.activations.square().mean().sqrt()
    assert 0.2 < offset[0].square().mean().sqrt() / size < 5


def test_row_shuffle_gives_the_same_activations_to_other_inputs(make: Make) -> None:
    before, after = make("image"), apply("row_shuffle", make("image"))
    assert torch.equal(
        after.activations.sum(dim=(1, 2, 3)).sort().values, before.activations.sum(dim=(1, 2, 3)).sort().values
    )
    assert not torch.equal(after.activations, before.activations)


def test_row_shuffle_shuffles_the_fitting_inputs_as_well(make: Make) -> None:
    before, after = make("vector"), apply("row_shuffle", make("vector"))
    assert before.fit is not None
    assert after.fit is not None
    assert not torch.equal(after.fit.activations, before.fit.activations)
    assert torch.equal(after.fit.activations.sort(dim=0).values, before.fit.activations.sort(dim=0).values)


def test_row_shuffle_leaves_the_targets_where_they_were(make: Make) -> None:
    before = make("vector")
    after = apply("row_shuffle", before)
    assert before.fit is not None
    assert after.fit is not None
    assert after.targets is before.targets
    assert after.fit.targets is before.fit.targets


def test_row_shuffle_moves_each_input_as_a_whole(make: Make) -> None:
    before, after = make("image"), apply("row_shuffle", make("image"))
    originals = {row.numpy().tobytes() for row in before.activations}
    assert {row.contiguous().numpy().tobytes() for row in after.activations} == originals


def test_what_loses_something_is_not_undone() -> None:
    assert set(TRANSFORMS.names()) - set(PRESERVING) == {"row_shuffle", *LOSSY}


def test_every_transform_says_what_it_does() -> None:
    assert all(transform.summary.endswith(".") for _, transform in TRANSFORMS)
