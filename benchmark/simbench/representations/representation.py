"""Representations: the objects that metrics compare."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from simbench.representations.layouts import SEQUENCE_AXES, DeclaredLayout, declared_as
from simbench.representations.layouts import Layout as Layout
from simbench.representations.padding import extent_of_real, fitting_mask
from simbench.representations.spatial import SpatialMode as SpatialMode
from simbench.representations.spatial import SpatialRule as SpatialRule
from simbench.representations.spatial import feature_axis, rows_of
from simbench.representations.spatial import relative_positions as relative_positions
from simbench.representations.tensors import as_floating, as_tensor


@dataclass(frozen=True)
class Head:
    """Linear read-out: logits = embedding @ unembedding.T + bias. Shapes (labels, features) and (labels,)."""

    unembedding: Tensor
    bias: Tensor


class RepresentedModel(Protocol):
    """Interface of a model that a representation gives to model-based metrics."""

    def continue_from(self, layer: str, activations: Tensor, inputs: Any = None) -> Tensor:
        """Return the logits if `activations` replace the output of `layer`."""
        ...

    def head(self) -> Head | None:
        """Return the linear read-out at the end, if there is one."""
        ...


@dataclass(frozen=True)
class Summary:
    """Facts about activations with positions of which only the rows of the matrix were kept.

    Attributes:
        shape: the shape that they had.
        largest: the largest of their magnitudes; NaN or infinite if one of them is.
        spread: the largest difference of one number between two inputs.
    """

    shape: tuple[int, ...]
    largest: float
    spread: float


@dataclass(frozen=True)
class Representation:
    """Activations of one layer on the probe inputs.

    Attributes:
        activations: `(n, d)`, or with positions `(n, c, l)`, `(n, c, h, w)` (layout `channels_first`), `(n, l, c)`,
            `(n, h, w, c)` (layout `channels_last`), `(n, t, d)` (layout `tokens`).
        layout: the axis that holds the features.
        layer: the layer's name.
        model: the model, if it can continue from this layer; None for arrays from elsewhere.
        inputs: the probe inputs, a tensor or items, for models whose continuation needs them.
        targets: labels of the probe inputs, `(n,)`.
        classes: the number of labels.
        fit: the same layer on the fitting inputs, for metrics that learn a map.
        spatial: the rule by which positions become rows of `matrix`.
        at_head: whether the model's head reads this layer, so that its logits are `head(activations)`.
        given: whether it is given as activations, in a suite, with no network behind it.
        summary: what is known of the activations, where `activations` are only the rows of the matrix.
        largest_input: the largest magnitude of the inputs, if they are numbers.
        mask: which tokens `(n, t)` are real; None if all are. By default taken from inputs with negative ids, where the
            layer's tokens are as many as theirs.
        remarks: what a reader of scores should know of how the rows were made.
    """

    activations: Tensor
    layout: Layout = "vector"
    layer: str = ""
    model: RepresentedModel | None = None
    inputs: Any = None
    targets: Tensor | None = None
    classes: int | None = None
    fit: Representation | None = None
    spatial: SpatialRule = field(default_factory=SpatialRule)
    at_head: bool = False
    given: bool = False
    summary: Summary | None = None
    largest_input: float | None = None
    mask: Tensor | None = None
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Take the mask from the inputs where none is given; drop one that does not belong to these activations."""
        sequences = self.layout == "tokens" and self.activations.ndim == SEQUENCE_AXES
        tokens = tuple(self.activations.shape[:2]) if sequences else None
        object.__setattr__(self, "mask", fitting_mask(self.mask, self.inputs, tokens))

    @classmethod
    def from_array(cls, array: object, layer: str = "", layout: DeclaredLayout | None = None) -> Representation:
        """Wrap an array as a representation without a model; raise `ValueError` if it is none that can be compared.

        Without a `layout`, it is 2-D `(n, d)`, 3-D `(n, t, d)` or 4-D `(n, c, h, w)`.
        """
        tensor = as_tensor(array) if isinstance(array, Tensor) else as_tensor(array).clone()
        layouts: dict[int, Layout] = {1: "vector", 2: "vector", 3: "tokens", 4: "channels_first"}
        shape, name = tuple(tensor.shape), layer or "array"
        if tensor.is_complex():
            raise ValueError(f"{name}: a real array is needed; these numbers are complex")
        if tensor.ndim == 0 or (tensor.ndim not in layouts and layout is None):
            raise ValueError(f"{name}: a real array of at most 4 dimensions is needed, or its layout; got {shape}")
        if tensor.ndim == 1:
            tensor = tensor[:, None]
        try:
            tensor = as_floating(tensor)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        return cls(tensor, declared_as(layout, tensor.ndim) or layouts[tensor.ndim], layer)

    def derive_from(self, original: Representation) -> None:
        """Copy what is computed from the activations from `original`, which this is a copy of, rather than compute it.

        So it can be held against the original's, and is computed once for all copies.
        """
        self.__dict__["_original"] = original

    @property
    def _original(self) -> Representation | None:
        original: Representation | None = self.__dict__.get("_original")
        return original

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the activations `(n, …)`, also where only rows of the matrix were kept of them."""
        return tuple(self.activations.shape) if self.summary is None else self.summary.shape

    @property
    def extent(self) -> tuple[float, float]:
        """Largest magnitude, and largest difference of one number between two inputs; NaN if there is one."""
        if self.summary is not None:
            return self.summary.largest, self.summary.spread
        return extent_of_real(self.activations, self.mask)

    @property
    def feature_axis(self) -> int:
        """Axis of `activations` that holds the features."""
        return feature_axis(self.layout, self.activations.ndim)

    @property
    def features(self) -> int:
        """Number of features: units, channels or the width of a token."""
        return self.activations.shape[self.feature_axis]

    @cached_property
    def matrix(self) -> Tensor:
        """Matrix `(rows, features)` under the suite's spatial rule, in the dtype of the activations."""
        if self._original is not None:
            return self._original.matrix.clone()
        return rows_of(self.activations, self.layout, self.spatial, mask=self.mask, layer=self.layer)

    @cached_property
    def logits(self) -> Tensor:
        """Logits `(n, labels)` of the model continuing from these activations."""
        if self._original is not None:
            return self._original.logits.clone()
        if self.model is None:
            raise ValueError(f"{self.layer or 'the representation'} has no model")
        with torch.no_grad():
            return self.model.continue_from(self.layer, self.activations, self.inputs)

    @cached_property
    def log_probabilities(self) -> Tensor:
        """Log-softmax of the logits, `(n, labels)`, float64."""
        if self._original is not None:
            return self._original.log_probabilities.clone()
        return torch.log_softmax(self.logits.double(), dim=1)

    def offers(self, need: str) -> bool:
        """Tell whether this representation has a `model`, `head`, `fit`, `targets` or a `sequence` of tokens."""
        return {
            "model": self.model is not None,
            "head": self.model is not None and self.at_head,
            "fit": self.fit is not None,
            "targets": self.targets is not None,
            "sequence": self.layout == "tokens" and self.activations.ndim == SEQUENCE_AXES,
        }[need]

    def with_activations(self, activations: Tensor) -> Representation:
        """Return this representation with other activations."""
        return replace(self, activations=activations)
