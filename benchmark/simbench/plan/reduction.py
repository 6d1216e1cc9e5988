"""Reduced activations: where metrics read nothing but a matrix, only its rows are stored, under a key of their own.

Rows are those that the spatial rule makes of activations with positions. Whoever reads more (the model, the fitting
inputs, a sequence, a transform of the maps) needs the activations whole. Keys of representations and of scores do not
depend on what is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simbench.plan.keys import digest
from simbench.registry import TRANSFORMS

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric
    from simbench.references import RepresentationRef
    from simbench.suite.schema import DeclaredLayout, Probe

# Rules under which rows are fewer than the numbers that they are made of.
REDUCING = ("positions", "pool", "last", "cls")


def reads_rows_only(metric: Metric) -> bool:
    """Tell whether a metric reads nothing of a representation but its matrix."""
    return not metric.needs and not metric.prepares_representations


def are_rows_enough(metric: Metric, ref: RepresentationRef, probe: Probe) -> bool:
    """Tell whether a metric can be given a representation of which only the rows of the matrix are stored."""
    of_rows = ref.transform is None or probe.spatial in TRANSFORMS.get(ref.transform.name).of_rows
    return of_rows and reads_rows_only(metric)


def reduced_key(key: str, probe: Probe, declared: DeclaredLayout | None) -> str | None:
    """Return the key of the rows of activations; None where the probe's rule leaves as many numbers as there were.

    Args:
        key: the key of the whole activations.
        probe: the suite's probe, with the spatial rule.
        declared: the layout that the suite declares for the layer, if it does.
    """
    if probe.spatial not in REDUCING:
        return None
    content = {"of": key, "spatial": {"mode": probe.spatial, "rows": probe.rows}, "layout": declared}
    return digest("rows", content)
