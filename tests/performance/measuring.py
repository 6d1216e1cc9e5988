"""How the benchmark measures: data, time, memory, and loops that are cut short and scaled up."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from floors import FLOORS
from peers import Peer

from simbench.metrics.linear_algebra import centred
from simbench.metrics.metric import Metric, Score
from simbench.metrics.scoring import score_pairs
from simbench.metrics.sharing import sharing
from simbench.representations.representation import Representation

T = TypeVar("T")
Pairs = Sequence[tuple[int, int]]


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

    def sides(self) -> list[Representation]:
        """A chain: each is a random mixture of the one before and noise, through a ReLU, as the layers of a network."""
        generator = torch.Generator().manual_seed(0)
        width = self.features
        x = torch.randn(self.rows, width, generator=generator, dtype=torch.float64)
        found = []
        for layer in range(self.representations):
            mixing = torch.randn(width, width, generator=generator, dtype=torch.float64) * (2 / width) ** 0.5
            noise = 0.3 * torch.randn(self.rows, width, generator=generator, dtype=torch.float64)
            x = (x @ mixing + noise).relu()
            found.append(Representation(x.to(getattr(torch, self.dtype)), layer=f"layer {layer}"))
        return found


@dataclass(frozen=True)
class Timing:
    """Seconds for all pairs, whether they are scaled up from fewer, and the largest difference from our values."""

    seconds: float
    scaled: bool
    difference: float


@dataclass(frozen=True)
class Row:
    """One metric: our seconds and bytes, the plain function, the packages by name, and the floor."""

    name: str
    seconds: float
    memory: int | None
    loop: Timing
    peers: dict[str, Timing]
    floor: float | None


def measured(metric: Metric, sides: Sequence[Representation], setting: Setting, peers: Sequence[Peer]) -> Row:
    """Everything about one metric."""
    count = len(sides)
    pairs = [(a, b) for a in range(count) for b in range(count)]
    score_pairs(metric, [Representation(side.matrix[:100, :20]) for side in sides[:2]], [(0, 1)])  # imports come first
    matrices = [side.matrix for side in sides]
    _forget_peak()
    before = _status("VmRSS")
    scores, seconds = setting.timed(lambda: score_pairs(metric, sides, pairs))
    peak = _status("VmHWM")
    ours = {pair: score.value for pair, score in zip(pairs, scores, strict=True) if score.value is not None}

    def plain(some: Pairs) -> list[float]:
        found = [metric.function(matrices[a], matrices[b], **metric.parameters) for a, b in some]
        return [float(getattr(value, "value", value)) for value in found]

    loop = _within(setting, plain, list(ours), ours, whole=False)
    others = {
        f"{peer.package}{f' ({peer.remark})' if peer.remark else ''}": _within(
            setting, lambda some, peer=peer: peer.compare(matrices, some), list(ours), ours, whole=True
        )
        for peer in peers
        if peer.metric == metric.name
    }
    floor = None
    if metric.name in FLOORS:
        prepared = [centred(matrix) for matrix in matrices]
        floor = setting.timed(lambda: FLOORS[metric.name](prepared))[1]
    memory = peak - before if peak is not None and before is not None else None
    return Row(metric.name, seconds, memory, loop, others, floor)


def _within(
    setting: Setting,
    compare: Callable[[Pairs], Sequence[float]],
    pairs: list[tuple[int, int]],
    ours: dict[tuple[int, int], float],
    *,
    whole: bool,
) -> Timing:
    """All pairs if they take no longer than the setting allows, else as many as do, scaled up.

    `whole`: all pairs of some representations, for what is not written pair by pair; else pairs drawn at random.
    """
    if whole:
        everyone = sorted({index for pair in pairs for index in pair})
        choose = lambda k: [(a, b) for a, b in pairs if a in everyone[:k] and b in everyone[:k]]  # noqa: E731
        steps = [2, 4, 8, len(everyone)]
    else:
        shuffled = random.Random(0).sample(pairs, len(pairs))
        choose = lambda k: shuffled[:k]  # noqa: E731
        steps = [2, 10, 50, len(pairs)]
    values, seconds, done = [], 0.0, choose(steps[0])
    for step in dict.fromkeys(min(step, steps[-1]) for step in steps):
        some = choose(step)
        if values and seconds * len(some) / len(done) > setting.seconds:
            break
        values, seconds = setting.timed(lambda some=some: compare(some))
        done = some
    difference = max(abs(value - ours[pair]) for value, pair in zip(values, done, strict=True))
    return Timing(seconds * len(pairs) / len(done), len(done) < len(pairs), difference)


def together(metrics: Sequence[Metric], setting: Setting) -> tuple[float, float, int]:
    """Seconds of a family's metrics one by one, the same sharing what they prepare, and how many scores there are."""
    sides = setting.sides()
    pairs = [(a, b) for a in range(len(sides)) for b in range(len(sides))]

    def all_of_them() -> list[list[Score]]:
        return [score_pairs(metric, sides, pairs) for metric in metrics]

    _, apart = setting.timed(all_of_them)
    with sharing():
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
    try:
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
