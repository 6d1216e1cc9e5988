"""Plans: the union of what all tests of a suite ask for, under content-addressed keys. Planning runs nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from simbench.errors import SimbenchError, UnknownNameError
from simbench.files import digests_kept
from simbench.garbage import collection_paused
from simbench.models.architecture import TRAINER_VERSION
from simbench.models.loading import weights_in_key
from simbench.plan.given import array_content, given_content
from simbench.plan.keys import (
    CONDITIONS_VERSION,
    digest,
    score_key,
)
from simbench.plan.reduction import are_rows_enough, reduced_key
from simbench.references import Comparison, ModelGroup, ModelRef, Named, RepresentationRef
from simbench.registry import (
    ARCHITECTURES,
    DATASETS,
    GENERATORS,
    METRICS,
    REPARAMETRISATIONS,
    TRANSFORMS,
    Registry,
)
from simbench.suite.load import layers_of_model
from simbench.suite.schema import Component, Conditions, DeclaredLayout, ModelSpec, Suite

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric
    from simbench.sanity.kind import SanityTest


@dataclass(frozen=True)
class PlannedModel:
    """Model to train, load or generate."""

    ref: ModelRef
    key: str
    spec: ModelSpec | None
    """None for synthetic models."""
    teacher: ModelRef | None = None
    """Model whose logits are the targets of the training, if any."""
    source: Mapping[str, Any] | str | None = None
    """What stands in the key for the data of the training, or for the weights that are loaded."""

    @property
    def given(self) -> Mapping[str, Any] | None:
        """Content of the key of a model that is given as activations; None for any other."""
        given = self.spec is not None and self.spec.activations is not None
        return self.source if given and isinstance(self.source, Mapping) else None


@dataclass(frozen=True)
class PlannedActivations:
    """Activations to store: one layer of one model, possibly reparametrised, on one set of inputs."""

    model: ModelRef
    layer: str
    reparametrisation: Named | None
    inputs: str
    """`probe` or `fit`."""
    key: str
    reduced: str | None = None
    """Key of the rows alone, where these are fewer numbers and a metric may be content with them."""
    whole: bool = True
    """Whether a metric of the plan reads more than the rows."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys under which they may be stored."""
        return (self.key,) if self.reduced is None else (self.reduced, self.key)


@dataclass(frozen=True)
class PlannedMetric:
    """Metric and all its comparisons by score key; of a symmetric metric, one order of each pair.

    A metric that is not `on_board` is a reference variable: tests need its values, but it is not itself tested.
    """

    metric: Metric
    scores: Mapping[str, Comparison]
    on_board: bool = True


