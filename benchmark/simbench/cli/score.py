"""`simbench score`: score metrics on two arrays, or on two folders of arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from simbench.cli.options import JsonOption, MetricOption
from simbench.errors import ExitCode, SimbenchError

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric, Score


class Scored(NamedTuple):
    """Score of one metric on one pair; `name` is the files' common name if folders are compared."""

    name: str | None
    metric: Metric
    score: Score
    seconds: float


def command(
    a: Annotated[
        str, typer.Argument(metavar="A", help="npy, npz, pt, pth, safetensors (file:NAME), or a folder of them.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="As A; rows are the same inputs in the same order.")],
    metric: MetricOption = None,
    json: JsonOption = False,
) -> None:
    """Score metrics on two arrays or two folders of arrays."""
    from simbench.cli.output import print_json, stdout_reserved

    with stdout_reserved(json):
        metrics = _metrics(metric)
        scored = [one for name, first, second in _pairs(a, b) for one in _score(metrics, name, first, second)]
    if json:
        print_json([_record(one) for one in scored])
    else:
        _show(scored)
    if any(one.score.status == "error" for one in scored):
        raise typer.Exit(int(ExitCode.INCOMPLETE))


def _metrics(references: list[str] | None) -> list[Metric]:
    """Return the metrics asked for, or else the default metrics that need only two arrays."""
    from simbench.metrics.resolve import resolve_metrics
    from simbench.registry import METRICS

    if references:
        return resolve_metrics(references)
    return [metric for _, metric in METRICS if metric.default and not metric.needs]


def _pairs(a: str, b: str) -> list[tuple[str | None, str, str]]:
    """Return the pairs to compare: the two files, or the files of the same name in two folders."""
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
        typer.echo(f"left out: {name} is in {a if name in first else b} only", err=True)
    return [(name, str(first[name]), str(second[name])) for name in common]


def _score(metrics: list[Metric], name: str | None, a: str, b: str) -> list[Scored]:
    from simbench.metrics.scoring import score_pairs
    from simbench.representations.array_files import load_array
    from simbench.representations.representation import Representation
    from simbench.timing import without_imports

    try:
        representations = [Representation.from_array(load_array(reference), reference) for reference in (a, b)]
    except ValueError as error:
        raise SimbenchError(str(error)) from None
    rows = [len(representation.activations) for representation in representations]
    if rows[0] != rows[1]:
        raise SimbenchError(f"{a} has {rows[0]} rows and {b} has {rows[1]}; rows have to be the same inputs")
    scored: list[Scored] = []
    for metric in metrics:
        with without_imports() as elapsed:
            score = score_pairs(metric, representations, [(0, 1)])[0]
        scored.append(Scored(name, metric, score, elapsed.seconds))
    return scored


def _record(one: Scored) -> dict[str, Any]:
    record: dict[str, Any] = {
        "metric": one.metric.label,
        "status": one.score.status,
        "value": one.score.value,
        "reason": one.score.reason,
        "seconds": round(one.seconds, 6),
    }
    if one.score.auxiliary:
        record |= {"standard_error": one.score.standard_error, "auxiliary": dict(one.score.auxiliary)}
    return record if one.name is None else {"name": one.name, **record}


def _show(scored: list[Scored]) -> None:
    from rich.table import Table
    from rich.text import Text

    from simbench.cli.output import results_console

    table = Table(box=None, pad_edge=False)
    named = any(one.name is not None for one in scored)
    for heading in (["name"] if named else []) + ["metric", "value", "seconds", ""]:
        table.add_column(heading, justify="right" if heading in ("value", "seconds") else "left")
    for one in scored:
        value = one.score.status if one.score.value is None else f"{one.score.value:.6g}"
        direction = "higher is more similar" if one.metric.higher_is_more_similar else "lower is more similar"
        auxiliary = [f"{name.replace('_', ' ')} {number:.4g}" for name, number in one.score.auxiliary.items()]
        remark = one.score.reason or "; ".join((direction, *auxiliary, *one.score.warnings))
        cells = [one.metric.label, value, f"{one.seconds:.3f}", remark]
        table.add_row(*(Text(cell) for cell in ([one.name or ""] if named else []) + cells))
    results_console().print(table)
