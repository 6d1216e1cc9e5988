"""Transforms of a representation: seeded maps of its features or of its rows.

A map T of the features is *function-preserving* when it is invertible: "apply T after the layer, T⁻¹ before the rest"
is a network with the same outputs. So the transformed representation carries a model whose `continue_from` undoes T,
and invariance tests reach stitching and head metrics as well as matrix metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Field

from simbench.lazy import lazy_import
from simbench.origins import origin_of
from simbench.parameters import checked_parameters
from simbench.registry import TRANSFORMS, Registered
from simbench.representations.padding import real_rows
from simbench.representations.selection import taken

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor

    from simbench.data.items import Items
    from simbench.representations.representation import Head, Representation, RepresentedModel
    from simbench.representations.spatial import SpatialMode
else:
    torch = lazy_import("torch")

LARGEST_CONDITION_NUMBER = 10.0
# Type of a largest condition number; a map that is more ill-conditioned cannot be undone in single precision.
Condition = Annotated[float, Field(ge=1, le=1e6)]


@dataclass(frozen=True)
class Transform(Registered):
    """Registered transform with its declarations.

    Attributes:
        function_preserving: whether the rest of the network undoes it.
        of_rows: spatial rules under which it may be given the rows of the matrix in place of the activations: the
            matrix of what it returns is the same, number by number.
    """

    function_preserving: bool
    of_rows: frozenset[SpatialMode] = frozenset()

    def declared(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that differ from their defaults; raise `ParameterError` if one is invalid."""
        defaults = checked_parameters(self.function, {})
        checked = self.checked(parameters)
        return {key: value for key, value in checked.items() if key not in defaults or defaults[key] != value}

    def __call__(self, representation: Representation, *, seed: int, **parameters: Any) -> Representation:
        """Return the transformed representation; the map depends on the seed and on the representation."""
        generator = torch.Generator().manual_seed(seed)
        transformed: Representation = self.function(representation, generator, **parameters)
        return transformed


F = TypeVar("F", bound="Callable[..., Representation]")


def transform(
    name: str, *, function_preserving: bool, of_rows: Collection[SpatialMode] = (), version: int | None = None
) -> Callable[[F], F]:
    """Register a function of a representation, a generator and keyword-only parameters as a transform.

    Args:
        name: the name that suites use.
        function_preserving: whether the rest of the network can undo the map, so that invariance to it may be asked.
        of_rows: spatial rules under which it may be given the rows of the matrix in place of the activations.
        version: raise it when the map changes; without one, the hash of its code stands for it.

    >>> import simbench
    >>> @simbench.transform("doubling", function_preserving=True, version=1)
    ... def doubling(representation, random, *, factor: float = 2.0):
    ...     return mapped(representation, factor * torch.eye(representation.features, dtype=torch.float64))
    >>> TRANSFORMS.get("doubling").checked({"factor": 3.0})
    {'factor': 3.0}
    """

    def decorate(function: F) -> F:
        declared = Transform(name, function, version, origin_of(function), function_preserving, frozenset(of_rows))
        TRANSFORMS.register(name, declared, declared.origin)
        return function

    return decorate


@transform("permutation", version=1, function_preserving=True)
def permutation(representation: Representation, generator: Generator) -> Representation:
    """Permute the features."""
    order = torch.randperm(representation.features, generator=generator)
    return mapped(representation, torch.eye(representation.features, dtype=torch.float64)[order])


@transform("orthogonal", version=1, function_preserving=True)
def orthogonal(representation: Representation, generator: Generator) -> Representation:
    """Multiply the features by a Haar-distributed orthogonal matrix."""
    return mapped(representation, haar_orthogonal(representation.features, generator))


@transform("isotropic_scaling", version=1, function_preserving=True)
def isotropic_scaling(representation: Representation, generator: Generator) -> Representation:
    """Multiply all activations by one factor, log-uniform in [0.1, 10]."""
    factor = log_uniform(1, 10.0, generator)
    return mapped(representation, factor * torch.eye(representation.features, dtype=torch.float64))


@transform("diagonal_scaling", version=1, function_preserving=True)
def diagonal_scaling(
    representation: Representation, generator: Generator, *, condition: Condition = LARGEST_CONDITION_NUMBER
) -> Representation:
    """Multiply each feature by a positive factor of its own, log-uniform, at most `condition` apart."""
    factors = log_uniform(representation.features, condition**0.5, generator)
    return mapped(representation, torch.diag(factors))


@transform("sign_flip", version=1, function_preserving=True)
def sign_flip(representation: Representation, generator: Generator) -> Representation:
    """Flip the sign of about half of the features."""
    signs = torch.randint(0, 2, (representation.features,), generator=generator).double() * 2 - 1
    return mapped(representation, torch.diag(signs))


@transform("translation", version=1, function_preserving=True)
def translation(representation: Representation, generator: Generator) -> Representation:
    """Add one random vector, of the size of the activations' root mean square, to every row."""
    real = representation.activations if representation.mask is None else real_rows(representation)
    size = real.double().square().mean().sqrt().item()
    offset = size * torch.randn(representation.features, generator=generator, dtype=torch.float64)
    return mapped(representation, torch.eye(representation.features, dtype=torch.float64), offset)


