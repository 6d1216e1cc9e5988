"""The counter-example: distributions that meet, embeddings that do not."""

import pytest
import torch
from torch import Tensor

from simbench.errors import SimbenchError, UnknownNameError
from simbench.models.synthetic.base import Synthetic
from simbench.models.synthetic.permuted_clusters import CLASS_COUNTS, permuted_clusters
from simbench.registry import GENERATORS


def pair(classes: int = 7, rho: float = 20.0, **others: int) -> tuple[Synthetic, Synthetic]:
    original, permuted = (
        permuted_clusters(classes=classes, rho=rho, permuted=which, **others) for which in (False, True)
    )
    return original, permuted


def divergence(original: Synthetic, permuted: Synthetic) -> float:
    one, other = (made.model.continue_from("embedding", made.probe).log_softmax(1) for made in (original, permuted))
    return float((one.exp() * (one - other)).sum(dim=1).mean())


def canonical_correlations(x: Tensor, y: Tensor) -> Tensor:
    bases = [torch.linalg.qr(z - z.mean(dim=0))[0] for z in (x, y)]
    return torch.linalg.svdvals(bases[0].T @ bases[1])


@pytest.mark.parametrize(
    ("rho", "expected"), [(1, 0.788), (2, 1.057), (5, 0.382), (10, 1.98e-2), (15, 7.6e-4), (20, 2.7e-5)]
)
def test_the_divergence_is_that_of_the_papers_table(rho: float, expected: float) -> None:
    assert divergence(*pair(rho=rho)) == pytest.approx(expected, rel=0.05)


def test_at_rho_20_the_distributions_are_close() -> None:
    assert divergence(*pair()) < 1e-4


@pytest.mark.parametrize("classes", CLASS_COUNTS)
def test_the_embeddings_are_not_linearly_related(classes: int) -> None:
    original, permuted = pair(classes)
    assert canonical_correlations(original.probe, permuted.probe).max() < 0.01


@pytest.mark.parametrize("classes", CLASS_COUNTS)
def test_both_models_predict_the_label(classes: int) -> None:
    for made in pair(classes, rho=20.0):
        assert torch.equal(made.model.continue_from("embedding", made.probe).argmax(dim=1), made.probe_targets)


def test_seven_classes_are_permuted_as_in_the_paper() -> None:
    original, permuted = pair()
    order = torch.cdist(permuted.model.unembedding, original.model.unembedding).argmin(dim=1)
    assert order.tolist() == [5, 0, 2, 4, 6, 1, 3]


def test_an_input_keeps_its_length_and_takes_the_angular_noise_of_its_place() -> None:
    original, permuted = pair(inputs_per_class=50)
    lengths = [made.probe.norm(dim=1) for made in (original, permuted)]
    torch.testing.assert_close(*lengths)
    directions = [
        (made.probe / made.probe.norm(dim=1, keepdim=True)).reshape(7, 50, 2) for made in (original, permuted)
    ]
    torch.testing.assert_close(directions[1], directions[0][[5, 0, 2, 4, 6, 1, 3]])


def test_a_clusters_noise_is_within_its_bounds() -> None:
    made, _ = pair()
    lengths, angles = made.probe.norm(dim=1), torch.atan2(made.probe[:, 1], made.probe[:, 0])
    off = (angles - made.probe_targets * (2 * torch.pi / 7) + torch.pi).remainder(2 * torch.pi) - torch.pi
    assert lengths.min() >= 2
    assert off.abs().max() <= torch.pi / 64


def test_probe_and_fit_are_different_draws() -> None:
    made, _ = pair()
    assert not torch.equal(made.probe, made.fit)


def test_only_closeness_varies_along_rho() -> None:
    assert torch.equal(pair(rho=5.0)[1].probe, pair(rho=20.0)[1].probe)


def test_another_seed_draws_other_noise() -> None:
    assert not torch.equal(pair(seed=0)[0].probe, pair(seed=1)[0].probe)


def test_the_head_gives_the_logits() -> None:
    made, _ = pair()
    head = made.model.head()
    assert torch.equal(made.probe @ head.unembedding.T + head.bias, made.model.continue_from("embedding", made.probe))


def test_other_numbers_of_classes_are_told_the_valid_ones() -> None:
    with pytest.raises(SimbenchError, match="exist for 5, 7, 11, 13 classes, not for 6"):
        permuted_clusters(classes=6, permuted=True)


def test_the_embedding_is_the_only_layer() -> None:
    made, _ = pair()
    with pytest.raises(UnknownNameError, match="unknown layer"):
        made.model.continue_from("block1", made.probe)


@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("permuted_clusters", {"permuted": True}),
        ("deranged_clusters", {"deranged": True}),
        ("perturbed_clusters", {"level": 3}),
        ("separately_rotated", {"rotated": True}),
        ("exchanged_unembeddings", {"exchanged": True}),
    ],
)
def test_a_generator_that_tests_may_name_fits_together(name: str, which: dict[str, int]) -> None:
    made, again = (GENERATORS.get(name)(**which, inputs_per_class=7, seed=3) for _ in range(2))
    labels, features = made.model.unembedding.shape
    assert made.probe.shape == made.fit.shape == (7 * labels, features)
    assert made.probe_targets.bincount().tolist() == made.fit_targets.bincount().tolist() == [7] * labels
    assert {made.probe.dtype, made.fit.dtype, made.model.unembedding.dtype} == {torch.float64}
    assert torch.equal(again.probe, made.probe)
