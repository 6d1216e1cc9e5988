"""`simbench verify`: check the claims of a bundle, level by level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simbench.cli.options import EngineOption, JobsOption, JsonOption, StoreOption


def command(
    bundle: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE_OR_FOLDER", help="A bundle, or a published folder.", show_default=False),
    ],
    rescore: Annotated[
        bool,
        typer.Option("--rescore", help="Compute a part of the scores again, on models of the store or the bundle."),
    ] = False,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Compute a part of the scores again, on models trained here from scratch.")
    ] = False,
    sample: Annotated[
        float, typer.Option("--sample", metavar="SHARE", help="The share of each metric's scores to compute again.")
    ] = 0.1,
    decisive: Annotated[
        bool,
        typer.Option(
            "--decisive/--no-decisive",
            help="Besides the sample, compute all scores again that alone could turn a verdict [default: --decisive].",
            show_default=False,
        ),
    ] = True,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Seed of the sample [default: unpredictable].", show_default=False),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            "-m",
            metavar="METRIC",
            help="Code of a metric of the bundle that you have read and trust: file.py or pkg.mod; repeatable.",
            show_default=False,
        ),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--files",
            metavar="FOLDER",
            help="Where files of activations or weights are that the bundle knows by their hashes; repeatable.",
            show_default=False,
        ),
    ] = None,
    jobs: JobsOption = None,
    engine: EngineOption = "processes",
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Check a bundle: checksums, keys, grades, standing and, if asked to, scores; run no code of the bundle."""
    from simbench.cli.output import print_json, progress_console, say, stdout_reserved
    from simbench.cli.progress import listener
    from simbench.verify.report import lines
    from simbench.verify.verification import verify

    with stdout_reserved(json), listener(progress_console()) as listen:
        report = verify(
            bundle,
            rescore=rescore,
            retrain=retrain,
            sample=sample,
            decisive=decisive,
            seed=seed,
            store=store,
            metrics=metric or (),
            jobs=jobs,
            engine=engine,
            listener=listen,
            files=files or (),
        )
    if json:
        print_json(report.to_dict())
    else:
        say(*lines(report))
    raise typer.Exit(int(report.exit_code))
