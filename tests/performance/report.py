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
from measuring import Row, Setting, Timing, exponent, measured, together
from peers import available

from simbench.metrics.metric import Metric
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.results.provenance import cpu_name

COLUMNS = (
    *("metric", "all pairs, s", "memory, MiB", "loop, s", "×", "difference"),
    *("package", "s", "×", "difference", "floor, s", "× floor"),
)
GROWTH = ("cka", "cca", "nbs", "procrustes", "rsa", "mutual_knn", "distance_correlation", "cka_rbf", "soft_matching")
COUNTS = (10, 20, 40)
ROWS = (500, 1000, 2000, 4000, 8000)
GROWTH_FEATURES = 32
GROWTH_REPRESENTATIONS = 6
GROWTH_ROWS = 500


def document(setting: Setting, names: Sequence[str] | None, *, peers: bool, growth: bool) -> Iterator[str]:
    """Heading, conditions, the table of metrics, families together and, if asked for, growth."""
    torch.set_num_threads(setting.threads)
    found, missing = available() if peers else ([], [])
    metrics = [METRICS.get(name) for name in names] if names else fast_doors()
    yield from _heading(setting, [] if peers else ["no packages were asked for"], missing)
    yield _cells(COLUMNS)
    yield _cells(["---" if name in ("metric", "package") else "---:" for name in COLUMNS])
    sides, rows = setting.sides(), []
    for metric in metrics:
        rows.append(measured(metric, sides, setting, found))
        yield from _lines(rows[-1])
    yield ""
    yield from _summary(rows)
    if names is None:
        yield from _families(metrics, setting)
    if growth:
        yield from _growth([METRICS.get(name) for name in GROWTH], setting)
    yield f"Load average at the end: {os.getloadavg()[0]:.1f}."


def fast_doors() -> list[Metric]:
    """All metrics on matrices that have a fast door and train nothing."""
    return [m for _, m in METRICS if m.compare_many is not None and not m.needs and m.cost == "light"]


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
    ours = [row.name, f"{row.seconds:.2f}", f"{row.memory / 2**20:.0f}" if row.memory is not None else "–"]
    loop = [*_timing(row.loop, row.seconds)]
    floor = [f"{row.floor:.2f}", f"{row.seconds / row.floor:.1f}"] if row.floor else ["–", "–"]
    first, *others = sorted(row.peers.items(), key=lambda item: item[1].seconds) or [("–", None)]
    yield _cells([*ours, *loop, first[0], *_timing(first[1], row.seconds), *floor])
    for name, timing in others:
        yield _cells([*[""] * 6, name, *_timing(timing, row.seconds), "", ""])


def _timing(timing: Timing | None, ours: float) -> list[str]:
    if timing is None:
        return ["–"] * 3
    sign = "≈ " if timing.scaled else ""
    return [f"{sign}{timing.seconds:.2f}", f"{timing.seconds / ours:.1f}", f"{timing.difference:.0e}"]


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _summary(rows: Sequence[Row]) -> Iterator[str]:
    loops = [row.loop.seconds / row.seconds for row in rows]
    best = {row.name: min(t.seconds for t in row.peers.values()) / row.seconds for row in rows if row.peers}
    floors = {row.name: row.seconds / row.floor for row in rows if row.floor}
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
        by_count = [_ours(metric, replace(small, representations=count)) for count in COUNTS]
        by_rows = [_ours(metric, replace(small, rows=rows)) for rows in ROWS]
        cells = [[f"{one:.2f}" for one in times] for times in (by_count, by_rows)]
        powers = f"{exponent(COUNTS, by_count):.1f}", f"{exponent(ROWS, by_rows):.1f}"
        yield _cells([metric.name, *cells[0], powers[0], *cells[1], powers[1]])
    yield ""


def _ours(metric: Metric, setting: Setting) -> float:
    sides = setting.sides()
    pairs = [(a, b) for a in range(len(sides)) for b in range(len(sides))]
    return setting.timed(lambda: score_pairs(metric, sides, pairs))[1]


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
