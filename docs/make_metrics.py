"""Writes docs/metrics.md, the table of all metrics, from what they declare and what was measured of them.

python docs/make_metrics.py                     # the table, from the declarations and measured.json
python docs/make_metrics.py --measure           # measures first what has no figures at its present version (minutes)
python docs/make_metrics.py --measure cka nbs   # measures these anew
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from simbench.catalogue.measured import FILE, Measured, measured, measured_of
from simbench.catalogue.metric_facts import direction_and_range, invariance_codes, metric_facts
from simbench.files import write_text
from simbench.metrics.metric import Metric
from simbench.registry import METRICS

TABLE = Path(__file__).with_name("metrics.md")
HEAD = """# Every metric

Written by `python docs/make_metrics.py` from what the metrics declare (`simbench describe NAME`) and what
`simbench check NAME` measures. ↑ higher is more similar, ↓ lower is. X and Y are matrices with a row per input; a tilde
is a centred one; ‖·‖ is the Frobenius norm, ‖·‖∗ the sum of singular values.

Purpose: what the index is made to answer, within which it stands on a leaderboard. ∦: does not pair inputs.

Invariant to, on either side: PT permutation of the features, OT orthogonal maps, IS isotropic scaling, TR translation,
DS scaling of single features, ILT invertible linear maps, AF affine maps. All that is declared was measured, and
nothing else holds on all inputs of the kit: random, of low rank, wide, with duplicated, dead and shared units, in
single precision. Triangle inequality: yes where it is declared, and held on 360 triples made to break it.

*Null*: mean value of independent normal matrices of 100 rows and 20 features. *Cost*: CPU time of one of the 15 pairs
of six matrices of 500 rows and 32 features, scored together, in one thread. A dash: gives no value there.
"""
COLUMNS = ("id", "purpose", "formula", "range", "symmetric", "triangle", "invariant to", "null", "cost", "reference")


def built_in() -> list[Metric]:
    """The metrics that come with simbench, in the order of registration."""
    return [metric for _, metric in METRICS if metric.origin.module.startswith("simbench.metrics.")]


def table() -> str:
    """The whole of docs/metrics.md."""
    families: dict[str, list[Metric]] = defaultdict(list)
    for metric in built_in():
        families[metric.family].append(metric)
    return HEAD + "".join(f"\n## {family}\n\n{_table(metrics)}" for family, metrics in families.items())


def _table(metrics: list[Metric]) -> str:
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(_row(metric) for metric in metrics)]
    lines = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    return lines + "\n" + "".join(f"* `{metric.name}`: {metric.summary}\n" for metric in metrics)


def _row(metric: Metric) -> tuple[str, ...]:
    figures = measured_of(metric)
    triangle = "yes" if metric.triangle_inequality else "no"
    cells = (
        f"`{metric.name}`",
        ", ".join(metric.serves) + ("" if metric.pairs_inputs else " ∦"),
        metric.formula,
        direction_and_range(metric_facts(metric)),
        "yes" if metric.symmetric else "directed",
        "" if metric.higher_is_more_similar else triangle,
        invariance_codes(metric.invariant_to),
        f"{figures.null:.3g}" if figures and figures.null is not None else "–",
        figures.cost if figures and figures.cost else "–",
        metric.reference,
    )
    return tuple(cell.replace("|", "\\|") for cell in cells)


def measure_again(names: list[str]) -> None:
    """Measure the metrics called `names`, or those without figures, one by one; keep measured.json after each."""
    from simbench.testing.measurement import measure

    by_name = {metric.name: entry for metric in built_in() if (entry := measured_of(metric)) is not None}
    for name in names or [metric.name for metric in built_in() if metric.name not in by_name]:
        by_name[name] = measure(METRICS.get(name))
        print(name, by_name[name].cost, flush=True)
        _keep([by_name[metric.name] for metric in built_in() if metric.name in by_name])
    measured.cache_clear()


def _keep(entries: list[Measured]) -> None:
    """One entry a line, so that a change of one is a change of one line."""
    lines = ",\n".join(json.dumps(asdict(entry), ensure_ascii=False) for entry in entries)
    write_text(FILE, f'{{"metrics": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    if "--measure" in sys.argv[1:]:
        measure_again([name for name in sys.argv[1:] if name != "--measure"])
    write_text(TABLE, table())
    print(TABLE)
