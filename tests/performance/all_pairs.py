"""Time all pairs of representations through the fast door against the plain function in a loop. One thread.

    python tests/performance/all_pairs.py [--representations 20] [--rows 2000] [--features 256] [--dtype float32]

Prints, per metric: seconds of `score_pairs` for all ordered pairs, seconds of the plain function in a loop over the
same pairs, their ratio and the largest difference between the two in value.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import torch

from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

DEFAULT = ("cka", "cka_debiased", "cca", "cca_squared", "svcca", "pwcca", "procrustes", "nbs", "identifiability_svd")
T = TypeVar("T")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--representations", type=int, default=20)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--metric", action="append", help="repeatable; all that have a fast door if not given")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sides = representations(given.representations, given.rows, given.features, getattr(torch, given.dtype))
    pairs = [(a, b) for a in range(len(sides)) for b in range(len(sides))]
    print(f"{len(sides)} representations of {given.rows} × {given.features} {given.dtype}, {len(pairs)} pairs")
    print(f"{'metric':<22}{'all pairs, s':>14}{'loop, s':>12}{'ratio':>9}{'largest difference':>22}")
    for name in given.metric or DEFAULT:
        metric = METRICS.get(name)
        scores, fast = timed(lambda metric=metric: score_pairs(metric, sides, pairs))
        values, slow = timed(lambda f=metric.function: [plain(f, sides[a], sides[b]) for a, b in pairs])
        gap = max(abs(score.value - value) for score, value in zip(scores, values, strict=True))
        print(f"{name:<22}{fast:>14.2f}{slow:>12.2f}{slow / fast:>8.1f}×{gap:>22.1e}", flush=True)


def representations(count: int, rows: int, features: int, dtype: torch.dtype) -> list[Representation]:
    """A chain: each is a random mixture of the one before and noise, through a ReLU, as in the layers of a network."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, features, generator=generator, dtype=torch.float64)
    found = []
    for layer in range(count):
        mixing = torch.randn(features, features, generator=generator, dtype=torch.float64) * (2 / features) ** 0.5
        noise = 0.3 * torch.randn(rows, features, generator=generator, dtype=torch.float64)
        x = (x @ mixing + noise).relu()
        found.append(Representation(x.to(dtype), layer=f"layer {layer}"))
    return found


def plain(function: Callable[..., object], a: Representation, b: Representation) -> float:
    """The plain function's value."""
    value = function(a.matrix, b.matrix)
    return float(getattr(value, "value", value))  # type: ignore[arg-type]


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` returns, and the seconds it took."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    main()
