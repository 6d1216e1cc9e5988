"""Metrics as boards describe them, made by hand."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from simbench.declaration import Declaration, MetricInfo

DECLARED = {field.name for field in fields(Declaration)}


def metric_info(label: str, **changes: Any) -> MetricInfo:
    """Return a metric that declares little; each change is a field of `Declaration` or of `MetricInfo`."""
    declared: dict[str, Any] = {"name": label, "higher_is_more_similar": True}
    told: dict[str, Any] = {"identity": f"{label}@1", "interface": "", "summary": "", "origin": "lab", "parameters": {}}
    for name, value in changes.items():
        (declared if name in DECLARED else told)[name] = value
    return MetricInfo(label=label, declaration=Declaration(**declared), **told)
