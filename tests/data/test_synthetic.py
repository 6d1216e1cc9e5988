"""Generated tasks: the recipes of radial classification and of spirals, and characters whose entropy is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simbench.data.dataset import fingerprint, load_dataset
from simbench.data.synthetic import CharacterSource
from simbench.errors import SimbenchError
from simbench.registry import DATASETS


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("radial", {"train": 30, "test": 20}),
        ("spirals", {"train": 30, "test": 20}),
        ("characters", {"train": 30, "test": 20, "context": 5}),
    ],
)
@pytest.mark.parametrize("sizes_given", [True, False])
def test_the_outline_says_what_is_generated(
    name: str, parameters: dict[str, int], sizes_given: bool, tmp_path: Path
) -> None:
    parameters = parameters if sizes_given else {}
    data = load_dataset(name, parameters, tmp_path)
    assert DATASETS.get(name).outline(parameters) == data.outline


class TestRadial:
    @pytest.mark.parametrize("classes", [2, 4, 6, 18])
    def test_a_label_is_the_bin_of_the_angle_of_the_points_line(self, classes: int, tmp_path: Path) -> None:
        data = load_dataset("radial", {"classes": classes, "train": 500}, tmp_path)
        for point, label in zip(data.train.inputs.astype(float), data.train.targets, strict=True):
            reflected = -point if point[1] < 0 else point
            angle = np.arccos(reflected[0] / np.linalg.norm(reflected))
            assert label * np.pi / classes - 1e-6 <= angle <= (label + 1) * np.pi / classes + 1e-6

    def test_the_size_and_the_spread_are_the_papers(self, tmp_path: Path) -> None:
        data = load_dataset("radial", {}, tmp_path)
        assert (data.train.inputs.shape, data.test.inputs.shape) == ((20_000, 2), (2_000, 2))
        assert data.train.inputs.std(axis=0) == pytest.approx([3, 3], rel=0.02)
        assert data.train.inputs.mean(axis=0) == pytest.approx([0, 0], abs=0.1)
        assert np.bincount(data.train.targets) == pytest.approx([5000] * 4, rel=0.05)

    def test_splits_differ_and_seeds_decide(self, tmp_path: Path) -> None:
        data, again, other = (load_dataset("radial", {"seed": seed}, tmp_path) for seed in (0, 0, 5))
        assert fingerprint(data) == fingerprint(again) != fingerprint(other)
        assert not np.array_equal(data.train.inputs[:2000], data.test.inputs)


class TestSpirals:
    @pytest.mark.parametrize(("classes", "arms"), [(7, 4), (2, 1), (5, 3)])
    def test_a_point_unwound_lies_in_a_sector_of_its_label(self, classes: int, arms: int, tmp_path: Path) -> None:
        """Turned back by π r/70, the angle is within ¾ of half a sector of the middle of its own, the s-th of all."""
        data = load_dataset("spirals", {"classes": classes, "arms": arms}, tmp_path)
        sectors = classes * arms
        labels: dict[int, set[int]] = {sector: set() for sector in range(sectors)}
        for split in (data.train, data.test):
            x, y = split.inputs.astype(float).T
            radii = np.hypot(x, y)
            turns = (np.arctan2(y, x) - np.pi * radii / 70) / (2 * np.pi) * sectors
            assert np.abs(turns - turns.round()).max() <= 0.375 + 1e-4
            assert radii.min() >= 1 - 1e-6
            assert radii.max() <= 10 + 1e-6
            for sector, label in zip(turns.round().astype(int) % sectors, split.targets, strict=True):
                labels[sector].add(int(label))
        assert all(len(found) == 1 for found in labels.values())
        order = [next(iter(labels[sector])) for sector in range(sectors)]
        for start in range(0, sectors, classes):
            assert order[start] == 0
            assert sorted(order[start : start + classes]) == list(range(classes))

    def test_labels_are_balanced_and_their_order_is_drawn(self, tmp_path: Path) -> None:
        data, again, other = (load_dataset("spirals", {"seed": seed}, tmp_path) for seed in (0, 0, 1))
        assert (data.train.inputs.shape, data.test.inputs.shape) == ((3_500, 2), (1_750, 2))
        assert np.bincount(data.train.targets).tolist() == [500] * 7
        assert fingerprint(data) == fingerprint(again) != fingerprint(other)
        assert not np.array_equal(data.train.targets[:28], other.train.targets[:28])
        assert not np.array_equal(data.train.inputs[:1_750], data.test.inputs)

    def test_there_are_two_labels_at_least(self, tmp_path: Path) -> None:
        with pytest.raises(SimbenchError, match="classes"):
            load_dataset("spirals", {"classes": 1}, tmp_path)


@pytest.fixture(scope="module")
def source() -> CharacterSource:
    return CharacterSource.drawn(symbols=5, sharpness=3.0, seed=0)


class TestCharacters:
    def test_a_source_is_in_the_family_of_inner_products(self, source: CharacterSource) -> None:
        a, b = 2, 4
        unnormalised = [np.exp(source.embeddings[a, b] @ g) for g in source.unembeddings]
        assert source.probabilities[a, b] == pytest.approx(np.array(unnormalised) / sum(unnormalised))
        assert np.linalg.norm(source.embeddings, axis=-1) == pytest.approx(np.full((5, 5), 3.0))

    def test_the_distribution_of_pairs_is_stationary(self, source: CharacterSource) -> None:
        pairs = source.pair_distribution
        assert pairs.sum() == pytest.approx(1)
        assert pairs.min() > 0
        assert np.einsum("ab,aby->by", pairs, source.probabilities) == pytest.approx(pairs)

    def test_the_entropy_rate_is_that_of_a_long_stream(self, source: CharacterSource) -> None:
        stream = source.stream(60_000, np.random.RandomState(1))
        surprises = -np.log(source.probabilities[stream[:-2], stream[1:-1], stream[2:]])
        assert surprises.mean() == pytest.approx(source.entropy_rate, abs=5 * surprises.std() / np.sqrt(len(surprises)))

    def test_a_source_without_sharpness_is_uniform(self) -> None:
        assert CharacterSource.drawn(7, 0.0, seed=0).entropy_rate == pytest.approx(np.log(7))

    def test_one_symbol_back_is_not_enough(self) -> None:
        """Else a network could do without attention."""
        source = CharacterSource.drawn(12, 4.0, seed=0)
        triples = source.pair_distribution[..., None] * source.probabilities
        pairs = triples.sum(0)
        bigram = -(pairs * np.log(pairs / pairs.sum(1, keepdims=True))).sum()
        assert (source.entropy_rate, bigram) == pytest.approx((1.0809, 1.9388), abs=1e-3)

    def test_each_target_follows_its_context_in_one_stream(self, tmp_path: Path) -> None:
        data = load_dataset("characters", {"train": 300, "test": 50, "context": 6}, tmp_path)
        inputs, targets = data.train.inputs, data.train.targets
        assert inputs.shape == (300, 6)
        assert np.array_equal(inputs[1:, :-1], inputs[:-1, 1:])
        assert np.array_equal(inputs[1:, -1], targets[:-1])
        assert set(np.unique(inputs)) <= set(range(data.classes))

    def test_seeds_decide_and_the_held_out_stream_is_another(self, tmp_path: Path) -> None:
        data, again, other = (load_dataset("characters", {"train": 300, "seed": s}, tmp_path) for s in (0, 0, 1))
        assert fingerprint(data) == fingerprint(again) != fingerprint(other)
        assert not np.array_equal(data.train.targets, data.test.targets[:300])
