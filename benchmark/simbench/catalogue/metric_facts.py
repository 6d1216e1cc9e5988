"""Facts about a metric that `list`, `describe` and docs/metrics.md show: its declarations and measurements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from simbench.catalogue.measured import measured_of
from simbench.declaration import range_text, with_implied

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

# Abbreviations, in tables, of the transforms to which a metric is invariant.
INVARIANCE_CODES = {
    "permutation": "PT",
    "orthogonal": "OT",
    "isotropic_scaling": "IS",
    "translation": "TR",
    "diagonal_scaling": "DS",
    "invertible_linear": "ILT",
    "affine": "AF",
}


def metric_facts(metric: Metric) -> dict[str, Any]:
    """Return a metric's declarations in JSON types, its identity and, under `measured`, its measured properties."""
    declared = metric.info.model_dump(include={"declaration", "identity"})
    declaration = declared.pop("declaration")
    declaration["purposes"] = list(metric.serves)
    return {**declaration, **declared, "measured": _measured_facts(metric)}


def _measured_facts(metric: Metric) -> dict[str, Any] | None:
    """Return the measured properties of this version; None for a metric that does not come with simbench."""
    measured = measured_of(metric)
    if measured is None:
        return None
    return {
        "invariant_to": list(measured.invariant_to),
        "pairs_inputs": measured.pairs_inputs,
        "symmetric": measured.symmetric,
        "triangle_inequality": measured.triangle or None,
        "null_level": measured.null,
        "null_deviation": measured.null_deviation,
        "seconds_per_pair": measured.seconds,
        "cost": measured.cost or None,
    }


def direction_and_range(facts: Mapping[str, Any]) -> str:
    """Return direction and range in a few characters.

    >>> direction_and_range({"higher_is_more_similar": False, "value_range": [0.0, None]})
    '↓ [0, ∞)'
    """
    arrow = "↑" if facts["higher_is_more_similar"] else "↓"
    return f"{arrow} {range_text(*facts['value_range'])}"


def invariance_codes(names: Iterable[str]) -> str:
    """Return the abbreviations of the transforms, with those that are implied, in a fixed order.

    >>> invariance_codes(["translation", "orthogonal"]), invariance_codes([])
    ('PT OT TR', '')
    """
    declared = with_implied(names)
    return " ".join(code for name, code in INVARIANCE_CODES.items() if name in declared)


def properties(facts: Mapping[str, Any]) -> str:
    """Describe a metric in a line: direction, range, symmetry, invariances declared and measured, cost.

    >>> properties({"higher_is_more_similar": True, "value_range": [0, 1], "symmetric": True, "measured": None,
    ...             "triangle_inequality": False, "invariant_to": ["affine"]})
    '↑ [0, 1] · symmetric · PT OT IS TR DS ILT AF declared'
    """
    declared, measured = invariance_codes(facts["invariant_to"]), facts["measured"]
    parts = [direction_and_range(facts), "symmetric" if facts["symmetric"] else "directed"]
    if facts["triangle_inequality"]:
        parts.append("triangle inequality")
    if measured is None:
        parts.append(f"{declared or 'no invariance'} declared")
    else:
        codes = invariance_codes(measured["invariant_to"])
        both = codes == declared
        parts.append(
            f"{declared or 'no invariance'} " + ("measured" if both else f"declared, {codes or 'none'} measured")
        )
        parts += [f"{measured['cost']} a pair"] if measured["cost"] else []
    return " · ".join(parts)
