"""Representations: the objects that metrics compare."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from simbench.representations.layouts import SEQUENCE_AXES, DeclaredLayout, declared_as
from simbench.representations.layouts import Layout as Layout
from simbench.representations.tensors import as_floating, as_tensor
from simbench.seeds import seed_for

SpatialMode = Literal["positions", "pool", "flatten", "all"]


@dataclass(frozen=True)
class SpatialRule:
    """Rule by which activations with positions become a matrix, the same for a whole suite.

    * `positions`: rows are (input, position) pairs. `rows // inputs` relative positions are drawn per input, the same
      for every layer, and each layer is read at the nearest of its own positions, so that layers of different spatial
      size keep corresponding rows.
    * `pool`: rows are inputs, features are averaged over positions.
    * `flatten`: rows are inputs, every (feature, position) pair is a column.
    * `all`: rows are all (input, position) pairs, for positions that have been drawn already.
    """

    mode: SpatialMode = "positions"
    rows: int | None = None


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
    def feature_axis(self) -> int:
        """Axis of `activations` that holds the features."""
        return self.activations.ndim - 1 if self.layout in ("tokens", "channels_last") else 1

    @property
    def features(self) -> int:
        """Number of features: units, channels or the width of a token."""
        return self.activations.shape[self.feature_axis]

    @cached_property
    def matrix(self) -> Tensor:
        """Matrix `(rows, features)` under the suite's spatial rule, in the dtype of the activations."""
        if self._original is not None:
            return self._original.matrix.clone()
        if self.activations.ndim == 2:
            return self.activations
        inputs, features = self.activations.shape[0], self.features
        positions = self.activations.movedim(self.feature_axis, -1)
        if self.spatial.mode == "flatten":
            return positions.reshape(inputs, -1)
        if self.spatial.mode == "pool":
            return positions.reshape(inputs, -1, features).mean(dim=1)
        if self.spatial.mode == "all":
            return positions.reshape(-1, features)
        grid = positions.shape[1:-1]
        chosen = relative_positions(inputs, len(grid), self.spatial.rows).to(positions.device)
        index = [(chosen[..., axis] * size).long().clamp_max(size - 1) for axis, size in enumerate(grid)]
        each_input = torch.arange(inputs, device=positions.device)[:, None].expand_as(index[0])
        return positions[(each_input, *index)].reshape(-1, features)

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


def relative_positions(inputs: int, axes: int, rows: int | None) -> Tensor:
    """Draw k = max(1, rows // inputs) positions per input, the same for all layers: `(inputs, k, axes)` in [0, 1)."""
    per_input = max(1, (rows or inputs) // inputs)
    generator = torch.Generator().manual_seed(seed_for(purpose="positions", inputs=inputs, axes=axes, rows=per_input))
    return torch.rand(inputs, per_input, axes, generator=generator, dtype=torch.float64)
