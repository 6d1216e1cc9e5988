"""Tests that grade a statistic of many scores, such as a rank correlation, rather than a share of yes and no."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from simbench.errors import NotApplicable
from simbench.references import Comparison, Named
from simbench.sanity.kind import Answer, Question, SanityTest, Scores
from simbench.sanity.statistics.rank_statistics import ranks, settled, spearman, standardised_ranks
from simbench.seeds import seed_for
from simbench.verdicts.jackknife import bounded_interval, leaving_models_out, name_of
from simbench.verdicts.verdict import VIOLATIONS, Judgement, Trial, Violation, cut, seed_of_test

PERMUTATIONS = 999
Statistic = Callable[[Sequence[Trial]], float]


class StatisticTest(SanityTest):
    """A test whose questions are observations: points of a statistic, which alone is graded.

    `ask` returns an `Answer` whose `held` is None, whose `margin` is the similarity (or what is observed) and whose
    `at` is what that is held against; `line` names the curve or the group that a point belongs to, where there are any.
    """

    @abstractmethod
    def statistic(self, trials: Sequence[Trial]) -> float:
        """At most 1, which is perfect; what is below 0 is graded 0. NaN where the trials do not determine it."""

    def undetermined(self, trials: Sequence[Trial]) -> str:
        """Why these trials do not determine the statistic."""
        return f"{len(trials)} observations do not determine the statistic of {self.kind}"

    def figures(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Figures that belong beside the grade: chance levels, p-values."""
        return {}

    def strays(self, trials: Sequence[Trial]) -> Sequence[Violation]:
        """The observations that keep the statistic from 1, each with a margin below 0."""
        return ()

    def judge(self, trials: Sequence[Trial]) -> Judgement:
        """The statistic, with a 95 % interval over models, both cut to [0, 1]."""
        value = self.statistic(trials)
        if not math.isfinite(value):
            raise NotApplicable(self.undetermined(trials))
        without = leaving_models_out(trials, self.statistic)
        interval = bounded_interval(value, without, -1, 1)
        return Judgement(
            cut(value),
            None if interval is None else (cut(interval[0]), cut(interval[1])),
            {name: figure for name, figure in self.figures(trials).items() if math.isfinite(figure)},
            statistic=value,
            without=without,
            violations=tuple(sorted(self.strays(trials), key=lambda one: one.margin)[:VIOLATIONS]),
        )

    def seed(self, purpose: str) -> int:
        """The seed of this test's permutations."""
        return seed_for(purpose=purpose, test=seed_of_test(self.id))


def observation(
    compared: Comparison, variable: Named, *, line: str, of: Comparison | None = None, column: str | None = None
) -> Question:
    """One point: a comparison's similarity, held against a functional metric of it, or of the comparison `of`."""
    place = of or compared
    return Question(
        str(compared),
        tuple(dict.fromkeys((str(compared.a.model), str(compared.b.model)))),
        (compared,),
        partial(_observed, compared, variable, place),
        column,
        line=line,
        reference_variables=((variable, place),),
    )


def _observed(compared: Comparison, variable: Named, place: Comparison, scores: Scores) -> Answer:
    return Answer(None, scores(compared).value, at=scores(place, variable).value)


