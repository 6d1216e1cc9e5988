"""`simbench run`: obtain what a suite needs, score every metric, print the leaderboard."""

from __future__ import annotations

from simbench.cli.options import (
    Device,
    DeviceOption,
    Engine,
    EngineOption,
    FailOn,
    FailOnOption,
    ForceOption,
    JobsOption,
    JsonOption,
    MetricOption,
    OnlyOption,
    StoreOption,
    SuiteArgument,
)


def command(
    suite: SuiteArgument,
    metric: MetricOption = None,
    only: OnlyOption = None,
    device: DeviceOption = Device.auto,
    jobs: JobsOption = None,
    engine: EngineOption = Engine.processes,
    force: ForceOption = False,
    fail_on: FailOnOption = FailOn.never,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Score metrics against a suite; computes only what is missing."""
    import typer

    from simbench.cli.output import print_json, progress_console, results_console, stdout_reserved
    from simbench.cli.progress import listener
    from simbench.registry import broken_plugins
    from simbench.run.session import run

    progress = progress_console()
    with stdout_reserved(json), listener(progress) as listen:
        result = run(
            suite,
            metrics=metric or (),
            only=only or (),
            device=device.value,
            jobs=jobs,
            engine=engine.value,
            force=force,
            store=store,
            listener=listen,
        )
    for name, reason in broken_plugins.items():
        progress.print(f"warning: plugin {name} is broken: {reason}", markup=False, highlight=False)
    if json:
        print_json(result.to_dict())
    else:
        from simbench.leaderboard.terminal import reasons, table

        console = results_console()
        console.print(table(result.board, width=console.width))
        console.print(reasons(result.board))
    progress.print(_done(result.work, result.seconds), markup=False, highlight=False, soft_wrap=True)
    progress.print(f"written: {result.path}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(int(result.exit_code(fail_on.value)))


def _done(work: object, seconds: float) -> str:
    """One line: what was computed and what was there already."""
    from simbench.run.session import Work

    assert isinstance(work, Work)
    if work.trained == 0 and work.scored == 0:
        there = f"{work.models_cached} models and {work.scores_cached} scores were in the store"
        return f"nothing to do: {there} ({seconds:.1f} s)"
    return (
        f"trained {work.trained} models ({work.models_cached} cached), "
        f"took {work.scored} scores ({work.scores_cached} cached) in {seconds:.1f} s"
    )
