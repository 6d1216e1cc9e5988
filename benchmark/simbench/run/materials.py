"""What a task needs to work: datasets, models and representations, found in the store and kept while a worker lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from simbench.data.dataset import Dataset, load_dataset
from simbench.errors import SimbenchError
from simbench.models import checkpoint
from simbench.models.constructed import permuted_clusters
from simbench.models.loading import load_pretrained
from simbench.models.model import Model
from simbench.models.reparametrise import REPARAMETRISATIONS
from simbench.plan.plan import Plan, PlannedModel, input_spec
from simbench.plan.references import ModelRef, Named, RepresentationRef
from simbench.registry import ARCHITECTURES, TRANSFORMS
from simbench.representations.representation import Representation, SpatialRule
from simbench.representations.storage import load_activations
from simbench.results.store import Store
from simbench.seeds import seed_for
from simbench.suite.schema import Component, Suite

CONSTRUCTIONS = {"permuted_clusters": permuted_clusters}


@dataclass(frozen=True)
class Inputs:
    """The probe or fitting inputs: `(n, …)` and their labels `(n,)`."""

    inputs: Tensor
    targets: Tensor
    classes: int
    input_shape: tuple[int, ...]


@dataclass(frozen=True)
class Materials:
    """Everything a worker may need of a plan; small, so that it travels with every task."""

    suite: Suite
    models: Mapping[ModelRef, PlannedModel]
    activation_keys: Mapping[tuple[ModelRef, str, Named | None, str], str]
    embedding_layers: Mapping[str, str | None]
    store_root: Path
    device: str

    @classmethod
    def of(cls, plan: Plan, store: Store, device: str) -> Materials:
        """The materials of a plan."""
        keys = {(one.model, one.layer, one.reparametrisation, one.inputs): key for key, one in plan.activations.items()}
        heads = {name: group.embedding_layer for name, group in plan.groups.items()}
        return cls(plan.suite, plan.models, keys, heads, store.root, device)

    @property
    def store(self) -> Store:
        """The store."""
        return Store(self.store_root)

    def dataset(self, component: Component) -> Dataset:
        """A dataset by its declaration."""
        return _dataset(component.name, tuple(sorted(component.parameters.items())), self.store.data)

    def inputs(self, side: str) -> Inputs:
        """The inputs that `probe` or `fit` names, on the device."""
        dataset = self.dataset(self.suite.probe.dataset)
        spec = input_spec(self.suite, side)
        return _inputs(dataset, spec["split"], spec["inputs"], self.device)

    def model(self, ref: ModelRef, reparametrisation: Named | None = None) -> Model:
        """A trained or loaded model on the device, possibly reparametrised."""
        planned = self.models[ref]
        model = _model(self, planned.key, ref)
        return model if reparametrisation is None else _reparametrised(model, reparametrisation)

    def representation(self, ref: RepresentationRef, *, with_fit: bool) -> Representation:
        """What a reference stands for: stored activations, or constructed ones, under the reference's transform."""
        found = self._constructed(ref) if ref.model.construction is not None else self._stored(ref, with_fit)
        if ref.transform is None:
            return found
        return TRANSFORMS.get(ref.transform.name)(found, **dict(ref.transform.parameters))

    def build_arguments(self, ref: ModelRef) -> tuple[Any, dict[str, Any], tuple[int, ...], int]:
        """(architecture, parameters, input shape, classes) of a model."""
        spec = self.models[ref].spec
        assert spec is not None
        architecture = ARCHITECTURES.get(spec.architecture.name)
        parameters = architecture.checked(spec.architecture.parameters)
        dataset = self.dataset(spec.train.dataset if spec.train is not None else self.suite.probe.dataset)
        return architecture, parameters, dataset.input_shape, dataset.classes

    @property
    def spatial(self) -> SpatialRule:
        """The suite's one spatial rule."""
        return SpatialRule(self.suite.probe.spatial, self.suite.probe.rows)

    def _stored(self, ref: RepresentationRef, with_fit: bool) -> Representation:
        model = self.model(ref.model, ref.reparametrisation)
        sides = {}
        for side in ("probe", "fit") if with_fit else ("probe",):
            key = self.activation_keys[ref.model, ref.layer, ref.reparametrisation, side]
            inputs = self.inputs(side)
            sides[side] = Representation(
                activations=_activations(self.store.activations(key), self.device),
                layout=model.layout(ref.layer),
                layer=ref.layer,
                model=model,
                inputs=inputs.inputs,
                targets=inputs.targets,
                classes=inputs.classes,
                spatial=self.spatial,
                at_head=ref.layer == self.embedding_layers[ref.model.group],
            )
        return replace(sides["probe"], fit=sides.get("fit"))

    def _constructed(self, ref: RepresentationRef) -> Representation:
        assert ref.model.construction is not None
        parameters = dict(ref.model.construction.parameters)
        made = CONSTRUCTIONS[ref.model.construction.name](**parameters, seed=ref.model.seed)
        common: dict[str, Any] = {"layer": ref.layer, "model": made.model, "at_head": True, "spatial": self.spatial}
        common["classes"] = len(made.model.unembedding)
        fit = Representation(made.fit, targets=made.fit_targets, **common)
        return Representation(made.probe, targets=made.probe_targets, fit=fit, **common)


