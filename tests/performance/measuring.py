"""How the benchmark measures: data, time, memory, and loops that are cut short and scaled up."""

from __future__ import annotations

import ctypes
import math
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TypeVar

import torch
from floors import FLOORS
from peers import Peer
from torch import Tensor

from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.memoisation import memoising
from simbench.metrics.metric import Metric, Score
from simbench.metrics.scoring import score_pairs
from simbench.representations.representation import Representation
from simbench.testing.inputs import LinearReadout

T = TypeVar("T")
Pairs = Sequence[tuple[int, int]]
LABELS = 10
HEAD_FEATURES = 8
"""What a head reads in metrics of heads: fewer features than labels."""
TOKENS = 10
"""Of a sequence, for metrics that need some."""
PATIENCE = 30.0
"""Seconds for our own scores of all pairs; more than that are scaled up from a part of them."""


@dataclass(frozen=True)
class Setting:
    """What is compared, and with how many threads and how much patience."""

    representations: int
    rows: int
    features: int
    dtype: str
    threads: int
    seconds: float

    def clock(self) -> float:
        """CPU seconds with one thread, seconds with more."""
        return time.process_time() if self.threads == 1 else time.perf_counter()

    def timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """What `work` returns, and the time it took."""
        start = self.clock()
        result = work()
        return result, self.clock() - start

    def sides(self, *, tokens: int | None = None) -> list[Representation]:
        """A chain: each is a random mixture of the one before and noise, through a ReLU, as the layers of a network.

        All are read by heads that agree for the most part, and come with as many rows to fit maps on. With `tokens`,
        that many rows are a sequence.
        """
        generator = torch.Generator().manual_seed(0)
        width, rows = self.features, 2 * self.rows
        x = torch.randn(rows, width, generator=generator, dtype=torch.float64)
        signal = x[:, : LABELS // 2]
        labels = torch.cat([signal, -signal], dim=1)
        found = []
        for layer in range(self.representations):
            mixing = torch.randn(width, width, generator=generator, dtype=torch.float64) * (2 / width) ** 0.5
            noise = 0.3 * torch.randn(rows, width, generator=generator, dtype=torch.float64)
            x = (x @ mixing + noise).relu()
            found.append(self._side(x, labels, f"layer {layer}", tokens))
        return found

    def _side(self, x: Tensor, labels: Tensor, layer: str, tokens: int | None) -> Representation:
        stored = x.to(getattr(torch, self.dtype))
        if tokens is not None:
            return Representation(stored[: self.rows].unflatten(0, (-1, tokens)), "tokens", layer)
        unembedding = torch.linalg.lstsq(x, labels).solution.T.to(stored.dtype)
        model = LinearReadout(unembedding, torch.zeros(LABELS, dtype=stored.dtype))
        test, train = (
            Representation(part, layer=layer, model=model, targets=target, classes=LABELS, at_head=True)
            for part, target in zip(stored.split(self.rows), labels.argmax(dim=1).split(self.rows), strict=True)
        )
        return replace(test, fit=train)


@dataclass(frozen=True)
class Timing:
    """Seconds for all pairs, whether they are scaled up from fewer, and the largest difference from our values."""

    seconds: float
    scaled: bool
    difference: float = 0.0


@dataclass(frozen=True)
class Row:
    """One metric: our seconds and bytes, the plain function, the packages by name, and the floor."""

    name: str
    ours: Timing
    memory: int | None
    loop: Timing
    peers: dict[str, Timing]
    floor: float | None


def sides_for(metric: Metric, setting: Setting) -> list[Representation]:
    """What a metric needs: few features for one of heads, sequences, or just matrices."""
    if metric.level == "head":
        setting = replace(setting, features=HEAD_FEATURES)
    return setting.sides(tokens=TOKENS if "sequence" in metric.needs else None)


def all_pairs(sides: Sequence[Representation]) -> list[tuple[int, int]]:
    """All ordered pairs, each side with itself too."""
    return [(a, b) for a, b in product(range(len(sides)), repeat=2)]


def measured(metric: Metric, setting: Setting, peers: Sequence[Peer]) -> Row:
    """Everything about one metric."""
    sides = sides_for(metric, setting)
    pairs = all_pairs(sides)
    small = replace(setting, rows=200, features=HEAD_FEATURES, representations=2)
    score_pairs(metric, sides_for(metric, small), [(0, 1)])  # imports come first
    _forget_peak()
    before = _status("VmRSS")
    patience = max(PATIENCE, setting.seconds)
    ours, done, scores = _within(setting, lambda some: score_pairs(metric, sides, some), pairs, patience, whole=True)
    peak = _status("VmHWM")
    memory = peak - before if peak is not None and before is not None else None
    values = {pair: score.value for pair, score in zip(done, scores, strict=True) if score.value is not None}
    if not values:
        raise RuntimeError(f"{metric.name} scored nothing: {scores[0].reason}")
    matrices = [side.matrix for side in sides]
    inputs = sides if metric.takes_representations else matrices

    def plain(some: Pairs) -> list[float]:
        found = [metric.function(inputs[a], inputs[b], **metric.parameters) for a, b in some]
        return [float(getattr(value, "value", value)) for value in found]

    def compared(compare: Callable[[Pairs], Sequence[float]], *, whole: bool) -> Timing:
        timing, done, found = _within(setting, compare, list(values), setting.seconds, whole=whole)
        difference = max(abs(value - values[pair]) for value, pair in zip(found, done, strict=True))
        # of all pairs, though we may have taken a part of them ourselves
        return Timing(timing.seconds * len(pairs) / len(values), timing.scaled or len(values) < len(pairs), difference)

    others = {
        f"{peer.package}{f' ({peer.remark})' if peer.remark else ''}": compared(
            partial(peer.compare, matrices), whole=True
        )
        for peer in peers
        if peer.metric == metric.name
    }
    loop = compared(plain, whole=False)
    floor = None
    if metric.name in FLOORS:
        prepared = [centred(matrix) for matrix in matrices]
        floor = setting.timed(lambda: FLOORS[metric.name](prepared))[1]
    return Row(metric.name, ours, memory, loop, others, floor)


def _within(
    setting: Setting, compare: Callable[[Pairs], Sequence[T]], pairs: Pairs, patience: float, *, whole: bool
) -> tuple[Timing, Pairs, Sequence[T]]:
    """All pairs if they take no longer than `patience`, else as many as do, scaled up; which, and what was found.

    `whole`: all pairs of some representations, for what is not written pair by pair; else pairs drawn at random.
    """
    if whole:
        everyone = sorted({index for pair in pairs for index in pair})

        def choose(k: int) -> Pairs:
            return [(a, b) for a, b in pairs if a in everyone[:k] and b in everyone[:k]]

        steps = [2, 4, 8, len(everyone)]
    else:
        shuffled = random.Random(0).sample(list(pairs), len(pairs))

        def choose(k: int) -> Pairs:
            return shuffled[:k]

        steps = [2, 10, 50, len(pairs)]
    found: Sequence[T] = []
    seconds, done = 0.0, choose(steps[0])
    for step in dict.fromkeys(min(step, steps[-1]) for step in steps):
        some = choose(step)
        if found and seconds * len(some) / len(done) > patience:
            break
        found, seconds = setting.timed(partial(compare, some))
        done = some
    return Timing(seconds * len(pairs) / len(done), len(done) < len(pairs)), done, found


def together(metrics: Sequence[Metric], setting: Setting) -> tuple[float, float, int]:
    """Seconds of a family's metrics one by one, the same sharing what they prepare, and how many scores there are."""
    sides = setting.sides()
    pairs = all_pairs(sides)

    def all_of_them() -> list[list[Score]]:
        return [score_pairs(metric, sides, pairs) for metric in metrics]

    _, apart = setting.timed(all_of_them)
    with memoising():
        scores, jointly = setting.timed(all_of_them)
    return apart, jointly, sum(len(some) for some in scores)


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of a straight line through the logarithms."""
    x, y = [math.log(size) for size in sizes], [math.log(one) for one in seconds]
    middle = sum(x) / len(x), sum(y) / len(y)
    return sum((a - middle[0]) * (b - middle[1]) for a, b in zip(x, y, strict=True)) / sum(
        (a - middle[0]) ** 2 for a in x
    )


def _forget_peak() -> None:
    """Give back what is free, so that it does not hide what is taken next, and let the peak begin here."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _status(field: str) -> int | None:
    """A line of what Linux knows about this process, in bytes."""
    try:
        found = re.findall(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return 1024 * int(found[0]) if found else None
