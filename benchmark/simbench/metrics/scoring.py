"""Score a batch of pairs: prepare each representation once, isolate what fails, never invent a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.isolation import FAILURES, ChangedInputError, Inputs, inputs_of
from simbench.metrics.metric import Metric, Pairs, Score
from simbench.process_state import preserved_state

if TYPE_CHECKING:
    import torch

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

MINIMUM_ROWS = 3
# Largest activation: metrics multiply up to four of them, and sum over pairs of rows. float32 ends at 3e38.
LARGEST = 1e60


def score_pairs(
    metric: Metric,
    representations: Sequence[Representation],
    pairs: Pairs,
    *,
    prepare: Callable[[Representation], Any] | None = None,
) -> list[Score]:
    """Score `pairs` of indices into `representations`, in order.

    A representation that is non-finite, constant or too short, and a metric that raises or changes its inputs in place,
    give a `Score` with a status and a reason for the pairs concerned, and leave the other pairs alone. What a metric
    changes of the process (seeds, threads, the working directory, …) is restored.

    Args:
        metric: the metric.
        representations: what is compared.
        pairs: pairs of indices.
        prepare: prepares a representation in place of the metric; for wrappers, which prepare once and score often.
    """
    with preserved_state():
        return _score_pairs(metric, inputs_of(metric, representations), pairs, prepare)


def _score_pairs(
    metric: Metric, inputs: Inputs, pairs: Pairs, prepare: Callable[[Representation], Any] | None
) -> list[Score]:
    representations = inputs.representations
    used = sorted({index for pair in pairs for index in pair})
    prepared: dict[int, Any] = {}
    unusable: dict[int, Score] = {}
    for index in used:
        outcome = _prepare(metric, inputs, index, prepare)
        if isinstance(outcome, Score):
            unusable[index] = outcome
        else:
            prepared[index] = outcome[0]
    scores: dict[int, Score] = {}
    for position, (a, b) in enumerate(pairs):
        problem = unusable.get(a) or unusable.get(b) or _mismatch(metric, representations[a], representations[b])
        if problem is not None:
            scores[position] = problem
    open_positions = [position for position in range(len(pairs)) if position not in scores]
    open_pairs = [pairs[position] for position in open_positions]
    if metric.compare_many is None:
        compared = [_compare_one(metric, inputs, a, b) for a, b in open_pairs]
    else:
        slots = {index: slot for slot, index in enumerate(prepared)}
        compared = _compare(metric, inputs, list(prepared.values()), [(slots[a], slots[b]) for a, b in open_pairs])
    scores.update(zip(open_positions, compared, strict=True))
    return [scores[position] for position in range(len(pairs))]


def _prepare(
    metric: Metric, inputs: Inputs, index: int, prepare: Callable[[Representation], Any] | None
) -> tuple[Any] | Score:
    """Return what `compare_many` compares, in a 1-tuple, or a score that says why the metric cannot compare this."""
    representation = inputs.representations[index]
    try:
        problem = _unusable(representation) or _lacking(metric, representation)
        if problem is not None:
            return problem
        if metric.compare_many is None:
            return (None,)
        if prepare is not None:
            return (prepare(representation),)
        return (inputs.side(index) if metric.prepare is None else inputs.prepared(index),)
    except FAILURES as error:
        return _failure(error)


def _unusable(representation: Representation) -> Score | None:
    """Return a score that says why a representation is no input for any metric; None if it is one."""
    where = representation.layer or "the representation"
    activations = representation.activations
    if activations.shape[0] < MINIMUM_ROWS:
        return Score.error(f"{where} has {activations.shape[0]} rows; at least {MINIMUM_ROWS} are needed")
    if activations.numel() == 0:
        return Score.skip(f"no features in {where}")
    low, high = activations.amin(dim=0).double(), activations.amax(dim=0).double()
    largest, spread = float(torch.maximum(low.abs(), high.abs()).max()), float((high - low).max())
    if not math.isfinite(largest):
        return Score.error(f"non-finite activations in {where}")
    if spread == 0:
        return Score.skip(f"no variance in {where}")
    if largest > LARGEST or spread < 1 / LARGEST:
        return Score.error(
            f"activations in {where} are as large as {largest:.1e} and vary by {spread:.1e}: products of numbers "
            f"beyond {LARGEST:g} or below {1 / LARGEST:g} leave the range of float64; rescale them"
        )
    return None


def _lacking(metric: Metric, representation: Representation) -> Score | None:
    """Return a score that says why a usable representation is no input for this metric; None if it is one."""
    for need in sorted(metric.needs):
        if not representation.offers(need):
            return Score.skip(f"{metric.name} needs a {need}; {representation.layer or 'the representation'} has none")
    return None


def _mismatch(metric: Metric, a: Representation, b: Representation) -> Score | None:
    """Return a score that says why two usable representations cannot be compared with each other; None if they can."""
    if a.activations.shape[0] != b.activations.shape[0]:
        return Score.error(f"{a.activations.shape[0]} inputs against {b.activations.shape[0]}")
    if not metric.takes_representations and a.matrix.shape[0] != b.matrix.shape[0]:
        return Score.skip(
            f"{a.layer} has {a.matrix.shape[0]} rows and {b.layer} {b.matrix.shape[0]}: only one has positions; "
            "set `spatial: pool` or `flatten` in the suite's probe"
        )
    return None


def _compare(metric: Metric, inputs: Inputs, prepared: Sequence[Any], pairs: Pairs) -> list[Score]:
    """Score usable pairs in one batch or, where the batch fails, one by one."""
    if not pairs:
        return []
    try:
        values = inputs.compare_many(prepared, pairs)
        if len(values) != len(pairs):
            return [Score.error(f"compare_many returned {len(values)} scores for {len(pairs)} pairs")] * len(pairs)
        return [_as_score(metric, value) for value in values]
    except FAILURES as error:
        if len(pairs) == 1 or isinstance(error, ChangedInputError):
            return [_failure(error)] * len(pairs)
        return [score for pair in pairs for score in _compare(metric, inputs, prepared, [pair])]


def _compare_one(metric: Metric, inputs: Inputs, a: int, b: int) -> Score:
    try:
        return _as_score(metric, inputs.compare(a, b))
    except FAILURES as error:
        return _failure(error)


def _as_score(metric: Metric, value: Any) -> Score:
    """Turn a metric's return value into a score: one finite real number, or an error that says what came instead."""
    if isinstance(value, Score):
        return _checked(metric, value)
    shape = tuple(getattr(value, "shape", ()))
    if shape not in ((), (1,)):
        return Score.error(f"{metric.name} returned an array of shape {shape}, not a number")
    try:
        number = float(value)
    except (TypeError, ValueError):
        return Score.error(f"{metric.name} returned {type(value).__name__}, not a number")
    if not math.isfinite(number):
        return Score.error(f"{metric.name} returned {number}")
    return Score(number, warnings=_outside(metric, number))


def _outside(metric: Metric, number: float) -> tuple[str, ...]:
    """Return the warning, if any, that a value leaves the range that the metric declares."""
    low, high = metric.value_range
    slack = 1e-6 * max(1.0, abs(number))
    return () if low - slack <= number <= high + slack else (f"outside the declared range [{low:g}, {high:g}]",)


def _checked(metric: Metric, score: Score) -> Score:
    """Return a score as the metric gave it, or an error where one of its numbers is not finite."""
    if score.status != "ok":
        return score
    if score.value is None or not math.isfinite(score.value):
        return Score.error(f"{metric.name} returned {score.value}")
    numbers = {"standard error": score.standard_error, "tie-break": score.tiebreak, **score.auxiliary}
    for name, number in numbers.items():
        if number is not None and not math.isfinite(number):
            return Score.error(f"{metric.name} returned a {name} of {number}")
    outside = _outside(metric, score.value)
    return replace(score, warnings=(*score.warnings, *outside)) if outside else score


def _failure(error: BaseException) -> Score:
    if isinstance(error, NotApplicable):
        return Score.skip(str(error))
    if isinstance(error, ChangedInputError):
        return Score.error(str(error))
    return Score.error(f"{type(error).__name__}: {error}".splitlines()[0])
