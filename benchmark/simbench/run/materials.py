"""Materials of a task: datasets, models and representations, read from the store and kept while a worker lives.

What is kept goes by content, never by path alone: a worker, or the one process of a notebook, outlives the files.
"""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from simbench.data.conditions import with_shortcut
from simbench.data.dataset import Dataset, load_dataset
from simbench.data.images import as_pixels
from simbench.data.items import are_texts, hold_texts
from simbench.errors import NotApplicable, SimbenchError
from simbench.metrics.isolation import is_builtin, private_copy
from simbench.metrics.kernels.memory import DEFAULT
from simbench.models import checkpoint
from simbench.models.loading import load_pretrained, weights_in_key
from simbench.models.model import Model
from simbench.models.model_record import read_record
from simbench.plan.plan import Plan, PlannedModel
from simbench.plan.reduction import reduced_key
from simbench.references import ModelRef, Named, RepresentationRef
from simbench.registry import ARCHITECTURES, DATASETS, GENERATORS, REPARAMETRISATIONS, TRANSFORMS, import_reference
from simbench.representations.layouts import SEQUENCE_AXES, Layout, declared_as
from simbench.representations.padding import real_tokens
from simbench.representations.representation import Representation, SpatialRule, Summary
from simbench.representations.storage import read_activations, read_header, stored_checksum
from simbench.results.store import Store
from simbench.run.given import given_representation
from simbench.seeds import seed_for
from simbench.suite.schema import Component, DeclaredLayout, Suite

T = TypeVar("T")

# How much of a representation is asked for: the rows of its matrix; its activations; these with the model and the
# inputs; and the same of the fitting inputs besides.
Scope = Literal["rows", "activations", "modelled", "fitted"]

# Seconds for a block of scores of one metric, unless a run says otherwise. The longest block of a built-in metric in
# the bundled suites takes 200 s on one core (cka with 100 permutations, suite `statistics`): a hundred times as long
# leaves room for users' sizes and slow machines, and a metric that hangs overnight is stopped by the morning.
TIME_LIMIT = 6 * 3600.0


