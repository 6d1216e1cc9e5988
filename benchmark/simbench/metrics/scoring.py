"""Score a batch of pairs: prepare each representation once, isolate what fails, never invent a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any, get_args

from simbench.errors import NotApplicable, SimbenchError, described, is_failure, storable
from simbench.lazy import lazy_import
from simbench.metrics.isolation import ChangedInputError, Inputs, inputs_of, is_trusted
from simbench.metrics.metric import Metric, Pairs, Score
from simbench.process_state import preserved_state
from simbench.representations.padding import padding_remarks
from simbench.representations.selection import largest_magnitude
from simbench.results.record import ScoreStatus
from simbench.tracebacks import described_at, whole

if TYPE_CHECKING:
    import torch

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

MINIMUM_ROWS = 3
# What no array can bring: said before anything that one could.
NOT_TO_BE_GIVEN = ("model", "head")
# Why activations that a suite gives have no such thing, and what would give it to them.
LACKING_OF_GIVEN = {
    "model": "it is given as activations, without a network",
    "head": "it is given as activations, without a network",
    "targets": "its group of activations has no `targets`",
    "fit": "its group of activations has no `fit`",
}
# Largest activation: metrics multiply up to four of them, and sum over pairs of rows. float32 ends at 3e38.
LARGEST = 1e60
# A symmetric metric is asked about so many pairs of a block in the other order, too, where it comes from elsewhere.
EXCHANGED = 5
# Relative to the scores: far above what single precision leaves of a difference in the order of arguments.
LARGEST_ASYMMETRY = 1e-3
# From about here on, rounding may be why all rows are equal: float32 then loses differences of 0.1.
LARGE = 1e6


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
    changes of the process (seeds, threads, the working directory, …) is restored, and it computes with the settings of
    a new process, whatever the caller has set.

    Args:
        metric: the metric.
        representations: what is compared.
        pairs: pairs of indices.
        prepare: prepares a representation in place of the metric; for wrappers, which prepare once and score often.
    """
    with preserved_state(usual=True):
        return _score_pairs(metric, inputs_of(metric, representations), pairs, prepare)


