"""Time every metric on all pairs of representations: against loops, against public packages, against the floor.

    python tests/performance/all_pairs.py [--representations 20] [--rows 2000] [--features 256] [--dtype float32]
        [--threads 1] [--metric NAME]… [--seconds 30] [--no-peers] [--growth] [--write]

Per metric, over all ordered pairs, in one process: the time of `score_pairs` and the memory that it takes; the time of
the plain function in a loop; of the fastest public package; of the products and decompositions alone that nothing can
do without; and the largest difference in value. With one thread, times are CPU seconds, which a busy machine hardly
changes; with more, seconds of the clock. What would take longer than `--seconds` is taken on a part of the pairs and
scaled up, marked ≈. `--growth` also fits exponents in the numbers of representations and of rows. `--write` puts it all
into docs/performance.md. Packages that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"


def main() -> None:
    """Parse, measure, print and perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--representations", type=int, default=20)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--metric", action="append", help="repeatable; all if not given")
    parser.add_argument("--seconds", type=float, default=30.0, help="for one loop or one package on one metric")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != str(given.threads):  # read once, when a library is loaded
        environment = os.environ | dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(given.threads)
        )
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    import report
    from measuring import Setting

    setting = Setting(given.representations, given.rows, given.features, given.dtype, given.threads, given.seconds)
    lines = []
    for line in report.document(setting, given.metric, peers=not given.no_peers, growth=given.growth):
        print(line, flush=True)
        lines.append(line)
    if given.write:
        DOCUMENT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