class Recent(Generic[T]):
    """Cache of the last `size` objects by key, which a worker keeps between tasks."""

    def __init__(self, size: int) -> None:
        """Make an empty cache that holds at most `size` objects."""
        self._size = size
        self._kept: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the object of this key, made by `make` if it is not in the cache."""
        if key not in self._kept:
            self._kept[key] = make()
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return self._kept[key]

    def clear(self) -> None:
        """Drop all objects."""
        self._kept.clear()


_datasets: Recent[Dataset] = Recent(4)
_inputs: Recent[Inputs] = Recent(8)
_items: Recent[Any] = Recent(8)
_models: Recent[Model] = Recent(64)
_tensors: Recent[Tensor] = Recent(32)


def forget_all() -> None:
    """Drop what this process keeps between tasks: a task that was stopped anywhere may have left it half-done."""
    for kept in (_datasets, _inputs, _items, _models, _tensors):
        kept.clear()


@dataclass(frozen=True)
class Inputs:
    """Probe or fitting inputs, a tensor `(n, …)` or items, and their labels `(n,)`, where there are any."""

    inputs: Any
    targets: Tensor | None
    classes: int | None


@dataclass(frozen=True)
class Materials:
    """Everything that a worker may need of a plan; small, since it is sent with every task."""

    suite: Suite
    models: Mapping[ModelRef, PlannedModel]
    activation_keys: Mapping[tuple[str, str, Named | None, str], str]
    """Keys of the activations by the key of the model, since groups may share models."""
    embedding_layers: Mapping[str, str | None]
    store_root: Path
    device: str
    memory_limit: int = DEFAULT
    time_limit: float = TIME_LIMIT
    """Seconds after which a block of scores is stopped."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What stands in the keys for each dataset, by its declaration: of a file, the hash of its content."""
    planned: float = 0.0
    """When the plan was made, in seconds since 1970."""

    @classmethod
    def of(
        cls,
        plan: Plan,
        store: Store,
        device: str,
        memory_limit: int = DEFAULT,
        time_limit: float = TIME_LIMIT,
    ) -> Materials:
        """Return the materials of a plan."""
        keys = {
            (plan.models[planned.model].key, planned.layer, planned.reparametrisation, planned.inputs): key
            for key, planned in plan.activations.items()
        }
        heads = {name: group.embedding_layer for name, group in plan.groups.items()}
        return cls(
            *(plan.suite, plan.models, keys, heads, store.root, device, memory_limit, time_limit),
            data=_planned_data(plan),
            planned=plan.made,
        )

    @property
    def store(self) -> Store:
        """Store of the run, silent on what stands in the way of its files: the driver names it."""
        return Store(self.store_root, warn=lambda message: None)

    def load_plugins(self) -> None:
        """Import the suite's `plugins`, since a worker starts with the built-in components only."""
        for reference in self.suite.plugins:
            import_reference(reference)

    def dataset(self, component: Component) -> Dataset:
        """Return a dataset by its declaration; raise `SimbenchError` if its file is not that of the plan any more."""
        return _datasets.get(self._data_key(component), lambda: self._loaded(component))

    def inputs(self, side: str) -> Inputs:
        """Return the inputs that `probe` or `fit` names, on the device."""
        probe = self.suite.probe
        split, count = (probe.fit.split, probe.fit.inputs) if side == "fit" else (probe.split, probe.inputs)
        return _inputs.get(
            self._inputs_key(side),
            lambda: _draw(self.dataset(probe.data), split, count, probe.shortcut, self.device),
        )

    def read_inputs(self, side: str, model: Model) -> Any:
        """Return the inputs as a model reads them: texts as token ids, pixels as items if it preprocesses images.

        Of images with captions it is what the model reads of them.
        """
        inputs = model.part_of(self.inputs(side).inputs)
        if are_texts(inputs):
            return model.ids_of(inputs).to(self.device)
        if model.preprocess is None or not isinstance(inputs, Tensor):
            return inputs
        return _items.get(self._inputs_key(side), lambda: as_pixels(inputs, model.preprocess))

    def model(self, ref: ModelRef, reparametrisation: Named | None = None) -> Model:
        """Return a trained or loaded model on the device, possibly reparametrised; one object per model and worker."""
        key = self._model_key(ref)
        model = _models.get((*key, None), lambda: self._model(ref))
        if reparametrisation is None:
            return model
        revision = REPARAMETRISATIONS.get(reparametrisation.name).revision
        return _models.get((*key, reparametrisation, revision), lambda: _reparametrised(model, reparametrisation))

    def representation(self, ref: RepresentationRef, scope: Scope) -> Representation:
        """Return the representation of a reference: stored or synthetic activations, under its transform."""
        transform = None if ref.transform is None else TRANSFORMS.get(ref.transform.name)
        if ref.model.generator is not None:
            representation = self._synthetic(ref)
        elif (planned := self.models[ref.model]).given is not None:
            with_fit = scope == "fitted"
            representation = given_representation(planned, ref, self.suite.probe, self.device, with_fit=with_fit)
        else:
            foreign = transform is not None and not is_builtin(transform.function)
            alone = None if foreign or scope not in ("rows", "activations") else self._read_alone(ref, scope)
            representation = alone or self._stored(ref, with_fit=scope == "fitted")
        if ref.transform is None or transform is None:
            return representation
        if not is_builtin(transform.function):  # might work in place
            representation = private_copy(representation)
        return transform(representation, **dict(ref.transform.parameters))

    def build_arguments(self, ref: ModelRef) -> tuple[Any, dict[str, Any], tuple[int, ...], int]:
        """Return (architecture, parameters, input shape, classes) of a model."""
        spec = self.models[ref].spec
        assert spec is not None
        architecture = ARCHITECTURES.get(spec.network.name)
        parameters = architecture.checked(spec.network.parameters)
        dataset = self.dataset(spec.train.dataset if spec.train is not None else self.suite.probe.data)
        return architecture, parameters, dataset.input_shape, dataset.classes

    @property
    def spatial(self) -> SpatialRule:
        """Spatial rule of the suite."""
        return SpatialRule(self.suite.probe.spatial, self.suite.probe.rows)

    def _model(self, ref: ModelRef) -> Model:
        planned = self.models[ref]
        assert planned.spec is not None
        arguments = (*self.build_arguments(ref), planned.spec.layers)
        if planned.spec.load is not None:
            weights = planned.spec.weights(ref)
            model = load_pretrained(weights, *arguments, options=planned.spec.load_options)
            network = planned.spec.network
            if weights_in_key(weights, network.name, network.parameters) != planned.source:
                raise SimbenchError(f"{weights} has changed since this run was planned; start it again")
        else:
            model = checkpoint.load(self.store.model(planned.key), *arguments, key=planned.key)
        model.see(self.read_inputs("probe", model))
        return model.to(self.device)

    def declared_layout(self, ref: ModelRef, layer: str) -> DeclaredLayout | None:
        """Return the layout that the suite declares for a layer, if it does."""
        spec = self.models[ref].spec
        return None if spec is None else spec.declared_layout(layer)

    def _key(self, ref: RepresentationRef, side: str) -> str:
        return self.activation_keys[self.models[ref.model].key, ref.layer, ref.reparametrisation, side]

    def _read_alone(self, ref: RepresentationRef, scope: Scope) -> Representation | None:
        """Return what is stored of a layer, without its model; None where the file does not tell enough of it."""
        declared, key = self.declared_layout(ref.model, ref.layer), self._key(ref, "probe")
        reduced = reduced_key(key, self.suite.probe, declared) if scope == "rows" else None
        if reduced is not None and self.store.activations(reduced).is_file():
            key = reduced
        activations, notes = self._activations(key), read_header(self.store.activations(key), key)
        axes, largest = activations.ndim, notes.get("largest_input")
        layout: Layout | None = declared_as(declared, axes) or ("vector" if axes == 2 else _layout_in(notes))
        if layout is None or largest is None:
            return None
        sequences = layout == "tokens" and axes == SEQUENCE_AXES
        if sequences and hold_texts(self.inputs("probe").inputs):
            return None  # only its model knows which tokens are real
        inputs = None if ref.transform is None else self.inputs("probe")
        return Representation(
            activations=activations,
            layout=layout,
            layer=ref.layer,
            targets=None if inputs is None else inputs.targets,
            classes=None if inputs is None else inputs.classes,
            spatial=self.spatial,
            summary=_summary_in(notes),
            mask=real_tokens(self.inputs("probe").inputs) if sequences else None,
            remarks=tuple(json.loads(notes.get("remarks", "[]"))),
            largest_input=json.loads(largest),
        )

    def _stored(self, ref: RepresentationRef, with_fit: bool) -> Representation:
        model = self.model(ref.model, ref.reparametrisation)
        declared = self.declared_layout(ref.model, ref.layer)
        sides = {}
        for side in ("probe", "fit") if with_fit else ("probe",):
            key = self._key(ref, side)
            inputs, activations = self.inputs(side), self._activations(key)
            sides[side] = Representation(
                activations=activations,
                layout=declared_as(declared, activations.ndim) or model.layout(ref.layer),
                layer=ref.layer,
                model=model,
                inputs=self.read_inputs(side, model),
                targets=inputs.targets,
                classes=inputs.classes,
                spatial=self.spatial,
                at_head=ref.layer == self.embedding_layers[ref.model.group],
            )
        return replace(sides["probe"], fit=sides.get("fit"))

    def _activations(self, key: str) -> Tensor:
        """Return stored activations; that they are intact was checked when the run began, or they were made in it."""
        path = self.store.activations(key)
        content = (key, stored_checksum(path), self.device)
        return _tensors.get(content, lambda: read_activations(path, key, verify=False)[0].to(self.device))

    def _loaded(self, component: Component) -> Dataset:
        loaded = load_dataset(component.name, component.parameters, self.store.data)
        source = DATASETS.get(component.name)
        planned = self.data.get(component.model_dump_json())
        # Looked at after it was read: then no change in between can go unnoticed. To hash all is for those in doubt.
        parameters = component.parameters
        in_doubt = planned is not None and source.files and source.may_have_changed(parameters, self.planned)
        if in_doubt and source.identity_with(parameters) != planned:
            files = ", ".join(source.paths(component.parameters).values())
            files += ", or a file that it names," * (source.listed is not None)
            raise SimbenchError(f"{files} has changed since this run was planned; start it again")
        return loaded

    def _data_key(self, component: Component) -> tuple[Hashable, ...]:
        declared = component.model_dump_json()
        identity = self.data.get(declared) or DATASETS.get(component.name).identity_with(component.parameters)
        return (self.store_root, declared, json.dumps(identity, sort_keys=True))

    def _inputs_key(self, side: str) -> tuple[Hashable, ...]:
        probe = self.suite.probe
        chosen = (probe.fit.split, probe.fit.inputs) if side == "fit" else (probe.split, probe.inputs)
        return (*self._data_key(probe.data), *chosen, probe.shortcut, self.device)

    def _model_key(self, ref: ModelRef) -> tuple[Hashable, ...]:
        """Return all that a model object depends on: its key and weights, and the probe, on which it is measured."""
        planned = self.models[ref]
        assert planned.spec is not None
        trained = planned.spec.load is None
        weights = read_record(self.store.model(planned.key), planned.key).weights_sha256 if trained else None
        return (planned.key, weights, tuple(planned.spec.layers or ()), *self._inputs_key("probe"))

    def _synthetic(self, ref: RepresentationRef) -> Representation:
        assert ref.model.generator is not None
        generator = GENERATORS.get(ref.model.generator.name)
        made = generator(seed=ref.model.seed, **dict(ref.model.generator.parameters))
        common: dict[str, Any] = {"layer": ref.layer, "spatial": self.spatial}
        if made.model is not None:
            common |= {"model": made.model, "at_head": True, "classes": len(made.model.unembedding)}
        fit = Representation(made.fit, targets=made.fit_targets, **common)
        return Representation(made.probe, targets=made.probe_targets, fit=fit, **common)