def by_line(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The trials of each curve: those that share a column and a line."""
    lines: dict[tuple[str | None, str], list[Trial]] = {}
    for trial in trials:
        lines.setdefault((trial.column, trial.line), []).append(trial)
    return list(lines.values())


def similarities(trials: Sequence[Trial]) -> NDArray[np.float64]:
    """The margins of observations; all equal where they differ by no more than rounding."""
    return settled([trial.margin for trial in trials])


def held_against(trials: Sequence[Trial]) -> NDArray[np.float64]:
    """What observations are held against."""
    return np.array([trial.at for trial in trials], dtype=float)


def constant_curve(trials: Sequence[Trial]) -> Trial:
    """The first trial of the first curve along which what it is held against is constant: why `association` is NaN."""
    return next(line[0] for line in by_line(trials) if np.ptp(held_against(line)) == 0)


def association(
    trials: Sequence[Trial], correlation: Callable[[NDArray[np.float64], NDArray[np.float64]], float] = spearman
) -> float:
    """The mean, over curves, of the rank correlation of **dissimilarity** with what it is held against.

    An index that is constant along a curve is associated with nothing: 0. NaN where what it is held against is constant
    along one: nothing can be associated with that.
    """
    found = []
    for line in by_line(trials):
        similarity, variable = similarities(line), held_against(line)
        if np.ptp(variable) == 0:
            return math.nan
        found.append(correlation(-similarity, variable) if np.ptp(similarity) > 0 else 0.0)
    return float(np.mean(found)) if found else math.nan


def rank_strays(trials: Sequence[Trial]) -> list[Violation]:
    """The trials whose place by dissimilarity is not their place by what that is held against: minus how far off.

    The distance is a share of the curve: -1 is the first in the place of the last.
    """
    found = []
    for line in by_line(trials):
        if len(line) < 2:
            continue
        gaps = np.abs(ranks(-similarities(line)) - ranks(held_against(line))) / (len(line) - 1)
        found += [Violation(trial.where, -float(gap)) for trial, gap in zip(line, gaps, strict=True) if gap > 0]
    return found


def mantel_p_value(trials: Sequence[Trial], seed: int, permutations: int = PERMUTATIONS) -> float:
    """One-sided p-value of `association` (Mantel 1967, The detection of disease clustering).

    Pairs share models and are not exchangeable; models are. So the models of one name are permuted, which moves whole
    rows and columns of the matrix of what similarity is held against, along all curves at once.
    p = (1 + #{permuted ≥ observed}) / (1 + permutations). NaN where not all pairs of the permuted models were compared.

    Args:
        trials: one per curve and pair of models (`margin` against `at`); both orders of a pair may be there.
        seed: of the permutations.
        permutations: how many.
    """
    total = np.zeros(permutations + 1)
    for line in by_line(trials):
        variable = standardised_ranks(held_against(line))
        moved = under_permutations(line, variable, seed, permutations, name_of)
        if moved is None:
            return math.nan
        total += moved @ standardised_ranks(-similarities(line))
    # A permutation that changes nothing may differ from the observed value by rounding: it is as strong.
    rounding = 1e-12 * np.abs(total).max()
    return float((total >= total[0] - rounding).sum() / len(total))


def under_permutations(
    trials: Sequence[Trial],
    values: NDArray[np.float64],
    seed: int,
    permutations: int,
    exchangeable: Callable[[str], str],
) -> NDArray[np.float64] | None:
    """A quantity of pairs of models as it stands, then with the models permuted: `(1 + permutations, trials)`.

    Args:
        trials: whose models are the pairs.
        values: the quantity, `(trials,)`; where only one order of a pair is there, it has the same value in the other.
        seed: of the permutations.
        permutations: how many.
        exchangeable: models of which this gives the same are permuted among each other.

    Returns:
        None where a permutation asks for a pair that is not there.
    """
    models = sorted({model for trial in trials for model in trial.models})
    position = {model: place for place, model in enumerate(models)}
    if any(len(trial.models) != 2 for trial in trials):
        return None
    pairs = np.array([[position[model] for model in trial.models] for trial in trials])
    known = np.full((len(models), len(models)), np.nan)
    known[pairs[:, 1], pairs[:, 0]] = values
    known[pairs[:, 0], pairs[:, 1]] = values
    strata: dict[str, list[int]] = {}
    for model in models:
        strata.setdefault(exchangeable(model), []).append(position[model])
    random = np.random.default_rng(seed)
    renamed = np.tile(np.arange(len(models)), (permutations + 1, 1))
    for members in strata.values():
        renamed[1:, members] = random.permuted(np.tile(members, (permutations, 1)), axis=1)
    moved: NDArray[np.float64] = known[renamed[:, pairs[:, 0]], renamed[:, pairs[:, 1]]]
    return None if np.isnan(moved).any() else moved
