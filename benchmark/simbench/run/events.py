"""Events of a run. The command line shows them as bars or lines; a notebook may ignore them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["models", "representations", "scores"]


@dataclass(frozen=True)
class StageStarted:
    """Start of a stage of `total` units of work (epochs of models, scores), of which `cached` are done already."""

    stage: Stage
    total: int
    cached: int


@dataclass(frozen=True)
class Advanced:
    """Progress of a stage by `units`; `detail` names the model or the metric that was just worked on."""

    stage: Stage
    units: float
    detail: str = ""


@dataclass(frozen=True)
class Computing:
    """A task of a stage computes `what` from now on: a model, or a metric and its number of scores; None at its end."""

    stage: Stage
    task: str
    what: str | None


@dataclass(frozen=True)
class StageFinished:
    """End of a stage; `failed` units have no result."""

    stage: Stage
    failed: int


@dataclass(frozen=True)
class Warned:
    """Warning to the user that did not stop the run."""

    message: str


Event = StageStarted | Advanced | Computing | StageFinished | Warned
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Ignore an event."""
