"""`simbench run`: obtain the models of a suite, score every metric, print the leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from simbench.cli.options import (
    BaselineOption,
    Device,
    DeviceOption,
    EngineOption,
    ExceptOption,
    FailOn,
    FailOnOption,
    ForceOption,
    JobsOption,
    JsonOption,
    MemoryLimitOption,
    MetricOption,
    OnlyOption,
    StoreOption,
    SuiteArgument,
    SuiteMetricsOption,
    TimeLimitOption,
)

if TYPE_CHECKING:
    from simbench.board.board import Board


def command(
    suite: SuiteArgument,
    metric: MetricOption = None,
    suite_metrics: SuiteMetricsOption = True,
    excluded: ExceptOption = None,
    only: OnlyOption = None,
    device: DeviceOption = Device.auto,
    jobs: JobsOption = None,
    engine: EngineOption = "processes",
    force: ForceOption = False,
    fail_on: FailOnOption = FailOn.never,
    baseline: BaselineOption = None,
    store: StoreOption = None,
    memory_limit: MemoryLimitOption = None,
    time_limit: TimeLimitOption = None,
    json: JsonOption = False,
) -> None:
    """Score metrics against a suite; compute only what is missing."""
    import typer

    from simbench.cli.output import print_json, progress_console, results_console, stdout_reserved
    from simbench.cli.progress import listener
    from simbench.errors import ExitCode
    from simbench.registry import broken_plugins
    from simbench.run.session import run

    baseline_board = _baseline(baseline, fail_on, suite)
    progress = progress_console()
    with stdout_reserved(json), listener(progress) as listen:
        result = run(
            suite,
            metrics=metric or (),
            suite_metrics=suite_metrics,
            excluded=excluded or (),
            only=only or (),
            device=device.value,
            jobs=jobs,
            engine=engine,
            force=force,
            store=store,
            memory_limit=memory_limit,
            time_limit=time_limit,
            listener=listen,
        )
    for name, reason in broken_plugins.items():
        progress.print(f"warning: plugin {name} is broken: {reason}", markup=False, highlight=False)
    if json:
        print_json(result.to_dict())
    else:
        from simbench.publish.terminal import reasons, table

        console = results_console()
        console.print(table(result.board, width=console.width))
        console.print(reasons(result.board))
    progress.print(_done(result.work, result.seconds), markup=False, highlight=False, soft_wrap=True)
    written = "nothing: the store cannot be written" if result.path is None else result.path
    progress.print(f"written: {written}", markup=False, highlight=False, soft_wrap=True)
    code = result.exit_code(fail_on.value)
    for line in result.failures(fail_on.value):
        progress.print(f"failed: {line}", markup=False, highlight=False, soft_wrap=True)
    if baseline_board is not None:
        from simbench.board.comparison import worsened

        lines = worsened(baseline_board, result.board)
        for line in lines:
            progress.print(f"worse: {line}", markup=False, highlight=False, soft_wrap=True)
        if lines and fail_on is FailOn.worse and code is ExitCode.OK:
            code = ExitCode.VERDICT_FAILED
    raise typer.Exit(int(code))


def _baseline(path: Path | None, fail_on: FailOn, suite: str) -> Board | None:
    """Read the board of a saved run of this suite, and check it before anything is computed."""
    from simbench.errors import SimbenchError
    from simbench.suite.load import load_suite

    if path is None:
        if fail_on is FailOn.worse:
            raise SimbenchError("--fail-on worse needs --baseline FILE (`simbench run SUITE --json` writes one)")
        return None
    from simbench.board.comparison import check_same_tests
    from simbench.cli.source import recorded_board
    from simbench.grading import column_of

    board, loaded = recorded_board(str(path)), load_suite(suite)
    if f"{board.suite}@{board.version}" != loaded.title:
        raise SimbenchError(f"--baseline {path} is a run of {board.suite}@{board.version}, not of {loaded.title}")
    check_same_tests(board.tests, [column_of(test) for test in loaded.tests])
    if not board.rows:
        raise SimbenchError(f"--baseline {path} has no metrics: there is nothing to compare this run with")
    return board


def _done(work: object, seconds: float) -> str:
    """Return one line that says what was computed and what was cached."""
    from simbench.run.session import Work

    assert isinstance(work, Work)
    if work.trained == 0 and work.scored == 0:
        there = f"{work.models_cached} models and {work.scores_cached} scores were in the store"
        return f"nothing to do: {there} ({seconds:.1f} s)"
    return (
        f"trained {work.trained} models ({work.models_cached} cached), "
        f"took {work.scored} scores ({work.scores_cached} cached) in {seconds:.1f} s"
    )
