"""Grade the published boards anew from the scores in their bundles, without scoring anything.

python docs/republish.py [SUITE …]      # all boards below leaderboard/, or those of these suites

Run it from a clean commit when grading, a page or a docstring changed. Where a metric has another version by now, the
board keeps the scores of the former one, and a line says so; `simbench run` and `simbench publish` take them anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

from simbench.bundles.archive import BUNDLE, read_files, write_files
from simbench.bundles.contents import parse
from simbench.bundles.metric_record import MetricRecord, recorded_metric
from simbench.bundles.pack import pack
from simbench.metrics.metric import Metric
from simbench.publish.folder import publish
from simbench.registry import METRICS
from simbench.results.provenance import made_with
from simbench.suite.load import load_suite

BOARDS = Path(__file__).parents[1] / "leaderboard"


def _as_scored(record: MetricRecord) -> Metric:
    """Return the metric with today's texts; as the bundle describes it, where its code is another version by now."""
    if record.declaration.name not in METRICS:
        return recorded_metric(record)  # somebody's submission
    metric = METRICS.get(record.declaration.name).with_parameters(record.parameters)
    if metric.identity == record.identity:
        return metric
    print(f"  {record.label}: scored by {record.identity}; {metric.identity} needs `simbench run`")
    return recorded_metric(record)


def republish(folder: Path) -> None:
    """Write a board and its bundle anew."""
    contents = parse(read_files(folder / BUNDLE))
    metrics = [_as_scored(record) for record in contents.metrics if record.on_board]
    records = {label: {record.key: record for record in scores} for label, scores in contents.scores.items()}
    stated = {name: value for name, value in contents.stated.items() if name != "made_with"}
    made = pack(load_suite(folder.name), metrics, records, contents.provenance, stated=stated)
    publish(made.board, BOARDS, made.scores)
    write_files(folder / BUNDLE, made.files)
    print(folder)


if __name__ == "__main__":
    if made_with().get("dirty"):
        raise SystemExit("benchmark/ or suites/ has changes that are not committed: a board names its commit")
    for name in sys.argv[1:] or sorted(path.parent.name for path in BOARDS.glob(f"*/{BUNDLE}")):
        republish(BOARDS / name)
