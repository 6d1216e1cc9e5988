"""DSA: whether two sequences of activations follow the same dynamics, whatever their geometry.

From every stretch of `delays` consecutive tokens, stacked into one long vector, take the principal components, each
with variance 1: the state z. The operator A of z_{s+1} ≈ A z_s + b, by least squares over all sequences, describes the
dynamics. An orthogonal map of the activations turns A into C A Cᵀ, so operators are compared up to that:

* `wasserstein`: √min over pairings σ of Σ |λᵢ − μ_σ(i)|², on their eigenvalues; exact;
* `procrustes`: min over orthogonal C of ‖A − C B Cᵀ‖; not convex, the best of several seeded starts.

For normal operators and unitary C the two are the same number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simbench.bounds import Repetitions, Width
from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.cross_products import unordered
from simbench.metrics.kernels.spectrum import spectrum
from simbench.metrics.metric import Pairs, metric, of_representation
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

SpectrumDistance = Literal["wasserstein", "procrustes"]
STEPS = 2000
COARSE, FINE = 1e-6, 1e-13
"""An ascent over the orthogonal maps ends when a step gains less than this share of ‖A‖‖B‖."""
FINALISTS = 4
"""Of all starts, those that go on from the coarse end to the fine one."""


@dataclass(frozen=True)
class Dynamics:
    """The operator, (rank, rank), float64, and its eigenvalues, (rank,), complex."""

    operator: Tensor
    eigenvalues: NDArray[np.complex128]


def linear_operator(x: Tensor, delays: int, rank: int) -> Tensor:
    """Return the operator A of z_{s+1} ≈ A z_s + b, (r, r), r ≤ rank; x: (sequences, tokens, features).

    `NotApplicable` where the sequences are too short, or too few for that many unknowns.
    """
    sequences, tokens, _ = x.shape
    steps = tokens - delays
    if steps < 1:
        raise NotApplicable(f"{delays} delays need sequences of at least {delays + 1} tokens; there are {tokens}")
    stretches = x.unfold(1, delays, 1).reshape(sequences * (steps + 1), -1)
    states = spectrum(stretches).truncated(rank).left
    size = states.shape[1]
    if sequences * steps <= size:
        raise NotApplicable(f"{sequences * steps} transitions do not determine dynamics in {size} dimensions")
    # Of variance 1, not of norm 1: the pseudoinverse must not depend on how many there are.
    states = (states * math.sqrt(len(states))).reshape(sequences, steps + 1, size)
    before, after = (side.reshape(-1, size) for side in (states[:, :-1], states[:, 1:]))
    # Both centred on their own: that is the regression with a constant, which a translation leaves alone.
    operator: Tensor = torch.linalg.pinv(before - before.mean(dim=0)) @ (after - after.mean(dim=0))
    return operator.T


def dynamics(representation: Representation, *, delays: int, rank: int, **_: Any) -> Dynamics:
    """Return the operator of the dynamics of a layer; raise `NotApplicable` for activations that are no sequences."""
    if not representation.offers("sequence"):
        raise NotApplicable(f"dsa needs a sequence; {representation.layer or 'the representation'} has none")
    if representation.mask is not None:
        raise NotApplicable(f"dsa needs sequences of one length; those of {representation.layer} have padding")
    operator = linear_operator(representation.activations, delays, rank)
    return Dynamics(operator, torch.linalg.eigvals(operator).cpu().numpy())


def spectral_distance(first: NDArray[np.complex128], second: NDArray[np.complex128]) -> float:
    """√min_σ Σ |λᵢ − μ_σ(i)|²; the shorter spectrum is filled up with zeros.

    >>> spectral_distance(np.array([1j, -1j]), np.array([-1j, 1j])), spectral_distance(np.array([3j]), np.array([4, 0]))
    (0.0, 5.0)
    """
    from scipy.optimize import linear_sum_assignment

    size = max(len(first), len(second))
    left, right = (np.pad(side, (0, size - len(side))) for side in (first, second))
    cost = np.abs(left[:, None] - right) ** 2
    return math.sqrt(math.fsum(cost[linear_sum_assignment(cost)]))


def conjugation_distance(first: Tensor, second: Tensor, *, starts: int, seed: int) -> float:
    """Return the least ‖A − C B Cᵀ‖ found over orthogonal C, (size, size); zeros fill up the smaller operator.

    ‖A − C B Cᵀ‖² = ‖A‖² + ‖B‖² − 2 g(C), where g(C) = tr AᵀC B Cᵀ has the gradient A C Bᵀ + AᵀC B, a symmetric linear
    map H of C. With κ = −min eigenvalue of H, g(C) + κ‖C‖²/2 is convex, and ‖C‖ is constant: therefore
    C ← the orthogonal factor of (gradient + κ C) never decreases g.
    """
    size = max(len(first), len(second))
    a, b = (torch.nn.functional.pad(side, (0, size - len(side), 0, size - len(side))) for side in (first, second))
    starting = c = _orthogonal_starts(size, starts, seed).to(a)
    # Without their traces, which no C changes, H is smaller and the ascent faster.
    a_, b_ = (side - side.trace() / size * torch.eye(size).to(a) for side in (a, b))
    hessian = torch.kron(a_, b_) + torch.kron(a_.T.contiguous(), b_.T.contiguous())
    kappa = max(0.0, -float(torch.linalg.eigvalsh(hessian)[0]))
    c = _ascend(starting, a_, b_, kappa, COARSE)
    c = _ascend(c[_gain(c, a_, b_).topk(min(FINALISTS, len(c))).indices], a_, b_, kappa, FINE)
    # The starts too: from oneself the identity is 0 apart, and after a step only up to rounding.
    tried = torch.cat([starting, c])
    return float(torch.linalg.matrix_norm(a - tried @ b @ tried.mT).min())


def _ascend(c: Tensor, a: Tensor, b: Tensor, kappa: float, tolerance: float) -> Tensor:
    """Return where the ascent from each of `c`, (starts, size, size), ends: when no step gains that of ‖A‖‖B‖.

    Steps go on from a little beyond where the last one led, which saves most of them. One that loses by it is undone.
    """
    least = tolerance * float(torch.linalg.matrix_norm(a) * torch.linalg.matrix_norm(b))
    gain, last, age = _gain(c, a, b), torch.zeros_like(c), c.new_zeros(len(c))
    for _ in range(STEPS):
        beyond = c + (age / (age + 3))[:, None, None] * last
        u, _, vt = torch.linalg.svd(a @ beyond @ b.T + a.T @ beyond @ b + kappa * beyond)
        step_gain = _gain(u @ vt, a, b)
        better, ended = step_gain >= gain, ~((step_gain > gain + least) | ((step_gain < gain) & (age > 0)))
        last = torch.where(better[:, None, None], u @ vt - c, 0.0)
        c, gain, age = c + last, torch.maximum(gain, step_gain), torch.where(better, age + 1, 0.0)
        if bool(ended.all()):
            break
    return c


def _gain(c: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """g(C) of each of `c`, (starts,)."""
    return (a.T @ c @ b * c).sum(dim=(1, 2))


def _orthogonal_starts(size: int, starts: int, seed: int) -> Tensor:
    """Return the identity and Haar-distributed matrices with a reflection of each, so that both determinants occur.

    Closed under transposition, under which the arguments change places: the distance is symmetric.
    """
    from simbench.representations.transforms import haar_orthogonal

    generator = torch.Generator().manual_seed(seed_for(purpose="dsa", size=size, seed=seed))
    drawn = [haar_orthogonal(size, generator) for _ in range(starts)]
    identity = torch.eye(size, dtype=torch.float64)
    reflection = identity.clone()
    reflection[0, 0] = -1.0
    both = torch.stack([identity, *drawn, reflection, *(reflection @ c for c in drawn)])
    return torch.cat([both, both.mT])


def dsa_of_pairs(
    prepared: Sequence[Dynamics], pairs: Pairs, *, compare: SpectrumDistance, starts: int, seed: int, **_: Any
) -> Tensor:
    """Return the DSA of many pairs, shape (pairs,)."""
    unique, back = unordered(pairs)
    values = [
        spectral_distance(prepared[a].eigenvalues, prepared[b].eigenvalues)
        if compare == "wasserstein"
        else conjugation_distance(prepared[a].operator, prepared[b].operator, starts=starts, seed=seed)
        for a, b in unique
    ]
    return torch.tensor(values, dtype=torch.float64)[back]


@metric(
    "dsa",
    version=2,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, math.inf),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    pairs_inputs=False,
    needs={"sequence"},
    family="dynamics",
    formula="√min_σ Σ |λᵢ(A) − λ_σ(i)(B)|², or min_C ‖A − C B Cᵀ‖ over orthogonal C; A, B from delay-embedded DMD",
    reference="Ostrow, Eisen, Kozachkov, Fiete (2023), Beyond Geometry: Comparing the Temporal Structure of "
    "Computation in Neural Circuits with Dynamical Similarity Analysis",
    prepare=of_representation(dynamics),
    compare_many=dsa_of_pairs,
)
def dsa(
    a: Representation,
    b: Representation,
    *,
    delays: Width = 4,
    rank: Width = 10,
    compare: SpectrumDistance = "wasserstein",
    starts: Repetitions = 8,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> float:
    """Dynamical similarity analysis: how differently the activations evolve along the token axis.

    a, b: representations of layout `tokens`, (sequences, tokens, features) → a number in [0, ∞), 0 for the same
    dynamics. A sequence is read in the order of its tokens: for the patches of an image that is an order of no meaning.
    States have at most `rank` dimensions; `starts` and `seed` only matter for `compare="procrustes"`, an upper bound of
    a minimum. Raises `NotApplicable` without a token axis, without variance, and for too little data.
    """
    sides = [dynamics(side, delays=delays, rank=rank) for side in (a, b)]
    return float(dsa_of_pairs(sides, [(0, 1)], compare=compare, starts=starts, seed=seed)[0])
