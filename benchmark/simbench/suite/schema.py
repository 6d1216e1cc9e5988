"""Typed, strict models of a suite file. Unknown keys are errors, whose positions `load.py` reports."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from simbench.bounds import (
    LONGEST_NAME,
    MOST_GROUPS,
    MOST_INPUTS,
    MOST_METRICS,
    MOST_PLUGINS,
    MOST_REPETITIONS,
    MOST_SEEDS,
    MOST_TESTS,
    Epochs,
    LayerNames,
    MemberName,
    Members,
    Seeds,
)
from simbench.declaration import PURPOSES, Purpose
from simbench.references import ModelRef, models_of
from simbench.suite.placeholders import SEED, check_listed, check_placeholders, filled

# Longest sentence that says why a test is there.
LONGEST_REASON = 500
COMPARISONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
# Names that stand for several metrics: the default ones, all registered ones, and those of a family, `family:CKA`.
DEFAULT, ALL, FAMILY = "default", "all", "family:"
# The key beside such a name that leaves some of them out.
EXCEPT = "except"
# Keys of a group that say where in the file of `load` the weights are.
LOAD_OPTIONS = ("key", "strip_prefix")
DeclaredLayout = Literal["channels_first", "channels_last", "tokens"]
PASS_IF = re.compile(r"^\s*(>=|<=|>|<)\s*([0-9]*\.?[0-9]+)\s*$")


def meets(pass_if: str, grade: float) -> bool:
    """Tell whether a grade meets a threshold.

    >>> meets(">= 0.9", 0.95)
    True
    """
    match = PASS_IF.match(pass_if)
    assert match is not None, pass_if
    return bool(COMPARISONS[match[1]](grade, float(match[2])))


class Strict(BaseModel):
    """Base of all models: unknown keys and wrong types are errors, and instances are immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Component(BaseModel):
    """Registered component by name, with its parameters: `mnist1d` or `{name: conv1d, width: 24}`."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    name: str

    @property
    def parameters(self) -> dict[str, Any]:
        """All keys but the name."""
        return dict(self.model_extra or {})


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


def _shortest(component: Component) -> str | dict[str, Any]:
    return {"name": component.name, **component.parameters} if component.parameters else component.name


ComponentChoice = Annotated[Component, BeforeValidator(_named)]
# Serialised as the bare name if there are no parameters.
ShortComponentChoice = Annotated[ComponentChoice, PlainSerializer(_shortest)]


class FitProbe(Strict):
    """Inputs, from the training split, on which metrics that learn a map learn it."""

    split: Literal["train", "test"] = "train"
    inputs: int = Field(default=1000, ge=10, le=MOST_INPUTS)


class Probe(Strict):
    """Inputs on which representations are read, and the rule by which positions become rows."""

    dataset: ComponentChoice | None = None
    """Needed by groups that have a network; activations are those of some inputs."""
    split: Literal["train", "test"] = "test"
    inputs: int = Field(default=1000, ge=3, le=MOST_INPUTS)
    spatial: Literal["positions", "pool", "last", "cls", "flatten"] = "positions"
    rows: Annotated[int, Field(ge=3, le=MOST_INPUTS)] | None = None
    fit: FitProbe = FitProbe()
    shortcut: float | None = Field(default=None, ge=0, le=1)
    """Share of the inputs, also those of `fit`, whose mark gives the label, as in training; at 0, marks are random."""

    @property
    def data(self) -> Component:
        """Dataset of a suite whose models read one."""
        assert self.dataset is not None, "a suite of activations alone has no dataset"
        return self.dataset


class Conditions(Strict):
    """Changes to the training data. Only those that differ from the default enter a model's key."""

    label_noise: float = Field(default=0.0, ge=0, le=1)
    """Share of the training labels that are drawn anew from all classes; the model's seed decides which ones."""
    shortcut: float | None = Field(default=None, ge=0, le=1)
    """Share of the training inputs whose mark gives the label; the others' marks give a random one. None: no marks."""
    augmentation: float = Field(default=0.0, ge=0)
    """Largest variance of the Gaussian noise added to an input, as a multiple of the training inputs' own variance."""
    crop_and_flip: int = Field(default=0, ge=0, le=10_000)
    """Zeros added on each side of an image before it is cropped to its size at random; half are mirrored, too."""
    subset: Annotated[int, Field(ge=2, le=MOST_INPUTS)] | None = None
    """Number of training inputs used, the same ones for every model; smaller subsets are contained in larger ones."""
    batches: Literal["own", "shared"] = "own"
    """Order of the batches: one per seed, or one for all seeds, so that models differ only in their initialisation."""

    @property
    def declared(self) -> dict[str, Any]:
        """Conditions that differ from their defaults."""
        return self.model_dump(include=set(Conditions.model_fields), exclude_defaults=True)