def _layout_in(notes: Mapping[str, str]) -> Layout | None:
    return next((layout for layout in get_args(Layout) if layout == notes.get("layout")), None)


def _summary_in(notes: Mapping[str, str]) -> Summary | None:
    if "summary" not in notes:
        return None
    summary = json.loads(notes["summary"])
    return Summary(tuple(summary["shape"]), summary["largest"], summary["spread"])


def _planned_data(plan: Plan) -> dict[str, Any]:
    """Return what stands for each dataset in the keys of a plan; raise `SimbenchError` if a file changed meanwhile."""
    declared: list[tuple[Component, Any]] = []
    if plan.suite.probe.dataset is not None:
        declared.append((plan.suite.probe.dataset, plan.inputs["probe"]["dataset"]))
    for model in plan.models.values():
        if model.spec is not None and model.spec.train is not None:
            declared.append((model.spec.train.dataset, model.source))
    data: dict[str, Any] = {}
    for component, identity in declared:
        if data.setdefault(component.model_dump_json(), identity) != identity:
            raise SimbenchError(
                f'a file of dataset "{component.name}" changed while the run was planned; start it again'
            )
    return data


def _reparametrised(model: Model, how: Named) -> Model:
    reparametrisation = REPARAMETRISATIONS.get(how.name)
    if not is_builtin(reparametrisation.function):  # might work in place
        model = copy.deepcopy(model)
    return reparametrisation(model, **dict(how.parameters))


def _draw(dataset: Dataset, split: str, count: int, shortcut: float | None, device: str) -> Inputs:
    """Draw `count` inputs of a split by a seed of their own, keep the split's order, and mark them if asked to."""
    chosen = dataset.split(split)
    if split == "train" and not len(chosen):
        raise NotApplicable(f"{dataset.name} has no training split, which metrics need that learn on it")
    if (too_many := dataset.outline.lacks(count, dataset.name, split)) is not None:
        raise SimbenchError(too_many)
    generator = torch.Generator().manual_seed(seed_for(purpose="probe", split=split, inputs=count))
    order = torch.randperm(len(chosen), generator=generator)[:count].sort().values.numpy()
    drawn = chosen.chosen(order)
    if shortcut is not None:
        drawn = with_shortcut(drawn, shortcut, dataset, seed_for(purpose="probe shortcut", split=split, inputs=count))
    inputs, targets = drawn.inputs, drawn.targets
    return Inputs(
        torch.as_tensor(inputs).to(device) if isinstance(inputs, np.ndarray) else inputs,
        None if targets is None else torch.as_tensor(targets).to(device),
        dataset.classes or None,
    )
