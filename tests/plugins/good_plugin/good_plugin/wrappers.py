"""A wrapper of somebody else's."""

from __future__ import annotations

from dataclasses import dataclass, replace

from simbench.metrics.scoring import score_pairs
from simbench.metrics.wrappers.base import Wrapper, wrapped, wrapper


@wrapper("good_plugin/sharpened", short="power")
def sharpened(metric, setting, *, power: int):
    """Raise the scores of a metric to a power."""
    return wrapped(Sharpened(metric, power), "sharpened@1", setting, {"good_plugin/sharpened": {"power": power}})


@dataclass(frozen=True)
class Sharpened(Wrapper):
    """Scores, to a power."""

    power: int

    def compare_many(self, prepared, pairs, **_):
        """Score many pairs, and raise what has a value to the power."""
        scores = score_pairs(self.metric, prepared, pairs)
        return [score if score.value is None else replace(score, value=score.value**self.power) for score in scores]