@dataclass(frozen=True)
class Plan:
    """Everything that a run is going to do."""

    suite: Suite
    groups: Mapping[str, ModelGroup]
    tests: Sequence[SanityTest]
    models: Mapping[ModelRef, PlannedModel]
    activations: Mapping[str, PlannedActivations]
    metrics: Sequence[PlannedMetric]
    _representation_keys: dict[tuple[RepresentationRef, bool], str] = field(default_factory=dict, compare=False)
    _score_keys: dict[tuple[str, str], dict[Comparison, str]] = field(default_factory=dict, compare=False)
    """Memoised, since grading asks for each key many times."""
    _comparisons: dict[tuple[str, str], tuple[Comparison, ...]] = field(default_factory=dict, compare=False)
    """Memoised by test and metric, since expansion, grading and the evidence all ask for them."""
    _variables: dict[Named, Metric] = field(default_factory=dict, compare=False)
    """Looked up once, since every question about a reference variable asks."""
    made: float = field(default_factory=time.time, compare=False)
    """When planning began, in seconds since 1970."""
    _inputs: dict[str, dict[str, Any]] = field(default_factory=dict, compare=False)
    """Looked up once, so that all keys of a plan are of the same files."""

    def groups_of(self, test: SanityTest) -> list[ModelGroup]:
        """Return the model groups that a test names."""
        return [self.groups[name] for name in test.models]

    def comparisons(self, test: SanityTest, metric: Metric) -> tuple[Comparison, ...]:
        """Return the comparisons that a test asks of a metric."""
        place = (test.id, metric.label)
        if place not in self._comparisons:
            self._comparisons[place] = test.expand(self.groups_of(test), metric)
        return self._comparisons[place]

    def nothing_to_ask(self, test: SanityTest) -> str | None:
        """Return the commonest reason why a test asks nothing of any metric on the board; None if it asks something."""
        return _nothing_to_ask(test, self.groups_of(test), [planned.metric for planned in self.board])

    @property
    def board(self) -> list[PlannedMetric]:
        """Metrics that are tested, without those that are only reference variables."""
        return [planned for planned in self.metrics if planned.on_board]

    def reference_variable(self, named: Named) -> Metric:
        """Return the functional metric of a reference variable, the board's own object where it has one."""
        if named not in self._variables:
            wanted = METRICS.get(named.name).with_parameters(dict(named.parameters))
            alike = (planned.metric for planned in self.metrics if planned.metric.label == wanted.label)
            self._variables[named] = next(alike, wanted)
        return self._variables[named]

    @property
    def inputs(self) -> Mapping[str, Mapping[str, Any]]:
        """Dataset, split and number of inputs of `probe` and of `fit`."""
        if not self._inputs:
            self._inputs.update({side: input_spec(self.suite, side) for side in ("probe", "fit")})
        return self._inputs

    def planned_activations(
        self, model: ModelRef, layer: str, reparametrisation: Named | None, inputs: str
    ) -> PlannedActivations:
        """Return the activations to store for one layer of a model."""
        ref = RepresentationRef(model, layer, None, reparametrisation)
        key = digest("activations", self.activations_content(ref, inputs))
        reduced = reduced_key(key, self.suite.probe, self._declared_layout(ref)) if inputs == "probe" else None
        return PlannedActivations(model, layer, reparametrisation, inputs, key, reduced)

    def representation_key(self, ref: RepresentationRef, *, with_fit: bool) -> str:
        """Return the key of a representation: that of its activations, the spatial rule and the transform."""
        keys = self._representation_keys
        if (ref, with_fit) not in keys:
            keys[ref, with_fit] = digest("representation", self.representation_content(ref, with_fit=with_fit))
        return keys[ref, with_fit]

    def representation_content(self, ref: RepresentationRef, *, with_fit: bool) -> dict[str, Any]:
        """Return all that the key of a representation depends on."""
        sides = ("probe", "fit") if with_fit else ("probe",)
        given = self.models[ref.model].given
        content: dict[str, Any] = {
            side: self.activations_content(ref, side) for side in sides if given is None or side in given["activations"]
        }
        content["spatial"] = {"mode": self.suite.probe.spatial, "rows": self.suite.probe.rows}
        layout = self._declared_layout(ref)
        if layout is not None:
            content["layout"] = layout
        content["transform"] = _plain(ref.transform)
        if ref.transform is not None:
            content["transform_identity"] = TRANSFORMS.get(ref.transform.name).identity
        return content

    def _declared_layout(self, ref: RepresentationRef) -> DeclaredLayout | None:
        spec = self.models[ref.model].spec
        return None if spec is None else spec.declared_layout(ref.layer)

    def activations_content(self, ref: RepresentationRef, inputs: str) -> dict[str, Any]:
        """Return all that the key of activations depends on."""
        given = self.models[ref.model].given
        if given is not None:
            content = array_content(given, ref.layer, inputs)
            change = _versioned(ref.reparametrisation, REPARAMETRISATIONS)
            return content if change is None else {**content, "reparametrisation": change}
        return {
            "model": self.models[ref.model].key,
            "layer": ref.layer,
            "reparametrisation": _versioned(ref.reparametrisation, REPARAMETRISATIONS),
            "inputs": self.inputs[inputs] if ref.model.generator is None else None,
        }

    @property
    def representation_keys(self) -> Mapping[tuple[RepresentationRef, bool], str]:
        """Keys of all representations, with and without the fitting inputs, that scores have needed so far."""
        return self._representation_keys

    def score_key(self, metric: Metric, comparison: Comparison) -> str:
        """Return the key of one score."""
        keys = self._score_keys.setdefault((metric.identity, metric.label), {})
        key = keys.get(comparison)
        if key is None:
            with_fit = needs_fit(metric)
            key = keys[comparison] = score_key(
                metric.identity,
                metric.parameters,
                self.representation_key(comparison.a, with_fit=with_fit),
                self.representation_key(comparison.b, with_fit=with_fit),
                symmetric=metric.symmetric,
            )
        return key


def needs_fit(metric: Metric) -> bool:
    """Tell whether a metric learns something on the fitting inputs."""
    return "fit" in metric.needs


@digests_kept()
def check_plan(suite: Suite, metrics: Sequence[Metric]) -> dict[str, str | None]:
    """Check that a suite can be planned, without listing its comparisons, of which there may be millions.

    Returns:
        Per test, the commonest reason why it asks nothing of any metric; None where it asks something.
    """
    groups = {name: model_group(suite, name) for name in suite.models}
    for name, spec in suite.models.items():
        if spec.activations is None:  # files of activations are large, and hashed when they are compared
            _planned(suite, spec.models(name)[0], spec)
    for inputs in ("probe", "fit"):
        input_spec(suite, inputs)
    # What is asked depends on what a metric declares, not on its parameters, of which a suite may give a thousand.
    each_once = list({metric.name: metric for metric in metrics}.values())
    return {test.id: _nothing_to_ask(test, [groups[name] for name in test.models], each_once) for test in suite.tests}


