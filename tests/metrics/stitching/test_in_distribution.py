"""The energy detector and its reference variable: what must look native does, what must not does not."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from tests.metrics.stitching.stitched_networks import fit_of, layer_of, noise_like, score, value

from simbench.metrics.scoring import score_pairs
from simbench.metrics.stitching import energy_detector
from simbench.metrics.stitching import in_distribution as stitched_distribution
from simbench.metrics.stitching.affine_maps import DirectMatching
from simbench.metrics.stitching.energy_detector import far_noise, make_outliers, train_detector
from simbench.metrics.stitching.in_distribution import auroc, stitch_in_distribution_many
from simbench.metrics.stitching.trained_maps import TaskTraining, train_group
from simbench.registry import METRICS
from simbench.representations.representation import Layout, Representation

AUROC = "stitch_in_distribution"


def test_auroc_is_the_share_of_ordered_pairs() -> None:
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, 9, (40,), generator=random).double() for _ in range(2))
    share = np.mean([1.0 if x > y else 0.5 * (x == y) for x, y in product(a.tolist(), b.tolist())])
    assert auroc(a, b)[0] == pytest.approx(share)
    assert auroc(b, a)[0] == pytest.approx(1 - share)


def test_the_error_of_auroc_is_the_spread_over_draws_of_inputs() -> None:
    random = torch.Generator().manual_seed(0)
    common = torch.randn(400, 100, generator=random)
    positive = common + torch.randn(400, 100, generator=random) + 0.5
    negative = common + torch.randn(400, 100, generator=random)
    values, errors = zip(*map(auroc, positive, negative), strict=True)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)
    assert auroc(common[0], common[0]) == (0.5, pytest.approx(0.0, abs=1e-12))


@pytest.mark.slow
def test_a_detector_knows_native_held_out_activations_and_is_the_same_every_time() -> None:
    layer = layer_of("block3")
    state = torch.random.get_rng_state()
    detector, again = (train_detector(fit_of(layer)) for _ in range(2))
    one = detector.energies(layer.activations)
    assert torch.equal(one, again.energies(layer.activations))
    assert torch.equal(state, torch.random.get_rng_state())
    assert auroc(-one, -detector.energies(far_noise(layer.activations, 1)))[0] > 0.95
    assert auroc(-one, -detector.energies(noise_like(layer, 0).activations))[0] > 0.95


def test_outliers_are_half_shuffled_features_and_half_random_maps() -> None:
    native = torch.randn(20, 5, 3, generator=torch.Generator().manual_seed(0))
    found = make_outliers(native, torch.Generator().manual_seed(1))
    assert found.shape == native.shape
    for feature in range(3):
        known = {tuple(row) for row in native[:10, :, feature].tolist()}
        assert {tuple(row) for row in found[:10, :, feature].tolist()} == known
    assert not torch.equal(found[:10], native[:10])
    joint = torch.cat([native[10:].flatten(0, 1), found[10:].flatten(0, 1)], dim=1)
    assert torch.linalg.matrix_rank(joint) > 3  # each input has a factor of its own


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["block2", "block3", "embedding"])
def test_a_layer_matched_to_itself_cannot_be_told_apart(layer: str) -> None:
    found = score(AUROC, layer_of(layer), layer_of(layer))
    assert found.status == "ok", found.reason
    assert found.value == pytest.approx(0.5, abs=0.01)
    assert found.standard_error == pytest.approx(0.0, abs=0.01)


@pytest.mark.slow
def test_a_sender_that_knows_nothing_is_told_apart() -> None:
    """Its directly matched map is nearly constant."""
    assert value(AUROC, noise_like(layer_of("block3"), 0), layer_of("block3")) > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("mapping", ["direct", "task"])
def test_the_reference_variable_is_the_auroc_of_the_detector_on_what_the_mapping_makes(mapping: str) -> None:
    sender, receiver = layer_of("block2", 1), layer_of("block3")
    if mapping == "direct":
        affine = DirectMatching().solve(sender, receiver)
    else:
        (affine,) = train_group([(sender, receiver)], TaskTraining(epochs=3))
    stitched = (sender.activations.movedim(1, -1).double() @ affine.weight.double().T + affine.bias).movedim(-1, 1)
    detector = train_detector(fit_of(receiver))
    native, other = (-detector.energies(one) for one in (receiver.activations, stitched.float()))
    assert value(AUROC, sender, receiver, mapping=mapping, epochs=3) == pytest.approx(auroc(native, other)[0], abs=1e-3)


@pytest.mark.slow
def test_a_map_that_has_learned_nothing_is_out_of_distribution() -> None:
    own = layer_of("block3")
    assert value(AUROC, own, own, mapping="task", epochs=0) > 0.9


def test_one_detector_per_receiver_serves_all_its_senders(monkeypatch: pytest.MonkeyPatch) -> None:
    trained_for: list[str] = []

    def counted(native: Representation) -> object:
        trained_for.append(native.layer)
        return train_detector(native)

    monkeypatch.setattr(energy_detector, "STEPS", 5)
    monkeypatch.setattr(stitched_distribution, "LEAST_SANITY", 0)
    layers = [layer_of("block2"), layer_of("block3"), layer_of("block3", 1)]
    pairs = [(0, 1), (1, 0), (2, 1), (1, 1), (2, 0)]
    alone = [score_pairs(METRICS.get(AUROC), [layers[a], layers[b]], [(0, 1)])[0] for a, b in pairs]
    monkeypatch.setattr(stitched_distribution, "train_detector", counted)
    together = stitch_in_distribution_many(layers, pairs)
    assert sorted(trained_for) == ["block2", "block3"]
    assert together == alone
    assert {one.status for one in together} == {"ok"}


def test_a_detector_that_has_learned_nothing_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_detector, "STEPS", 0)
    found = score(AUROC, layer_of("block2"), layer_of("block3"))
    assert found.status == "skip"
    assert found.reason is not None
    assert found.reason.startswith("detector's own sanity: it tells noise from block3 with an AUROC of 0.")


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "shape", "axis"), [("tokens", (6, 5), 2), ("channels_first", (5, 3, 6), 1)])
def test_tokens_and_images_have_detectors(layout: Layout, shape: tuple[int, ...], axis: int) -> None:
    random = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 3, (300,), generator=random)
    activations = torch.randn(3, *shape, generator=random)[targets] + 0.3 * torch.randn(300, *shape, generator=random)
    detector = train_detector(Representation(activations, layout, "somewhere", targets=targets, classes=3))
    native, noise = (detector.energies(one) for one in (activations, far_noise(activations, axis)))
    assert auroc(-native, -noise)[0] > 0.95


def test_metrics_declare_their_map_where_the_detector_can_find_the_same_one() -> None:
    declared = {name: metric.map for name, metric in METRICS if metric.map is not None}
    direct = ("stitch_direct", "stitch_direct_agreement", "stitch_direct_r2", "stitch_direct_relerr")
    assert declared == dict.fromkeys(direct, "direct") | dict.fromkeys(("stitch_task", "stitch_task_agreement"), "task")
    assert not METRICS.get(AUROC).default
