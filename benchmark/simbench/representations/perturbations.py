"""Transforms that lose information: noise in place of content, components and rows left out, outliers added.

None of them is function-preserving. Each changes the fitting inputs as it changes the probe, so that a metric that
learns a map learns it on such representations as it is evaluated on; the model stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from simbench.bounds import Width
from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.representations.padding import changed_where_real, real_rows
from simbench.representations.selection import taken
from simbench.representations.transforms import apply_linear, haar_orthogonal, mapped, transform

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")


@transform("noise", version=1, function_preserving=False)
def noise(representation: Representation, generator: Generator, *, ratio: float = 1.0) -> Representation:
    """Add white noise, `ratio` times as strong per feature as the feature's own standard deviation."""

    def noisy(activations: Tensor, side: Representation) -> Tensor:
        return activations + ratio * _moments(activations, side)[1] * _normal_like(activations, generator)

    return _on_both_sides(representation, noisy)


@transform("iid_noise", version=1, function_preserving=False)
def iid_noise(representation: Representation, generator: Generator) -> Representation:
    """Replace the activations by Gaussian noise with each feature's mean and deviation, independent of the inputs."""

    def drawn(activations: Tensor, side: Representation) -> Tensor:
        mean, deviation = _moments(activations, side)
        return mean + deviation * _normal_like(activations, generator)

    return _on_both_sides(representation, drawn)


@transform("class_noise", version=1, function_preserving=False)
def class_noise(representation: Representation, generator: Generator, *, ratio: float = 0.5) -> Representation:
    """Replace the activations by a random centre per label plus noise, `ratio` times as strong.

    After Smith et al. (2025): a map stitched from such a sender to a trained receiver gets all of the label and nothing
    else of the image.
    """
    if representation.targets is None or representation.classes is None:
        raise NotApplicable("class_noise needs the labels of the probe inputs (`targets` of a group of activations)")
    centres = torch.randn(representation.classes, representation.features, generator=generator, dtype=torch.float64)

    def clustered(side: Representation) -> Representation:
        assert side.targets is not None
        activations = side.activations
        shape = [len(activations)] + [1] * (activations.ndim - 1)
        shape[representation.feature_axis] = representation.features
        centre = centres.to(activations.device)[side.targets.to(activations.device)].reshape(shape)
        drawn = centre + ratio * _normal_like(activations, generator)
        return side.with_activations(changed_where_real(side, drawn.to(activations.dtype)))

    changed = clustered(representation)
    return replace(changed, fit=clustered(changed.fit) if changed.fit is not None else None)


@transform("top_components", version=1, function_preserving=False)
def top_components(representation: Representation, generator: Generator, *, share: float = 0.5) -> Representation:
    """Keep the mean and the largest `share` of the principal components of the probe (at least one).

    Ding, Denain and Steinhardt (2021) delete the low-variance ones first; nothing is random here.
    """
    axis = representation.feature_axis
    rows = real_rows(representation).double()
    mean = rows.mean(dim=0)
    vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean)).eigenvectors
    # In floating point, 0.1 · 30 is a little more than 3.
    count = math.ceil(round(share * representation.features, 9))
    kept = vectors[:, -count:]
    projection = kept @ kept.T
    offset = mean - projection @ mean
    return _on_both_sides(representation, lambda activations, _: apply_linear(activations, projection, offset, axis))


@transform("row_subset", version=1, function_preserving=False, of_rows=["pool", "last", "cls"])
def row_subset(representation: Representation, generator: Generator, *, inputs: int = 10) -> Representation:
    """Keep `inputs` randomly chosen probe inputs, in their order; the same ones for the same seed."""
    available = len(representation.activations)
    if inputs > available:
        raise NotApplicable(f"row_subset asks for {inputs} of {available} probe inputs")
    rule = representation.spatial  # as many positions per input as before
    kept = torch.randperm(available, generator=generator)[:inputs].sort().values.to(representation.activations.device)

    return replace(
        representation,
        activations=representation.activations[kept],
        summary=None,
        inputs=None if representation.inputs is None else taken(representation.inputs, kept),
        targets=None if representation.targets is None else taken(representation.targets, kept),
        mask=None if representation.mask is None else taken(representation.mask, kept),
        spatial=replace(rule, rows=rule.rows * inputs // available if rule.rows is not None else None),
    )


@transform("outlier_rows", version=1, function_preserving=False)
def outlier_rows(
    representation: Representation, generator: Generator, *, share: float = 0.01, distance: float = 10.0
) -> Representation:
    """Move a `share` of the inputs (at least one) together, by `distance` times the root mean square norm.

    After Davari et al. (2022), who move a subset of the points along one direction and leave the rest alone.
    """
    direction = torch.randn(representation.features, generator=generator, dtype=torch.float64)
    direction = direction / direction.norm()

    def moved(activations: Tensor, side: Representation) -> Tensor:
        rows, real = activations.movedim(representation.feature_axis, -1), real_rows(side, activations)
        norm = (real - real.mean(dim=0)).square().sum(dim=-1).mean().sqrt()
        count = max(1, round(share * len(rows)))
        chosen = torch.randperm(len(rows), generator=generator)[:count].to(activations.device)
        changed = rows.clone()
        changed[chosen] += distance * norm * direction.to(activations.device)
        return changed.movedim(-1, representation.feature_axis)

    return _on_both_sides(representation, moved)


@transform("block_rotation", version=1, function_preserving=True)
def block_rotation(representation: Representation, generator: Generator, *, size: Width = 4) -> Representation:
    """Rotate consecutive blocks of `size` features, each by a Haar orthogonal matrix of its own."""
    sizes = [min(size, representation.features - start) for start in range(0, representation.features, size)]
    blocks = [haar_orthogonal(size, generator) for size in sizes]
    return mapped(representation, torch.block_diag(*blocks))  # type: ignore[no-untyped-call]


def _on_both_sides(
    representation: Representation, change: Callable[[Tensor, Representation], Tensor]
) -> Representation:
    """Change the activations of the probe and of the fitting inputs in float64, and return them in their dtype.

    Padding stays as it is.
    """

    def changed(side: Representation) -> Representation:
        whole = change(side.activations.double(), side).to(side.activations.dtype)
        return side.with_activations(changed_where_real(side, whole))

    both = changed(representation)
    return replace(both, fit=changed(both.fit) if both.fit is not None else None)


def _all_but(representation: Representation) -> list[int]:
    """Return all axes but that of the features."""
    return [axis for axis in range(representation.activations.ndim) if axis != representation.feature_axis]


def _moments(activations: Tensor, representation: Representation) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of every feature over all but padding, shaped to be combined with the activations."""
    if representation.mask is None:
        axes = _all_but(representation)
        return activations.mean(dim=axes, keepdim=True), activations.std(dim=axes, keepdim=True, correction=0)
    rows = real_rows(representation, activations)
    return rows.mean(dim=0), rows.std(dim=0, correction=0)


def _normal_like(activations: Tensor, generator: Generator) -> Tensor:
    """Draw standard normal numbers of the shape of `activations`, float64, the same on every device."""
    return torch.randn(activations.shape, generator=generator, dtype=torch.float64).to(activations.device)
