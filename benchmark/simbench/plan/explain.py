"""Explain a key: what it depends on, as far as a plan, or else the store itself, can tell."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simbench.errors import SimbenchError, UnknownNameError
from simbench.models.model_record import CorruptError, read_record
from simbench.plan.keys import KEY_SCHEME
from simbench.plan.plan import Plan, model_content, needs_fit
from simbench.references import Comparison, ModelRef, RepresentationRef
from simbench.representations.notes import read_notes
from simbench.results.inventory import Item, inventory
from simbench.results.store import Store

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

# A shorter beginning of a key could be that of many.
SHORTEST = 6


@dataclass(frozen=True)
class Explanation:
    """Meaning of a key, and what it depends on.

    Attributes:
        key: the whole key.
        kind: `model`, `activations`, `representation` or `score`.
        name: what the suite calls it.
        depends_on: whatever is hashed into the key; keys in it are explained in turn.
        stored: what the store has under it.
    """

    key: str
    kind: str
    name: str
    depends_on: Mapping[str, Any] = field(default_factory=dict)
    stored: tuple[Mapping[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain data."""
        return {
            "key": self.key,
            "kind": self.kind,
            "name": self.name,
            "key_scheme": KEY_SCHEME,
            "depends_on": dict(self.depends_on),
            "stored": [dict(each) for each in self.stored],
        }


def explain(beginning: str, store: Store, plans: Iterable[Plan] = ()) -> Explanation:
    """Explain the key that begins like this: by the plans of some suites, else by what the store says.

    Raises:
        SimbenchError: no key begins like this, or more than one does.
    """
    if len(beginning) < SHORTEST:
        raise SimbenchError(f'"{beginning}" is too short for a key: give at least {SHORTEST} characters')
    planned = {each.key: each for plan in plans for each in _planned(plan, beginning)}
    stored: dict[str, list[Explanation]] = {}
    for each in _stored(store, beginning):
        stored.setdefault(each.key, []).append(each)
    keys = sorted({*planned, *stored})
    if not keys:
        raise UnknownNameError("key", beginning, ())
    if len(keys) > 1:
        raise SimbenchError(f'{len(keys)} keys begin with "{beginning}": {", ".join(keys[:4])}')
    (key,) = keys
    here = stored.get(key, [])
    best = planned.get(key) or here[0]
    return Explanation(
        key, best.kind, best.name, best.depends_on, tuple(entry for each in here for entry in each.stored)
    )


def _planned(plan: Plan, beginning: str) -> Iterator[Explanation]:
    """Yield what a plan knows under keys that begin like this."""
    for model_ref, model in plan.models.items():
        if model.key.startswith(beginning):
            yield Explanation(model.key, "model", str(model_ref), _of_model(plan, model_ref))
    for key, planned in plan.activations.items():
        if key.startswith(beginning):
            ref = RepresentationRef(planned.model, planned.layer, None, planned.reparametrisation)
            content = _of_activations(plan, ref, planned.inputs)
            yield Explanation(key, "activations", f"{ref} ({planned.inputs})", content)
        if planned.reduced is not None and planned.reduced.startswith(beginning):
            ref = RepresentationRef(planned.model, planned.layer, None, planned.reparametrisation)
            rows = plan.representation_content(ref, with_fit=False)
            content = {"spatial": rows["spatial"], "of": {"key": key, **_of_activations(plan, ref, planned.inputs)}}
            yield Explanation(planned.reduced, "activations", f"{ref} ({planned.inputs}), rows alone", content)
    for (ref, with_fit), key in plan.representation_keys.items():
        if key.startswith(beginning):
            yield Explanation(key, "representation", str(ref), _of_representation(plan, ref, with_fit=with_fit))
    for of_metric in plan.metrics:
        for key, comparison in of_metric.scores.items():
            if key.startswith(beginning):
                name = f"{of_metric.metric.label}: {comparison}"
                yield Explanation(key, "score", name, _of_score(plan, of_metric.metric, comparison))


