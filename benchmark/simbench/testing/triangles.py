"""Triples of representations that may violate the triangle inequality: the third lies between the other two.

At the midpoint of x and y, a squared distance is a quarter of that from x to y, so that the detour over the midpoint is
half as long as the direct distance. Every draw of x and y has six middles: the midpoint, an uneven mixture, half of the
rows of each, the units of both side by side, a part of the units of x, and an unrelated matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.metric import Metric
from simbench.metrics.scoring import score_pairs
from simbench.seeds import seed_for
from simbench.testing.inputs import LABELS, Case, LinearReadout, in_sequences, represented

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

DRAWS = 60
ROWS, FIT_ROWS, WIDTH = 24, 24, 3
KINDS = ("unrelated", "linear", "of other size", "of other shape")
MIDDLES = ("midpoint", "mixture", "half of the rows", "side by side", "part", "random")


@dataclass(frozen=True)
class Detours:
    """Numbers of triples with values and of violations, and the largest excess of a distance over a detour.

    `excess` is relative to the distance, and 0 if there is no violation.
    """

    triples: int
    violations: int
    excess: float


def detours(metric: Metric, tolerance: float, *, seed: int = 0, draws: int = DRAWS) -> Detours:
    """Count how often d(x, y) (1 − `tolerance`) > d(x, middle) + d(middle, y), over `draws` × six triples."""
    sides: list[Representation] = []
    pairs: list[tuple[int, int]] = []
    for drawn in _draws(seed, draws, sequences="sequence" in metric.needs):
        x, y, *middles = range(len(sides), len(sides) + len(drawn))
        sides += drawn
        pairs += [(x, y), *(step for middle in middles for step in ((x, middle), (middle, y)))]
    values = [score.value for score in score_pairs(metric, sides, pairs)]
    per_draw = 1 + 2 * len(MIDDLES)
    excesses = []
    for start in range(0, len(values), per_draw):
        way, *steps = values[start : start + per_draw]
        for first, second in zip(steps[::2], steps[1::2], strict=True):
            if way is not None and first is not None and second is not None:
                excesses.append((way - first - second, way))
    beyond = [excess / way for excess, way in excesses if excess > tolerance * way]
    return Detours(len(excesses), len(beyond), max(beyond, default=0.0))


def _draws(seed: int, draws: int, *, sequences: bool) -> Iterator[list[Representation]]:
    """Yield x, y and the middles in the order of `MIDDLES`, for each draw."""
    for draw in range(draws):
        generator = torch.Generator().manual_seed(seed_for(purpose="triangles", draw=draw, seed=seed))
        made = _matrices(generator, KINDS[draw % len(KINDS)])
        unembedding = _normal(generator, LABELS, WIDTH)
        targets = _normal(generator, ROWS + FIT_ROWS, LABELS).argmax(dim=1)
        drawn = []
        for matrix in made:
            # Read by the same unembeddings, the midpoint's logits are the mean of those of x and y, and so are those
            # of both side by side.
            read = unembedding.repeat(1, 2)[:, : matrix.shape[1]]
            model = LinearReadout(read, torch.zeros(LABELS, dtype=torch.float64))
            drawn.append(represented(matrix, model, targets, ROWS))
        yield [in_sequences(Case("", side, side)).a for side in drawn] if sequences else drawn


def _matrices(generator: torch.Generator, kind: str) -> list[Tensor]:
    """Draw x, y and the middles; y is unrelated to x, shares half of its variance, has another scale, or is x cubed."""
    shape = (ROWS + FIT_ROWS, WIDTH)
    x, y, other = (_normal(generator, *shape) + _normal(generator, WIDTH) for _ in range(3))
    if kind == "linear":
        y = (x @ _normal(generator, WIDTH, WIDTH) / WIDTH**0.5 + y) / 2**0.5
    elif kind == "of other size":
        y = y * 10 ** float(2 * torch.rand((), generator=generator, dtype=torch.float64) - 1)
    elif kind == "of other shape":
        y = x**3
    share = float(torch.rand((), generator=generator, dtype=torch.float64))
    every_other = (torch.arange(len(x)) % 2)[:, None] == 0
    mixed = [(x + y) / 2, share * x + (1 - share) * y, torch.where(every_other, x, y)]
    return [x, y, *mixed, torch.cat([x, y], dim=1) / 2, x[:, :-1], other]


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)
