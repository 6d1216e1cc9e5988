"""Progress of a run on standard error: bars on a terminal, plain lines in a log file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simbench.run.events import Advanced, Computing, Event, Listener, Stage, StageFinished, StageStarted, Warned

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 5.0
LONGEST_DETAIL = 32
# Seconds without a line after which a heartbeat says what is computed.
SECONDS_BETWEEN_BEATS = 30.0
# A heartbeat names at most so many tasks.
LONGEST_BEAT = 4


@contextmanager
def listener(console: Console) -> Iterator[Listener]:
    """Yield a listener for the events of one run: bars if `console` is a terminal, lines otherwise."""
    if not console.is_terminal:
        lines = Lines(lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))
        with _beating(lines):
            yield lines
        return
    with _progress(console) as progress:
        bars = Bars(progress)
        with _beating(bars):
            yield bars


@contextmanager
def _beating(shown: Heart) -> Iterator[None]:
    """Let a thread of its own ask for a heartbeat every second: this one may wait for a worker, or be it."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(1.0):
            shown.beat()

    thread = threading.Thread(target=beat, daemon=True, name="simbench-heartbeat")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=5)


class Heart:
    """Heartbeat of a run: a line that says what is computed where nothing has been shown for a while."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """Start without tasks; `write` receives lines, `clock` returns seconds."""
        self._write_line = write
        self._clock = clock
        self._computing: dict[tuple[Stage, str], tuple[str, float]] = {}
        self._shown = clock()
        self._lock = threading.Lock()

    def hear(self, event: Event) -> None:
        """Note what an event says of the tasks under way."""
        with self._lock:
            match event:
                case Computing(stage, task, None):
                    self._computing.pop((stage, task), None)
                case Computing(stage, task, str(what)):
                    self._computing[stage, task] = what, self._clock()
                case StageFinished(stage, _):
                    for key in [key for key in self._computing if key[0] == stage]:
                        del self._computing[key]

    def show(self, line: str) -> None:
        """Write a line, so that no heartbeat is due for a while."""
        self._shown = self._clock()
        self._write_line(line)

    def beat(self) -> None:
        """Write what is computed, and for how long, if nothing has been written for a while."""
        with self._lock:
            now = self._clock()
            if not self._computing or now - self._shown < SECONDS_BETWEEN_BEATS:
                return
            (stage, _), *_ = self._computing
            named = [f"{what} ({_duration(now - since)})" for what, since in self._computing.values()]
        more = f", and {len(named) - LONGEST_BEAT} more" if len(named) > LONGEST_BEAT else ""
        self.show(f"{stage}: computing {', '.join(named[:LONGEST_BEAT])}{more}")


class Bars(Heart):
    """Listener that shows one bar per stage."""

    def __init__(self, progress: Progress) -> None:
        """Start without bars; `progress` shows them."""
        super().__init__(lambda line: progress.console.print(line, markup=False, highlight=False))
        self._progress = progress
        self._tasks: dict[Stage, TaskID] = {}

    def __call__(self, event: Event) -> None:
        """Show an event."""
        self.hear(event)
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


class Lines(Heart):
    """Listener that writes a line when a stage starts and ends, and at most one every few seconds in between."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """Start without stages; `write` receives lines, `clock` returns seconds."""
        super().__init__(write, clock)
        self._stages: dict[Stage, _StageProgress] = {}

    def __call__(self, event: Event) -> None:
        """Write a line if the event calls for one."""
        self.hear(event)
        now = self._clock()
        match event:
            case StageStarted(stage, total, cached):
                self._stages[stage] = _StageProgress(total, cached, now, now)
                self.show(f"{stage}: {total} to do, {cached} of them cached" if cached else f"{stage}: {total} to do")
            case Advanced(stage, units, detail) if stage in self._stages:
                progress = self._stages[stage]
                progress.done += units
                if now - progress.printed >= SECONDS_BETWEEN_LINES:
                    progress.printed = now
                    elapsed = _duration(now - progress.started)
                    self.show(f"{stage}: {progress.done:.0f}/{progress.total} {elapsed} {detail}".rstrip())
            case StageFinished(stage, failed) if stage in self._stages:
                elapsed = _duration(now - self._stages.pop(stage).started)
                self.show(f"{stage}: done in {elapsed}" + (f", {failed} failed" if failed else ""))
            case Warned(message):
                self.show(f"warning: {message}")


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
