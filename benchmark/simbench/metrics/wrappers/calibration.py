"""Null-calibrated scores: scores from which chance is subtracted.

Chance is the score of a metric when the inputs of one side are permuted, so that no row belongs to its counterpart.
With s the score in similarity orientation, s₁ … s_T those of T permutations, max the largest possible score and τ the
score that chance reaches with probability 1 − level,

    calibrated = (s − τ) / (max − τ),    p = (1 + #{sₜ ≥ s}) / (1 + T),

so that 1 is identity, chance is about 0 or below, and the score is positive exactly where p ≤ 1 − level. τ is the m-th
largest of the sₜ, m = ⌊(1 − level)(T + 1)⌋. max is the end of the metric's range, else the mean of both sides' scores
with themselves.

The permutations come in pairs of inverses, and depend on the number of inputs and the seed only. Each of them is a
uniform draw. As s(x, πy) = s(π⁻¹x, y), a symmetric metric has the same null for (x, y) as for (y, x), and a transform
to which the metric is invariant changes neither score nor null: symmetry and invariances are those of the metric.

Costs T times the pairs. Each representation is prepared once, and its permuted copies once per permutation for all
pairs; where permuting the rows of what was prepared gives the same as preparing permuted rows, that is done instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from simbench.bounds import MOST_REPETITIONS
from simbench.errors import SimbenchError
from simbench.lazy import lazy_import
from simbench.metrics.isolation import inputs_of
from simbench.metrics.metric import Metric, Pairs, Score
from simbench.metrics.scoring import score_pairs
from simbench.metrics.wrappers.base import WrappedMetric, Wrapper, matrix_rows, with_inputs, wrapped, wrapper
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

REFERENCE = (
    "Gröger, Wen, Brbić (2026), Revisiting the Platonic Representation Hypothesis: An Aristotelian View "
    "(null calibration by permutation)"
)
# Relative difference of scores that is rounding error: a permutation that repeats a score counts as having reached it.
TIE = 1e-9


@wrapper("calibrate", short="by")
def calibrated(
    metric: Metric,
    setting: str,
    *,
    by: Literal["permutation"] = "permutation",
    permutations: Annotated[int, Field(ge=2, multiple_of=2, le=MOST_REPETITIONS)] = 100,
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95,
    seed: int = 0,
) -> WrappedMetric:
    """Calibrate a metric by permutations: higher is more similar, at most 1 where the metric's own range ends.

    Auxiliary values of a score are the metric's own value (`raw`), `p_value`, and `threshold` and `null_mean`, in the
    metric's orientation. Refused, by a `SimbenchError`, for metrics of more than two matrices.
    """
    if metric.needs:
        needs = ", ".join(sorted(metric.needs))
        raise SimbenchError(f"{metric.name} needs more than two matrices ({needs}): rows cannot be permuted alone")
    if _rank_of_threshold(permutations, level) < 1:
        raise SimbenchError(f"{permutations} permutations are too few for a level of {level}")
    options = {"by": by, "permutations": permutations, "level": level, "seed": seed}
    return wrapped(
        Calibration(metric, permutations, level, seed),
        "calibrated@1",
        setting,
        {"calibrate": options},
        higher_is_more_similar=True,
        value_range=(-math.inf, 1.0 if math.isfinite(_end_of_range(metric)) else math.inf),
        triangle_inequality=False,
        formula=f"(s − τ) / (max − τ), s = {metric.formula or metric.name}, τ its null quantile",
        reference=f"{metric.reference}; {REFERENCE}" if metric.reference else REFERENCE,
    )


@dataclass(frozen=True)
class Calibration(Wrapper):
    """Scores against those of permuted inputs."""

    permutations: int
    level: float
    seed: int

    def compare_many(self, prepared: Sequence[Representation], pairs: Pairs, **_: Any) -> list[Score]:
        """Score many pairs of representations, calibrated."""
        once = PreparedOnce(self.metric)
        observed = once.score(prepared, pairs)
        usable = [pair for pair, score in zip(pairs, observed, strict=True) if score.status == "ok"]
        null = self._null_scores(once, prepared, usable)
        largest = _largest(once, prepared, usable)
        drawn = iter(zip(null, largest, strict=True))
        return [self._calibrated(score, *next(drawn)) if score.status == "ok" else score for score in observed]

    def _null_scores(self, once: PreparedOnce, prepared: Sequence[Representation], pairs: Pairs) -> list[list[Score]]:
        """Score each pair with the second side permuted, once per permutation."""
        second = sorted({b for _, b in pairs})
        slots = {b: len(prepared) + position for position, b in enumerate(second)}
        null: list[list[Score]] = [[] for _ in pairs]
        orders = {n: self._orders(n) for n in {len(prepared[b].activations) for b in second}}
        for _ in range(self.permutations):
            order = {n: next(each) for n, each in orders.items()}
            permuted = [once.permuted(prepared[b], order[len(prepared[b].activations)]) for b in second]
            scores = once.score([*prepared, *permuted], [(a, slots[b]) for a, b in pairs])
            for values, score in zip(null, scores, strict=True):
                values.append(score)
            once.forget(permuted)
        return null

    def _orders(self, inputs: int) -> Iterator[Tensor]:
        """Draw permutations, each followed by its inverse."""
        generator = torch.Generator().manual_seed(seed_for(purpose="calibration", inputs=inputs, seed=self.seed))
        for _ in range(self.permutations // 2):
            order = torch.randperm(inputs, generator=generator)
            yield order
            yield order.argsort()

    def _calibrated(self, observed: Score, null: Sequence[Score], largest: float | str) -> Score:
        failed = next((score for score in null if score.value is None), None)
        if failed is not None:
            return replace(failed, reason=f"with permuted inputs: {failed.reason}")
        if isinstance(largest, str):
            return Score.skip(largest)
        assert observed.value is not None
        similar = self.metric.similarity(observed.value)
        chance = sorted(
            (self.metric.similarity(score.value) for score in null if score.value is not None), reverse=True
        )
        threshold = chance[_rank_of_threshold(self.permutations, self.level) - 1]
        slack = TIE * max(abs(similar), abs(threshold))
        if largest - threshold <= slack:
            return Score.skip("permuted inputs reach the largest possible score: nothing is left to calibrate")
        if max(abs(similar - extreme) for extreme in (chance[0], chance[-1])) <= slack:
            return Score.skip(f"{self.metric.name} does not depend on which inputs belong together: there is no null")
        return Score(
            (similar - threshold) / (largest - threshold),
            tiebreak=observed.tiebreak,
            warnings=observed.warnings,
            auxiliary={
                "raw": observed.value,
                "p_value": (1 + sum(draw >= similar - slack for draw in chance)) / (1 + len(chance)),
                "threshold": self.metric.similarity(threshold),
                "null_mean": self.metric.similarity(sum(chance) / len(chance)),
            },
        )


class PreparedOnce:
    """A metric that prepares each representation once, until told to forget it."""

    def __init__(self, metric: Metric) -> None:
        """Keep nothing yet; `metric` is the metric to score with."""
        self.metric = metric
        self._kept: dict[int, Any] = {}

    def score(self, representations: Sequence[Representation], pairs: Pairs) -> list[Score]:
        """Score pairs, as `score_pairs` does."""
        prepares = self.metric.prepare is not None and self.metric.compare_many is not None
        return score_pairs(self.metric, representations, pairs, prepare=self._prepare if prepares else None)

    def _prepare(self, representation: Representation) -> Any:
        if id(representation) not in self._kept:
            self._kept[id(representation)] = inputs_of(self.metric, [representation]).prepared(0)
        return self._kept[id(representation)]

    def permuted(self, representation: Representation, order: Tensor) -> Representation:
        """Return the inputs in another order; prepare them too, if that takes no more than permuting rows."""
        kept = self._kept.get(id(representation)) if self.metric.prepares_rows else None
        if kept is None:
            return with_inputs(representation, order)
        stand_in = replace(representation)  # only looked at to see whether it is usable, which no order changes
        rows = matrix_rows(representation, order)
        self._kept[id(stand_in)] = kept[rows]
        return stand_in

    def forget(self, representations: Sequence[Representation]) -> None:
        """Drop what was prepared of these representations, which are about to go."""
        for representation in representations:
            self._kept.pop(id(representation), None)


def _rank_of_threshold(permutations: int, level: float) -> int:
    """Count the scores that chance may have at or above the threshold; rounding must not lose one of them."""
    return math.floor((1 - level) * (permutations + 1) * (1 + 1e-12))


def _end_of_range(metric: Metric) -> float:
    """Return the largest possible score, in similarity orientation."""
    return metric.similarity(metric.value_range[1 if metric.higher_is_more_similar else 0])


def _largest(once: PreparedOnce, prepared: Sequence[Representation], pairs: Pairs) -> list[float | str]:
    """Return, for each pair, the largest possible score in similarity orientation, or why it is not known."""
    end = _end_of_range(once.metric)
    if math.isfinite(end):
        return [end] * len(pairs)
    used = sorted({side for pair in pairs for side in pair})
    own = dict(zip(used, once.score(prepared, [(side, side) for side in used]), strict=True))
    return [_mean_of_own(once.metric, [own[a], own[b]]) for a, b in pairs]


def _mean_of_own(metric: Metric, own: Sequence[Score]) -> float | str:
    values = [metric.similarity(score.value) for score in own if score.value is not None]
    if len(values) < len(own):
        reason = next(score.reason for score in own if score.value is None)
        return f"without a score of each side with itself there is nothing to calibrate by: {reason}"
    return sum(values) / len(values)
