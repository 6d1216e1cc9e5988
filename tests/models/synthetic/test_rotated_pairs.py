"""Pairs that agree on one side or on each side alone."""

from collections.abc import Callable

import pytest
import torch

from simbench.models.synthetic.base import Synthetic
from simbench.models.synthetic.rotated_pairs import exchanged_unembeddings, separately_rotated
from simbench.plan.keys import GENERATOR_VERSION


def rotated(**parameters: int) -> tuple[Synthetic, Synthetic]:
    return separately_rotated(rotated=False, **parameters), separately_rotated(rotated=True, **parameters)


def exchanged(**parameters: int) -> tuple[Synthetic, Synthetic]:
    return exchanged_unembeddings(exchanged=False, **parameters), exchanged_unembeddings(exchanged=True, **parameters)


def turned(x: torch.Tensor) -> torch.Tensor:
    """By 45 degrees."""
    return torch.stack([x[:, 0] - x[:, 1], x[:, 0] + x[:, 1]], dim=1) / 2**0.5


def test_embeddings_turn_one_way_and_unembeddings_the_other() -> None:
    original, other = rotated()
    torch.testing.assert_close(other.probe, turned(original.probe))
    torch.testing.assert_close(turned(other.model.unembedding), original.model.unembedding)


def test_the_first_model_knows_its_labels_and_the_other_none() -> None:
    accuracies = [
        float((made.model.continue_from("embedding", made.probe).argmax(dim=1) == made.probe_targets).double().mean())
        for made in rotated()
    ]
    assert accuracies[0] > 0.99
    assert accuracies[1] == 0


def test_clusters_lie_around_five_times_their_direction() -> None:
    made = rotated(inputs_per_class=4000)[0]
    centres = torch.stack([made.probe[made.probe_targets == label].mean(dim=0) for label in range(5)])
    torch.testing.assert_close(centres, 5 / 8 * made.model.unembedding, rtol=0, atol=0.04)
    assert float((made.probe - centres[made.probe_targets]).std()) == pytest.approx(0.5, rel=0.02)


def test_embeddings_are_equal_and_two_pairs_of_unembeddings_exchanged() -> None:
    original, other = exchanged()
    assert torch.equal(original.probe, other.probe)
    assert torch.equal(original.fit, other.fit)
    assert torch.equal(other.model.unembedding, original.model.unembedding[[0, 1, 2, 3, 5, 4, 7, 6]])


def test_inputs_lie_on_rays_halfway_between_the_exchanged_unembeddings() -> None:
    made = exchanged()[0]
    steps = torch.atan2(made.probe[:, 1], made.probe[:, 0]).remainder(2 * torch.pi) / (torch.pi / 16)
    expected = torch.tensor([0, 1, 2, 3, 13, 13, 23, 23], dtype=torch.float64)[made.probe_targets]
    assert ((steps - expected + 16).remainder(32) - 16).abs().max() <= 1 / 16
    assert made.probe.norm(dim=1).min() >= 2


@pytest.mark.parametrize("pair", [rotated, exchanged])
def test_probe_and_fit_and_seeds_are_different_draws(pair: Callable[..., tuple[Synthetic, Synthetic]]) -> None:
    made, other = pair(seed=0)[0], pair(seed=1)[0]
    assert not torch.equal(made.probe, made.fit)
    assert not torch.equal(made.probe, other.probe)


def test_the_numbers_are_those_of_their_version() -> None:
    """Raise GENERATOR_VERSION when these numbers change."""
    assert GENERATOR_VERSION == 1
    made = rotated()[1], exchanged()[1]
    assert [one.probe.abs().sum().item() for one in made] == pytest.approx([3207.675, 13944.078], rel=1e-6)
    assert [one.model.unembedding[:, 0].sum().item() for one in made] == pytest.approx([-2.343146, 11.159652], rel=1e-6)