def _nothing_to_ask(test: SanityTest, groups: Sequence[ModelGroup], metrics: Sequence[Metric]) -> str | None:
    if not metrics or any(test.asks(groups, metric) for metric in metrics):
        return None
    ((reason, _),) = Counter(test.why_nothing(groups, metric) for metric in metrics).most_common(1)
    return reason


@collection_paused()
@digests_kept()
def make_plan(suite: Suite, metrics: Sequence[Metric], only: Sequence[str] = ()) -> Plan:
    """Expand a suite for these metrics; `only` keeps the tests with these ids."""
    tests = _chosen(suite.tests, only)
    groups = {name: model_group(suite, name) for name in suite.models}
    models = {ref: _planned(suite, ref, suite.models[ref.group]) for group in groups.values() for ref in group.models}
    skeleton = Plan(suite, groups, tests, models, {}, ())
    asked: dict[Comparison, None] = {}
    planned: list[PlannedMetric] = []
    places: dict[tuple[ModelRef, str, Named | None, str], bool] = {}
    shared = _shared(models)
    on_board = len(metrics)
    for position, (metric, wanted) in enumerate(_asked_of(skeleton, metrics)):
        asked.update(wanted)
        obtained = dict.fromkeys(_obtained_from(shared, comparison) for comparison in wanted)
        for ref in _representations(obtained):
            if ref.model not in models:
                models[ref.model] = _synthetic(suite, ref.model)
            if ref.model.generator is None and models[ref.model].given is None:
                for inputs in ("probe", "fit") if needs_fit(metric) else ("probe",):
                    place = (ref.model, ref.layer, ref.reparametrisation, inputs)
                    places[place] = places.get(place, False) or not are_rows_enough(metric, ref, suite.probe)
        # Of the two orders of a symmetric pair, keep the one that was asked for first.
        scores = {skeleton.score_key(metric, c): c for c in reversed(obtained)}
        planned.append(PlannedMetric(metric, scores, on_board=position < on_board))
    used = {ref.model for ref in _representations(asked)} | {model for model, *_ in places}
    used |= {teacher for ref in used if (teacher := models[ref].teacher) is not None}
    activations = [replace(skeleton.planned_activations(*place), whole=whole) for place, whole in places.items()]
    return replace(
        skeleton,
        models={ref: model for ref, model in models.items() if ref in used},
        activations={planned.key: planned for planned in activations},
        metrics=planned,
    )


def _asked_of(skeleton: Plan, metrics: Sequence[Metric]) -> list[tuple[Metric, dict[Comparison, None]]]:
    """List what each metric is asked: first those on the board, then the reference variables that tests need."""
    board = replace(skeleton, metrics=[PlannedMetric(metric, {}) for metric in metrics])
    asked = [
        (metric, dict.fromkeys(c for test in board.tests for c in board.comparisons(test, metric)))
        for metric in metrics
    ]
    by_label = {metric.label: (metric, wanted) for metric, wanted in asked}
    for test in board.tests:
        for metric in metrics:
            for named, comparisons in test.reference_variables(board.groups_of(test), metric).items():
                variable = board.reference_variable(named)
                if variable.label not in by_label:
                    by_label[variable.label] = (variable, {})
                    asked.append(by_label[variable.label])
                by_label[variable.label][1].update(dict.fromkeys(comparisons))
    return asked


def model_group(suite: Suite, name: str) -> ModelGroup:
    """Return a model group as the tests see it, without building a network."""
    spec = suite.models[name]
    layers = layers_of_model(suite, name)
    if spec.activations is not None:
        return ModelGroup(name, tuple(spec.seeds), layers or (), None, spec.names, given=True)
    architecture = ARCHITECTURES.get(spec.network.name)
    if layers is None:
        ARCHITECTURES.get(spec.network.name).content(spec.network.parameters)
        raise SimbenchError(f'models.{name}: architecture "{architecture.name}" needs `layers:`, a list of names')
    embedding_layer = architecture.embedding_layer(**spec.network.parameters)
    return ModelGroup(name, tuple(spec.seeds), layers, embedding_layer, spec.names)


