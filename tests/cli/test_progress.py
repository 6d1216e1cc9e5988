"""Progress suits what it is written to: bars on a terminal, few plain lines in a log."""

from __future__ import annotations

import io

from rich.console import Console

from simbench.cli.progress import SECONDS_BETWEEN_LINES, Bars, Lines, listener
from simbench.run.events import Advanced, StageFinished, StageStarted, Warned


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self):
        return self.now


def test_a_log_gets_a_line_when_a_stage_starts_and_when_it_ends():
    lines: list[str] = []
    clock = Clock()
    log = Lines(lines.append, clock)
    log(StageStarted("models", 60, 20))
    clock.now = 75.0
    log(StageFinished("models", 2))
    assert lines == ["models: 60 to do, 20 of them cached", "models: done in 1:15, 2 failed"]


def test_a_log_gets_at_most_one_line_every_few_seconds():
    lines: list[str] = []
    clock = Clock()
    log = Lines(lines.append, clock)
    log(StageStarted("scores", 1000, 0))
    for _ in range(1000):
        clock.now += SECONDS_BETWEEN_LINES / 64
        log(Advanced("scores", 1, "cka"))
    assert len(lines) == 1 + 1000 // 64
    assert lines[1] == "scores: 64/1000 5.0 s cka"


def test_warnings_are_written_at_once():
    lines: list[str] = []
    Lines(lines.append)(Warned("a checkpoint was damaged"))
    assert lines == ["warning: a checkpoint was damaged"]


def test_a_file_gets_plain_lines():
    out = io.StringIO()
    with listener(Console(file=out)) as listen:
        listen(StageStarted("models", 3, 0))
        listen(Advanced("models", 3, "cnn/[bold]0"))
        listen(StageFinished("models", 0))
    assert out.getvalue().startswith("models: 3 to do\nmodels: done in ")
    assert "\x1b" not in out.getvalue()


def test_a_terminal_gets_bars():
    out = io.StringIO()
    with listener(Console(file=out, force_terminal=True, width=100)) as listen:
        assert isinstance(listen, Bars)
        listen(StageStarted("scores", 10, 4))
        listen(Advanced("scores", 6, "cka"))
        listen(StageFinished("scores", 0))
    assert "10/10" in out.getvalue()


def test_an_event_of_a_stage_that_never_started_is_ignored():
    Lines(print)(Advanced("scores", 1))
