"""Grade the published boards anew from the scores in their bundles, without scoring anything.

python docs/republish.py [SUITE …]      # all boards below leaderboard/, or those of these suites

Run it from a clean commit when grading, a page or a docstring changed. A score that changed needs `simbench run` and
`simbench publish` in its place: a bundle that lacks a score is refused here.
"""

from __future__ import annotations

import sys
from pathlib import Path

from simbench.bundles.archive import BUNDLE, read_files, write_files
from simbench.bundles.contents import parse
from simbench.bundles.pack import pack
from simbench.publish.folder import publish
from simbench.registry import METRICS
from simbench.results.provenance import made_with
from simbench.suite.load import load_suite

BOARDS = Path(__file__).parents[1] / "leaderboard"


def republish(folder: Path) -> None:
    """Write a board and its bundle anew."""
    contents = parse(read_files(folder / BUNDLE))
    metrics = []
    for record in contents.metrics:
        metric = METRICS.get(record.declaration.name).with_parameters(record.parameters)
        if (metric.identity, metric.label) != (record.identity, record.label):
            raise SystemExit(f"{folder.name}: {record.identity} is {metric.identity} now; run the suite again")
        if record.on_board:
            metrics.append(metric)
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