# KL(teacher ‖ student), or the mean absolute difference of all logits.
DistillationLoss = Literal["kl", "l1"]


class Distillation(Strict):
    """Distillation: the model learns a teacher's logits on the same inputs in place of the labels."""

    teacher: str
    """Group of models without a teacher; the model of its first seed teaches all students."""
    loss: DistillationLoss = "kl"
    """KL(teacher ‖ student), or the mean absolute difference of all logits."""


class Training(Conditions):
    """Training recipe of a model; 0 epochs leave it as it was initialised. Every field is part of the model's key."""

    dataset: ComponentChoice
    distil: Distillation | None = None
    epochs: Epochs
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = Field(default=0.001, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    batch_size: int = Field(default=128, ge=2, le=MOST_INPUTS)
    schedule: Literal["constant", "cosine", "steps"] = "cosine"
    """Schedule of the learning rate: `cosine` decays to 0; `steps` divides it by 10 after half of all steps, and again
    after three quarters."""


# Files of activations: a template, or by member, in turn a template or by layer.
GivenFiles = str | Annotated[dict[MemberName, str | dict[str, str]], Field(min_length=1, max_length=MOST_SEEDS)]


class ModelSpec(Strict):
    """Named group of models: an architecture, trained from several seeds or loaded from files; or activations alone."""

    architecture: ComponentChoice | None = None
    """The network; a group of activations has none."""
    train: Training | None = None
    load: str | Annotated[dict[MemberName, str], Field(min_length=1, max_length=MOST_SEEDS)] | None = None
    """File of weights, in which `{seed}` or `{member}` stands for one of `seeds` or `members`; or a mapping of members
    to files; or the name of published weights."""
    key: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)] | None = None
    """Place of the weights in the file of `load`, where it holds several that fit, such as `ema_state_dict`; keys
    inside one another are joined by dots."""
    strip_prefix: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)] | None = None
    """Beginning of the names of the weights in the file, such as `model.`; those that begin otherwise are left out.
    Names of modules around the whole network need none."""
    seeds: Seeds = [0]
    members: Members | None = None
    """Names of the models, in place of `seeds`, where they come from files."""
    activations: (
        str | Annotated[dict[MemberName, str | dict[str, str]], Field(min_length=1, max_length=MOST_SEEDS)] | None
    ) = None
    """Files of activations, in place of a network: `acts/{member}/{layer}.npy`, or one file of all layers,
    `acts/{member}.npz`; or a mapping of members to such names, or to mappings of layers to files. npy, npz, pt, pth,
    safetensors; `file:NAME` names an array in a file of several."""
    targets: str | None = None
    """File of the labels of the rows of `activations`, for metrics that need labels."""
    fit: str | Annotated[dict[MemberName, str | dict[str, str]], Field(min_length=1, max_length=MOST_SEEDS)] | None = (
        None
    )
    """Files of activations of other inputs, of the training split, on which metrics that learn a map learn it; declared
    as `activations`."""
    fit_targets: str | None = None
    """File of the labels of the rows of `fit`."""
    layers: LayerNames | None = None
    """Names of modules, with dots; patterns (`blocks.*`) stand for all modules of such names; `attn[0]` and
    `encoder.last_hidden_state` are elements of what modules put out. By default those that the architecture names."""
    layout: DeclaredLayout | dict[str, DeclaredLayout] | None = None
    """Which axis of outputs with positions holds the features, for all layers or by layer, where that is not to be
    measured: `channels_first` (inputs, channels, …), `channels_last` (inputs, …, channels) or `tokens` (inputs, tokens,
    features)."""

    def declared_layout(self, layer: str) -> DeclaredLayout | None:
        """Return the layout that is declared for a layer, if any."""
        return self.layout.get(layer) if isinstance(self.layout, dict) else self.layout

    @property
    def teacher(self) -> str | None:
        """Group whose logits these models learn, if any."""
        return self.train.distil.teacher if self.train is not None and self.train.distil is not None else None

    @property
    def network(self) -> Component:
        """Architecture of a group that has networks."""
        assert self.architecture is not None, "a group of activations has no network"
        return self.architecture

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the members; none where models have seeds."""
        source = self.load if self.activations is None else self.activations
        return tuple(source) if isinstance(source, dict) else tuple(self.members or ())

    def models(self, group: str) -> tuple[ModelRef, ...]:
        """Return references to the models of this group, given its name."""
        return models_of(group, self.seeds, self.names)

    def weights(self, model: ModelRef) -> str:
        """Return the file, or the name of the weights, that a model of this group loads."""
        if isinstance(self.load, dict):
            return self.load[model.own_name]
        return filled(str(self.load), model)

    def arrays(self, model: ModelRef, side: str = "probe") -> Mapping[str, str]:
        """Return the arrays of a model that is given as activations, by layer: references to files, or hashes.

        Args:
            model: a model of this group.
            side: `probe` or `fit`; without any for `fit`, none.
        """
        files = self.fit if side == "fit" else self.activations
        arrays = files.get(model.own_name) if isinstance(files, dict) else {}
        assert isinstance(arrays, dict), "templates are resolved when a suite is loaded from a file"
        return arrays

    @property
    def of_files(self) -> bool:
        """Tell whether each model has a file of its own, so that its seed or name says nothing beside it."""
        return bool(self.names) or (self.load is not None and SEED in self.load)

    @property
    def load_options(self) -> dict[str, str]:
        """Options by which the weights are found in their file, as far as they are given."""
        return self.model_dump(include=set(LOAD_OPTIONS), exclude_none=True)

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("a seed appears twice")
        return seeds

    @field_validator("members")
    @classmethod
    def _each_member_once(cls, members: list[str] | None) -> list[str] | None:
        if members is not None and len(set(members)) != len(members):
            raise ValueError("a member appears twice")
        return members

    @model_validator(mode="after")
    def _one_source(self) -> ModelSpec:
        if sum(source is not None for source in (self.train, self.load, self.activations)) != 1:
            raise ValueError("give one of `train`, `load` and `activations`")
        if (self.architecture is None) == (self.activations is None):
            given = self.activations is not None
            raise ValueError("`activations` have no `architecture`" if given else "an `architecture` is needed")
        if self.activations is None and not (self.targets is self.fit is self.fit_targets is None):
            raise ValueError("`targets`, `fit` and `fit_targets` belong to `activations`; networks read the probe")
        if self.members is not None and "seeds" in self.model_fields_set:
            raise ValueError("give either `seeds` or `members`")
        if self.members is not None and self.train is not None:
            raise ValueError("`members` are models from files; models that are trained have `seeds`")
        key, source = ("load", self.load) if self.activations is None else ("activations", self.activations)
        if isinstance(source, dict):
            if not {"seeds", "members"}.isdisjoint(self.model_fields_set):
                raise ValueError(f"`{key}` names the members: leave out `seeds` and `members`")
        elif source is not None:
            check_placeholders(key, source, self.members)
        for side, files in (("activations", self.activations), ("fit", self.fit)):
            if isinstance(files, dict):
                check_listed(side, files, self.names, self.layers or ())
        if self.load is None and self.load_options:
            raise ValueError(f"`{next(iter(self.load_options))}` says where weights are in the file that `load` names")
        return self

    @model_serializer(mode="wrap")
    def _as_declared(self, serialised: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out how models are named where they are named otherwise, and options of `load` that are not given.

        So suites without members, or without such options, stay as they were.
        """
        data: dict[str, Any] = serialised(self)
        without = {key for key in (*GIVEN, *LOAD_OPTIONS, "architecture") if getattr(self, key) is None}
        without |= {"members"} if not self.names else {"seeds"} if self.members else {"seeds", "members"}
        return {key: value for key, value in data.items() if key not in without}


