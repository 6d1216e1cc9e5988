"""Progress suits what it is written to: bars on a terminal, few plain lines in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from simbench.cli.progress import SECONDS_BETWEEN_LINES, Bars, Lines, listener
from simbench.run.events import Advanced, Computing, StageFinished, StageStarted, Warned


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


def test_a_heartbeat_says_what_is_computed_where_nothing_else_is_said() -> None:
    written: list[str] = []
    clock = Clock()
    log = Lines(written.append, clock)
    log(StageStarted("scores", 100, 0))
    log(Computing("scores", "0", "cka, 40 scores"))
    clock.now = 10.0
    log(Computing("scores", "1", "mine, 60 scores"))
    written.clear()
    clock.now = 29.0
    log.beat()
    assert written == []
    clock.now = 85.0
    log.beat()
    log.beat()
    assert written == ["scores: computing cka, 40 scores (1:25), mine, 60 scores (1:15)"]
    log(Computing("scores", "0", None))
    clock.now = 116.0
    log.beat()
    assert written[1:] == ["scores: computing mine, 60 scores (1:46)"]
    log(StageFinished("scores", 0))
    clock.now = 1000.0
    log.beat()
    assert len(written) == 3


def test_a_line_of_progress_puts_the_heartbeat_off() -> None:
    written: list[str] = []
    clock = Clock()
    log = Lines(written.append, clock)
    log(StageStarted("models", 100, 0))
    log(Computing("models", "cnn/0", "cnn/0"))
    clock.now = 20.0
    log(Advanced("models", 1, "cnn/0"))
    clock.now = 45.0
    log.beat()
    assert written == ["models: 100 to do", "models: 1/100 20.0 s cnn/0"]


def test_many_tasks_are_counted_and_not_all_named() -> None:
    written: list[str] = []
    clock = Clock()
    log = Lines(written.append, clock)
    for task in range(6):
        log(Computing("models", str(task), f"cnn/{task}"))
    clock.now = 30.0
    log.beat()
    names = ", ".join(f"cnn/{task} (30.0 s)" for task in range(4))
    assert written == [f"models: computing {names}, and 2 more"]


def test_a_terminal_has_a_heartbeat_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simbench.cli.progress.SECONDS_BETWEEN_BEATS", 0.0)
    out = io.StringIO()
    with listener(Console(file=out, force_terminal=True, width=100)) as listen:
        listen(StageStarted("scores", 10, 0))
        listen(Computing("scores", "0", "my [bold] metric, 10 scores"))
        listen.beat()  # type: ignore[attr-defined]
    assert "scores: computing my [bold] metric, 10 scores" in out.getvalue()
