"""The variants of stitching: each is what its name says, and where it restricts nothing it is what it varies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.metrics.stitching.stitched_networks import (
    FIT_DATA,
    LAYERS,
    WIDTH,
    fit_of,
    layer_of,
    noise_like,
    score,
    value,
)
from torch import Tensor

from simbench.metrics.scoring import score_pairs
from simbench.metrics.stitching.affine_maps import DirectMatching
from simbench.metrics.stitching.map_forms import ANY, LowRank, Orthogonal
from simbench.metrics.stitching.trained_maps import TaskTraining, train_group
from simbench.parameters import ParameterError
from simbench.registry import METRICS, TRANSFORMS
from simbench.representations.representation import Representation

DIRECT = ("stitch_direct_low_rank", "stitch_direct_orthogonal")
TASK = ("stitch_task_direct_init", "stitch_task_soft", "stitch_task_low_rank", "stitch_task_orthogonal")
SETTINGS = TaskTraining(epochs=4, batch_size=64, learning_rate=0.01)
QUICK = {"epochs": 4, "batch_size": 64, "learning_rate": 0.01}


def pair() -> tuple[Representation, Representation]:
    return layer_of("block2", 1), layer_of("block3")


def test_without_training_the_direct_start_is_the_directly_matched_map() -> None:
    (start,) = train_group([pair()], replace(SETTINGS, epochs=0, start="direct"))
    matched = DirectMatching().solve(*pair())
    torch.testing.assert_close(start.weight, matched.weight.float())
    torch.testing.assert_close(start.bias, matched.bias.float())
    assert value("stitch_task_direct_init", *pair(), epochs=0) == value("stitch_direct", *pair())


def test_each_sender_of_a_group_starts_from_its_own_map() -> None:
    senders = [layer_of("block2", 0), layer_of("block2", 1), layer_of("block3", 0)]
    group = [(sender, layer_of("block3")) for sender in senders]
    for one, found in zip(group, train_group(group, replace(SETTINGS, start="direct")), strict=True):
        (alone,) = train_group([one], replace(SETTINGS, start="direct"))
        torch.testing.assert_close(found.weight, alone.weight, rtol=0, atol=1e-4)


def fit_loss(sender: Representation, receiver: Representation, training: TaskTraining, wanted: Tensor) -> float:
    """The cross entropy of the trained stitch on the fitting inputs."""
    (affine,) = train_group([(sender, receiver)], training)
    stitched = fit_of(sender).activations.movedim(1, -1) @ affine.weight.T + affine.bias
    model = fit_of(receiver).model
    assert model is not None
    logits = model.continue_from(receiver.layer, stitched.movedim(-1, 1))
    return float(torch.nn.functional.cross_entropy(logits, wanted))


def test_soft_labels_are_learned_better_from_soft_labels_and_labels_from_labels() -> None:
    outputs = fit_of(layer_of("block3")).logits.softmax(dim=1)
    hard, soft = (replace(SETTINGS, epochs=25, aim=aim) for aim in ("labels", "outputs"))
    assert fit_loss(*pair(), soft, outputs) < fit_loss(*pair(), hard, outputs)
    assert fit_loss(*pair(), hard, FIT_DATA[1]) < fit_loss(*pair(), soft, FIT_DATA[1])


def test_soft_labels_are_each_receivers_own() -> None:
    sender, receiver = pair()
    turned = TRANSFORMS.get("row_shuffle")(receiver, seed=0)
    training = replace(SETTINGS, aim="outputs")
    together = train_group([(sender, receiver), (sender, turned)], training)
    for found, one in zip(together, (receiver, turned), strict=True):
        (alone,) = train_group([(sender, one)], training)
        torch.testing.assert_close(found.weight, alone.weight, rtol=0, atol=1e-5)
    assert (together[0].weight - together[1].weight).abs().max() > 0.01


@pytest.mark.parametrize("training", [replace(SETTINGS, form=LowRank(2)), replace(SETTINGS, form=Orthogonal())])
def test_a_trained_map_has_its_form_and_does_not_depend_on_its_company(training: TaskTraining) -> None:
    senders = [layer_of("block2", 0), layer_of("block2", 1), layer_of("block3", 1)]
    group = [(sender, layer_of("block3")) for sender in senders]
    (start,) = train_group(group[:1], replace(training, epochs=0))
    for one, found in zip(group, train_group(group, training), strict=True):
        (alone,) = train_group([one], training)
        torch.testing.assert_close(found.weight, alone.weight, rtol=0, atol=1e-4)
        assert (found.weight - start.weight).abs().max() > 0.05
        if isinstance(training.form, LowRank):
            assert torch.linalg.matrix_rank(found.weight, rtol=1e-4) == 2
        else:
            torch.testing.assert_close(found.weight @ found.weight.T, torch.eye(WIDTH), rtol=0, atol=1e-4)


def test_weight_decay_does_not_pull_a_rotation_back() -> None:
    plain, decayed = (replace(SETTINGS, form=Orthogonal(), weight_decay=decay) for decay in (0.0, 1e-6))
    one, other = (train_group([pair()], training)[0].weight for training in (plain, decayed))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-3)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_matched_to_itself_by_a_rotation_is_the_network(layer: str) -> None:
    own = layer_of(layer)
    turned = TRANSFORMS.get("orthogonal")(own, seed=1)
    assert value("stitch_direct_orthogonal", own, own) == 1.0
    assert value("stitch_direct_orthogonal", turned, own) == pytest.approx(1.0, abs=0.01)


def test_a_rotation_does_not_undo_a_scale() -> None:
    own = layer_of("block3")
    scaled = replace(
        own.with_activations(4 * own.activations), fit=fit_of(own).with_activations(4 * fit_of(own).activations)
    )
    for form, size in ((Orthogonal(), 1.0), (ANY, 0.25)):
        weight = DirectMatching(form).solve(scaled, own).weight
        torch.testing.assert_close(weight, size * torch.eye(WIDTH).double(), rtol=0, atol=1e-6)


def test_more_rank_explains_more_and_full_rank_is_direct_matching() -> None:
    sender, receiver = pair()
    errors = []
    for rank in range(1, WIDTH + 1):
        affine = DirectMatching(LowRank(rank)).solve(sender, receiver)
        source, target = (fit_of(one).activations.movedim(1, -1).double() for one in (sender, receiver))
        errors.append(float((source @ affine.weight.T + affine.bias - target).square().sum()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1.05 * errors[-1]
    assert value("stitch_direct_low_rank", *pair(), rank=WIDTH) == value("stitch_direct", *pair())
    assert value("stitch_direct_low_rank", receiver, receiver, rank=1) < 0.9


def test_a_low_rank_task_map_of_full_rank_starts_where_the_plain_one_does() -> None:
    (plain,) = train_group([pair()], replace(SETTINGS, epochs=0))
    (factorised,) = train_group([pair()], replace(SETTINGS, epochs=0, form=LowRank(WIDTH)))
    torch.testing.assert_close(factorised.weight, plain.weight, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TASK)
def test_a_layer_trained_to_itself_keeps_the_accuracy_and_label_free_noise_does_not(name: str) -> None:
    receiver = layer_of("block3")
    assert value(name, receiver, receiver, epochs=30, learning_rate=0.02) > 0.85
    assert value(name, noise_like(receiver, 0), receiver, epochs=5, learning_rate=0.02) < 0.2


@pytest.mark.parametrize("name", [*DIRECT, *TASK])
def test_a_score_of_many_pairs_is_that_of_each_pair(name: str) -> None:
    metric = METRICS.get(name).with_parameters(QUICK if name in TASK else {})
    representations = [layer_of(layer, model) for model in (0, 1) for layer in ("block2", "block3")]
    pairs = [(0, 1), (2, 1), (3, 1), (1, 0)]
    for (a, b), found in zip(pairs, score_pairs(metric, representations, pairs), strict=True):
        alone = metric.function(representations[a], representations[b], **metric.parameters)
        assert found.value == pytest.approx(alone.value, abs=0.01)


def test_a_direct_start_is_skipped_where_direct_matching_is_and_takes_no_other_with_it() -> None:
    def short(one: Representation) -> Representation:
        fit = fit_of(one)
        assert fit.targets is not None
        assert fit.inputs is not None
        part = replace(fit, activations=fit.activations[:34], targets=fit.targets[:34], inputs=fit.inputs[:34])
        return replace(one, fit=part)

    whole = layer_of("embedding", 1), layer_of("embedding")
    metric = METRICS.get("stitch_task_direct_init").with_parameters(QUICK)
    found = score_pairs(metric, [*map(short, whole), *whole], [(0, 1), (2, 3)])
    assert [one.status for one in found] == ["skip", "ok"]
    assert found[0].reason == "matching 6 features needs 35 rows; there are 34"


@pytest.mark.parametrize("name", [*DIRECT, *TASK])
def test_a_vector_and_positions_have_no_map_between_them(name: str) -> None:
    found = score(name, layer_of("embedding"), layer_of("block3"))
    assert found.status == "skip"
    assert found.reason is not None
    assert found.reason.endswith("no map between them")


@pytest.mark.parametrize("name", ["stitch_direct_low_rank", "stitch_task_low_rank"])
def test_a_rank_of_zero_is_refused(name: str) -> None:
    with pytest.raises(ParameterError):
        METRICS.get(name).with_parameters({"rank": 0})
