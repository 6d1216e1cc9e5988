"""IMD: how differently heat spreads over the neighbourhood graphs of two representations.

Every row is joined to its k nearest ones. L = I − D^−½ A D^−½ is the normalised Laplacian of that graph, and
tr e^−tL / n the share of heat that is still where it started at time t: short times see neighbourhoods, long ones
clusters. Rows need no pairing.

The trace is the mean of vᵀe^−tL v over unit probes v, each by Lanczos quadrature. Up to `probes` rows the probes are
the n unit vectors, and the trace is exact; from there on they are random signs, a function of n and the seed only, so
that both sides see the same ones and nothing differs from itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.bounds import MOST_REPETITIONS
from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.cross_products import unordered
from simbench.metrics.kernels.distance_matrices import row_distances
from simbench.metrics.kernels.memory import block_bytes
from simbench.metrics.kernels.nearest import GRID, Neighbourhood
from simbench.metrics.metric import Pairs, Score, metric
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

LANCZOS_STEPS = 10
"""Quadrature is then exact for polynomials of degree 19: on the spectrum [0, 2], weighted, an error below 1e-15."""
TIMES = 256
"""Points of the grid of t, log-spaced in [0.1, 10]; the weight e^−2(t + 1/t) leaves nothing outside."""


@dataclass(frozen=True)
class HeatTrace:
    """tr e^−tL / n on the grid of t, (times,), and the quadrature behind it, (probes, steps) each.

    sampled: whether the probes are random, so that the trace is an estimate.
    """

    trace: Tensor
    nodes: Tensor
    weights: Tensor
    sampled: bool


def grid_of_times(like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the grid of t and the weights e^−2(t + 1/t), (times,) each, float64, on the device of `like`."""
    t = torch.logspace(-1, 1, TIMES, dtype=torch.float64, device=like.device)
    return t, torch.exp(-2 * (t + 1 / t))


