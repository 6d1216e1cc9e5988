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
    """A listener for the events of one run, made for what `console` writes to."""
    if not console.is_terminal:
        yield Lines(lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))
        return
    with _progress(console) as progress:
        yield Bars(progress)


class Bars:
    """One bar per stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[Stage, TaskID] = {}

    def __call__(self, event: Event) -> None:
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
class _Tally:
    """How far a stage has come, and when that was last said."""

    total: int
    done: float
    started: float
    said: float


class Lines:
    """A line when a stage starts and ends, and at most one every few seconds between."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._tallies: dict[Stage, _Tally] = {}

    def __call__(self, event: Event) -> None:
        now = self._clock()
        match event:
            case StageStarted(stage, total, cached):
                self._tallies[stage] = _Tally(total, cached, now, now)
                self._write(f"{stage}: {total} to do, {cached} of them cached" if cached else f"{stage}: {total} to do")
            case Advanced(stage, units, detail) if stage in self._tallies:
                tally = self._tallies[stage]
                tally.done += units
                if now - tally.said >= SECONDS_BETWEEN_LINES:
                    tally.said = now
                    elapsed = _duration(now - tally.started)
                    self._write(f"{stage}: {tally.done:.0f}/{tally.total} {elapsed} {detail}".rstrip())
            case StageFinished(stage, failed) if stage in self._tallies:
                elapsed = _duration(now - self._tallies.pop(stage).started)
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
    """
    >>> _duration(9.87), _duration(75)
    ('9.9 s', '1:15')
    """
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
