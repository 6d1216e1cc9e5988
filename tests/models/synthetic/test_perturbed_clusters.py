"""A model and ever noisier copies of it."""

import pytest
import torch

from simbench.errors import SimbenchError
from simbench.models.synthetic.perturbed_clusters import NOISE_OF_A_LEVEL, perturbed_clusters
from simbench.plan.keys import GENERATOR_VERSION


def test_level_0_lies_within_the_clusters_bounds() -> None:
    made = perturbed_clusters(classes=6)
    lengths, angles = made.probe.norm(dim=1), torch.atan2(made.probe[:, 1], made.probe[:, 0])
    off = (angles - made.probe_targets * (2 * torch.pi / 6) + torch.pi).remainder(2 * torch.pi) - torch.pi
    assert lengths.min() >= 5
    assert lengths.max() < 5.1
    assert off.abs().max() <= torch.pi / 64
    torch.testing.assert_close(made.model.unembedding.norm(dim=1), torch.full((6,), 20.0, dtype=torch.float64))


@pytest.mark.parametrize("classes", NOISE_OF_A_LEVEL)
def test_a_level_adds_noise_of_its_size(classes: int) -> None:
    clean, noisy = (perturbed_clusters(classes=classes, level=level) for level in (0, 100))
    noise = noisy.probe - clean.probe
    assert float(noise.std()) == pytest.approx(100 * NOISE_OF_A_LEVEL[classes], rel=0.05)
    assert float(noise.mean().abs()) < 0.1 * float(noise.std())
    assert torch.equal(clean.model.unembedding, noisy.model.unembedding)


def test_the_noise_of_two_levels_differs_in_size_only() -> None:
    clean, one, five = (perturbed_clusters(level=level) for level in (0, 1, 5))
    torch.testing.assert_close(five.probe - clean.probe, 5 * (one.probe - clean.probe))


def test_probe_and_fit_and_seeds_are_different_draws() -> None:
    made, other = perturbed_clusters(level=3), perturbed_clusters(level=3, seed=1)
    assert not torch.equal(made.probe, made.fit)
    assert not torch.equal(made.probe, other.probe)


def test_labels_are_predicted_without_noise() -> None:
    for classes in NOISE_OF_A_LEVEL:
        made = perturbed_clusters(classes=classes)
        assert torch.equal(made.model.continue_from("embedding", made.probe).argmax(dim=1), made.probe_targets)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"classes": 7}, "exist for 4, 5, 6, 10, 18 classes, not for 7"), ({"level": -1}, "level of 0 or more, not -1")],
)
def test_what_cannot_be_synthetic_is_told(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(SimbenchError, match=message):
        perturbed_clusters(**parameters)


def test_the_numbers_are_those_of_their_version() -> None:
    """Raise GENERATOR_VERSION when these numbers change."""
    assert GENERATOR_VERSION == 1
    made = perturbed_clusters(level=100, seed=0)
    assert made.probe.abs().sum().item() == pytest.approx(19006.682, rel=1e-6)
    assert made.model.unembedding.abs().sum().item() == pytest.approx(149.28203, rel=1e-6)
