"""Measure what a metric declares: range, symmetry, invariances; and what every metric owes: see the functions below.

A declaration that does not hold is a finding with `ok=False`. What is merely of interest (an invariance that holds but
was not declared, the value for independent data) is a finding with `ok=True`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from simbench.lazy import lazy_import
from simbench.metrics.metric import INVARIANCES, Metric, Score
from simbench.metrics.scoring import score_pairs
from simbench.registry import TRANSFORMS
from simbench.seeds import seed_for
from simbench.testing.inputs import Case, cases, common_shift

if TYPE_CHECKING:
    import torch

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

TOLERANCE = 1e-6
"""Two values count as equal when they differ by less than this, relative to the larger of them and 1."""


@dataclass(frozen=True)
class Finding:
    """One property of a metric: what was declared of it, what was measured, and whether the two agree."""

    property: str
    declared: str
    measured: str
    ok: bool
    detail: str = ""


def check_metric(metric: Metric, *, seed: int = 0) -> list[Finding]:
    """Measure `metric` on seeded random, low-rank, wide, duplicated-unit, dead-unit and float32 inputs."""
    inputs = cases(seed, sequences="sequence" in metric.needs)
    bench = Bench(replace(metric, prepare=None, compare_many=None), metric, inputs, seed)
    return [finding for check in CHECKS for finding in check(bench)]


@dataclass(frozen=True)
class Bench:
    """A metric by its plain function and by its fast door, and the inputs to measure it on."""

    plain: Metric
    fast: Metric
    cases: Sequence[Case]
    seed: int

    def score(self, a: Representation, b: Representation) -> Score:
        """The plain function's score."""
        return score_pairs(self.plain, [a, b], [(0, 1)])[0]

    @cached_property
    def scores(self) -> list[tuple[Case, Score]]:
        """The plain function's score of each case."""
        return [(case, self.score(case.a, case.b)) for case in self.cases]

    def usable(self) -> Iterator[tuple[Case, float]]:
        """The cases that have a value, and that value."""
        for case, score in self.scores:
            if score.status == "ok" and score.value is not None:
                yield case, score.value


def finite(bench: Bench) -> Iterator[Finding]:
    """A finite number on every input, or a skip with a reason; at least on the ordinary input a number."""
    for position, (case, score) in enumerate(bench.scores):
        ok = score.status == "ok" or (score.status == "skip" and position > 0)
        measured = f"{score.value:.6g}" if score.value is not None else f"{score.status}: {score.reason}"
        yield Finding(f"gives a number ({case.name})", "a finite number", measured, ok, ", ".join(score.warnings))


def identity(bench: Bench) -> Iterator[Finding]:
    """Nothing is more similar to a representation than itself; a distance from itself is the least possible."""
    low = bench.plain.value_range[0]
    errors = {case.name: score.standard_error or 0.0 for case, score in bench.scores}
    for case, value in bench.usable():
        own = bench.score(case.a, case.a)
        if own.value is None:
            yield Finding(f"identity ({case.name})", "the extreme", f"{own.status}: {own.reason}", False)
            continue
        slack = _slack(value, own.value) + 3 * math.hypot(own.standard_error or 0.0, errors[case.name])
        ok = bench.plain.similarity(own.value) >= bench.plain.similarity(value) - slack
        if not bench.plain.higher_is_more_similar and np.isfinite(low):
            ok = ok and own.value <= low + slack
        detail = f"with itself {own.value:.9g}, with another {value:.9g}"
        yield Finding(f"identity ({case.name})", "the extreme", "holds" if ok else "violated", ok, detail)


def value_range(bench: Bench) -> Iterator[Finding]:
    """All values lie in the declared range."""
    low, high = bench.plain.value_range
    values = [value for _, value in bench.usable()]
    values += [own.value for case in bench.cases if (own := bench.score(case.a, case.a)).value is not None]
    if values:
        ok = all(low - _slack(value) <= value <= high + _slack(value) for value in values)
        yield Finding("range", f"[{low:g}, {high:g}]", f"[{min(values):.6g}, {max(values):.6g}]", ok)


def symmetry(bench: Bench) -> Iterator[Finding]:
    """Exchanging the arguments leaves the value, where that is declared."""
    gaps = [_gap(value, bench.score(case.b, case.a)) for case, value in bench.usable()]
    if gaps:
        declared, holds = bench.plain.symmetric, max(gaps) <= TOLERANCE
        note = "could be declared" if holds and not declared else f"largest relative difference {max(gaps):.2g}"
        yield Finding("symmetry", _yes(declared), _yes(holds), holds or not declared, note)


def invariances(bench: Bench) -> Iterator[Finding]:
    """The declared transforms of either argument leave the value.

    At the head the model follows the transform, and a common shift of all unembeddings is added: all that leaves the
    distribution as it is.
    """
    for name in INVARIANCES:
        gaps = {"first": 0.0, "second": 0.0}
        for case, value in list(bench.usable())[:2]:
            for side in gaps:
                a = _transformed(bench, case.a, name) if side == "first" else case.a
                b = _transformed(bench, case.b, name) if side == "second" else case.b
                gaps[side] = max(gaps[side], _gap(value, bench.score(a, b)))
        holds, declared = max(gaps.values()) <= TOLERANCE, bench.plain.is_invariant_to(name)
        note = ", ".join(f"{side} argument changes the value by {gap:.2g}" for side, gap in gaps.items())
        note = "could be declared" if holds and not declared else note
        yield Finding(f"invariance: {name}", _yes(declared), _yes(holds), holds or not declared, note)


