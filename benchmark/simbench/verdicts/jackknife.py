"""Intervals of statistics of (pairs of) models, by leaving out one model at a time.

Why so, and how often the intervals cover the truth: docs/decisions/intervals.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]


class OfModels(Protocol):
    """A trial or a tally: anything that knows which models it is about."""

    @property
    def models(self) -> tuple[str, ...]:
        """Models, `name/seed`."""
        ...


T = TypeVar("T", bound=OfModels)
T_co = TypeVar("T_co", covariant=True)


@runtime_checkable
class Selectable(Protocol[T_co]):
    """A sequence of which a part can be taken without a look at each of its members."""

    def select(self, chosen: NDArray[Any]) -> Sequence[T_co]:
        """Return the members where the mask is true."""
        ...


def leave_models_out(trials: Sequence[T], statistic: Callable[[Sequence[T]], float]) -> dict[str, float]:
    """Compute a statistic of trials with each model left out in turn; NaN where no trial is left.

    Trials that know how to `select` some of themselves are asked to; others are listed.
    """
    places: dict[str, list[int]] = {}
    for place, trial in enumerate(trials):
        for model in dict.fromkeys(trial.models):
            places.setdefault(model, []).append(place)
    return {
        model: statistic(_without(places[model], trials)) if len(places[model]) < len(trials) else math.nan
        for model in sorted(places)
    }


def jackknife_interval(value: float, without: Mapping[str, float]) -> Interval | None:
    """Return a 95 % interval of a statistic of (pairs of) models, θ ± t · se, by the jackknife over **models**.

    For a mean of model effects this is Student's interval, also where the mean is over pairs (Arvesen 1969, Jackknifing
    U-statistics). None where leaving a model out leaves the statistic undetermined, as where all trials are of the same
    models, and where it changes nothing, as with a perfect grade: an interval of width 0 would say that no model could
    do worse. With seven questions to each of five models that answer 98 % right, it would cover the truth in 47 % of
    the cases only.

    Args:
        value: the statistic of all models, θ.
        without: the statistic without each of them, θ₋ₘ.
    """
    spread = jackknife_variance(without)
    if spread is None:
        return None
    reach = _students_t(spread.freedom) * math.sqrt(spread.variance)
    return value - reach, value + reach


class Spread(NamedTuple):
    """Variance of a statistic over models, and its degrees of freedom."""

    variance: float
    freedom: float


def jackknife_variance(without: Mapping[str, float]) -> Spread | None:
    """Estimate the variance of a statistic over models; None where leaving models out changes nothing.

    With k models of one name it is Σ_names (k - 1)/k Σ_models (θ₋ₘ - mean θ₋)², with the degrees of freedom of
    Satterthwaite (1946).
    """
    variances, degrees = [], []
    for members in models_by_name(without).values():
        if len(members) < 2:
            continue
        values = [without[model] for model in members]
        if not np.isfinite(values).all():
            return None
        variances.append((len(members) - 1) * float(np.var(values)))
        degrees.append(len(members) - 1)
    variance = sum(variances)
    # Statistics are means and correlations, of the order of 1: so small a variance is rounding.
    if variance <= 1e-24:
        return None
    freedom = variance**2 / sum(part**2 / degree for part, degree in zip(variances, degrees, strict=True))
    return Spread(variance, freedom)


def models_by_name(models: Iterable[str]) -> dict[str, list[str]]:
    """Group models by name, in order: the groups within which models are left out, or drawn."""
    names: dict[str, list[str]] = {}
    for model in sorted(models):
        names.setdefault(name_of(model), []).append(model)
    return names


def name_of(model: str) -> str:
    """Return the name of a model without its seed: `cnn` for `cnn/0`."""
    return model.rpartition("/")[0]


def _without(places: Sequence[int], trials: Sequence[T]) -> Sequence[T]:
    kept = np.ones(len(trials), dtype=bool)
    kept[places] = False
    return trials.select(kept) if isinstance(trials, Selectable) else list(compress(trials, kept.tolist()))


def _students_t(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit  # not needed to plan, and slow to import

    return float(stdtrit(freedom, 0.975))
