"""Representations of models that are given as activations: read from their files, mapped into memory."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from torch import Tensor

from simbench.errors import NotApplicable, SimbenchError
from simbench.files import file_digest
from simbench.plan.given import LABELS
from simbench.plan.plan import PlannedModel
from simbench.references import RepresentationRef
from simbench.representations.array_files import load_array
from simbench.representations.layouts import declared_as, layouts_of, undecided
from simbench.representations.representation import Representation, SpatialRule
from simbench.suite.array_outlines import split_reference
from simbench.suite.schema import Probe

# Digests of the files that this process has read, by all that changes with a file.
_digests: dict[tuple[Any, ...], str] = {}


def given_representation(
    planned: PlannedModel, ref: RepresentationRef, probe: Probe, device: str, *, with_fit: bool
) -> Representation:
    """Return a layer of a model that is given as activations.

    Raises:
        NotApplicable: the weights are to be reparametrised, and there are none.
        SimbenchError: a file is missing or damaged, or not as it was when the run was planned, or it cannot be told
            which axis holds the features.
    """
    if ref.reparametrisation is not None:
        raise NotApplicable(f"{ref.model} is given as activations, with no network to reparametrise")
    representation = _read(planned, ref, probe, device, "probe")
    assert planned.spec is not None
    if with_fit and planned.spec.fit is not None:
        return replace(representation, fit=_read(planned, ref, probe, device, "fit"))
    return representation


def _read(planned: PlannedModel, ref: RepresentationRef, probe: Probe, device: str, inputs: str) -> Representation:
    spec, given = planned.spec, planned.given
    assert spec is not None
    assert given is not None
    reference = spec.arrays(ref.model, inputs)[ref.layer]
    array = _unchanged(reference, given["activations"][inputs][ref.layer])
    shape, declared = tuple(array.shape), spec.declared_layout(ref.layer)
    layout = declared_as(declared, len(shape)) or layouts_of([shape])[0]
    if layout is None:
        if probe.spatial != "flatten":
            raise SimbenchError(undecided(reference, shape))
        layout = "channels_last"  # flattened, columns stay in the order of the array
    try:
        read = Representation.from_array(array, ref.layer, None if layout == "vector" else layout)
    except ValueError as error:
        raise SimbenchError(str(error)) from None
    labels = getattr(spec, LABELS[inputs])
    targets = None if labels is None else _unchanged(labels, given["activations"][LABELS[inputs]]).long().to(device)
    if targets is not None and int(targets.min()) < 0:
        raise SimbenchError(f"{labels}: labels count from 0; the least is {int(targets.min())}")
    return replace(
        read,
        activations=read.activations.to(device),
        targets=targets,
        classes=None if targets is None else int(targets.max()) + 1,
        spatial=SpatialRule(probe.spatial, probe.rows),
        given=True,
    )


def _unchanged(reference: str, planned: str) -> Tensor:
    """Load an array; raise `SimbenchError` if its file is not that of the plan any more."""
    path, _ = split_reference(reference)
    before = _state(path)
    array = load_array(reference)
    if before not in _digests:  # hashed after it was opened: then no change in between can go unnoticed
        _digests[before] = file_digest(path)
    if _digests[before] != planned.partition(":")[0] or _state(path) != before:
        raise SimbenchError(f"{path} has changed since this run was planned; start it again")
    return array


def _state(path: os.PathLike[str]) -> tuple[Any, ...]:
    """Return what changes with a file: its place, length and time."""
    try:
        stat = os.stat(path)
    except OSError as error:
        raise SimbenchError(f"{path}: {error.strerror}") from None
    return (os.path.abspath(path), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
