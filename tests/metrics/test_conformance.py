"""Every registered metric passes the conformance kit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from simbench.metrics.stitching import in_distribution
from simbench.metrics.stitching.energy_detector import EnergyDetector, train_detector
from simbench.registry import METRICS
from simbench.representations.representation import Representation
from simbench.testing import check_metric
from simbench.testing.conformance import COULD_BE_DECLARED

# What a test kind asks for beside the indices: that nothing is closer to a layer than itself is no claim of theirs.
REFERENCE_VARIABLES = {"stitch_in_distribution"}
SLOW = pytest.mark.slow
TRAINED = (
    *("stitch_task", "stitch_task_agreement", "stitch_task_direct_init", "stitch_task_soft"),
    *("stitch_task_low_rank", "stitch_task_orthogonal"),
)
# Over half a second each: `make quick` asks all others.
TAKES_LONG = {
    *REFERENCE_VARIABLES,
    *TRAINED,
    *("d_rep", "geometry_score", "gromov_wasserstein", "identifiability_fg", "imd", "logit_map_loss"),
    *("pls_predictivity", "rtd", "sparse_prediction", "spectral_clusters"),
}
# Metrics whose self-comparison need not be at the end of the range, and why.
INEXACT = {
    **dict.fromkeys(TRAINED, "a map learnt in a few steps need not find the identity"),
    **dict.fromkeys(REFERENCE_VARIABLES, "0.5 where native and stitched activations cannot be told apart"),
    "stitch_direct_low_rank": "a map of low rank is not the identity",
    "linear_predictivity": "held-out rows, from few fitted ones, with a penalty",
    "pls_predictivity": "held-out rows",
    "sparse_prediction": "the penalty costs α² of the variance",
    "subspace_match": "dead units are in no match and count",
    "subspace_match_auc": "dead units are in no match and count",
    "cka_dimension_corrected": "no value of itself is known: its units are no separate samples",
}
EXACT = 1e-12
# What held on all inputs of the kit and is true of some inputs only.
UNDECLARED = {
    ("dsa", "triangle inequality"): "holds among operators of one size only: smaller ones are filled up with zeros",
    ("logit_map_loss", "triangle inequality"): "differences are weighed by the first model's unembeddings",
}
# What the kit cannot measure of a registered metric, and why.
UNMEASURED = {("geometry_score", "triangle inequality"): "not declared, and no value for matrices as short as those"}


def memoised_training() -> Callable[[Representation], EnergyDetector]:
    """Train one detector for equal activations in one state of the global generator, in any other one anew."""
    detectors: dict[tuple[bytes, ...], EnergyDetector] = {}

    def train(native: Representation) -> EnergyDetector:
        assert native.targets is not None
        tensors = (native.activations, native.targets, torch.get_rng_state())
        key = (native.layer.encode(), *(tensor.contiguous().numpy().tobytes() for tensor in tensors))
        if key not in detectors:
            detectors[key] = train_detector(native)
        return detectors[key]

    return train


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=SLOW) if name in TAKES_LONG else name for name in METRICS.names()]
)
def test_a_registered_metric_keeps_what_it_declares_and_declares_what_it_keeps(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in REFERENCE_VARIABLES:
        monkeypatch.setattr(in_distribution, "train_detector", memoised_training())
    metric = METRICS.get(name)
    found = check_metric(metric)
    assert {finding.property for finding in found if finding.ok is None} == {
        of for who, of in UNMEASURED if who == name
    }
    broken = [finding for finding in found if finding.ok is False]
    assert [
        finding for finding in broken if not (name in REFERENCE_VARIABLES and finding.property.startswith("identity"))
    ] == []
    more = {finding.property for finding in found if finding.detail == COULD_BE_DECLARED}
    assert more == {what for who, what in UNDECLARED if who == name}
    away = [float(finding.measured.split()[0]) for finding in found if finding.property == "self-comparison"]
    assert name in INEXACT or all(distance <= EXACT for distance in away)


@pytest.mark.parametrize("name", ["cka", "cca", "svcca", "pwcca", "procrustes", "identifiability_svd"])
@pytest.mark.parametrize("seed", [1, 2])
def test_declarations_hold_on_other_inputs_too(name: str, seed: int) -> None:
    assert [finding for finding in check_metric(METRICS.get(name), seed=seed) if not finding.ok] == []
