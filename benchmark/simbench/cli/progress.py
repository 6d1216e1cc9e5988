"""Progress of a run on standard error: bars on a terminal, plain lines in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simbench.run.events import Advanced, Event, Listener, Stage, StageFinished, StageStarted, Warned

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 5.0
LONGEST_DETAIL = 32


@contextmanager
def listener(console: Console) -> Iterator[Listener]:
    """Yield a listener for the events of one run: bars if `console` is a terminal, lines otherwise."""
    if not console.is_terminal:
        yield Lines(lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))
        return
    with _progress(console) as progress:
        yield Bars(progress)


class Bars:
    """Listener that shows one bar per stage."""

    def __init__(self, progress: Progress) -> None:
        """Start without bars; `progress` shows them."""
        self._progress = progress
        self._tasks: dict[Stage, TaskID] = {}

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case StageStarted(stage, total, cached):
                detail = f"{cached} cached" if cached else ""
                self._tasks[stage] = self._progress.add_task(stage, total=total, completed=cached, detail=detail)
            case Advanced(stage, units, detail) if stage in self._tasks:
                self._progress.update(self._tasks[stage], advance=units, detail=detail[:LONGEST_DETAIL])
            case StageFinished(stage, failed) if stage in self._tasks:
                self._progress.update(self._tasks[stage], detail=f"{failed} failed" if failed else "done")
                self._progress.stop_task(self._tasks[stage])
            case Warned(message):
                self._progress.console.print(f"warning: {message}", markup=False, highlight=False, style="yellow")


@dataclass
class _StageProgress:
    """Progress of a stage, and the time when it was last printed."""

    total: int
    done: float
    started: float
    printed: float


class Lines:
    """Listener that writes a line when a stage starts and ends, and at most one every few seconds in between."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """Start without stages; `write` receives lines, `clock` returns seconds."""
        self._write = write
        self._clock = clock
        self._stages: dict[Stage, _StageProgress] = {}

    def __call__(self, event: Event) -> None:
        """Write a line if the event calls for one."""
        now = self._clock()
        match event:
            case StageStarted(stage, total, cached):
                self._stages[stage] = _StageProgress(total, cached, now, now)
                self._write(f"{stage}: {total} to do, {cached} of them cached" if cached else f"{stage}: {total} to do")
            case Advanced(stage, units, detail) if stage in self._stages:
                progress = self._stages[stage]
                progress.done += units
                if now - progress.printed >= SECONDS_BETWEEN_LINES:
                    progress.printed = now
                    elapsed = _duration(now - progress.started)
                    self._write(f"{stage}: {progress.done:.0f}/{progress.total} {elapsed} {detail}".rstrip())
            case StageFinished(stage, failed) if stage in self._stages:
                elapsed = _duration(now - self._stages.pop(stage).started)
                self._write(f"{stage}: done in {elapsed}" + (f", {failed} failed" if failed else ""))
            case Warned(message):
                self._write(f"warning: {message}")


def _progress(console: Console) -> Progress:
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description:<15}"),
        progress.BarColumn(bar_width=None),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[detail]}", markup=False),
        console=console,
        expand=True,
    )


def _duration(seconds: float) -> str:
    """Return a duration as text.

    >>> _duration(9.87), _duration(75)
    ('9.9 s', '1:15')
    """
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