def row_order(bench: Bench) -> Iterator[Finding]:
    """Reordering the rows of both sides alike leaves the value; a seeded choice of rows may change it."""
    seeded = "seed" in bench.plain.parameters
    for case, value in list(bench.usable())[:1]:
        order = torch.randperm(len(case.a.activations), generator=torch.Generator().manual_seed(bench.seed))
        gap = _gap(value, bench.score(_reordered(case.a, order), _reordered(case.b, order)))
        note = f"relative difference {gap:.2g}" + ("; the metric draws rows by its seed" if seeded else "")
        holds = gap <= TOLERANCE
        yield Finding("order of rows does not matter", _yes(not seeded), _yes(holds), holds or seeded, note)


def determinism(bench: Bench) -> Iterator[Finding]:
    """The same inputs give the same value, whatever the state of the global random generators."""
    for case, value in list(bench.usable())[:1]:
        yield _same("determinism", value, bench.score(case.a, case.b))
        with _global_seeds(12345):
            yield _same("independence of global random state", value, bench.score(case.a, case.b))


def purity(bench: Bench) -> Iterator[Finding]:
    """The inputs are not modified, by either door."""
    changed = []
    for case in bench.cases:
        before = [case.a.activations.clone(), case.b.activations.clone()]
        for metric in (bench.plain, bench.fast):
            score_pairs(metric, [case.a, case.b], [(0, 1)])
        if any(not torch.equal(x, y.activations) for x, y in zip(before, (case.a, case.b), strict=True)):
            changed.append(case.name)
    yield Finding("inputs are not modified", "yes", _yes(not changed), not changed, ", ".join(changed))


def fast_door(bench: Bench) -> Iterator[Finding]:
    """`prepare` and `compare_many` give what the plain function gives, for all pairs in one batch."""
    if bench.fast.prepare is None and bench.fast.compare_many is None:
        return
    sides = [side for case in bench.cases for side in (case.a, case.b)]
    pairs = [(i, j) for i in range(len(sides)) for j in (i, i ^ 1)]  # each with itself and with its counterpart
    fast = score_pairs(bench.fast, sides, pairs)
    both = [(bench.score(sides[i], sides[j]), score) for (i, j), score in zip(pairs, fast, strict=True)]
    gaps = [_gap(slow.value, quick) if slow.value is not None else 0.0 for slow, quick in both]
    lost = sum((slow.status, slow.warnings) != (quick.status, quick.warnings) for slow, quick in both)
    detail = f"{len(pairs)} pairs, largest relative difference {max(gaps):.2g}; {lost} differ in status or warnings"
    ok = max(gaps) <= TOLERANCE and lost == 0
    yield Finding("fast door equals plain function", "yes", _yes(ok), ok, detail)


def null_level(bench: Bench) -> Iterator[Finding]:
    """What the metric says of unrelated representations: no declaration to hold it against, but good to know."""
    case = bench.cases[0]
    score = bench.score(TRANSFORMS.get("row_shuffle")(case.a, seed=bench.seed), case.b)
    rows, widths = case.a.activations.shape[0], (case.a.features, case.b.features)
    measured = f"{score.value:.4g}" if score.value is not None else f"{score.status}: {score.reason}"
    detail = f"{rows} rows, {widths[0]} and {widths[1]} features"
    yield Finding("value for unrelated representations", "not declared", measured, True, detail)


CHECKS: tuple[Callable[[Bench], Iterator[Finding]], ...] = (
    finite,
    identity,
    value_range,
    symmetry,
    invariances,
    row_order,
    determinism,
    purity,
    fast_door,
    null_level,
)


def _transformed(bench: Bench, representation: Representation, name: str) -> Representation:
    seed = seed_for(purpose="conformance transform", name=name, seed=bench.seed)
    transformed: Representation = TRANSFORMS.get(name)(representation, seed=seed)
    return common_shift(transformed, seed) if bench.plain.level == "head" else transformed


def _reordered(representation: Representation, order: torch.Tensor) -> Representation:
    targets = None if representation.targets is None else representation.targets[order]
    return replace(representation, activations=representation.activations[order], targets=targets)


def _gap(value: float, score: Score) -> float:
    """The difference relative to max(1, |value|); infinite where there is no other value."""
    if score.value is None:
        return float("inf")
    return abs(value - score.value) / max(1.0, abs(value))


def _slack(*values: float) -> float:
    return TOLERANCE * max(1.0, *(abs(value) for value in values))


def _same(name: str, value: float, again: Score) -> Finding:
    ok = again.value == value
    return Finding(name, "yes", _yes(ok), ok, "" if ok else f"{value!r}, then {again.value!r}")


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


@contextmanager
def _global_seeds(seed: int) -> Iterator[None]:
    """Other states of the global generators of Python, numpy and torch within the block."""
    python, numpy, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_state)
