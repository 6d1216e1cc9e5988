"""Time the grading of one metric by the kinds that compare pairs of models: what scores cost after they are there.

    python tests/performance/grading.py [--models 300] [--kind NAME]… [--against FOLDER] [--limit 300] [--memory 6]

No network is trained and nothing is scored: records are made up, of models that are points in a space. Each kind is
planned and graded in a process of its own, in one thread; CPU seconds, and the memory that the process had at most.
`--against` is the `benchmark` folder of another checkout, which is timed in the same run, on the same records; × is how
many times as long it takes, and the difference the largest one in any figure of the verdict. What takes longer than
`--limit` seconds or more than `--memory` GiB is given up, and said so.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

OURS = Path(__file__).parents[2] / "benchmark"
# Per kind: the metric, the number of groups that the models are in, and the settings of the test.
KINDS: dict[str, tuple[str, int, str]] = {
    "correspondence": ("cka", 1, "pairs: ring"),
    "output_correlation": ("cka", 1, "against: [accuracy_difference, jensen_shannon, disagreement]"),
    "closeness": ("cka", 1, ""),
    "group_separation": ("cka", 3, ""),
    "upper_bound": ("identifiability_fg", 1, "classes: []"),
    "identity": ("cka", 1, ""),
    "layer_monotonicity": ("cka", 1, ""),
    "probe_correlation": ("cka", 1, "layers: 4"),
}
HEADINGS = ("kind", "models", "comparisons", "plan, s", "grade, s", "memory, MiB")


def suite_of(kind: str, models: int) -> str:
    """Return a suite of one test on so many models."""
    metric, groups, settings = KINDS[kind]
    lines = [
        "suite: cost",
        "version: 1",
        "probe: {dataset: mnist1d, inputs: 100}",
        "models:",
    ]
    for group in range(groups):
        seeds = list(range(models // groups))
        recipe = f"train: {{dataset: mnist1d, epochs: 1, label_noise: {group / 10}}}"
        lines.append(f"  net{group}: {{architecture: {{name: conv1d, width: 8, depth: 6}}, {recipe}, seeds: {seeds}}}")
    names = ", ".join(f"net{group}" for group in range(groups))
    lines += [f"metrics: [{metric}]", "tests:"]
    lines.append(f"  - {{id: test, kind: {kind}, models: [{names}]{', ' if settings else ''}{settings}}}")
    return "\n".join(lines) + "\n"


def made_up_records(plan: Any) -> dict[str, dict[str, Any]]:
    """Return a record for every score of a plan: models are points, and layers lie along a line."""
    import numpy as np

    from simbench.results.record import ScoreRecord

    models = sorted(
        {side.model for one in plan.metrics for pair in one.scores.values() for side in (pair.a, pair.b)}, key=str
    )
    random = np.random.default_rng(0)
    places = {model: random.normal(size=3) + int(model.group[-1]) for model in models}
    layers = {layer: number for group in plan.groups.values() for number, layer in enumerate(group.layers)}
    records: dict[str, dict[str, Any]] = {}
    for planned in plan.metrics:
        metric, made = planned.metric, {}
        for key, pair in planned.scores.items():
            apart = math.dist(places[pair.a.model], places[pair.b.model])
            apart += 0.3 * abs(layers.get(pair.a.layer, 0) - layers.get(pair.b.layer, 0))
            apart += 10.0 if pair.a.transform is not None else 0.0  # shuffled rows
            apart += 0.0 if pair.a == pair.b else 0.3 * crc32(f"{pair.a} {pair.b}".encode()) / 2**32
            made[key] = ScoreRecord.model_construct(
                key=key, metric=metric.identity, parameters={}, a="", b="", a_key="", b_key="", status="ok",
                value=math.exp(-apart) if metric.higher_is_more_similar else apart, reason=None, standard_error=None,
                tiebreak=None, warnings=(), auxiliary={}, seconds=0.0, suite="cost", provenance="",
            )  # fmt: skip
        records[metric.label] = made
    return records


def measure(kind: str, models: int) -> dict[str, Any]:
    """Plan and grade once; return what it took and the verdict."""
    from tempfile import TemporaryDirectory

    from simbench.grading import grade
    from simbench.run.session import prepare

    with TemporaryDirectory() as folder:
        path = Path(folder) / "suite.yaml"
        path.write_text(suite_of(kind, models))
        times = [time.process_time()]
        plan = prepare(str(path))
        times.append(time.process_time())
        records = made_up_records(plan)
        times.append(time.process_time())
        (ranked,) = grade(plan, records, {}).rows
        times.append(time.process_time())
    verdict = ranked.row.verdicts["test"]
    return {
        "comparisons": sum(len(planned.scores) for planned in plan.metrics),
        "plan": times[1] - times[0],
        "grade": times[3] - times[2],
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "figures": {"grade": verdict.grade, **verdict.auxiliary, **verdict.without},
    }


def measured_by(code: Path, kind: str, given: argparse.Namespace) -> dict[str, Any] | str:
    """Measure in a process of its own that runs this code; return why there is no measurement, where there is none."""
    command = [sys.executable, __file__, "--models", str(given.models), "--kind", kind, "--alone"]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (int(given.memory * 2**30),) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (given.limit, given.limit + 1))

    environment = os.environ | threads | {"PYTHONPATH": str(code)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, preexec_fn=bound, check=False)
    if done.returncode == -signal.SIGXCPU:
        return f"> {given.limit} s"
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return f"> {given.memory:g} GiB" if "MemoryError" in done.stderr else lines[-1] if lines else "killed"
    measurement: dict[str, Any] = json.loads(done.stdout)
    return measurement


def largest_difference(ours: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return the largest difference between two verdicts: in grade, auxiliary figures, or grade without a model."""
    both = [(ours[name], other[name]) for name in ours.keys() & other.keys()]
    return max((abs(a - b) for a, b in both if a != b and not math.isnan(a - b)), default=0.0)


def row(kind: str, given: argparse.Namespace) -> list[str]:
    """Return one line of the table."""
    ours = measured_by(OURS, kind, given)
    if isinstance(ours, str):
        return [kind, str(given.models), "", "", ours, ""]
    cells = [kind, str(given.models), f"{ours['comparisons']:,}", *_times(ours)]
    if given.against is None:
        return cells
    other = measured_by(given.against, kind, given)
    if isinstance(other, str):
        return [*cells, "", other, "", "", ""]
    ratio = f"{other['grade'] / ours['grade']:.1f}"
    return [*cells, *_times(other), ratio, f"{largest_difference(ours['figures'], other['figures']):.0e}"]


def _times(measurement: Mapping[str, Any]) -> list[str]:
    return [f"{measurement['plan']:.1f}", f"{measurement['grade']:.1f}", f"{measurement['memory']:.0f}"]


def main() -> None:
    """Parse, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--kind", action="append", choices=KINDS, help="repeatable; all if not given")
    parser.add_argument("--against", type=Path, help="the `benchmark` folder of another checkout")
    parser.add_argument("--limit", type=int, default=300, help="CPU seconds for one kind")
    parser.add_argument("--memory", type=float, default=6.0, help="GiB for one kind")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        print(json.dumps(measure(given.kind[0], given.models)))
        return
    headings = [
        *HEADINGS,
        *(["before: plan, s", "grade, s", "memory, MiB", "×", "difference"] if given.against else []),
    ]
    print(f"| {' | '.join(headings)} |\n| --- |{' ---: |' * (len(headings) - 1)}")
    for kind in given.kind or KINDS:
        print(f"| {' | '.join(row(kind, given))} |", flush=True)


if __name__ == "__main__":
    main()
