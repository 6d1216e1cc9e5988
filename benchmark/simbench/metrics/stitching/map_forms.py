"""Forms of the linear maps that a stitch may use: any, those of low rank, or orthogonal ones; matched or trained.

For its maps W, of shape (d₂, d₁), a form has the solution of the centred least-squares problem, in closed form, and a
parametrisation without constraints, by which a gradient trains many of them at once.

Csiszárik, Kőrösi-Szabó, Matszangosz, Papp & Varga (2021), Similarity and Matching of Neural Network Representations,
study stitches of low rank beside unrestricted ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from simbench.bounds import Width
from simbench.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class Trainable:
    """Maps under training.

    Attributes:
        learned: the tensors that learn.
        weights: computes the maps `(count, d₂, d₁)` from these.
        decayed: whether weight decay acts on what learns.
    """

    learned: tuple[Tensor, ...]
    weights: Callable[[], Tensor]
    decayed: bool = True


class MapForm(Protocol):
    """Family of linear maps. The fields of an implementation are parameters of its metrics."""

    def match(self, least_squares: Tensor, cross: Tensor) -> Tensor:
        """Return the best map of the family, `(d₂, d₁)`.

        Args:
            least_squares: the best of all maps, `(d₂, d₁)`.
            cross: X̃ᵀỸ, `(d₁, d₂)`.
        """

    def trainable(self, start: Tensor) -> Trainable:
        """Return maps of the family that start next to those of `start`, `(count, d₂, d₁)`."""


@dataclass(frozen=True)
class Unrestricted:
    """All linear maps."""

    def match(self, least_squares: Tensor, cross: Tensor) -> Tensor:
        """Return the least-squares solution itself."""
        return least_squares

    def trainable(self, start: Tensor) -> Trainable:
        """Let every entry learn by itself."""
        weight = start.clone().requires_grad_()
        return Trainable((weight,), lambda: weight)


ANY = Unrestricted()


@dataclass(frozen=True)
class LowRank:
    """Maps of at most this rank."""

    rank: Width = 8

    def match(self, least_squares: Tensor, cross: Tensor) -> Tensor:
        """Solve reduced-rank regression: P W, where P projects on the leading principal axes of the fitted values X̃Wᵀ.

        Their scatter matrix is W X̃ᵀX̃ Wᵀ = W X̃ᵀỸ. Izenman (1975), Reduced-rank regression for the multivariate
        linear model, with the identity as weights.
        """
        if self.rank >= min(least_squares.shape):
            return least_squares
        scatter = least_squares @ cross
        leading = torch.linalg.eigh((scatter + scatter.T) / 2).eigenvectors[:, -self.rank :]
        projected: Tensor = leading @ (leading.T @ least_squares)
        return projected

    def trainable(self, start: Tensor) -> Trainable:
        """Learn both factors of W = U Vᵀ, from the balanced factors of the best approximation to `start`."""
        left, values, right = torch.linalg.svd(start, full_matrices=False)
        rank = min(self.rank, values.shape[-1])
        root = values[:, None, :rank].sqrt()
        u = (left[:, :, :rank] * root).clone().requires_grad_()
        v = (right[:, :rank].mT * root).clone().requires_grad_()
        return Trainable((u, v), lambda: u @ v.mT)


@dataclass(frozen=True)
class Orthogonal:
    """Rotations and reflections, no scaling; between different widths the narrower side is padded with zeros."""

    def match(self, least_squares: Tensor, cross: Tensor) -> Tensor:
        """Solve orthogonal Procrustes: the Q that maximises tr(Q X̃ᵀỸ), Schönemann (1966)."""
        left, _, right = torch.linalg.svd(cross.T, full_matrices=False)
        rotation: Tensor = left @ right
        return rotation

    def trainable(self, start: Tensor) -> Trainable:
        """Learn P in Q = C Q₀: Q₀ is the orthogonal matrix next to `start`, C = (1 + A)⁻¹(1 − A), A = P − Pᵀ.

        Cayley's C reaches (almost) every rotation, so that Q stays in the component of O(d) that `start` is in. Decay
        would pull Q back to Q₀, whereas the size of Q, which it is meant to bound, is fixed.
        """
        features, width = start.shape[-2:]
        left, _, right = torch.linalg.svd(start)
        base = _pad(left, width) @ _pad(right, features)
        free = torch.zeros_like(base).requires_grad_()
        identity = torch.eye(base.shape[-1], dtype=base.dtype, device=base.device)

        def weights() -> Tensor:
            skew = free - free.mT
            rotated: Tensor = torch.linalg.solve(identity + skew, (identity - skew) @ base)
            return rotated[:, :features, :width]

        return Trainable((free,), weights, decayed=False)


def _pad(orthogonal: Tensor, size: int) -> Tensor:
    """Add ones on the diagonal of orthogonal matrices `(count, d, d)` up to `size`, if that is more than d."""
    count, features = orthogonal.shape[:2]
    if size <= features:
        return orthogonal
    padded = torch.eye(size, dtype=orthogonal.dtype, device=orthogonal.device).repeat(count, 1, 1)
    padded[:, :features, :features] = orthogonal
    return padded
