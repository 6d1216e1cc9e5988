"""The unbiased estimator of the Hilbert–Schmidt independence criterion, HSIC₁, of linear kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simbench.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

# HSIC₁ divides by n (n − 3).
MINIMUM_ROWS = 4


class NonPositiveSelfHSICError(ValueError):
    """The debiased self-similarity of a representation is not positive, so that it cannot be normalised by it."""


def hsic1(product: Tensor, k: Tensor, l: Tensor) -> Tensor:  # noqa: E741 - as in the formula
    """Compute HSIC₁ from ⟨K, L⟩ of centred Gram matrices and their diagonals, the squared row norms."""
    return hsic1_of_sums(product, k @ l, k.sum() * l.sum(), len(k))


def hsic1_of_sums(product: Tensor, of_norms: Tensor, of_sums: Tensor, n: int) -> Tensor:
    """Compute HSIC₁ from ⟨K, L⟩, Σᵢ ‖x̃ᵢ‖²‖ỹᵢ‖² and ‖X̃‖²‖Ỹ‖² of n rows."""
    if n < MINIMUM_ROWS:
        raise ValueError(f"the debiased HSIC needs at least {MINIMUM_ROWS} rows, got {n}")
    terms = product - n / (n - 2) * of_norms.cpu() + of_sums.cpu() / ((n - 1) * (n - 2))
    return terms / (n * (n - 3))


def self_scale(self_hsic: Tensor, self_product: Tensor, n: int) -> Tensor:
    """Return √HSIC₁(K, K), if that is positive beyond the rounding error of the differences that it is made of."""
    rounding = n * torch.finfo(torch.float64).eps * self_product / (n * (n - 3))
    if not bool(self_hsic > rounding):
        raise NonPositiveSelfHSICError(f"HSIC₁ of a representation with itself is {float(self_hsic):.3g}, not positive")
    return self_hsic.sqrt()
