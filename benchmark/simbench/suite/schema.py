"""Typed, strict models of a suite file. Unknown keys are errors; `load.py` says where they stand."""

from __future__ import annotations

import operator
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator, model_validator

COMPARISONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
DEFAULT = "default"
PASS_IF = re.compile(r"^\s*(>=|<=|>|<)\s*([0-9]*\.?[0-9]+)\s*$")


class Strict(BaseModel):
    """Unknown keys and wrong types are errors; values are never changed after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Component(BaseModel):
    """A registered component by name, with its parameters: `mnist1d` or `{name: conv1d, width: 24}`."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    name: str

    @property
    def parameters(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _shortest(component: Component) -> str | dict[str, Any]:
    return {"name": component.name, **component.parameters} if component.parameters else component.name


ComponentChoice = Annotated[Component, BeforeValidator(_named)]
ShortComponentChoice = Annotated[ComponentChoice, PlainSerializer(_shortest)]
"""One that is written as its bare name again where it has no parameters."""


class FitProbe(Strict):
    """The inputs, from the training split, on which metrics that learn a map learn it."""

    split: Literal["train", "test"] = "train"
    inputs: int = Field(default=1000, ge=10)


class Probe(Strict):
    """The inputs on which representations are read, and how positions become rows."""

    dataset: ComponentChoice
    split: Literal["train", "test"] = "test"
    inputs: int = Field(default=1000, ge=3)
    spatial: Literal["positions", "pool", "flatten"] = "positions"
    rows: int | None = Field(default=None, ge=3)
    fit: FitProbe = FitProbe()
    shortcut: float | None = Field(default=None, ge=0, le=1)
    """As in training: the share of the inputs, those of `fit` too, whose mark tells the label; at 0 it says nothing."""


class Conditions(Strict):
    """What is done to the training data. Only what differs from the default enters a model's key."""

    label_noise: float = Field(default=0.0, ge=0, le=1)
    """Share of the training labels that are drawn anew from all classes; which ones depends on the model's seed."""
    shortcut: float | None = Field(default=None, ge=0, le=1)
    """Share of the training inputs whose mark tells the label; on the others it tells a random one. None: no mark."""
    augmentation: float = Field(default=0.0, ge=0)
    """Largest variance of the Gaussian noise added to an input, as a multiple of the training inputs' own variance."""
    crop_and_flip: int = Field(default=0, ge=0)
    """Images are padded by that many zeros a side and cut back at a random place, and half of them mirrored."""
    subset: int | None = Field(default=None, ge=2)
    """How many of the training inputs are used: the same ones for every model; smaller subsets lie in larger ones."""
    batches: Literal["own", "shared"] = "own"
    """Whether the batches come in an order of the seed's own or in one for all: then only initialisation differs."""

    @property
    def declared(self) -> dict[str, Any]:
        """Those that differ from their defaults."""
        return self.model_dump(include=set(Conditions.model_fields), exclude_defaults=True)


class Distillation(Strict):
    """What is learned in place of the labels: the logits of a teacher, on the same inputs."""

    teacher: str
    """A group of models that has no teacher itself; its first seed teaches all students."""
    loss: Literal["kl", "l1"] = "kl"
    """KL(teacher ‖ student), or the mean absolute difference of all logits."""


class Training(Conditions):
    """How a model is trained; 0 epochs leave it as it was initialised. Every field is part of the model's key."""

    dataset: ComponentChoice
    distil: Distillation | None = None
    epochs: int = Field(ge=0)
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = Field(default=0.001, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    batch_size: int = Field(default=128, ge=2)
    schedule: Literal["constant", "cosine", "steps"] = "cosine"
    """Of the learning rate: `cosine` falls to 0; `steps` has a tenth of it from half of all steps on, a hundredth from
    three quarters on."""


class ModelSpec(Strict):
    """One named group of models: an architecture, trained from several seeds or loaded."""

    architecture: ComponentChoice
    train: Training | None = None
    load: str | None = None
    seeds: list[int] = Field(default=[0], min_length=1)
    layers: list[str] | None = None

    @property
    def teacher(self) -> str | None:
        """The group whose logits these models learn, if any."""
        return self.train.distil.teacher if self.train is not None and self.train.distil is not None else None

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("a seed appears twice")
        return seeds

    @model_validator(mode="after")
    def _one_source(self) -> ModelSpec:
        if (self.train is None) == (self.load is None):
            raise ValueError("give either `train` or `load`")
        return self


class DeclaredTest(Strict):
    """What every test declares; a test kind adds its own keys."""

    generates_its_models: ClassVar[bool] = False
    """Whether the kind brings models of its own, so that `models` may be empty."""
    of_layers_only: ClassVar[bool] = False
    """Whether the kind asks nothing of metrics that are defined at the head only."""

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    kind: str
    models: list[str] = []
    """Groups of models, each once."""
    pass_if: str = Field(default=">= 0.95", pattern=PASS_IF.pattern)

    @model_validator(mode="after")
    def _can_be_met(self) -> DeclaredTest:
        if len(set(self.models)) != len(self.models):
            raise ValueError("a group of models appears twice in `models`")
        if not (self.passes(0.0) or self.passes(1.0)):
            raise ValueError(f"no grade is {self.pass_if}: grades are in [0, 1]")
        return self

    def passes(self, grade: float) -> bool:
        """Whether a grade meets `pass_if`."""
        match = PASS_IF.match(self.pass_if)
        assert match is not None, self.pass_if
        return bool(COMPARISONS[match[1]](grade, float(match[2])))


class Suite(Strict):
    """A whole suite file."""

    suite: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    version: int = Field(ge=1)
    about: str = ""
    plugins: list[str] = []
    probe: Probe
    models: dict[str, ModelSpec] = {}
    metrics: Annotated[list[ComponentChoice], BeforeValidator(_listed), Field(min_length=1)] = [Component(name=DEFAULT)]
    """Names with parameters, or files; `default` stands for all default metrics that the list does not name itself."""
    tests: list[Any] = Field(min_length=1)
    """Instances of the test kinds' own models, which extend `DeclaredTest`."""

    @property
    def title(self) -> str:
        """`name@version`."""
        return f"{self.suite}@{self.version}"