def input_spec(suite: Suite, inputs: str) -> dict[str, Any]:
    """Return what `probe` or `fit` means, as keys hold it: dataset, split, number of inputs and shortcut."""
    probe = suite.probe
    side = probe.fit if inputs == "fit" else probe
    dataset = None if probe.dataset is None else _data_spec(probe.dataset)
    content = {"dataset": dataset, "split": side.split, "inputs": side.inputs}
    return content | ({} if probe.shortcut is None else _conditions({"shortcut": probe.shortcut}))


def _chosen(tests: Sequence[SanityTest], only: Sequence[str]) -> list[SanityTest]:
    by_id = {test.id: test for test in tests}
    for name in only:
        if name not in by_id:
            raise UnknownNameError("test", name, by_id)
    return [test for test in tests if not only or test.id in only]


def _representations(comparisons: Iterable[Comparison]) -> list[RepresentationRef]:
    return list(dict.fromkeys(side for comparison in comparisons for side in (comparison.a, comparison.b)))


def _shared(models: Mapping[ModelRef, PlannedModel]) -> dict[ModelRef, ModelRef]:
    """Map each model to the first identical one: groups may have models in common, which are obtained once."""
    first: dict[tuple[str, str], ModelRef] = {}
    read = {ref: str(model.spec and (model.spec.layers or (), model.spec.layout)) for ref, model in models.items()}
    return {ref: first.setdefault((model.key, read[ref]), ref) for ref, model in models.items()}


def _obtained_from(shared: Mapping[ModelRef, ModelRef], comparison: Comparison) -> Comparison:
    """Return the comparison with its models replaced by those that are obtained."""
    a, b = (replace(side, model=shared.get(side.model, side.model)) for side in (comparison.a, comparison.b))
    return Comparison(a, b)


def model_content(suite: Suite, ref: ModelRef) -> dict[str, Any]:
    """Return all that the key of a model depends on."""
    if ref.generator is not None:
        return {"construction": _versioned(ref.generator, GENERATORS), "seed": ref.seed}
    spec = suite.models[ref.group]
    if spec.activations is not None:
        return given_content(spec, ref)
    architecture = ARCHITECTURES.get(spec.network.name)
    content: dict[str, Any] = {
        "architecture": {
            "identity": architecture.identity,
            "parameters": architecture.content(spec.network.parameters),
        },
        "seed": 0 if spec.of_files else ref.seed,
    }
    if spec.train is not None:
        content["train"] = spec.train.model_dump(exclude={"dataset", "distil", *Conditions.model_fields})
        content |= _conditions(spec.train.declared)
        content["data"] = _data_spec(spec.train.dataset)
        content["trainer"] = TRAINER_VERSION
    else:
        content["load"] = weights_in_key(spec.weights(ref), architecture.name, spec.network.parameters)
        if spec.load_options:
            content["load_options"] = spec.load_options
    teacher = _teacher(suite, spec)
    if teacher is not None and spec.train is not None and spec.train.distil is not None:
        content["distil"] = {"teacher": teacher.key, "loss": spec.train.distil.loss}
    return content


def _planned(suite: Suite, ref: ModelRef, spec: ModelSpec) -> PlannedModel:
    content, teacher = model_content(suite, ref), _teacher(suite, spec)
    if spec.activations is not None:
        return PlannedModel(ref, digest("model", content), spec, source=content)
    source = content["data"] if spec.train is not None else content["load"]
    return PlannedModel(ref, digest("model", content), spec, None if teacher is None else teacher.ref, source)


def _teacher(suite: Suite, spec: ModelSpec) -> PlannedModel | None:
    """Return the teacher of a model: the first seed of the group that the model names."""
    if spec.teacher is None:
        return None
    taught = suite.models[spec.teacher]
    return _planned(suite, taught.models(spec.teacher)[0], taught)


def _synthetic(suite: Suite, ref: ModelRef) -> PlannedModel:
    return PlannedModel(ref, digest("model", model_content(suite, ref)), None)


def _data_spec(component: Component) -> dict[str, Any]:
    return DATASETS.get(component.name).identity_with(component.parameters)


def _conditions(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return what conditions add to a key; nothing if there are none."""
    return {"conditions": {**declared, "version": CONDITIONS_VERSION}} if declared else {}


def _versioned(named: Named | None, registry: Registry[Any]) -> dict[str, Any] | None:
    """Return the name, the parameters and the revision of a registered function."""
    plain = _plain(named)
    if named is None or plain is None:
        return None
    return {**plain, "version": registry.get(named.name).revision}


def _plain(named: Named | None) -> dict[str, Any] | None:
    return None if named is None else {"name": named.name, "parameters": dict(named.parameters)}
