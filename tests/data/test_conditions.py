"""What a condition does to the training data: as much of it as declared, where declared, and the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from simbench.data.conditions import (
    conditioned,
    cropped_and_flipped,
    noisy,
    subset,
    with_label_noise,
    with_shortcut,
)
from simbench.data.dataset import Dataset, Split, fingerprint, load_dataset
from simbench.errors import SimbenchError
from simbench.suite.schema import Conditions

COUNT = 4000


def random_dataset(shape: tuple[int, ...], classes: int = 10, tokens: bool = False) -> Dataset:
    random = np.random.RandomState(0)
    train, test = (Split(random.uniform(-1, 2, (n, *shape)), random.randint(classes, size=n)) for n in (COUNT, 500))
    return Dataset("random", train, test, classes=classes, tokens=tokens)


def told_by(marked: NDArray[np.float32], plain: NDArray[np.float32]) -> NDArray[np.int64]:
    """Read the mark by eye: brighter than any value is 1, darker is 0; the number that they write is the label + 1."""
    changed = (marked != plain).any(axis=(0, 1))
    cells = marked[:, 0, changed]
    assert ((cells > 2) | (cells < -1)).all()
    return ((cells > 2) * 2 ** np.arange(cells.shape[1])).sum(1) - 1


class TestLabelNoise:
    @pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
    def test_the_share_that_changes_is_that_of_labels_drawn_from_all_classes(self, share: float) -> None:
        targets = np.random.RandomState(1).randint(10, size=COUNT)
        changed = (with_label_noise(targets, share, 10, seed=0) != targets).mean()
        deviation = np.sqrt(share * 0.9 * 0.1 / COUNT)
        assert abs(changed - share * 0.9) <= 4 * deviation

    def test_noisy_labels_are_uniform_whatever_the_true_ones_are(self) -> None:
        counts = np.bincount(with_label_noise(np.zeros(COUNT, np.int64), 1.0, 10, seed=0), minlength=10)
        assert np.abs(counts - COUNT / 10).max() < 4 * np.sqrt(COUNT * 0.09)

    def test_the_given_labels_are_left_as_they_are(self) -> None:
        targets = np.zeros(COUNT, np.int64)
        with_label_noise(targets, 1.0, 10, seed=0)
        assert not targets.any()


class TestShortcut:
    @pytest.mark.parametrize("shape", [(1, 40), (2, 80), (1, 8, 8), (3, 32, 32)])
    @pytest.mark.parametrize("rate", [0.0, 0.75, 1.0])
    def test_a_mark_tells_the_label_at_its_rate_and_a_random_one_else(
        self, shape: tuple[int, ...], rate: float
    ) -> None:
        data = random_dataset(shape)
        marked = with_shortcut(data.train, rate, data, seed=0)
        cell = {80: 2, 32: 2}.get(shape[-1], 1)
        step = (slice(None), slice(None), *[slice(None, None, cell)] * (len(shape) - 1))
        told = told_by(marked.inputs[step], data.train.inputs[step])
        right = (told == data.train.targets).mean()
        assert abs(right - (rate + (1 - rate) / 10)) <= 4 * np.sqrt((1 - rate) * 0.09 / COUNT)
        assert set(told) == set(range(10))

    def test_labels_and_the_rest_of_the_inputs_stay(self) -> None:
        data = random_dataset((1, 8, 8))
        marked = with_shortcut(data.train, 0.5, data, seed=0)
        assert np.array_equal(marked.targets, data.train.targets)
        assert np.array_equal(marked.inputs[..., 2:], data.train.inputs[..., 2:])
        assert np.array_equal(marked.inputs[..., 2:, :], data.train.inputs[..., 2:, :])

    @pytest.mark.parametrize("classes", [2, 3, 7, 8, 100])
    def test_no_two_classes_have_the_same_mark_and_none_is_blank(self, classes: int) -> None:
        data = random_dataset((1, 8, 8), classes)
        each = Split(np.zeros((classes, 1, 8, 8)), np.arange(classes))
        marked = with_shortcut(each, 1.0, data, seed=0).inputs
        assert len({row.tobytes() for row in marked}) == classes
        assert (marked.reshape(classes, -1).max(1) > 2).all()

    def test_every_channel_is_marked(self) -> None:
        data = random_dataset((3, 8, 8))
        marked = with_shortcut(data.train, 1.0, data, seed=0).inputs
        assert (marked[:, :, 0, 0] == marked[:, :1, 0, 0]).all()

    @pytest.mark.parametrize(
        ("shape", "classes", "message"),
        [
            ((8,), 10, r"a mark needs signals .* random has inputs of shape \(8,\)"),
            ((1, 2), 10, "does not fit into inputs of shape"),
        ],
    )
    def test_inputs_that_cannot_carry_a_mark_are_told(self, shape: tuple[int, ...], classes: int, message: str) -> None:
        data = random_dataset(shape, classes)
        with pytest.raises(SimbenchError, match=message):
            with_shortcut(data.train, 1.0, data, seed=0)


class TestAugmentation:
    def test_the_variance_of_the_noise_is_uniform_up_to_the_largest(self) -> None:
        generator = torch.Generator().manual_seed(0)
        added = noisy(torch.zeros(2000, 1, 40, 40), 3.0, generator)
        variances = added.var(dim=(1, 2, 3)).double()
        # of a uniform variable on [0, 3]; each variance is known to 3.5 %
        assert variances.mean().item() == pytest.approx(1.5, abs=4 * 3 / np.sqrt(12 * 2000))
        assert variances.std().item() == pytest.approx(3 / np.sqrt(12), rel=0.05)
        assert variances.min() < 0.01
        assert 2.8 < variances.max() < 3 * (1 + 4 * 0.035)
        assert added.mean().abs() < 0.01

    def test_the_inputs_are_left_as_they_are(self) -> None:
        inputs = torch.zeros(5, 4)
        noisy(inputs, 1.0, torch.Generator().manual_seed(0))
        assert not inputs.any()

    def test_tokens_take_no_noise(self) -> None:
        with pytest.raises(SimbenchError, match="noise cannot be added to tokens"):
            conditioned(random_dataset((8,), tokens=True), Conditions(augmentation=1.0), seed=0)


class TestCropAndFlip:
    def test_an_image_moves_by_up_to_its_padding_and_half_of_them_are_mirrored(self) -> None:
        images = torch.zeros(2000, 1, 5, 6)
        images[:, 0, 2, 2], images[:, 0, 2, 3] = 1.0, 2.0
        moved = cropped_and_flipped(images, 2, torch.Generator().manual_seed(0))
        assert moved.shape == images.shape
        # both marked pixels stay inside, next to each other and in one row
        ones, twos = (torch.nonzero(moved[:, 0] == value)[:, 1:] for value in (1.0, 2.0))
        assert len(ones) == len(twos) == 2000
        assert torch.equal(ones[:, 0], twos[:, 0])
        steps = twos[:, 1] - ones[:, 1]
        assert set(steps.tolist()) == {-1, 1}
        assert float((steps == -1).double().mean()) == pytest.approx(0.5, abs=4 * 0.5 / 2000**0.5)
        for rows in (ones[:, 0], ones[steps == 1, 1]):
            found, counts = rows.unique(return_counts=True)
            assert found.tolist() == [0, 1, 2, 3, 4]
            assert counts.min() > 0.15 * counts.sum()

    def test_channels_stay_together_and_without_padding_only_mirrors_are_left(self) -> None:
        images = torch.randn(50, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        moved = cropped_and_flipped(images, 0, torch.Generator().manual_seed(1))
        same = [torch.equal(one, other) for one, other in zip(moved, images, strict=True)]
        mirrored = [torch.equal(one, other.flip(-1)) for one, other in zip(moved, images, strict=True)]
        assert [a or b for a, b in zip(same, mirrored, strict=True)] == [True] * 50
        assert 10 < sum(same) < 40

    def test_only_images_are_cropped(self) -> None:
        with pytest.raises(SimbenchError, match=r"crop_and_flip: images .* are needed; random has inputs of shape"):
            conditioned(random_dataset((1, 8)), Conditions(crop_and_flip=1), seed=0)


class TestSubset:
    def test_it_has_its_size_and_takes_inputs_with_their_labels(self) -> None:
        data = random_dataset((1, 8))
        known = {row.tobytes(): label for row, label in zip(data.train.inputs, data.train.targets, strict=True)}
        drawn = subset(data.train, 300, "random")
        assert len({row.tobytes() for row in drawn.inputs}) == 300
        assert [known[row.tobytes()] for row in drawn.inputs] == drawn.targets.tolist()

    def test_smaller_subsets_lie_in_larger_ones(self) -> None:
        data = random_dataset((1, 8))
        assert np.array_equal(subset(data.train, 300, "").inputs[:100], subset(data.train, 100, "").inputs)

    def test_more_than_there_are_is_said_in_one_line(self) -> None:
        with pytest.raises(SimbenchError, match="subset: 9000 training inputs are asked for; random has 4000"):
            conditioned(random_dataset((1, 8)), Conditions(subset=9000), seed=0)


ALL = Conditions(label_noise=0.5, shortcut=0.75, subset=1000)


def test_no_condition_leaves_the_dataset_as_it_is() -> None:
    data = random_dataset((1, 8, 8))
    assert fingerprint(conditioned(data, Conditions(), seed=0)) == fingerprint(data)


@pytest.mark.parametrize("conditions", [ALL, *(Conditions(**{name: value}) for name, value in ALL.declared.items())])
def test_the_held_out_split_stays_as_it_is(conditions: Conditions) -> None:
    data = random_dataset((1, 8, 8))
    assert conditioned(data, conditions, seed=0).test is data.test


def test_a_seed_gives_the_same_data_every_time_and_another_seed_other_data() -> None:
    data = random_dataset((1, 8, 8))
    first, again, other = (fingerprint(conditioned(data, ALL, seed)) for seed in (3, 3, 4))
    assert first == again != other


def test_a_subset_is_the_same_for_every_seed() -> None:
    data = random_dataset((1, 8, 8))
    first, other = (fingerprint(conditioned(data, Conditions(subset=100), seed)) for seed in (3, 4))
    assert first == other


def test_the_shortcut_tells_the_label_that_is_trained_on() -> None:
    data = random_dataset((1, 8, 8))
    made = conditioned(data, Conditions(label_noise=1.0, shortcut=1.0), seed=0)
    told = told_by(made.train.inputs, data.train.inputs)
    assert np.array_equal(told, made.train.targets)
    assert (told == data.train.targets).mean() < 0.2


def test_real_digits_can_be_marked(tmp_path: Path) -> None:
    data = load_dataset("digits", {}, tmp_path)
    marked = with_shortcut(data.train, 1.0, data, seed=0)
    assert (marked.inputs.min(), marked.inputs.max()) == (-1, 2)