def refuse_asymmetry(
    metric: Metric, representations: Sequence[Representation], pairs: Pairs, scores: Sequence[Score]
) -> list[Score]:
    """Return the scores; errors in place of values where a metric from elsewhere is not as symmetric as it declares.

    A symmetric metric is never asked as receiver, so that a false declaration would hide one of its two directions.
    """
    given = list(scores)
    answered = [place for place, (a, b) in enumerate(pairs) if a != b and given[place].value is not None]
    if not metric.symmetric or metric.cost == "heavy" or not answered or is_trusted(metric):
        return given
    chosen = answered[:: max(1, len(answered) // EXCHANGED)][:EXCHANGED]
    back = score_pairs(metric, representations, [pairs[place][::-1] for place in chosen])
    usual = median(abs(given[place].value or 0.0) for place in answered)
    for place, exchanged in zip(chosen, back, strict=True):
        there, here = given[place].value, exchanged.value
        if there is not None and here is not None:
            size = max(abs(there), abs(here), usual)
            if abs(there - here) > LARGEST_ASYMMETRY * size:
                error = Score.error(
                    f"{metric.name} declares that it is symmetric, and gives {there:.6g} in one order of its arguments "
                    f"and {here:.6g} in the other; declare symmetric=False"
                )
                return [score if score.value is None else error for score in given]
    return given


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
    for position, score, (a, b) in zip(open_positions, compared, open_pairs, strict=True):
        remarks = _remarks(metric, representations[a], representations[b]) if score.status == "ok" else ()
        scores[position] = replace(score, warnings=(*score.warnings, *remarks)) if remarks else score
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
    except BaseException as error:
        if not is_failure(error):
            raise
        return _failure(error)


def _unusable(representation: Representation) -> Score | None:
    """Return a score that says why a representation is no input for any metric; None if it is one."""
    where = representation.layer or "the representation"
    activations = representation.activations
    if representation.shape[0] < MINIMUM_ROWS:
        return Score.error(f"{where} has {representation.shape[0]} rows; at least {MINIMUM_ROWS} are needed")
    if activations.numel() == 0:
        return Score.skip(f"no features in {where}")
    if activations.is_complex():
        return Score.error(
            f"complex activations in {where}: metrics compare real numbers; "
            "give real and imaginary parts as features of their own (torch.view_as_real)"
        )
    largest, spread = representation.extent
    if not math.isfinite(largest):
        return Score.error(f"non-finite activations in {where}")
    if spread == 0:
        return _constant(representation, where, largest)
    if largest > LARGEST or spread < 1 / LARGEST:
        return Score.error(
            f"activations in {where} are as large as {largest:.1e} and vary by {spread:.1e}: products of numbers "
            f"beyond {LARGEST:g} or below {1 / LARGEST:g} leave the range of float64; rescale them"
        )
    return None


def _constant(representation: Representation, where: str, largest: float) -> Score:
    """Return the score of a constant representation: a skip, or an error where the numbers may be too large to vary."""
    dtype, size = representation.activations.dtype, representation.largest_input
    if size is None:
        size = largest_magnitude(representation.inputs)
    # a variance, as normalising layers take it, is infinite
    if size is not None and size > math.sqrt(torch.finfo(torch.float32).max):
        return Score.error(
            f"overflow: {where} is constant, and squares of inputs as large as {size:.1e} leave the range of "
            "float32; rescale the inputs"
        )
    if largest < LARGE or not dtype.is_floating_point:
        return Score.skip(f"no variance in {where}")
    step = largest * torch.finfo(dtype).eps
    return Score.skip(
        f"no variance in {where} as it is stored: next to numbers as large as {largest:.1e}, "
        f"{str(dtype).removeprefix('torch.')} loses differences below {step:.1e}"
    )


def _lacking(metric: Metric, representation: Representation) -> Score | None:
    """Return a score that says why a usable representation is no input for this metric; None if it is one."""
    for need in sorted(metric.needs, key=lambda need: (need not in NOT_TO_BE_GIVEN, need)):
        if not representation.offers(need):
            where = representation.layer or "the representation"
            why = f": {LACKING_OF_GIVEN[need]}" if representation.given and need in LACKING_OF_GIVEN else ""
            return Score.skip(f"{metric.name} needs a {need}; {where} has none{why}")
    return None


def _mismatch(metric: Metric, a: Representation, b: Representation) -> Score | None:
    """Return a score that says why two usable representations cannot be compared with each other; None if they can."""
    if a.shape[0] != b.shape[0]:
        return Score.error(f"{a.shape[0]} inputs against {b.shape[0]}")
    if not metric.takes_representations and a.matrix.shape[0] != b.matrix.shape[0]:
        whose = "only one has positions" if 2 in (len(a.shape), len(b.shape)) else "their positions differ"
        return Score.skip(
            f"{a.layer} has {a.matrix.shape[0]} rows and {b.layer} {b.matrix.shape[0]}: {whose}; "
            "compare them under the spatial rule pool or flatten (`spatial` of a suite's probe, `--spatial` of score)"
        )
    return None


def _remarks(metric: Metric, a: Representation, b: Representation) -> tuple[str, ...]:
    """Return what a reader of a score should know of the positions at which two representations are read."""
    return tuple(dict.fromkeys((*_unrelated_positions(metric, a, b), *padding_remarks(a), *padding_remarks(b))))


def _unrelated_positions(metric: Metric, a: Representation, b: Representation) -> tuple[str, ...]:
    """Return the remark, if any, that two representations are read at positions that do not correspond."""
    axes = [len(side.shape) - 2 for side in (a, b)]
    drawn = a.spatial.mode == b.spatial.mode == "positions"
    if metric.takes_representations or not drawn or 0 in axes or axes[0] == axes[1]:
        return ()
    return (
        f"positions do not correspond: those of {a.layer or 'one'} have {axes[0]} {'axis' if axes[0] == 1 else 'axes'} "
        f"and those of {b.layer or 'the other'} {axes[1]}, so each is read at positions of its own; "
        "pool compares the same inputs",
    )


def _compare(metric: Metric, inputs: Inputs, prepared: Sequence[Any], pairs: Pairs) -> list[Score]:
    """Score usable pairs in one batch or, where the batch fails, one by one."""
    if not pairs:
        return []
    try:
        values = inputs.compare_many(prepared, pairs)
        if len(values) != len(pairs):
            return [Score.error(f"compare_many returned {len(values)} scores for {len(pairs)} pairs")] * len(pairs)
        return [_as_score(metric, value) for value in values]
    except BaseException as error:
        if not is_failure(error):
            raise
        if len(pairs) == 1 or isinstance(error, ChangedInputError):
            return [_failure(error)] * len(pairs)
        return [score for pair in pairs for score in _compare(metric, inputs, prepared, [pair])]


def _compare_one(metric: Metric, inputs: Inputs, a: int, b: int) -> Score:
    try:
        return _as_score(metric, inputs.compare(a, b))
    except BaseException as error:
        if not is_failure(error):
            raise
        return _failure(error)


def _as_score(metric: Metric, value: Any) -> Score:
    """Turn a metric's return value into a score: one finite real number, or an error that says what came instead."""
    if isinstance(value, Score):
        return _checked(metric, value)
    try:
        number = _finite(value)
    except _NoNumberError as reason:
        return Score.error(f"{metric.name} returned {reason}")
    return Score(number, warnings=_outside(metric, number))


def _number(value: Any) -> float | str:
    """Return a real number, also one of NumPy or torch, as a float; say what anything else is.

    Truth values, and texts that read as numbers, are none: a metric that returns one has gone wrong before.
    """
    shape = tuple(getattr(value, "shape", ()))
    if shape not in ((), (1,)):
        return f"an array of shape {shape}"
    kind = str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")
    if kind == "object":  # an array of anything; of one such array, no more
        return _number(value.item()) if not hasattr(value.item(), "shape") else "an array in an array"
    # Decimals, fractions and numbers of other libraries are welcome; their types are not known here.
    is_number = hasattr(value, "__float__") and not isinstance(value, str | bytes | type)
    if not is_number or kind.startswith(("bool", "complex", "timedelta", "datetime", "<U", "|S", "str")):
        return kind
    try:
        return float(value.item() if shape else value)
    except (TypeError, ValueError, OverflowError):
        return kind


def _outside(metric: Metric, number: float) -> tuple[str, ...]:
    """Return the warning, if any, that a value leaves the range that the metric declares."""
    low, high = metric.value_range
    slack = 1e-6 * max(1.0, abs(number))
    return () if low - slack <= number <= high + slack else (f"outside the declared range [{low:g}, {high:g}]",)


def _checked(metric: Metric, score: Score) -> Score:
    """Return a score as the metric gave it, or an error where a part of it is not what it should be."""
    if score.status not in get_args(ScoreStatus):
        return Score.error(f'{metric.name} returned a Score with the status "{score.status}"')
    remarks = score.warnings
    if isinstance(remarks, str) or not all(isinstance(remark, str) for remark in remarks):
        return Score.error(f"{metric.name} returned a Score whose warnings are no tuple of texts")
    if not all(isinstance(name, str) for name in score.auxiliary):
        return Score.error(f"{metric.name} returned a Score with an auxiliary value whose name is no text")
    remarks = tuple(map(storable, remarks))
    if score.status != "ok":
        return replace(score, value=None, reason=storable(score.reason or "no reason given"), warnings=remarks)
    try:
        value, auxiliary = _finite(score.value), {}
        error = None if score.standard_error is None else _finite(score.standard_error, "standard error")
        tiebreak = None if score.tiebreak is None else _finite(score.tiebreak, "tie-break")
        for name, part in score.auxiliary.items():
            auxiliary[storable(name)] = _finite(part, storable(name))
    except _NoNumberError as reason:
        return Score.error(f"{metric.name} returned {reason}")
    if error is not None and error < 0:
        return Score.error(f"{metric.name} returned a standard error of {error}")
    return replace(
        score,
        value=value,
        standard_error=error,
        tiebreak=tiebreak,
        warnings=(*remarks, *_outside(metric, value)),
        auxiliary=auxiliary,
    )


class _NoNumberError(ValueError):
    """A part of a score is no finite number; the message says what it is."""


def _finite(part: Any, name: str = "") -> float:
    number, what = _number(part), f"a {name} of " if name else ""
    if isinstance(number, str):
        raise _NoNumberError(f"{what}{number}, not a number")
    if not math.isfinite(number):
        raise _NoNumberError(f"{what}{number}")
    return number


# Tracebacks of what failed in the block of `gathering_tracebacks`.
_tracebacks: list[str] | None = None


@contextmanager
def gathering_tracebacks() -> Iterator[list[str]]:
    """Gather the tracebacks of metrics that raise in the block, each once; `check` shows them."""
    global _tracebacks
    before, _tracebacks = _tracebacks, []
    try:
        yield _tracebacks
    finally:
        _tracebacks = before


def _failure(error: BaseException) -> Score:
    if _tracebacks is not None and not isinstance(error, NotApplicable) and (text := whole(error)) not in _tracebacks:
        _tracebacks.append(text)
    if isinstance(error, NotApplicable):
        return Score.skip(storable(error))
    if isinstance(error, ChangedInputError):
        return Score.error(str(error))
    if isinstance(error, SimbenchError):  # its message says all
        return Score.error(described(error).removeprefix(f"{type(error).__name__}: "))
    return Score.error(described_at(error))
