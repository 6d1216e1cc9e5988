"""Measure the declared properties of a metric (range, symmetry, invariances) and those that every metric must have.

A declaration that does not hold is a finding with `ok=False`. Information (an invariance that holds on all inputs but
is not declared, the value for independent data) is a finding with `ok=True`. If the metric returned no value, nothing
was measured: `ok=None`, with the reason.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from simbench.declaration import INVARIANCES
from simbench.errors import is_failure
from simbench.lazy import lazy_import
from simbench.metrics.isolation import ChangedInputError, PrivateInputs
from simbench.metrics.metric import Metric, Score
from simbench.metrics.scoring import score_pairs
from simbench.process_state import preserved_state
from simbench.registry import TRANSFORMS
from simbench.seeds import seed_for
from simbench.testing.bench import TOLERANCE, Bench
from simbench.testing.inputs import Case, cases, common_shift, in_sequences, unrelated
from simbench.testing.triangles import detours

if TYPE_CHECKING:
    import torch

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

COULD_BE_DECLARED = "could be declared"
NOT_MEASURED = "not measured"
PAIRING = "pairs inputs"
GIVEN_MATRICES = "the function is given two matrices and `prepare` one; with `needs`, Representations"
GIVEN_REPRESENTATIONS = (
    "with `needs`, the function is given two Representations and `prepare` one; each has a `.matrix`"
)
NULL_DRAWS, NULL_ROWS, NULL_WIDTH = 5, 100, 20


@dataclass(frozen=True)
class Finding:
    """One property of a metric, as declared and as measured, and whether the two agree.

    `ok` is None if nothing was measured; `detail` says why.
    """

    property: str
    declared: str
    measured: str
    ok: bool | None
    detail: str = ""


def check_metric(metric: Metric, *, seed: int = 0) -> list[Finding]:
    """Measure `metric` on seeded random, low-rank, wide, duplicated-, dead- and shared-unit and float32 inputs."""
    inputs = cases(seed, sequences="sequence" in metric.needs)
    bench = Bench(replace(metric, prepare=None, compare_many=None), metric, inputs, seed)
    return [finding for check in CHECKS for finding in check(bench)]


def finite(bench: Bench) -> Iterator[Finding]:
    """Check for a finite number on every input, or a skip with a reason; the ordinary input must not be skipped."""
    for position, (case, score) in enumerate(bench.scores):
        ok = score.status == "ok" or (score.status == "skip" and position > 0)
        why = f"{score.status}: {_with_hint(score.reason or 'no reason', bench)}"
        measured = f"{score.value:.6g}" if score.value is not None else why
        yield Finding(f"gives a number ({case.name})", "a finite number", measured, ok, ", ".join(score.warnings))


def identity(bench: Bench) -> Iterator[Finding]:
    """Check that no representation is more similar to one than itself, and that a distance to itself is minimal."""
    low = bench.plain.value_range[0]
    if not any(bench.usable()):
        yield _unmeasured("identity", "the extreme", bench)
    for (case, score), (_, own) in zip(bench.scores, bench.own, strict=True):
        if score.value is None:
            continue
        if own.value is None:
            yield Finding(f"identity ({case.name})", "the extreme", f"{own.status}: {own.reason}", False)
            continue
        error = 3 * math.hypot(own.standard_error or 0.0, score.standard_error or 0.0)
        slack = bench.slack(score.value, own.value) + error
        ok = bench.plain.similarity(own.value) >= bench.plain.similarity(score.value) - slack
        if not bench.plain.higher_is_more_similar and np.isfinite(low):
            ok = ok and own.value <= low + slack
        detail = f"with itself {own.value:.9g}, with another {score.value:.9g}"
        yield Finding(f"identity ({case.name})", "the extreme", "holds" if ok else "violated", ok, detail)


def exactness(bench: Bench) -> Iterator[Finding]:
    """Report the largest distance of a self-comparison from the end of the range, if the range is bounded."""
    end = bench.plain.value_range[1 if bench.plain.higher_is_more_similar else 0]
    away = [(abs(own.value - end), case.name) for case, own in bench.own if own.value is not None]
    if away and math.isfinite(end):
        worst, name = max(away)
        yield Finding("self-comparison", f"{end:g}", f"{worst:.1e} away", True, f"at worst, {name}")
    elif math.isfinite(end):
        yield _unmeasured("self-comparison", f"{end:g}", bench)


def value_range(bench: Bench) -> Iterator[Finding]:
    """Check that all values lie in the declared range."""
    low, high = bench.plain.value_range
    values = [score.value for _, score in (*bench.scores, *bench.own) if score.value is not None]
    if values:
        ok = all(low - bench.slack(value) <= value <= high + bench.slack(value) for value in values)
        yield Finding("range", f"[{low:g}, {high:g}]", f"[{min(values):.6g}, {max(values):.6g}]", ok)
    else:
        yield _unmeasured("range", f"[{low:g}, {high:g}]", bench)


def symmetry(bench: Bench) -> Iterator[Finding]:
    """Check that exchanging the arguments does not change the value, if that is declared."""
    back = [(score.value, bench.between(2 * k + 1, 2 * k)) for k, (_, score) in enumerate(bench.scores)]
    gaps = [bench.gap(value, reversed_) for value, reversed_ in back if value is not None]
    declared = bench.plain.symmetric
    if gaps:
        holds = max(gaps) <= TOLERANCE
        note = COULD_BE_DECLARED if holds and not declared else f"largest relative difference {max(gaps):.2g}"
        yield Finding("symmetry", _yes(declared), _yes(holds), holds or not declared, note)
    else:
        yield _unmeasured("symmetry", _yes(declared), bench)


def invariances(bench: Bench) -> Iterator[Finding]:
    """Check that declared transforms of either argument do not change any value; report others that do not, either.

    A transform that is not declared is not tried again once it has changed a value. At the head, the model follows the
    transform, and a common shift of all unembeddings is added: the whole change preserves the distribution.
    """
    worst = {name: {"first": (0.0, ""), "second": (0.0, "")} for name in INVARIANCES}
    tried = 0
    for case, _ in bench.usable():
        names = [name for name in INVARIANCES if bench.plain.is_invariant_to(name) or _largest(worst[name]) <= 1]
        sides = [
            pair
            for name in names
            for pair in ((_transformed(bench, case.a, name), case.b), (case.a, _transformed(bench, case.b, name)))
        ]
        gaps = bench.changed(case, sides)
        if gaps is None:
            continue
        tried += 1
        for name, first, second in zip(names, gaps[::2], gaps[1::2], strict=True):
            for side, gap in (("first", first), ("second", second)):
                worst[name][side] = max(worst[name][side], (gap, case.name))
    for name in INVARIANCES:
        holds, declared = _largest(worst[name]) <= 1, bench.plain.is_invariant_to(name)
        if not tried:
            yield _unmeasured(f"invariance: {name}", _yes(declared), bench)
            continue
        note = ", ".join(
            f"{side} argument changes the value by {gap * TOLERANCE:.2g} ({case})" if gap > 1 else f"{side} does not"
            for side, (gap, case) in worst[name].items()
        )
        note = COULD_BE_DECLARED if holds and not declared else note
        yield Finding(f"invariance: {name}", _yes(declared), _yes(holds), holds or not declared, note)


def _largest(gaps: Mapping[str, tuple[float, str]]) -> float:
    return max(gap for gap, _ in gaps.values())


def pairing(bench: Bench) -> Iterator[Finding]:
    """Check that shuffling the rows of one side lowers the similarity, as it must where inputs are paired.

    Where there are about as many features as rows, an index may be saturated: half of the inputs are enough.
    """
    declared, told_apart = bench.plain.pairs_inputs, []
    for case, own in bench.own:
        shuffled = TRANSFORMS.get("row_shuffle")(case.a, seed=seed_for(purpose="pairing", seed=bench.seed))
        other = bench.score(shuffled, case.a)
        if own.value is not None and other.value is not None:
            fall = bench.plain.similarity(own.value) - bench.plain.similarity(other.value)
            told_apart.append(fall > bench.slack(own.value, other.value))
    if not told_apart:
        yield _unmeasured(PAIRING, _yes(declared), bench)
        return
    pairs = 2 * sum(told_apart) > len(told_apart)
    note = f"shuffled rows are less similar on {sum(told_apart)} of {len(told_apart)} inputs"
    seeded = not declared and "seed" in bench.plain.parameters  # other rows are drawn from shuffled ones
    yield Finding(PAIRING, _yes(declared), _yes(pairs), pairs == declared or seeded, note)


def triangle(bench: Bench) -> Iterator[Finding]:
    """Check the triangle inequality, if it is declared; measure it for all distances that are not heavy."""
    declared = bench.plain.triangle_inequality
    if bench.plain.higher_is_more_similar or (bench.plain.cost == "heavy" and not declared):
        return
    detour = detours(bench.fast, TOLERANCE, seed=bench.seed)
    if not detour.triples:
        yield Finding("triangle inequality", _yes(declared), NOT_MEASURED, None, "no triple has values")
        return
    holds = detour.violations == 0
    note = f"{detour.violations} of {detour.triples} triples violate it"
    note += f", by {detour.excess:.2g} of the distance at most" if detour.violations else ""
    note = COULD_BE_DECLARED if holds and not declared else note
    yield Finding("triangle inequality", _yes(declared), _yes(holds), holds or not declared, note)


def row_order(bench: Bench) -> Iterator[Finding]:
    """Check that a common permutation of the rows does not change the value; a metric that draws rows by a seed may."""
    seeded = "seed" in bench.plain.parameters
    gaps: list[float] = []
    for case, _ in bench.usable():
        order = torch.randperm(len(case.a.activations), generator=torch.Generator().manual_seed(bench.seed))
        gaps += bench.changed(case, [(_reordered(case.a, order), _reordered(case.b, order))]) or []
    if not gaps:
        yield _unmeasured("order of rows does not matter", _yes(not seeded), bench)
        return
    worst = max(gaps)
    note = f"relative difference {worst * TOLERANCE:.2g}" + ("; the metric draws rows by its seed" if seeded else "")
    yield Finding("order of rows does not matter", _yes(not seeded), _yes(worst <= 1), worst <= 1 or seeded, note)


def determinism(bench: Bench) -> Iterator[Finding]:
    """Check that equal inputs have equal values, in any state of the global random generators."""
    again, elsewhere = "determinism", "independence of global random state"
    for case, value in list(bench.usable())[:1]:
        with preserved_state():  # as between any two calls, others draw numbers
            random.random(), np.random.random(), torch.rand(())
            yield _same(again, value, bench.score(case.a, case.b))
        with _global_seeds(12345):
            yield _same(elsewhere, value, bench.score(case.a, case.b))
        return
    yield _unmeasured(again, "yes", bench)
    yield _unmeasured(elsewhere, "yes", bench)


def purity(bench: Bench) -> Iterator[Finding]:
    """Check that neither interface modifies what it is given, whether or not it then returns a value."""
    made = cases(bench.seed, sequences="sequence" in bench.plain.needs)
    changed = [case.name for case in made if _modifies(bench.plain, case) or _modifies(bench.fast, case)]
    if changed or any(bench.usable()):
        yield Finding("inputs are not modified", "yes", _yes(not changed), not changed, ", ".join(changed))
    else:  # a metric that never returned a value may not have reached the inputs
        yield _unmeasured("inputs are not modified", "yes", bench)


def _modifies(metric: Metric, case: Case) -> bool:
    inputs = PrivateInputs(metric, [case.a, case.b])
    try:
        if metric.compare_many is None:
            inputs.compare(0, 1)
        else:
            prepared = [inputs.side(k) if metric.prepare is None else inputs.prepared(k) for k in (0, 1)]
            inputs.compare_many(prepared, [(0, 1)])
    except ChangedInputError:
        return True
    except BaseException as error:
        if not is_failure(error):
            raise
    return False


def fast_interface(bench: Bench) -> Iterator[Finding]:
    """Check that `prepare` and `compare_many` agree with the plain function, for all pairs in one batch."""
    if bench.fast.prepare is None and bench.fast.compare_many is None:
        return
    both = bench.by_both_interfaces
    gaps = [bench.gap(slow.value, quick) if slow.value is not None else 0.0 for slow, quick in both]
    lost = sum((slow.status, slow.warnings) != (quick.status, quick.warnings) for slow, quick in both)
    if not lost and not any(slow.status == "ok" for slow, _ in both):
        yield _unmeasured("batched interface equals plain function", "yes", bench)
        return
    detail = f"{len(both)} pairs, largest relative difference {max(gaps):.2g}; {lost} differ in status or warnings"
    failed = next((quick.reason for slow, quick in both if slow.status == "ok" and quick.reason is not None), None)
    detail += "" if failed is None else f", the first with {_with_hint(failed, bench)}"
    ok = max(gaps) <= TOLERANCE and lost == 0
    yield Finding("batched interface equals plain function", "yes", _yes(ok), ok, detail)


def null_level(bench: Bench) -> Iterator[Finding]:
    """Report the value for unrelated representations, of which nothing is declared."""
    values = null_values(bench.fast, seed=bench.seed)
    if not values:
        yield _unmeasured("value for unrelated representations", "not declared", bench)
        return
    spread = f", standard deviation {np.std(values, ddof=1):.2g}" if len(values) > 1 else ""
    detail = f"{NULL_ROWS} rows, {NULL_WIDTH} features each, {len(values)} draws{spread}"
    yield Finding("value for unrelated representations", "not declared", f"{np.mean(values):.4g}", True, detail)


def null_values(metric: Metric, *, seed: int = 0) -> list[float]:
    """Return the values for a few pairs of independent normal matrices, without pairs that have none."""
    seeds = [seed_for(purpose="null level", draw=draw, seed=seed) for draw in range(NULL_DRAWS)]
    drawn = [unrelated(each, rows=NULL_ROWS, width=NULL_WIDTH) for each in seeds]
    if "sequence" in metric.needs:
        drawn = [in_sequences(case) for case in drawn]
    sides = [side for case in drawn for side in (case.a, case.b)]
    scores = score_pairs(metric, sides, [(2 * draw, 2 * draw + 1) for draw in range(NULL_DRAWS)])
    return [score.value for score in scores if score.value is not None]


CHECKS: tuple[Callable[[Bench], Iterator[Finding]], ...] = (
    finite,
    identity,
    exactness,
    value_range,
    symmetry,
    invariances,
    pairing,
    triangle,
    row_order,
    determinism,
    fast_interface,
    null_level,
    purity,
)


def _transformed(bench: Bench, representation: Representation, name: str) -> Representation:
    seed = seed_for(purpose="conformance transform", name=name, seed=bench.seed)
    transformed: Representation = TRANSFORMS.get(name)(representation, seed=seed)
    return common_shift(transformed, seed) if bench.plain.level == "head" else transformed


def _reordered(representation: Representation, order: torch.Tensor) -> Representation:
    targets = None if representation.targets is None else representation.targets[order]
    return replace(representation, activations=representation.activations[order], targets=targets)


def _same(name: str, value: float, again: Score) -> Finding:
    ok = again.value == value
    return Finding(name, "yes", _yes(ok), ok, "" if ok else f"{value!r}, then {again.value!r}")


def _unmeasured(name: str, declared: str, bench: Bench) -> Finding:
    """Return a finding that neither passes nor fails, since the metric returned no value, with the metric's reason."""
    if any(bench.usable()):
        reasons = [quick.reason for slow, quick in bench.by_both_interfaces if slow.status == "ok"]
    else:
        reasons = [score.reason for _, score in bench.scores]
    reason = next((reason for reason in reasons if reason is not None), "no value")
    return Finding(name, declared, NOT_MEASURED, None, reason)


def _with_hint(reason: str, bench: Bench) -> str:
    """Return a reason, with what the functions of the metric are given where it reads like something else."""
    if not reason.startswith(("AttributeError:", "TypeError:")):
        return reason
    given = GIVEN_REPRESENTATIONS if bench.plain.takes_representations else GIVEN_MATRICES
    return f"{reason}; {given}"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


@contextmanager
def _global_seeds(seed: int) -> Iterator[None]:
    """Set the global generators of Python, numpy and torch within the block, and restore them."""
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