@lru_cache(maxsize=4)
def _dataset(name: str, parameters: tuple[tuple[str, Any], ...], cache: Path) -> Dataset:
    return load_dataset(name, dict(parameters), cache)


_input_cache: dict[tuple[int, str, int, str], Inputs] = {}


def _inputs(dataset: Dataset, split: str, count: int, device: str) -> Inputs:
    """`count` inputs of a split, drawn once by a seed of their own and kept in the split's order."""
    key = (id(dataset), split, count, device)
    if key not in _input_cache:
        chosen = dataset.split(split)
        available = len(chosen.inputs)
        if count > available:
            raise SimbenchError(f"probe asks for {count} inputs; {dataset.name} has {available} in its {split} split")
        generator = torch.Generator().manual_seed(seed_for(purpose="probe", split=split, inputs=count))
        order = torch.randperm(available, generator=generator)[:count].sort().values.numpy()
        _input_cache[key] = Inputs(
            torch.as_tensor(chosen.inputs[order]).to(device),
            torch.as_tensor(chosen.targets[order]).to(device),
            dataset.classes,
            dataset.input_shape,
        )
    return _input_cache[key]


_model_cache: dict[tuple[str, str], Model] = {}


def _model(materials: Materials, key: str, ref: ModelRef) -> Model:
    """One object per model and worker: stitching trains together what shares a receiver."""
    cached = _model_cache.get((key, materials.device))
    if cached is not None:
        return cached
    architecture, parameters, input_shape, classes = materials.build_arguments(ref)
    spec = materials.models[ref].spec
    assert spec is not None
    if spec.load is not None:
        model = load_pretrained(spec.load, architecture, parameters, input_shape, classes, spec.layers)
    else:
        folder = materials.store.model(key)
        model = checkpoint.load(folder, architecture, parameters, input_shape, classes, spec.layers)
    _model_cache[key, materials.device] = model.to(materials.device)
    return _model_cache[key, materials.device]


_reparametrised_cache: dict[tuple[int, Named], Model] = {}


def _reparametrised(model: Model, how: Named) -> Model:
    key = (id(model), how)
    if key not in _reparametrised_cache:
        generator = torch.Generator().manual_seed(dict(how.parameters)["seed"])
        _reparametrised_cache[key] = REPARAMETRISATIONS[how.name](model, generator)
    return _reparametrised_cache[key]


@lru_cache(maxsize=32)
def _activations(path: Path, device: str) -> Tensor:
    return load_activations(path).to(device)
