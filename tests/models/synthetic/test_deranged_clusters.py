"""The counter-example in any dimension."""

import pytest
import torch

from simbench.errors import SimbenchError
from simbench.models.synthetic.base import Synthetic
from simbench.models.synthetic.deranged_clusters import (
    deranged_clusters,
    derangement,
    repelled_directions,
    separating_length,
)
from simbench.plan.keys import GENERATOR_VERSION


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pair(**parameters: float) -> tuple[Synthetic, Synthetic]:
    return deranged_clusters(deranged=False, **parameters), deranged_clusters(deranged=True, **parameters)


def divergence(one: torch.Tensor, other: torch.Tensor) -> float:
    one, other = one.log_softmax(1), other.log_softmax(1)
    return float((one.exp() * (one - other)).sum(dim=1).mean())


@pytest.mark.parametrize(("dimension", "classes"), [(2, 5), (4, 8), (8, 20)])
def test_directions_have_length_one_and_keep_apart(dimension: int, classes: int) -> None:
    u = repelled_directions(classes, dimension, generator())
    torch.testing.assert_close(u.norm(dim=1), torch.ones(classes, dtype=torch.float64))
    drawn = torch.nn.functional.normalize(torch.randn(classes, dimension, generator=generator(), dtype=torch.float64))
    closest, closest_drawn = (float((x @ x.T - 2 * torch.eye(classes)).max()) for x in (u, drawn))
    assert closest < closest_drawn


def test_in_the_plane_they_are_equally_spaced() -> None:
    u = repelled_directions(5, 2, generator())
    angles = torch.atan2(u[:, 1], u[:, 0]).sort().values
    torch.testing.assert_close(
        angles.diff(), torch.full((4,), 2 * torch.pi / 5, dtype=torch.float64), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("count", [2, 5, 40])
def test_a_derangement_is_a_single_cycle(count: int) -> None:
    order = derangement(count, generator(1)).tolist()
    seen, at = [], 0
    while at not in seen:
        seen.append(at)
        at = order[at]
    assert sorted(seen) == list(range(count))


@pytest.mark.parametrize("closeness", [1e-2, 1e-6, 1e-12])
@pytest.mark.parametrize(("dimension", "classes"), [(2, 5), (8, 20)])
def test_clusters_without_noise_are_within_the_bound(dimension: int, classes: int, closeness: float) -> None:
    u = repelled_directions(classes, dimension, generator())
    rho = separating_length(u, closeness)
    other = u[derangement(classes, generator())]
    logits = [2 * rho * side @ side.T for side in (u, other)]
    assert max(divergence(*logits), divergence(*logits[::-1])) <= closeness
    assert separating_length(u, closeness / 100) > rho


def test_the_models_predict_the_label() -> None:
    for made in pair(dimension=8, classes=20):
        assert torch.equal(made.model.continue_from("embedding", made.probe).argmax(dim=1), made.probe_targets)


def test_the_deranged_model_has_every_unembedding_elsewhere() -> None:
    original, deranged = (made.model.unembedding for made in pair(dimension=4, classes=9))
    order = torch.cdist(deranged, original).argmin(dim=1)
    assert sorted(order.tolist()) == list(range(9))
    assert not bool((order == torch.arange(9)).any())
    torch.testing.assert_close(deranged, original[order])


def test_an_input_keeps_its_noise() -> None:
    noises = [
        made.probe - 2 * torch.nn.functional.normalize(made.model.unembedding)[made.probe_targets] for made in pair()
    ]
    torch.testing.assert_close(*noises)
    assert float(noises[0].square().sum(dim=1).mean().sqrt()) == pytest.approx(0.02, rel=0.05)


def test_only_the_length_of_the_unembeddings_varies_with_closeness() -> None:
    near, far = pair(closeness=1e-9)[1], pair(closeness=1e-2)[1]
    assert torch.equal(near.probe, far.probe)
    assert near.model.unembedding.norm() > far.model.unembedding.norm()


def test_the_seed_decides_directions_and_noise_and_the_fit_is_another_draw() -> None:
    made, other = pair(seed=0)[0], pair(seed=1)[0]
    assert not torch.allclose(made.model.unembedding, other.model.unembedding)
    assert not torch.equal(made.probe, made.fit)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dimension": 5, "classes": 5}, "more classes than dimensions, not 5 for 5"),
        ({"closeness": 0.0}, "closeness above 0, not 0"),
    ],
)
def test_what_cannot_be_synthetic_is_told(parameters: dict[str, float], message: str) -> None:
    with pytest.raises(SimbenchError, match=message):
        deranged_clusters(deranged=True, **parameters)


def test_the_numbers_are_those_of_their_version() -> None:
    """Raise GENERATOR_VERSION when these numbers change."""
    assert GENERATOR_VERSION == 1
    made = deranged_clusters(deranged=True, seed=0)
    assert made.probe.abs().sum().item() == pytest.approx(2613.5378, rel=1e-6)
    assert made.model.unembedding.abs().sum().item() == pytest.approx(128.70194, rel=1e-6)
