"""What a run tells whoever watches it. The command line turns events into bars or lines; a notebook may ignore them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["models", "representations", "scores"]


@dataclass(frozen=True)
class StageStarted:
    """A stage begins: `total` units of work (epochs for models, scores for scores), `cached` of them done already."""

    stage: Stage
    total: int
    cached: int


@dataclass(frozen=True)
class Advanced:
    """`units` more are done; `detail` says what was just worked on (a model, a metric)."""

    stage: Stage
    units: float
    detail: str = ""


@dataclass(frozen=True)
class StageFinished:
    """A stage ended; `failed` units have no result."""

    stage: Stage
    failed: int


@dataclass(frozen=True)
class Warned:
    """Something the user should know, and that did not stop the run."""

    message: str


Event = StageStarted | Advanced | StageFinished | Warned
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""
