"""Group separation: models trained alike are more similar than models trained differently."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simbench.references import ModelGroup, RepresentationRef
from simbench.sanity.kind import sanity_test
from simbench.sanity.question import Question, observe
from simbench.sanity.selection import Pairs, single_layer, within_and_across, without_p_value
from simbench.sanity.stats.observations import Observations
from simbench.sanity.stats.place import both_ways
from simbench.sanity.stats.rank_statistics import average_precision
from simbench.sanity.stats.statistic import PERMUTATIONS, StatisticTest, similarities, under_permutations
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

WITHIN, ACROSS = "within", "across"


@sanity_test("group_separation")
class GroupSeparation(StatisticTest):
    """Networks trained under one condition are more similar to each other than to those trained under another.

    One model group per condition (share of random labels, of shortcuts, strength of augmentation), several seeds each.
    Per group: its own pairs against all pairs of one of its models with one of another group; for directed metrics,
    both ways. AUPRC is the average precision of telling the former from the latter by similarity, its chance level
    the share of the former (.167 for 3 groups of 5). The grade is (AUPRC - chance)/(1 - chance) of the means over
    groups, 0 where that is negative; a column is the grade of one group. A constant index has AUPRC = chance.

    Auxiliary values: AUPRC, its chance level, the conformity rate (how often a pair within the group is more similar
    than a pair with another group; a tie does not count), and the p-value of the AUPRC from permuting models among
    groups. The average precision of few pairs in random order exceeds its chance level in the mean (.22 for 3 groups of
    5): read the p-value.

    Source: Klabunde et al. (2025), ReSi, tests 3 to 5. An index that fails cannot tell apart networks that have
    learned different things. That the conditions change what networks learn is a premise.
    """

    null_level: ClassVar[float | None] = 0.0
    # A convention: half-way from chance to perfect.
    pass_if: str = Field(default=">= 0.5", pattern=PASS_IF.pattern)
    layer: str | None = None
    """The layer to compare; the last by default, and at the head the one that the head reads."""

    pairs: Pairs = "all"
    """Pairs of models to compare: `all`, or `{sample: k}` for k of them, each group's own and those across in
    proportion; then there is no p-value."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield an observation per group and pair, at 1 within the group and at 0 across."""
        layers = {group.name: single_layer(group, self.layer, metric.level) for group in groups}
        members = {
            group.name: [RepresentationRef(model, layer) for model in group.models]
            for group in groups
            if (layer := layers[group.name]) is not None
        }
        for name, sides in zip(members, within_and_across(list(members.values()), self.pairs), strict=True):
            if len(members[name]) < 2 or len(members) < 2:
                continue
            for line, pairs in zip((WITHIN, ACROSS), sides, strict=True):
                for compared in pairs:
                    for pair, _ in both_ways(*compared, metric, None):
                        at = float(line == WITHIN)
                        yield Question.about(pair, (pair,), partial(observe, pair), name, at, line)

    def remark(self, groups: Sequence[ModelGroup]) -> str:
        """Say that a sample of pairs has no p-value."""
        return without_p_value(self.pairs, sum(len(group.models) for group in groups))

    def nothing_to_ask(self, metric: Metric) -> str:
        """Say whether models or layers are missing."""
        where = "a linear head" if metric.level == "head" else "layers"
        return f"group_separation needs two groups of models with {where}, one of them with two seeds"

    def statistic(self, trials: Sequence[Trial]) -> float:
        """Compute the AUPRC, adjusted by its chance level."""
        separation = _separation(trials)
        return math.nan if separation is None else (separation.auprc - separation.chance) / (1 - separation.chance)

    def lowest(self, trials: Sequence[Trial]) -> float:
        """Compute what is left where every pair across is more similar than every pair within."""
        groups, separation = _by_group(trials), _separation(trials)
        assert separation is not None
        ranks = [np.arange(1, len(group.own) + 1) for group in groups]
        auprc = float(np.mean([(rank / (len(g.across) + rank)).mean() for g, rank in zip(groups, ranks, strict=True)]))
        return (auprc - separation.chance) / (1 - separation.chance)

    def undetermined(self, trials: Sequence[Trial]) -> str:
        """Say that some group has nothing to tell apart."""
        return "a group has no pair of its own, or none with another group, that has a score"

    def figures(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Compute AUPRC, chance level, conformity rate and p-value."""
        separation = _separation(trials)
        assert separation is not None
        p_value = self._p_value(trials)
        return {"auprc": separation.auprc, "chance": separation.chance, "conformity": _conformity(trials)} | (
            {} if p_value is None else {"p_value": p_value}
        )

    def violations(self, trials: Sequence[Trial]) -> Sequence[Trial]:
        """Select pairs within a group that do not beat all pairs across; margin: minus the share they do not beat."""
        selected = []
        for group in _by_group(trials):
            shares = (len(group.across) - _below(group)) / len(group.across)
            selected += [
                replace(trial, margin=-share) for trial, share in zip(group.own, shares.tolist(), strict=True) if share
            ]
        return selected

    def _p_value(self, trials: Sequence[Trial]) -> float | None:
        """Compute how often models permuted among groups are separated as well; None where a pair was not compared."""
        moved = under_permutations(trials, _order(trials), self.seed("permutations"), PERMUTATIONS, lambda _: "")
        if moved is None:
            return None
        sides = [(group.own_places, group.other_places) for group in _by_group(trials)]
        separation = np.concatenate(
            [
                np.mean([average_precision(block[:, own], block[:, other]) for own, other in sides], axis=0)
                for block in moved
            ]
        )
        return float((separation >= separation[0] - 1e-12).mean())


class _Separation(NamedTuple):
    """Mean AUPRC over groups, and its chance level."""

    auprc: float
    chance: float


class _Group(NamedTuple):
    """A group: its own trials, where its own and its other trials are, and the order of their similarities."""

    own: Sequence[Trial]
    own_places: NDArray[np.intp]
    other_places: NDArray[np.intp]
    within: NDArray[np.int64]
    across: NDArray[np.int64]


def _order(trials: Sequence[Trial]) -> NDArray[np.int64]:
    """Return the order of all similarities; all 0 where they differ by no more than rounding."""
    order = Observations.of(trials).joined().order_of_similarity
    return order if np.ptp(similarities(trials)) > 0 else np.zeros_like(order)


def _by_group(trials: Sequence[Trial]) -> list[_Group]:
    """List the groups, each with its trials within and across."""
    observations, order = Observations.of(trials), _order(trials)
    lines, nothing = observations.positions_by_line(), np.empty(0, dtype=np.intp)
    groups = []
    for column in dict.fromkeys(column for column, _ in lines):
        own, other = (lines.get((column, line), nothing) for line in (WITHIN, ACROSS))
        groups.append(_Group(observations.select(own), own, other, order[own], order[other]))
    return groups


def _separation(trials: Sequence[Trial]) -> _Separation | None:
    """Average AUPRC and chance level over groups; None where one of them has no pair on one side."""
    groups = [(group.within, group.across) for group in _by_group(trials)]
    if not groups or any(len(within) == 0 or len(across) == 0 for within, across in groups):
        return None
    return _Separation(
        float(np.mean([average_precision(within, across) for within, across in groups])),
        float(np.mean([len(within) / (len(within) + len(across)) for within, across in groups])),
    )


def _conformity(trials: Sequence[Trial]) -> float:
    groups = _by_group(trials)
    return float(np.mean([_below(group).sum() / (len(group.within) * len(group.across)) for group in groups]))


def _below(group: _Group) -> NDArray[np.intp]:
    """Count, for each pair within a group, the pairs across that are less similar."""
    return np.searchsorted(np.sort(group.across), group.within)