def neighbourhood_graph(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the edges of the graph that joins every row to its k nearest, each in both directions: (edges,) from, to.

    A row is left out of its own neighbours by its index, so duplicates are neighbours; of equally near rows (up to
    rounding) the first are taken. `NotApplicable` without variance or with fewer than k + 2 rows.
    """
    rows = len(x)
    if rows < k + 2:
        raise NotApplicable(f"{k} nearest neighbours need at least {k + 2} rows, there are {rows}")
    distance = row_distances(x)
    largest, bits = 2 * float(torch.linalg.vector_norm(distance.x, dim=1).max()), (rows - 1).bit_length()
    everyone = torch.arange(rows, device=x.device)
    neighbours = []
    height = max(1, block_bytes() // (8 * rows))
    for start in range(0, rows, height):
        block = distance(slice(start, min(start + height, rows)), slice(0, rows))
        # Distance and index in one integer: distinct keys, for which the order does not depend on rounding.
        keys = (block * (GRID / largest)).round_().long().bitwise_left_shift_(bits).bitwise_or_(everyone)
        own = torch.arange(len(block), device=x.device)
        keys[own, start + own] = torch.iinfo(torch.int64).max
        neighbours.append(keys.topk(k, dim=1, largest=False).indices)
    senders, receivers = everyone.repeat_interleave(k), torch.cat(neighbours).flatten()
    edges = torch.unique(torch.cat([senders * rows + receivers, receivers * rows + senders]))
    return edges // rows, edges % rows


def normalised_adjacency(x: Tensor, k: int) -> Tensor:
    """D^−½ A D^−½ of the neighbourhood graph, sparse (rows, rows), float64."""
    senders, receivers = neighbourhood_graph(x, k)
    inverse_roots = torch.bincount(senders, minlength=len(x)).double().rsqrt()
    values = inverse_roots[senders] * inverse_roots[receivers]
    edges, size = torch.stack([senders, receivers]), (len(x), len(x))
    return torch.sparse_coo_tensor(edges, values, size, is_coalesced=True, check_invariants=True)


def lanczos_quadrature(adjacency: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes θ and weights ω with vᵀf(I − adjacency)v ≈ Σ ω f(θ), (probes, steps) each, for unit columns v."""
    beta, before, q = torch.zeros_like(probes[0]), torch.zeros_like(probes), probes
    tridiagonal = probes.new_zeros(probes.shape[1], LANCZOS_STEPS, LANCZOS_STEPS)
    for step in range(LANCZOS_STEPS):
        residual = q - adjacency @ q - beta * before
        alpha = (residual * q).sum(dim=0)
        residual -= alpha * q
        tridiagonal[:, step, step] = alpha
        if step + 1 == LANCZOS_STEPS:
            break
        beta = torch.linalg.vector_norm(residual, dim=0)
        # A probe whose Krylov space is exhausted stops here: the quadrature is exact, what follows has no weight.
        beta = torch.where(beta > torch.finfo(beta.dtype).eps, beta, 0.0)
        before, q = q, torch.where(beta > 0, residual / beta, 0.0)
        tridiagonal[:, step, step + 1] = tridiagonal[:, step + 1, step] = beta
    nodes, vectors = torch.linalg.eigh(tridiagonal)
    return nodes, vectors[:, 0].square()


def _probes(rows: int, probes: int, seed: int, columns: slice, like: Tensor) -> Tensor:
    """Return these columns of the unit probes, (rows, columns): unit vectors if there are enough, else random signs."""
    if rows <= probes:
        return torch.eye(rows, dtype=torch.float64, device=like.device)[:, columns]
    drawn = []
    for column in range(columns.start, columns.stop):  # each its own stream, so that blocks make no difference
        generator = torch.Generator().manual_seed(seed_for(purpose="imd", rows=rows, probe=column, seed=seed))
        drawn.append(torch.randint(2, (rows,), generator=generator))
    return ((2 * torch.stack(drawn, dim=1) - 1) / math.sqrt(rows)).to(like.device, torch.float64)


def heat_trace(x: Tensor, *, k: int, probes: int, seed: int) -> HeatTrace:
    """Return the heat trace of the k-nearest-neighbour graph of the rows of `x`, (rows, features)."""
    rows = len(x)
    adjacency = normalised_adjacency(x, k)
    count, width = min(rows, probes), max(1, block_bytes() // (8 * rows))
    blocks = [slice(start, min(start + width, count)) for start in range(0, count, width)]
    parts = [lanczos_quadrature(adjacency, _probes(rows, probes, seed, block, x)) for block in blocks]
    nodes, weights = (torch.cat(side) for side in zip(*parts, strict=True))
    some = max(1, block_bytes() // (8 * nodes.numel()))
    trace = torch.cat([heat(nodes, weights, t).mean(dim=1) for t in torch.split(grid_of_times(nodes)[0], some)])
    return HeatTrace(trace, nodes, weights, sampled=rows > probes)


def heat(nodes: Tensor, weights: Tensor, t: Tensor) -> Tensor:
    """vᵀe^−tL v at every time and of every probe, (times, probes)."""
    return torch.einsum("pk,tpk->tp", weights, torch.exp(-t[:, None, None] * nodes))


def imd_of_pairs(prepared: Sequence[HeatTrace], pairs: Pairs, **_: int) -> list[Score]:
    """Return the IMD of many pairs."""
    unique, back = unordered(pairs)
    scores = [_imd(prepared[a], prepared[b]) for a, b in unique]
    return [scores[k] for k in back]


def _imd(a: HeatTrace, b: HeatTrace) -> Score:
    times, weights = grid_of_times(a.trace)
    differences = weights * (a.trace - b.trace).abs()
    best = int(differences.argmax())
    if not a.sampled:
        return Score(float(differences[best]))
    t = times[best : best + 1]
    of_probes = heat(a.nodes, a.weights, t) - heat(b.nodes, b.weights, t)
    error = float(weights[best] * of_probes.std()) / math.sqrt(of_probes.numel())
    return Score(float(differences[best]), standard_error=error)


@metric(
    "imd",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, math.exp(-4)),
    triangle_inequality=True,
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    pairs_inputs=False,
    family="topology",
    formula="sup_t e^−2(t + 1/t) |tr e^−tL_X − tr e^−tL_Y| / n, L the normalised Laplacian of the k-NN graph",
    reference="Tsitsulin, Munkhoeva, Mottin, Karras, Bronstein, Oseledets, Müller (2020), The Shape of Data: Intrinsic "
    "Distance for Data Distributions",
    prepare=heat_trace,
    compare_many=imd_of_pairs,
)
def imd(
    x: Tensor,
    y: Tensor,
    *,
    k: Neighbourhood = 5,
    probes: Annotated[int, Field(ge=2, le=MOST_REPETITIONS)] = 4000,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Score:
    """Intrinsic multi-scale distance between the k-nearest-neighbour graphs (Euclidean) of the rows.

    x: (rows, features), y: (rows, other features) → a number in [0, e⁻⁴), 0 for the same graph; rows need no pairing.
    Exact for at most `probes` rows. For more it is an estimate with a standard error over the probes; noise makes it
    too high rather than too low. Raises `NotApplicable` without variance or with fewer than k + 2 rows.

    >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]])
    >>> imd(x, 3 - 2 * x, k=1).value
    0.0
    """
    sides = [heat_trace(side, k=k, probes=probes, seed=seed) for side in (x, y)]
    return imd_of_pairs(sides, [(0, 1)])[0]
