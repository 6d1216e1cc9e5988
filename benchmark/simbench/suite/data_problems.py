"""Check that the datasets of a suite have enough inputs for the probe, and inputs of a shape that its models read.

No data are loaded: what is not known of a dataset before it is loaded is checked by the run. Like `names.py`, these
checks read the raw document, so that one mistake hides no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from simbench.bounds import MOST_INPUTS
from simbench.errors import SimbenchError
from simbench.parameters import ParameterError
from simbench.registry import ARCHITECTURES, DATASETS
from simbench.suite.names import component_at, dataset_places
from simbench.suite.schema import Component, FitProbe, Probe
from simbench.suite.yaml_nodes import Location, SuiteDocument, SuiteProblem

if TYPE_CHECKING:
    from simbench.data.dataset import Outline

PROBE: Location = ("probe", "dataset")
# Layers of the networks that are built to see whether they read inputs of another shape: half a second's worth.
MOST_TRIED = 200
UNKNOWN_DEPTH = range(20)


def data_problems(document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Find a probe that asks for too many inputs, and models that cannot read inputs of the probe's shape."""
    yield from _unreadable(document)
    probe = _outline(PROBE, document)
    models = document.at(("models",))
    if probe is None or not isinstance(models, dict) or not models:
        return
    yield from _number_problems(probe, document)
    tried = Tried()
    for name in models:
        place: Location = ("models", name, "train", "dataset")
        own = _outline(place, document)
        if own is not None and own.train == 0:
            text = f"models.{name}: {_name(place, document)} has no training split, which training needs"
            yield SuiteProblem(document.position(place), text)
        yield from _shape_problems(place, PROBE, "the probe", document, tried)
        teacher = document.at((*place[:-1], "distil", "teacher"))
        if isinstance(teacher, str):
            taught = ("models", teacher, "train", "dataset")
            yield from _shape_problems(taught, place, f"its student models.{name}", document, tried)


class Tried:
    """Networks that were tried on inputs of other shapes, each once, and as many as take little time."""

    def __init__(self) -> None:
        """Start without any."""
        self._answers: dict[str, bool] = {}
        self._left = MOST_TRIED

    def reads(self, component: Component, own: tuple[int, ...], other: tuple[int, ...]) -> bool:
        """Tell whether a network for inputs of one shape reads those of another; true as well if that is not tried."""
        if own == other:
            return True
        asked = f"{component!r} {own} {other}"
        if asked not in self._answers:
            architecture = ARCHITECTURES.get(component.name)
            try:
                self._left -= len(architecture.layers(**component.parameters) or UNKNOWN_DEPTH)
            except ParameterError:
                return True  # reported elsewhere
            if self._left < 0:
                return True  # a run will say
            self._answers[asked] = architecture.reads(own, other, **component.parameters)
        return self._answers[asked]


def _number_problems(probe: Outline, document: SuiteDocument) -> Iterator[SuiteProblem]:
    component = component_at(PROBE, document)
    assert component is not None
    # An unknown key may be a misspelt `inputs`.
    misspelt = not document.at(("probe",)).keys() <= Probe.model_fields.keys()
    usual = 0 if misspelt else Probe.model_fields["inputs"].default
    # Only metrics that learn a map read the fitting inputs, so the default number of these is no mistake.
    for place, fields, default in ((("probe",), Probe, usual), (("probe", "fit"), FitProbe, 0)):
        split = document.at((*place, "split")) or fields.model_fields["split"].default
        asked = document.at((*place, "inputs")) or default
        if split in ("train", "test") and isinstance(asked, int) and asked <= MOST_INPUTS:
            too_many = probe.lacks(asked, component.name, split)
            if too_many is not None:
                yield SuiteProblem(document.position((*place, "inputs")), too_many)


def _shape_problems(
    trained: Location, shown: Location, to_what: str, document: SuiteDocument, tried: Tried
) -> Iterator[SuiteProblem]:
    """Find a model group that is trained on inputs of one shape and cannot read the inputs that it is shown."""
    own, other = _outline(trained, document), _outline(shown, document)
    group = trained[:2]
    component = component_at((*group, "architecture"), document)
    if own is None or other is None or group in document.incomplete:
        return
    if component is None or component.name not in ARCHITECTURES:
        return
    if tried.reads(component, own.input_shape, other.input_shape):
        return
    names = [dataset.name for place in (trained, shown) if (dataset := component_at(place, document)) is not None]
    text = (
        f"models.{group[1]}: {component.name} trained on {names[0]}, inputs of shape {own.input_shape}, cannot read "
        f"{to_what}: {names[1]}, of shape {other.input_shape}; train it on {names[1]}"
    )
    yield SuiteProblem(document.position(trained), text)


def _name(place: Location, document: SuiteDocument) -> str:
    """Return the name of the component at a place."""
    component = component_at(place, document)
    return "" if component is None else component.name


def _outline(place: Location, document: SuiteDocument) -> Outline | None:
    """Return the outline of the dataset that is named at a place; None if it is unknown."""
    component = component_at(place, document)
    if component is None or component.name not in DATASETS:
        return None
    try:
        return DATASETS.get(component.name).outline(component.parameters)
    except SimbenchError:  # reported elsewhere
        return None


def _unreadable(document: SuiteDocument) -> Iterator[SuiteProblem]:
    """Find datasets whose files are not what they should be, as far as their outlines tell."""
    for place in dataset_places(document):
        component = component_at(place, document)
        if component is None or component.name not in DATASETS:
            continue
        try:
            DATASETS.get(component.name).outline(component.parameters)
        except ParameterError:  # reported elsewhere
            continue
        except SimbenchError as error:
            yield SuiteProblem.of(document.position(place), error)
