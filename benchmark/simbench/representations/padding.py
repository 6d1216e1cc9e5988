"""Padding of sequences: which tokens are real, and the rows of those alone.

Token ids `(n, t)` are integers, and those of padding are negative. A layer that puts out as many tokens as the inputs
have, has their padding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simbench.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

# The id of padding, in arrays and everywhere.
PADDING = -1


def real_tokens(inputs: Any) -> Tensor | None:
    """Return which tokens of inputs `(n, t)` are real; None where inputs are no token ids, or none of them is padding.

    >>> real_tokens(torch.tensor([[5, 3], [4, -1]]))
    tensor([[ True,  True],
            [ True, False]])
    """
    if not isinstance(inputs, torch.Tensor) or inputs.ndim != 2 or inputs.dtype == torch.bool:
        return None
    if inputs.is_floating_point() or inputs.is_complex():
        return None
    real: Tensor = inputs >= 0
    return None if bool(real.all()) else real


def fitting_mask(mask: Tensor | None, inputs: Any, tokens: tuple[int, ...] | None) -> Tensor | None:
    """Return which of a layer's tokens are real; None if all are, or if they are not those of the inputs.

    Args:
        mask: what is known of it; None if it is to be taken from the inputs.
        inputs: the inputs.
        tokens: numbers of inputs and of tokens; None where activations are no sequences.
    """
    if tokens is None:
        return None
    real = mask if mask is not None else real_tokens(inputs)
    return real if real is not None and tuple(real.shape) == tokens else None


def rows_of_real(positions: Tensor, mask: Tensor, mode: str, drawn: Tensor) -> Tensor:
    """Return the rows of sequences `(n, t, features)` of which only some tokens are real.

    An input without a real token is read as if all of them were.

    Args:
        positions: the activations.
        mask: which tokens are real, `(n, t)`.
        mode: `pool`, `last`, `cls` or `positions`.
        drawn: relative positions in [0, 1), `(n, k)`, for `positions`.
    """
    inputs, features = len(positions), positions.shape[-1]
    mask = mask.to(positions.device)
    mask = mask | ~mask.any(dim=1, keepdim=True)
    counts = mask.sum(dim=1)
    if mode == "pool":
        return _pooled(positions, mask, counts)
    # places of the real tokens, in order, before those of padding
    places = torch.argsort((~mask).to(torch.uint8), dim=1, stable=True)
    if mode == "last":
        among_real = counts[:, None] - 1
    elif mode == "cls":
        among_real = torch.zeros_like(counts)[:, None]
    else:
        size = counts[:, None]
        among_real = torch.minimum((drawn.to(positions.device) * size).long(), size - 1)
    chosen = places.gather(1, among_real)
    return positions[torch.arange(inputs, device=positions.device)[:, None], chosen].reshape(-1, features)


def _pooled(positions: Tensor, mask: Tensor, counts: Tensor) -> Tensor:
    """Return means over real tokens; of inputs without padding they are those that they would be without a mask."""
    wide = torch.promote_types(positions.dtype, torch.float32)  # a sum in half precision would be rounded twice
    zero = positions.new_zeros(())
    sums = torch.where(mask[..., None], positions, zero).sum(dim=1, dtype=wide)
    pooled = (sums / counts[:, None]).to(positions.dtype)
    whole = mask.all(dim=1)
    pooled[whole] = positions[whole].mean(dim=1)
    return pooled


def real_rows(representation: Representation, activations: Tensor | None = None) -> Tensor:
    """Return the features of every real position of every input as a row, `(rows, features)`.

    Args:
        representation: whose padding and layout it is.
        activations: other activations of the same shape; by default its own.
    """
    given = representation.activations if activations is None else activations
    positions = given.movedim(representation.feature_axis, -1)
    if representation.mask is None:
        return positions.flatten(0, -2)
    return positions[representation.mask.to(positions.device)]


def changed_where_real(representation: Representation, changed: Tensor) -> Tensor:
    """Return changed activations, but at padding those of the representation."""
    if representation.mask is None:
        return changed
    mask = representation.mask.to(changed.device)[..., None]
    return torch.where(mask, changed, representation.activations.to(changed.dtype))


def lowest_and_highest(activations: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the least and the largest of every number over all inputs, without padding.

    Where all inputs have padding, the least is infinite and the largest minus infinity.
    """
    if mask is None:
        return activations.amin(dim=0), activations.amax(dim=0)
    real, infinite = mask.to(activations.device)[..., None], activations.new_full((), torch.inf)
    low = torch.where(real, activations, infinite).amin(dim=0)
    return low, torch.where(real, activations, -infinite).amax(dim=0)


def extent_between(low: Tensor, high: Tensor) -> tuple[float, float]:
    """Return the largest magnitude and the largest difference of one number, given the least and the largest of each.

    NaN if there is one; numbers of padding alone have neither.
    """
    seen = ~(low > high)
    low, high = low[seen].double(), high[seen].double()
    if not low.numel():
        return 0.0, 0.0
    return float(torch.maximum(low.abs(), high.abs()).max()), float((high - low).max())


def extent_of_real(activations: Tensor, mask: Tensor | None) -> tuple[float, float]:
    """Return the largest magnitude, and the largest difference of one number between two inputs, without padding."""
    return extent_between(*lowest_and_highest(activations, mask))


def padding_remarks(representation: Representation) -> tuple[str, ...]:
    """Return what a reader of a score should know of padding that cannot be left out."""
    if representation.remarks:
        return representation.remarks
    real = real_tokens(representation.inputs)
    if real is None or representation.activations.ndim == 2:
        return ()
    where = representation.layer or "the representation"
    if representation.mask is None:
        return (f"padding counts as data: the positions of {where} are not the tokens of the inputs",)
    if representation.spatial.mode in ("flatten", "all"):
        return (f"padding counts as data: {representation.spatial.mode} reads all positions of {where}",)
    empty = int((~representation.mask.any(dim=1)).sum())
    if empty:
        verb = "input has" if empty == 1 else "inputs have"
        return (f"{empty} {verb} no token: {where} is read at padding there",)
    return ()