@transform("invertible_linear", version=1, function_preserving=True)
def invertible_linear(
    representation: Representation, generator: Generator, *, condition: Condition = LARGEST_CONDITION_NUMBER
) -> Representation:
    """Multiply the features by a matrix of log-uniform singular values, condition number at most `condition`."""
    return mapped(representation, random_invertible(representation.features, generator, condition))


@transform("affine", version=1, function_preserving=True)
def affine(
    representation: Representation, generator: Generator, *, condition: Condition = LARGEST_CONDITION_NUMBER
) -> Representation:
    """Apply an invertible linear map with a condition number of at most `condition`, then a translation."""
    return translation(invertible_linear(representation, generator, condition=condition), generator)


@transform("copy", version=1, function_preserving=True, of_rows=["pool", "last", "cls", "positions"])
def copy(representation: Representation, generator: Generator) -> Representation:
    """Return the representation unchanged but under another key, so that its comparisons are scored a second time."""
    return representation


@transform("row_shuffle", version=1, function_preserving=False, of_rows=["pool", "last", "cls"])
def row_shuffle(representation: Representation, generator: Generator) -> Representation:
    """Assign the activations to other inputs: the same values without correspondence."""
    order = torch.randperm(representation.activations.shape[0], generator=generator)
    shuffled = replace(
        representation,
        activations=taken(representation.activations, order),
        mask=None if representation.mask is None else taken(representation.mask, order),
    )
    fit = representation.fit
    return replace(shuffled, fit=row_shuffle(fit, generator) if fit is not None else None)


def mapped(representation: Representation, matrix: Tensor, offset: Tensor | None = None) -> Representation:
    """Map the features `z` of every row and position to `matrix @ z + offset`, which the model undoes.

    `matrix` is `(d, d)` and invertible, `offset` `(d,)`. Computed in float64, returned in the representation's dtype.
    """
    activations = representation.activations
    matrix = matrix.to(activations.device)
    offset = None if offset is None else offset.to(activations.device)
    axis = representation.feature_axis
    changed = apply_linear(activations, matrix, offset, axis)
    model, fit = representation.model, representation.fit
    return replace(
        representation,
        activations=changed,
        model=UndoingModel(model, torch.linalg.inv(matrix), offset, axis) if model is not None else None,
        fit=mapped(fit, matrix, offset) if fit is not None else None,
    )


def apply_linear(activations: Tensor, matrix: Tensor, offset: Tensor | None, axis: int) -> Tensor:
    """Compute `matrix @ z + offset` along `axis` in float64; return it in the dtype of the activations."""
    moved = activations.movedim(axis, -1).to(matrix.dtype) @ matrix.T
    if offset is not None:
        moved = moved + offset
    return moved.movedim(-1, axis).to(activations.dtype)


@dataclass(frozen=True)
class UndoingModel:
    """Model under a transform of one layer, which it undoes before it continues."""

    base: RepresentedModel
    inverse: Tensor
    offset: Tensor | None
    axis: int

    def undo(self, activations: Tensor) -> Tensor:
        """Return the activations that the base model expects, differentiably."""
        inverse = self.inverse.to(activations.device, activations.dtype)
        if self.offset is not None:
            shape = [1] * activations.ndim
            shape[self.axis] = -1
            activations = activations - self.offset.to(activations.device, activations.dtype).reshape(shape)
        return (activations.movedim(self.axis, -1) @ inverse.T).movedim(-1, self.axis)

    def continue_from(self, layer: str, activations: Tensor, inputs: Tensor | Items | None = None) -> Tensor:
        """Return the logits if `activations`, in the transformed coordinates, replace the output of `layer`."""
        return self.base.continue_from(layer, self.undo(activations), inputs)

    def head(self) -> Head | None:
        """Return the base model's head in the transformed coordinates: W T⁻¹, b − W T⁻¹ offset."""
        from simbench.representations.representation import Head

        base = self.base.head()
        if base is None:
            return None
        unembedding = base.unembedding.double() @ self.inverse.to(base.unembedding.device)
        bias = base.bias.double()
        if self.offset is not None:
            bias = bias - unembedding @ self.offset.to(bias.device)
        return Head(unembedding.to(base.unembedding.dtype), bias.to(base.bias.dtype))


def haar_orthogonal(size: int, generator: Generator) -> Tensor:
    """Draw a Haar orthogonal matrix `(size, size)`, float64: QR of a Gaussian, R with a positive diagonal."""
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    signs = torch.where(torch.diagonal(r) < 0, -1.0, 1.0)
    rotation: Tensor = q * signs
    return rotation


def log_uniform(count: int, largest: float, generator: Generator) -> Tensor:
    """Draw `count` factors, log-uniform in [1 / largest, largest], float64."""
    uniform = torch.rand(count, generator=generator, dtype=torch.float64) * 2 - 1
    return torch.as_tensor(largest, dtype=torch.float64) ** uniform


def random_invertible(size: int, generator: Generator, condition: float = LARGEST_CONDITION_NUMBER) -> Tensor:
    """Draw U diag(s) Vᵀ with Haar U, V and log-uniform s, condition number at most `condition`; float64."""
    left, right = haar_orthogonal(size, generator), haar_orthogonal(size, generator)
    return left @ torch.diag(log_uniform(size, condition**0.5, generator)) @ right
