"""Options that several verbs share, each with one name, one meaning and one help text."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from simbench.errors import UnknownNameError


class Device(StrEnum):
    """Devices to compute on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class FailOn(StrEnum):
    """Verdicts for which the exit code is 1."""

    never = "never"
    fail = "fail"
    undecided = "undecided"
    worse = "worse"


def byte_size(text: str) -> int:
    """Parse `500MB`, `4GB` or a plain number of bytes; units are powers of 1024.

    >>> byte_size("4GB"), byte_size("1000")
    (4294967296, 1000)
    """
    match = re.fullmatch(r"(\d+)\s*([KMGT]?)i?B?", str(text).strip(), flags=re.IGNORECASE)
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter(f'"{text}" is not a size; give a number of bytes, such as 500MB or 4GB')
    return int(match[1]) << 10 * " KMGT".index(match[2].upper() or " ")


def engine_name(name: str) -> str:
    """Return the name of a registered engine; refuse any other with the nearest."""
    from simbench.registry import ENGINES  # pydantic takes longer to import than --help may

    try:
        ENGINES.get(name)
    except UnknownNameError as error:
        raise typer.BadParameter(str(error)) from None
    return name


SuiteArgument = Annotated[
    str,
    typer.Argument(
        metavar="SUITE", help="A bundled suite (`simbench list suites`) or a YAML file.", show_default=False
    ),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        "-m",
        metavar="METRIC",
        help="A name, all, family:CKA, file.py, file.py:attr or pkg.mod:attr, also with parameters: "
        "svcca(variance=0.9); repeatable.",
        show_default=False,
    ),
]
SuiteMetricsOption = Annotated[
    bool,
    typer.Option(
        "--suite-metrics/--no-suite-metrics",
        help="Take the suite's own metrics too, or only those given by --metric.",
        show_default=False,
    ),
]
ExceptOption = Annotated[
    list[str] | None,
    typer.Option(
        "--except",
        metavar="METRIC",
        help="Leave out a metric, by name or label, or all of a family, as family:CKA; repeatable.",
        show_default=False,
    ),
]
DropOption = Annotated[
    list[str] | None,
    typer.Option(
        "--drop",
        metavar="METRIC",
        help="Let this row of the board that stands in --out go; repeatable.",
        show_default=False,
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="TEST", help="Only this test of the suite; repeatable.", show_default=False),
]
DeviceOption = Annotated[
    Device,
    typer.Option("--device", metavar="auto|cpu|cuda", help="Device to compute on; auto takes a GPU if there is one."),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", min=1, metavar="N", help="Worker processes [default: one per core].", show_default=False
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        parser=engine_name,
        help="`processes`: worker processes; `serial`: everything in this one; or an engine of a plugin.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Compute scores again that the store already has.")]
FailOnOption = Annotated[
    FailOn,
    typer.Option(
        "--fail-on",
        metavar="never|fail|undecided|worse",
        help="`fail`: exit 1 if any metric fails a test that it owes, or a test grades no metric; `undecided`: also if "
        "such a verdict is undecided or answered in part; `worse`: if one does not pass a test that it passed in the "
        "--baseline.",
    ),
]
BaselineOption = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        metavar="FILE",
        help="A saved run (`simbench run SUITE --json > FILE`) to compare this one with.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else there.")
]
MemoryLimitOption = Annotated[
    int | None,
    typer.Option(
        "--memory-limit",
        metavar="BYTES",
        parser=byte_size,
        help="Memory for the metrics of one worker, besides the representations: 500MB or 4GB [default: 2GB].",
        show_default=False,
    ),
]
TimeLimitOption = Annotated[
    float | None,
    typer.Option(
        "--time-limit",
        metavar="SECONDS",
        min=0.001,
        help="Stop a block of scores of one metric after so many seconds; its scores are timeouts, which the next run "
        "tries again [default: six hours].",
        show_default=False,
    ),
]
StoreOption = Annotated[
    Path | None,
    # Whether it can be read is for the store to say, as one line and with its exit code.
    typer.Option(
        "--store",
        metavar="FOLDER",
        readable=False,
        help="Folder of models, representations and scores.",
        show_default=False,
    ),
]
