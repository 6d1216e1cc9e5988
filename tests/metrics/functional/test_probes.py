"""Linear probes: against ridge regression written out, and by what they must and must not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from simbench.metrics.functional.probes import pooled, probe_accuracy, probe_accuracy_difference, ridge_predictions
from simbench.metrics.kernels.prediction import PENALTIES
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS, TRANSFORMS
from simbench.representations.representation import Representation, SpatialRule

PROBE = METRICS.get("probe_accuracy_difference")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labelled(features: int = 8, noise: float = 1.0, seed: int = 0, rows: int = 300) -> Representation:
    """Four classes around four centres; the probe has as many inputs as the fit."""
    targets = torch.arange(2 * rows) % 4
    activations = 2 * normal(4, features, seed=99)[targets] + noise * normal(2 * rows, features, seed=seed)
    fit = Representation(activations[rows:], layer="hidden", targets=targets[rows:])
    return Representation(activations[:rows], layer="hidden", targets=targets[:rows], fit=fit)


def reference_predictions(x: np.ndarray, targets: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Ridge regression by normal equations, the penalty by generalised cross-validation with the hat matrix."""
    y = np.eye(targets.max() + 1)[targets]
    mean, share = x.mean(axis=0), y.mean(axis=0)
    x, y = x - mean, y - share
    largest = np.linalg.norm(x, 2) ** 2
    best = (np.inf, 0.0)
    for candidate in PENALTIES:
        hat = x @ np.linalg.inv(x.T @ x + candidate * largest * np.eye(x.shape[1])) @ x.T
        free = len(x) - 1 - np.trace(hat)
        best = min(best, (np.sum((y - hat @ y) ** 2) / free**2, candidate * largest))
    weights = np.linalg.solve(x.T @ x + best[1] * np.eye(x.shape[1]), x.T @ y)
    return ((new - mean) @ weights + share).argmax(axis=1)


@pytest.mark.parametrize("noise", [0.5, 2.0, 6.0])
def test_the_probe_is_ridge_regression_to_one_hot_labels(noise: float) -> None:
    side = labelled(noise=noise)
    fit = side.fit
    found = ridge_predictions(fit.matrix, fit.targets, side.matrix)
    expected = reference_predictions(fit.matrix.numpy(), fit.targets.numpy(), side.matrix.numpy())
    assert torch.equal(found, torch.tensor(expected))
    assert len(found.unique()) == 4


def test_the_difference_is_that_of_the_accuracies() -> None:
    clear, noisy = labelled(noise=0.5), labelled(noise=6.0)
    accuracies = []
    for side in (clear, noisy):
        predicted = ridge_predictions(side.fit.matrix, side.fit.targets, side.matrix)
        accuracies.append(float((predicted == side.targets).double().mean()))
    assert accuracies[0] > 0.95
    assert accuracies[1] < 0.8
    assert probe_accuracy_difference(clear, noisy) == pytest.approx(accuracies[0] - accuracies[1])


def test_unlabelled_noise_is_read_at_chance() -> None:
    side = labelled(noise=1.0)
    blind = replace(side, activations=normal(300, 8), fit=replace(side.fit, activations=normal(300, 8, seed=1)))
    assert probe_accuracy(blind) == pytest.approx(0.25, abs=0.1)


def test_labels_may_be_any_numbers() -> None:
    side = labelled()
    renamed = replace(side, targets=3 * side.targets + 7, fit=replace(side.fit, targets=3 * side.fit.targets + 7))
    assert probe_accuracy(renamed) == probe_accuracy(side) > 0.9


def test_a_label_that_was_never_fitted_is_never_right() -> None:
    side = labelled(noise=0.1)
    known = side.fit.targets < 3
    fit = replace(side.fit, activations=side.fit.activations[known], targets=side.fit.targets[known])
    assert probe_accuracy(replace(side, fit=fit)) == pytest.approx(0.75)


@pytest.mark.parametrize("transform", ["orthogonal", "isotropic_scaling", "translation", "permutation"])
def test_the_accuracy_is_invariant_to_similarities(transform: str) -> None:
    side = labelled(noise=3.0)
    mapped = TRANSFORMS.get(transform)(side, seed=0)
    assert probe_accuracy(mapped) == probe_accuracy(side)


def test_wide_and_duplicated_features_are_no_obstacle() -> None:
    side = labelled(features=400, noise=3.0, rows=120)
    doubled = replace(
        side,
        activations=torch.cat([side.activations] * 2, dim=1),
        fit=replace(side.fit, activations=torch.cat([side.fit.activations] * 2, dim=1)),
    )
    assert probe_accuracy(doubled) == probe_accuracy(side) > 0.9


@pytest.mark.parametrize("mode", ["positions", "pool", "flatten"])
def test_positions_are_averaged_whatever_the_spatial_rule(mode) -> None:
    maps = normal(20, 3, 4, 5)
    side = Representation(maps, layout="channels_first", spatial=SpatialRule(mode))
    assert torch.allclose(pooled(side), maps.mean(dim=(2, 3)))
    tokens = Representation(maps.flatten(2).transpose(1, 2), layout="tokens", spatial=SpatialRule(mode))
    assert torch.allclose(pooled(tokens), maps.mean(dim=(2, 3)))


def test_layers_with_and_without_positions_are_compared() -> None:
    side = labelled()
    spread = side.activations[:, :, None] + normal(300, 8, 6)
    fit_spread = side.fit.activations[:, :, None] + normal(300, 8, 6, seed=1)
    with_positions = replace(
        side,
        activations=spread,
        layout="channels_first",
        fit=replace(side.fit, activations=fit_spread, layout="channels_first"),
    )
    (score,) = score_pairs(PROBE, [side, with_positions], [(0, 1)])
    assert score.status == "ok"
    assert score.value < 0.1


def test_each_representation_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = []

    def counted(representation: Representation) -> float:
        fitted.append(representation)
        return probe_accuracy(representation)

    sides = [labelled(noise=noise) for noise in (1.0, 3.0, 6.0)]
    pairs = [(a, b) for a in range(3) for b in range(3)]
    scores = score_pairs(replace(PROBE, prepare=counted), sides, pairs)
    assert len(fitted) == 3
    expected = [probe_accuracy_difference(sides[a], sides[b]) for a, b in pairs]
    assert [score.value for score in scores] == expected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fit": None}, "probe_accuracy_difference needs a fit; hidden has none"),
        ({"targets": None}, "probe_accuracy_difference needs a targets; hidden has none"),
        ({"fit": {"targets": None}}, "a linear probe needs fitting inputs with targets"),
        (
            {"fit": {"targets": torch.ones(300, dtype=torch.long)}},
            "all fitting inputs of the linear probe have the same label",
        ),
        ({"fit": {"activations": torch.ones(300, 8)}}, "no variance: all rows are equal"),
    ],
)
def test_what_cannot_be_probed_is_a_skip(change: dict, reason: str) -> None:
    side = labelled()
    if isinstance(change.get("fit"), dict):
        change = {"fit": replace(side.fit, **change["fit"])}
    (score,) = score_pairs(PROBE, [replace(side, **change), labelled(noise=2.0)], [(0, 1)])
    assert (score.status, score.reason) == ("skip", reason)
