"""`simbench score`: score metrics on two arrays, or on two folders of arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from simbench.cli.options import ExceptOption, JsonOption, MemoryLimitOption, MetricOption
from simbench.errors import ExitCode, SimbenchError

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric, Score
    from simbench.representations.array_pairs import ArrayPair


class Scored(NamedTuple):
    """Score of one metric on one pair; `name` is the files' common name if folders are compared.

    `pair` is None if the files could not be read.
    """

    name: str | None
    metric: Metric
    score: Score
    seconds: float
    pair: ArrayPair | None


def command(
    a: Annotated[
        str, typer.Argument(metavar="A", help="npy, npz, pt, pth, safetensors (file:NAME), or a folder of them.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="As A; rows are the same inputs in the same order.")],
    metric: MetricOption = None,
    excluded: ExceptOption = None,
    spatial: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="What becomes of positions, as in arrays (inputs, channels, height, width): positions (the default; "
            "each input is read at one position, drawn at random), pool (features are averaged over positions), "
            "flatten (every feature at every position is a column), all (every position of every input is a row).",
        ),
    ] = None,
    layout: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYOUT",
            help="Which axis holds the features, where sizes do not tell it: channels_first, channels_last, or tokens "
            "(inputs, tokens, features); given twice, of A and of B.",
        ),
    ] = None,
    all_pairs: Annotated[
        bool,
        typer.Option(
            "--all-pairs",
            help="Score every layer of A against every layer of B: the files of two folders, or the arrays of two "
            "files. So are folders that have no files of the same name.",
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="With --all-pairs, draw a heat map: png, svg or pdf.", show_default=False
        ),
    ] = None,
    memory_limit: MemoryLimitOption = None,
    json: JsonOption = False,
) -> None:
    """Score metrics on two arrays, two folders of arrays, or all layers of two networks."""
    from simbench.cli.layer_matrix import scored_layers, show_layers
    from simbench.cli.output import print_json, stdout_reserved
    from simbench.metrics.resolve import without
    from simbench.representations.array_pairs import check_options
    from simbench.verdicts.verdict import LACKING

    with stdout_reserved(json):
        metrics = without(_metrics(metric), excluded or ())
        check_options(spatial, layout)
        if all_pairs or _have_no_common_names(a, b):
            matrices = scored_layers(a, b, metrics, spatial, layout, memory_limit, plot)
        elif plot is not None:
            raise SimbenchError("--plot draws the heat map of --all-pairs")
        else:
            matrices = None
        scored = [
            score
            for name, first, second in (_pairs(a, b) if matrices is None else ())
            for score in _score_or_reason(metrics, name, first, second, spatial, layout)
        ]
    if matrices is not None:
        print_json([matrix.to_dict() for matrix in matrices]) if json else show_layers(matrices)
        if any(score.status in LACKING for matrix in matrices for row in matrix.scores for score in row):
            raise typer.Exit(int(ExitCode.INCOMPLETE))
        return
    if json:
        print_json([_record(result) for result in scored])
    else:
        _show(scored)
    if any(result.score.status in LACKING for result in scored):
        raise typer.Exit(int(ExitCode.INCOMPLETE))


def _metrics(references: list[str] | None) -> list[Metric]:
    """Return the metrics asked for, or else the default metrics that need only two arrays."""
    from simbench.metrics.resolve import resolve_metrics
    from simbench.registry import METRICS

    if references:
        return resolve_metrics(references)
    return [metric for _, metric in METRICS if metric.default and not metric.needs]


def _have_no_common_names(a: str, b: str) -> bool:
    """Tell whether two folders hold arrays, and none under the same name; say so."""
    from simbench.cli.output import say
    from simbench.representations.array_files import array_files

    if not all(Path(folder).is_dir() for folder in (a, b)):
        return False
    first, second = array_files(Path(a)), array_files(Path(b))
    if not first or not second or not first.keys().isdisjoint(second):
        return False
    say(f"{a} and {b} have no files of the same name: all pairs of layers are scored (--all-pairs)", error=True)
    return True


def _pairs(a: str, b: str) -> list[tuple[str | None, str, str]]:
    """Return the pairs to compare: the two files, or the files of the same name in two folders."""
    from simbench.cli.output import say
    from simbench.representations.array_files import array_files

    folders = Path(a), Path(b)
    if not any(folder.is_dir() for folder in folders):
        return [(None, a, b)]
    for folder in folders:
        if not folder.is_dir():
            raise SimbenchError(f"{folder} is not a folder; give two files or two folders")
    first, second = (array_files(folder) for folder in folders)
    common = [name for name in first if name in second]
    if not common:
        raise SimbenchError(f"{a} and {b} have no array files with the same name")
    for name in sorted(set(first) ^ set(second)):
        say(f"left out: {name} is in {a if name in first else b} only", error=True)
    return [(name, str(first[name]), str(second[name])) for name in common]


def _score_or_reason(
    metrics: list[Metric], name: str | None, a: str, b: str, spatial: str | None, layout: list[str] | None
) -> list[Scored]:
    """Return the scores of a pair; of two folders, files that cannot be compared are errors of their own pair."""
    from simbench.metrics.metric import Score

    try:
        return _score(metrics, name, a, b, spatial, layout)
    except SimbenchError as error:
        if name is None:
            raise
        return [Scored(name, metric, Score.error(str(error)), 0.0, None) for metric in metrics]


def _score(
    metrics: list[Metric], name: str | None, a: str, b: str, spatial: str | None, layout: list[str] | None
) -> list[Scored]:
    from simbench.metrics.scoring import score_pairs
    from simbench.representations.array_files import load_array
    from simbench.representations.array_pairs import read_pair
    from simbench.timing import without_imports

    try:
        arrays = [load_array(reference) for reference in (a, b)]
        sequences = all("sequence" in metric.needs for metric in metrics)
        pair = read_pair(arrays, (a, b), spatial=spatial, layout=layout, sequences=sequences)
    except ValueError as error:
        raise SimbenchError(str(error)) from None
    rows = [len(side.activations) for side in pair.sides]
    if rows[0] != rows[1]:
        raise SimbenchError(f"{a} has {rows[0]} rows and {b} has {rows[1]}; rows have to be the same inputs")
    scored: list[Scored] = []
    for metric in metrics:
        with without_imports() as elapsed:
            score = score_pairs(metric, pair.sides, [(0, 1)])[0]
        scored.append(Scored(name, metric, score, elapsed.seconds, pair))
    return scored


def _record(result: Scored) -> dict[str, Any]:
    record: dict[str, Any] = {
        "metric": result.metric.label,
        "status": result.score.status,
        "value": result.score.value,
        "reason": result.score.reason,
        "seconds": round(result.seconds, 6),
    }
    if result.score.warnings:
        record["warnings"] = list(result.score.warnings)
    if result.score.auxiliary or result.score.standard_error is not None:
        record |= {"standard_error": result.score.standard_error, "auxiliary": dict(result.score.auxiliary)}
    if result.pair is not None and result.pair.spatial is not None:
        record |= {"spatial": result.pair.spatial, "layouts": list(result.pair.layouts)}
    return record if result.name is None else {"name": result.name, **record}


def _show(scored: list[Scored]) -> None:
    from rich.table import Table

    from simbench.cli.output import results_console
    from simbench.publish.visible_console import shown

    table = Table(box=None, pad_edge=False)
    named = any(result.name is not None for result in scored)
    for heading in (["name"] if named else []) + ["metric", "value", "seconds", ""]:
        table.add_column(heading, justify="right" if heading in ("value", "seconds") else "left")
    for result in scored:
        value = result.score.status if result.score.value is None else f"{result.score.value:.6g}"
        direction = "higher is more similar" if result.metric.higher_is_more_similar else "lower is more similar"
        auxiliary = [f"{name.replace('_', ' ')} {number:.4g}" for name, number in result.score.auxiliary.items()]
        error = result.score.standard_error
        spread = [] if error is None else [f"standard error {error:.4g}"]
        remark = result.score.reason or "; ".join((direction, *spread, *auxiliary, *result.score.warnings))
        cells = [result.metric.label, value, f"{result.seconds:.3f}", remark]
        table.add_row(*(shown(cell) for cell in ([result.name or ""] if named else []) + cells))
    console = results_console()
    console.print(table)
    for reading in dict.fromkeys(result.pair.reading for result in scored if result.pair is not None):
        if reading:
            console.print(shown(f"read {reading}"))
