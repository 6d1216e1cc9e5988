"""Tests that are graded by a statistic of many scores, such as a rank correlation, not by a share of answers."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simbench.errors import NotApplicable
from simbench.references import Comparison, Named
from simbench.sanity.kind import SanityTest
from simbench.sanity.question import Question, Scores
from simbench.sanity.stats.observations import Observations
from simbench.sanity.stats.rank_statistics import (
    average_ranks,
    kendall,
    spearman,
    standardised_ranks,
    zero_if_constant,
)
from simbench.seeds import seed_for
from simbench.verdicts.bounds import effective_questions, interval_over_models
from simbench.verdicts.jackknife import Interval, jackknife_variance, leave_models_out, name_of
from simbench.verdicts.verdict import VIOLATIONS, Trial, Verdict, clip, seed_of_test

PERMUTATIONS = 999
# Values of permuted models that are held at once: with their places 24 MiB.
LARGEST_BLOCK = 2**20
Correlation = Callable[[NDArray[np.int64], NDArray[np.int64]], float]


class StatisticTest(SanityTest):
    """A test whose questions are observations: points of a statistic, which alone is graded.

    An observation is a trial whose `held` is None, whose `margin` is the similarity and whose `at` is the value of the
    reference variable; `line` names its curve or group, where there are several.
    """

    # Rank correlations over all pairs of five and of ten networks have .27 to .38 on the published boards.
    model_correlation: ClassVar[float] = 0.5
    least_correlation: ClassVar[float] = 0.5
    """How much observations of the same models correlate at least, also where models show less of it."""

    @abstractmethod
    def statistic(self, trials: Sequence[Trial]) -> float:
        """Compute the statistic: at most 1, which is perfect; NaN where the trials do not determine it.

        Below 0 the grade is 0.
        """

    def lowest(self, trials: Sequence[Trial]) -> float:
        """Return the least that the statistic can be."""
        return -1.0

    def undetermined(self, trials: Sequence[Trial]) -> str:
        """Explain why these trials do not determine the statistic."""
        return f"{len(trials)} observations do not determine the statistic of {self.kind}"

    def figures(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Compute auxiliary figures of the trials: chance levels, p-values."""
        return {}

    def violations(self, trials: Sequence[Trial]) -> Sequence[Trial]:
        """Select the observations that keep the statistic from 1, each with a margin below 0."""
        return ()

    def judge(self, trials: Sequence[Trial]) -> Verdict:
        """Grade by the statistic, with a 95 % interval over models, both clipped to [0, 1]."""
        trials = Observations.of(trials)
        return replace(
            self.estimate(trials),
            auxiliary={name: figure for name, figure in self.figures(trials).items() if math.isfinite(figure)},
            violations=tuple(sorted(self.violations(trials), key=lambda trial: trial.margin)[:VIOLATIONS]),
        )

    def estimate(self, trials: Sequence[Trial]) -> Verdict:
        """Compute the statistic and its interval alone."""
        trials = Observations.of(trials)
        value = self.statistic(trials)
        if not math.isfinite(value):
            raise NotApplicable(self.undetermined(trials))
        without = self.without_models(trials)
        low, high = self.interval(value, trials, without)
        return Verdict("ok", clip(value), (clip(low), clip(high)), statistic=value, without=without)

    def without_models(self, trials: Sequence[Trial]) -> dict[str, float]:
        """Compute the statistic with each model left out in turn; NaN where no trial is left."""
        return leave_models_out(trials, self.statistic)

    def interval(self, value: float, trials: Sequence[Trial], without: Mapping[str, float]) -> Interval:
        """Return the interval of a share with the same place between the least value and 1."""
        lowest, spread = self.lowest(trials), jackknife_variance(without)
        correlation = self.model_correlation if spread is None else self.least_correlation
        observations = effective_questions(((trial.models, 1) for trial in trials), correlation)
        variance = None if spread is None else spread.variance / (1 - lowest) ** 2
        low, high = interval_over_models((value - lowest) / (1 - lowest), observations, variance)
        return lowest + (1 - lowest) * low, lowest + (1 - lowest) * high

    def seed(self, purpose: str) -> int:
        """Derive the seed of this test's permutations."""
        return seed_for(purpose=purpose, test=seed_of_test(self.id))