# Keys of a group that is given as activations.
GIVEN = ("members", "activations", "targets", "fit", "fit_targets")


class SampledPairs(Strict):
    """Some of all pairs of models, where all are too many: every model is in about equally many of them.

    Which ones follows from the number of models alone, so that they are the same for every metric and every test, and a
    larger sample has those of a smaller one.
    """

    sample: int = Field(ge=1, le=MOST_REPETITIONS)
    """Number of pairs of different models, whatever their order."""


class DeclaredTest(Strict):
    """Declarations that all tests have in common; a test kind adds its own keys."""

    generates_its_models: ClassVar[bool] = False
    """Whether the kind generates its own models, so that `models` may be empty."""
    of_layers_only: ClassVar[bool] = False
    """Whether the kind asks nothing of metrics that are defined at the head only."""

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=LONGEST_NAME)
    kind: str
    models: list[str] = Field(default=[], max_length=MOST_GROUPS)
    """Names of groups of models, each at most once."""
    pass_if: str = Field(default=">= 0.95", pattern=PASS_IF.pattern, max_length=30)
    purposes: list[Purpose] = Field(default=[], max_length=len(PURPOSES))
    """Purposes for which the test is owed; by default all. A metric that serves none of them owes what it promises."""
    heavy: bool = True
    """Whether metrics that train something for every score are asked, too."""
    reason: str = Field(default="", max_length=LONGEST_REASON)
    """Why a sound index passes, in a sentence; shown on the board."""

    @model_validator(mode="after")
    def _can_be_met(self) -> DeclaredTest:
        if len(set(self.models)) != len(self.models):
            raise ValueError("a group of models appears twice in `models`")
        if not (self.passes(0.0) or self.passes(1.0)):
            raise ValueError(f"no grade is {self.pass_if}: grades are in [0, 1]")
        return self

    def passes(self, grade: float) -> bool:
        """Tell whether a grade meets `pass_if`."""
        return meets(self.pass_if, grade)


