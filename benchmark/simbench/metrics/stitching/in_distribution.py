"""Energy-based test of whether stitched activations are in distribution for the receiver.

The test kind `in_distribution` reads it as a reference variable. It is no similarity index: a map that makes every
sender's activations look native says nothing of how similar sender and receiver are, and activations may even look more
native than native ones, so that a layer is not the closest to itself. It says whether a stitching metric scores the
receiver as it works by itself, or a receiver driven by activations that it never produces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simbench.bounds import Epochs
from simbench.declaration import MapSearch
from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.metric import Pairs, Score, metric
from simbench.metrics.stitching.affine_maps import Affine, MapsOfPairs, apply_map, resize, solve_maps
from simbench.metrics.stitching.energy_detector import EnergyDetector, far_noise, train_detector
from simbench.metrics.stitching.family import NEEDS, read_off_maps
from simbench.metrics.stitching.trained_maps import TaskTraining, train_maps

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

# The AUROC that a detector must reach on noise before it is believed.
LEAST_SANITY = 0.9


def stitch_in_distribution_many(
    representations: Sequence[Representation],
    pairs: Pairs,
    *,
    mapping: MapSearch = "direct",
    epochs: Epochs = 30,
) -> list[Score]:
    """Score many pairs with one detector per receiver."""
    judges: dict[int, Judge | NotApplicable] = {}

    def score(sender: Representation, receiver: Representation, affine: Affine) -> Score:
        judge = judges.get(id(receiver))
        if judge is None:
            judge = judges[id(receiver)] = _make_judge(receiver)
        if isinstance(judge, NotApplicable):
            raise judge
        return judge.score(apply_map(resize(sender, receiver), sender.feature_axis, receiver, affine))

    return read_off_maps(score, representations, pairs, _maps(representations, pairs, mapping, epochs))


@metric(
    "stitch_in_distribution",
    version=1,
    higher_is_more_similar=False,
    value_range=(0, 1),
    pairs_inputs=False,
    needs=NEEDS,
    family="stitching",
    formula="AUROC of −E on native (positive) against stitched activations, E = −log Σ exp of a detector's logits",
    reference="Balogh & Jelasity (2025), arXiv 2412.11299; Liu et al. (2020), Energy-based Out-of-distribution "
    "Detection; outliers and classifier ours",
    cost="heavy",
    compare_many=stitch_in_distribution_many,
)
def stitch_in_distribution(
    sender: Representation,
    receiver: Representation,
    *,
    mapping: MapSearch = "direct",
    epochs: Epochs = 30,
) -> Score:
    """AUROC with which an energy detector tells the receiver's own activations from stitched ones.

    Range [0, 1]: 0.5 where they cannot be told apart (a layer matched to itself), 1 where all stitched ones are out of
    distribution; below 0.5 they look more native than native ones. `mapping` is how T is found: `direct`, or `task` as
    in `stitch_task` with as many `epochs`. Skipped where the detector cannot tell noise from native activations.
    """
    return stitch_in_distribution_many([sender, receiver], [(0, 1)], mapping=mapping, epochs=epochs)[0]


class Judge:
    """Receiver's detector, its scores of the receiver's own activations, and its AUROC on noise."""

    def __init__(self, detector: EnergyDetector, receiver: Representation) -> None:
        """Score the receiver's own activations, and check the detector on noise."""
        self.detector = detector
        self.native = -detector.energies(receiver.activations)
        noise = far_noise(receiver.activations, receiver.feature_axis)
        self.sanity, _ = auroc(self.native, -detector.energies(noise))

    def score(self, stitched: Tensor) -> Score:
        """Score native against stitched activations of the same inputs."""
        value, standard_error = auroc(self.native, -self.detector.energies(stitched))
        return Score(value, standard_error=standard_error)


def auroc(positive: Tensor, negative: Tensor) -> tuple[float, float]:
    """Return the share of (positive, negative) pairs in order, ties counted half, and its standard error.

    Both `(n,)`, scores of the same n inputs: the error is that of the mean of each input's part in both roles, so that
    what the two have in common adds nothing to it. DeLong, DeLong & Clarke-Pearson (1988).

    >>> auroc(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 0.0]))[0]
    0.75
    """
    as_positive = _share_below(positive, negative)
    as_negative = 1 - _share_below(negative, positive)
    error = (as_positive + as_negative).std() / len(positive) ** 0.5
    return as_positive.mean().item(), error.item()


def _share_below(scores: Tensor, others: Tensor) -> Tensor:
    """Return for each score the share of the others below it, float64; equal ones count half."""
    ordered = others.sort().values
    below = torch.searchsorted(ordered, scores) + torch.searchsorted(ordered, scores, right=True)
    return below.double() / (2 * len(others))


def _make_judge(receiver: Representation) -> Judge | NotApplicable:
    """Train the receiver's judge; return the reason instead where it cannot be believed."""
    assert receiver.fit is not None
    if receiver.mask is not None or receiver.fit.mask is not None:
        return NotApplicable(f"the detector reads all tokens, and some of {receiver.layer} are padding")
    judge = Judge(train_detector(receiver.fit), receiver)
    if judge.sanity < LEAST_SANITY:
        return NotApplicable(
            f"detector's own sanity: it tells noise from {receiver.layer} with an AUROC of {judge.sanity:.2f} only; "
            f"{LEAST_SANITY} is needed"
        )
    return judge


def _maps(representations: Sequence[Representation], pairs: Pairs, mapping: MapSearch, epochs: int) -> MapsOfPairs:
    if mapping == "direct":
        return solve_maps(representations, pairs)
    return train_maps(representations, pairs, TaskTraining(epochs))
