"""Put provenance into lines of text: whatever a run recorded, in its order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def provenance_lines(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values as they are shown; unknown ones are left out.

    >>> provenance_lines({"dirty": False, "versions": {"torch": "2.4", "numpy": "1.26"}, "device": None})
    [('dirty', 'no'), ('versions', 'torch 2.4, numpy 1.26')]
    """
    return [(name.replace("_", " "), _text(value)) for name, value in provenance.items() if value is not None]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(inner) for inner in value)
    return str(value)