class Suite(Strict):
    """Suite: a whole suite file."""

    suite: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=LONGEST_NAME)
    version: int = Field(ge=1)
    about: str = ""
    plugins: list[str] = Field(default=[], max_length=MOST_PLUGINS)
    probe: Probe = Probe()
    models: dict[str, ModelSpec] = Field(default={}, max_length=MOST_GROUPS)
    metrics: Annotated[
        list[ComponentChoice], BeforeValidator(_listed), Field(min_length=1, max_length=MOST_METRICS)
    ] = [Component(name=DEFAULT)]
    """Names with parameters, or files; `default`, `all` and `family:NAME` add all those that the list does not contain,
    but for the metrics and families of the list `except` beside them: `{name: all, except: [svcca, family:RSA]}`."""
    tests: list[Any] = Field(min_length=1, max_length=MOST_TESTS)
    """Instances of the test kinds' models, which extend `DeclaredTest`."""

    @field_validator("models")
    @classmethod
    def _names_that_fit(cls, models: dict[str, ModelSpec]) -> dict[str, ModelSpec]:
        for name in models:
            if len(name) > LONGEST_NAME:
                raise ValueError(f'"{name[:20]}…": a name has at most {LONGEST_NAME} characters, not {len(name)}')
        return models

    @property
    def title(self) -> str:
        """Name and version, as `name@version`."""
        return f"{self.suite}@{self.version}"
