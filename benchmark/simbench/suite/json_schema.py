"""JSON Schema of suite files, with which editors complete and check keys."""

from __future__ import annotations

import copy
from typing import Any

from simbench.registry import TEST_KINDS
from simbench.suite.inheritance import LIKE
from simbench.suite.schema import Suite

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def suite_schema() -> dict[str, Any]:
    """Return the schema, with the keys of every registered test kind.

    Any name of a dataset, an architecture or a metric is valid, since a plugin of the suite may register it.
    """
    schema = Suite.model_json_schema()
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    kinds: list[dict[str, str]] = []
    for name, kind in TEST_KINDS:
        own = kind.model_json_schema()
        definitions.update(own.pop("$defs", {}))
        own["properties"]["kind"] = {"const": name, "description": own.get("description", name)}
        definitions[f"test_{name}"] = own
        kinds.append({"$ref": f"#/$defs/test_{name}"})
    tests = schema["properties"]["tests"]
    tests["items"] = {"anyOf": kinds}
    schema["properties"]["extends"] = {"type": "string", "description": "The suite, by name or path, to build on."}
    metrics = schema["properties"]["metrics"]
    schema["properties"]["metrics"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Component"}, metrics]}
    # A suite that extends another one may inherit any key.
    extending = schema.pop("required", [])
    schema["anyOf"] = [{"required": ["extends"]}, {"required": extending}]
    _allow_likeness(schema)
    _allow_names(schema)
    return {"$schema": DIALECT, **schema}


def _allow_likeness(schema: dict[str, Any]) -> None:
    """Allow `like`: such a group of models declares only what differs, down to the parameters of a component."""
    definitions = schema["$defs"]
    for name in ("ModelSpec", "Training", "Component"):
        changes = copy.deepcopy(definitions[name])
        changes.pop("required", None)
        definitions[f"{name}Changes"] = changes
    like = {"type": "string", "description": "The group that this one is like, but for what it declares itself."}
    definitions["ModelSpecChanges"]["properties"][LIKE] = like
    definitions["ModelSpecChanges"]["required"] = [LIKE]
    for name in ("ModelSpecChanges", "TrainingChanges"):
        _refer_to_changes(definitions[name])
    groups = schema["properties"]["models"]
    groups["additionalProperties"] = {"anyOf": [groups["additionalProperties"], {"$ref": "#/$defs/ModelSpecChanges"}]}


def _refer_to_changes(node: Any) -> None:
    """Redirect references to a training or a component, anywhere in the node, to the one without required keys."""
    if isinstance(node, dict):
        if node.get("$ref") in ("#/$defs/Training", "#/$defs/Component"):
            node["$ref"] += "Changes"
        for inner in node.values():
            _refer_to_changes(inner)
    elif isinstance(node, list):
        for inner in node:
            _refer_to_changes(inner)


def _allow_names(node: Any) -> None:
    """Allow a component to be given by its bare name wherever it may be given with parameters."""
    if isinstance(node, dict):
        if node.get("$ref") in ("#/$defs/Component", "#/$defs/ComponentChanges"):
            node["anyOf"] = [{"type": "string"}, {"$ref": node.pop("$ref")}]
            return
        for inner in node.values():
            _allow_names(inner)
    elif isinstance(node, list):
        for inner in node:
            _allow_names(inner)