class CorrelationTest(StatisticTest):
    """A test graded by the mean, over curves, of Spearman's correlation of dissimilarity with a reference variable."""

    # The jackknife's spread of rank correlations is rather too large than too small.
    least_correlation: ClassVar[float] = 0.0
    null_level: ClassVar[float | None] = 0.0

    def statistic(self, trials: Sequence[Trial]) -> float:
        """Compute the mean Spearman correlation over curves."""
        return association(trials)

    def figures(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Compute Spearman's and Kendall's correlation, which may be negative."""
        return {"spearman": association(trials), "kendall": association(trials, kendall)}

    def violations(self, trials: Sequence[Trial]) -> Sequence[Trial]:
        """Select the observations whose rank by similarity is not their rank by the reference variable."""
        return misranked(trials)


def observation(
    compared: Comparison,
    variable: Named,
    *,
    line: str,
    of: Comparison | None = None,
    column: str | None = None,
    given: float | None = None,
) -> Question:
    """Ask for one point: a comparison's similarity, and a reference variable of it or of the comparison `of`."""
    measured = of or compared
    return Question.about(
        compared,
        (compared,),
        partial(_observe_both, compared, variable, measured),
        column,
        line=line,
        reference_variables=((variable, measured),),
        given=given,
    )


def _observe_both(compared: Comparison, variable: Named, measured: Comparison, scores: Scores) -> Trial:
    return Trial("", (), None, scores(compared).value, at=scores(measured, variable).value)


def by_line(trials: Sequence[Trial]) -> list[Observations]:
    """Group trials by curve: those that share a column and a line."""
    return Observations.of(trials).by_line()


def similarities(trials: Sequence[Trial]) -> NDArray[np.float64]:
    """Return the similarities of observations; all 0 where they differ by no more than rounding."""
    return zero_if_constant(Observations.of(trials).similarities)


def reference_values(trials: Sequence[Trial]) -> NDArray[np.float64]:
    """Return the values of the reference variable."""
    return Observations.of(trials).reference_values


def constant_curve(trials: Sequence[Trial]) -> Trial:
    """Find the first trial of the first curve along which the reference variable is constant: `association` is NaN."""
    return next(line[0] for line in by_line(trials) if np.ptp(line.reference_values) == 0)


def association(trials: Sequence[Trial], correlation: Correlation = spearman) -> float:
    """Compute the mean, over curves, of the rank correlation of **dissimilarity** with the reference variable.

    An index that is constant along a curve is associated with nothing: 0. NaN where the reference variable is constant
    along one: nothing can be associated with a constant.
    """
    correlations = []
    for line in by_line(trials):
        if np.ptp(line.reference_values) == 0:
            return math.nan
        varies = np.ptp(similarities(line)) > 0
        correlations.append(correlation(_dissimilarity(line), line.order_of_reference) if varies else 0.0)
    return float(np.mean(correlations)) if correlations else math.nan


def _dissimilarity(line: Observations) -> NDArray[np.int64]:
    """Return the order of the dissimilarities along a curve; all 0 where similarities differ by rounding only."""
    order = line.order_of_similarity
    return order.max() - order if np.ptp(similarities(line)) > 0 else np.zeros_like(order)


def misranked(trials: Sequence[Trial]) -> list[Trial]:
    """Select trials whose rank by dissimilarity is not their rank by the reference variable.

    Their margin is minus the distance of the two ranks as a share of the curve: −1 is the first in the last place.
    """
    selected = []
    for line in by_line(trials):
        if len(line) < 2:
            continue
        ranks = average_ranks(_dissimilarity(line)), average_ranks(line.order_of_reference)
        gaps = np.abs(ranks[0] - ranks[1]) / (len(line) - 1)
        selected += [replace(trial, margin=-gap) for trial, gap in zip(line, gaps.tolist(), strict=True) if gap > 0]
    return selected


def mantel_p_value(trials: Sequence[Trial], seed: int, permutations: int = PERMUTATIONS) -> float:
    """Compute a one-sided p-value of `association` (Mantel 1967, The detection of disease clustering).

    Pairs share models and are not exchangeable; models are. So the models of one name are permuted, which moves whole
    rows and columns of the matrix of the reference variable, along all curves at once.
    p = (1 + #{permuted ≥ observed}) / (1 + permutations). NaN where not all pairs of the permuted models were compared.

    Args:
        trials: one per curve and pair of models (`margin` against `at`); both orders of a pair may be there.
        seed: of the permutations.
        permutations: how many.
    """
    total = np.zeros(permutations + 1)
    for line in by_line(trials):
        variable = standardised_ranks(line.order_of_reference)
        moved = under_permutations(line, variable, seed, permutations, name_of)
        if moved is None:
            return math.nan
        dissimilarity = standardised_ranks(_dissimilarity(line))
        total += np.concatenate([block @ dissimilarity for block in moved])
    # A permutation that changes nothing may differ from the observed value by rounding: it is as strong.
    rounding = 1e-12 * np.abs(total).max()
    return float((total >= total[0] - rounding).sum() / len(total))


def under_permutations(
    trials: Sequence[Trial],
    values: NDArray[Any],
    seed: int,
    permutations: int,
    exchangeable: Callable[[str], str],
) -> Iterator[NDArray[Any]] | None:
    """Return a quantity of pairs of models as it is, then with the models permuted: `(1 + permutations, trials)`.

    Args:
        trials: one per pair of models.
        values: the quantity, `(trials,)`; where only one order of a pair is there, it has the same value in the other.
        seed: of the permutations.
        permutations: how many.
        exchangeable: gives each model its stratum; models are permuted within strata.

    Returns:
        The values, in blocks of rows that fit into memory, or None where a permutation may need a pair that is not
        there.
    """
    models = sorted({model for trial in trials for model in trial.models})
    position = {model: place for place, model in enumerate(models)}
    if any(len(trial.models) != 2 for trial in trials):
        return None
    pairs = np.array([[position[model] for model in trial.models] for trial in trials])
    matrix, there = np.zeros((len(models), len(models)), values.dtype), np.eye(len(models), dtype=bool)
    for second, first in ((1, 0), (0, 1)):
        matrix[pairs[:, first], pairs[:, second]], there[pairs[:, first], pairs[:, second]] = values, True
    strata: dict[str, list[int]] = {}
    for model in models:
        strata.setdefault(exchangeable(model), []).append(position[model])
    stratum = np.empty(len(models), dtype=np.intp)
    for number, members in enumerate(strata.values()):
        stratum[members] = number
    # Which strata a trial compares: any pair of their models may take its place.
    compared = np.zeros((len(strata), len(strata)), dtype=bool)
    compared[stratum[pairs[:, 0]], stratum[pairs[:, 1]]] = True
    if not there[compared[stratum[:, None], stratum]].all():
        return None
    random = np.random.default_rng(seed)
    renamed = np.tile(np.arange(len(models)), (permutations + 1, 1))
    for members in strata.values():
        renamed[1:, members] = random.permuted(np.tile(members, (permutations, 1)), axis=1)
    rows = max(1, LARGEST_BLOCK // len(trials))
    return (
        matrix[renamed[start : start + rows, pairs[:, 0]], renamed[start : start + rows, pairs[:, 1]]]
        for start in range(0, len(renamed), rows)
    )