def _of_score(plan: Plan, metric: Metric, comparison: Comparison) -> dict[str, Any]:
    """Return what a score depends on, both representations explained."""
    content: dict[str, Any] = {"metric": metric.identity, "parameters": dict(metric.parameters)}
    with_fit = needs_fit(metric)
    for side, ref in (("a", comparison.a), ("b", comparison.b)):
        key = plan.representation_key(ref, with_fit=with_fit)
        content[side] = {"name": str(ref), "key": key, **_of_representation(plan, ref, with_fit=with_fit)}
    return content


def _of_model(plan: Plan, ref: ModelRef) -> dict[str, Any]:
    return model_content(plan.suite, ref)


def _of_activations(plan: Plan, ref: RepresentationRef, inputs: str) -> dict[str, Any]:
    """Return what activations depend on, their model explained."""
    model = {"name": str(ref.model), "key": plan.models[ref.model].key, **_of_model(plan, ref.model)}
    return {**plan.activations_content(ref, inputs), "model": model}


def _of_representation(plan: Plan, ref: RepresentationRef, *, with_fit: bool) -> dict[str, Any]:
    """Return what a representation depends on, its activations explained."""
    content = plan.representation_content(ref, with_fit=with_fit)
    return content | {side: _of_activations(plan, ref, side) for side in ("probe", "fit") if side in content}


def _stored(store: Store, beginning: str) -> Iterator[Explanation]:
    """Yield what the store has under keys that begin like this, as its files describe themselves."""
    for item in inventory(store):
        if item.kind == "models" and item.key.startswith(beginning):
            yield _stored_model(item)
        elif item.kind == "activations" and item.key.startswith(beginning) and item.path.is_dir():
            yield Explanation(item.key, "activations", "shards", {}, (_place(item),))
        elif item.kind == "activations" and item.key.startswith(beginning):
            notes = read_notes(item.path)
            name = " ".join(notes[part] for part in ("model", "layer", "inputs") if part in notes)
            yield Explanation(item.key, "activations", name, notes, (_place(item),))
        elif item.kind == "scores":
            yield from _stored_scores(store, item, beginning)


def _stored_model(item: Item) -> Explanation:
    try:
        record = read_record(item.path, item.key)
    except CorruptError as error:
        return Explanation(item.key, "model", "?", {}, ({**_place(item), "problem": str(error)},))
    about = {**record.description, "weights_sha256": record.weights_sha256, "versions": dict(record.versions)}
    return Explanation(item.key, "model", str(about.get("name", "?")), about, (_place(item),))


def _stored_scores(store: Store, item: Item, beginning: str) -> Iterator[Explanation]:
    if beginning.encode() not in item.path.read_bytes():
        return
    for record in store.records_in(item.path):
        if record.key.startswith(beginning):
            content = {
                "metric": record.metric,
                "parameters": dict(record.parameters),
                "a": {"name": record.a, "key": record.a_key},
                "b": {"name": record.b, "key": record.b_key},
            }
            taken = {name: getattr(record, name) for name in ("status", "value", "reason", "suite", "provenance")}
            name = f"{record.metric}: {record.a} → {record.b}"
            yield Explanation(record.key, "score", name, content, ({**_place(item), **taken},))


def _place(item: Item) -> dict[str, Any]:
    return {"path": str(item.path), "bytes": item.bytes}


def text_of(explanation: Explanation) -> str:
    """Return an explanation as indented text."""
    lines = [f"{explanation.kind} {explanation.key}: {explanation.name}"]
    lines += ["depends on", *_lines(explanation.depends_on, 1)] if explanation.depends_on else []
    for stored in explanation.stored:
        lines += ["stored", *_lines(stored, 1)]
    return "\n".join(lines)


def _lines(content: Mapping[str, Any], depth: int) -> Iterator[str]:
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield f"{'  ' * depth}{name}:"
            yield from _lines(value, depth + 1)
        else:
            yield f"{'  ' * depth}{name}: {value if isinstance(value, str) else json.dumps(value)}"
