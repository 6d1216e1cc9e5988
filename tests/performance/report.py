"""The benchmark as a Markdown document, line by line as it is measured."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median

import torch
from measuring import Row, Setting, Timing, all_pairs, exponent, measured, sides_for, together
from peers import available

from simbench.metrics.metric import Metric
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.results.provenance import cpu_name

COLUMNS = (
    *("metric", "all pairs, s", "memory, MiB", "loop, s", "×", "difference"),
    *("package", "s", "×", "difference", "floor, s", "× floor"),
)
QUICK = 15.0
"""Seconds: metrics that take longer are not measured again, with their family or for their growth."""
LONGEST = 8.0
"""Seconds: after a step of growth that took longer, the next ones are left out."""
COUNTS = (10, 20, 40)
ROWS = (500, 1000, 2000, 4000, 8000)
GROWTH_FEATURES = 32
GROWTH_REPRESENTATIONS = 6
GROWTH_ROWS = 500


def document(setting: Setting, names: Sequence[str] | None, *, peers: bool, growth: bool) -> Iterator[str]:
    """Heading, conditions, the table of metrics, families together and, if asked for, growth."""
    torch.set_num_threads(setting.threads)
    found, missing = available() if peers else ([], [])
    metrics = [METRICS.get(name) for name in names] if names else [metric for _, metric in METRICS]
    yield from _heading(setting, [] if peers else ["no packages were asked for"], missing)
    yield _cells(COLUMNS)
    yield _cells(["---" if name in ("metric", "package") else "---:" for name in COLUMNS])
    rows = []
    for metric in metrics:
        rows.append(measured(metric, setting, found))
        yield from _lines(rows[-1])
    yield ""
    yield from _summary(rows)
    quick = [metric for metric, row in zip(metrics, rows, strict=True) if row.ours.seconds < QUICK]
    if names is None:
        yield from _families([metric for metric in quick if not metric.takes_representations], setting)
    if growth:
        yield from _growth(quick, setting)
    yield f"Load average at the end: {os.getloadavg()[0]:.1f}."


def _heading(setting: Setting, *remarks: list[str]) -> Iterator[str]:
    unit = "CPU seconds" if setting.threads == 1 else "seconds"
    pairs = setting.representations**2
    yield "# How fast"
    yield ""
    yield f"`python {' '.join(sys.argv)}`"
    yield ""
    yield (
        f"{setting.representations} representations of {setting.rows} × {setting.features} {setting.dtype}, "
        f"{pairs} ordered pairs; {unit}, {setting.threads} thread(s). {cpu_name()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, torch {torch.__version__}; {datetime.now(UTC):%Y-%m-%d}, load average "
        f"{os.getloadavg()[0]:.1f} at the start."
    )
    yield ""
    yield (
        "× is how many times as long as ours the other takes, the difference the largest one in value; ≈ is scaled up "
        "from a part of the pairs; the floor is the products and decompositions alone that nothing is known to do "
        "without. Memory is what the process grew by at most."
    )
    yield ""
    for remark in [line for lines in remarks for line in lines]:
        yield f"* {remark}"
    yield ""


def _lines(row: Row) -> Iterator[str]:
    ours = [row.name, _seconds(row.ours), f"{row.memory / 2**20:.0f}" if row.memory is not None else "–"]
    loop = [*_timing(row.loop, row.ours.seconds)]
    floor = [f"{row.floor:.2f}", f"{row.ours.seconds / row.floor:.1f}"] if row.floor else ["–", "–"]
    first, *others = sorted(row.peers.items(), key=lambda item: item[1].seconds) or [("–", None)]
    yield _cells([*ours, *loop, first[0], *_timing(first[1], row.ours.seconds), *floor])
    for name, timing in others:
        yield _cells([*[""] * 6, name, *_timing(timing, row.ours.seconds), "", ""])


def _timing(timing: Timing | None, ours: float) -> list[str]:
    if timing is None:
        return ["–"] * 3
    return [_seconds(timing), f"{timing.seconds / ours:.1f}", f"{timing.difference:.0e}"]


def _seconds(timing: Timing) -> str:
    return f"{'≈ ' if timing.scaled else ''}{timing.seconds:.2f}"


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _summary(rows: Sequence[Row]) -> Iterator[str]:
    loops = [row.loop.seconds / row.ours.seconds for row in rows]
    best = {row.name: min(t.seconds for t in row.peers.values()) / row.ours.seconds for row in rows if row.peers}
    floors = {row.name: row.ours.seconds / row.floor for row in rows if row.floor}
    yield f"Loops take {min(loops):.1f} to {max(loops):.1f} times as long (median {median(loops):.1f})."
    if best:
        slower = [name for name, ratio in best.items() if ratio < 1]
        yield (
            f"The fastest package takes {min(best.values()):.1f} to {max(best.values()):.1f} times as long (median "
            f"{median(best.values()):.1f}); faster than ours: {', '.join(slower) or 'none'}."
        )
    if floors:
        above = [name for name, ratio in floors.items() if ratio > 2]
        yield f"More than twice the floor: {', '.join(above) or 'none'}."
    yield ""


def _families(metrics: Sequence[Metric], setting: Setting) -> Iterator[str]:
    yield "## What metrics of a family share"
    yield ""
    yield "| family | metrics | one by one, s | together, s | × |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    families: dict[str, list[Metric]] = {}
    for metric in metrics:
        families.setdefault(metric.family, []).append(metric)
    for family, members in families.items():
        if len(members) > 1:
            apart, jointly, _ = together(members, setting)
            yield _cells([family, str(len(members)), f"{apart:.2f}", f"{jointly:.2f}", f"{apart / jointly:.1f}"])
    yield ""


def _growth(metrics: Sequence[Metric], setting: Setting) -> Iterator[str]:
    yield "## How it grows"
    yield ""
    yield (
        f"Exponents of a straight line through logarithms: in the number of representations ({_list(COUNTS)}, of "
        f"{GROWTH_ROWS} rows) and of rows ({_list(ROWS)}, {GROWTH_REPRESENTATIONS} representations), {GROWTH_FEATURES} "
        "features."
    )
    yield ""
    yield _cells(["metric", *(f"R = {count}, s" for count in COUNTS), "R^", *(f"n = {n}, s" for n in ROWS), "n^"])
    yield _cells(["---", *["---:"] * (len(COUNTS) + len(ROWS) + 2)])
    small = replace(setting, features=GROWTH_FEATURES, rows=GROWTH_ROWS, representations=GROWTH_REPRESENTATIONS)
    for metric in metrics:
        settings = [replace(small, representations=count) for count in COUNTS], [replace(small, rows=n) for n in ROWS]
        cells = []
        for sizes, steps in zip((COUNTS, ROWS), settings, strict=True):
            times = list(_until_too_long(metric, steps))
            power = f"{exponent(sizes[: len(times)], times):.1f}" if len(times) > 2 else "–"
            cells += [*(f"{seconds:.2g}" for seconds in times), *["–"] * (len(sizes) - len(times)), power]
        yield _cells([metric.name, *cells])
    yield ""


def _until_too_long(metric: Metric, settings: Sequence[Setting]) -> Iterator[float]:
    """Seconds for all pairs, setting by setting."""
    for setting in settings:
        sides = sides_for(metric, setting)
        _, seconds = setting.timed(lambda sides=sides: score_pairs(metric, sides, all_pairs(sides)))
        yield seconds
        if seconds > LONGEST:
            return


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
